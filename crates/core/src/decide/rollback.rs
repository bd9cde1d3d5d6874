//! Back to the primary: it is remembered, then routed, and only one settle time later the canary is scaled down (P4).
//!
//! Nothing is asked and nobody is told before the traffic is back (INV-6).

use slipway_api::{Phase, Said};

use super::draft::Draft;
use super::hooks;
use super::initialise::flagger_hash;
use crate::analysis::Cause;
use crate::decision::{Decision, Effect, Outcome};
use crate::words;

/// Too many checks failed; `last` says why the last of them did, where it is known.
pub(super) fn threshold(mut draft: Draft<'_>, last: Option<&str>) -> Decision {
    let failed = draft.status.failed_checks;
    draft.tell(words::threshold_reached(draft.case.plan, failed));
    let last = last.map_or_else(String::new, |why| format!(", the last: {why}"));
    let reason = format!(
        "Rolled back at weight {}: {failed} checks failed{last}.",
        reached(&draft)
    );
    back(draft, reason)
}

/// A side did not become ready in time, or Kubernetes gave it up.
pub(super) fn deadline(mut draft: Draft<'_>, why: &str) -> Decision {
    draft.tell(words::deadline_exceeded(draft.case.plan, why));
    let reason = format!("Rolled back at weight {}: {why}.", reached(&draft));
    back(draft, reason)
}

/// A rollback hook asked for it.
pub(super) fn by_hook(mut draft: Draft<'_>, hook: &str) -> Decision {
    draft.tell(words::warning(format!("Rollback check {hook} passed")));
    draft.tell(words::manual_rollback(draft.case.plan));
    let reason = format!(
        "Rolled back at weight {}: rollback hook {hook} asked for it.",
        reached(&draft)
    );
    back(draft, reason)
}

/// What was counted says so.
pub(super) fn by_evidence(mut draft: Draft<'_>, cause: Cause) -> Decision {
    let known = draft.release().evidence.clone().unwrap_or_default();
    let numbers = known.says.clone().unwrap_or_default();
    let why = words::cause(cause, &numbers);
    draft.tell(words::rolled_back_by_evidence(draft.case.plan, &why));
    let reason = format!(
        "Rolled back at weight {}: {why}. {}",
        reached(&draft),
        words::exposed(&known, draft.case.release(), draft.case.now)
    );
    back(draft, reason)
}

/// A person had it taken back.
pub(super) fn by_person(mut draft: Draft<'_>, said: &Said) -> Decision {
    draft.tell(words::aborted(draft.case.plan, &said.by));
    let reason = format!(
        "Rolled back at weight {}: aborted by {}.",
        reached(&draft),
        said.by
    );
    back(draft, reason)
}

/// No step gave the revision one user: there are too few pods for its weights.
pub(super) fn unmet(mut draft: Draft<'_>) -> Decision {
    let why = words::no_user_met(draft.case.plan, draft.case.seen.pods);
    draft.tell(words::warning(why.clone()));
    back(draft, format!("Not promoted: {why}."))
}

/// The user set the target back to what the primary serves: there is nothing left to release.
pub(super) fn cancel(mut draft: Draft<'_>, promoted: String) -> Decision {
    draft.tell(words::cancelled(draft.case.plan));
    draft.status.last_applied_spec = flagger_hash(&draft, &promoted);
    draft
        .status
        .tracked_configs
        .clone_from(&draft.case.seen.configs.flagger);
    let slipway = draft.slipway();
    slipway.acted_revision = Some(promoted.clone());
    slipway.promoted_revision = Some(promoted);
    let reason = format!(
        "Cancelled at weight {}: the target was set back to the promoted revision.",
        reached(&draft)
    );
    back(draft, reason)
}

/// The weight that the canary had reached, in percent.
fn reached(draft: &Draft<'_>) -> i64 {
    draft.case.status.canary_weight
}

fn back(mut draft: Draft<'_>, reason: String) -> Decision {
    draft.status.phase = Phase::Failed;
    (
        draft.status.canary_weight,
        draft.status.failed_checks,
        draft.status.iterations,
    ) = (0, 0, 0);
    draft.release().mirrored = false;
    let slipway = draft.slipway();
    (slipway.pinned_to, slipway.wish) = (None, None);
    slipway.reason = Some(reason);
    draft.stop_deadline();
    draft.stop_waiting();
    draft.questions.clear();
    draft.tell(words::scaling_down_failed(draft.case.plan));
    hooks::schedule(&mut draft, Phase::Failed);
    draft.after(Effect::Count(Outcome::Failed));
    draft.leave_target();
    draft.decide()
}
