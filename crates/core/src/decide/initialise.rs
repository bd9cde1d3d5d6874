//! From a plain workload to a primary that serves, without one lost request: the primary is ready before the apex selects it, and proxies have
//! had time to learn it before the target is scaled down (FC-005).

use slipway_api::{Phase, Side};

use super::draft::{Draft, due};
use crate::decision::{Decision, Effect};
use crate::readiness::Readiness;
use crate::weight::Routes;
use crate::words;

/// One step of the bootstrap.
pub(super) fn initialise(mut draft: Draft<'_>) -> Decision {
    draft.status.phase = Phase::Initializing;
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
    match draft.case.readiness(Side::Primary) {
        Readiness::Ready => hand_over(draft, &revision),
        Readiness::Waiting(why) | Readiness::Stuck(why) => await_primary(draft, &why),
    }
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
    }
    draft.decide()
}

fn hand_over(mut draft: Draft<'_>, revision: &str) -> Decision {
    let now = draft.case.now;
    draft.stop_deadline();
    let left_at = *draft.slipway().traffic_left_at.get_or_insert(now);
    let settled = due(Some(left_at), draft.case.plan.settle, now);
    if now < settled {
        draft.wait_for("traffic to settle on the primary");
        draft.after(Effect::Services {
            apex: Some(Side::Primary),
        });
        draft.after(Effect::Route(Routes::PRIMARY));
        draft.wake_at(settled);
        return draft.decide();
    }
    finish(draft, revision)
}

fn finish(mut draft: Draft<'_>, revision: &str) -> Decision {
    let served = served_revision(&draft, revision);
    draft.before(Effect::Services {
        apex: Some(Side::Primary),
    });
    draft.before(Effect::Route(Routes::PRIMARY));
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
