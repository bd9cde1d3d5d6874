//! What works but was probably meant otherwise: shown by a condition, told once, and in nobody's way (P10).

use super::draft::Draft;
use crate::conditions;
use crate::words;

/// Shows the warnings of the plan and of what is around it; a condition that says so already is left alone, so that nothing is told twice.
pub(super) fn advise(draft: &mut Draft<'_>) {
    let case = draft.case;
    let all = case.plan.warnings.iter().chain(&case.seen.warnings);
    let warnings = all.map(ToString::to_string);
    let message = warnings.collect::<Vec<_>>().join("; ");
    let now = case.now;
    let is_news = conditions::advise(&mut draft.status, &message, now);
    if is_news && !message.is_empty() {
        draft.tell(words::warning(message));
    }
}
