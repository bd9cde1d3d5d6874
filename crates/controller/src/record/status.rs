//! Writing the status: one server-side apply of every field, guarded by the resourceVersion that it was decided on.

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use slipway_api::{Canary, CanaryStatus, names};
use slipway_workloads::adopt;
use tracing::debug;

use crate::act::ActError;
use crate::error::ApiError;
use crate::observe::store::CanaryKey;
use crate::shell::Shell;

impl Shell {
    /// Writes the status of a decision on exactly the Canary that it was made for; the Canary afterwards.
    ///
    /// A field that is absent is given up and removed. A Canary that changed meanwhile is a conflict: the decision is made again.
    pub(crate) async fn record(
        &self,
        canary: &Canary,
        status: &CanaryStatus,
    ) -> Result<Canary, ActError> {
        let key = crate::observe::targets::canary_key(canary);
        let api = self.canaries(&key);
        let mut version = canary.metadata.resource_version.clone();
        if is_flaggers(canary) {
            version = self.adopt_status(&api, canary).await?;
        }
        self.must_lead()?;
        let body = json!({
            "apiVersion": names::API_VERSION,
            "kind": "Canary",
            "metadata": {"name": key.name, "namespace": key.namespace, "resourceVersion": version},
            "status": status,
        });
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let written = api
            .patch_status(&key.name, &params, &Patch::Apply(&body))
            .await;
        let written =
            written.map_err(|error| ApiError::new("apply status of", describe(&key), error))?;
        debug!(canary = %describe(&key), phase = %status.phase, weight = status.canary_weight, "status written");
        self.memory.remember_written(&key, written.clone());
        Ok(written)
    }

    /// The API of Canaries in the namespace of this one.
    pub(crate) fn canaries(&self, key: &CanaryKey) -> Api<Canary> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    /// Makes Flagger's entry of the status ours, so that what we stop writing goes (A3); the resourceVersion afterwards.
    async fn adopt_status(
        &self,
        api: &Api<Canary>,
        canary: &Canary,
    ) -> Result<Option<String>, ActError> {
        let key = crate::observe::targets::canary_key(canary);
        let live = serde_json::to_value(canary)
            .map_err(|error| ActError::Unusable(describe(&key), error.to_string()))?;
        let managers = [names::FLAGGER_FIELD_MANAGER];
        let Some(patch) = adopt::adopt(&live, adopt::Part::Status, &managers, &[]) else {
            return Ok(canary.metadata.resource_version.clone());
        };
        let patch: json_patch::Patch = serde_json::from_value(patch)
            .map_err(|error| ActError::Unusable(describe(&key), error.to_string()))?;
        self.must_lead()?;
        let answer = api
            .patch(
                &key.name,
                &PatchParams::default(),
                &Patch::Json::<()>(patch),
            )
            .await;
        let answer = answer.map_err(|error| ApiError::new("adopt", describe(&key), error))?;
        Ok(answer.metadata.resource_version)
    }
}

fn is_flaggers(canary: &Canary) -> bool {
    let managers = canary
        .metadata
        .managed_fields
        .as_deref()
        .unwrap_or_default();
    managers
        .iter()
        .any(|entry| entry.manager.as_deref() == Some(names::FLAGGER_FIELD_MANAGER))
}

/// `Canary test/podinfo`.
pub(crate) fn describe(key: &CanaryKey) -> String {
    format!("Canary {}/{}", key.namespace, key.name)
}
