//! Kubernetes events, written so that writing one again is writing it once.
//!
//! Not kube's `Recorder`: it merges events that differ only in their note, so that of the weights 5, 10 and 15 only the 5 is ever seen,
//! and it reads the system clock (A4).

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use kube::api::{Api, ObjectMeta, PostParams};
use sha2::{Digest, Sha256};
use slipway_api::{Note, NoteType, names, time};
use slipway_core::object::Kind;
use slipway_core::plan::CanaryId;

use crate::clock::Clock;
use crate::error::{ApiError, bounded, is_already_exists};
use crate::record::metrics::{Delivery, Metrics};

/// The reason of every event, as Flagger's.
pub const REASON: &str = "Synced";
/// Who reports.
pub const COMPONENT: &str = "slipway";
/// The longest text, in bytes: what the API allows for a note.
const NOTE_MAX: usize = 1024;
/// The longest part of a Canary's name in the name of an event: with a point and the digest it stays a valid name.
const NAME_MAX: usize = names::SUBDOMAIN_NAME_MAX - 1 - 2 * DIGEST_BYTES;
/// How much of the digest is used.
const DIGEST_BYTES: usize = 8;

/// Which telling of a Canary this is: the same place is the same event, however often it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// `status.slipway.transition.number`.
    pub transition: u64,
    /// The place of the note in the transition, from 0.
    pub index: usize,
}

/// Writes events about Canaries.
///
/// **Guarantees**: the name of an event is a digest of the Canary's uid, the place and the text, so that after a crash or a lost answer
/// it is written again without being there twice. Equal texts of one place are one event; nothing else is merged or dropped.
///
/// Events are `core/v1`, the API group that Flagger's own role grants; `events.k8s.io` shows the same objects.
#[derive(Clone)]
pub struct EventWriter {
    client: kube::Client,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    instance: String,
}

impl fmt::Debug for EventWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EventWriter of {}", self.instance)
    }
}

impl EventWriter {
    /// A writer that reports as that instance (the candidate's identity).
    pub fn new(
        client: kube::Client,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        instance: &str,
    ) -> Self {
        Self {
            client,
            clock,
            metrics,
            instance: bounded(instance, 128),
        }
    }

    /// Writes one event; whether it is new.
    ///
    /// # Errors
    /// When the API server refuses it or does not answer. A caller that goes on loses no more than this event.
    pub async fn write(
        &self,
        canary: &CanaryId,
        place: Place,
        note: &Note,
    ) -> Result<bool, ApiError> {
        self.create(canary, self.event(canary, place, note)).await
    }

    /// Writes one warning about a workload; whether it is new. The same text is the same event.
    ///
    /// # Errors
    /// As [`EventWriter::write`].
    pub async fn warn_of(
        &self,
        kind: Kind,
        workload: &CanaryId,
        text: &str,
    ) -> Result<bool, ApiError> {
        let note = slipway_core::words::warning(text);
        let place = Place {
            transition: 0,
            index: 0,
        };
        let mut event = self.event(workload, place, &note);
        event.involved_object.api_version = Some(kind.api_version.to_owned());
        event.involved_object.kind = Some(kind.kind.to_owned());
        self.create(workload, event).await
    }

    async fn create(&self, canary: &CanaryId, event: Event) -> Result<bool, ApiError> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &canary.namespace);
        let post = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match events.create(&post, &event).await {
            Ok(_) => {
                self.metrics.event(Delivery::Sent);
                Ok(true)
            }
            Err(error) if is_already_exists(&error) => {
                self.metrics.event(Delivery::Repeated);
                Ok(false)
            }
            Err(error) => {
                self.metrics.event(Delivery::Failed);
                let kind = event.involved_object.kind.unwrap_or_default();
                let object = format!("Event of {kind} {}/{}", canary.namespace, canary.name);
                Err(ApiError::new("create", object, error))
            }
        }
    }

    fn event(&self, canary: &CanaryId, place: Place, note: &Note) -> Event {
        let CanaryId {
            namespace,
            name,
            uid,
        } = canary;
        let now = time::to_kubernetes(self.clock.now());
        Event {
            metadata: ObjectMeta {
                name: Some(event_name(canary, place, &note.text)),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(names::API_VERSION.to_owned()),
                kind: Some("Canary".to_owned()),
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                uid: Some(uid.clone()).filter(|uid| !uid.is_empty()),
                ..ObjectReference::default()
            },
            type_: Some(word(note.type_).to_owned()),
            reason: Some(REASON.to_owned()),
            message: Some(bounded(&note.text, NOTE_MAX)),
            count: Some(1),
            first_timestamp: now.clone(),
            last_timestamp: now,
            source: Some(EventSource {
                component: Some(COMPONENT.to_owned()),
                host: None,
            }),
            reporting_component: Some(COMPONENT.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

const fn word(type_: NoteType) -> &'static str {
    match type_ {
        NoteType::Normal => "Normal",
        NoteType::Warning => "Warning",
    }
}

/// `CANARY.DIGEST`.
fn event_name(canary: &CanaryId, place: Place, text: &str) -> String {
    let mut digest = Sha256::new();
    // The name stands for a Canary without uid, as tests have them.
    for part in [&canary.uid, &canary.name, text] {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    digest.update(place.transition.to_be_bytes());
    digest.update(u64::try_from(place.index).unwrap_or(u64::MAX).to_be_bytes());
    let digest = digest.finalize();
    let bytes = digest.iter().take(DIGEST_BYTES);
    let number = bytes.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    let end = canary.name.floor_char_boundary(NAME_MAX);
    let name = canary
        .name
        .get(..end)
        .unwrap_or_default()
        .trim_end_matches(['.', '-']);
    format!("{name}.{number:016x}")
}

#[cfg(test)]
mod tests;
