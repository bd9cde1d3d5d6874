//! The watches: one a kind and namespace, begun when the first release needs the kind, never ended. Nothing polls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client};
use serde_json::Value;
use slipway_core::object::{Key, Kind, kinds};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::configs::ConfigVersions;
use super::endpoints::{self, Endpoints};
use super::pods::Pods;
use super::reasons::Reasons;
use super::store::{CanaryKey, Store, Sync};
use crate::opt_in::OptIns;

/// The kind of EndpointSlices, which are counted and not kept.
pub(crate) const ENDPOINT_SLICE: Kind = Kind {
    api_version: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    plural: "endpointslices",
};

/// How many objects of a list are asked for at once: a page is parsed as a whole, and all kinds are listed at the same time. At 500, kube's
/// default, a start with 500 releases took twice the memory that it keeps.
pub(crate) const PAGE: u32 = 100;

/// Everything that the watches have seen. Locks are held for a line and never across an await.
#[derive(Clone)]
pub(crate) struct Watches {
    client: Client,
    mesh: Client,
    life: CancellationToken,
    scopes: Arc<Vec<Option<String>>>,
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) endpoints: Arc<Mutex<Endpoints>>,
    pub(crate) configs: Arc<Mutex<ConfigVersions>>,
    pub(crate) pods: Arc<Mutex<Pods>>,
    pub(crate) reasons: Arc<Mutex<Reasons>>,
    wakes: mpsc::UnboundedSender<CanaryKey>,
    /// Who asks for a Canary by annotations; `None`: nobody is heeded.
    pub(crate) opt_ins: Option<OptIns>,
}

/// A lock whose holder panicked is taken all the same: what it guards is replaced line by line, never left half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a watch keeps of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// Its text and facts.
    Object,
    /// That it changed: bodies of ConfigMaps and Secrets are never stored.
    Version,
    /// How many of its endpoints are ready.
    Endpoints,
    /// What weight is made of, and why it does not run.
    Pod,
}

impl Watches {
    /// No watch yet; `namespaces` empty means the whole cluster. Routing objects are in the cluster of `mesh`; `life` ends every watch.
    pub(crate) fn new(
        client: Client,
        mesh: Client,
        namespaces: &[String],
        wakes: mpsc::UnboundedSender<CanaryKey>,
        life: CancellationToken,
    ) -> Self {
        let scopes = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().cloned().map(Some).collect()
        };
        Self {
            client,
            mesh,
            life,
            scopes: Arc::new(scopes),
            store: Arc::default(),
            endpoints: Arc::default(),
            configs: Arc::default(),
            pods: Arc::default(),
            reasons: Arc::default(),
            wakes,
            opt_ins: None,
        }
    }

    /// Tells these as well of what is seen.
    pub(crate) fn telling(self, opt_ins: Option<OptIns>) -> Self {
        Self { opt_ins, ..self }
    }

    /// Makes sure that a kind is watched, and says whether its objects in that namespace are known.
    pub(crate) fn ensure(&self, kind: Kind, namespace: &str, canary: &CanaryKey) -> Sync {
        self.watch(kind);
        lock(&self.store).sync_of(kind, namespace, canary)
    }

    /// Makes sure that a kind is watched.
    pub(crate) fn watch(&self, kind: Kind) {
        for scope in self.scopes.iter() {
            if lock(&self.store).begin(kind, scope.as_deref()) {
                self.begin(kind, scope.clone());
            }
        }
    }

    /// Whether objects of that namespace are watched at all.
    pub(crate) fn sees(&self, namespace: &str) -> bool {
        let mut scopes = self.scopes.iter().map(Option::as_deref);
        scopes.any(|scope| scope.is_none_or(|scope| scope == namespace))
    }

    fn begin(&self, kind: Kind, scope: Option<String>) {
        let watches = self.clone();
        let keep = match kind {
            kinds::CONFIG_MAP | kinds::SECRET => Keep::Version,
            ENDPOINT_SLICE => Keep::Endpoints,
            kinds::POD => Keep::Pod,
            _ => Keep::Object,
        };
        info!(
            kind = kind.kind,
            scope = scope.as_deref().unwrap_or("all namespaces"),
            "watch begins"
        );
        // The task lives as long as the controller: a watch that fails is begun again by its back-off.
        self.spawn(async move {
            match keep {
                Keep::Version => watches.watch_versions(kind, scope).await,
                Keep::Object | Keep::Endpoints | Keep::Pod => {
                    watches.watch_objects(kind, scope, keep).await;
                }
            }
        });
    }

    fn api<K>(&self, kind: Kind, scope: Option<&str>) -> Api<K>
    where
        K: kube::Resource<DynamicType = ApiResource, Scope = kube::core::DynamicResourceScope>,
    {
        let resource = api_resource(kind);
        let client = if is_routing(kind) {
            self.mesh.clone()
        } else {
            self.client.clone()
        };
        match scope {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    async fn watch_objects(&self, kind: Kind, scope: Option<String>, keep: Keep) {
        loop {
            self.watch_objects_while_served(kind, scope.as_deref(), keep)
                .await;
        }
    }

    /// Watches until the kind is taken away: one that comes back is listed anew.
    async fn watch_objects_while_served(&self, kind: Kind, scope: Option<&str>, keep: Keep) {
        let api: Api<DynamicObject> = self.api(kind, scope);
        let mut events = watch(api, watcher::Config::default().page_size(PAGE))
            .backoff(Backoff::default())
            .boxed();
        while let Some(event) = events.next().await {
            let is_over =
                matches!(&event, Err(watcher::Error::WatchStartFailed(error)) if is_404(error));
            let woken = match event {
                Ok(event) => self.take(kind, scope, keep, event),
                Err(error) => self.fail(kind, scope, &error),
            };
            self.wake(woken);
            if is_over {
                return;
            }
        }
    }

    async fn watch_versions(&self, kind: Kind, scope: Option<String>) {
        let api: Api<PartialObjectMeta<DynamicObject>> = self.api(kind, scope.as_deref());
        let mut events = watch(api, watcher::Config::default().page_size(PAGE))
            .backoff(Backoff::default())
            .boxed();
        while let Some(event) = events.next().await {
            let woken = match event {
                Ok(event) => self.take_version(kind, scope.as_deref(), event),
                Err(error) => self.fail(kind, scope.as_deref(), &error),
            };
            self.wake(woken);
        }
    }

    fn take(
        &self,
        kind: Kind,
        scope: Option<&str>,
        keep: Keep,
        event: Event<DynamicObject>,
    ) -> Vec<CanaryKey> {
        match keep {
            Keep::Endpoints => return self.take_endpoints(scope, event),
            Keep::Pod => return self.take_pod(scope, event),
            Keep::Object | Keep::Version => {}
        }
        let mut store = lock(&self.store);
        match event {
            Event::Init => {
                store.list_begins(kind, scope);
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => match named(kind, object) {
                Some((key, value)) => {
                    let told = self.see_opt_in(&key, Some(&value));
                    let woken = store.put(key, value);
                    drop(store);
                    self.tell_opt_ins(told);
                    woken
                }
                None => Vec::new(),
            },
            Event::Delete(object) => match named(kind, object) {
                Some((key, value)) => {
                    let woken = store.remove(&key, super::store::version_of(&value));
                    drop(store);
                    self.tell_opt_ins(self.see_opt_in(&key, None));
                    woken
                }
                None => Vec::new(),
            },
            Event::InitDone => {
                let woken = store.list_ends(kind, scope);
                drop(store);
                if let Some(opt_ins) = &self.opt_ins {
                    opt_ins.listed(kind);
                }
                woken
            }
        }
    }

    fn see_opt_in(&self, key: &Key, object: Option<&Value>) -> Vec<Key> {
        let opt_ins = self.opt_ins.as_ref();
        opt_ins.map_or_else(Vec::new, |opt_ins| opt_ins.see(key, object))
    }

    fn tell_opt_ins(&self, told: Vec<Key>) {
        if let Some(opt_ins) = &self.opt_ins {
            opt_ins.wake(told);
        }
    }

    fn take_endpoints(&self, scope: Option<&str>, event: Event<DynamicObject>) -> Vec<CanaryKey> {
        let mut endpoints = lock(&self.endpoints);
        match event {
            Event::Init => {
                endpoints.list_begins(scope);
                Vec::new()
            }
            Event::InitApply(slice) | Event::Apply(slice) => endpoints::Slice::of(&slice)
                .map(|slice| endpoints.put(slice))
                .unwrap_or_default(),
            Event::Delete(slice) => endpoints::Slice::of(&slice)
                .map(|slice| endpoints.remove(&slice))
                .unwrap_or_default(),
            Event::InitDone => {
                let mut woken = endpoints.list_ends(scope);
                drop(endpoints);
                woken.extend(lock(&self.store).list_ends(ENDPOINT_SLICE, scope));
                woken
            }
        }
    }

    fn take_pod(&self, scope: Option<&str>, event: Event<DynamicObject>) -> Vec<CanaryKey> {
        let (mut pods, mut reasons) = (lock(&self.pods), lock(&self.reasons));
        match event {
            Event::Init => {
                pods.list_begins(scope);
                reasons.list_begins(scope);
                Vec::new()
            }
            Event::InitApply(pod) | Event::Apply(pod) => {
                let Some((key, pod)) = named(kinds::POD, pod) else {
                    return Vec::new();
                };
                let woken = [pods.put(&key, &pod), reasons.put(&key, &pod)];
                woken.concat()
            }
            Event::Delete(pod) => {
                let Some((key, _)) = named(kinds::POD, pod) else {
                    return Vec::new();
                };
                reasons.remove(&key);
                pods.remove(&key)
            }
            Event::InitDone => {
                let mut woken = pods.list_ends(scope);
                reasons.list_ends(scope);
                drop((pods, reasons));
                woken.extend(lock(&self.store).list_ends(kinds::POD, scope));
                woken
            }
        }
    }

    fn take_version(
        &self,
        kind: Kind,
        scope: Option<&str>,
        event: Event<PartialObjectMeta<DynamicObject>>,
    ) -> Vec<CanaryKey> {
        let mut configs = lock(&self.configs);
        match event {
            Event::Init => {
                configs.list_begins(kind, scope);
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => configs.put(kind, &object.metadata),
            Event::Delete(object) => configs.remove(kind, &object.metadata),
            Event::InitDone => {
                let mut woken = configs.list_ends(kind, scope);
                drop(configs);
                woken.extend(lock(&self.store).list_ends(kind, scope));
                woken
            }
        }
    }

    fn fail(&self, kind: Kind, scope: Option<&str>, error: &watcher::Error) -> Vec<CanaryKey> {
        let Some(why) = why_unavailable(error) else {
            debug!(kind = kind.kind, %error, "watch is begun again");
            return Vec::new();
        };
        warn!(kind = kind.kind, scope = scope.unwrap_or("all namespaces"), %why, "kind cannot be watched");
        let woken = {
            let mut store = lock(&self.store);
            if is_not_served(error) {
                store.not_served(kind, scope, why)
            } else {
                store.unavailable(kind, scope, why)
            }
        };
        if let Some(opt_ins) = &self.opt_ins {
            opt_ins.listed(kind);
        }
        woken
    }

    /// Runs something as long as the controller lives.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let life = self.life.clone();
        tokio::spawn(async move { life.run_until_cancelled(work).await });
    }

    /// Wakes those Canaries.
    pub(crate) fn wake(&self, canaries: Vec<CanaryKey>) {
        for canary in canaries {
            // The receiver lives as long as the controller; without it there is nobody to wake.
            if self.wakes.send(canary).is_err() {
                return;
            }
        }
    }

    /// Forgets a Canary that is gone.
    pub(crate) fn forget(&self, canary: &CanaryKey) {
        lock(&self.store).forget(canary);
        lock(&self.endpoints).forget(canary);
        lock(&self.configs).forget(canary);
        lock(&self.pods).forget(canary);
        lock(&self.reasons).forget(canary);
    }

    /// The object as it is known now.
    pub(crate) fn peek(&self, key: &Key) -> Option<super::store::Stored> {
        lock(&self.store).peek(key)
    }

    /// The objects of a kind and namespace as they are known now.
    pub(crate) fn all(&self, kind: Kind, namespace: &str) -> Vec<Value> {
        let found = lock(&self.store).all(kind, namespace);
        found.iter().map(super::store::Stored::value).collect()
    }

    /// Keeps the answer of a write of ours.
    pub(crate) fn written(&self, key: Key, object: Value) {
        if key.kind() == kinds::POD {
            lock(&self.pods).written(&key, &object);
        } else {
            lock(&self.store).written(key, object);
        }
    }
}

/// Whether objects of this kind route: they live where the mesh is managed. Ingresses and Knative Services are the main cluster's.
///
/// **Source**: dossier 02 A.3.
pub(crate) fn is_routing(kind: Kind) -> bool {
    let group = kind
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    let of_the_cluster = [
        "apps",
        "autoscaling",
        "discovery.k8s.io",
        "networking.k8s.io",
        "serving.knative.dev",
        "keda.sh",
        "",
    ];
    !of_the_cluster.contains(&group)
}

/// The kind for kube's dynamic API.
pub(crate) fn api_resource(kind: Kind) -> ApiResource {
    let (group, version) = kind
        .api_version
        .split_once('/')
        .unwrap_or(("", kind.api_version));
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, version, kind.kind),
        kind.plural,
    )
}

fn named(kind: Kind, object: DynamicObject) -> Option<(Key, Value)> {
    let (namespace, name) = (
        object.metadata.namespace.clone()?,
        object.metadata.name.clone()?,
    );
    Some((
        kind.named(&namespace, &name),
        serde_json::to_value(object).ok()?,
    ))
}

/// How long a watch that failed waits before it is begun again: a second, doubling to half a minute. A kind that is installed later is thus
/// noticed within half a minute. Without chance, so that a run in virtual time can be played again.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let seconds = 1_u64.checked_shl(self.failures).unwrap_or(30).min(30);
        self.failures = self.failures.saturating_add(1).min(8);
        Some(Duration::from_secs(seconds))
    }
}

impl kube::runtime::utils::Backoff for Backoff {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Whether the kind itself is gone, and all of its objects with it: a right that is refused may be a moment's.
fn is_not_served(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => {
            is_404(error)
        }
        watcher::Error::WatchFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

fn is_404(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Why a kind cannot be had at all: it is not served, or may not be read. Anything else passes by itself.
pub(crate) fn why_unavailable(error: &watcher::Error) -> Option<String> {
    let source = match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => source,
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => return None,
    };
    let kube::Error::Api(status) = source else {
        return None;
    };
    matches!(status.code, 401 | 403 | 404).then(|| status.message.clone())
}
