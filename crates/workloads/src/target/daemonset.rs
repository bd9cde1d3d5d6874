//! `DaemonSets`: scaled to zero by a node selector that no node has.
//!
//! **Source**: Flagger `pkg/canary/daemonset_controller.go`, `daemonset_ready.go`; dossier 01 §13.4, §13.5.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use slipway_core::object::{Kind, Write, kinds};
use slipway_core::observation::Workload;
use slipway_core::plan::{CanaryReplicas, Problem};
use slipway_core::revision::{flagger_template_hash, revision};

use super::Resize;
use super::templated::{TEMPLATE, Templated, key_of, number, text};
use crate::json::put;
use crate::metadata::{REVISION, annotation_of};

/// `apps/v1` `DaemonSet`.
#[derive(Debug)]
pub(super) struct DaemonSet;

/// The label that no node has: while the pods are to be on such nodes only, there are none. Flagger's, so that either controller understands
/// what the other left.
const NOWHERE: (&str, &str) = ("flagger.app/scale-to-zero", "true");

impl Templated for DaemonSet {
    fn kind(&self) -> Kind {
        kinds::DAEMON_SET
    }

    /// **Shape**: replicas are the nodes that should have a pod.
    ///
    /// **Source**: kubectl `rollout status`, which compares updated and available pods with the nodes (FC-093). **Differs from Flagger**: a
    /// set without any node is not ready, since nobody could answer.
    fn observe(&self, object: &Value) -> Workload {
        let template = object.pointer(TEMPLATE).unwrap_or(&Value::Null);
        let own = self.own_template(template);
        let status = |field: &str| number(object, &format!("/status/{field}"), 0);
        Workload {
            revision: revision(&own),
            flagger_hash: flagger_template_hash(&with_node_selector(&own)),
            given_revision: annotation_of(object, REVISION).map(str::to_owned),
            generation: number(object, "/metadata/generation", 0),
            observed_generation: status("observedGeneration"),
            replicas: status("desiredNumberScheduled"),
            existing: status("currentNumberScheduled"),
            updated: status("updatedNumberScheduled"),
            ready: status("numberReady"),
            available: status("numberAvailable"),
            // Kubernetes has no deadline of its own for them, no strategy that empties them at once, and no condition that complains.
            deadline_exceeded: false,
            recreates: false,
            complaint: String::new(),
        }
    }

    /// Pods must be replaced by the set itself: with `OnDelete` the primary would keep the old ones for ever.
    fn check(&self, object: &Value) -> Option<Problem> {
        let strategy = text(object.pointer("/spec/updateStrategy"), "type");
        if matches!(strategy, "" | "RollingUpdate") {
            return None;
        }
        let problem = Problem::new(
            "spec.updateStrategy.type",
            strategy,
            "must be RollingUpdate",
        );
        Some(problem.of(key_of(kinds::DAEMON_SET, object).to_string()))
    }

    fn not_copied(&self) -> &'static [&'static str] {
        &["selector"]
    }

    /// Taking the label away again leaves an empty selector, which is no selector.
    fn own_template<'a>(&self, template: &'a Value) -> Cow<'a, Value> {
        let selector = template.pointer("/spec/nodeSelector");
        let Some(selector) = selector.and_then(Value::as_object) else {
            return Cow::Borrowed(template);
        };
        let own: Map<String, Value> = selector
            .iter()
            .filter(|(label, _)| *label != NOWHERE.0)
            .map(|(label, value)| (label.clone(), value.clone()))
            .collect();
        let mut template = template.clone();
        if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
            if own.is_empty() {
                spec.remove(NODE_SELECTOR);
            } else {
                spec.insert(NODE_SELECTOR.to_owned(), own.into());
            }
        }
        Cow::Owned(template)
    }

    fn initial_replicas(&self, _: &Value) -> Option<i64> {
        None
    }

    fn scale_up(
        &self,
        target: &Value,
        _: Option<&Value>,
        _: Option<i64>,
        _: CanaryReplicas,
    ) -> Option<Resize> {
        let is_down = target.pointer(TEMPLATE).is_some_and(is_nowhere);
        is_down.then(|| Resize::Write(place(target, &Value::Null)))
    }

    fn scale_down(&self, target: &Value) -> Option<Resize> {
        let is_up = !target.pointer(TEMPLATE).is_some_and(is_nowhere);
        is_up.then(|| Resize::Write(place(target, &NOWHERE.1.into())))
    }

    fn resize_primary(&self, _: &Value, _: &Value, _: bool, _: CanaryReplicas) -> Option<Resize> {
        None
    }
}

const NODE_SELECTOR: &str = "nodeSelector";

/// Whether a template asks for nodes that there are none of.
fn is_nowhere(template: &Value) -> bool {
    let selector = template.pointer("/spec/nodeSelector");
    selector.is_some_and(|selector| selector.get(NOWHERE.0).is_some())
}

/// Sets the label of the node selector, or takes it away with `null`, and touches nothing else of the user's template.
fn place(target: &Value, value: &Value) -> Write {
    let selector = Map::from_iter([(NOWHERE.0.to_owned(), value.clone())]);
    Write::Merge {
        key: key_of(kinds::DAEMON_SET, target),
        patch: json!({"spec": {"template": {"spec": {NODE_SELECTOR: selector}}}}),
    }
}

/// The template in the form that Flagger hashes: a node selector that is absent is an empty one.
fn with_node_selector(template: &Value) -> Value {
    let mut template = template.clone();
    if template.pointer("/spec/nodeSelector").is_none() {
        put(&mut template, &["spec", NODE_SELECTOR], json!({}));
    }
    template
}
