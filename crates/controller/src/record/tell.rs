//! Telling people of a transition: events, and the alerts that go with them.

use chrono::TimeDelta;
use slipway_api::{Canary, CanaryStatus, Note};
use slipway_core::plan::CanaryId;
use tracing::warn;

use super::events::Place;
use crate::observe::store::CanaryKey;
use crate::reconcile::name;
use crate::shell::Shell;

/// For how long after a transition a controller that starts makes sure that it was told.
const TOLD_AGAIN_WITHIN: TimeDelta = TimeDelta::minutes(5);

impl Shell {
    /// Tells the transition that stands in this status, once in this life. What cannot be told is logged: no release waits for it.
    pub(crate) async fn tell(&self, key: &CanaryKey, canary: &Canary, status: &CanaryStatus) {
        let Some(transition) = status
            .slipway
            .as_ref()
            .and_then(|slipway| slipway.transition.as_ref())
        else {
            return;
        };
        if !self.memory.tell(key, transition.number) {
            return;
        }
        let id = CanaryId {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: canary.metadata.uid.clone().unwrap_or_default(),
        };
        for (index, note) in transition.notes.iter().enumerate() {
            self.tell_note(
                &id,
                Place {
                    transition: transition.number,
                    index,
                },
                note,
                status,
            )
            .await;
        }
    }

    async fn tell_note(&self, id: &CanaryId, place: Place, note: &Note, status: &CanaryStatus) {
        // The event is the fence: where it is there already, the alert was sent before a crash (INV-8).
        let is_new = match self.events.write(id, place, note).await {
            Ok(is_new) => is_new,
            Err(error) => {
                warn!(canary = %id.dotted(), %error, "event could not be written");
                true
            }
        };
        let key = CanaryKey {
            namespace: id.namespace.clone(),
            name: id.name.clone(),
        };
        if is_new && let Some(plan) = self.memory.good_plan(&key) {
            self.alert(plan, place, note, status);
        }
    }

    /// On the first look at a Canary in this life: makes sure that its last transition was told, if it is young enough to matter.
    pub(crate) async fn tell_again(&self, key: &CanaryKey, canary: &Canary, status: &CanaryStatus) {
        if self.memory.has_told(key) {
            return;
        }
        let Some(transition) = status
            .slipway
            .as_ref()
            .and_then(|slipway| slipway.transition.as_ref())
        else {
            return;
        };
        let young = transition
            .at
            .is_some_and(|at| self.clock.now().signed_duration_since(at) < TOLD_AGAIN_WITHIN);
        if young {
            tracing::debug!(canary = %name(key), number = transition.number, "tells its last transition again");
            self.tell(key, canary, status).await;
        } else {
            // Old news: noted as told.
            self.memory.tell(key, transition.number);
        }
    }
}
