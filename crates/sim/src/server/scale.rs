//! The subresource `scale`: replicas without the rest of the object.

use super::apply::{self, Force, Writer};
use super::failure::Failure;
use super::kinds::Generation;
use super::patch::{self, PatchKind};
use super::request::Verb;
use super::selector::LabelSelector;
use super::store::{Content, Object};
use super::{Answer, Api, Call, apply::Manager};
use crate::json::{dig, int, set, text};
use serde_json::{Value, json};
use std::sync::Arc;

impl Api {
    pub(super) fn read_scale(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        Ok(Answer::value(200, &scale(&*self.live(call)?)))
    }

    pub(super) fn write_scale(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let old = self.live(call)?;
        let mut wanted = scale(&old);
        let patch: Value = serde_json::from_slice(&call.request.body)
            .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
        let door = if call.request.verb == Verb::Update {
            None
        } else {
            PatchKind::of(&call.request.content_type)
        };
        match door {
            None => wanted = patch,
            Some(PatchKind::Json) => patch::json(&mut wanted, &patch)?,
            Some(PatchKind::Merge | PatchKind::Strategic | PatchKind::Apply) => {
                patch::merge(&mut wanted, &patch);
            }
        }
        let version = text(&wanted, &["metadata", "resourceVersion"]);
        if !version.is_empty() && version != text(&old, &["metadata", "resourceVersion"]) {
            return Err(Failure::modified(&call.kind, &call.resource.name));
        }
        let replicas = int(&wanted, &["spec", "replicas"]).unwrap_or(0);
        if replicas < 0 {
            let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
            let name = &call.resource.name;
            return Err(Failure::invalid_as(
                "Scale",
                "autoscaling",
                name,
                "spec.replicas",
                &why,
            ));
        }
        let config = json!({"spec": {"replicas": replicas}});
        let mut value = (**old).clone();
        set(&mut value, &["spec", "replicas"], replicas);
        let managers = Self::owners_of_scale(call, &old, &value, &config, door)?;
        if value == **old && managers == old.managers() || call.is_dry() {
            return Ok(Answer::value(200, &wanted));
        }
        let kind = Arc::clone(self.kinds.get(call.stored));
        if value != **old && kind.generation != Generation::Never {
            let generation = int(&old, &["metadata", "generation"]).unwrap_or(0);
            set(&mut value, &["metadata", "generation"], generation + 1);
        }
        let cause = self.cause(call, call.request.verb);
        let stored = self
            .store
            .put(call.stored, &kind, Content { value, managers }, &cause);
        Ok(Answer::value(200, &scale(&stored)))
    }

    fn owners_of_scale(
        call: &Call<'_>,
        old: &Object,
        new: &Value,
        config: &Value,
        door: Option<PatchKind>,
    ) -> Result<Vec<Manager>, Failure> {
        let version = call.kind.stored_version();
        let writer = Writer {
            manager: call.manager(),
            version: &version,
            subresource: "scale",
            // The real server loses the time on this way.
            time: "",
        };
        let (shape, managers) = (&call.kind.shape, old.managers().to_vec());
        if door != Some(PatchKind::Apply) {
            return Ok(apply::after_update(shape, managers, old, new, &writer));
        }
        let force = if call.request.query.is_set("force") {
            Force::Yes
        } else {
            Force::No
        };
        apply::apply(shape, old, managers, config, &writer, force)
            .map(|applied| applied.managers)
            .map_err(|conflicts| Failure::ownership(&conflicts))
    }
}

fn scale(object: &Object) -> Value {
    let metadata = |field: &str| dig(object, &["metadata", field]).clone();
    let selector = LabelSelector::of_workload(dig(object, &["spec", "selector"])).spell();
    json!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {
            "name": metadata("name"), "namespace": metadata("namespace"), "uid": metadata("uid"),
            "resourceVersion": metadata("resourceVersion"), "creationTimestamp": metadata("creationTimestamp"),
        },
        "spec": {"replicas": int(object, &["spec", "replicas"]).unwrap_or(0)},
        "status": {"replicas": int(object, &["status", "replicas"]).unwrap_or(0), "selector": selector},
    })
}
