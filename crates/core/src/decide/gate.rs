//! Gates: hooks that must say yes, asked again every interval until they do. Asking never writes.

use slipway_api::Phase;

use super::draft::Draft;
use crate::decision::{Question, Round, Subject};
use crate::observation::{Answer, Answered, Verdict};
use crate::plan::{Hook, HookKind};
use crate::words;

/// What the gates of one kind say.
#[derive(Debug)]
pub(super) enum Gate<'a> {
    /// All of them said yes, or there is none.
    Open,
    /// One has not answered yet.
    Asked,
    /// This one said no; it will be asked again.
    Closed(&'a Hook),
}

/// Asks the gates of one kind, in order: the first no stops.
pub(super) fn ask<'a>(
    draft: &mut Draft<'a>,
    kind: HookKind,
    phase: Phase,
    revision: &str,
) -> Gate<'a> {
    let plan = draft.case.plan;
    let mut passed = Vec::new();
    for hook in plan.hooks_of(kind) {
        let question = Question {
            subject: Subject::Hook {
                name: hook.name.clone(),
                kind,
                phase: told_phase(kind, phase),
            },
            round: round(draft, revision, None),
        };
        match answer_of_round(draft, &question) {
            None => {
                draft.questions.push(question);
                return Gate::Asked;
            }
            Some((Verdict::Passed, _)) => passed.extend(words::hook_passed(kind, &hook.name)),
            Some((Verdict::Refused(_), answered)) => {
                let again = answered.at + plan.interval;
                if draft.case.now >= again {
                    let round = Round {
                        after: Some(answered.at),
                        ..question.round
                    };
                    draft.questions.push(Question { round, ..question });
                } else {
                    draft.wake_at(again);
                }
                return Gate::Closed(hook);
            }
        }
    }
    draft.tell_all(passed);
    Gate::Open
}

/// The round of a question about this release: answers of another release, revision or tick are void.
pub(super) fn round(draft: &Draft<'_>, revision: &str, tick: Option<u64>) -> Round {
    let epoch = draft.case.release().and_then(|release| release.started_at);
    Round {
        revision: revision.to_owned(),
        epoch,
        tick: tick.unwrap_or(0),
        after: None,
    }
}

/// The newest answer of a gate in this round, whichever asking it answers.
fn answer_of_round<'s>(
    draft: &'s Draft<'_>,
    question: &Question,
) -> Option<(&'s Verdict, &'s Answered)> {
    let answered = draft.case.seen.answers.iter().find(|answered| {
        let (asked, wanted) = (&answered.question, question);
        same_hook(&asked.subject, &wanted.subject)
            && Round {
                after: None,
                ..asked.round.clone()
            } == Round {
                after: None,
                ..wanted.round.clone()
            }
    })?;
    match &answered.answer {
        Answer::Hook(verdict) => Some((verdict, answered)),
        Answer::Metric(_) => None,
    }
}

/// A gate keeps its answer when the phase moves to Waiting between two askings.
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
        (Subject::Metric { index }, Subject::Metric { index: other }) => index == other,
        (Subject::Hook { .. }, Subject::Metric { .. })
        | (Subject::Metric { .. }, Subject::Hook { .. }) => false,
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
