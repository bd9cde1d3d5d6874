//! The `DaemonSet` controller: one pod on each node that its selector matches.

use super::conditions::{Rounding, is_active, portion, template_hash, until_available};
use super::pods::{fits, of_template};
use crate::clock::Chance;
use crate::json::{dig, int, set, text};
use crate::server::Api;
use crate::server::kinds;
use crate::server::store::{Key, Object};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const HASH: &str = "controller-revision-hash";

pub(super) fn sync(
    api: &mut Api,
    key: &Key,
    by: &Arc<str>,
    chance: &mut Chance,
) -> Option<Duration> {
    let daemons = Arc::clone(api.store.get(kinds::DAEMON_SET, key)?);
    let hash = template_hash(dig(&daemons, &["spec", "template"]));
    if !daemons.is_going() {
        place(api, &daemons, &hash, by, chance);
        renew(api, &daemons, &hash, by);
    }
    count(api, &daemons, &hash, by)
}

fn nodes(api: &Api, daemons: &Object) -> Vec<String> {
    let selector = dig(daemons, &["spec", "template", "spec", "nodeSelector"]);
    let nodes = api.store.range(kinds::NODE, "", None);
    nodes
        .filter(|node| fits(node, selector))
        .map(|node| node.name().to_owned())
        .collect()
}

fn pods(api: &Api, daemons: &Object) -> Vec<Arc<Object>> {
    let pods = api.store.owned(daemons.uid(), kinds::POD);
    pods.filter(|pod| is_active(pod)).cloned().collect()
}

fn node_of(pod: &Object) -> &str {
    text(pod, &["spec", "nodeName"])
}

/// A pod where one is missing, none where none belongs.
fn place(api: &mut Api, daemons: &Object, hash: &str, by: &Arc<str>, chance: &mut Chance) {
    let (nodes, pods) = (nodes(api, daemons), pods(api, daemons));
    for pod in pods
        .iter()
        .filter(|pod| !nodes.iter().any(|node| node == node_of(pod)))
    {
        api.discard(kinds::POD, &pod.key(), by);
    }
    // A node whose pod is still stopping gets its next one when that is gone.
    let stopping: Vec<Arc<Object>> = api
        .store
        .owned(daemons.uid(), kinds::POD)
        .filter(|pod| pod.is_going())
        .cloned()
        .collect();
    for node in nodes {
        let has_one = pods.iter().chain(&stopping).any(|pod| node_of(pod) == node);
        if !has_one {
            make_pod(api, daemons, hash, &node, by, chance);
        }
    }
}

fn make_pod(
    api: &mut Api,
    daemons: &Object,
    hash: &str,
    node: &str,
    by: &Arc<str>,
    chance: &mut Chance,
) {
    let mut pod = of_template(daemons, &chance.suffix(5));
    set(&mut pod, &["metadata", "labels", HASH], hash);
    set(&mut pod, &["spec", "nodeName"], node);
    api.make(kinds::POD, pod, by);
}

fn is_available(pod: &Value, least: i64, api: &Api) -> bool {
    until_available(pod, least, api.clock.now()).is_some_and(|rest| rest.is_zero())
}

/// Old pods go within what may be unavailable.
fn renew(api: &mut Api, daemons: &Object, hash: &str, by: &Arc<str>) {
    if text(daemons, &["spec", "updateStrategy", "type"]) != "RollingUpdate" {
        return;
    }
    let (nodes, pods) = (nodes(api, daemons), pods(api, daemons));
    let desired = i64::try_from(nodes.len()).unwrap_or(0);
    let allowed = dig(
        daemons,
        &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"],
    );
    let allowed = portion(allowed, desired, Rounding::Up).max(1);
    let least = int(daemons, &["spec", "minReadySeconds"]).unwrap_or(0);
    let available = pods
        .iter()
        .filter(|pod| is_available(pod, least, api))
        .count();
    let mut budget = allowed - (desired - i64::try_from(available).unwrap_or(0));
    let is_old = |pod: &&Arc<Object>| text(pod, &["metadata", "labels", HASH]) != hash;
    let (serving, useless): (Vec<_>, Vec<_>) = pods
        .iter()
        .filter(is_old)
        .partition(|pod| is_available(pod, least, api));
    for pod in useless {
        api.discard(kinds::POD, &pod.key(), by);
    }
    for pod in serving {
        if budget <= 0 {
            break;
        }
        budget -= 1;
        api.discard(kinds::POD, &pod.key(), by);
    }
}

fn count(api: &mut Api, daemons: &Object, hash: &str, by: &Arc<str>) -> Option<Duration> {
    let (nodes, pods) = (nodes(api, daemons), pods(api, daemons));
    let now = api.clock.now();
    let least = int(daemons, &["spec", "minReadySeconds"]).unwrap_or(0);
    let (placed, astray): (Vec<_>, Vec<_>) = pods
        .iter()
        .partition(|pod| nodes.iter().any(|node| node == node_of(pod)));
    let rests: Vec<Duration> = placed
        .iter()
        .filter_map(|pod| until_available(pod, least, now))
        .collect();
    let available = rests.iter().filter(|rest| rest.is_zero()).count();
    let updated = placed
        .iter()
        .filter(|pod| text(pod, &["metadata", "labels", HASH]) == hash)
        .count();
    let mut status = json!({
        "observedGeneration": dig(daemons, &["metadata", "generation"]), "desiredNumberScheduled": nodes.len(),
        "currentNumberScheduled": placed.len(), "numberMisscheduled": astray.len(), "numberReady": rests.len(),
    });
    for (field, count) in [
        ("numberAvailable", available),
        ("numberUnavailable", nodes.len().saturating_sub(available)),
        ("updatedNumberScheduled", updated),
    ] {
        if count > 0 {
            set(&mut status, &[field], count);
        }
    }
    api.edit(kinds::DAEMON_SET, &daemons.key(), by, "status", |live| {
        set(live, &["status"], status);
    });
    rests.into_iter().filter(|rest| !rest.is_zero()).min()
}
