//! What a hook is told.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use slipway_api::{CanaryStatus, Note, NoteType, Phase};
use slipway_core::plan::CanaryId;
use slipway_core::revision::flagger_checksum;

use crate::json::to_json;

/// The body of a hook's request. The order of the fields is the order in the JSON.
///
/// **Source**: dossier 03 A3, A5, A6; Flagger `CanaryWebhookPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Payload {
    name: String,
    namespace: String,
    phase: Phase,
    checksum: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

impl Payload {
    /// What every hook is told of a release: `phase` is what the hook is to believe (dossier 03 A4), which for most types is not the
    /// phase of the status; the checksum is that of the revision in the status.
    pub fn new(canary: &CanaryId, phase: Phase, status: &CanaryStatus) -> Self {
        let last_applied = status.last_applied_spec.as_deref().unwrap_or_default();
        Self {
            name: canary.name.clone(),
            namespace: canary.namespace.clone(),
            phase,
            checksum: flagger_checksum(status.tracked_configs.as_ref(), last_applied),
            metadata: BTreeMap::new(),
        }
    }

    /// With the metadata of the hook. An empty map is as good as none.
    pub fn with_metadata(mut self, metadata: Option<&BTreeMap<String, String>>) -> Self {
        self.metadata.extend(
            metadata
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
        self
    }

    /// With an event, for a hook that is told of events. Its three keys win over those of the hook's metadata.
    pub fn with_event(mut self, note: &Note, at: DateTime<Utc>) -> Self {
        let kind = match note.type_ {
            NoteType::Normal => "Normal",
            NoteType::Warning => "Warning",
        };
        let event = [
            ("eventMessage", note.text.clone()),
            ("eventType", kind.to_owned()),
            ("timestamp", at.timestamp_millis().to_string()),
        ];
        self.metadata
            .extend(event.map(|(key, value)| (key.to_owned(), value)));
        self
    }

    /// The JSON, byte for byte as Flagger sends it.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}
