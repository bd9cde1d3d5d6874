//! The judged revision becomes the primary, and only when the primary is ready traffic returns to it (P4).

use slipway_api::{Phase, Side};

use super::draft::{Draft, due};
use super::finalise;
use super::progress;
use super::rollback;
use super::standing;
use super::start;
use crate::decision::{Decision, Effect, Outcome};
use crate::readiness::Readiness;
use crate::strategy::all_to_canary;
use crate::words;

/// The analysis has passed, or is skipped: the promotion is remembered, then done.
pub(super) fn begin(mut draft: Draft<'_>) -> Decision {
    let now = draft.case.now;
    let routed = draft
        .asked_routes()
        .map_or(0, |routes| routes.canary.percent());
    let revision = draft
        .case
        .release()
        .map(|release| release.revision.clone())
        .unwrap_or_default();
    draft.status.phase = Phase::Promoting;
    draft.status.canary_weight = routed;
    draft.release().mirrored = false;
    draft.release().promoting_since = Some(now);
    // Whoever had it promoted had it go on as well.
    draft.slipway().wish = None;
    draft.stop_deadline();
    draft.tell(words::copying(draft.case.plan));
    if is_emptied(&draft) {
        // Recreate leaves the primary without pods for a while: all traffic goes to the judged canary first (P7).
        draft.slipway().pinned_to = Some(Side::Canary);
        // The time counts from when the route stands, which the next decision sees to.
        draft.release().promoting_since = None;
        draft.wait_for(EMPTIED);
        draft.wake_at(now);
    } else {
        draft.wait_for(primary_readiness(&draft));
        draft.after(Effect::Promote { revision });
    }
    draft.decide()
}

/// What a promotion waits for while traffic leaves a primary that will be emptied.
const EMPTIED: &str = "traffic to leave the primary, which its strategy empties";

/// One look at a promotion under way.
pub(super) fn promoting(mut draft: Draft<'_>) -> Decision {
    let case = draft.case;
    let released = case
        .release()
        .map(|release| release.revision.clone())
        .unwrap_or_default();
    let given = case
        .seen
        .primary
        .as_ref()
        .and_then(|primary| primary.given_revision.clone());
    if given.as_deref() != Some(released.as_str()) {
        return hand_to_primary(draft, released);
    }
    match case.readiness(Side::Primary) {
        Readiness::Ready => shift(draft),
        Readiness::Stuck(why) => fail(draft, &why),
        Readiness::Waiting(why) => {
            draft.wait_for(primary_readiness(&draft));
            if draft.deadline_is_over() {
                return fail(draft, &why);
            }
            draft.tell_late(words::not_ready_primary, &why);
            draft.decide()
        }
    }
}

/// Copies the target to the primary, if it still holds what was judged; what was judged is gone otherwise, and cannot be promoted (FC-016).
fn hand_to_primary(mut draft: Draft<'_>, revision: String) -> Decision {
    let case = draft.case;
    if let Some(newer) = case.target_revision()
        && newer != revision
    {
        return progress::supersede(draft, newer);
    }
    if is_emptied(&draft) {
        return empty_primary(draft, revision);
    }
    draft.wait_for(primary_readiness(&draft));
    draft.after(Effect::Promote { revision });
    draft.decide()
}

/// Hands over to a primary that is emptied by it: only while the canary answers for both, and one settle time after all traffic went there.
fn empty_primary(mut draft: Draft<'_>, revision: String) -> Decision {
    let (now, settle) = (draft.case.now, draft.case.plan.settle);
    if !draft.case.is_alive(Side::Canary) {
        draft.wait_for(start::canary_readiness(&draft));
        if draft.deadline_is_over() {
            let why = words::not_ready_canary(draft.case.plan, "it has no ready pod");
            return rollback::deadline(draft, &why);
        }
        return draft.decide();
    }
    draft.stop_deadline();
    let before = draft.case.slipway();
    let stands = before.pinned_to == Some(Side::Canary) && before.routed_weight.is_none();
    let since = draft.release().promoting_since.filter(|_| stands);
    if since.is_none() {
        draft.slipway().pinned_to = Some(Side::Canary);
        draft.route_before(all_to_canary(draft.case.plan));
        draft.release().promoting_since = Some(now);
    }
    let emptied_at = since.unwrap_or(now) + settle;
    if since.is_none() || now < emptied_at {
        draft.wait_for(EMPTIED);
        draft.wake_at(emptied_at);
        return draft.decide();
    }
    if !standing::stands(&mut draft) {
        return draft.decide();
    }
    draft.wait_for(primary_readiness(&draft));
    draft.after(Effect::Promote { revision });
    draft.decide()
}

/// The primary is ready: traffic returns, all at once or in steps.
fn shift(mut draft: Draft<'_>) -> Decision {
    let case = draft.case;
    draft.stop_deadline();
    let weight = draft
        .safe_routes()
        .map_or(0, |routes| routes.canary.percent());
    let Some(step) = case
        .plan
        .promotion_step
        .filter(|_| case.plan.splits() && weight > 0)
    else {
        return finalise::begin(draft, (weight > 0).then(words::routing_to_primary));
    };
    let step_at = case.release().and_then(|release| release.step_at);
    let at = due(step_at, case.plan.interval, case.now);
    if case.now < at {
        draft.wake_at(at);
        return draft.decide();
    }
    let left = (weight - step.percent()).max(0);
    let told = words::primary_weight_advanced(case.plan, 100 - left);
    if left == 0 {
        return finalise::begin(draft, Some(told));
    }
    draft.slipway().pinned_to = None;
    draft.status.canary_weight = left;
    draft.release().step_at = Some(case.now);
    draft.wake_at(case.now + case.plan.interval);
    draft.tell(told);
    draft.decide()
}

/// The primary did not become ready with the judged revision: traffic stays with, or moves to, the canary, which is kept up (FC-001).
///
/// What the primary serves is not known from here on: even the revision that it served before has to be released to it.
pub(super) fn fail(mut draft: Draft<'_>, why: &str) -> Decision {
    let rescues = draft.case.is_alive(Side::Canary) && draft.case.holds_released_revision();
    draft.status.phase = Phase::Failed;
    (draft.status.failed_checks, draft.status.iterations) = (0, 0);
    draft.status.canary_weight = if rescues { 100 } else { 0 };
    let text = words::not_ready_primary(draft.case.plan, why);
    let slipway = draft.slipway();
    slipway.pinned_to = rescues.then_some(Side::Canary);
    slipway.promoted_revision = None;
    slipway.traffic_left_at = None;
    slipway.reason = Some(format!("Promotion failed: {text}."));
    draft.stop_deadline();
    draft.stop_waiting();
    draft.tell(words::promotion_failed(draft.case.plan, &text));
    super::hooks::schedule(&mut draft, Phase::Failed);
    draft.after(Effect::Count(Outcome::Failed));
    draft.decide()
}

/// Whether the primary is without pods for a while when it takes over: it takes the strategy of the target over as well. A primary that Flagger
/// has handed everything to already is not emptied again.
fn is_emptied(draft: &Draft<'_>) -> bool {
    let seen = draft.case.seen;
    let recreates = seen.target.as_ref().is_some_and(|target| target.recreates);
    recreates && seen.same_revision != Some(true)
}

fn primary_readiness(draft: &Draft<'_>) -> String {
    format!(
        "{} {} to become ready",
        draft.case.plan.target.kind.as_str(),
        draft.case.plan.names.primary
    )
}
