//! What the watches have seen, kept small: one compact text an object, and the facts that are judged.
//!
//! Guarantees: an object here is never older than our own last write of it (the answer of a write is kept if it is newer), and an object that
//! was deleted does not come back by a late answer. Assumes that resourceVersions of one kind can be compared as numbers, which Kubernetes
//! documents since 1.35 and has always been so with etcd.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;
use slipway_api::names::annotation;
use slipway_core::object::{Key, Kind};
use slipway_core::observation::Workload;

/// The Canary that is to be looked at again: namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CanaryKey {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

/// One object, as small as it can be kept.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its JSON text without managedFields.
    text: Arc<str>,
    /// Its resourceVersion as a number; 0 when it is none.
    version: u64,
    /// What is judged of a workload.
    workload: Option<Arc<Workload>>,
    /// Its annotations of ours, which tune a release when it is a target.
    tuning: BTreeMap<String, String>,
    /// Whether plain writes of Flagger's, or our own creation, stand among its managedFields: it is adopted before the first apply (A3).
    pub(crate) needs_adoption: bool,
}

impl Stored {
    /// The object.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Its annotations of ours.
    pub(crate) fn tuning(&self) -> &BTreeMap<String, String> {
        &self.tuning
    }

    /// What is judged of it, if it is a workload.
    pub(crate) fn workload(&self) -> Option<&Workload> {
        self.workload.as_deref()
    }
}

/// Whether the objects of a kind are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// The first list has not come yet.
    Coming,
    /// All of them are here.
    Done,
    /// They cannot be had: the kind is not served, or may not be read; in the API server's words.
    Unavailable(String),
}

/// The objects of every watched kind, and who is interested in which.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: HashMap<Key, Stored>,
    gone: HashMap<Key, u64>,
    /// What we applied last in this life, by its digest: a field that is no longer sent must go, so that another content is always sent.
    applied: HashMap<Key, u64>,
    sync: HashMap<(Kind, Option<String>), Sync>,
    listed: HashMap<(Kind, Option<String>), HashSet<Key>>,
    /// A list, since it names one Canary or two: the least set is ten times its size.
    interest: HashMap<Key, Vec<CanaryKey>>,
    kind_interest: HashMap<Kind, BTreeSet<CanaryKey>>,
}

/// How many deleted objects are remembered against late answers before the memory is cleared.
const GONE_AT_MOST: usize = 4096;

impl Store {
    /// The object, and from now on its changes wake that Canary.
    pub(crate) fn get(&mut self, key: &Key, canary: &CanaryKey) -> Option<Stored> {
        let interested = self.interest.entry(key.clone()).or_default();
        if !interested.contains(canary) {
            interested.reserve_exact(1);
            interested.push(canary.clone());
        }
        self.objects.get(key).cloned()
    }

    /// The object, without interest in its changes.
    pub(crate) fn peek(&self, key: &Key) -> Option<Stored> {
        self.objects.get(key).cloned()
    }

    /// Whether the objects of this kind in that namespace are known, and from now on a change of that wakes the Canary.
    pub(crate) fn sync_of(&mut self, kind: Kind, namespace: &str, canary: &CanaryKey) -> Sync {
        self.kind_interest
            .entry(kind)
            .or_default()
            .insert(canary.clone());
        let scoped = self.sync.get(&(kind, Some(namespace.to_owned())));
        scoped
            .or_else(|| self.sync.get(&(kind, None)))
            .cloned()
            .unwrap_or(Sync::Coming)
    }

    /// Whether the objects of this kind in that namespace are known, or cannot be had.
    pub(crate) fn is_known(&self, kind: Kind, namespace: &str) -> bool {
        let scoped = self.sync.get(&(kind, Some(namespace.to_owned())));
        let state = scoped.or_else(|| self.sync.get(&(kind, None)));
        state.is_some_and(|state| *state != Sync::Coming)
    }

    /// The objects of a kind and namespace; every object is looked at for it.
    pub(crate) fn all(&self, kind: Kind, namespace: &str) -> Vec<Stored> {
        let named = |key: &Key| key.kind() == kind && key.namespace == namespace;
        let found = self.objects.iter().filter(|(key, _)| named(key));
        found.map(|(_, stored)| stored.clone()).collect()
    }

    /// Whether a watch of this kind and scope was begun.
    pub(crate) fn begin(&mut self, kind: Kind, scope: Option<&str>) -> bool {
        let key = (kind, scope.map(str::to_owned));
        if self.sync.contains_key(&key) {
            return false;
        }
        self.sync.insert(key, Sync::Coming);
        true
    }

    /// A list begins.
    pub(crate) fn list_begins(&mut self, kind: Kind, scope: Option<&str>) {
        self.listed
            .insert((kind, scope.map(str::to_owned)), HashSet::new());
    }

    /// An object of a list, or a change of one; who is to be woken.
    pub(crate) fn put(&mut self, key: Key, object: Value) -> Vec<CanaryKey> {
        self.keep(key, object)
    }

    /// The answer of a write of ours: kept unless something newer is here.
    pub(crate) fn written(&mut self, key: Key, object: Value) {
        if self
            .gone
            .get(&key)
            .is_some_and(|gone| *gone >= version_of(&object))
        {
            return;
        }
        // We know of the change: nobody has to be woken by it.
        let _woken = self.keep(key, object);
    }

    fn keep(&mut self, key: Key, object: Value) -> Vec<CanaryKey> {
        let version = version_of(&object);
        for ((kind, _), listed) in &mut self.listed {
            if *kind == key.kind() {
                listed.insert(key.clone());
            }
        }
        if self
            .objects
            .get(&key)
            .is_some_and(|known| known.version >= version && version > 0)
        {
            return Vec::new();
        }
        self.gone.remove(&key);
        let stored = compact(&key, object);
        let woken = self.interested(&key);
        self.objects.insert(key, stored);
        woken
    }

    /// Whether this content differs from what was applied last in this life.
    pub(crate) fn is_news(&self, key: &Key, content: u64) -> bool {
        self.applied
            .get(key)
            .is_some_and(|applied| *applied != content)
    }

    /// Notes what was applied, or found to be there already.
    pub(crate) fn note_applied(&mut self, key: &Key, content: u64) {
        self.applied.insert(key.clone(), content);
    }

    /// An object is gone; who is to be woken.
    pub(crate) fn remove(&mut self, key: &Key, version: u64) -> Vec<CanaryKey> {
        if self.gone.len() >= GONE_AT_MOST {
            self.gone.clear();
        }
        self.gone.insert(key.clone(), version);
        self.applied.remove(key);
        self.objects.remove(key);
        self.interested(key)
    }

    /// A list is complete: what it did not name is gone. Who is to be woken.
    pub(crate) fn list_ends(&mut self, kind: Kind, scope: Option<&str>) -> Vec<CanaryKey> {
        let key = (kind, scope.map(str::to_owned));
        let listed = self.listed.remove(&key).unwrap_or_default();
        let lost: Vec<Key> = self
            .objects
            .keys()
            .filter(|known| {
                known.kind() == kind && scope.is_none_or(|scope| scope == known.namespace)
            })
            .filter(|known| !listed.contains(*known))
            .cloned()
            .collect();
        let mut woken: BTreeSet<CanaryKey> =
            lost.iter().flat_map(|key| self.remove(key, 0)).collect();
        if self.sync.insert(key, Sync::Done) != Some(Sync::Done) {
            woken.extend(self.kind_interest.get(&kind).into_iter().flatten().cloned());
        }
        woken.into_iter().collect()
    }

    /// The kind cannot be had; who is to be woken. What was listed once is believed on.
    pub(crate) fn unavailable(
        &mut self,
        kind: Kind,
        scope: Option<&str>,
        why: String,
    ) -> Vec<CanaryKey> {
        if self.sync.get(&(kind, scope.map(str::to_owned))) == Some(&Sync::Done) {
            return Vec::new();
        }
        self.not_served(kind, scope, why)
    }

    /// The kind is not served, or not any more; who is to be woken.
    pub(crate) fn not_served(
        &mut self,
        kind: Kind,
        scope: Option<&str>,
        why: String,
    ) -> Vec<CanaryKey> {
        let state = Sync::Unavailable(why);
        let key = (kind, scope.map(str::to_owned));
        if self.sync.get(&key) == Some(&state) {
            return Vec::new();
        }
        self.sync.insert(key, state);
        self.kind_interest
            .get(&kind)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Forgets a Canary that is gone.
    pub(crate) fn forget(&mut self, canary: &CanaryKey) {
        for interested in self.kind_interest.values_mut() {
            interested.remove(canary);
        }
        self.interest.retain(|_, interested| {
            interested.retain(|known| known != canary);
            !interested.is_empty()
        });
    }

    fn interested(&self, key: &Key) -> Vec<CanaryKey> {
        self.interest
            .get(key)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

/// The resourceVersion of an object as a number.
pub(crate) fn version_of(object: &Value) -> u64 {
    let version = object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str);
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

fn compact(key: &Key, mut object: Value) -> Stored {
    let version = version_of(&object);
    let managers = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let needs_adoption = managers.is_some_and(|entries| entries.iter().any(is_plain_write));
    let tuning = tuning_of(&object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let workload =
        slipway_workloads::workload(key.kind()).map(|target| Arc::new(target.observe(&object)));
    Stored {
        text: object.to_string().into(),
        version,
        workload,
        tuning,
        needs_adoption,
    }
}

/// The annotations of ours on an object.
fn tuning_of(object: &Value) -> BTreeMap<String, String> {
    let all = object
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let ours = all
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.starts_with(annotation::PREFIX));
    ours.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Whether an entry of managedFields is a plain write of Flagger's or ours to the object itself.
fn is_plain_write(entry: &Value) -> bool {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    let is_of_a_controller = slipway_workloads::adopt::MANAGERS.contains(&text("manager"));
    is_of_a_controller && text("operation") == "Update" && text("subresource").is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_core::object::kinds;

    use super::*;

    fn service(version: &str) -> (Key, Value) {
        let key = kinds::SERVICE.named("test", "app");
        (
            key,
            json!({"metadata": {"name": "app", "namespace": "test", "resourceVersion": version}}),
        )
    }

    fn canary() -> CanaryKey {
        CanaryKey {
            namespace: "test".into(),
            name: "app".into(),
        }
    }

    #[test]
    fn an_older_event_does_not_undo_the_answer_of_our_own_write() {
        let mut store = Store::default();
        let (key, new) = service("10");
        store.get(&key, &canary());
        store.written(key.clone(), new);
        let (_, old) = service("9");
        assert!(store.put(key.clone(), old).is_empty());
        assert_eq!(store.peek(&key).map(|stored| stored.version), Some(10));
    }

    #[test]
    fn a_late_answer_does_not_bring_a_deleted_object_back() {
        let mut store = Store::default();
        let (key, object) = service("10");
        assert!(store.remove(&key, 11).is_empty());
        store.written(key.clone(), object);
        assert!(store.peek(&key).is_none());
    }

    #[test]
    fn a_list_removes_what_it_does_not_name_and_wakes_who_is_interested() {
        let mut store = Store::default();
        assert!(store.begin(kinds::SERVICE, None) && !store.begin(kinds::SERVICE, None));
        let (key, object) = service("3");
        store.get(&key, &canary());
        assert_eq!(store.put(key.clone(), object), vec![canary()]);
        assert_eq!(
            store.sync_of(kinds::SERVICE, "test", &canary()),
            Sync::Coming
        );
        store.list_begins(kinds::SERVICE, None);
        assert_eq!(store.list_ends(kinds::SERVICE, None), vec![canary()]);
        assert!(store.peek(&key).is_none());
        assert_eq!(store.sync_of(kinds::SERVICE, "test", &canary()), Sync::Done);
        store.forget(&canary());
        let (key, object) = service("4");
        assert!(store.put(key, object).is_empty());
    }
}
