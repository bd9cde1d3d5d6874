//! POST, PUT and PATCH, and the writes of the world's own controllers.

use super::admission::{self, Review};
use super::apply::{self, Force, Manager, Writer};
use super::failure::Failure;
use super::kinds::{self, Generation, Kind, KindId, Origin};
use super::patch::{self, PatchKind};
use super::request::Verb;
use super::store::{Cause, Content, Key, Object};
use super::watch::{Form, Part};
use super::{Answer, Api, Call, defaults, events};
use crate::json::{copy, dig, list, object, set, take, text};
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
            events::validate_new(&call.kind, &value)?;
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
            return Err(Failure::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        self.check_namespace(call, &name)?;
        if self.store.get(call.stored, &key).is_some() {
            return Err(Failure::already_exists(&call.kind, &name));
        }
        let kind = Arc::clone(self.kinds.get(call.stored));
        let sent = take(&mut value, &["metadata", "managedFields"]).unwrap_or(Value::Null);
        self.begin(call.stored, &kind, &mut value);
        complete(call.stored, &kind, &mut value);
        let managers = match ownership {
            Ownership::Known(managers) => managers,
            Ownership::Tracked => {
                let before = apply::decode(sent.as_array().map_or(&[], Vec::as_slice));
                let time = self.clock.stamp();
                apply::after_update(&kind.shape, before, None, &value, &writer(call, &time))
            }
        };
        self.allocate(call.stored, &mut value);
        admission::validate(call.stored, &call.kind, &value)?;
        self.judge(call, Verb::Create, &value)?;
        if call.is_dry() {
            return Ok(Answer::value(201, &value));
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

    /// Gives a new object its metadata and takes away what only the server may say.
    fn begin(&mut self, id: KindId, kind: &Kind, value: &mut Value) {
        if kind.status && id != kinds::NAMESPACE && id != kinds::NODE {
            take(value, &["status"]);
        }
        if id == kinds::POD {
            set(
                value,
                &["status"],
                json!({"phase": "Pending", "qosClass": "BestEffort"}),
            );
        }
        let uid = self.chance.uid();
        let stamp = self.clock.stamp();
        let metadata = object(object(value).entry("metadata").or_insert(Value::Null));
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "generation",
        ] {
            metadata.remove(field);
        }
        metadata.insert("uid".to_owned(), uid.into());
        metadata.insert("creationTimestamp".to_owned(), stamp.into());
        if kind.generation != Generation::Never {
            metadata.insert("generation".to_owned(), 1.into());
        }
    }

    /// Cluster addresses of Services; they belong to nobody.
    fn allocate(&mut self, id: KindId, value: &mut Value) {
        if id != kinds::SERVICE || text(value, &["spec", "type"]) == "ExternalName" {
            return;
        }
        if text(value, &["spec", "clusterIP"]).is_empty() {
            self.addresses += 1;
            let (high, low) = (self.addresses / 250, self.addresses % 250 + 1);
            set(value, &["spec", "clusterIP"], format!("10.96.{high}.{low}"));
        }
        let address = dig(value, &["spec", "clusterIP"]).clone();
        set(value, &["spec", "clusterIPs"], json!([address]));
        crate::json::default(value, &["spec", "ipFamilies"], json!(["IPv4"]));
        crate::json::default(value, &["spec", "ipFamilyPolicy"], "SingleStack");
        crate::json::default(value, &["status"], json!({"loadBalancer": {}}));
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

    /// Stores an object, and serves the kind that it defines if it defines one.
    fn keep(
        &mut self,
        id: KindId,
        kind: &Arc<Kind>,
        mut content: Content,
        cause: &Cause,
    ) -> Arc<Object> {
        if id == kinds::CRD
            && let Some(defined) = kinds::defined_by(&content.value)
        {
            self.kinds.install(defined);
            set(
                &mut content.value,
                &["status", "conditions"],
                json!([{"type": "Established", "status": "True", "reason": "InitialNamesAccepted"}]),
            );
        }
        self.store.put(id, kind, content, cause)
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
            let why = "Invalid value: 0: must be specified for an update";
            return Err(Failure::invalid(
                &call.kind,
                &call.resource.name,
                "metadata.resourceVersion",
                why,
            ));
        }
        self.replace(call, &old, value, Ownership::Tracked)
    }

    pub(super) fn patch(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let offered = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        let kind = PatchKind::of(&call.request.content_type)
            .ok_or_else(|| Failure::unsupported_media_type(offered))?;
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
            let options = Kind {
                name: "PatchOptions".to_owned(),
                group: "meta.k8s.io".to_owned(),
                ..(*call.kind).clone()
            };
            let why = "Required value: is required for apply patch";
            return Err(Failure::invalid(&options, "", "fieldManager", why));
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
            .map_err(|conflicts| Failure::ownership(&call.kind, &call.resource.name, &conflicts))?;
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
                apply::after_update(
                    &kind.shape,
                    managers,
                    Some(&***old),
                    &new,
                    &writer(call, &time),
                )
            }
        };
        if call.resource.subresource.is_empty() {
            count_generation(&kind, old, &mut new);
        }
        check_finalizers(call, old, &new)?;
        admission::validate(call.stored, &call.kind, &new)?;
        admission::validate_change(call.stored, &call.kind, old, &new)?;
        self.judge(call, Verb::Update, &new)?;
        if call.is_dry() {
            return Ok(Answer::value(200, &new));
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

    /// A controller of the world makes an object; it is told if the name is taken.
    pub(crate) fn make(
        &mut self,
        id: KindId,
        mut value: Value,
        by: &Arc<str>,
    ) -> Option<Arc<Object>> {
        let kind = Arc::clone(self.kinds.get(id));
        let key = Key::new(
            text(&value, &["metadata", "namespace"]),
            text(&value, &["metadata", "name"]),
        );
        if self.store.get(id, &key).is_some() {
            return None;
        }
        set(&mut value, &["apiVersion"], kind.stored_version());
        set(&mut value, &["kind"], kind.name.as_str());
        let status = take(&mut value, &["status"]);
        self.begin(id, &kind, &mut value);
        complete(id, &kind, &mut value);
        if let Some(status) = status {
            set(&mut value, &["status"], status);
        }
        let cause = self.own_cause(by, Verb::Create, "");
        Some(self.keep(
            id,
            &kind,
            Content {
                value,
                managers: Vec::new(),
            },
            &cause,
        ))
    }

    /// A controller of the world changes an object; nothing is written if nothing changes.
    ///
    /// Ownership is tracked for the kinds that controllers share with users; pods and the like have no managed fields here.
    pub(crate) fn edit(
        &mut self,
        id: KindId,
        key: &Key,
        by: &Arc<str>,
        subresource: &str,
        change: impl FnOnce(&mut Value),
    ) -> Option<Arc<Object>> {
        let old = Arc::clone(self.store.get(id, key)?);
        let kind = Arc::clone(self.kinds.get(id));
        let mut new = (*old).clone();
        change(&mut new);
        if new == **old {
            return Some(old);
        }
        if subresource != "status" {
            count_generation(&kind, &old, &mut new);
        }
        let managers = if old.managers().is_empty() {
            Vec::new()
        } else {
            let time = self.clock.stamp();
            let version = kind.stored_version();
            let writer = Writer {
                manager: by,
                version: &version,
                subresource,
                time: &time,
            };
            apply::after_update(
                &kind.shape,
                old.managers().to_vec(),
                Some(&**old),
                &new,
                &writer,
            )
        };
        let cause = self.own_cause(by, Verb::Update, subresource);
        let stored = self.keep(
            id,
            &kind,
            Content {
                value: new,
                managers,
            },
            &cause,
        );
        if stored.is_going()
            && list(&stored, &["metadata", "finalizers"]).is_empty()
            && !lingers(id)
        {
            self.erase(id, key, &cause);
        }
        Some(stored)
    }

    pub(super) fn own_cause(&self, by: &Arc<str>, verb: Verb, subresource: &str) -> Cause {
        Cause {
            by: Arc::clone(by),
            verb,
            subresource: subresource.to_owned(),
            at: self.clock.now(),
        }
    }
}

/// Pods wait for their processes, namespaces for their content: others take them out at last.
fn lingers(id: KindId) -> bool {
    matches!(id, kinds::POD | kinds::NAMESPACE)
}

fn creates_on_update(id: KindId) -> bool {
    matches!(id, kinds::LEASE | kinds::EVENT | kinds::ENDPOINTS)
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

/// Fills in defaults, drops what the kind does not know.
fn complete(id: KindId, kind: &Kind, value: &mut Value) {
    match kind.origin {
        Origin::Native => defaults::fill(id, value),
        Origin::Structural => {
            kind.shape.prune(value);
            kind.shape.fill(value);
        }
        Origin::Custom => {}
    }
}

fn check_preconditions(call: &Call<'_>, old: &Object, new: &Value) -> Result<(), Failure> {
    let name = &call.resource.name;
    let version = text(new, &["metadata", "resourceVersion"]);
    if !version.is_empty() && version != text(old, &["metadata", "resourceVersion"]) {
        return Err(Failure::modified(&call.kind, name));
    }
    let uid = text(new, &["metadata", "uid"]);
    if !uid.is_empty() && uid != old.uid() {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            old.uid()
        );
        return Err(Failure::conflict(&call.kind, name, &why));
    }
    Ok(())
}

/// Puts back what this door does not change.
fn retain(call: &Call<'_>, kind: &Kind, old: &Value, new: &mut Value) {
    if call.is_status() {
        for (field, value) in old.as_object().into_iter().flatten() {
            if field != "status" && (field != "metadata" || !kind.is_native()) {
                set(new, &[field], value.clone());
            }
        }
        object(new).retain(|field, _| field == "status" || old.get(field).is_some());
        if kind.is_native() {
            copy(old, new, &["metadata", "labels"]);
        }
    } else if kind.status {
        copy(old, new, &["status"]);
    }
    for field in [
        "uid",
        "name",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ] {
        copy(old, new, &["metadata", field]);
    }
    take(new, &["metadata", "managedFields"]);
    if call.stored == kinds::SERVICE {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if dig(new, &["spec", field]).is_null() {
                copy(old, new, &["spec", field]);
            }
        }
    }
}

fn count_generation(kind: &Kind, old: &Value, new: &mut Value) {
    let differs = |path: &[&str]| dig(old, path) != dig(new, path);
    let grows = match kind.generation {
        Generation::Never => false,
        Generation::Spec => differs(&["spec"]),
        Generation::SpecAndAnnotations => {
            differs(&["spec"]) || differs(&["metadata", "annotations"])
        }
        Generation::All => {
            let is_counted =
                |field: &str| field != "metadata" && !(field == "status" && kind.status);
            let fields = |value: &Value| -> Vec<String> {
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(field, _)| field.clone())
                    .collect()
            };
            let (olds, news) = (fields(old), fields(new));
            olds.iter()
                .chain(&news)
                .any(|field| is_counted(field) && differs(&[field]))
        }
    };
    if grows {
        let generation = dig(old, &["metadata", "generation"]).as_i64().unwrap_or(0);
        set(new, &["metadata", "generation"], generation + 1);
    }
}

fn check_finalizers(call: &Call<'_>, old: &Object, new: &Value) -> Result<(), Failure> {
    let before = list(old, &["metadata", "finalizers"]);
    let after = list(new, &["metadata", "finalizers"]);
    if old.is_going() && after.iter().any(|finalizer| !before.contains(finalizer)) {
        let why = "Forbidden: no new finalizers can be added if the object is being deleted";
        return Err(Failure::invalid(
            &call.kind,
            &call.resource.name,
            "metadata.finalizers",
            why,
        ));
    }
    Ok(())
}

/// Whether two states differ in nothing but their bookkeeping.
fn same_content(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        return false;
    };
    let is_kept = |field: &str| field != "managedFields" && field != "resourceVersion";
    let metadata = |map: &serde_json::Map<String, Value>| -> Vec<(String, Value)> {
        let metadata = map.get("metadata").and_then(Value::as_object);
        let fields = metadata
            .into_iter()
            .flatten()
            .filter(|(field, _)| is_kept(field));
        fields
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect()
    };
    old.len() == new.len()
        && old
            .iter()
            .all(|(field, value)| field == "metadata" || new.get(field) == Some(value))
        && metadata(old) == metadata(new)
}

fn same_managers(old: &[Manager], new: &[Manager]) -> bool {
    old.len() == new.len() && new.iter().all(|manager| old.contains(manager))
}
