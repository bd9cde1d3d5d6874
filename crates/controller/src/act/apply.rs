//! The one executor of object writes: compared first, adopted first, and never sent by a controller that does not lead.

use std::hash::{Hash, Hasher};

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::Value;
use slipway_api::names;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Write, kinds};
use slipway_workloads::adopt;
use tracing::debug;

use super::ActError;
use super::covers::covers;
use crate::error::{ApiError, is_already_exists, is_not_found};
use crate::observe::watches::{api_resource, is_routing, lock};
use crate::shell::Shell;

/// Whether an apply that would change nothing is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    /// Left out when the object, as the watch has it, holds everything that would be applied.
    First,
    /// Sent in any case: fields that are no longer sent must go.
    Not,
}

impl Shell {
    /// Does one write, unless the world is as it should be already.
    pub(crate) async fn write(
        &self,
        blueprint: &Blueprint<'_>,
        write: &Write,
        compare: Compare,
    ) -> Result<(), ActError> {
        match write {
            Write::Apply { key, object } => self.apply(blueprint, key, object, compare).await,
            Write::Create { key, object } => self.create(key, object).await,
            Write::Merge { key, patch } => self.merge(key, patch).await,
            Write::Replace { key, object } => self.replace(key, object).await,
            Write::Delete { key } => self.delete(key).await,
        }
    }

    /// Does several writes in order; the first failure ends it.
    pub(crate) async fn write_all(
        &self,
        blueprint: &Blueprint<'_>,
        writes: &[Write],
        compare: Compare,
    ) -> Result<(), ActError> {
        for write in writes {
            self.write(blueprint, write, compare).await?;
        }
        Ok(())
    }

    /// The API of one object's kind in its namespace.
    pub(crate) fn api(&self, key: &Key) -> Api<DynamicObject> {
        let client = if is_routing(key.kind()) {
            self.mesh.clone()
        } else {
            self.client.clone()
        };
        Api::namespaced_with(client, &key.namespace, &api_resource(key.kind()))
    }

    /// # Errors
    /// When this controller does not lead: another one may be writing.
    pub(crate) fn must_lead(&self) -> Result<(), ActError> {
        if self.leadership.is_leader() {
            Ok(())
        } else {
            Err(ActError::NotLeading)
        }
    }

    async fn apply(
        &self,
        blueprint: &Blueprint<'_>,
        key: &Key,
        object: &Value,
        compare: Compare,
    ) -> Result<(), ActError> {
        let live = self.watches.peek(key);
        let content = digest(object);
        let is_news = lock(&self.watches.store).is_news(key, content);
        let holds = live
            .as_ref()
            .is_some_and(|live| covers(key, &live.value(), object));
        if compare == Compare::First && holds && !is_news {
            lock(&self.watches.store).note_applied(key, content);
            return Ok(());
        }
        if live.as_ref().is_some_and(|live| live.needs_adoption) {
            self.adopt(blueprint, key).await?;
        }
        self.must_lead()?;
        debug!(object = %key, "apply");
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let answer = self
            .api(key)
            .patch(&key.name, &params, &Patch::Apply(object))
            .await;
        self.keep(
            key,
            answer.map_err(|error| ApiError::new("apply", key, error))?,
        )?;
        lock(&self.watches.store).note_applied(key, content);
        Ok(())
    }

    async fn create(&self, key: &Key, object: &Value) -> Result<(), ActError> {
        if self.watches.peek(key).is_some() {
            return Ok(());
        }
        self.must_lead()?;
        debug!(object = %key, "create");
        let body: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|error| ActError::unusable(key, &error))?;
        let params = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.api(key).create(&params, &body).await {
            Ok(answer) => self.keep(key, answer),
            Err(error) if is_already_exists(&error) => Ok(()),
            Err(error) => Err(ApiError::new("create", key, error).into()),
        }
    }

    async fn merge(&self, key: &Key, patch: &Value) -> Result<(), ActError> {
        if self
            .watches
            .peek(key)
            .is_some_and(|live| covers(key, &live.value(), patch))
        {
            return Ok(());
        }
        self.must_lead()?;
        debug!(object = %key, "merge");
        let params = PatchParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let answer = self
            .api(key)
            .patch(&key.name, &params, &Patch::Merge(patch))
            .await;
        match answer {
            // A pod goes when it likes, and needs no label then.
            Err(error) if key.kind() == kinds::POD && is_not_found(&error) => Ok(()),
            answer => self.keep(
                key,
                answer.map_err(|error| ApiError::new("patch", key, error))?,
            ),
        }
    }

    async fn replace(&self, key: &Key, object: &Value) -> Result<(), ActError> {
        self.must_lead()?;
        debug!(object = %key, "replace");
        let body: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|error| ActError::unusable(key, &error))?;
        let params = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let answer = self.api(key).replace(&key.name, &params, &body).await;
        self.keep(
            key,
            answer.map_err(|error| ApiError::new("replace", key, error))?,
        )
    }

    async fn delete(&self, key: &Key) -> Result<(), ActError> {
        self.must_lead()?;
        debug!(object = %key, "delete");
        match self
            .api(key)
            .delete(&key.name, &DeleteParams::default())
            .await
        {
            Err(error) if !is_not_found(&error) => Err(ApiError::new("delete", key, error).into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Makes Flagger's entry in the object's managedFields ours, without the fields that we never send (A3). The answer is kept, so that the
    /// apply that follows knows of it.
    async fn adopt(&self, blueprint: &Blueprint<'_>, key: &Key) -> Result<(), ActError> {
        let live = self
            .api(key)
            .get(&key.name)
            .await
            .map_err(|error| ApiError::new("get", key, error))?;
        let live = serde_json::to_value(live).map_err(|error| ActError::unusable(key, &error))?;
        let never_sent = adopt::never_sent(blueprint, key);
        let Some(patch) = adopt::adopt(&live, adopt::Part::Object, &adopt::MANAGERS, &never_sent)
        else {
            return Ok(());
        };
        let patch: json_patch::Patch =
            serde_json::from_value(patch).map_err(|error| ActError::unusable(key, &error))?;
        self.must_lead()?;
        debug!(object = %key, "adopt");
        let answer = self
            .api(key)
            .patch(
                &key.name,
                &PatchParams::default(),
                &Patch::Json::<()>(patch),
            )
            .await;
        match answer {
            Ok(answer) => self.keep(key, answer),
            // The `test` of the patch failed: the object changed meanwhile.
            Err(kube::Error::Api(status)) if status.code == 422 => Err(ActError::Superseded),
            Err(error) => Err(ApiError::new("adopt", key, error).into()),
        }
    }

    fn keep(&self, key: &Key, answer: DynamicObject) -> Result<(), ActError> {
        let value =
            serde_json::to_value(answer).map_err(|error| ActError::unusable(key, &error))?;
        self.watches.written(key.clone(), value);
        Ok(())
    }
}

/// Tells contents apart within this life.
fn digest(object: &Value) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    object.to_string().hash(&mut hasher);
    hasher.finish()
}
