//! The kubelets and the scheduler: a pod's way from pending to ready, to crashed, to gone.

use super::Workloads;
use super::behaviour::Stage;
use super::conditions::{Condition, owned_by};
use crate::clock::Chance;
use crate::json::{default, dig, int, list, pairs, set, text};
use crate::server::Api;
use crate::server::kinds;
use crate::server::store::{Key, Object};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a kubelet remembers of its pods.
#[derive(Debug)]
pub(super) struct Lives {
    by_uid: HashMap<String, Life>,
    chance: Chance,
    addresses: u32,
}

#[derive(Clone, Copy, Debug)]
struct Life {
    born: Instant,
    stopping: Option<Instant>,
    address: u32,
}

impl Lives {
    pub(super) fn new(chance: Chance) -> Self {
        Self {
            by_uid: HashMap::new(),
            chance,
            addresses: 0,
        }
    }

    pub(super) fn note(&mut self, pod: &Object) {
        let now = Instant::now();
        let addresses = &mut self.addresses;
        let life = self.by_uid.entry(pod.uid().to_owned()).or_insert_with(|| {
            *addresses += 1;
            Life {
                born: now,
                stopping: None,
                address: *addresses,
            }
        });
        if pod.is_going() && life.stopping.is_none() {
            life.stopping = Some(now);
        }
    }

    pub(super) fn forget(&mut self, pod: Option<&Object>) {
        if let Some(pod) = pod {
            self.by_uid.remove(pod.uid());
        }
    }

    pub(super) fn born(&self, uid: &str) -> Option<Instant> {
        self.by_uid.get(uid).map(|life| life.born)
    }
}

/// A pod of a workload, as its controller makes it.
pub(super) fn of_template(owner: &Object, suffix: &str) -> Value {
    let template = dig(owner, &["spec", "template"]);
    let mut metadata = json!({
        "name": format!("{}-{suffix}", owner.name()), "generateName": format!("{}-", owner.name()),
        "namespace": owner.namespace(), "ownerReferences": owned_by(owner),
    });
    for field in ["labels", "annotations"] {
        crate::json::copy(dig(template, &["metadata"]), &mut metadata, &[field]);
    }
    json!({
        "metadata": metadata, "spec": dig(template, &["spec"]), "status": {"phase": "Pending", "qosClass": "BestEffort"},
    })
}

impl Workloads {
    pub(super) fn sync_pod(&mut self, api: &mut Api, key: &Key) -> Option<Duration> {
        let pod = Arc::clone(api.store.get(kinds::POD, key)?);
        let life = *self.lives.by_uid.get(pod.uid())?;
        let behaviour = self.behaviour(&pod);
        if let Some(stopping) = life.stopping {
            let grace = int(&pod, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
            let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
            let rest = grace
                .min(behaviour.stops_in)
                .saturating_sub(stopping.elapsed());
            if !rest.is_zero() {
                return Some(rest);
            }
            if list(&pod, &["metadata", "finalizers"]).is_empty() {
                self.broken.remove(pod.uid());
                api.finish(kinds::POD, key, &self.kubelet);
            }
            return None;
        }
        let Some(node) = self.node_of(api, &pod) else {
            self.tell_unschedulable(api, key);
            return None;
        };
        let (stage, next) = behaviour.stage(life.born.elapsed());
        let stage = if self.broken.contains(pod.uid()) {
            Stage::NotReady
        } else {
            stage
        };
        self.tell(api, key, &node, life.address, (stage, behaviour.exit));
        next
    }

    /// Where the pod is, or where it fits.
    fn node_of(&mut self, api: &Api, pod: &Object) -> Option<String> {
        let known = text(pod, &["spec", "nodeName"]);
        if !known.is_empty() {
            return Some(known.to_owned());
        }
        let fitting: Vec<&Arc<Object>> = api
            .store
            .range(kinds::NODE, "", None)
            .filter(|node| fits(node, dig(pod, &["spec", "nodeSelector"])))
            .collect();
        let bound = u64::try_from(fitting.len()).unwrap_or(0);
        let at = usize::try_from(self.lives.chance.below(bound)).unwrap_or(0);
        fitting.get(at).map(|node| node.name().to_owned())
    }

    fn tell_unschedulable(&self, api: &mut Api, key: &Key) {
        let stamp = api.clock.stamp();
        let refused = Condition {
            kind: "PodScheduled",
            status: "False",
            reason: "Unschedulable",
            message: "0 nodes are available that match the pod's node affinity/selector".to_owned(),
        };
        api.edit(kinds::POD, key, &self.kubelet, "status", |live| {
            let mut conditions = list(live, &["status", "conditions"]).to_vec();
            refused.put(&mut conditions, &stamp);
            set(live, &["status", "conditions"], conditions);
        });
    }

    fn tell(&self, api: &mut Api, key: &Key, node: &str, address: u32, stage: (Stage, Exit)) {
        let stamp = api.clock.stamp();
        api.edit(kinds::POD, key, &self.kubelet, "status", |live| {
            default(live, &["spec", "nodeName"], node);
            write_status(live, address, stage, &stamp);
        });
    }
}

/// Whether a node has every label that a selector names.
pub(super) fn fits(node: &Value, selector: &Value) -> bool {
    pairs(selector, &[]).all(|(label, value)| text(node, &["metadata", "labels", label]) == value)
}

/// How the process of a container ends: reason and exit code.
type Exit = (&'static str, i64);

fn write_status(pod: &mut Value, address: u32, (stage, exit): (Stage, Exit), stamp: &str) {
    let is_ready = stage == Stage::Ready;
    let mut conditions = list(pod, &["status", "conditions"]).to_vec();
    for kind in ["PodScheduled", "Initialized"] {
        Condition {
            kind,
            status: "True",
            reason: "",
            message: String::new(),
        }
        .put(&mut conditions, stamp);
    }
    for kind in ["ContainersReady", "Ready"] {
        let (status, reason) = if is_ready {
            ("True", "")
        } else {
            ("False", "ContainersNotReady")
        };
        Condition {
            kind,
            status,
            reason,
            message: String::new(),
        }
        .put(&mut conditions, stamp);
    }
    let containers: Vec<Value> = list(pod, &["spec", "containers"])
        .iter()
        .map(|container| container_status(container, stage, exit, stamp))
        .collect();
    let phase = match stage {
        Stage::Waiting(_) => "Pending",
        Stage::Ready | Stage::NotReady | Stage::Crashing(_) => "Running",
    };
    let ip = format!("10.244.{}.{}", address / 250, address % 250 + 1);
    let status = &mut pod["status"];
    default(status, &["startTime"], stamp);
    default(status, &["podIP"], ip.as_str());
    default(status, &["podIPs"], json!([{"ip": ip}]));
    default(status, &["hostIP"], "10.0.0.1");
    set(status, &["phase"], phase);
    set(status, &["conditions"], conditions);
    set(status, &["containerStatuses"], containers);
}

fn container_status(container: &Value, stage: Stage, (reason, code): Exit, stamp: &str) -> Value {
    let (shown, restarts) = match stage {
        // The start of a container is told by the pod's condition; here it would only make writes differ.
        Stage::Ready | Stage::NotReady => (json!({"running": {}}), 0),
        Stage::Waiting(reason) => (json!({"waiting": {"reason": reason}}), 0),
        Stage::Crashing(restarts) => (json!({"waiting": {"reason": "CrashLoopBackOff"}}), restarts),
    };
    let mut status = json!({
        "name": dig(container, &["name"]), "image": dig(container, &["image"]), "imageID": "", "state": shown,
        "ready": stage == Stage::Ready, "started": stage == Stage::Ready, "restartCount": restarts,
    });
    if matches!(stage, Stage::Crashing(_)) {
        set(
            &mut status,
            &["lastState"],
            json!({"terminated": {"exitCode": code, "reason": reason, "finishedAt": stamp}}),
        );
    }
    status
}
