//! The data plane: from routing objects and endpoints to the share of each revision.
//!
//! ```text
//!  host ──► VirtualService │ TrafficSplit │ HTTPRoute │ Service ──► rules ──► destinations ──► EndpointSlices ──► pods of revisions
//! ```
//!
//! Invariant: a plane is a function of the store. What was routed before, or what a controller believes, does not enter it.
//!
//! Not here: gateways as places (a route holds for every caller of its host), TLS, retries, outlier ejection, `VirtualServices` of other namespaces
//! for a Service's host.

mod gateway;
mod istio;
mod matching;
mod smi;

use crate::json::{is_true, list, pairs, text};
use crate::server::kinds::{self, KindId};
use crate::server::store::{Key, Object, Store};
use crate::workloads::{Behaviour, Workloads};
use matching::Match;
pub use matching::Visit;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

/// Which routing objects the data plane obeys; plain Services always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mesh {
    /// `VirtualServices` and `DestinationRules`.
    Istio,
    /// `TrafficSplits`, as Linkerd reads them.
    Smi,
    /// `HTTPRoutes`.
    GatewayApi,
}

/// One content of one workload: what a release is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision {
    /// The workload's namespace.
    pub namespace: String,
    /// The Deployment or `DaemonSet`, or the pod itself if nothing owns it.
    pub workload: String,
    /// The pod-template hash.
    pub hash: String,
    /// The image of the first container, for people.
    pub image: String,
}

/// One pod that answers requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// What it runs.
    pub revision: Revision,
    /// The pod's name.
    pub pod: String,
    pub(crate) uid: String,
    pub(crate) born: Instant,
    pub(crate) behaviour: Arc<Behaviour>,
}

/// A Service that a route names, and the share of requests it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// Namespace and name, `test/podinfo-primary`; with a subset, `test/podinfo@v2`.
    pub service: String,
    /// From 0 to 1.
    pub share: f64,
    /// The ready pods behind it.
    pub backends: Vec<Backend>,
}

/// Where the requests go that one rule is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Any of these must hold; none means every request.
    pub(crate) matches: Vec<Match>,
    /// The shares add up to 1, or there are no destinations.
    pub destinations: Vec<Destination>,
    /// Where copies go.
    pub mirror: Option<Destination>,
}

/// What the data plane does with the requests for one host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plane {
    /// In the order in which they are tried; none if nothing knows the host.
    pub rules: Vec<Rule>,
    /// The object that the rules come from, `VirtualService test/podinfo` for example.
    pub source: String,
}

impl Rule {
    pub(crate) fn to(destinations: Vec<Destination>) -> Self {
        Self {
            matches: Vec::new(),
            destinations,
            mirror: None,
        }
    }

    /// Whether it is about some requests only: those with a header, a cookie, a path.
    pub fn is_conditional(&self) -> bool {
        !self.matches.is_empty()
    }

    /// The share of each revision, from 0 to 1; each pod of a destination gets as much as any other.
    pub fn shares(&self) -> BTreeMap<Revision, f64> {
        let mut shares = BTreeMap::new();
        for destination in &self.destinations {
            let each = destination.share / count(destination.backends.len());
            for backend in &destination.backends {
                *shares.entry(backend.revision.clone()).or_insert(0.0) += each;
            }
        }
        shares.retain(|_, share| *share > 0.0);
        shares
    }

    /// The share that goes to destinations without a ready pod.
    pub fn lost(&self) -> f64 {
        let all: f64 = self.destinations.iter().map(|it| it.share).sum();
        let empty = self.destinations.iter().filter(|it| it.backends.is_empty());
        if self.destinations.is_empty() {
            1.0
        } else if all > 0.0 {
            empty.map(|it| it.share).sum()
        } else {
            0.0
        }
    }

    /// Whether it names a destination without a ready pod, by weight or as a mirror, while another one of it has some.
    pub fn sends_to_nothing(&self) -> bool {
        let has_some = self.destinations.iter().any(|it| !it.backends.is_empty());
        let has_none = |it: &Destination| it.share > 0.0 && it.backends.is_empty();
        has_some && self.destinations.iter().chain(&self.mirror).any(has_none)
    }
}

impl Plane {
    /// The rule that a request meets, `None` if no rule wants it.
    pub fn rule(&self, visit: &Visit) -> Option<&Rule> {
        self.rules
            .iter()
            .find(|rule| rule.matches.is_empty() || rule.matches.iter().any(|it| it.holds(visit)))
    }

    /// The share of each revision in the requests without anything special.
    pub fn shares(&self) -> BTreeMap<Revision, f64> {
        self.rule(&Visit::default())
            .map(Rule::shares)
            .unwrap_or_default()
    }
}

/// A number of things as a divisor that is never zero.
pub(crate) fn count(things: usize) -> f64 {
    u32::try_from(things.max(1)).map_or(f64::MAX, f64::from)
}

/// A look at the cluster through the eyes of the data plane.
#[derive(Clone, Copy)]
pub(crate) struct Eye<'a> {
    pub(crate) store: &'a Store,
    pub(crate) workloads: &'a Workloads,
    pub(crate) ignored: &'a BTreeSet<Mesh>,
}

impl Eye<'_> {
    /// What happens to the requests for a host.
    pub(crate) fn plane(&self, host: &str) -> Plane {
        let service = self.service_of_host(host);
        let obeys = |mesh| !self.ignored.contains(&mesh);
        let ask = |mesh, plane: fn(&Self, &str, Option<&Key>) -> Option<Plane>| {
            obeys(mesh)
                .then(|| plane(self, host, service.as_ref()))
                .flatten()
        };
        ask(Mesh::Istio, istio::plane)
            .or_else(|| ask(Mesh::GatewayApi, gateway::plane))
            .or_else(|| ask(Mesh::Smi, smi::plane))
            .unwrap_or_else(|| match service {
                None => Plane::default(),
                Some(service) => Plane {
                    source: format!("Service {}/{}", service.namespace, service.name),
                    rules: vec![Rule::to(vec![self.destination(&service, 1.0, &[])])],
                },
            })
    }

    /// The Service that `podinfo.test` or `podinfo.test.svc.cluster.local` names.
    fn service_of_host(&self, host: &str) -> Option<Key> {
        let mut parts = host.split('.');
        let (name, namespace) = (parts.next()?, parts.next()?);
        let rest: Vec<&str> = parts.collect();
        let is_internal = rest.is_empty() || rest.first() == Some(&"svc");
        let key = Key::new(namespace, name);
        (is_internal && self.store.get(kinds::SERVICE, &key).is_some()).then_some(key)
    }

    /// The routing objects that can be about a host: those of its Service's namespace, or all for a host from outside.
    fn candidates<'a>(
        &'a self,
        kind: KindId,
        service: Option<&'a Key>,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        self.store
            .range(kind, service.map_or("", |key| key.namespace.as_str()), None)
    }

    /// A Service as a destination, narrowed to pods with these labels.
    fn destination(&self, service: &Key, share: f64, subset: &[(String, String)]) -> Destination {
        let slices = self
            .store
            .get(kinds::SERVICE, service)
            .into_iter()
            .flat_map(|it| self.store.owned(it.uid(), kinds::ENDPOINT_SLICE));
        let backends = slices
            .flat_map(|slice| list(slice, &["endpoints"]))
            .filter(|endpoint| is_true(endpoint, &["conditions", "ready"]))
            .filter_map(|endpoint| self.backend(endpoint, subset))
            .collect();
        Destination {
            service: format!("{}/{}", service.namespace, service.name),
            share,
            backends,
        }
    }

    fn backend(&self, endpoint: &Value, subset: &[(String, String)]) -> Option<Backend> {
        let target = Key::new(
            text(endpoint, &["targetRef", "namespace"]),
            text(endpoint, &["targetRef", "name"]),
        );
        // An endpoint whose pod has just died is still there for its callers, who then get no answer.
        let pod = self.store.get(kinds::POD, &target);
        let has = |label: &(String, String)| {
            pod.is_some_and(|pod| text(pod, &["metadata", "labels", &label.0]) == label.1)
        };
        if !subset.iter().all(has) {
            return None;
        }
        let born = pod.and_then(|pod| self.workloads.born(pod));
        Some(Backend {
            revision: pod.map_or_else(|| unknown(&target), |pod| self.revision(pod)),
            pod: target.name,
            uid: text(endpoint, &["targetRef", "uid"]).to_owned(),
            born: born.unwrap_or_else(Instant::now),
            behaviour: Arc::new(
                pod.map_or_else(Behaviour::healthy, |pod| self.workloads.behaviour(pod)),
            ),
        })
    }

    fn revision(&self, pod: &Object) -> Revision {
        let label = |name: &str| text(pod, &["metadata", "labels", name]).to_owned();
        let hash = match label("pod-template-hash") {
            none if none.is_empty() => label("controller-revision-hash"),
            hash => hash,
        };
        let container = list(pod, &["spec", "containers"]).first();
        Revision {
            namespace: pod.namespace().to_owned(),
            workload: self.workload(pod),
            hash,
            image: container.map_or("", |it| text(it, &["image"])).to_owned(),
        }
    }

    fn workload(&self, pod: &Object) -> String {
        let owner = |object: &Object| {
            let first = list(object, &["metadata", "ownerReferences"]).first()?;
            let (id, key) = self.store.by_uid(text(first, &["uid"]))?;
            self.store.get(*id, key).cloned()
        };
        let Some(first) = owner(pod) else {
            return pod.name().to_owned();
        };
        let second = owner(&first);
        second.as_ref().unwrap_or(&first).name().to_owned()
    }
}

fn unknown(pod: &Key) -> Revision {
    Revision {
        namespace: pod.namespace.clone(),
        workload: String::new(),
        hash: String::new(),
        image: String::new(),
    }
}

/// The Service that a host in a routing object names, seen from the object's namespace.
fn service_named(host: &str, namespace: &str) -> Key {
    let mut parts = host.split('.');
    let name = parts.next().unwrap_or_default();
    Key::new(parts.next().unwrap_or(namespace), name)
}

/// Whether a host in a routing object is the one that is called.
fn is_host(named: &str, namespace: &str, called: &str, service: Option<&Key>) -> bool {
    if named == "*" || named == called {
        return true;
    }
    match service {
        Some(service) => {
            !named.starts_with('*')
                && service_named(named, namespace) == *service
                && is_internal(named)
        }
        None => named
            .strip_prefix('*')
            .is_some_and(|suffix| called.ends_with(suffix)),
    }
}

/// `a`, `a.b` and `a.b.svc…` are names inside of the cluster.
fn is_internal(host: &str) -> bool {
    let parts: Vec<&str> = host.split('.').collect();
    parts.len() <= 2 || parts.get(2) == Some(&"svc")
}

/// Shares that add up to 1 from weights of any sum; all to the first if there are no weights.
fn normalise(destinations: &mut [Destination]) {
    let all: f64 = destinations.iter().map(|it| it.share).sum();
    if all > 0.0 {
        for destination in destinations {
            destination.share /= all;
        }
    } else if let [only] = destinations {
        only.share = 1.0;
    }
}

/// The labels of a subset.
fn labels_of(value: &Value) -> Vec<(String, String)> {
    pairs(value, &["labels"])
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
