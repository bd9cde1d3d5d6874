//! The controllers that a cluster brings along, and the kubelets: they make pods of Deployments and tell who is ready.
//!
//! ```text
//!  write ──► note: what does it concern? ──► queue, a few milliseconds later ──► run: read the store, write what differs
//! ```
//!
//! Invariant: a controller decides from the store alone, never from what it noted, so a note that comes twice or late changes nothing.

mod autoscaler;
mod behaviour;
mod collector;
mod conditions;
mod daemon_set;
mod deployment;
mod endpoints;
mod keda;
mod pods;
mod queue;
mod replica_set;
mod rollout;
mod route;

pub use behaviour::{Behaviour, Which};
pub(crate) use route::Habits;

use crate::clock::Chance;
use crate::json::{dig, list, pairs, text};
use crate::server::Api;
use crate::server::kinds::{self, KindId};
use crate::server::store::{Key, Object, Store, Write};
use pods::Lives;
use queue::Queue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a controller is to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Task {
    /// A workload or an autoscaler.
    Sync(KindId, Key),
    /// The endpoints of a Service.
    Endpoints(Key),
    /// A pod, by its kubelet.
    Pod(Key),
    /// Whether an object's owners still exist.
    Owners(KindId, Key),
    /// What depends on the object with this uid, which is going or gone.
    Dependents(String),
    /// The content of a namespace that is going.
    Namespace(String),
}

/// Everything that runs in the cluster by itself.
#[derive(Debug)]
pub(crate) struct Workloads {
    queue: Queue,
    chance: Chance,
    pub(crate) scripts: Vec<(Which, Behaviour)>,
    lives: Lives,
    pub(crate) broken: BTreeSet<String>,
    wishes: BTreeMap<Key, i64>,
    selectors: BTreeMap<String, BTreeSet<String>>,
    pub(crate) is_stopped: bool,
    /// What the controllers of routes are made to do.
    pub(crate) habits: Habits,
    manager: Arc<str>,
    kubelet: Arc<str>,
    gateway: Arc<str>,
}

impl Workloads {
    pub(crate) fn new(chance: Chance) -> Self {
        Self {
            queue: Queue::default(),
            lives: Lives::new(chance.stream(7)),
            chance,
            scripts: Vec::new(),
            broken: BTreeSet::new(),
            wishes: BTreeMap::new(),
            selectors: BTreeMap::new(),
            is_stopped: false,
            habits: Habits::default(),
            manager: "kube-controller-manager".into(),
            kubelet: "kubelet".into(),
            gateway: "gateway-controller".into(),
        }
    }

    /// When somebody has something to do next.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.is_stopped {
            None
        } else {
            self.queue.next()
        }
    }

    /// Does the next thing that is due; `false` if nothing is.
    pub(crate) fn step(&mut self, api: &mut Api) -> bool {
        let now = Instant::now();
        let task = if self.is_stopped {
            None
        } else {
            self.queue.take(now)
        };
        let Some(task) = task else { return false };
        let again = self.run(&task, api);
        if let Some(again) = again {
            self.queue
                .put(task, now + again.max(Duration::from_millis(1)));
        }
        true
    }

    /// Does one task; the answer is when to look again without being told.
    fn run(&mut self, task: &Task, api: &mut Api) -> Option<Duration> {
        match task {
            Task::Sync(kinds::DEPLOYMENT, key) => deployment::sync(api, key, &self.manager),
            Task::Sync(kinds::REPLICA_SET, key) => {
                replica_set::sync(api, key, &self.manager, &mut self.chance)
            }
            Task::Sync(kinds::DAEMON_SET, key) => {
                daemon_set::sync(api, key, &self.manager, &mut self.chance)
            }
            Task::Sync(kinds::AUTOSCALER, key) => {
                let wish = self.wishes.get(key).copied();
                autoscaler::sync(api, key, &self.manager, wish);
                None
            }
            Task::Sync(kinds::SCALED_OBJECT, key) => {
                keda::sync(api, key, &self.manager);
                None
            }
            Task::Sync(
                id @ (kinds::HTTP_ROUTE | kinds::LINKERD_HTTP_ROUTE | kinds::GRPC_ROUTE),
                key,
            ) => {
                route::sync(api, *id, key, &self.gateway, &self.habits);
                None
            }
            Task::Sync(_, _) => None,
            Task::Endpoints(key) => {
                endpoints::sync(api, key, &self.manager, &mut self.chance);
                None
            }
            Task::Pod(key) => self.sync_pod(api, key),
            Task::Owners(id, key) => {
                collector::check_owners(api, *id, key, &self.manager);
                None
            }
            Task::Dependents(uid) => {
                collector::follow_owner(api, uid, &self.manager);
                None
            }
            Task::Namespace(name) => {
                collector::empty_namespace(api, name, &self.manager);
                None
            }
        }
    }

    fn soon(&mut self, task: Task) {
        let pace = 5 + self.chance.below(10);
        self.queue
            .put(task, Instant::now() + Duration::from_millis(pace));
    }

    /// Works out whom a write concerns.
    pub(crate) fn note(&mut self, write: &Write, store: &Store) {
        let key = &write.key;
        match write.id {
            kinds::DEPLOYMENT
            | kinds::REPLICA_SET
            | kinds::DAEMON_SET
            | kinds::AUTOSCALER
            | kinds::SCALED_OBJECT => {
                self.soon(Task::Sync(write.id, key.clone()));
            }
            kinds::POD => self.note_pod(write, store),
            kinds::SERVICE => {
                self.note_service(write);
                if write.before.is_none() || write.after.is_none() {
                    self.review_routes(store);
                }
            }
            kinds::NODE => self.note_node(store),
            kinds::HTTP_ROUTE | kinds::LINKERD_HTTP_ROUTE | kinds::GRPC_ROUTE => {
                self.note_route(write);
            }
            kinds::GATEWAY => self.review_routes(store),
            _ => {}
        }
        if write.id == kinds::DEPLOYMENT {
            self.note_scaled(key, store);
        }
        self.note_owners(write, store);
        self.note_end(write, store);
    }

    fn note_pod(&mut self, write: &Write, store: &Store) {
        let key = &write.key;
        match (&write.before, &write.after) {
            (_, None) => self.lives.forget(write.before.as_deref()),
            (before, Some(after)) => {
                let began = before
                    .as_deref()
                    .is_none_or(|before| before.is_going() != after.is_going());
                if began || after.is_going() {
                    self.lives.note(after);
                    self.queue.put(Task::Pod(key.clone()), Instant::now());
                }
            }
        }
        let services: BTreeSet<String> = [write.before.as_deref(), write.after.as_deref()]
            .into_iter()
            .flatten()
            .flat_map(|pod| pairs(pod, &["metadata", "labels"]))
            .filter_map(|(label, value)| {
                self.selectors
                    .get(&selector_key(&key.namespace, label, value))
            })
            .flatten()
            .cloned()
            .collect();
        for name in services {
            self.soon(Task::Endpoints(Key::new(key.namespace.as_str(), name)));
        }
        for (id, owner) in owners_of(write, store) {
            if write.after.is_none() {
                self.note_set_of_gone_pod(id, &owner, store);
            }
            self.soon(Task::Sync(id, owner));
        }
    }

    /// A Deployment that recreates waits for the last old pod, which its sets no longer count.
    fn note_set_of_gone_pod(&mut self, id: KindId, key: &Key, store: &Store) {
        let refs = store
            .get(id, key)
            .map_or(&[][..], |set| list(set, &["metadata", "ownerReferences"]));
        let owners: Vec<(KindId, Key)> = refs
            .iter()
            .filter_map(|owner| store.by_uid(text(owner, &["uid"])).cloned())
            .collect();
        for (id, owner) in owners {
            self.soon(Task::Sync(id, owner));
        }
    }

    fn note_service(&mut self, write: &Write) {
        let key = &write.key;
        let first = |object: Option<&Object>| {
            let (label, value) = pairs(object?, &["spec", "selector"]).next()?;
            Some(selector_key(&key.namespace, label, value))
        };
        let (old, new) = (
            first(write.before.as_deref()),
            first(write.after.as_deref()),
        );
        if old != new {
            if let Some(old) = old
                && let Some(names) = self.selectors.get_mut(&old)
            {
                names.remove(&key.name);
            }
            if let Some(new) = new {
                self.selectors
                    .entry(new)
                    .or_default()
                    .insert(key.name.clone());
            }
        }
        self.soon(Task::Endpoints(key.clone()));
    }

    /// A status that is written is no news of a route.
    fn note_route(&mut self, write: &Write) {
        let spec =
            |object: &Option<Arc<Object>>| object.as_ref().map(|it| dig(it, &["spec"]).clone());
        if spec(&write.before) != spec(&write.after) {
            let at = Instant::now() + Duration::from_millis(5) + self.habits.lag;
            self.queue.put(Task::Sync(write.id, write.key.clone()), at);
        }
    }

    /// Looks at all routes again: what they refer to has changed, or the habits of those who look.
    pub(crate) fn review_routes(&mut self, store: &Store) {
        for id in route::ROUTES {
            for route in store.range(id, "", None) {
                let at = Instant::now() + Duration::from_millis(5) + self.habits.lag;
                self.queue.put(Task::Sync(id, route.key()), at);
            }
        }
    }

    fn note_node(&mut self, store: &Store) {
        let keys: Vec<Key> = store
            .range(kinds::DAEMON_SET, "", None)
            .map(|it| it.key())
            .collect();
        for key in keys {
            self.soon(Task::Sync(kinds::DAEMON_SET, key));
        }
        let waiting: Vec<Key> = store
            .range(kinds::POD, "", None)
            .filter(|pod| text(pod, &["spec", "nodeName"]).is_empty())
            .map(|pod| pod.key())
            .collect();
        for key in waiting {
            self.soon(Task::Pod(key));
        }
    }

    /// An autoscaler looks when what it scales changes.
    fn note_scaled(&mut self, key: &Key, store: &Store) {
        for kind in [kinds::AUTOSCALER, kinds::SCALED_OBJECT] {
            let scalers: Vec<Key> = store
                .in_namespace(kind, &key.namespace)
                .filter(|scaler| text(scaler, &["spec", "scaleTargetRef", "name"]) == key.name)
                .map(|scaler| scaler.key())
                .collect();
            for scaler in scalers {
                self.soon(Task::Sync(kind, scaler));
            }
        }
    }

    fn note_owners(&mut self, write: &Write, store: &Store) {
        if write.id == kinds::REPLICA_SET {
            for (id, owner) in owners_of(write, store) {
                self.soon(Task::Sync(id, owner));
            }
        }
        let refs = |object: Option<&Arc<Object>>| {
            dig(
                object.map_or(&serde_json::Value::Null, |it| it),
                &["metadata", "ownerReferences"],
            )
            .clone()
        };
        if let Some(after) = &write.after
            && refs(Some(after)) != refs(write.before.as_ref())
            && !list(after, &["metadata", "ownerReferences"]).is_empty()
        {
            self.soon(Task::Owners(write.id, write.key.clone()));
        }
    }

    fn note_end(&mut self, write: &Write, store: &Store) {
        let Some(object) = write.object() else { return };
        let is_gone = write.after.is_none();
        let waits = object.is_going() && !list(object, &["metadata", "finalizers"]).is_empty();
        let has_dependents = store.dependents(object.uid()).next().is_some();
        if waits || (is_gone && has_dependents) {
            self.soon(Task::Dependents(object.uid().to_owned()));
        }
        if write.id == kinds::NAMESPACE && object.is_going() {
            self.soon(Task::Namespace(write.key.name.clone()));
        }
        if is_gone {
            for owner in list(object, &["metadata", "ownerReferences"]) {
                let uid = text(owner, &["uid"]);
                let is_waiting = store
                    .by_uid(uid)
                    .and_then(|(id, key)| store.get(*id, key))
                    .is_some_and(|owner| owner.is_going());
                if is_waiting {
                    self.soon(Task::Dependents(uid.to_owned()));
                }
            }
            let namespace = store.get(kinds::NAMESPACE, &Key::new("", write.namespace()));
            if namespace.is_some_and(|it| it.is_going()) {
                self.soon(Task::Namespace(write.key.namespace.clone()));
            }
        }
    }

    /// What an autoscaler wants from now on, whatever its metrics say.
    pub(crate) fn wish(&mut self, key: Key, replicas: i64) {
        self.wishes.insert(key.clone(), replicas);
        self.soon(Task::Sync(kinds::AUTOSCALER, key));
    }

    /// Looks at all pods again, after their script has changed.
    pub(crate) fn review_pods(&mut self, store: &Store) {
        for pod in store.range(kinds::POD, "", None) {
            self.queue.put(Task::Pod(pod.key()), Instant::now());
        }
    }

    /// How a pod behaves: the last script that is about it.
    pub(crate) fn behaviour(&self, pod: &Object) -> Behaviour {
        self.scripts
            .iter()
            .rev()
            .find(|(which, _)| which.is_about(pod))
            .map_or_else(Behaviour::healthy, |(_, behaviour)| behaviour.clone())
    }

    /// How long a pod has existed.
    pub(crate) fn born(&self, pod: &Object) -> Option<Instant> {
        self.lives.born(pod.uid())
    }
}

/// Whether a pod answers requests: also while it is stopping.
pub(crate) fn is_serving(pod: &Object) -> bool {
    conditions::is_ready(pod)
}

fn selector_key(namespace: &str, label: &str, value: &str) -> String {
    format!("{namespace}/{label}={value}")
}

/// The workloads that own what was written.
fn owners_of(write: &Write, store: &Store) -> Vec<(KindId, Key)> {
    let refs = write.object().map_or(&[][..], |object| {
        list(object, &["metadata", "ownerReferences"])
    });
    refs.iter()
        .filter_map(|owner| store.by_uid(text(owner, &["uid"])))
        .filter(|(id, _)| {
            matches!(
                *id,
                kinds::DEPLOYMENT | kinds::REPLICA_SET | kinds::DAEMON_SET
            )
        })
        .cloned()
        .collect()
}
