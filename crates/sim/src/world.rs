//! The world: one value, one seed, one clock.

use crate::clock::Clock;
use crate::engine::{Inner, lock};
use crate::faults::Faults;
use crate::mesh::{Mesh, Plane};
use crate::prometheus::Prometheus;
use crate::receivers::Receivers;
use crate::reply::ReplyBody;
use crate::server::admission::Review;
use crate::server::store::{Key, Object, Write};
use crate::server::watch::Message;
use crate::server::{Failure, kinds};
use crate::service::{Broken, ClientService};
use crate::user::User;
use crate::users::Users;
use crate::workloads::{Behaviour, Which};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A simulated cluster and everything around it; a handle, cheap to clone.
///
/// It lives as long as one handle or one client connection does.
#[derive(Clone, Debug)]
pub struct World {
    inner: Arc<Inner>,
}

impl World {
    /// An empty cluster: the namespaces `default` and `kube-system`, one node, no custom kinds.
    ///
    /// Must be called inside of a tokio runtime, and one with a paused clock if time is to be virtual: see [`crate::runtime`].
    pub fn new(seed: u64) -> Self {
        Self::with_clock(seed, Clock::start())
    }

    /// The same, at this time of day instead of the first day of 2026: for clients that compare with their own clock, as kubectl does.
    pub fn starting_at(seed: u64, time: DateTime<Utc>) -> Self {
        Self::with_clock(seed, Clock::starting_at(time))
    }

    fn with_clock(seed: u64, clock: Clock) -> Self {
        let world = Self {
            inner: Inner::start(seed, clock),
        };
        world.begin();
        world
    }

    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    fn begin(&self) {
        let by: Arc<str> = "cluster".into();
        self.inner.with(|state| {
            for name in ["default", "kube-system"] {
                state
                    .api
                    .make(kinds::NAMESPACE, json!({"metadata": {"name": name}}), &by);
            }
        });
        self.add_node("node-0", &[]);
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The virtual time of day.
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.clock().now()
    }

    /// The clock, for whoever needs the time without the world.
    pub fn clock(&self) -> Clock {
        self.inner.clock()
    }

    /// How long every request of a client takes on its way; none at first.
    pub fn set_latency(&self, latency: Duration) {
        *lock(&self.inner.latency) = latency;
    }

    // Clients and their faults.

    /// A new connection for the client of this name: `kube::Client::new(world.client_service("slipway"), "default")`.
    ///
    /// A client that was killed by a fault starts again with a new connection; its faults and numbers go on.
    pub fn client_service(&self, identity: &str) -> ClientService {
        ClientService::new(Arc::clone(&self.inner), self.faults(identity))
    }

    /// The faults of the client of this name, which need not exist yet.
    pub fn faults(&self, identity: &str) -> Faults {
        lock(&self.inner.clients)
            .entry(identity.to_owned())
            .or_insert_with(|| Faults::new(identity))
            .clone()
    }

    /// Lets the watches of a client lag: each event comes `delay` later, and only when `behind` newer ones wait behind it.
    pub fn lag_watches(&self, identity: &str, delay: Duration, behind: usize) {
        self.faults(identity).set_lag(|lag| {
            lag.delay = delay;
            lag.behind = behind;
        });
        self.tell_watches(identity, || Message::Poke);
    }

    /// Gives the watches of a client every event twice, or once again.
    pub fn repeat_watch_events(&self, identity: &str, is_on: bool) {
        self.faults(identity).set_lag(|lag| lag.duplicates = is_on);
        self.tell_watches(identity, || Message::Poke);
    }

    /// Ends all watches of a client, as a closed connection does.
    pub fn drop_watches(&self, identity: &str) {
        self.tell_watches(identity, || Message::End);
    }

    /// Ends all watches of a client with `410 Gone` and forgets the history, so that it must list again.
    pub fn expire_watches(&self, identity: &str) {
        self.inner.with(|state| state.api.compact());
        self.tell_watches(identity, || Message::Expire);
    }

    fn tell_watches(&self, identity: &str, message: impl Fn() -> Message) {
        self.inner.with(|state| {
            for watch in state
                .api
                .store
                .watches()
                .filter(|watch| *watch.client == *identity)
            {
                watch.tell(message());
            }
        });
    }

    // The cluster.

    /// A person or program that writes under this name and field manager, without faults.
    pub fn user(&self, name: &str) -> User {
        User::new(self.clone(), self.faults(name))
    }

    fn kubectl(&self) -> User {
        self.user("kubectl")
    }

    /// [`User::apply`] by `kubectl`.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn apply(&self, object: &Value) -> Result<Value, Failure> {
        self.kubectl().apply(object)
    }

    /// [`User::patch`] by `kubectl`.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn patch(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Failure> {
        self.kubectl().patch(kind, namespace, name, patch)
    }

    /// [`User::set_image`] of a Deployment by `kubectl`.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn set_image(
        &self,
        namespace: &str,
        deployment: &str,
        image: &str,
    ) -> Result<Value, Failure> {
        self.kubectl()
            .set_image("deployment", namespace, deployment, image)
    }

    /// [`User::delete`] by `kubectl`.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<Value, Failure> {
        self.kubectl().delete(kind, namespace, name)
    }

    /// An object as it is now; kinds are named as for kubectl (`deployment`, `vs`, `canaries.flagger.app`).
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.kubectl().get(kind, namespace, name).ok()
    }

    /// All objects of a kind in a namespace, or everywhere if that is empty; none if the kind does not exist.
    pub fn list(&self, kind: &str, namespace: &str) -> Vec<Arc<Object>> {
        self.kubectl().list(kind, namespace).unwrap_or_default()
    }

    /// Installs a custom kind that is known by name, without a schema: every field is kept.
    ///
    /// Known are `canaries`, `metrictemplates` and `alertproviders` of `flagger.app`, `virtualservices` and `destinationrules` of
    /// `networking.istio.io`, `trafficsplits.split.smi-spec.io`, `httproutes`, `grpcroutes` and `gateways` of `gateway.networking.k8s.io`,
    /// `httproutes.policy.linkerd.io` and `scaledobjects.keda.sh`. Any other kind, or one of these with its schema, is installed by applying its `CustomResourceDefinition`.
    ///
    /// Returns whether the name is known.
    pub fn install(&self, name: &str) -> bool {
        kinds::definition(name).is_some_and(|definition| self.apply(&definition).is_ok())
    }

    /// Installs all custom kinds that are known by name.
    pub fn install_all(&self) {
        for name in KNOWN {
            self.install(name);
        }
    }

    /// Takes a custom kind away, with all its objects; its paths answer 404 from now on.
    pub fn uninstall(&self, name: &str) {
        // Nothing to take away is as good as taken away.
        drop(self.delete("crd", "", name));
    }

    /// Lets an admission webhook of this name judge every write; what it returns is why it refuses.
    pub fn admit(
        &self,
        name: &str,
        judge: impl Fn(&Review<'_>) -> Option<String> + Send + 'static,
    ) {
        self.inner
            .with(|state| state.api.webhooks.add(name, Box::new(judge)));
    }

    /// Takes an admission webhook away.
    pub fn stop_admitting(&self, name: &str) {
        self.inner.with(|state| state.api.webhooks.remove(name));
    }

    /// Takes a right from a user: a verb on a resource of a group, with its subresource (`deployments/scale`). Requests that need it are
    /// refused from now on, and reviews say so.
    pub fn deny(&self, user: &str, verb: &str, group: &str, resource: &str) {
        self.inner
            .with(|state| state.api.rights.deny(user, verb, group, resource));
    }

    // Pods and nodes.

    /// Adds a node with these labels beside the ones that every node has.
    pub fn add_node(&self, name: &str, labels: &[(&str, &str)]) {
        let by: Arc<str> = "cluster".into();
        let mut all = json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"});
        for (label, value) in labels {
            crate::json::set(&mut all, &[label], *value);
        }
        let node = json!({
            "metadata": {"name": name, "labels": all},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        self.inner
            .with(|state| state.api.make(kinds::NODE, node, &by));
    }

    /// Says how pods behave from now on, those that exist included; a later script goes before an earlier one.
    pub fn script(&self, which: Which, behaviour: Behaviour) {
        self.inner.with(|state| {
            state.workloads.scripts.retain(|(known, _)| *known != which);
            state.workloads.scripts.push((which, behaviour));
            state.workloads.review_pods(&state.api.store);
            let (traffic, eye) = state.traffic_and_eye();
            traffic.look_again(eye);
        });
    }

    /// Makes the pods of a namespace that `which` is about unready until [`Self::mend_pods`]; pods made later are not concerned.
    ///
    /// Returns how many there are.
    pub fn break_pods(&self, namespace: &str, which: impl Fn(&Object) -> bool) -> usize {
        self.inner.with(|state| {
            let pods = state
                .api
                .store
                .in_namespace(kinds::POD, namespace)
                .filter(|pod| which(pod));
            let uids: Vec<String> = pods.map(|pod| pod.uid().to_owned()).collect();
            let count = uids.len();
            state.workloads.broken.extend(uids);
            state.workloads.review_pods(&state.api.store);
            count
        })
    }

    /// Makes all broken pods well again.
    pub fn mend_pods(&self) {
        self.inner.with(|state| {
            state.workloads.broken.clear();
            state.workloads.review_pods(&state.api.store);
        });
    }

    /// Takes the pods of a namespace that `which` is about out at once, as when their node dies; their controllers make new ones.
    ///
    /// Returns how many there were.
    pub fn kill_pods(&self, namespace: &str, which: impl Fn(&Object) -> bool) -> usize {
        let by: Arc<str> = "cluster".into();
        self.inner.with(|state| {
            let pods = state
                .api
                .store
                .in_namespace(kinds::POD, namespace)
                .filter(|pod| which(pod));
            let keys: Vec<_> = pods.map(|pod| pod.key()).collect();
            for key in &keys {
                state.api.finish(kinds::POD, key, &by);
            }
            keys.len()
        })
    }

    /// What an autoscaler wants from now on; within its bounds it gets it, and nothing while its target has no replicas.
    pub fn set_autoscaler(&self, namespace: &str, name: &str, replicas: u32) {
        let key = Key::new(namespace, name);
        self.inner
            .with(|state| state.workloads.wish(key, i64::from(replicas)));
    }

    /// Stops all controllers and kubelets of the cluster, or lets them go on: the API server alone answers meanwhile.
    pub fn stop_cluster(&self, is_stopped: bool) {
        self.inner
            .with(|state| state.workloads.is_stopped = is_stopped);
    }

    // Traffic.

    /// The users of the services.
    pub fn users(&self) -> Users {
        Users::new(self.clone())
    }

    /// What the data plane does with the requests for a host by the objects as they are now, before any lag.
    pub fn plane(&self, host: &str) -> Plane {
        self.inner
            .with(|state| state.traffic_and_eye().1.plane(host))
    }

    /// How long it takes until callers know of a change of routes or endpoints; nothing at first.
    pub fn set_propagation(&self, lag: Duration) {
        self.inner.with(|state| state.traffic.set_lag(lag));
    }

    /// How long the controllers of gateways and meshes take to look at a route and to write its status; 5 ms at first.
    pub fn set_route_lag(&self, lag: Duration) {
        self.inner.with(|state| state.workloads.habits.lag = lag);
    }

    /// Lets the controllers of gateways and meshes refuse every route, by a false `Accepted` or `ResolvedRefs` with a reason and a message; `None`:
    /// they accept what they can again.
    pub fn refuse_routes(&self, refusal: Option<(&str, &str, &str)>) {
        let refusal = refusal.map(|(type_, reason, message)| {
            (type_.to_owned(), reason.to_owned(), message.to_owned())
        });
        self.inner.with(|state| {
            state.workloads.habits.refusal = refusal;
            state.workloads.review_routes(&state.api.store);
        });
    }

    /// Lets the data plane ignore a kind of routing object, as if that mesh was not installed, or obey it again; it obeys all at first.
    pub fn ignore(&self, mesh: Mesh, is_ignored: bool) {
        self.inner.with(|state| {
            if is_ignored {
                state.ignored.insert(mesh);
            } else {
                state.ignored.remove(&mesh);
            }
            let (traffic, eye) = state.traffic_and_eye();
            traffic.look_again(eye);
        });
    }

    /// The Prometheus that watches all pods.
    pub fn prometheus(&self) -> Prometheus {
        Prometheus::new(self.clone(), Arc::clone(&self.inner.prometheus))
    }

    /// Everything outside of the cluster that is called over HTTP, Prometheus aside.
    pub fn receivers(&self) -> Receivers {
        self.inner.receivers.clone()
    }

    /// Answers an HTTP request of a controller: Prometheus' API for hosts that are called `prometheus`, else a receiver.
    ///
    /// # Errors
    /// [`Broken`] where a script says so.
    pub async fn http(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<ReplyBody>, Broken> {
        if request
            .uri()
            .host()
            .is_some_and(|host| host.starts_with("prometheus"))
        {
            self.prometheus().respond(request).await
        } else {
            self.receivers().respond(request).await
        }
    }

    // Looking on.

    /// Calls `observer` after every write, before the writer has its answer.
    ///
    /// The world can be asked and changed from inside; it is then the world just after this write (and after all others of the same moment, where
    /// a controller of the world writes several at once).
    pub fn on_write(&self, observer: impl FnMut(&Self, &Write) + Send + 'static) {
        lock(&self.inner.observers).push(Box::new(observer));
    }

    /// Waits until `is_so`, looking again after every write and at most once a second; `false` when `patience` has run out.
    pub async fn eventually(
        &self,
        patience: Duration,
        mut is_so: impl FnMut(&Self) -> bool,
    ) -> bool {
        let mut changed = self.inner.changed.subscribe();
        let end = Instant::now() + patience;
        loop {
            changed.mark_unchanged();
            if is_so(self) {
                return true;
            }
            let now = Instant::now();
            if now >= end {
                return false;
            }
            let pause = Duration::from_secs(1).min(end - now);
            tokio::select! {
                biased;
                _ = changed.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// The custom kinds that [`World::install`] knows.
const KNOWN: [&str; 11] = [
    "scaledobjects.keda.sh",
    "canaries.flagger.app",
    "metrictemplates.flagger.app",
    "alertproviders.flagger.app",
    "virtualservices.networking.istio.io",
    "destinationrules.networking.istio.io",
    "trafficsplits.split.smi-spec.io",
    "httproutes.gateway.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "httproutes.policy.linkerd.io",
    "grpcroutes.gateway.networking.k8s.io",
];
