//! Canaries that cannot be read at all, and our own mistakes: shown on the object, and confined to it (P10, FC-117).

use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use serde_json::{Value, json};
use slipway_api::{Canary, Note, names};
use slipway_core::plan::CanaryId;
use slipway_core::words;
use tracing::{error, warn};

use super::events::Place;
use super::status::describe;
use crate::act::ActError;
use crate::canaries;
use crate::error::ApiError;
use crate::observe::obstacles;
use crate::observe::store::CanaryKey;
use crate::shell::Shell;

impl Shell {
    /// Shows on a Canary that cannot be decoded what is wrong with it. Nothing else of it is touched; its last status stands.
    pub(crate) async fn refuse_undecodable(&self, invalid: &InvalidObject) -> Result<(), ActError> {
        let message = format!("the Canary cannot be read: {}", bounded(&invalid.error));
        warn!(canary = invalid.metadata.name.as_deref().unwrap_or_default(), %message, "refused");
        self.show(&invalid.metadata, "InvalidSpec", &message).await
    }

    /// Shows a panic on the Canary that caused it.
    pub(crate) async fn show_panic(&self, canary: &DeserializeGuard<Canary>, text: &str) {
        let metadata = match &canary.0 {
            Ok(canary) => &canary.metadata,
            Err(invalid) => &invalid.metadata,
        };
        let message = obstacles::panicked(text).problem.to_string();
        let key = canaries::key_of(canary);
        self.memory.remember_panic(&key, text);
        if let Err(error) = self.show(metadata, "InternalError", &message).await {
            error!(%error, "the internal error could not be shown on its Canary");
        }
    }

    /// A condition, once, by a merge patch, which needs no decoded status, and an event. The other conditions are not known here: they are replaced.
    async fn show(
        &self,
        metadata: &kube::core::ObjectMeta,
        reason: &str,
        message: &str,
    ) -> Result<(), ActError> {
        let key = CanaryKey {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        };
        if self.memory.is_shown(&key, message) {
            return Ok(());
        }
        self.must_lead()?;
        let now = slipway_api::time::to_text(self.clock.now());
        let condition = |type_: &str, status: &str| -> Value {
            json!({"type": type_, "status": status, "reason": reason, "message": message,
                   "lastUpdateTime": now, "lastTransitionTime": now})
        };
        let conditions = json!([
            condition("Ready", "False"),
            condition("Stalled", "True"),
            condition(reason, "True")
        ]);
        let params = PatchParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(
            json!({"status": {"conditions": conditions, "observedGeneration": metadata.generation}}),
        );
        let api: kube::Api<kube::api::DynamicObject> = kube::Api::namespaced_with(
            self.client.clone(),
            &key.namespace,
            &<kube::api::ApiResource as ForCanary>::canaries(),
        );
        let shown = api.patch_status(&key.name, &params, &patch).await;
        shown.map_err(|error| ApiError::new("patch status of", describe(&key), error))?;
        self.memory.remember_shown(&key, message);
        let id = CanaryId {
            namespace: key.namespace,
            name: key.name,
            uid: metadata.uid.clone().unwrap_or_default(),
        };
        let note: Note = words::warning(message);
        let place = Place {
            transition: 0,
            index: 0,
        };
        self.events.write(&id, place, &note).await?;
        Ok(())
    }
}

/// The dynamic resource of Canaries, for objects that do not decode.
trait ForCanary {
    fn canaries() -> Self;
}

impl ForCanary for kube::api::ApiResource {
    fn canaries() -> Self {
        Self::erase::<Canary>(&())
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(700).collect()
}
