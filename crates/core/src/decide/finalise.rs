//! Traffic is back on the promoted primary; the target is scaled down one settle time later.

use slipway_api::{Note, Phase, Side};

use super::draft::Draft;
use super::{hooks, promote, standing};
use crate::decision::{Decision, Effect, Outcome};
use crate::readiness::Readiness;
use crate::weight::Routes;
use crate::words;

/// Routes all traffic to the primary, which is ready: first the route, then the status, so that the settle time counts from a route that stands.
pub(super) fn begin(mut draft: Draft<'_>, told: Option<Note>) -> Decision {
    let now = draft.case.now;
    draft.route_before(Routes::PRIMARY);
    draft.status.phase = Phase::Finalising;
    (draft.status.canary_weight, draft.status.iterations) = (0, 0);
    let slipway = draft.slipway();
    slipway.pinned_to = None;
    slipway.traffic_left_at = Some(now);
    draft.tell_all(told);
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
    if !draft.is_settled() || !standing::is_away(&mut draft) {
        return draft.decide();
    }
    succeed(draft)
}

fn succeed(mut draft: Draft<'_>) -> Decision {
    let release = draft.case.release().cloned().unwrap_or_default();
    draft.route_before(Routes::PRIMARY);
    // A newer revision is at the target already: it is released next, and would only have to come up again.
    if draft.case.holds_released_revision() {
        draft.before(Effect::PauseScaler);
        draft.before(Effect::ScaleDownTarget);
    }
    draft.release_primary();
    let status = &mut draft.status;
    status.phase = Phase::Succeeded;
    (status.canary_weight, status.iterations) = (0, 0);
    status
        .last_promoted_spec
        .clone_from(&status.last_applied_spec);
    let slipway = draft.slipway();
    slipway.promoted_revision = Some(release.revision);
    slipway.traffic_left_at = None;
    slipway.reason = release.skipped.then(|| match &release.skipped_by {
        Some(said) => format!("Promoted without further analysis by {}.", said.by),
        None => "Promoted without analysis, by spec.skipAnalysis.".to_owned(),
    });
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
