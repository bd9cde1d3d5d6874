//! The Canary is deleted: the target comes up, takes its traffic back, and then everything is let go (FC-094).

use slipway_api::{Phase, Side};

use super::draft::{Draft, due};
use crate::decision::{Decision, Effect};
use crate::plan::CanaryReplicas;
use crate::words;

/// One look at a Canary that is being deleted. Whatever happens it ends: at the deadline the finalizer goes anyway (FC-095).
pub(super) fn terminate(mut draft: Draft<'_>) -> Decision {
    draft.touch_nothing();
    if !draft.case.seen.has_finalizer {
        return draft.decide();
    }
    if draft.case.plan.orphans {
        draft.release_primary();
    }
    if std::mem::take(&mut draft.slipway().target_paused) {
        draft.before(Effect::ResumeTarget);
    }
    if draft.status.phase == Phase::Terminated || draft.case.plan.orphans {
        draft.after(Effect::RemoveFinalizer);
        return draft.decide();
    }
    if draft.status.phase != Phase::Terminating {
        begin(&mut draft);
    }
    draft.wait_for("the target to take its traffic back");
    // Who was away for longer than the deadline finds the target ready, and gives it its traffic all the same.
    let is_ready = draft.case.readiness(Side::Canary).is_ready();
    if draft.case.seen.target.is_none() || (draft.deadline_is_over() && !is_ready) {
        return let_go(draft);
    }
    draft.after(Effect::ResumeScaler);
    // It is to serve everybody: as many pods as now serve them, whatever the least of its scaler is.
    draft.after(Effect::ScaleUpTarget(CanaryReplicas::MATCH_PRIMARY));
    let now = draft.case.now;
    // A target that was scaled down a moment ago still says that it is ready, and so may its Service: its word counts after a settle time.
    let asked_at = draft.waiting().map(|waiting| waiting.since);
    let told = due(asked_at, draft.case.plan.settle, now);
    if now < told {
        draft.wake_at(told);
        return draft.decide();
    }
    if !is_ready {
        return draft.decide();
    }
    // Before the status: the settle time counts from routes that stand.
    draft.before(Effect::RestoreRoutes);
    let left_at = *draft.slipway().traffic_left_at.get_or_insert(now);
    let settled = due(Some(left_at), draft.case.plan.settle, now);
    if now < settled {
        draft.wake_at(settled);
        return draft.decide();
    }
    let_go(draft)
}

fn begin(draft: &mut Draft<'_>) {
    draft.status.phase = Phase::Terminating;
    (draft.status.canary_weight, draft.status.iterations) = (0, 0);
    let slipway = draft.slipway();
    slipway.unready_since = None;
    slipway.traffic_left_at = None;
    draft.tell(words::terminating(draft.case.plan));
}

fn let_go(mut draft: Draft<'_>) -> Decision {
    draft.status.phase = Phase::Terminated;
    draft.stop_waiting();
    draft.tell(words::terminated(draft.case.plan));
    draft.after(Effect::RemoveFinalizer);
    draft.decide()
}
