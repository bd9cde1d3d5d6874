//! Hooks that are told the outcome of a release after its end: nothing waits for them, and each is called once.

use slipway_api::{PendingHook, Phase};

use super::draft::Draft;
use crate::decision::{Question, Round, Subject};
use crate::observation::{Answer, Verdict};
use crate::plan::HookKind;
use crate::words;

/// Notes that the post-rollout hooks are to be told this outcome.
pub(super) fn schedule(draft: &mut Draft<'_>, outcome: Phase) {
    let now = draft.case.now;
    let pending = draft
        .case
        .plan
        .hooks_of(HookKind::PostRollout)
        .map(|hook| PendingHook {
            name: hook.name.clone(),
            phase: outcome.as_str().to_owned(),
            since: now,
        });
    let pending: Vec<PendingHook> = pending.collect();
    draft.slipway().pending_hooks.extend(pending);
}

/// Asks the first pending hook, and tells what it answered. A failure ends its list; the outcome of the release does not depend on it.
pub(super) fn pending(draft: &mut Draft<'_>) {
    let pending = draft.case.slipway().pending_hooks;
    let Some(first) = pending.first().cloned() else {
        return;
    };
    let rest: Vec<PendingHook> = pending.into_iter().skip(1).collect();
    if !draft
        .case
        .plan
        .hooks_of(HookKind::PostRollout)
        .any(|hook| hook.name == first.name)
    {
        // It was taken out of the spec meanwhile.
        draft.slipway().pending_hooks = rest;
        return;
    }
    let phase = first.phase.parse().unwrap_or(Phase::Failed);
    let question = Question {
        subject: Subject::Hook {
            name: first.name.clone(),
            kind: HookKind::PostRollout,
            phase,
        },
        round: Round {
            epoch: Some(first.since),
            ..Round::default()
        },
    };
    match draft.case.seen.answer(&question) {
        None => draft.questions.push(question),
        Some(Answer::Hook(Verdict::Passed)) => {
            draft.tell_all(words::hook_passed(HookKind::PostRollout, &first.name));
            draft.slipway().pending_hooks = rest;
        }
        Some(Answer::Hook(Verdict::Refused(why))) => {
            let text =
                words::hook_refused(draft.case.plan, HookKind::PostRollout, &first.name, why);
            draft.tell(words::warning(text));
            draft.slipway().pending_hooks = rest
                .into_iter()
                .filter(|hook| hook.since != first.since)
                .collect();
        }
        Some(Answer::Metric(_) | Answer::Counters(_)) => draft.slipway().pending_hooks = rest,
    }
}
