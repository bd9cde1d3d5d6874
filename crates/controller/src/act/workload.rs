//! Effects on the workloads: the primary, its configs and its scaler, and how many pods the target has.

use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use slipway_api::names;
use slipway_core::object::{Key, Write};
use slipway_core::plan::{CanaryReplicas, TargetKind};
use slipway_workloads::configs::{self, TrackedConfig};
use slipway_workloads::{Resize, Scaler};
use tracing::{debug, info};

use super::{ActError, Compare, Hands};
use crate::error::ApiError;

impl Hands<'_> {
    /// Copies the configs, then creates the primary, unless there is one.
    pub(super) async fn create_primary(&self, revision: &str) -> Result<(), ActError> {
        let Some(target) = self.held(revision)? else {
            return Ok(());
        };
        self.copy_configs().await?;
        let blueprint = self.blueprint();
        let write = self.codecs.target.primary(
            &blueprint,
            target,
            None,
            &self.view.tracked,
            &self.copy_id(revision),
        )?;
        self.write(&write, Compare::First).await?;
        let seen = Vec::new();
        let record =
            self.codecs
                .target
                .record(&blueprint, target, None, &self.view.tracked, &seen)?;
        self.write_all(&record, Compare::First).await
    }

    /// Makes a lost primary again from its record.
    pub(super) async fn restore_primary(&self) -> Result<(), ActError> {
        let Some(record) = &self.view.record else {
            return Ok(());
        };
        let revision = slipway_workloads::record::recorded_revision(record).unwrap_or_default();
        info!(primary = %self.plan.names.primary, revision, "the primary is made again from its record");
        let write = self.codecs.target.primary_from_record(
            &self.blueprint(),
            record,
            &self.copy_id(revision),
        )?;
        self.write(&write, Compare::First).await
    }

    /// Promotes: the record first, then configs, then the workload, then its scaler. What is copied holds exactly the revision that was judged.
    pub(super) async fn promote(&self, revision: &str) -> Result<(), ActError> {
        let Some(target) = self.held(revision)? else {
            return Ok(());
        };
        let blueprint = self.blueprint();
        let records = self.shell.records(self.plan).await?;
        let seen: Vec<&Value> = records.iter().collect();
        let primary = self.view.primary.as_ref();
        let record =
            self.codecs
                .target
                .record(&blueprint, target, primary, &self.view.tracked, &seen)?;
        self.write_all(&record, Compare::First).await?;
        self.copy_configs().await?;
        let write = self.codecs.target.primary(
            &blueprint,
            target,
            primary,
            &self.view.tracked,
            &self.copy_id(revision),
        )?;
        self.write(&write, Compare::Not).await?;
        self.resize_primary(target).await?;
        self.sync_primary_scaler(Compare::Not).await
    }

    /// Gives a primary without a scaler as many pods as the target is asked for now.
    async fn resize_primary(&self, target: &Value) -> Result<(), ActError> {
        let Some(primary) = &self.view.primary else {
            return Ok(());
        };
        let scaled = self.codecs.scaler.is_some();
        let size = self.plan.canary_replicas;
        let resize = self
            .codecs
            .target
            .resize_primary(target, primary, scaled, size);
        self.resize(&self.plan.names.primary, resize).await
    }

    /// The target, if it holds exactly this revision.
    ///
    /// # Errors
    /// [`ActError::Superseded`] when it holds another: what was judged is gone (FC-016).
    fn held(&self, revision: &str) -> Result<Option<&Value>, ActError> {
        let Some(target) = &self.view.target else {
            return Ok(None);
        };
        if self.codecs.target.revision(target, &self.view.tracked) == revision {
            Ok(Some(target))
        } else {
            Err(ActError::Superseded)
        }
    }

    /// Copies every tracked config for the primary. What is read now must be what the checksum was made of.
    async fn copy_configs(&self) -> Result<(), ActError> {
        for tracked in &self.view.tracked {
            let source = tracked
                .kind
                .kind()
                .named(&self.plan.canary.namespace, &tracked.name);
            let object = self.read(&source).await?.ok_or(ActError::Superseded)?;
            if configs::track(&reference(tracked), &object).map(|now| now.digest)
                != Some(tracked.digest.clone())
            {
                return Err(ActError::Superseded);
            }
            let copy = tracked.kind.kind().named(
                &self.plan.canary.namespace,
                &names::primary_name(&tracked.name),
            );
            let live = self.read(&copy).await?;
            let writes = configs::copy(&self.blueprint(), tracked, &object, live.as_ref())?;
            // Their bodies are never stored: there is nothing to compare with.
            self.write_all(&writes, Compare::Not).await?;
        }
        Ok(())
    }

    async fn read(&self, key: &Key) -> Result<Option<Value>, ActError> {
        let found = self
            .shell
            .api(key)
            .get_opt(&key.name)
            .await
            .map_err(|error| ApiError::new("get", key, error))?;
        found
            .map(|object| {
                serde_json::to_value(object).map_err(|error| ActError::unusable(key, &error))
            })
            .transpose()
    }

    /// The id that restarts the primary's pods on a promotion: the same for the same promotion, so that promoting twice restarts once.
    fn copy_id(&self, revision: &str) -> String {
        let started = self
            .canary
            .status
            .as_ref()
            .and_then(|status| status.slipway.as_ref());
        let started = started
            .and_then(|slipway| slipway.release.as_ref())
            .and_then(|release| release.started_at);
        let digest = Sha256::digest(format!("{}/{revision}/{started:?}", self.plan.canary.uid));
        let hex = format!(
            "{:032x}",
            u128::from_be_bytes(std::array::from_fn(|at| digest
                .get(at)
                .copied()
                .unwrap_or_default()))
        );
        let part =
            |from: usize, to: usize| hex.chars().skip(from).take(to - from).collect::<String>();
        format!(
            "{}-{}-4{}-a{}-{}",
            part(0, 8),
            part(8, 12),
            part(13, 16),
            part(17, 20),
            part(20, 32)
        )
    }

    /// Makes the primary's scaler from the target's.
    pub(super) async fn sync_primary_scaler(&self, compare: Compare) -> Result<(), ActError> {
        let Some((scaler, source, live)) = self.scalers() else {
            return Ok(());
        };
        if compare == Compare::First && live.is_some() {
            // Flagger's rule: between promotions the primary's scaler is left alone.
            return Ok(());
        }
        let mut write = scaler.primary(&self.blueprint(), &source, live.as_deref())?;
        let slipway = self.canary.status.as_ref();
        let slipway = slipway.and_then(|status| status.slipway.as_ref());
        if let (Write::Apply { object, .. }, Some(replicas)) =
            (&mut write, slipway.and_then(|it| it.held_replicas))
        {
            // A promotion is when the primary needs its pods most.
            scaler.hold(object, replicas);
        }
        self.write(&write, compare).await
    }

    /// Keeps the primary's scaler from going below so many pods.
    pub(super) async fn hold_primary_scaler(&self, replicas: i64) -> Result<(), ActError> {
        let write = self
            .scalers()
            .and_then(|(scaler, _, live)| scaler.held(live?.as_ref(), replicas));
        match write {
            Some(write) => self.write(&write, Compare::First).await,
            None => Ok(()),
        }
    }

    /// Lets the primary's scaler go. It is read anew: what a watch has not told yet would stay held for ever.
    pub(super) async fn release_primary_scaler(&self) -> Result<(), ActError> {
        let (Some(scaler), Some(autoscaler)) = (self.codecs.scaler, &self.plan.autoscaler) else {
            return Ok(());
        };
        let name = names::primary_name(&autoscaler.name);
        let key = scaler.kind().named(&self.plan.canary.namespace, &name);
        let live = self.read(&key).await?;
        match live.and_then(|live| scaler.released(&live)) {
            Some(write) => self.write(&write, Compare::Not).await,
            None => Ok(()),
        }
    }

    /// Pauses or resumes the target's scaler.
    pub(super) async fn write_scaler(
        &self,
        make: impl Fn(&dyn Scaler, &Value) -> Option<Write> + Send,
    ) -> Result<(), ActError> {
        let Some((scaler, source, _)) = self.scalers() else {
            return Ok(());
        };
        match make(scaler, &source) {
            Some(write) => self.write(&write, Compare::First).await,
            None => Ok(()),
        }
    }

    fn scalers(&self) -> Option<Scalers> {
        let (scaler, autoscaler) = (self.codecs.scaler?, self.plan.autoscaler.as_ref()?);
        let named = |name: &str| scaler.kind().named(&self.plan.canary.namespace, name);
        let source = self.view.objects.get(&named(&autoscaler.name)).cloned()?;
        let live = self
            .view
            .objects
            .get(&named(&names::primary_name(&autoscaler.name)))
            .cloned();
        Some((scaler, source, live))
    }

    /// Brings the target to a size; nothing if it is up and large enough.
    pub(super) async fn scale_up_target(&self, size: CanaryReplicas) -> Result<(), ActError> {
        let Some(target) = &self.view.target else {
            return Ok(());
        };
        let least = match (self.codecs.scaler, self.scalers()) {
            (None, _) => None,
            (Some(_), None) => Some(1),
            (Some(scaler), Some((_, source, _))) => Some(scaler.least(&source)),
        };
        let primary = self.view.primary.as_ref();
        let resize = self.codecs.target.scale_up(target, primary, least, size);
        self.resize(&self.plan.target.name, resize).await
    }

    /// Scales the target to zero; nothing if it is there.
    pub(super) async fn scale_down_target(&self) -> Result<(), ActError> {
        let live = self
            .shell
            .watches
            .peek(&self.workload(&self.plan.target.name));
        let resize = live.and_then(|live| self.codecs.target.scale_down(&live.value()));
        self.resize(&self.plan.target.name, resize).await
    }

    /// Pauses the target, or takes our pause back. The field is applied by a manager of its own: what the user says of it comes back by itself.
    pub(super) async fn pause_target(&self, is_paused: bool) -> Result<(), ActError> {
        let key = self.workload(&self.plan.target.name);
        let live = self.shell.watches.peek(&key);
        let says = live.map(|live| live.value().pointer("/spec/paused").cloned());
        let Some(says) = says.filter(|_| self.plan.target.kind == TargetKind::Deployment) else {
            return Ok(());
        };
        if is_paused && says == Some(Value::Bool(true)) {
            return Ok(());
        }
        self.shell.must_lead()?;
        debug!(object = %key, is_paused, "pause");
        let spec = if is_paused {
            json!({"paused": true})
        } else {
            json!({})
        };
        let object = json!({
            "apiVersion": key.api_version,
            "kind": key.kind,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "spec": spec,
        });
        let params = PatchParams::apply(names::PAUSE_FIELD_MANAGER).force();
        self.shell
            .api(&key)
            .patch(&key.name, &params, &Patch::Apply(object))
            .await
            .map_err(|error| ApiError::new("patch", &key, error))?;
        Ok(())
    }

    async fn resize(&self, workload: &str, resize: Option<Resize>) -> Result<(), ActError> {
        match resize {
            None => Ok(()),
            Some(Resize::Replicas(wanted)) => self.scale(workload, wanted).await,
            Some(Resize::Write(write)) => self.write(&write, Compare::First).await,
        }
    }

    fn workload(&self, name: &str) -> Key {
        let kind = self.codecs.target.kind();
        kind.named(&self.plan.canary.namespace, name)
    }

    /// Scales a workload through the scale subresource: `replicas` stands in no apply of ours.
    async fn scale(&self, workload: &str, wanted: i64) -> Result<(), ActError> {
        let key = self.workload(workload);
        let live = self.shell.watches.peek(&key);
        if live.is_none_or(|live| replicas(&live.value()) == wanted) {
            return Ok(());
        }
        self.shell.must_lead()?;
        debug!(object = %key, replicas = wanted, "scale");
        let params = PatchParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({"spec": {"replicas": wanted}}));
        self.shell
            .api(&key)
            .patch_scale(&key.name, &params, &patch)
            .await
            .map_err(|error| ApiError::new("scale", &key, error))?;
        Ok(())
    }
}

/// The codec of the plan's scaler, the target's scaler, and the primary's if there is one.
type Scalers = (&'static dyn Scaler, Arc<Value>, Option<Arc<Value>>);

/// `spec.replicas`, 1 where it is absent.
fn replicas(workload: &Value) -> i64 {
    workload
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1)
}

fn reference(tracked: &TrackedConfig) -> slipway_workloads::ConfigReference {
    slipway_workloads::ConfigReference {
        kind: tracked.kind,
        name: tracked.name.clone(),
        optional: false,
    }
}
