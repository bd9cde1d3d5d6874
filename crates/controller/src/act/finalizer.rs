//! Our finalizer on a Canary, by JSON patches that test what they were decided on (A18).

use kube::api::{Patch, PatchParams};
use serde_json::json;
use slipway_api::{Canary, names};

use super::ActError;
use crate::error::{ApiError, is_not_found};
use crate::observe::store::CanaryKey;
use crate::record::status::describe;
use crate::shell::Shell;

impl Shell {
    /// Puts the finalizer on; the Canary afterwards.
    pub(crate) async fn add_finalizer(
        &self,
        key: &CanaryKey,
        canary: &Canary,
    ) -> Result<Canary, ActError> {
        let mut finalizers = canary.metadata.finalizers.clone().unwrap_or_default();
        if finalizers.iter().any(|name| name == names::FINALIZER) {
            return Ok(canary.clone());
        }
        finalizers.push(names::FINALIZER.to_owned());
        self.write_finalizers(key, canary, &finalizers).await
    }

    /// Takes the finalizer off; the Canary afterwards, which may be gone.
    pub(crate) async fn remove_finalizer(
        &self,
        key: &CanaryKey,
        canary: &Canary,
    ) -> Result<Canary, ActError> {
        let finalizers = canary.metadata.finalizers.clone().unwrap_or_default();
        let rest: Vec<String> = finalizers
            .into_iter()
            .filter(|name| name != names::FINALIZER)
            .collect();
        self.write_finalizers(key, canary, &rest).await
    }

    async fn write_finalizers(
        &self,
        key: &CanaryKey,
        canary: &Canary,
        finalizers: &[String],
    ) -> Result<Canary, ActError> {
        self.must_lead()?;
        // Guarded by what it replaces, not by the resourceVersion: our own status writes do not get in its way.
        let before = canary.metadata.finalizers.clone();
        let test = json!({"op": "test", "path": "/metadata/finalizers", "value": before});
        let write = json!({"op": "add", "path": "/metadata/finalizers", "value": finalizers});
        let patch = if before.is_some() {
            json!([test, write])
        } else {
            json!([write])
        };
        let patch: json_patch::Patch = serde_json::from_value(patch)
            .map_err(|error| ActError::Unusable(describe(key), error.to_string()))?;
        let params = PatchParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let answer = self
            .canaries(key)
            .patch(&key.name, &params, &Patch::Json::<()>(patch))
            .await;
        match answer {
            Ok(written) => {
                self.memory.remember_written(key, written.clone());
                Ok(written)
            }
            Err(error) if is_not_found(&error) => Ok(canary.clone()),
            Err(error) => Err(ApiError::new("patch finalizers of", describe(key), error).into()),
        }
    }
}
