//! Gates: hooks that must say yes. Asking never writes.

use chrono::{DateTime, Utc};
use slipway_api::{Note, Phase};

use super::draft::Draft;
use super::people;
use crate::decision::{Question, Round, Subject};
use crate::observation::{Answer, Answered, Verdict};
use crate::plan::{Hook, HookKind};
use crate::words;

/// What the gates of one kind say.
#[derive(Debug)]
pub(super) enum Gate<'a> {
    /// All of them said yes, or there is none; what is told of it.
    Open(Vec<Note>),
    /// One has not answered yet.
    Asked,
    /// This one said no; it will be asked again.
    Closed(&'a Hook),
}

/// How an answer came to stand.
struct Heard {
    yes: bool,
    at: DateTime<Utc>,
}

/// Asks the gates of one kind, in order: the first no stops.
///
/// In a round with a tick a yes holds for that tick, and a no for an interval: then the checks and gates of the tick are asked anew
/// ([`round_of_tick`]). In a round without one both hold for an interval: gates are polled, and the yes of one is worth nothing when the yes of the
/// next comes a day later.
pub(super) fn ask<'a>(
    draft: &mut Draft<'a>,
    kind: HookKind,
    phase: Phase,
    round: &Round,
) -> Gate<'a> {
    let plan = draft.case.plan;
    let mut passed = Vec::new();
    for hook in plan.hooks_of(kind) {
        let question = question(hook, phase, round);
        let Some(heard) = heard(draft, &question) else {
            draft.questions.push(question);
            return Gate::Asked;
        };
        let is_polled = round.tick == POLLED || !heard.yes;
        match (heard.yes, is_polled && poll(draft, question, &heard)) {
            (true, false) => passed.extend(words::hook_passed(kind, &hook.name)),
            (true, true) => return Gate::Asked,
            (false, _) => return Gate::Closed(hook),
        }
    }
    Gate::Open(passed)
}

/// The first hook of a kind that says yes. They are polled every interval, and nothing waits for them: a yes counts however late it comes (FC-041).
pub(super) fn any<'a>(
    draft: &mut Draft<'a>,
    kind: HookKind,
    phase: Phase,
    round: &Round,
) -> Option<&'a Hook> {
    for hook in draft.case.plan.hooks_of(kind) {
        let question = question(hook, phase, round);
        match heard(draft, &question) {
            None => draft.questions.push(question),
            Some(heard) if heard.yes => return Some(hook),
            Some(heard) => {
                poll(draft, question, &heard);
            }
        }
    }
    None
}

/// The tick of a round that is of no tick: its questions are polled.
pub(super) const POLLED: u64 = 0;

/// The round of a question about this release: answers of another release, revision or tick are void.
///
/// A gate that is closed does not end its tick, so that a wait of days writes nothing: an interval after its no everything is asked anew.
pub(super) fn round_of_tick(draft: &Draft<'_>, tick: u64) -> Round {
    let release = draft.case.release();
    let first = Round {
        // Ticks count from 0, which stands for none here.
        tick: tick + 1,
        ..round(
            draft,
            release.map_or("", |release| release.revision.as_str()),
        )
    };
    Round {
        after: asked_anew_after(draft, &first),
        ..first
    }
}

/// The no of a gate after which the questions of this tick are asked, when it is not the first time.
fn asked_anew_after(draft: &Draft<'_>, first: &Round) -> Option<DateTime<Utc>> {
    let is_held = people::is_held(draft);
    let newest = newest_of_wait(draft, first, is_held)?;
    let is_old = draft.case.now >= newest.at + draft.case.plan.interval;
    let is_closed = is_held || newest.answer != Answer::Hook(Verdict::Passed);
    if is_old && is_closed {
        return Some(newest.at);
    }
    newest.question.round.after
}

/// The newest answer of a wait that writes nothing: of a gate that is closed, or, where a person is awaited, of whatever is checked meanwhile.
fn newest_of_wait<'a>(draft: &Draft<'a>, first: &Round, is_held: bool) -> Option<&'a Answered> {
    let answers = draft.case.seen.answers.iter();
    let of_wait = answers.filter(|answered| {
        (is_held || is_gate_of_tick(&answered.question.subject))
            && is_same(&answered.question.round, first)
    });
    of_wait.max_by_key(|answered| answered.at)
}

/// When the checks of a release that waits for a person are made again.
pub(super) fn checked_again_at(draft: &Draft<'_>, tick: u64) -> Option<DateTime<Utc>> {
    let round = round_of_tick(draft, tick);
    let newest = newest_of_wait(draft, &round, true)?;
    Some(newest.at + draft.case.plan.interval)
}

/// Whether this asks a hook whether to roll back.
pub(super) fn is_rollback(subject: &Subject) -> bool {
    match subject {
        Subject::Hook { kind, .. } => *kind == HookKind::Rollback,
        Subject::Metric { .. } | Subject::Counters => false,
    }
}

fn is_gate_of_tick(subject: &Subject) -> bool {
    match subject {
        Subject::Hook { kind, .. } => matches!(
            kind,
            HookKind::ConfirmTrafficIncrease | HookKind::ConfirmPromotion
        ),
        Subject::Metric { .. } | Subject::Counters => false,
    }
}

/// Whether two rounds are the same but for the answer after which they ask.
pub(super) fn is_same(left: &Round, right: &Round) -> bool {
    let first = |round: &Round| Round {
        after: None,
        ..round.clone()
    };
    first(left) == first(right)
}

/// The round of a question that is polled, about a revision.
pub(super) fn round(draft: &Draft<'_>, revision: &str) -> Round {
    let epoch = draft.case.release().and_then(|release| release.started_at);
    Round {
        revision: revision.to_owned(),
        epoch,
        tick: POLLED,
        after: None,
    }
}

/// The question to one hook in a round.
pub(super) fn question(hook: &Hook, phase: Phase, round: &Round) -> Question {
    Question {
        subject: Subject::Hook {
            name: hook.name.clone(),
            kind: hook.kind,
            phase: told_phase(hook.kind, phase),
        },
        round: round.clone(),
    }
}

/// Asks again when the answer is an interval old, or looks again when it will be; whether it asked.
fn poll(draft: &mut Draft<'_>, question: Question, heard: &Heard) -> bool {
    let again = heard.at + draft.case.plan.interval;
    if draft.case.now < again {
        draft.wake_at(again);
        return false;
    }
    let round = Round {
        after: Some(heard.at),
        ..question.round
    };
    draft.questions.push(Question { round, ..question });
    true
}

/// The newest answer of a hook in a round. Of a round without a tick whichever asking it answers: it keeps its answer when the phase moves to Waiting
/// between two askings.
fn heard(draft: &Draft<'_>, question: &Question) -> Option<Heard> {
    let of_round = draft.case.seen.answers.iter().filter(|answered| {
        let round = &answered.question.round;
        same_hook(&answered.question.subject, &question.subject)
            && is_same(round, &question.round)
            && (round.tick == POLLED || *round == question.round)
    });
    let newest = of_round.max_by_key(|answered| answered.at)?;
    match &newest.answer {
        Answer::Hook(verdict) => Some(Heard {
            yes: *verdict == Verdict::Passed,
            at: newest.at,
        }),
        Answer::Metric(_) | Answer::Counters(_) => None,
    }
}

fn same_hook(left: &Subject, right: &Subject) -> bool {
    match (left, right) {
        (
            Subject::Hook { name, kind, .. },
            Subject::Hook {
                name: other_name,
                kind: other_kind,
                ..
            },
        ) => name == other_name && kind == other_kind,
        (Subject::Metric { .. } | Subject::Counters, _)
        | (_, Subject::Metric { .. } | Subject::Counters) => false,
    }
}

/// The phase in the payload. **Source**: dossier 03 A4.
fn told_phase(kind: HookKind, phase: Phase) -> Phase {
    match kind {
        HookKind::ConfirmRollout | HookKind::Rollback | HookKind::PostRollout | HookKind::Event => {
            phase
        }
        HookKind::PreRollout
        | HookKind::Rollout
        | HookKind::ConfirmTrafficIncrease
        | HookKind::ConfirmPromotion => Phase::Progressing,
    }
}
