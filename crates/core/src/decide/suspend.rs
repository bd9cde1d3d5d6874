//! `suspend`: nothing is touched, and no clock runs.

use chrono::{DateTime, Utc};

use super::draft::Draft;
use crate::decision::Decision;
use crate::words;

/// What a suspended Canary waits for.
const SUSPENDED: &str = "spec.suspend to be false";

/// Leaves everything as it is, and says so once.
pub(super) fn suspend(mut draft: Draft<'_>) -> Decision {
    if suspended_since(&draft).is_none() {
        draft.tell(words::suspended());
        draft.wait_for(SUSPENDED);
    }
    draft.touch_nothing();
    draft.decide()
}

/// Goes on after a suspension. The deadline's clock stood still while nobody might act (FC-039).
pub(super) fn resume(draft: &mut Draft<'_>) {
    let Some(since) = suspended_since(draft) else {
        return;
    };
    let suspended = draft.case.now - since;
    let unready_since = &mut draft.slipway().unready_since;
    *unready_since = unready_since.map(|unready| unready + suspended);
    draft.stop_waiting();
}

fn suspended_since(draft: &Draft<'_>) -> Option<DateTime<Utc>> {
    draft
        .waiting()
        .filter(|waiting| waiting.for_ == SUSPENDED)
        .map(|waiting| waiting.since)
}
