//! One tick of an analysis: hooks and metrics are asked side by side, the first failure fails it, and only if all pass the release moves on.

use slipway_api::Phase;

use super::draft::Draft;
use super::gate::{self, Gate};
use super::promote;
use super::rollback;
use crate::analysis::{self, CheckResult};
use crate::decision::{Decision, Question, Subject};
use crate::observation::{Answer, Verdict};
use crate::plan::{HookKind, Strategy};
use crate::strategy::{Move, next_move};
use crate::words;

/// What the checks of one tick say together.
enum Outcome {
    /// Something has not answered yet; the questions are in the draft.
    Open,
    /// The first failure, as the event says it.
    Failed(String),
    /// All passed.
    Passed,
}

/// A tick that is due.
pub(super) fn tick(mut draft: Draft<'_>) -> Decision {
    let (tick, tested) = draft
        .case
        .release()
        .map_or((0, false), |release| (release.tick, release.tested));
    let meets_traffic = strategy_has_begun(&draft);
    if let Some(hook) = rollback_hook(&mut draft, tick) {
        return rollback::by_hook(draft, &hook);
    }
    let outcome = match (meets_traffic, tested) {
        (true, _) => judge(&mut draft, tick),
        (false, false) => hooks(&mut draft, HookKind::PreRollout, tick),
        // The canary was tested, and lost its traffic since: there is nothing to measure before the first step.
        (false, true) => Outcome::Passed,
    };
    match outcome {
        Outcome::Open => draft.decide(),
        Outcome::Failed(why) => {
            note_start(&mut draft, tick);
            fail(draft, &why)
        }
        Outcome::Passed => {
            note_start(&mut draft, tick);
            if !tested && !meets_traffic {
                let passed = draft.case.plan.hooks_of(HookKind::PreRollout);
                let notes: Vec<_> = passed
                    .filter_map(|hook| words::hook_passed(hook.kind, &hook.name))
                    .collect();
                draft.tell_all(notes);
            }
            draft.release().tested = true;
            advance(draft)
        }
    }
}

/// Whether the canary meets requests that can be judged: live, mirrored, or those of a load test behind its own Service.
fn strategy_has_begun(draft: &Draft<'_>) -> bool {
    let mirrored = draft.case.release().is_some_and(|release| release.mirrored);
    draft.status.canary_weight > 0 || draft.status.iterations > 0 || mirrored
}

fn note_start(draft: &mut Draft<'_>, tick: u64) {
    if tick == 0 {
        draft.tell(words::analysis_starts(draft.case.plan));
    }
}

/// A failed check: counted, and at the threshold the release goes back.
pub(super) fn fail(mut draft: Draft<'_>, why: &str) -> Decision {
    draft.tell(words::warning(why));
    draft.status.failed_checks += 1;
    step(&mut draft);
    if draft.status.failed_checks >= draft.case.plan.threshold {
        return rollback::threshold(draft, why);
    }
    draft.decide()
}

/// Counts the tick and notes its time: the next is due one interval later.
fn step(draft: &mut Draft<'_>) {
    let (now, interval) = (draft.case.now, draft.case.plan.interval);
    let release = draft.release();
    release.tick += 1;
    release.step_at = Some(now);
    draft.wake_at(now + interval);
}

/// Hooks in order and metrics in order, both lists at the same time, so that a slow hook does not hide a metric that fails.
fn judge(draft: &mut Draft<'_>, tick: u64) -> Outcome {
    let hooks = hooks(draft, HookKind::Rollout, tick);
    let metrics = metrics(draft, tick);
    match (hooks, metrics) {
        (Outcome::Failed(why), _) | (_, Outcome::Failed(why)) => Outcome::Failed(why),
        (Outcome::Passed, Outcome::Passed) => Outcome::Passed,
        (Outcome::Open, _) | (_, Outcome::Open) => Outcome::Open,
    }
}

fn hooks(draft: &mut Draft<'_>, kind: HookKind, tick: u64) -> Outcome {
    let plan = draft.case.plan;
    for hook in plan.hooks_of(kind) {
        let question = hook_question(draft, kind, &hook.name, Phase::Progressing, tick);
        match draft.case.seen.answer(&question) {
            Some(Answer::Hook(Verdict::Passed)) => {}
            Some(Answer::Hook(Verdict::Refused(why))) => {
                return Outcome::Failed(words::hook_refused(plan, kind, &hook.name, why));
            }
            Some(Answer::Metric(_)) | None => {
                draft.questions.push(question);
                return Outcome::Open;
            }
        }
    }
    Outcome::Passed
}

fn metrics(draft: &mut Draft<'_>, tick: u64) -> Outcome {
    let plan = draft.case.plan;
    for (index, check) in plan.metrics.iter().enumerate() {
        let revision = released(draft);
        let question = Question {
            subject: Subject::Metric { index },
            round: gate::round(draft, &revision, Some(tick)),
        };
        match draft.case.seen.answer(&question) {
            Some(Answer::Metric(reading)) => match analysis::judge(plan, check, reading) {
                CheckResult::Passed => {}
                CheckResult::Failed(why) => return Outcome::Failed(why),
            },
            Some(Answer::Hook(_)) | None => {
                draft.questions.push(question);
                return Outcome::Open;
            }
        }
    }
    Outcome::Passed
}

/// The first rollback hook that asks for a rollback. Its questions hold nothing up.
fn rollback_hook(draft: &mut Draft<'_>, tick: u64) -> Option<String> {
    let plan = draft.case.plan;
    let phase = draft.status.phase;
    for hook in plan.hooks_of(HookKind::Rollback) {
        let question = hook_question(draft, HookKind::Rollback, &hook.name, phase, tick);
        match draft.case.seen.answer(&question) {
            Some(Answer::Hook(Verdict::Passed)) => return Some(hook.name.clone()),
            Some(Answer::Hook(Verdict::Refused(_)) | Answer::Metric(_)) => {}
            None => draft.questions.push(question),
        }
    }
    None
}

fn hook_question(
    draft: &Draft<'_>,
    kind: HookKind,
    name: &str,
    phase: Phase,
    tick: u64,
) -> Question {
    let revision = released(draft);
    Question {
        subject: Subject::Hook {
            name: name.to_owned(),
            kind,
            phase,
        },
        round: gate::round(draft, &revision, Some(tick)),
    }
}

fn released(draft: &Draft<'_>) -> String {
    draft
        .case
        .release()
        .map(|release| release.revision.clone())
        .unwrap_or_default()
}

/// All checks passed: the next move, behind its gate.
fn advance(mut draft: Draft<'_>) -> Decision {
    draft.stop_waiting();
    let next = next_move(draft.case.plan, &draft.status);
    let confirmed = draft
        .case
        .release()
        .is_some_and(|release| release.confirmed);
    let gate = match next {
        Move::CutOver | Move::Promote if !confirmed => HookKind::ConfirmPromotion,
        Move::Weigh(_) | Move::Mirror => HookKind::ConfirmTrafficIncrease,
        Move::CutOver | Move::Promote | Move::Iterate(_) => return take(draft, next),
    };
    let revision = released(&draft);
    match gate::ask(&mut draft, gate, Phase::Progressing, &revision) {
        Gate::Open => {
            draft.release().confirmed |= next.is_gated();
            take(draft, next)
        }
        // Nothing else of this decision is kept: it is made again with the answer.
        Gate::Asked => undecided(draft),
        Gate::Closed(hook) => {
            let (name, muted) = (hook.name.clone(), hook.mute_alert);
            closed(draft, gate, &name, muted)
        }
    }
}

fn undecided(draft: Draft<'_>) -> Decision {
    let mut again = Draft::new(draft.case, draft.stored());
    again.questions = draft.questions;
    again.wake = draft.wake;
    again.decide()
}

/// A gate is closed: told once, and the checks go on at their pace.
fn closed(mut draft: Draft<'_>, gate: HookKind, name: &str, muted: bool) -> Decision {
    let what = match gate {
        HookKind::ConfirmPromotion => format!("confirm-promotion hook {name}"),
        HookKind::ConfirmTrafficIncrease
        | HookKind::ConfirmRollout
        | HookKind::PreRollout
        | HookKind::Rollout
        | HookKind::PostRollout
        | HookKind::Event
        | HookKind::Rollback => format!("confirm-traffic-increase hook {name}"),
    };
    let already = draft
        .case
        .slipway()
        .waiting
        .is_some_and(|waiting| waiting.for_ == what);
    if already {
        draft.slipway().waiting = draft.case.slipway().waiting;
    } else {
        draft.tell(words::gate_closed(draft.case.plan, gate, name, muted));
        draft.wait_for(what);
    }
    if gate == HookKind::ConfirmPromotion {
        draft.status.phase = Phase::WaitingPromotion;
    }
    step(&mut draft);
    draft.decide()
}

/// Takes the move, and notes that it was taken before anything of it is done.
fn take(mut draft: Draft<'_>, next: Move) -> Decision {
    let plan = draft.case.plan;
    let (total, mirrors) = match &plan.strategy {
        Strategy::BlueGreen { iterations, mirror } => (*iterations, *mirror),
        Strategy::AbTesting { iterations } => (*iterations, false),
        Strategy::Canary { .. } => (0, false),
    };
    draft.status.phase = Phase::Progressing;
    step(&mut draft);
    match next {
        Move::Mirror => {
            draft.release().mirrored = true;
            draft.tell(words::weight_advanced(plan, 0));
        }
        Move::Weigh(weight) => {
            draft.status.canary_weight = weight.percent();
            draft.release().mirrored = false;
            draft.tell(words::weight_advanced(plan, weight));
        }
        Move::Iterate(iteration) => {
            draft.status.iterations = iteration;
            draft.release().mirrored = mirrors;
            draft.tell(words::iteration_advanced(plan, iteration, total));
        }
        Move::CutOver => {
            draft.status.iterations += 1;
            draft.release().mirrored = false;
            if plan.provider.has_mesh() {
                draft.status.canary_weight = 100;
                draft.tell(words::cut_over(mirrors));
            }
        }
        Move::Promote => return promote::begin(draft),
    }
    draft.decide()
}
