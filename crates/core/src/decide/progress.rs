//! A release under analysis: what the world did comes first (a newer revision, pods that went), then the pace, then the checks.

use slipway_api::Side;

use super::check;
use super::draft::{Draft, due};
use super::evidence;
use super::gate;
use super::people;
use super::promote;
use super::rollback;
use super::standing;
use super::start;
use crate::action::Verb;
use crate::decision::Decision;
use crate::plan::{HookKind, Plan};
use crate::readiness::Readiness;
use crate::words;

/// One look at a release in Progressing or `WaitingPromotion`.
pub(super) fn progress(mut draft: Draft<'_>) -> Decision {
    let case = draft.case;
    if let Some(revision) = case.target_revision()
        && !case.holds_released_revision()
    {
        return supersede(draft, revision);
    }
    let wish = case
        .release()
        .and_then(|release| people::wish(&draft, &release.revision));
    if let Some((Verb::Abort, said)) = &wish {
        return rollback::by_person(draft, said);
    }
    let has_traffic = draft
        .asked_routes()
        .is_some_and(|routes| !routes.canary.is_zero() || routes.mirrored);
    if has_traffic && !case.is_alive(Side::Canary) {
        return lose_canary(draft);
    }
    evidence::show_share(&mut draft);
    let is_left_to_it = wish.is_none() && draft.release().skipped_by.is_none();
    if is_left_to_it && let Some(decision) = evidence::protect(&mut draft) {
        return decision;
    }
    if let Some(decision) = await_side(&mut draft, Side::Canary) {
        return decision.unwrap_or_else(|why| rollback::deadline(draft, &why));
    }
    // A primary that was broken before the release does not hold its cure (FC-031).
    let waits = case
        .release()
        .is_some_and(|release| release.primary_was_ready);
    if waits && let Some(decision) = await_side(&mut draft, Side::Primary) {
        return decision.unwrap_or_else(|why| rollback::deadline(draft, &why));
    }
    draft.stop_deadline();
    draft.stop_waiting_for(" to become ready");
    if let Some((_, said)) = wish {
        draft.release().skipped_by = Some(said);
    }
    let is_skipped_by_person = draft.release().skipped_by.is_some();
    if is_skipped_by_person || (case.plan.skip_analysis && people::paused(&draft).is_none()) {
        draft.release().skipped = true;
        return promote::begin(draft);
    }
    if let Some(hook) = asked_to_roll_back(&mut draft) {
        return rollback::by_hook(draft, &hook);
    }
    let step_at = case.release().and_then(|release| release.step_at);
    let at = due(step_at, case.plan.interval, case.now);
    if case.now < at && !evidence::is_due(&draft) {
        draft.wake_at(at);
        return draft.decide();
    }
    if let Some(held) = standing::hold(&mut draft) {
        return held;
    }
    if !route_stands(&draft) {
        return step_again(draft);
    }
    draft.stop_waiting_for(ROUTE_STANDS);
    check::tick(draft)
}

/// What a step waits for that users have not met yet.
const ROUTE_STANDS: &str = " to stand for one interval";

/// Whether users have met the step that is due to be judged. The status is written before the route: whoever died in between, or could not write
/// the route for a while, has a step that nobody met, and what was measured meanwhile says nothing about it.
fn route_stands(draft: &Draft<'_>) -> bool {
    let (Some(stands), Some(asked)) = (draft.case.seen.routes, draft.asked_routes()) else {
        return true;
    };
    stands.canary >= draft.case.reached(asked.canary) && stands.mirrored == asked.mirrored
}

/// The route is written again with this decision, and the step counts from now.
fn step_again(mut draft: Draft<'_>) -> Decision {
    let now = draft.case.now;
    draft.release().step_at = Some(now);
    let weight = draft.status.canary_weight;
    draft.wait_for(format!("the route of weight {weight}{ROUTE_STANDS}"));
    draft.wake_at(now + draft.case.plan.interval);
    draft.decide()
}

/// The rollback hook that asks for a rollback, if one does.
fn asked_to_roll_back(draft: &mut Draft<'_>) -> Option<String> {
    let release = draft.case.release();
    let revision = release.map_or("", |release| release.revision.as_str());
    let (round, phase) = (gate::round(draft, revision), draft.status.phase);
    let hook = gate::any(draft, HookKind::Rollback, phase, &round);
    hook.map(|hook| hook.name.clone())
}

/// The target changed under a running release: a revision that is back at the promoted one cancels it (FC-017), any other starts it over.
pub(super) fn supersede(draft: Draft<'_>, revision: String) -> Decision {
    if draft.case.holds_promoted_revision() {
        return rollback::cancel(draft, revision);
    }
    start::restart(draft, revision)
}

/// Waits for a side to become ready: `None` when it is, a decision while it may still come, the reason when it is too late.
fn await_side(draft: &mut Draft<'_>, side: Side) -> Option<Result<Decision, String>> {
    let plan = draft.case.plan;
    let (name, explain): (_, fn(&Plan, &str) -> String) = match side {
        Side::Primary => (&plan.names.primary, words::not_ready_primary),
        Side::Canary => (&plan.target.name, words::not_ready_canary),
    };
    match draft.case.readiness(side) {
        Readiness::Ready => None,
        Readiness::Stuck(why) => Some(Err(explain(plan, &why))),
        Readiness::Waiting(why) => {
            draft.wait_for(format!(
                "{} {name} to become ready",
                plan.target.kind.as_str()
            ));
            if draft.deadline_is_over() {
                return Some(Err(explain(plan, &why)));
            }
            draft.tell_late(explain, &why);
            Some(Ok(Draft::replace(draft).decide()))
        }
    }
}

/// The canary has traffic and no ready pod: traffic goes back at once (the routes are already safe in this decision), it counts as a failed check,
/// and the steps begin again when the pods come back.
fn lose_canary(mut draft: Draft<'_>) -> Decision {
    let given = draft.case.seen.pod_reasons.iter();
    let given = given.filter(|given| given.side == Side::Canary);
    let text = words::with_pods(&words::canary_lost(draft.case.plan), given);
    draft.status.canary_weight = 0;
    draft.status.iterations = 0;
    let release = draft.release();
    (release.mirrored, release.met) = (false, false);
    draft.wait_for(start::canary_readiness(&draft));
    check::fail(draft, &text)
}
