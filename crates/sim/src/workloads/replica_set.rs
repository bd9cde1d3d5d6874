//! The `ReplicaSet` controller: as many pods as are wanted, and a count of them.

use super::conditions::{is_active, is_ready, until_available, wanted};
use super::pods;
use crate::clock::Chance;
use crate::json::{dig, int, set, text};
use crate::server::Api;
use crate::server::kinds;
use crate::server::store::{Key, Object};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn sync(
    api: &mut Api,
    key: &Key,
    by: &Arc<str>,
    chance: &mut Chance,
) -> Option<Duration> {
    let set = Arc::clone(api.store.get(kinds::REPLICA_SET, key)?);
    if !set.is_going() {
        let active = active_pods(api, &set);
        let missing = wanted(&set) - i64::try_from(active.len()).unwrap_or(i64::MAX);
        for _ in 0..missing.max(0) {
            api.make(kinds::POD, pods::of_template(&set, &chance.suffix(5)), by);
        }
        let surplus = usize::try_from(-missing).unwrap_or(0);
        for pod in first_to_go(active).into_iter().take(surplus) {
            api.discard(kinds::POD, &pod.key(), by);
        }
    }
    count(api, &set, by)
}

fn active_pods(api: &Api, set: &Object) -> Vec<Arc<Object>> {
    let pods = api.store.owned(set.uid(), kinds::POD);
    pods.filter(|pod| is_active(pod)).cloned().collect()
}

/// Pods without a node first, then those that are not ready, then the youngest.
fn first_to_go(mut pods: Vec<Arc<Object>>) -> Vec<Arc<Object>> {
    pods.sort_by_key(|pod| {
        let has_node = !text(pod, &["spec", "nodeName"]).is_empty();
        (has_node, is_ready(pod), std::cmp::Reverse(pod_age_key(pod)))
    });
    pods
}

fn pod_age_key(pod: &Object) -> (String, String) {
    let made = text(pod, &["metadata", "creationTimestamp"]).to_owned();
    (made, pod.name().to_owned())
}

/// Writes the status; the answer is when the next ready pod becomes available.
fn count(api: &mut Api, replicas: &Object, by: &Arc<str>) -> Option<Duration> {
    let pods = active_pods(api, replicas);
    let least = int(replicas, &["spec", "minReadySeconds"]).unwrap_or(0);
    let now = api.clock.now();
    let rests: Vec<Duration> = pods
        .iter()
        .filter_map(|pod| until_available(pod, least, now))
        .collect();
    let available = rests.iter().filter(|rest| rest.is_zero()).count();
    let labels = dig(replicas, &["spec", "template", "metadata", "labels"]);
    let labelled = pods
        .iter()
        .filter(|pod| {
            let own = dig(pod, &["metadata", "labels"]);
            labels
                .as_object()
                .into_iter()
                .flatten()
                .all(|(name, value)| own.get(name) == Some(value))
        })
        .count();
    let mut status = json!({"replicas": pods.len(), "observedGeneration": dig(replicas, &["metadata", "generation"])});
    for (field, count) in [
        ("fullyLabeledReplicas", labelled),
        ("readyReplicas", rests.len()),
        ("availableReplicas", available),
    ] {
        if count > 0 {
            set(&mut status, &[field], count);
        }
    }
    api.edit(kinds::REPLICA_SET, &replicas.key(), by, "status", |live| {
        set(live, &["status"], status);
    });
    rests.into_iter().filter(|rest| !rest.is_zero()).min()
}
