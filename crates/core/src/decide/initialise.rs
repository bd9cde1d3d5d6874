//! From a plain workload to a primary that serves, without one lost request: the primary is ready before the apex selects it, and proxies have
//! had time to learn it before the target is scaled down (FC-005).

use slipway_api::{Phase, Side};

use super::draft::{Draft, due};
use super::standing;
use crate::blueprint::ApexPods;
use crate::decision::{Decision, Effect};
use crate::readiness::Readiness;
use crate::strategy::all_to_canary;
use crate::weight::Routes;
use crate::words;

/// One step of the bootstrap.
pub(super) fn initialise(mut draft: Draft<'_>) -> Decision {
    draft.status.phase = Phase::Initializing;
    let readiness = draft.case.readiness(Side::Primary);
    let settled = hand_over(&mut draft, readiness.is_ready());
    let Some(revision) = draft.case.target_revision() else {
        let kind = draft.case.plan.target.kind.as_str();
        draft.wait_for(format!(
            "{kind} {} and its configs to be readable",
            draft.case.plan.target.name
        ));
        return draft.decide();
    };
    if draft.case.seen.primary.is_none() {
        // Noted before the copy is made, so that a change of the target between here and the end is a change.
        draft.status.last_applied_spec = flagger_hash(&draft, &revision);
        draft.after(Effect::Services { apex: None });
        draft.after(Effect::CreatePrimary { revision });
        draft.after(Effect::CreatePrimaryScaler);
        draft.wait_for(primary_readiness(&draft));
        return draft.decide();
    }
    draft.after(Effect::Services { apex: None });
    draft.after(Effect::CreatePrimaryScaler);
    match readiness {
        Readiness::Ready if settled && standing::stands(&mut draft) => finish(draft, &revision),
        Readiness::Ready if settled => draft.decide(),
        Readiness::Ready => {
            draft.stop_deadline();
            draft.wait_for("traffic to settle on the primary");
            draft.decide()
        }
        Readiness::Waiting(why) | Readiness::Stuck(why) => await_primary(draft, &why),
    }
}

/// Gives the traffic to the primary once it is ready; whether it has settled there.
///
/// Until then traffic follows the side that can answer when the other cannot (P2): to the primary when the target dies before the primary is quite
/// ready, and back to the target when a primary dies that has been given the traffic.
fn hand_over(draft: &mut Draft<'_>, primary_is_ready: bool) -> bool {
    let alive = (
        draft.case.is_alive(Side::Primary),
        draft.case.is_alive(Side::Canary),
    );
    let was_given = draft.slipway().traffic_left_at.is_some();
    match alive {
        (true, false) => give_to_primary(draft),
        (true, true) if primary_is_ready => give_to_primary(draft),
        (false, true) if was_given => {
            draft.slipway().routed_weight = Some(100);
            draft.after(Effect::Services {
                apex: Some(ApexPods::Of(Side::Canary)),
            });
            draft.after(Effect::Route(all_to_canary(draft.case.plan)));
            false
        }
        _ => false,
    }
}

/// It is noted first that the primary is given the traffic, then the route is written, and once it stands the settle time counts.
fn give_to_primary(draft: &mut Draft<'_>) -> bool {
    let (now, settle) = (draft.case.now, draft.case.plan.settle);
    let slipway = draft.slipway();
    if slipway.traffic_left_at.is_none() {
        slipway.traffic_left_at = Some(now);
        slipway.routed_weight = Some(100);
        draft.after(Effect::Services {
            apex: Some(ApexPods::Of(Side::Primary)),
        });
        draft.after(Effect::Route(Routes::PRIMARY));
        draft.wake_at(now);
        return false;
    }
    if slipway.routed_weight.take().is_some() {
        slipway.traffic_left_at = Some(now);
    }
    let settled = due(slipway.traffic_left_at, settle, now);
    draft.route_before(Routes::PRIMARY);
    if now < settled {
        draft.wake_at(settled);
    }
    now >= settled
}

/// The target serves on while the primary does not come; after the deadline it is said aloud, once.
///
/// **Differs from Flagger**, which scales the target to zero with the `kubernetes` provider here.
fn await_primary(mut draft: Draft<'_>, why: &str) -> Decision {
    draft.wait_for(primary_readiness(&draft));
    let was_told = draft.slipway().reason.is_some();
    if draft.deadline_is_over() && !was_told {
        let text = words::not_ready_primary(draft.case.plan, why);
        draft.slipway().reason = Some(text.clone());
        draft.tell(words::warning(text));
    } else if !was_told {
        draft.tell_late(words::not_ready_primary, why);
    }
    draft.decide()
}

fn finish(mut draft: Draft<'_>, revision: &str) -> Decision {
    let served = served_revision(&draft, revision);
    draft.before(Effect::PauseScaler);
    if served == revision {
        draft.before(Effect::ScaleDownTarget);
        draft.status.last_applied_spec = flagger_hash(&draft, revision);
    }
    let configs = draft.case.seen.configs.flagger.clone();
    let status = &mut draft.status;
    status.phase = Phase::Initialized;
    (
        status.canary_weight,
        status.failed_checks,
        status.iterations,
    ) = (0, 0, 0);
    status.tracked_configs = configs;
    status
        .last_promoted_spec
        .clone_from(&status.last_applied_spec);
    let slipway = draft.slipway();
    slipway.acted_revision = Some(served.clone());
    slipway.promoted_revision = Some(served);
    slipway.traffic_left_at = None;
    slipway.reason = None;
    draft.stop_waiting();
    draft.tell(words::initialized(draft.case.plan));
    draft.decide()
}

/// The revision that the primary was made from. A primary of Flagger's says nothing: it is compared with the target.
fn served_revision(draft: &Draft<'_>, revision: &str) -> String {
    let given = draft
        .case
        .seen
        .primary
        .as_ref()
        .and_then(|primary| primary.given_revision.clone());
    given.unwrap_or_else(|| match draft.case.seen.same_revision {
        Some(false) => "unknown".to_owned(),
        Some(true) | None => revision.to_owned(),
    })
}

fn primary_readiness(draft: &Draft<'_>) -> String {
    format!(
        "{} {} to become ready",
        draft.case.plan.target.kind.as_str(),
        draft.case.plan.names.primary
    )
}

/// What Flagger would write for the target's revision; where that cannot be computed, the beginning of our own digest.
pub(super) fn flagger_hash(draft: &Draft<'_>, revision: &str) -> Option<String> {
    let target = draft.case.seen.target.as_ref()?;
    let fallback = || revision.chars().take(10).collect();
    Some(target.flagger_hash.clone().unwrap_or_else(fallback))
}
