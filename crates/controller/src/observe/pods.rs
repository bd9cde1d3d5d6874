//! The pods of releases whose weight is made by pods, kept as small as they are judged. They are watched once a release runs, or weight is made of them.
//!
//! Pods change often and matter seldom: a Canary is woken only when what is kept of one of its pods changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use slipway_core::object::{Key, kinds};

use super::store::{CanaryKey, version_of};

/// One pod: what is kept of it, and how new that is.
#[derive(Clone, Debug)]
struct Kept {
    version: u64,
    object: Arc<Value>,
}

/// Which pods: namespace, label, value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Selected {
    pub(crate) namespace: String,
    pub(crate) label: String,
    pub(crate) value: String,
}

impl Selected {
    fn holds(&self, pod: &Value) -> bool {
        let labels = pod.pointer("/metadata/labels");
        labels.and_then(|labels| labels.get(&self.label)?.as_str()) == Some(&self.value)
    }
}

/// The pods of every namespace that is watched, and who is interested in which.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    namespaces: HashMap<String, BTreeMap<String, Kept>>,
    listed: HashMap<Option<String>, HashSet<(String, String)>>,
    interest: BTreeMap<Selected, BTreeSet<CanaryKey>>,
}

impl Pods {
    /// Those pods; from now on a change of one wakes that Canary.
    pub(crate) fn of(&mut self, selected: Selected, canary: &CanaryKey) -> Vec<(Key, Arc<Value>)> {
        let pods = self.namespaces.get(&selected.namespace);
        let pods = pods.into_iter().flatten();
        let fitting = pods.filter(|(_, kept)| selected.holds(&kept.object));
        let key = |name: &str| kinds::POD.named(&selected.namespace, name);
        let found = fitting
            .map(|(name, kept)| (key(name), Arc::clone(&kept.object)))
            .collect();
        let interested = self.interest.entry(selected).or_default();
        interested.insert(canary.clone());
        found
    }

    /// A list begins.
    pub(crate) fn list_begins(&mut self, scope: Option<&str>) {
        self.listed.insert(scope.map(str::to_owned), HashSet::new());
    }

    /// The answer of a write of ours. A pod that is gone does not come back by it.
    pub(crate) fn written(&mut self, key: &Key, object: &Value) {
        let pods = self.namespaces.get(&key.namespace);
        if pods.is_some_and(|pods| pods.contains_key(&key.name)) {
            // We know of the change: nobody has to be woken by it.
            let _woken = self.put(key, object);
        }
    }

    /// A pod came or changed; who is to be woken.
    pub(crate) fn put(&mut self, key: &Key, object: &Value) -> Vec<CanaryKey> {
        let (version, object) = (version_of(object), Arc::new(compact(object)));
        for listed in self.listed.values_mut() {
            listed.insert((key.namespace.clone(), key.name.clone()));
        }
        let pods = self.namespaces.entry(key.namespace.clone()).or_default();
        let before = pods.get(&key.name).cloned();
        if before
            .as_ref()
            .is_some_and(|before| before.version > version)
        {
            return Vec::new();
        }
        let kept = Kept {
            version,
            object: Arc::clone(&object),
        };
        pods.insert(key.name.clone(), kept);
        match before {
            Some(before) if before.object == object => Vec::new(),
            Some(before) => self.woken(&key.namespace, [&before.object, &object]),
            None => self.woken(&key.namespace, [&object]),
        }
    }

    /// A pod is gone; who is to be woken.
    pub(crate) fn remove(&mut self, key: &Key) -> Vec<CanaryKey> {
        let pods = self.namespaces.get_mut(&key.namespace);
        match pods.and_then(|pods| pods.remove(&key.name)) {
            Some(kept) => self.woken(&key.namespace, [&kept.object]),
            None => Vec::new(),
        }
    }

    /// A list is complete: what it did not name is gone. Who is to be woken.
    pub(crate) fn list_ends(&mut self, scope: Option<&str>) -> Vec<CanaryKey> {
        let listed = self.listed.remove(&scope.map(str::to_owned));
        let listed = listed.unwrap_or_default();
        let known = self.namespaces.iter().flat_map(|(namespace, pods)| {
            let names = pods.keys().map(|name| (namespace.clone(), name.clone()));
            names.collect::<Vec<_>>()
        });
        let lost: Vec<(String, String)> = known
            .filter(|(namespace, _)| scope.is_none_or(|scope| scope == namespace))
            .filter(|pod| !listed.contains(pod))
            .collect();
        let keys = lost
            .iter()
            .map(|(namespace, name)| kinds::POD.named(namespace, name));
        keys.flat_map(|key| self.remove(&key)).collect()
    }

    /// Forgets a Canary that is gone.
    pub(crate) fn forget(&mut self, canary: &CanaryKey) {
        self.interest.retain(|_, interested| {
            interested.remove(canary);
            !interested.is_empty()
        });
    }

    fn woken<const N: usize>(&self, namespace: &str, pods: [&Value; N]) -> Vec<CanaryKey> {
        let concerned = self.interest.iter().filter(|(selected, _)| {
            selected.namespace == namespace && pods.iter().any(|pod| selected.holds(pod))
        });
        let woken: BTreeSet<&CanaryKey> = concerned.flat_map(|(_, canaries)| canaries).collect();
        woken.into_iter().cloned().collect()
    }
}

/// What is kept of a pod: its labels, its controller, whether it is ready, and whether it goes.
fn compact(pod: &Value) -> Value {
    let at = |pointer: &str| pod.pointer(pointer).cloned().unwrap_or_default();
    let owners = at("/metadata/ownerReferences");
    let owners: Vec<Value> = items(&owners)
        .filter(|owner| owner.get("controller") == Some(&Value::Bool(true)))
        .map(|owner| json!({"controller": true, "name": owner.get("name")}))
        .collect();
    let conditions = at("/status/conditions");
    let ready: Vec<Value> = items(&conditions)
        .filter(|it| it.get("type").and_then(Value::as_str) == Some("Ready"))
        .map(|it| json!({"type": "Ready", "status": it.get("status")}))
        .collect();
    let going = pod.pointer("/metadata/deletionTimestamp");
    let going = going.map(|at| ("deletionTimestamp".to_owned(), at.clone()));
    let mut metadata = Map::from_iter([
        ("labels".to_owned(), at("/metadata/labels")),
        ("ownerReferences".to_owned(), owners.into()),
    ]);
    metadata.extend(going);
    json!({"metadata": metadata, "status": {"conditions": ready}})
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(version: &str, app: &str, ready: &str) -> (Key, Value) {
        let object = json!({
            "metadata": {
                "resourceVersion": version, "labels": {"app": app}, "annotations": {"a": version},
                "ownerReferences": [{"controller": true, "name": "app-1", "kind": "ReplicaSet"}],
            },
            "spec": {"containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": version}]},
        });
        (kinds::POD.named("test", "app-1-a"), object)
    }

    fn selected(value: &str) -> Selected {
        Selected {
            namespace: "test".into(),
            label: "app".into(),
            value: value.into(),
        }
    }

    fn canary() -> CanaryKey {
        CanaryKey {
            namespace: "test".into(),
            name: "app".into(),
        }
    }

    #[test]
    fn only_what_matters_of_a_pod_wakes_its_canary_and_no_other() {
        let mut pods = Pods::default();
        assert!(pods.of(selected("app"), &canary()).is_empty());
        let rows = [
            (pod("1", "app", "False"), true),
            (pod("2", "app", "False"), false),
            (pod("3", "app", "True"), true),
            (pod("2", "app", "False"), false),
            (pod("4", "other", "True"), true),
            (pod("5", "other", "False"), false),
        ];
        for ((key, object), wakes) in rows {
            let woken = pods.put(&key, &object);
            assert_eq!(
                woken,
                if wakes { vec![canary()] } else { vec![] },
                "{object}"
            );
        }
        assert!(pods.of(selected("app"), &canary()).is_empty());
        assert_eq!(pods.of(selected("other"), &canary()).len(), 1);
        pods.forget(&canary());
        let (key, object) = pod("6", "app", "True");
        assert!(pods.put(&key, &object).is_empty());
    }

    #[test]
    fn a_pod_that_is_gone_comes_back_neither_by_a_late_answer_nor_after_a_list() {
        let mut pods = Pods::default();
        let (key, object) = pod("1", "app", "True");
        pods.of(selected("app"), &canary());
        pods.put(&key, &object);
        assert_eq!(pods.remove(&key), vec![canary()]);
        pods.written(&key, &object);
        assert!(pods.of(selected("app"), &canary()).is_empty());
        pods.put(&key, &object);
        pods.list_begins(None);
        assert_eq!(pods.list_ends(None), vec![canary()]);
        assert!(pods.of(selected("app"), &canary()).is_empty());
    }
}
