//! As much of an API server as the codecs rely on: server-side apply with owners of fields, and writes guarded by the resourceVersion.
//!
//! Maps merge deeply, lists are atomic (a CRD without list keys), owner references are keyed by uid; a field that its last owner stops
//! sending is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use slipway_core::object::{Key, Kind, Write};

/// The manager of our writes.
pub(crate) const SLIPWAY: &str = "slipway";
/// The manager of what was there before.
pub(crate) const USER: &str = "kubectl";

type Path = Vec<String>;

#[derive(Clone, Debug, Default)]
struct Live {
    value: Value,
    owners: BTreeMap<Path, BTreeSet<String>>,
}

/// The objects of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    objects: BTreeMap<Key, Live>,
    version: u64,
}

impl Cluster {
    /// An object as somebody else made it.
    pub(crate) fn create(&mut self, key: Key, manager: &str, object: &Value) {
        let mut live = Live::default();
        live.apply(manager, object);
        self.put(key, live);
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects
            .get(key)
            .map(|live| Arc::new(with_lists(&live.value)))
    }

    /// The objects of that kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> Vec<(Key, Arc<Value>)> {
        let keys = self.objects.keys().filter(|key| key.kind() == kind);
        keys.filter_map(|key| Some((key.clone(), self.get(key)?)))
            .collect()
    }

    /// The objects by key, without what the API server adds to each.
    pub(crate) fn objects(&self) -> BTreeMap<Key, Value> {
        let plain = |live: &Live| {
            let mut object = with_lists(&live.value);
            object["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("resourceVersion");
            object
        };
        self.objects
            .iter()
            .map(|(key, live)| (key.clone(), plain(live)))
            .collect()
    }

    pub(crate) fn write_all(&mut self, writes: impl IntoIterator<Item = Write>) {
        writes.into_iter().for_each(|write| self.write(write));
    }

    pub(crate) fn write(&mut self, write: Write) {
        match write {
            Write::Apply { key, object } => {
                let mut live = self.objects.get(&key).cloned().unwrap_or_default();
                live.apply(SLIPWAY, &object);
                self.put(key, live);
            }
            Write::Create { key, object } => {
                if !self.objects.contains_key(&key) {
                    self.create(key, SLIPWAY, &object);
                }
            }
            Write::Merge { key, patch } => {
                let mut live = self.objects.get(&key).cloned().unwrap();
                live.update(SLIPWAY, &merged(&with_lists(&live.value), &patch));
                self.put(key, live);
            }
            Write::Replace { key, object } => {
                let mut live = self.objects.get(&key).cloned().unwrap();
                let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
                assert_eq!(version(&object), version(&live.value), "conflict on {key}");
                live.update(SLIPWAY, &object);
                self.put(key, live);
            }
            Write::Delete { key } => {
                self.objects.remove(&key);
            }
        }
    }

    fn put(&mut self, key: Key, mut live: Live) {
        let before = self.objects.get(&key).map(|before| &before.value);
        if before != Some(&live.value) {
            self.version += 1;
            live.value["metadata"]["resourceVersion"] = json!(self.version.to_string());
        }
        self.objects.insert(key, live);
    }
}

impl Live {
    fn apply(&mut self, manager: &str, object: &Value) {
        let object = with_keys(object);
        let mut sent = BTreeMap::new();
        leaves(&object, &mut Vec::new(), &mut sent);
        for (path, value) in &sent {
            let there = at(&self.value, path);
            let adds_nothing = *value == json!({}) && there.is_some_and(Value::is_object);
            if there != Some(value) && !adds_nothing {
                set(&mut self.value, path, value.clone());
                self.owners.retain(|other, _| !other.starts_with(path));
            }
            self.owners
                .entry(path.clone())
                .or_default()
                .insert(manager.to_owned());
        }
        let is_given_up = |path: &Path| !sent.contains_key(path);
        let mut gone = Vec::new();
        for (path, managers) in self.owners.iter_mut().filter(|(path, _)| is_given_up(path)) {
            if managers.remove(manager) && managers.is_empty() {
                gone.push(path.clone());
            }
        }
        for path in gone {
            self.owners.remove(&path);
            remove(&mut self.value, &path);
        }
    }

    fn update(&mut self, manager: &str, object: &Value) {
        let object = with_keys(object);
        let mut sent = BTreeMap::new();
        leaves(&object, &mut Vec::new(), &mut sent);
        self.owners.retain(|path, _| sent.contains_key(path));
        for (path, value) in sent {
            if at(&self.value, &path) != Some(&value) {
                self.owners
                    .insert(path, BTreeSet::from([format!("{manager} (update)")]));
            }
        }
        self.value = object;
    }
}

/// What is merged or removed as a whole: everything but a map with something in it.
fn leaves(value: &Value, path: &mut Path, found: &mut BTreeMap<Path, Value>) {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (field, value) in fields {
                path.push(field.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        None => {
            found.insert(path.clone(), value.clone());
        }
    }
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, field| value.get(field))
}

fn set(value: &mut Value, path: &[String], leaf: Value) {
    match path {
        [] => *value = leaf,
        [field, rest @ ..] => {
            if !value.is_object() {
                *value = json!({});
            }
            let fields = value.as_object_mut().unwrap();
            set(fields.entry(field).or_insert(Value::Null), rest, leaf);
        }
    }
}

/// Removes a leaf, and the maps that are empty without it.
fn remove(value: &mut Value, path: &[String]) {
    let Some((field, rest)) = path.split_first() else {
        return;
    };
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    if let Some(inner) = fields.get_mut(field).filter(|_| !rest.is_empty()) {
        remove(inner, rest);
        if inner != &json!({}) {
            return;
        }
    }
    fields.remove(field);
}

/// Owner references as a map by uid, which is how they are merged.
fn with_keys(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(Value::Array(references)) = object
        .pointer_mut("/metadata/ownerReferences")
        .map(Value::take)
    {
        let keyed = references
            .into_iter()
            .map(|reference| (reference["uid"].as_str().unwrap().to_owned(), reference));
        object["metadata"]["ownerReferences"] = Value::Object(keyed.collect());
    }
    object
}

fn with_lists(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(Value::Object(references)) = object
        .pointer_mut("/metadata/ownerReferences")
        .map(Value::take)
    {
        object["metadata"]["ownerReferences"] = references
            .into_iter()
            .map(|(_, reference)| reference)
            .collect();
    }
    object
}

fn merged(value: &Value, patch: &Value) -> Value {
    let Some(patch) = patch.as_object() else {
        return patch.clone();
    };
    let mut fields: Map<String, Value> = value.as_object().cloned().unwrap_or_default();
    for (field, change) in patch {
        if change.is_null() {
            fields.remove(field);
        } else {
            let merged = merged(fields.get(field).unwrap_or(&Value::Null), change);
            fields.insert(field.clone(), merged);
        }
    }
    Value::Object(fields)
}
