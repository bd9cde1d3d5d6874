//! Every text that a person reads: events, alerts, conditions. Logs draw from it as well. Same transition, same sentence.
//!
//! Texts that Flagger has, and that mean the same, are Flagger's to the letter (A8): people and scripts search for them.
//! **Source**: dossier 01 §1.7, §8, §9.2, §10, §11.

mod evidence;
mod record;
mod routing;

pub use evidence::{
    ROLLED_BACK, astray, cause, clock, count_awaited, evidence, evidence_awaited, evidence_holds,
    exposed, is_evidence, retreats, rolled_back_by_evidence, share_awaited, soak_awaited, soaks,
    would_have,
};
pub use routing::{route_changed, routed_by};
use slipway_api::names::annotation;
use slipway_api::{AlertLevel, AlertNote, Note, NoteType, Phase};

use crate::decision::Subject;
use crate::order::Standing;
use crate::plan::{Gate, HookKind, MetricCheck, MetricSource, Place, Plan, Strategy};
use crate::pods::PodCounts;
use crate::weight::Weight;

pub use record::{bounded, pod_reason, pods_fail, with_pods};

/// A normal event.
pub fn normal(text: impl Into<String>) -> Note {
    Note {
        type_: NoteType::Normal,
        text: text.into(),
        alert: None,
    }
}

/// A warning.
pub fn warning(text: impl Into<String>) -> Note {
    Note {
        type_: NoteType::Warning,
        text: text.into(),
        alert: None,
    }
}

/// The same event with an alert.
pub fn alerting(note: Note, severity: AlertLevel, text: impl Into<String>) -> Note {
    Note {
        alert: Some(AlertNote {
            severity,
            text: text.into(),
            with_facts: false,
        }),
        ..note
    }
}

/// The same event with an alert that tells the facts of the Canary as well.
pub fn alerting_with_facts(note: Note, severity: AlertLevel, text: impl Into<String>) -> Note {
    Note {
        alert: Some(AlertNote {
            severity,
            text: text.into(),
            with_facts: true,
        }),
        ..note
    }
}

/// `target.namespace`.
fn target(plan: &Plan) -> String {
    format!("{}.{}", plan.target.name, plan.canary.namespace)
}

/// `canary.namespace`.
fn canary(plan: &Plan) -> String {
    plan.canary.dotted()
}

/// `primary.namespace`.
fn primary(plan: &Plan) -> String {
    format!("{}.{}", plan.names.primary, plan.canary.namespace)
}

/// The message of the condition `Promoted` in a phase.
pub fn promoted_message(plan_kind: &str, phase: Phase) -> String {
    match phase {
        Phase::Empty | Phase::Initializing => {
            format!("New {plan_kind} detected, starting initialization.")
        }
        Phase::Initialized => format!("{plan_kind} initialization completed."),
        Phase::Waiting | Phase::WaitingPromotion => "Waiting for approval.".to_owned(),
        Phase::Progressing => "New revision detected, progressing canary analysis.".to_owned(),
        Phase::Promoting => {
            "Canary analysis completed, starting primary rolling update.".to_owned()
        }
        Phase::Finalising => {
            "Canary analysis completed, routing all traffic to primary.".to_owned()
        }
        Phase::Succeeded => {
            "Canary analysis completed successfully, promotion finished.".to_owned()
        }
        Phase::Failed => format!("Canary analysis failed, {plan_kind} scaled to zero."),
        Phase::Terminating | Phase::Terminated => {
            format!("{plan_kind} is given back, the canary is being deleted.")
        }
    }
}

/// The message of `Promoted` where the promotion failed: nothing was scaled to zero then.
pub fn failed_promotion_message() -> String {
    "Promotion failed, the primary did not become ready; traffic is on the canary.".to_owned()
}

/// The bootstrap is done.
pub fn initialized(plan: &Plan) -> Note {
    let text = format!(
        "New {} detected, initialization completed.",
        plan.target.kind.as_str()
    );
    alerting_with_facts(
        normal(format!("Initialization done! {}", canary(plan))),
        AlertLevel::Info,
        text,
    )
}

/// A side is not ready, as the event says it.
pub fn not_ready_primary(plan: &Plan, why: &str) -> String {
    format!("{} not ready: {why}", primary(plan))
}

/// The same for the canary.
pub fn not_ready_canary(plan: &Plan, why: &str) -> String {
    format!(
        "canary {} {} not ready: {why}",
        plan.target.kind.as_str().to_lowercase(),
        target(plan)
    )
}

/// A release starts.
pub fn started(plan: &Plan) -> Note {
    alerting_with_facts(
        normal(format!(
            "New revision detected! Scaling up {}",
            target(plan)
        )),
        AlertLevel::Info,
        "New revision detected, progressing canary analysis.",
    )
}

/// A newer revision replaces the one that is being released.
pub fn restarted(plan: &Plan) -> Note {
    normal(format!(
        "New revision detected! Restarting analysis for {}",
        target(plan)
    ))
}

/// The first check of a release.
pub fn analysis_starts(plan: &Plan) -> Note {
    normal(format!("Starting canary analysis for {}", target(plan)))
}

/// A step of weight.
pub fn weight_advanced(plan: &Plan, weight: impl std::fmt::Display) -> Note {
    normal(format!("Advance {} canary weight {weight}", canary(plan)))
}

/// A weight without a mesh that would take more pods of the primary than there are.
pub fn weight_not_reached(plan: &Plan, weight: Weight, pods: PodCounts) -> String {
    format!(
        "weight {weight} gives no user the canary: one pod of {} needs {} ready pods of {} beside it, and there are {}",
        target(plan),
        PodCounts::needed(weight),
        primary(plan),
        pods.primary
    )
}

/// A release without a mesh that gave no user its revision at any step.
pub fn no_user_met(plan: &Plan, pods: Option<PodCounts>) -> String {
    let greatest = match &plan.strategy {
        Strategy::Canary { steps, .. } => steps.last().copied().unwrap_or_default(),
        Strategy::BlueGreen { .. } | Strategy::AbTesting { .. } => Weight::ZERO,
    };
    let why = weight_not_reached(plan, greatest, pods.unwrap_or_default());
    format!("no step was judged under users, {why}")
}

/// A step of iterations.
pub fn iteration_advanced(plan: &Plan, iteration: i64, of: i64) -> Note {
    normal(format!(
        "Advance {} canary iteration {iteration}/{of}",
        canary(plan)
    ))
}

/// A step of weight back to the primary.
pub fn primary_weight_advanced(plan: &Plan, weight: impl std::fmt::Display) -> Note {
    normal(format!("Advance {} primary weight {weight}", canary(plan)))
}

/// Blue/green takes all traffic to the canary.
pub fn cut_over(mirrored: bool) -> Note {
    normal(if mirrored {
        "Stop traffic mirroring and route all traffic to canary"
    } else {
        "Routing all traffic to canary"
    })
}

/// The promotion begins.
pub fn copying(plan: &Plan) -> Note {
    normal(format!(
        "Copying {} template spec to {}",
        target(plan),
        primary(plan)
    ))
}

/// Traffic goes back to the promoted primary.
pub fn routing_to_primary() -> Note {
    normal("Routing all traffic to primary")
}

/// The release ended well.
pub fn promoted(plan: &Plan, skipped: bool) -> Note {
    if skipped {
        let text = format!(
            "Promotion completed! Canary analysis was skipped for {}",
            target(plan)
        );
        return alerting(
            normal(text),
            AlertLevel::Info,
            "Canary analysis was skipped, promotion finished.",
        );
    }
    alerting(
        normal(format!(
            "Promotion completed! Scaling down {}",
            target(plan)
        )),
        AlertLevel::Info,
        "Canary analysis completed successfully, promotion finished.",
    )
}

/// Too many checks failed.
pub fn threshold_reached(plan: &Plan, failed: i64) -> Note {
    alerting(
        warning(format!(
            "Rolling back {} failed checks threshold reached {failed}",
            canary(plan)
        )),
        AlertLevel::Error,
        format!("Failed checks threshold reached {failed}"),
    )
}

/// A side did not become ready in time. Flagger means to say this as well, but never reaches it (Q4).
pub fn deadline_exceeded(plan: &Plan, why: &str) -> Note {
    alerting(
        warning(format!(
            "Rolling back {} progress deadline exceeded {why}",
            canary(plan)
        )),
        AlertLevel::Error,
        format!("Progress deadline exceeded {why}"),
    )
}

/// A rollback hook asked for it.
pub fn manual_rollback(plan: &Plan) -> Note {
    alerting(
        warning(format!(
            "Rolling back {} manual webhook invoked",
            canary(plan)
        )),
        AlertLevel::Warn,
        "Rolling back manual webhook invoked",
    )
}

/// The user took the revision back.
pub fn cancelled(plan: &Plan) -> Note {
    alerting(
        warning(format!(
            "Rolling back {} the target was set back to the promoted revision",
            canary(plan)
        )),
        AlertLevel::Warn,
        "Release cancelled, the target was set back to the promoted revision",
    )
}

/// The user took a waiting revision back to one that failed before.
pub fn taken_back(plan: &Plan) -> Note {
    normal(format!(
        "Release of {} cancelled, the target was set back to a revision that failed before",
        target(plan)
    ))
}

/// The canary goes.
pub fn scaling_down_failed(plan: &Plan) -> Note {
    warning(format!("Canary failed! Scaling down {}", canary(plan)))
}

/// The primary did not become ready with the promoted revision.
pub fn promotion_failed(plan: &Plan, why: &str) -> Note {
    alerting(
        warning(format!(
            "Promotion of {} failed, primary not ready: {why}",
            target(plan)
        )),
        AlertLevel::Error,
        format!("Promotion failed, primary not ready: {why}"),
    )
}

/// The canary lost its pods while it had traffic.
pub fn canary_lost(plan: &Plan) -> String {
    format!(
        "Halt {} advancement canary {} has no ready pod, traffic is back on the primary",
        canary(plan),
        target(plan)
    )
}

/// A suspended Canary.
pub fn suspended() -> Note {
    normal("skipping canary run as object is suspended")
}

/// The Canary is deleted, and gives back what the user had.
pub fn terminating(plan: &Plan) -> Note {
    normal(format!("Terminating canary {}", canary(plan)))
}

/// It has given it back.
pub fn terminated(plan: &Plan) -> Note {
    normal(format!("Terminated canary {}", canary(plan)))
}

/// A hook said yes.
pub fn hook_passed(kind: HookKind, name: &str) -> Option<Note> {
    let text = match kind {
        HookKind::ConfirmRollout => format!("Confirm-rollout check {name} passed"),
        HookKind::PreRollout => format!("Pre-rollout check {name} passed"),
        HookKind::ConfirmTrafficIncrease => format!("Confirm-traffic-increase check {name} passed"),
        HookKind::ConfirmPromotion => format!("Confirm-promotion check {name} passed"),
        HookKind::PostRollout => format!("Post-rollout check {name} passed"),
        HookKind::Rollback => return Some(warning(format!("Rollback check {name} passed"))),
        HookKind::Rollout | HookKind::Event => return None,
    };
    Some(normal(text))
}

/// A check hook said no.
pub fn hook_refused(plan: &Plan, kind: HookKind, name: &str, why: &str) -> String {
    match kind {
        HookKind::PreRollout => format!(
            "Halt {} advancement pre-rollout check {name} failed {why}",
            canary(plan)
        ),
        HookKind::PostRollout => format!("Post-rollout hook {name} failed {why}"),
        HookKind::Rollout
        | HookKind::ConfirmRollout
        | HookKind::ConfirmPromotion
        | HookKind::ConfirmTrafficIncrease
        | HookKind::Rollback
        | HookKind::Event => format!(
            "Halt {} advancement external check {name} failed {why}",
            canary(plan)
        ),
    }
}

/// A gate is closed: told once, when the wait begins.
pub fn gate_closed(plan: &Plan, kind: HookKind, name: &str, muted: bool) -> Note {
    let (of, alert) = match kind {
        HookKind::ConfirmPromotion => (
            "promotion approval",
            "Canary promotion is waiting for approval.",
        ),
        HookKind::ConfirmTrafficIncrease => (
            "traffic increase approval",
            "Canary traffic increase is waiting for approval.",
        ),
        HookKind::ConfirmRollout
        | HookKind::PreRollout
        | HookKind::Rollout
        | HookKind::PostRollout
        | HookKind::Rollback
        | HookKind::Event => ("approval", "Canary is waiting for approval."),
    };
    let note = warning(format!(
        "Halt {} advancement waiting for {of} {name}",
        canary(plan)
    ));
    if muted {
        note
    } else {
        alerting(note, AlertLevel::Warn, alert)
    }
}

/// The first digits of a revision, as people are told it.
pub fn short(revision: &str) -> &str {
    revision.get(..10).unwrap_or(revision)
}

/// What a person did.
pub fn action_done(plan: &Plan, done: &str) -> Note {
    normal(format!("Release of {}: {done}", target(plan)))
}

/// What a person did in vain.
pub fn action_refused(plan: &Plan, verb: &str, why: &str) -> Note {
    warning(format!(
        "Release of {}: action {verb} has no effect: {why}",
        target(plan)
    ))
}

/// A person is awaited at a gate, as the status says it.
pub fn approval(gate: Gate) -> String {
    format!("approval of the {} by a person", gate.as_str())
}

/// The same, as people are told it: once, when the wait begins.
pub fn approval_awaited(plan: &Plan, gate: Gate) -> Note {
    let kind = match gate {
        Gate::Rollout => HookKind::ConfirmRollout,
        Gate::Promotion => HookKind::ConfirmPromotion,
    };
    gate_closed(plan, kind, "by a person", false)
}

/// What a release waits for that somebody paused.
pub fn paused_by(who: &str) -> String {
    format!("somebody to resume it: it was paused by {who}")
}

/// What a release waits for that an annotation pauses.
pub fn paused_by_annotation(plan: &Plan) -> String {
    let on = match plan.tuning.get(annotation::PAUSED).map(|it| it.place) {
        Some(Place::Target) => format!("{} {}", plan.target.kind.as_str(), plan.target.name),
        Some(Place::Canary) | None => format!("Canary {}", plan.canary.name),
    };
    format!("annotation {} of {on} to be false", annotation::PAUSED)
}

/// A person has to do something before the release goes on: told once, when the wait begins.
pub fn held(plan: &Plan, what: &str) -> Note {
    let note = warning(format!(
        "Halt {} advancement waiting for {what}",
        canary(plan)
    ));
    alerting(
        note,
        AlertLevel::Warn,
        format!("Canary is waiting for {what}."),
    )
}

/// Other releases go first: told once, when the wait begins.
pub fn in_order(plan: &Plan, what: &str) -> Note {
    normal(format!(
        "New revision detected! {} waits for {what}",
        target(plan)
    ))
}

/// A release goes first, as the status says it.
pub fn before(name: &str, standing: Option<Standing>) -> String {
    match standing {
        None => format!("Canary {name} to exist"),
        Some(Standing::Failed) => {
            format!("Canary {name} to be mended, whose last release failed")
        }
        Some(Standing::Rests | Standing::Moves) => {
            format!("Canary {name} to rest at its newest revision")
        }
    }
}

/// More releases want to run than may at once: told when the wait begins.
pub fn queued(plan: &Plan) -> Note {
    normal(format!(
        "New revision detected! {} waits for its turn, enough releases run already",
        target(plan)
    ))
}

/// What stands before the place of a release that waits for its turn.
const TURN: &str = "its turn: ";

/// The place of a release among those that wait for their turn: exact for the first ten, in tens behind them.
pub fn turn(place: usize, of: usize) -> String {
    if place > 10 {
        let first = (place - 1) / 10 * 10 + 1;
        return format!("{TURN}{first} to {} of {of}", first + 9);
    }
    let ending = match place {
        1 => "st",
        2 => "nd",
        3 => "rd",
        _ => "th",
    };
    format!("{TURN}{place}{ending} of {of}")
}

/// Whether two such texts tell the same place.
pub fn is_same_place(one: &str, other: &str) -> bool {
    let place = |text: &str| {
        let place = text.strip_prefix(TURN)?;
        Some(place.split(" of ").next()?.to_owned())
    };
    place(one).is_some() && place(one) == place(other)
}

/// An annotation was changed while the release runs.
pub fn annotation_changed(
    plan: &Plan,
    key: &str,
    old: Option<&String>,
    new: Option<&String>,
) -> Note {
    let said = |text: Option<&String>| text.map_or_else(|| "nothing".to_owned(), Clone::clone);
    normal(format!(
        "Annotation {key} of {} changed from {} to {} during the release, from now on it applies",
        target(plan),
        said(old),
        said(new)
    ))
}

/// A person had the revision taken back.
pub fn aborted(plan: &Plan, by: &str) -> Note {
    alerting(
        warning(format!("Rolling back {} aborted by {by}", canary(plan))),
        AlertLevel::Warn,
        format!("Release aborted by {by}"),
    )
}

/// Who is asked, in a sentence about waiting: `rollout hook load`, `metric request-duration`.
pub fn asked(plan: &Plan, subject: &Subject) -> String {
    match subject {
        Subject::Hook { name, kind, .. } => format!("{} hook {name}", kind.as_str()),
        Subject::Metric { index } => {
            let name = plan.metrics.get(*index).map(|metric| metric.name.as_str());
            format!("metric {}", name.unwrap_or_default())
        }
        Subject::Counters => "the counters of requests".to_owned(),
    }
}

/// A metric is out of its bounds.
pub fn out_of_bounds(
    plan: &Plan,
    check: &MetricCheck,
    value: f64,
    bound: f64,
    above: bool,
) -> String {
    let sign = if above { '>' } else { '<' };
    let head = format!("Halt {} advancement", canary(plan));
    match check.source {
        MetricSource::SuccessRate => format!("{head} success rate {value:.2}% {sign} {bound}%"),
        MetricSource::RequestDuration => {
            format!(
                "{head} request duration {} {sign} {}",
                milliseconds(value),
                milliseconds(bound)
            )
        }
        MetricSource::Query(_) | MetricSource::Template { .. } => {
            format!("{head} {} {value:.2} {sign} {bound}", check.name)
        }
    }
}

/// A metric has no values.
pub fn no_values(plan: &Plan, check: &MetricCheck, why: &str) -> String {
    match check.source {
        MetricSource::SuccessRate | MetricSource::RequestDuration => format!(
            "Halt advancement no values found for {} metric {} probably {} is not receiving traffic: {why}",
            plan.provider,
            check.name,
            target(plan)
        ),
        MetricSource::Query(_) => format!(
            "Halt advancement no values found for metric: {}: {why}",
            check.name
        ),
        MetricSource::Template { .. } => {
            format!(
                "Halt advancement no values found for custom metric: {}: {why}",
                check.name
            )
        }
    }
}

/// A query gave several series where one number is meant.
pub fn several_series(check: &MetricCheck, series: &str) -> String {
    format!(
        "Metric query failed for {}: it returned several series where one is allowed ({series}); aggregate them in the query",
        check.name
    )
}

/// A query failed.
pub fn query_failed(check: &MetricCheck, why: &str) -> String {
    match check.source {
        MetricSource::SuccessRate | MetricSource::RequestDuration => {
            format!("Prometheus query failed: {why}")
        }
        MetricSource::Query(_) => format!("Prometheus query failed for {}: {why}", check.name),
        MetricSource::Template { .. } => format!("Metric query failed for {}: {why}", check.name),
    }
}

/// A Flagger works on the same Canary.
pub const fn stands_by_for_flagger() -> &'static str {
    "A live Flagger writes the status of this Canary, so Slipway stands by until it has been silent for ten minutes. Stop one of the two."
}

/// What a release waits for whose plan has it hold without data.
pub fn measurement(check: &MetricCheck) -> String {
    format!("metric {}{MEASURED}", check.name)
}

/// Whether that is what is awaited.
pub fn is_measurement(what: &str) -> bool {
    what.ends_with(MEASURED)
}

const MEASURED: &str = " to be measured";

/// The same, as people are told it: once, when the wait begins.
pub fn unmeasured(plan: &Plan, what: &str, why: &str) -> Note {
    let note = held(plan, what);
    Note {
        text: format!(
            "{}: {}",
            note.text,
            why.trim_start_matches("Halt advancement ")
        ),
        ..note
    }
}

/// Whole milliseconds as Go prints a duration.
fn milliseconds(value: f64) -> String {
    let whole = if value.is_finite() {
        value.trunc().clamp(-9.0e15, 9.0e15)
    } else {
        0.0
    };
    // A finite number within ±9e15 prints as a whole number that fits an i64.
    let whole: i64 = format!("{whole:.0}").parse().unwrap_or_default();
    slipway_api::go::format_duration(chrono::TimeDelta::milliseconds(whole))
}
