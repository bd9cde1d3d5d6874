//! A new revision: the gate before it, its start, and its start over when a newer one comes.

use chrono::{DateTime, Utc};
use slipway_api::{Note, Phase, ReleaseStatus, Said, Side};

use super::draft::Draft;
use super::gate::{self, Gate as Gates};
use super::initialise::flagger_hash;
use super::order::{self, Held};
use super::people;
use crate::action::Verb;
use crate::decision::{Decision, Effect};
use crate::fleet::Turn;
use crate::observation::ObstacleCondition;
use crate::plan::{Gate, HookKind};
use crate::words;

/// A revision that waits at its gate; it may have been taken back meanwhile.
pub(super) fn waiting(mut draft: Draft<'_>) -> Decision {
    let Some(revision) = draft.case.target_revision() else {
        return draft.decide();
    };
    let slipway = draft.case.slipway();
    if draft.case.holds_promoted_revision() {
        draft.tell(words::cancelled(draft.case.plan));
        draft.slipway().promoted_revision = Some(revision.clone());
        return take_back(draft, revision, Phase::Succeeded);
    }
    if slipway.acted_revision.as_ref() == Some(&revision) {
        // It failed before: it is not tried again, just as if the one that waits here had never come.
        draft.tell(words::taken_back(draft.case.plan));
        return take_back(draft, revision, Phase::Failed);
    }
    gated(draft, revision)
}

/// There is nothing left to release: the Canary rests as before.
fn take_back(mut draft: Draft<'_>, revision: String, phase: Phase) -> Decision {
    draft.status.phase = phase;
    draft.status.last_applied_spec = flagger_hash(&draft, &revision);
    draft.stop_waiting();
    let slipway = draft.slipway();
    slipway.acted_revision = Some(revision);
    (slipway.pending_revision, slipway.wish) = (None, None);
    slipway.pending_since = None;
    draft.decide()
}

/// Starts a release once its gate is open, and nothing is wrong with the spec.
pub(super) fn gated(mut draft: Draft<'_>, revision: String) -> Decision {
    if draft.is_hindered() {
        draft.wait_for("the problem in its spec to be mended");
        return draft.decide();
    }
    match people::wish(&draft, &revision) {
        Some((Verb::Abort, said)) => return give_up(draft, revision, &said),
        Some((Verb::Promote, _)) => return start(draft, revision),
        Some(_) | None => {}
    }
    if let Some(what) = people::paused(&draft) {
        let note = words::held(draft.case.plan, &what);
        return hold(draft, revision, what, note);
    }
    if !people::has_approved(&draft, Gate::Rollout, &revision) {
        let note = words::approval_awaited(draft.case.plan, Gate::Rollout);
        return hold(draft, revision, words::approval(Gate::Rollout), note);
    }
    if let Some(held) = order::held(&draft) {
        return wait_in_order(draft, revision, held);
    }
    if let Turn::Behind { place, of } = draft.case.seen.turn {
        return queue(draft, revision, place, of);
    }
    let phase = draft.status.phase;
    let round = gate::round(&draft, &revision);
    match gate::ask(&mut draft, HookKind::ConfirmRollout, phase, &round) {
        Gates::Open(notes) => {
            draft.tell_all(notes);
            start(draft, revision)
        }
        Gates::Asked => draft.decide(),
        Gates::Closed(hook) => {
            let (kind, plan) = (HookKind::ConfirmRollout, draft.case.plan);
            let note = words::gate_closed(plan, kind, &hook.name, hook.mute_alert);
            let what = format!("confirm-rollout hook {}", hook.name);
            hold(draft, revision, what, note)
        }
    }
}

/// Holds a revision before its start: told once, when this wait begins.
fn hold(mut draft: Draft<'_>, revision: String, what: String, note: Note) -> Decision {
    let is_told = draft.waiting().is_some_and(|waiting| waiting.for_ == what);
    if draft.status.phase != Phase::Waiting || !is_told {
        draft.tell(note);
    }
    pend(&mut draft, revision);
    draft.wait_for(what);
    draft.decide()
}

/// A revision that has not started, and the time from which it counts as waiting.
fn pend(draft: &mut Draft<'_>, revision: String) {
    let now = draft.case.now;
    draft.status.phase = Phase::Waiting;
    let slipway = draft.slipway();
    slipway.pending_revision = Some(revision);
    slipway.pending_since.get_or_insert(now);
}

/// Other releases go first.
fn wait_in_order(mut draft: Draft<'_>, revision: String, held: Held) -> Decision {
    pend(&mut draft, revision);
    if let Some(at) = held.until {
        draft.wake_at(at);
    }
    let is_told = draft
        .waiting()
        .is_some_and(|waiting| waiting.for_ == held.what);
    if !is_told && held.until.is_none() {
        draft.tell(if held.failed {
            words::held(draft.case.plan, &held.what)
        } else {
            words::in_order(draft.case.plan, &held.what)
        });
    }
    if held.failed {
        let message = format!("Waiting for {}.", held.what);
        draft.hinder(ObstacleCondition::DependencyFailed, message);
    }
    draft.wait_pending(held.what);
    draft.decide()
}

/// Too many releases run at once: its place counts from when its revision was noticed.
fn queue(mut draft: Draft<'_>, revision: String, place: usize, of: usize) -> Decision {
    pend(&mut draft, revision);
    draft.slipway().queued = true;
    if !draft.case.slipway().queued {
        draft.tell(words::queued(draft.case.plan));
    }
    // A changed place is written down, a changed length alone is not: it would cost a write for each that comes.
    let what = words::turn(place, of);
    let is_same = draft
        .waiting()
        .is_some_and(|waiting| words::is_same_place(&waiting.for_, &what));
    if !is_same {
        draft.wait_pending(what);
    }
    draft.decide()
}

/// A person does not want a revision that has not started: it counts as one that failed, and is not tried again.
fn give_up(mut draft: Draft<'_>, revision: String, said: &Said) -> Decision {
    draft.tell(words::aborted(draft.case.plan, &said.by));
    let reason = format!("Aborted by {} before it started.", said.by);
    draft.slipway().reason = Some(reason);
    draft.release().revision.clone_from(&revision);
    take_back(draft, revision, Phase::Failed)
}

fn start(mut draft: Draft<'_>, revision: String) -> Decision {
    begin(&mut draft, revision);
    draft.hold_primary();
    draft.tell(words::started(draft.case.plan));
    draft.before(Effect::ResumeScaler);
    draft.before(Effect::ScaleUpTarget(draft.case.plan.canary_replicas));
    draft.wait_for(canary_readiness(&draft));
    draft.decide()
}

/// A newer revision came while one was released: traffic goes back to the primary first, and the analysis starts over.
pub(super) fn restart(mut draft: Draft<'_>, revision: String) -> Decision {
    begin(&mut draft, revision);
    draft.hold_primary();
    draft.tell(words::restarted(draft.case.plan));
    draft.after(Effect::ResumeScaler);
    draft.after(Effect::ScaleUpTarget(draft.case.plan.canary_replicas));
    draft.wait_for(canary_readiness(&draft));
    draft.decide()
}

/// The status of a release that begins: everything of the one before is forgotten.
fn begin(draft: &mut Draft<'_>, revision: String) {
    let now = draft.case.now;
    let annotations = draft.case.plan.tuning.texts();
    let wished = people::wish(draft, &revision);
    let skipped_by = wished
        .filter(|(verb, _)| *verb == Verb::Promote)
        .map(|(_, said)| said);
    let primary_was_ready = draft.case.readiness(Side::Primary).is_ready();
    draft.status.last_applied_spec = flagger_hash(draft, &revision);
    draft
        .status
        .tracked_configs
        .clone_from(&draft.case.seen.configs.flagger);
    let status = &mut draft.status;
    status.phase = Phase::Progressing;
    (
        status.canary_weight,
        status.failed_checks,
        status.iterations,
    ) = (0, 0, 0);
    let slipway = draft.slipway();
    slipway.acted_revision = Some(revision.clone());
    slipway.pinned_to = None;
    slipway.traffic_left_at = None;
    slipway.unready_since = Some(now);
    slipway.waiting = None;
    slipway.reason = None;
    slipway.annotations = annotations;
    slipway
        .approvals
        .retain(|given| given.said.revision == revision);
    (slipway.pending_revision, slipway.wish) = (None, None);
    slipway.pending_since = None;
    slipway.release = Some(ReleaseStatus {
        revision,
        started_at: Some(later_than(slipway.release.as_ref(), now)),
        primary_was_ready,
        skipped_by,
        ..ReleaseStatus::default()
    });
}

/// The start of a release tells its questions from those of the one before: two never start at the same instant.
fn later_than(before: Option<&ReleaseStatus>, now: DateTime<Utc>) -> DateTime<Utc> {
    let last = before.and_then(|release| release.started_at);
    last.filter(|last| *last >= now)
        .map_or(now, |last| last + chrono::TimeDelta::milliseconds(1))
}

/// What a release waits for while its canary comes up.
pub(super) fn canary_readiness(draft: &Draft<'_>) -> String {
    format!(
        "{} {} to become ready",
        draft.case.plan.target.kind.as_str(),
        draft.case.plan.target.name
    )
}
