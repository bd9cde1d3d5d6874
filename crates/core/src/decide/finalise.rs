//! Traffic is back on the promoted primary; the target is scaled down one settle time later.

use slipway_api::{Phase, Side};

use super::draft::{Draft, due};
use super::{hooks, promote};
use crate::decision::{Decision, Effect, Outcome};
use crate::readiness::Readiness;
use crate::weight::Routes;
use crate::words;

/// Routes all traffic to the primary, which is ready.
pub(super) fn begin(mut draft: Draft<'_>) -> Decision {
    let now = draft.case.now;
    draft.status.phase = Phase::Finalising;
    (draft.status.canary_weight, draft.status.iterations) = (0, 0);
    let slipway = draft.slipway();
    slipway.pinned_to = None;
    slipway.traffic_left_at = Some(now);
    if draft.case.plan.provider.has_mesh() {
        draft.tell(words::routing_to_primary());
    }
    draft.wait_for("traffic to settle on the primary");
    draft.wake_at(now + draft.case.plan.settle);
    draft.decide()
}

/// One look at a release whose traffic is back.
pub(super) fn finalise(mut draft: Draft<'_>) -> Decision {
    let case = draft.case;
    match case.readiness(Side::Primary) {
        Readiness::Ready => draft.stop_deadline(),
        Readiness::Stuck(why) => return promote::fail(draft, &why),
        Readiness::Waiting(why) => {
            if draft.deadline_is_over() {
                return promote::fail(draft, &why);
            }
            return draft.decide();
        }
    }
    let left_at = draft.case.slipway().traffic_left_at;
    let settled = due(left_at, case.plan.settle, case.now);
    if case.now < settled {
        draft.wake_at(settled);
        return draft.decide();
    }
    succeed(draft)
}

fn succeed(mut draft: Draft<'_>) -> Decision {
    let release = draft.case.release().cloned().unwrap_or_default();
    draft.before(Effect::Services {
        apex: Some(Side::Primary),
    });
    draft.before(Effect::Route(Routes::PRIMARY));
    // A newer revision is at the target already: it is released next, and would only have to come up again.
    if draft.case.holds_released_revision() {
        draft.before(Effect::PauseScaler);
        draft.before(Effect::ScaleDownTarget);
    }
    let status = &mut draft.status;
    status.phase = Phase::Succeeded;
    (status.canary_weight, status.iterations) = (0, 0);
    status
        .last_promoted_spec
        .clone_from(&status.last_applied_spec);
    let slipway = draft.slipway();
    slipway.promoted_revision = Some(release.revision);
    slipway.traffic_left_at = None;
    slipway.reason = release
        .skipped
        .then(|| "Promoted without analysis, by spec.skipAnalysis.".to_owned());
    draft.stop_waiting();
    hooks::schedule(&mut draft, Phase::Succeeded);
    draft.after(Effect::Count(if release.skipped {
        Outcome::Skipped
    } else {
        Outcome::Succeeded
    }));
    draft.tell(words::promoted(draft.case.plan, release.skipped));
    draft.decide()
}
