//! How many endpoints of each Service are ready, counted from its EndpointSlices.

use std::collections::{BTreeSet, HashMap, HashSet};

use kube::api::DynamicObject;
use serde_json::Value;

use super::store::CanaryKey;

/// One EndpointSlice, reduced to its count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    namespace: String,
    name: String,
    service: String,
    ready: u32,
}

impl Slice {
    /// What counts of an EndpointSlice; `None` for one without a Service.
    ///
    /// **Source**: Kubernetes EndpointSlice: an absent `ready` counts as ready.
    pub(crate) fn of(object: &DynamicObject) -> Option<Self> {
        let service = object
            .metadata
            .labels
            .as_ref()?
            .get("kubernetes.io/service-name")?
            .clone();
        let endpoints = object.data.get("endpoints").and_then(Value::as_array);
        let ready = endpoints.map_or(0, |endpoints| {
            endpoints
                .iter()
                .filter(|endpoint| is_ready(endpoint))
                .count()
        });
        Some(Self {
            namespace: object.metadata.namespace.clone()?,
            name: object.metadata.name.clone()?,
            service,
            ready: u32::try_from(ready).unwrap_or(u32::MAX),
        })
    }

    fn key(&self) -> ServiceKey {
        (self.namespace.clone(), self.service.clone())
    }
}

fn is_ready(endpoint: &Value) -> bool {
    endpoint
        .pointer("/conditions/ready")
        .and_then(Value::as_bool)
        .unwrap_or(true)
}

type ServiceKey = (String, String);

/// The counts of every Service, and who is interested in which.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    slices: HashMap<ServiceKey, HashMap<String, u32>>,
    listed: HashMap<Option<String>, HashSet<(ServiceKey, String)>>,
    interest: HashMap<ServiceKey, BTreeSet<CanaryKey>>,
}

impl Endpoints {
    /// How many are ready; `None` while the Service has no EndpointSlice. From now on a change wakes that Canary.
    pub(crate) fn ready(
        &mut self,
        namespace: &str,
        service: &str,
        canary: &CanaryKey,
    ) -> Option<u32> {
        let key = (namespace.to_owned(), service.to_owned());
        self.interest
            .entry(key.clone())
            .or_default()
            .insert(canary.clone());
        let slices = self.slices.get(&key).filter(|slices| !slices.is_empty())?;
        Some(slices.values().sum())
    }

    pub(crate) fn list_begins(&mut self, scope: Option<&str>) {
        self.listed.insert(scope.map(str::to_owned), HashSet::new());
    }

    /// A slice came or changed; who is to be woken: nobody as long as the count is the same.
    pub(crate) fn put(&mut self, slice: Slice) -> Vec<CanaryKey> {
        let key = slice.key();
        for listed in self.listed.values_mut() {
            listed.insert((key.clone(), slice.name.clone()));
        }
        let before = self
            .slices
            .entry(key.clone())
            .or_default()
            .insert(slice.name, slice.ready);
        if before == Some(slice.ready) {
            Vec::new()
        } else {
            self.interested(&key)
        }
    }

    /// A slice is gone; who is to be woken.
    pub(crate) fn remove(&mut self, slice: &Slice) -> Vec<CanaryKey> {
        let key = slice.key();
        if let Some(slices) = self.slices.get_mut(&key) {
            slices.remove(&slice.name);
        }
        self.interested(&key)
    }

    /// A list is complete: what it did not name is gone.
    pub(crate) fn list_ends(&mut self, scope: Option<&str>) -> Vec<CanaryKey> {
        let listed = self
            .listed
            .remove(&scope.map(str::to_owned))
            .unwrap_or_default();
        let mut woken = BTreeSet::new();
        for (key, slices) in &mut self.slices {
            if scope.is_some_and(|scope| scope != key.0) {
                continue;
            }
            let before = slices.len();
            slices.retain(|name, _| listed.contains(&(key.clone(), name.clone())));
            if slices.len() != before {
                woken.extend(self.interest.get(key).into_iter().flatten().cloned());
            }
        }
        woken.into_iter().collect()
    }

    /// Forgets a Canary that is gone.
    pub(crate) fn forget(&mut self, canary: &CanaryKey) {
        self.interest.values_mut().for_each(|interested| {
            interested.remove(canary);
        });
        self.interest.retain(|_, interested| !interested.is_empty());
    }

    fn interested(&self, key: &ServiceKey) -> Vec<CanaryKey> {
        self.interest
            .get(key)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}
