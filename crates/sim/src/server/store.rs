//! The objects, their history and who follows it.
//!
//! Guarantees: every write gets the next resource version; a watch sees each write of its kind once and in order; an object is never changed in
//! place, so whoever holds one holds what it was.

use super::kinds::{self, Kind, KindId};
pub(crate) use super::object::{Cause, Content, Key, Object, Write};
use super::watch::{Form, Watch};
use crate::json::{list, pairs, text};
use bytes::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// How many writes of one kind a watch can be resumed over.
const HISTORY: usize = 1000;

#[derive(Debug, Default)]
struct Table {
    objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Event>,
    /// The newest version that the history has forgotten.
    forgotten: u64,
    watches: Vec<Watch>,
}

/// One entry of the history.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) before: Option<Arc<Object>>,
    pub(crate) after: Option<Arc<Object>>,
    departed: OnceLock<Arc<Object>>,
}

impl Event {
    /// The object as it was, at this event's version: what a follower is told whose selection it has left.
    pub(crate) fn departed(&self) -> Option<&Object> {
        let before = self.before.as_deref()?;
        Some(
            self.departed
                .get_or_init(|| Arc::new(before.renumbered(self.version))),
        )
    }
}

/// All objects of one cluster.
#[derive(Debug)]
pub(crate) struct Store {
    tables: Vec<Table>,
    version: u64,
    latest: Arc<AtomicU64>,
    writes: Vec<Write>,
    uids: HashMap<String, (KindId, Key)>,
    dependents: HashMap<String, BTreeSet<(KindId, Key)>>,
    labelled: HashMap<String, BTreeSet<String>>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            tables: Vec::new(),
            version: 100,
            latest: Arc::new(AtomicU64::new(100)),
            writes: Vec::new(),
            uids: HashMap::new(),
            dependents: HashMap::new(),
            labelled: HashMap::new(),
        }
    }

    /// The newest resource version.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The newest resource version whose events all watches have been given.
    pub(crate) fn latest(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.latest)
    }

    /// The writes since the last call.
    pub(crate) fn drain(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }

    pub(crate) fn get(&self, kind: KindId, key: &Key) -> Option<&Arc<Object>> {
        self.tables.get(kind.0)?.objects.get(key)
    }

    /// All objects of a kind, or those of one namespace, from a key on.
    pub(crate) fn range<'a>(
        &'a self,
        kind: KindId,
        namespace: &'a str,
        after: Option<&Key>,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let start = match after {
            Some(key) => Bound::Excluded(key.clone()),
            None => Bound::Included(Key::new(namespace, "")),
        };
        self.tables
            .get(kind.0)
            .into_iter()
            .flat_map(move |table| table.objects.range((start.clone(), Bound::Unbounded)))
            .take_while(move |(key, _)| namespace.is_empty() || key.namespace == namespace)
            .map(|(_, object)| object)
    }

    pub(crate) fn in_namespace<'a>(
        &'a self,
        kind: KindId,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        self.range(kind, namespace, None)
    }

    /// The object that has this uid now.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<&(KindId, Key)> {
        self.uids.get(uid)
    }

    /// The objects that name this uid as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> impl Iterator<Item = &(KindId, Key)> {
        self.dependents.get(uid).into_iter().flatten()
    }

    /// The objects of one kind that name this uid as an owner.
    pub(crate) fn owned<'a>(
        &'a self,
        uid: &str,
        kind: KindId,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        self.dependents(uid)
            .filter(move |(it, _)| *it == kind)
            .filter_map(|(it, key)| self.get(*it, key))
    }

    /// The pods of a namespace that a simple selector selects.
    pub(crate) fn pods(&self, namespace: &str, selector: &Value) -> Vec<&Arc<Object>> {
        let mut pairs = pairs(selector, &[]);
        let Some((key, value)) = pairs.next() else {
            return Vec::new();
        };
        let names = self.labelled.get(&label_key(namespace, key, value));
        let rest: Vec<(&str, &str)> = pairs.collect();
        names
            .into_iter()
            .flatten()
            .filter_map(|name| self.get(kinds::POD, &Key::new(namespace, name.as_str())))
            .filter(|pod| {
                rest.iter()
                    .all(|(key, value)| text(pod, &["metadata", "labels", key]) == *value)
            })
            .collect()
    }

    /// Stores a new state of an object and tells everybody.
    pub(crate) fn put(
        &mut self,
        id: KindId,
        kind: &Arc<Kind>,
        content: Content,
        cause: &Cause,
    ) -> Arc<Object> {
        self.version += 1;
        let after = Arc::new(Object::of(content, self.version));
        let key = after.key();
        let before = self
            .table(id)
            .objects
            .insert(key.clone(), Arc::clone(&after));
        self.index(id, &key, before.as_deref(), Some(&after));
        self.tell(id, kind, key, before, Some(Arc::clone(&after)), cause);
        after
    }

    /// Takes an object out and tells everybody.
    pub(crate) fn remove(
        &mut self,
        id: KindId,
        kind: &Arc<Kind>,
        key: &Key,
        cause: &Cause,
    ) -> Option<Arc<Object>> {
        let gone = self.table(id).objects.remove(key)?;
        self.version += 1;
        self.index(id, key, Some(&gone), None);
        // A deletion carries the version at which it happened, so that a watch can be resumed after it.
        let last = Arc::new(gone.renumbered(self.version));
        self.tell(id, kind, key.clone(), Some(Arc::clone(&last)), None, cause);
        Some(last)
    }

    fn table(&mut self, id: KindId) -> &mut Table {
        if self.tables.len() <= id.0 {
            self.tables.resize_with(id.0 + 1, Table::default);
        }
        #[expect(clippy::indexing_slicing, reason = "made long enough just above")]
        &mut self.tables[id.0]
    }

    fn tell(
        &mut self,
        id: KindId,
        kind: &Arc<Kind>,
        key: Key,
        before: Option<Arc<Object>>,
        after: Option<Arc<Object>>,
        cause: &Cause,
    ) {
        let event = Event {
            version: self.version,
            before: before.clone(),
            after: after.clone(),
            departed: OnceLock::new(),
        };
        let table = self.table(id);
        deliver(&mut table.watches, &event);
        table.history.push_back(event);
        if table.history.len() > HISTORY
            && let Some(oldest) = table.history.pop_front()
        {
            table.forgotten = oldest.version;
        }
        self.latest.store(self.version, Ordering::Release);
        self.writes.push(Write {
            at: cause.at,
            by: Arc::clone(&cause.by),
            verb: cause.verb,
            subresource: cause.subresource.clone(),
            before,
            after,
            kind: Arc::clone(kind),
            id,
            key,
        });
    }

    fn index(&mut self, id: KindId, key: &Key, before: Option<&Object>, after: Option<&Object>) {
        if before.map(Object::uid) != after.map(Object::uid) {
            if let Some(before) = before {
                self.uids.remove(before.uid());
            }
            if let Some(after) = after {
                self.uids.insert(after.uid().to_owned(), (id, key.clone()));
            }
        }
        let (old, new) = (owners(before), owners(after));
        for uid in old.iter().filter(|uid| !new.contains(uid)) {
            if let Some(children) = self.dependents.get_mut(*uid) {
                children.remove(&(id, key.clone()));
                if children.is_empty() {
                    self.dependents.remove(*uid);
                }
            }
        }
        for uid in new.iter().filter(|uid| !old.contains(uid)) {
            let children = self.dependents.entry((*uid).to_owned()).or_default();
            children.insert((id, key.clone()));
        }
        if id == kinds::POD {
            self.index_labels(key, before, after);
        }
    }

    fn index_labels(&mut self, key: &Key, before: Option<&Object>, after: Option<&Object>) {
        let labels = |object: Option<&Object>| -> Vec<String> {
            object
                .into_iter()
                .flat_map(|object| pairs(object, &["metadata", "labels"]))
                .map(|(name, value)| label_key(&key.namespace, name, value))
                .collect()
        };
        let (old, new) = (labels(before), labels(after));
        for label in old.iter().filter(|label| !new.contains(label)) {
            if let Some(names) = self.labelled.get_mut(label) {
                names.remove(&key.name);
                if names.is_empty() {
                    self.labelled.remove(label);
                }
            }
        }
        for label in new.into_iter().filter(|label| !old.contains(label)) {
            self.labelled
                .entry(label)
                .or_default()
                .insert(key.name.clone());
        }
    }

    /// The events after `version`, `None` if the history does not reach back so far.
    pub(crate) fn since(&self, id: KindId, version: u64) -> Option<impl Iterator<Item = &Event>> {
        let table = self.tables.get(id.0);
        if table.is_some_and(|table| version < table.forgotten) {
            return None;
        }
        let events = table.into_iter().flat_map(|table| table.history.iter());
        Some(events.filter(move |event| event.version > version))
    }

    pub(crate) fn follow(&mut self, id: KindId, watch: Watch) {
        self.table(id).watches.push(watch);
    }

    /// Every watch that is open.
    pub(crate) fn watches(&self) -> impl Iterator<Item = &Watch> {
        self.tables.iter().flat_map(|table| &table.watches)
    }

    pub(crate) fn watches_of(&self, id: KindId) -> impl Iterator<Item = &Watch> {
        self.tables
            .get(id.0)
            .into_iter()
            .flat_map(|table| &table.watches)
    }

    /// Forgets the whole history, so that watches can only be resumed from now on.
    pub(crate) fn compact(&mut self) {
        let version = self.version;
        for table in &mut self.tables {
            table.history.clear();
            table.forgotten = version;
        }
    }
}

fn label_key(namespace: &str, name: &str, value: &str) -> String {
    format!("{namespace}/{name}={value}")
}

fn owners(object: Option<&Object>) -> Vec<&str> {
    object
        .into_iter()
        .flat_map(|object| list(object, &["metadata", "ownerReferences"]))
        .map(|owner| text(owner, &["uid"]))
        .collect()
}

/// Gives an event to every watch that it concerns; equal forms share one text.
fn deliver(watches: &mut Vec<Watch>, event: &Event) {
    let mut made: Vec<(Form, &'static str, Bytes)> = Vec::new();
    watches.retain(|watch| {
        let Some((class, object)) = watch.sees(event) else {
            return watch.is_open();
        };
        let known = made
            .iter()
            .find(|(form, it, _)| *form == watch.form && *it == class)
            .map(|(_, _, line)| line.clone());
        let line = known.unwrap_or_else(|| {
            let line = watch.form.line(class, object);
            made.push((watch.form.clone(), class, line.clone()));
            line
        });
        watch.send(line)
    });
}
