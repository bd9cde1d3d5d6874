//! The conditions of a Canary, computed from its status alone: what people and tools wait on (A14).

use chrono::{DateTime, Utc};
use slipway_api::{CanaryCondition, CanaryStatus, ConditionStatus, Phase, Side};

use crate::observation::ObstacleCondition;
use crate::words;

/// What stands in the way, for the conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hindrance {
    pub(crate) condition: ObstacleCondition,
    pub(crate) message: String,
}

/// Brings the conditions of a status in line with its phase and with what stands in the way.
pub(crate) fn update(
    status: &mut CanaryStatus,
    target_kind: &str,
    hindrance: Option<&Hindrance>,
    now: DateTime<Utc>,
) {
    let mut wanted = vec![promoted(status, target_kind)];
    wanted.extend(kstatus(status, hindrance));
    if let Some(hindrance) = hindrance
        && let Some(type_) = named(hindrance.condition)
    {
        wanted.push(condition(
            type_,
            ConditionStatus::True,
            type_,
            &hindrance.message,
        ));
    }
    let before = std::mem::take(&mut status.conditions);
    // Types that are not ours (routing of a later version, a person's own) stay.
    let foreign = before
        .iter()
        .filter(|old| !OURS.contains(&old.type_.as_str()))
        .cloned();
    let kept: Vec<CanaryCondition> = wanted
        .into_iter()
        .map(|new| dated(new, &before, now))
        .collect();
    status.conditions = kept.into_iter().chain(foreign).collect();
}

/// The type of the condition that says what of a spec is not heeded.
pub(crate) const NOT_HEEDED: &str = "SpecNotHeeded";
/// The type of the condition that says that too few pods are there for a weight.
pub(crate) const NOT_REACHED: &str = "WeightNotReached";
/// The type of the condition that says by which kind of object traffic is routed, where that is not the kind that the provider usually has.
pub(crate) const ROUTED_BY: &str = "RoutedBy";

/// Says something by a condition of its own, or takes the condition away (an empty message); whether it said something else before. It stands until
/// it is said anew: [`update`] lets it be.
pub(crate) fn say(
    status: &mut CanaryStatus,
    type_: &str,
    message: &str,
    now: DateTime<Utc>,
) -> bool {
    let said = status.conditions.iter().find(|it| it.type_ == type_);
    if said.map_or("", |it| it.message.as_str()) == message {
        return false;
    }
    let before = std::mem::take(&mut status.conditions);
    let others = before.iter().filter(|it| it.type_ != type_).cloned();
    status.conditions = others.collect();
    if !message.is_empty() {
        let new = condition(type_, ConditionStatus::True, type_, message);
        status.conditions.push(dated(new, &before, now));
    }
    true
}

/// The types that [`update`] writes.
const OURS: [&str; 10] = [
    "Promoted",
    "Ready",
    "Reconciling",
    "Stalled",
    "InvalidSpec",
    "ProviderUnavailable",
    "UnsupportedProvider",
    "DependencyFailed",
    "InternalError",
    "RoutingIneffective",
];

fn named(condition: ObstacleCondition) -> Option<&'static str> {
    match condition {
        ObstacleCondition::InvalidSpec => Some("InvalidSpec"),
        ObstacleCondition::ProviderUnavailable => Some("ProviderUnavailable"),
        ObstacleCondition::UnsupportedProvider => Some("UnsupportedProvider"),
        ObstacleCondition::Stalled => None,
        ObstacleCondition::DependencyFailed => Some("DependencyFailed"),
        ObstacleCondition::InternalError => Some("InternalError"),
        ObstacleCondition::RoutingIneffective => Some("RoutingIneffective"),
    }
}

/// Flagger's one condition. **Source**: dossier 01 §1.7.
fn promoted(status: &CanaryStatus, target_kind: &str) -> CanaryCondition {
    let holds = match status.phase {
        Phase::Initialized | Phase::Succeeded => ConditionStatus::True,
        Phase::Failed => ConditionStatus::False,
        Phase::Empty
        | Phase::Initializing
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Terminating
        | Phase::Terminated => ConditionStatus::Unknown,
    };
    let pinned = status
        .slipway
        .as_ref()
        .and_then(|slipway| slipway.pinned_to);
    let message = if status.phase == Phase::Failed && pinned == Some(Side::Canary) {
        words::failed_promotion_message()
    } else {
        words::promoted_message(target_kind, status.phase)
    };
    let reason = if status.phase == Phase::Empty {
        Phase::Initializing
    } else {
        status.phase
    };
    condition("Promoted", holds, reason.as_str(), &message)
}

/// `Ready`, `Reconciling` and `Stalled` as kstatus reads them; an absent `Reconciling` or `Stalled` is a false one.
fn kstatus(status: &CanaryStatus, hindrance: Option<&Hindrance>) -> Vec<CanaryCondition> {
    let reason = if status.phase == Phase::Empty {
        "Initializing"
    } else {
        status.phase.as_str()
    };
    let slipway = status.slipway.clone().unwrap_or_default();
    if let Some(hindrance) = hindrance {
        let reason = named(hindrance.condition).unwrap_or("Conflict");
        return vec![
            condition("Ready", ConditionStatus::False, reason, &hindrance.message),
            condition("Stalled", ConditionStatus::True, reason, &hindrance.message),
        ];
    }
    match status.phase {
        Phase::Initialized | Phase::Succeeded => {
            vec![condition(
                "Ready",
                ConditionStatus::True,
                reason,
                "The primary serves the newest revision.",
            )]
        }
        Phase::Failed => {
            let why = slipway
                .reason
                .unwrap_or_else(|| "The last release failed.".to_owned());
            // Nothing goes on by itself: tools that wait may stop.
            vec![
                condition("Ready", ConditionStatus::False, reason, &why),
                condition("Stalled", ConditionStatus::True, reason, &why),
            ]
        }
        Phase::Empty
        | Phase::Initializing
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Terminating
        | Phase::Terminated => {
            let what = slipway.waiting.map_or_else(
                || format!("{reason}."),
                |waiting| format!("Waiting for {}.", waiting.for_),
            );
            vec![
                condition("Ready", ConditionStatus::Unknown, reason, &what),
                condition("Reconciling", ConditionStatus::True, reason, &what),
            ]
        }
    }
}

fn condition(type_: &str, status: ConditionStatus, reason: &str, message: &str) -> CanaryCondition {
    CanaryCondition {
        type_: type_.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_update_time: None,
        last_transition_time: None,
    }
}

/// Gives a condition its times: those of the one before as long as nothing changed; the transition's only with the status.
fn dated(new: CanaryCondition, before: &[CanaryCondition], now: DateTime<Utc>) -> CanaryCondition {
    let old = before.iter().find(|old| old.type_ == new.type_);
    match old {
        Some(old)
            if old.status == new.status
                && old.reason == new.reason
                && old.message == new.message =>
        {
            old.clone()
        }
        Some(old) if old.status == new.status => CanaryCondition {
            last_update_time: Some(now),
            last_transition_time: old.last_transition_time.or(Some(now)),
            ..new
        },
        Some(_) | None => CanaryCondition {
            last_update_time: Some(now),
            last_transition_time: Some(now),
            ..new
        },
    }
}
