//! The reasons that pods give for not running, by workload. A pod that runs is not kept, and what changes nothing here wakes nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;
use slipway_api::{PodReason, Side};
use slipway_core::object::Key;
use slipway_workloads::pods::PodFacts;

use super::store::CanaryKey;

/// Namespace, kind and name of a workload.
type WorkloadKey = (String, String, String);

/// What is known of the pods of one workload.
#[derive(Debug, Default)]
struct OfWorkload {
    /// When the newest pod was made, and its revision: pods of older ones say nothing of what is released.
    newest: (String, String),
    /// The pods that do not run, by name.
    failing: BTreeMap<String, Failing>,
}

#[derive(Clone, Debug, PartialEq)]
struct Failing {
    revision: String,
    reasons: Vec<PodReason>,
}

impl OfWorkload {
    fn reasons(&self) -> impl Iterator<Item = &PodReason> {
        let newest = self.failing.values();
        let newest = newest.filter(|pod| pod.revision == self.newest.1);
        newest.flat_map(|pod| &pod.reasons)
    }
}

/// What every workload's pods say, and who is interested in which.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    workloads: HashMap<WorkloadKey, OfWorkload>,
    /// Which workload a pod that does not run belongs to: the event of its end may not say.
    owners: HashMap<(String, String), WorkloadKey>,
    listed: HashMap<Option<String>, HashSet<(String, String)>>,
    interest: HashMap<WorkloadKey, BTreeSet<CanaryKey>>,
}

impl Reasons {
    /// What the pods of a workload say, as those of that side; from now on a change wakes that Canary.
    pub(crate) fn of(&mut self, workload: &Key, side: Side, canary: &CanaryKey) -> Vec<PodReason> {
        let key = (
            workload.namespace.clone(),
            workload.kind.to_owned(),
            workload.name.clone(),
        );
        let found = self.workloads.get(&key);
        let found = found.into_iter().flat_map(OfWorkload::reasons);
        let found = found.map(|given| PodReason {
            side,
            ..given.clone()
        });
        let found = found.collect();
        let interested = self.interest.entry(key).or_default();
        interested.insert(canary.clone());
        found
    }

    /// A list begins.
    pub(crate) fn list_begins(&mut self, scope: Option<&str>) {
        self.listed.insert(scope.map(str::to_owned), HashSet::new());
    }

    /// A pod came or changed; who is to be woken: nobody as long as what pods say is the same.
    pub(crate) fn put(&mut self, pod: &Key, object: &Value) -> Vec<CanaryKey> {
        let name = (pod.namespace.clone(), pod.name.clone());
        for listed in self.listed.values_mut() {
            listed.insert(name.clone());
        }
        let Some(facts) = PodFacts::of(object) else {
            return Vec::new();
        };
        let PodFacts {
            kind,
            workload,
            revision,
            made,
            reasons,
        } = facts;
        let key = (pod.namespace.clone(), kind.to_owned(), workload);
        let known = self.workloads.entry(key.clone()).or_default();
        let newest = (made, revision.clone());
        let is_newer = newest > known.newest && newest.1 != known.newest.1;
        if newest > known.newest {
            known.newest = newest;
        }
        let failing = (!reasons.is_empty()).then_some(Failing { revision, reasons });
        let before = known.failing.remove(&pod.name);
        let is_same = before == failing;
        match failing {
            Some(failing) => {
                known.failing.insert(pod.name.clone(), failing);
                self.owners.insert(name, key.clone());
            }
            None => {
                self.owners.remove(&name);
            }
        }
        if is_same && !is_newer {
            return Vec::new();
        }
        self.interested(&key)
    }

    /// A pod is gone. Nobody is woken: what it said is told, and says nothing of the others.
    pub(crate) fn remove(&mut self, pod: &Key) {
        let name = (pod.namespace.clone(), pod.name.clone());
        let Some(owner) = self.owners.remove(&name) else {
            return;
        };
        if let Some(known) = self.workloads.get_mut(&owner) {
            known.failing.remove(&pod.name);
        }
    }

    /// A list is complete: what it did not name is gone, and a workload that nobody asks about is forgotten.
    pub(crate) fn list_ends(&mut self, scope: Option<&str>) {
        let listed = self.listed.remove(&scope.map(str::to_owned));
        let listed = listed.unwrap_or_default();
        let is_lost = |namespace: &str, name: &str| {
            scope.is_none_or(|scope| scope == namespace)
                && !listed.contains(&(namespace.to_owned(), name.to_owned()))
        };
        self.owners
            .retain(|(namespace, name), _| !is_lost(namespace, name));
        for ((namespace, ..), known) in &mut self.workloads {
            known.failing.retain(|name, _| !is_lost(namespace, name));
        }
    }

    /// Forgets a Canary that is gone.
    pub(crate) fn forget(&mut self, canary: &CanaryKey) {
        self.interest.retain(|_, interested| {
            interested.remove(canary);
            !interested.is_empty()
        });
    }

    fn interested(&self, key: &WorkloadKey) -> Vec<CanaryKey> {
        let interested = self.interest.get(key).into_iter().flatten();
        interested.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_core::object::kinds;

    use super::*;

    fn canary() -> CanaryKey {
        CanaryKey {
            namespace: "test".into(),
            name: "app".into(),
        }
    }

    fn app() -> Key {
        kinds::DEPLOYMENT.named("test", "app")
    }

    /// A pod of the Deployment `app` that waits for this reason, or is ready.
    fn pod(name: &str, hash: &str, second: u32, waits: Option<&str>) -> (Key, Value) {
        let state = waits.map_or_else(
            || json!({"running": {}}),
            |reason| json!({"waiting": {"reason": reason}}),
        );
        let object = json!({
            "metadata": {
                "name": name, "namespace": "test", "labels": {"pod-template-hash": hash},
                "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
                "ownerReferences": [{"kind": "ReplicaSet", "name": format!("app-{hash}"), "controller": true}],
            },
            "status": {"containerStatuses": [{"name": "app", "ready": waits.is_none(), "state": state}]},
        });
        (kinds::POD.named("test", name), object)
    }

    fn said(reasons: &mut Reasons) -> Vec<String> {
        let given = reasons.of(&app(), Side::Canary, &canary());
        given.into_iter().map(|given| given.reason).collect()
    }

    #[test]
    fn only_what_is_new_wakes_and_only_the_newest_revision_speaks() {
        let mut reasons = Reasons::default();
        assert!(said(&mut reasons).is_empty());
        let rows = [
            (
                pod("a", "h1", 1, Some("ErrImagePull")),
                true,
                vec!["ErrImagePull"],
            ),
            (
                pod("a", "h1", 1, Some("ErrImagePull")),
                false,
                vec!["ErrImagePull"],
            ),
            (
                pod("a", "h1", 1, Some("ImagePullBackOff")),
                true,
                vec!["ImagePullBackOff"],
            ),
            // A newer revision comes up: what the old one's pods say is of no interest.
            (pod("b", "h2", 5, None), true, vec![]),
            (
                pod("b", "h2", 5, Some("CrashLoopBackOff")),
                true,
                vec!["CrashLoopBackOff"],
            ),
            (pod("b", "h2", 5, None), true, vec![]),
        ];
        for ((key, object), wakes, expected) in rows {
            let woken = reasons.put(&key, &object);
            assert_eq!(!woken.is_empty(), wakes, "{object}");
            assert_eq!(said(&mut reasons), expected, "{object}");
        }
        reasons.forget(&canary());
        let (key, object) = pod("b", "h2", 5, Some("Error"));
        assert!(reasons.put(&key, &object).is_empty());
    }

    #[test]
    fn a_pod_that_is_gone_says_nothing_and_neither_does_one_that_a_list_does_not_name() {
        let mut reasons = Reasons::default();
        let (key, object) = pod("a", "h1", 1, Some("ErrImagePull"));
        reasons.put(&key, &object);
        reasons.remove(&key);
        assert!(said(&mut reasons).is_empty());
        reasons.put(&key, &object);
        reasons.list_begins(None);
        reasons.list_ends(None);
        assert!(said(&mut reasons).is_empty() && reasons.owners.is_empty());
    }

    #[test]
    fn pods_that_run_are_not_kept() {
        let mut reasons = Reasons::default();
        let (key, object) = pod("a", "h1", 1, None);
        reasons.put(&key, &object);
        assert!(reasons.owners.is_empty());
        assert!(
            reasons
                .workloads
                .values()
                .all(|known| known.failing.is_empty())
        );
    }
}
