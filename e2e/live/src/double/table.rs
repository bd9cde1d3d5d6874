//! Who answers a request: the one place where the double decides something, without I/O.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use kube::core::DynamicObject;
use serde_json::Value;

/// A namespace and the name of a Service in it.
pub(super) type ServiceName = (String, String);

/// A ready pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    /// The Deployment that the pod is of, as its name tells; else the pod's own name.
    pub(super) deployment: String,
}

/// Why nobody answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nobody {
    /// The TrafficSplit of the Service has no weight at all.
    NoWeight,
    /// The Service has no ready pod.
    NotReady(ServiceName),
}

/// What is known of the cluster.
#[derive(Debug, Default)]
pub(super) struct Table {
    endpoints: HashMap<ServiceName, Vec<Endpoint>>,
    splits: HashMap<ServiceName, Vec<(String, u64)>>,
}

impl Table {
    /// The table of what was watched.
    pub(super) fn new<'a>(
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
        splits: impl IntoIterator<Item = &'a DynamicObject>,
    ) -> Self {
        let mut table = Self::default();
        for slice in slices {
            if let (Some(namespace), Some(service)) = (
                slice.namespace(),
                slice.labels().get("kubernetes.io/service-name"),
            ) {
                table
                    .endpoints
                    .entry((namespace, service.clone()))
                    .or_default()
                    .extend(ready(slice));
            }
        }
        for split in splits {
            if let (Some(namespace), Some((service, backends))) =
                (split.namespace(), weights(&split.data))
            {
                table.splits.insert((namespace, service), backends);
            }
        }
        table
    }

    /// The pod that answers the next request for a Service.
    pub(super) fn pick(&self, service: &ServiceName, turn: &Turn) -> Result<Endpoint, Nobody> {
        let backend = match self.splits.get(service) {
            Some(backends) => (
                service.0.clone(),
                weighted(backends, turn).ok_or(Nobody::NoWeight)?,
            ),
            None => service.clone(),
        };
        let ready = self
            .endpoints
            .get(&backend)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let index = usize::try_from(turn.below(ready.len().try_into().unwrap_or(u64::MAX)))
            .unwrap_or_default();
        ready.get(index).cloned().ok_or(Nobody::NotReady(backend))
    }
}

fn weighted(backends: &[(String, u64)], turn: &Turn) -> Option<String> {
    let mut point = turn.below(backends.iter().map(|(_, weight)| weight).sum());
    for (service, weight) in backends {
        if point < *weight {
            return Some(service.clone());
        }
        point -= weight;
    }
    None
}

/// Numbers that spread evenly over any range, so that a share is met within a few dozen requests, by the same requests in each run.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicU64);

impl Turn {
    /// A number from 0 to below `limit`; 0 where there is none.
    fn below(&self, limit: u64) -> u64 {
        // Multiples of the golden ratio, as fractions of 2^64.
        let fraction = self
            .0
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        u64::try_from((u128::from(fraction) * u128::from(limit)) >> 64).unwrap_or_default()
    }
}

/// The ready endpoints of a slice, at its first port.
fn ready(slice: &EndpointSlice) -> Vec<Endpoint> {
    let port = slice
        .ports
        .iter()
        .flatten()
        .find_map(|port| port.port)
        .and_then(|port| u16::try_from(port).ok());
    let ready = slice.endpoints.iter().filter(|endpoint| {
        endpoint
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.ready)
            .unwrap_or(true)
    });
    ready
        .filter_map(|endpoint| {
            let address = SocketAddr::new(endpoint.addresses.first()?.parse().ok()?, port?);
            let pod = endpoint
                .target_ref
                .as_ref()
                .and_then(|target| target.name.clone())?;
            Some(Endpoint {
                address,
                deployment: deployment_of(&pod),
            })
        })
        .collect()
}

/// `web-primary-5d8f7-x2x9k` is of `web-primary`: a Deployment's pods end with the hash of their template and a suffix.
fn deployment_of(pod: &str) -> String {
    pod.rsplitn(3, '-').nth(2).unwrap_or(pod).to_owned()
}

/// The Service and the backends of a TrafficSplit of any version; v1alpha1 has its weights as text.
fn weights(data: &Value) -> Option<(String, Vec<(String, u64)>)> {
    let spec = data.get("spec")?;
    let service = spec.get("service")?.as_str()?.split('.').next()?.to_owned();
    let backends = spec
        .get("backends")?
        .as_array()?
        .iter()
        .filter_map(|backend| {
            let weight = backend.get("weight")?;
            let weight = weight.as_u64().or_else(|| weight.as_str()?.parse().ok())?;
            Some((backend.get("service")?.as_str()?.to_owned(), weight))
        });
    Some((service, backends.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice(service: &str, pods: &[(&str, &str, bool)]) -> EndpointSlice {
        let endpoints: Vec<Value> = pods
            .iter()
            .map(|(pod, ip, ready)| json!({ "addresses": [ip], "conditions": { "ready": ready }, "targetRef": { "kind": "Pod", "name": pod } }))
            .collect();
        let labels = json!({ "kubernetes.io/service-name": service });
        let metadata =
            json!({ "name": format!("{service}-x"), "namespace": "test", "labels": labels });
        serde_json::from_value(json!({ "metadata": metadata, "addressType": "IPv4", "ports": [{ "name": "http", "port": 8080 }], "endpoints": endpoints })).unwrap()
    }

    fn split(canary: &Value, primary: &Value) -> DynamicObject {
        let backends = json!([{ "service": "web-canary", "weight": canary }, { "service": "web-primary", "weight": primary }]);
        serde_json::from_value(json!({ "metadata": { "name": "web", "namespace": "test" }, "spec": { "service": "web", "backends": backends } })).unwrap()
    }

    fn slices() -> [EndpointSlice; 3] {
        [
            slice("web", &[("web-primary-5d8f7-aaaaa", "10.0.0.1", true)]),
            slice(
                "web-primary",
                &[("web-primary-5d8f7-aaaaa", "10.0.0.1", true)],
            ),
            slice(
                "web-canary",
                &[
                    ("web-77c4d-bbbbb", "10.0.0.2", true),
                    ("web-77c4d-ccccc", "10.0.0.3", false),
                ],
            ),
        ]
    }

    fn picks(table: &Table, requests: usize) -> HashMap<String, usize> {
        let (turn, web) = (Turn::default(), ("test".to_owned(), "web".to_owned()));
        let mut picked = HashMap::new();
        for _ in 0..requests {
            *picked
                .entry(table.pick(&web, &turn).unwrap().deployment)
                .or_default() += 1;
        }
        picked
    }

    #[test]
    fn requests_are_split_by_weight_in_either_spelling() {
        for (canary, primary) in [(json!(10), json!(90)), (json!("10"), json!("90"))] {
            let table = Table::new(&slices(), &[split(&canary, &primary)]);
            let picked = picks(&table, 1000);
            assert!((95..=105).contains(&picked["web"]), "{picked:?}");
            assert_eq!(picked["web"] + picked["web-primary"], 1000);
        }
    }

    #[test]
    fn without_a_split_the_services_own_pods_answer() {
        assert_eq!(
            picks(&Table::new(&slices(), &[]), 10),
            HashMap::from([("web-primary".to_owned(), 10)])
        );
    }

    #[test]
    fn a_backend_without_a_ready_pod_answers_nothing_and_so_does_a_split_without_weight() {
        let web = ("test".to_owned(), "web".to_owned());
        let unready = [slice(
            "web-canary",
            &[("web-77c4d-ccccc", "10.0.0.3", false)],
        )];
        let table = Table::new(&unready, &[split(&json!(100), &json!(0))]);
        assert_eq!(
            table.pick(&web, &Turn::default()),
            Err(Nobody::NotReady((
                "test".to_owned(),
                "web-canary".to_owned()
            )))
        );
        let table = Table::new(&slices(), &[split(&json!(0), &json!(0))]);
        assert_eq!(table.pick(&web, &Turn::default()), Err(Nobody::NoWeight));
    }
}
