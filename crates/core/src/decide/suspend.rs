//! `suspend`: nothing is touched, and no clock runs.

use super::draft::Draft;
use crate::decision::Decision;
use crate::words;

/// What a suspended Canary waits for.
const SUSPENDED: &str = "spec.suspend to be false";

/// Leaves everything as it is, and says so once.
pub(super) fn suspend(mut draft: Draft<'_>) -> Decision {
    if !is_suspended(&draft) {
        draft.tell(words::suspended());
        draft.wait_for(SUSPENDED);
    }
    // The deadline's clock stands still while nobody may act (FC-039); it starts anew afterwards.
    draft.stop_deadline();
    draft.touch_nothing();
    draft.decide()
}

/// Goes on after a suspension.
pub(super) fn resume(draft: &mut Draft<'_>) {
    if is_suspended(draft) {
        draft.stop_waiting();
    }
}

fn is_suspended(draft: &Draft<'_>) -> bool {
    let waiting = draft
        .status
        .slipway
        .as_ref()
        .and_then(|slipway| slipway.waiting.as_ref());
    waiting.is_some_and(|waiting| waiting.for_ == SUSPENDED)
}
