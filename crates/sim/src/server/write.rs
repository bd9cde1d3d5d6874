//! POST, PUT and PATCH.

use super::admission::{self, Review};
use super::apply::{self, Force, Manager, Writer};
use super::failure::Failure;
use super::kinds::{self, Kind, KindId};
use super::patch::{self, PatchKind};
use super::request::Verb;
use super::rules::{
    check_finalizers, check_preconditions, complete, count_generation, creates_on_update, lingers,
    retain, same_content, same_managers,
};
use super::store::{Content, Key, Object};
use super::watch::{Form, Part};
use super::{Answer, Api, Call, defaults, events};
use crate::json::{dig, list, set, take, text};
use serde_json::{Value, json};
use std::sync::Arc;

/// Who owns what after a write.
#[derive(Debug)]
enum Ownership {
    /// To be worked out from what the write changes.
    Tracked,
    /// An apply has worked it out.
    Known(Vec<Manager>),
}

impl Api {
    pub(super) fn create(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let value = self.body(call)?;
        if call.resource.kind == kinds::NEW_EVENT {
            events::validate_new(self.kinds.get(kinds::EVENT), &value)?;
        }
        let value = to_stored(call, value);
        self.store_new(call, value, Ownership::Tracked)
    }

    /// The object in the body, with the kind and version that the path says.
    fn body(&mut self, call: &Call<'_>) -> Result<Value, Failure> {
        let mut value: Value = serde_json::from_slice(&call.request.body).map_err(|error| {
            Failure::bad_request(format!("the object provided is unrecognized: {error}"))
        })?;
        let expected = call.kind.api_version(&call.resource.version);
        for (field, expected) in [
            ("apiVersion", expected.as_str()),
            ("kind", call.kind.name.as_str()),
        ] {
            match text(&value, &[field]) {
                "" => set(&mut value, &[field], expected),
                found if found != expected => {
                    let message = format!(
                        "the {field} in the data ({found}) does not match the expected {field} ({expected})"
                    );
                    return Err(Failure::bad_request(message));
                }
                _ => {}
            }
        }
        if call.kind.is_namespaced() {
            match text(&value, &["metadata", "namespace"]) {
                "" => set(
                    &mut value,
                    &["metadata", "namespace"],
                    call.resource.namespace.as_str(),
                ),
                found if found != call.resource.namespace => {
                    return Err(Failure::bad_request(
                        "the namespace of the provided object does not match the namespace sent on the request",
                    ));
                }
                _ => {}
            }
        }
        let prefix = text(&value, &["metadata", "generateName"]).to_owned();
        if text(&value, &["metadata", "name"]).is_empty() && !prefix.is_empty() {
            set(
                &mut value,
                &["metadata", "name"],
                format!("{prefix}{}", self.chance.suffix(5)),
            );
        }
        Ok(value)
    }

    fn store_new(
        &mut self,
        call: &Call<'_>,
        mut value: Value,
        ownership: Ownership,
    ) -> Result<Answer, Failure> {
        let name = text(&value, &["metadata", "name"]).to_owned();
        let key = Key::new(text(&value, &["metadata", "namespace"]), name.as_str());
        if !text(&value, &["metadata", "resourceVersion"]).is_empty() {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(Failure::new(500, "InternalError", message));
        }
        self.check_namespace(call, &name)?;
        if self.store.get(call.stored, &key).is_some() {
            return Err(Failure::already_exists(&call.kind, &name));
        }
        let kind = Arc::clone(self.kinds.get(call.stored));
        let sent = take(&mut value, &["metadata", "managedFields"]).unwrap_or(Value::Null);
        self.begin(call.stored, &kind, &mut value);
        complete(call.stored, &kind, &mut value);
        let skeleton = creator_view(&kind, call.stored);
        let managers = match ownership {
            Ownership::Known(managers) => managers,
            Ownership::Tracked => {
                let before = apply::decode(sent.as_array().map_or(&[], Vec::as_slice));
                let time = self.clock.stamp();
                apply::after_update(&kind.shape, before, &skeleton, &value, &writer(call, &time))
            }
        };
        self.allocate(call.stored, &mut value);
        defaults::fill_status(call.stored, &mut value);
        admission::validate(call.stored, &call.kind, &value)?;
        self.judge(call, Verb::Create, &value)?;
        if call.is_dry() {
            let draft = Object::of(Content { value, managers }, 0);
            return Ok(Self::shown(call, 201, &draft));
        }
        let cause = self.cause(call, Verb::Create);
        let stored = self.keep(call.stored, &kind, Content { value, managers }, &cause);
        Ok(Self::shown(call, 201, &stored))
    }

    fn check_namespace(&self, call: &Call<'_>, name: &str) -> Result<(), Failure> {
        if !call.kind.is_namespaced() {
            return Ok(());
        }
        let namespace = call.resource.namespace.as_str();
        match self.store.get(kinds::NAMESPACE, &Key::new("", namespace)) {
            None => Err(Failure::not_found(
                self.kinds.get(kinds::NAMESPACE),
                namespace,
            )),
            Some(found) if found.is_going() && call.stored != kinds::EVENT => {
                let why = format!(
                    "unable to create new content in namespace {namespace} because it is being terminated"
                );
                Err(Failure::forbidden(&call.kind, name, &why))
            }
            Some(_) => Ok(()),
        }
    }

    fn judge(&self, call: &Call<'_>, verb: Verb, value: &Value) -> Result<(), Failure> {
        self.webhooks.judge(&Review {
            verb,
            kind: &call.kind.name,
            namespace: text(value, &["metadata", "namespace"]),
            name: text(value, &["metadata", "name"]),
            by: &call.request.by,
            object: value,
        })
    }

    pub(super) fn update(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let value = self.body(call)?;
        let name = text(&value, &["metadata", "name"]);
        if name != call.resource.name {
            let message = format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                call.resource.name
            );
            return Err(Failure::bad_request(message));
        }
        let value = to_stored(call, value);
        let old = match self.live(call) {
            Ok(old) => old,
            Err(_) if creates_on_update(call.stored) => {
                return self.store_new(call, value, Ownership::Tracked);
            }
            Err(missing) => return Err(missing),
        };
        let is_unconditional = text(&value, &["metadata", "resourceVersion"]).is_empty();
        if is_unconditional && (!call.kind.is_native() || call.stored == kinds::LEASE) {
            return Err(Failure::invalid_as(
                &call.kind.plural,
                &call.kind.group,
                &call.resource.name,
                "metadata.resourceVersion",
                "Invalid value: 0: must be specified for an update",
            ));
        }
        self.replace(call, &old, value, Ownership::Tracked)
    }

    pub(super) fn patch(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let offered = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        let kind = PatchKind::of(&call.request.content_type).ok_or_else(Failure::unknown_patch)?;
        if kind == PatchKind::Apply {
            return self.apply(call);
        }
        let old = self.live(call)?;
        let patch: Value = serde_json::from_slice(&call.request.body)
            .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
        let whole = Form::new(
            call.resource.kind,
            &call.kind,
            &call.resource.version,
            Part::Whole,
        );
        let mut value = whole.value(&old);
        match kind {
            PatchKind::Json => patch::json(&mut value, &patch)?,
            PatchKind::Strategic if !call.kind.is_native() => {
                return Err(Failure::unsupported_media_type(offered));
            }
            PatchKind::Strategic => patch::strategic(&call.kind.shape, &mut value, &patch),
            PatchKind::Merge | PatchKind::Apply => patch::merge(&mut value, &patch),
        }
        self.replace(call, &old, to_stored(call, value), Ownership::Tracked)
    }

    fn apply(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let query = &call.request.query;
        if query.get("fieldManager").is_empty() {
            return Err(Failure::invalid_as(
                "PatchOptions",
                "meta.k8s.io",
                "",
                "fieldManager",
                "Required value: is required for apply patch",
            ));
        }
        let mut config = to_stored(call, self.body(call)?);
        set(
            &mut config,
            &["metadata", "name"],
            call.resource.name.as_str(),
        );
        if !dig(&config, &["metadata", "managedFields"]).is_null() {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        narrow(call, &mut config);
        let old = self.live(call);
        if old.is_err() && call.is_status() {
            return old.map(|_| Answer::value(200, &Value::Null));
        }
        let empty = json!({});
        let (live, managers) = match &old {
            Ok(old) => (&***old, old.managers().to_vec()),
            Err(_) => (&empty, Vec::new()),
        };
        let force = if query.is_set("force") {
            Force::Yes
        } else {
            Force::No
        };
        let time = self.clock.stamp();
        let shape = &self.kinds.get(call.stored).shape;
        let applied = apply::apply(shape, live, managers, &config, &writer(call, &time), force)
            .map_err(|conflicts| Failure::ownership(&conflicts))?;
        let ownership = Ownership::Known(applied.managers);
        match &old {
            Ok(old) => self.replace(call, old, applied.value, ownership),
            Err(_) => self.store_new(call, applied.value, ownership),
        }
    }

    /// Puts `new` in the place of `old`, after everything that the server insists on.
    fn replace(
        &mut self,
        call: &Call<'_>,
        old: &Arc<Object>,
        mut new: Value,
        ownership: Ownership,
    ) -> Result<Answer, Failure> {
        check_preconditions(call, old, &new)?;
        let kind = Arc::clone(self.kinds.get(call.stored));
        let managers = match &ownership {
            Ownership::Known(_) => Vec::new(),
            // Through a subresource nobody can edit the entries themselves.
            Ownership::Tracked if !call.resource.subresource.is_empty() => old.managers().to_vec(),
            Ownership::Tracked
                if dig(&new, &["metadata", "managedFields"])
                    == dig(old, &["metadata", "managedFields"]) =>
            {
                old.managers().to_vec()
            }
            Ownership::Tracked => apply::managers_of_request(old.managers(), &new),
        };
        retain(call, &kind, old, &mut new);
        complete(call.stored, &kind, &mut new);
        let managers = match ownership {
            Ownership::Known(managers) => managers,
            Ownership::Tracked => {
                let time = self.clock.stamp();
                apply::after_update(&kind.shape, managers, old, &new, &writer(call, &time))
            }
        };
        if call.resource.subresource.is_empty() {
            defaults::count_template(call.stored, old, &mut new);
            count_generation(&kind, old, &mut new);
        }
        check_finalizers(call, old, &new)?;
        admission::validate(call.stored, &call.kind, &new)?;
        admission::validate_change(call.stored, &call.kind, old, &new)?;
        self.judge(call, Verb::Update, &new)?;
        if call.is_dry() {
            let content = Content {
                value: new,
                managers,
            };
            return Ok(Self::shown(call, 200, &Object::of(content, old.version())));
        }
        if same_content(old, &new) && same_managers(old.managers(), &managers) {
            return Ok(Self::shown(call, 200, old));
        }
        let cause = self.cause(call, call.request.verb);
        let stored = self.keep(
            call.stored,
            &kind,
            Content {
                value: new,
                managers,
            },
            &cause,
        );
        if stored.is_going()
            && list(&stored, &["metadata", "finalizers"]).is_empty()
            && !lingers(call.stored)
        {
            self.erase(call.stored, &stored.key(), &cause);
        }
        Ok(Self::shown(call, 200, &stored))
    }
}

fn writer<'a>(call: &'a Call<'_>, time: &'a str) -> Writer<'a> {
    Writer {
        manager: call.manager(),
        version: call.form.api_version(),
        subresource: &call.resource.subresource,
        time,
    }
}

/// The object in the version in which it is stored.
fn to_stored(call: &Call<'_>, mut value: Value) -> Value {
    if call.resource.kind == kinds::NEW_EVENT {
        return events::to_core(&value);
    }
    set(&mut value, &["apiVersion"], call.kind.stored_version());
    value
}

/// What an apply through this door may say.
fn narrow(call: &Call<'_>, config: &mut Value) {
    if call.is_status() {
        let (status, version) = (
            dig(config, &["status"]).clone(),
            dig(config, &["metadata", "resourceVersion"]).clone(),
        );
        let kept = ["apiVersion", "kind"].map(|field| (field, dig(config, &[field]).clone()));
        *config = json!({"status": status, "metadata": {"name": call.resource.name}});
        if call.kind.is_namespaced() {
            set(
                config,
                &["metadata", "namespace"],
                call.resource.namespace.as_str(),
            );
        }
        if !version.is_null() {
            set(config, &["metadata", "resourceVersion"], version);
        }
        for (field, value) in kept {
            set(config, &[field], value);
        }
    } else if call.kind.status {
        take(config, &["status"]);
    }
}

/// What a creator adds to: custom kinds have no parts of their own.
fn creator_view(kind: &Kind, id: KindId) -> Value {
    if kind.is_native() {
        defaults::skeleton(id)
    } else {
        json!({"metadata": {}})
    }
}
