//! One tick of an analysis: hooks and metrics are asked side by side, the first failure fails it, and only if all pass the release moves on.

use slipway_api::{Note, Phase, RECORDED_TICKS, Tick};

use super::draft::{Draft, due};
use super::evidence;
use super::gate::{self, Gate as Gates};
use super::people;
use super::promote;
use super::rollback;
use crate::analysis::{self, CheckResult};
use crate::decision::{Decision, Question, Subject};
use crate::observation::{Answer, Reading, Verdict};
use crate::plan::{Gate, Hook, HookKind, Strategy, origin};
use crate::strategy::{Move, next_move};
use crate::weight::Weight;
use crate::words;

/// What the checks of one tick say together.
enum Outcome {
    /// Something has not answered yet; the questions are in the draft.
    Open,
    /// The first failure, as the event says it.
    Failed(String),
    /// This metric was not measured, and the plan has the release wait for it.
    Unmeasured {
        /// What is awaited.
        what: String,
        /// Why there is nothing.
        why: String,
    },
    /// All passed.
    Passed,
}

/// A tick that is due.
pub(super) fn tick(mut draft: Draft<'_>) -> Decision {
    if draft.status.failed_checks >= draft.case.plan.threshold {
        // The threshold was lowered, or Flagger counted the last one: it rolls back a tick later.
        return rollback::threshold(draft, None);
    }
    evidence::ask_in_shadow(&mut draft);
    let (tick, tested) = draft
        .case
        .release()
        .map_or((0, false), |release| (release.tick, release.tested));
    if evidence::asks_for_first_weight(&mut draft) {
        return unanswered(draft);
    }
    let outcome = match (strategy_has_begun(&draft), tested) {
        (true, _) => judge(&mut draft, tick),
        (false, false) => hooks(&mut draft, HookKind::PreRollout, tick),
        // The canary was tested, and lost its traffic since: there is nothing to measure before the first step.
        (false, true) => Outcome::Passed,
    };
    match outcome {
        Outcome::Open => unanswered(draft),
        Outcome::Failed(why) => {
            draft.stop_waiting_for(ANSWER);
            note_start(&mut draft, tick);
            fail(draft, &why)
        }
        Outcome::Unmeasured { what, why } => {
            let note = words::unmeasured(draft.case.plan, &what, &why);
            hold(draft, tick, what, note)
        }
        Outcome::Passed => advance(draft, tick),
    }
}

/// The end of what is said of a question that has no answer yet.
const ANSWER: &str = " to answer";

/// Something has not answered yet. An answer that takes longer than an interval is named, so that nobody has to guess what holds the release (P5);
/// before the first step that costs no write of its own, and is said at once.
fn unanswered(mut draft: Draft<'_>) -> Decision {
    let (now, interval) = (draft.case.now, draft.case.plan.interval);
    let asked = draft.questions.iter().find(|question| {
        question.round.tick != gate::POLLED || gate::is_rollback(&question.subject)
    });
    let whom = asked.map(|question| words::asked(draft.case.plan, &question.subject));
    let step_at = draft.case.release().and_then(|release| release.step_at);
    let named_at = due(step_at, interval * 2, now);
    if now < named_at {
        draft.wake_at(named_at);
    } else if let Some(whom) = whom
        && draft
            .waiting()
            .is_none_or(|waiting| waiting.for_.ends_with(ANSWER))
    {
        draft.wait_for(format!("{whom}{ANSWER}"));
    }
    draft.decide()
}

/// Whether the canary meets requests that can be judged: live, mirrored, or those of a load test behind its own Service.
fn strategy_has_begun(draft: &Draft<'_>) -> bool {
    let mirrored = draft.case.release().is_some_and(|release| release.mirrored);
    let weight = Weight::clamped(draft.status.canary_weight);
    let has_traffic = !draft.case.reached(weight).is_zero() || mirrored;
    match draft.case.plan.strategy {
        Strategy::Canary { .. } => has_traffic,
        Strategy::BlueGreen { .. } | Strategy::AbTesting { .. } => {
            has_traffic || draft.status.iterations > 0
        }
    }
}

fn note_start(draft: &mut Draft<'_>, tick: u64) {
    if tick == 0 {
        draft.tell(words::analysis_starts(draft.case.plan));
    }
}

/// A failed check: counted, and at the threshold the release goes back.
pub(super) fn fail(mut draft: Draft<'_>, why: &str) -> Decision {
    draft.tell(words::warning(why));
    record(&mut draft, Some(why));
    draft.status.failed_checks += 1;
    step(&mut draft);
    if draft.status.failed_checks >= draft.case.plan.threshold {
        return rollback::threshold(draft, Some(why));
    }
    draft.decide()
}

/// Writes down what this tick has measured, and what came of it. It is part of a status that is written anyway.
fn record(draft: &mut Draft<'_>, failure: Option<&str>) {
    let case = draft.case;
    let round = gate::round_of_tick(draft, case.release().map_or(0, |release| release.tick));
    let read = case
        .plan
        .metrics
        .iter()
        .enumerate()
        .filter_map(|(index, check)| {
            let (subject, round) = (Subject::Metric { index }, round.clone());
            match case.seen.answer(&Question { subject, round })? {
                Answer::Metric(Reading::Value(value)) => Some((check.name.clone(), *value)),
                Answer::Metric(_) | Answer::Hook(_) | Answer::Counters(_) => None,
            }
        });
    let checks = case.plan.metrics.iter();
    let limits = checks.map(|check| (check.name.clone(), origin::limit(check)));
    let tick = Tick {
        at: Some(case.now),
        weight: case.status.canary_weight,
        values: read.collect(),
        limits: limits.collect(),
        hooks: super::record::hooks_of_tick(draft, &round),
        failure: failure.map(str::to_owned),
    };
    let ticks = &mut draft.release().ticks;
    ticks.push(tick);
    let old = ticks.len().saturating_sub(RECORDED_TICKS);
    ticks.drain(..old);
}

/// Counts the tick and notes its time: the next is due one interval later.
fn step(draft: &mut Draft<'_>) {
    evidence::shadow(draft);
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
        (Outcome::Open, _) | (_, Outcome::Open) => Outcome::Open,
        (Outcome::Passed, metrics) => metrics,
        (hooks @ Outcome::Unmeasured { .. }, _) => hooks,
    }
}

fn hooks(draft: &mut Draft<'_>, kind: HookKind, tick: u64) -> Outcome {
    let plan = draft.case.plan;
    let round = gate::round_of_tick(draft, tick);
    for hook in plan.hooks_of(kind) {
        let question = gate::question(hook, Phase::Progressing, &round);
        match draft.case.seen.answer(&question) {
            Some(Answer::Hook(Verdict::Passed)) => {}
            Some(Answer::Hook(Verdict::Refused(why))) => {
                return Outcome::Failed(words::hook_refused(plan, kind, &hook.name, why));
            }
            Some(Answer::Metric(_) | Answer::Counters(_)) | None => {
                draft.questions.push(question);
                return Outcome::Open;
            }
        }
    }
    Outcome::Passed
}

fn metrics(draft: &mut Draft<'_>, tick: u64) -> Outcome {
    let plan = draft.case.plan;
    let mut outcome = Outcome::Passed;
    for (index, check) in plan.metrics.iter().enumerate() {
        let question = Question {
            subject: Subject::Metric { index },
            round: gate::round_of_tick(draft, tick),
        };
        match draft.case.seen.answer(&question) {
            Some(Answer::Metric(reading)) => match analysis::judge(plan, check, reading) {
                CheckResult::Passed => {}
                CheckResult::Failed(why) => return Outcome::Failed(why),
                CheckResult::Unmeasured(why) => {
                    // A metric that fails is not hidden by one before it that says nothing.
                    let what = words::measurement(check);
                    outcome = Outcome::Unmeasured { what, why };
                }
            },
            Some(Answer::Hook(_) | Answer::Counters(_)) | None => {
                draft.questions.push(question);
                return Outcome::Open;
            }
        }
    }
    outcome
}

/// All checks passed: the next move, behind its gates.
fn advance(mut draft: Draft<'_>, tick: u64) -> Decision {
    let next = next_move(draft.case.plan, &draft.status);
    if draft.case.plan.weighs_by_pods() {
        // Whoever judged nothing promotes nothing (P3): with a mesh every step has users.
        let has_met = strategy_has_begun(&draft);
        draft.release().met |= has_met;
        if next.is_gated() && !draft.release().met {
            return rollback::unmet(draft);
        }
    }
    if next.is_gated() && is_asked_to_roll_back(&draft) {
        return unanswered(draft);
    }
    let round = gate::round_of_tick(&draft, tick);
    if let Some(what) = people::paused(&draft) {
        let note = words::held(draft.case.plan, &what);
        return hold(draft, tick, what, note);
    }
    if let Some(what) = evidence::holds(&draft, next) {
        let note = words::evidence_holds(draft.case.plan, &what);
        return hold(draft, tick, what, note);
    }
    if next.is_gated() && !is_approved(&draft) {
        let note = words::approval_awaited(draft.case.plan, Gate::Promotion);
        draft.status.phase = Phase::WaitingPromotion;
        return hold(draft, tick, words::approval(Gate::Promotion), note);
    }
    let mut passed = Vec::new();
    for kind in gates_before(&draft, next) {
        match gate::ask(&mut draft, *kind, Phase::Progressing, &round) {
            Gates::Open(notes) => passed.extend(notes),
            Gates::Asked => return unanswered(draft),
            Gates::Closed(hook) => return closed(draft, hook, tick, passed),
        }
    }
    note_passed(&mut draft, tick, passed);
    draft.stop_waiting();
    draft.release().confirmed |= next.is_gated();
    take(draft, next)
}

/// Whether a rollback hook has yet to say whether to roll back. A step does not wait for it, for a rollback undoes it; a promotion does (FC-041).
fn is_asked_to_roll_back(draft: &Draft<'_>) -> bool {
    let mut asked = draft.questions.iter();
    asked.any(|question| gate::is_rollback(&question.subject))
}

/// Whether the person whom the plan asks has approved the promotion; a release that was confirmed once stays so.
fn is_approved(draft: &Draft<'_>) -> bool {
    let release = draft.case.release();
    release.is_some_and(|release| {
        release.confirmed || people::has_approved(draft, Gate::Promotion, &release.revision)
    })
}

/// Holds the step that is reached while a person or a measurement is awaited: told once. The checks go on at their pace; while they pass, nothing is written.
fn hold(mut draft: Draft<'_>, tick: u64, what: String, note: Note) -> Decision {
    if draft.waiting().is_some_and(|waiting| waiting.for_ == what) {
        if let Some(at) = gate::checked_again_at(&draft, tick) {
            draft.wake_at(at);
        }
        return draft.decide();
    }
    note_passed(&mut draft, tick, Vec::new());
    draft.tell(note);
    draft.wait_for(what);
    step(&mut draft);
    draft.decide()
}

/// The gates that stand before a move, in order. A closed traffic gate holds a weighted release before its promotion as well, as in Flagger (Q11).
fn gates_before(draft: &Draft<'_>, next: Move) -> &'static [HookKind] {
    let weighted = matches!(draft.case.plan.strategy, Strategy::Canary { .. });
    let confirmed = draft
        .case
        .release()
        .is_some_and(|release| release.confirmed);
    match next {
        Move::Weigh(_) | Move::Mirror => &[HookKind::ConfirmTrafficIncrease],
        Move::Iterate(_) => &[],
        Move::CutOver | Move::Soak | Move::Promote if confirmed => &[],
        Move::CutOver | Move::Soak | Move::Promote
            if weighted && draft.status.phase != Phase::WaitingPromotion =>
        {
            &[HookKind::ConfirmTrafficIncrease, HookKind::ConfirmPromotion]
        }
        Move::CutOver | Move::Soak | Move::Promote => &[HookKind::ConfirmPromotion],
    }
}

/// Notes what has passed before a move: the start, the tests before any traffic, the gates.
fn note_passed(draft: &mut Draft<'_>, tick: u64, gates: Vec<Note>) {
    note_start(draft, tick);
    let tested = draft.case.release().is_some_and(|release| release.tested);
    if !tested && !strategy_has_begun(draft) {
        let hooks = draft.case.plan.hooks_of(HookKind::PreRollout);
        let notes: Vec<Note> = hooks
            .filter_map(|hook| words::hook_passed(hook.kind, &hook.name))
            .collect();
        draft.tell_all(notes);
    }
    draft.release().tested = true;
    draft.tell_all(gates);
}

/// A gate is closed: told once, when the wait begins. It is asked again at its pace, and the checks with it; while all stays as it is, nothing is
/// written.
fn closed(mut draft: Draft<'_>, hook: &Hook, tick: u64, passed: Vec<Note>) -> Decision {
    let (plan, kind, name) = (draft.case.plan, hook.kind, &hook.name);
    let promotes = kind == HookKind::ConfirmPromotion;
    let what = format!("{} hook {name}", kind.as_str());
    let waited = draft.waiting().is_some_and(|waiting| waiting.for_ == what);
    let was_told = if promotes {
        draft.status.phase == Phase::WaitingPromotion
    } else {
        waited
    };
    if was_told && waited {
        return draft.decide();
    }
    note_passed(&mut draft, tick, passed);
    if !was_told {
        draft.tell(words::gate_closed(plan, kind, name, hook.mute_alert));
    }
    if promotes {
        draft.status.phase = Phase::WaitingPromotion;
    }
    draft.wait_for(what);
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
    record(&mut draft, None);
    step(&mut draft);
    match next {
        Move::Mirror => {
            draft.release().mirrored = true;
            draft.tell(words::weight_advanced(plan, 0));
        }
        Move::Weigh(planned) => {
            let weight = evidence::first_weight(&draft, planned);
            draft.status.canary_weight = weight.percent();
            draft.release().mirrored = false;
            evidence::begin(&mut draft);
            draft.tell(words::weight_advanced(plan, weight));
        }
        Move::Soak => {
            draft.status.canary_weight = 100;
            draft.tell(words::soaks(plan));
        }
        Move::Iterate(iteration) => {
            draft.status.iterations = iteration;
            draft.release().mirrored = mirrors && draft.status.canary_weight == 0;
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
