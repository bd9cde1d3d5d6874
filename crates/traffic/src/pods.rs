//! Weight made by pods: a label of ours on pods, by which the apex selects while a release has users.
//!
//! ```text
//!  apex ──► slipway.dev/apex: APEX ──► every pod of the primary, n pods of the canary
//! ```
//!
//! The primary's template carries the label, so that its pods do from birth; pods that are older are labelled here. Pods of the canary are labelled
//! one by one and never by the user's template: one that dies takes its share with it, and nothing grows while nobody looks.
//!
//! Every write alone keeps the share within the weight: the primary's pods come first, then what is taken from the canary's, then what is given.

use std::sync::Arc;

use serde_json::{Value, json};
use slipway_api::names::APEX_LABEL;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Objects, Write, kinds};
use slipway_core::plan::{Plan, TargetKind};
use slipway_core::pods::{PodCounts, share};
use slipway_core::weight::Weight;

use crate::found;

/// The labels by which Kubernetes tells the revisions of a Deployment and of a `DaemonSet`.
const HASHES: [&str; 2] = ["pod-template-hash", "controller-revision-hash"];

/// The Service that selects.
pub(crate) fn apex(plan: &Plan) -> Key {
    kinds::SERVICE.named(&plan.canary.namespace, &plan.names.apex)
}

/// The ready pods of both sides.
pub(crate) fn counts(blueprint: &Blueprint<'_>, seen: &Objects) -> PodCounts {
    let sides = Sides::of(blueprint, seen);
    PodCounts {
        primary: count(sides.primary.iter().filter(|pod| pod.is_ready)),
        canary: count(sides.of_one_revision().into_iter()),
    }
}

/// The labels to put on pods and to take off them for this weight; none where all traffic goes to the canary, for the apex selects it then.
pub(crate) fn render(blueprint: &Blueprint<'_>, seen: &Objects, weight: Weight) -> Vec<Write> {
    let mut sides = Sides::of(blueprint, seen);
    let unlabelled = sides.primary.iter().filter(|pod| !pod.is_labelled);
    let mut writes: Vec<Write> = unlabelled
        .map(|pod| label(pod.key, Some(&blueprint.plan.names.apex)))
        .collect();
    let counts = counts(blueprint, seen);
    let is_blind = counts.primary == 0 && !weight.is_zero();
    if weight == Weight::FULL || is_blind {
        // Nobody else can answer: whoever does keeps what it has, until the decision has seen it too.
        return writes;
    }
    let allowed = usize::try_from(counts.allowed(weight)).unwrap_or(usize::MAX);
    let chosen: Vec<&Key> = sides
        .of_one_revision()
        .into_iter()
        .map(|pod| pod.key)
        .take(allowed)
        .collect();
    sides.canary.sort_by_key(|pod| !pod.is_labelled);
    for pod in &sides.canary {
        match (pod.is_labelled, chosen.contains(&pod.key)) {
            (true, false) => writes.push(label(pod.key, None)),
            (false, true) => writes.push(label(pod.key, Some(&blueprint.plan.names.apex))),
            (true, true) | (false, false) => {}
        }
    }
    writes
}

/// The share that the apex gives the canary now; `None` while it does not exist.
pub(crate) fn read(blueprint: &Blueprint<'_>, seen: &Objects) -> Option<Weight> {
    let selector = found(seen, &apex(blueprint.plan))?.pointer("/spec/selector")?;
    let selects =
        |label: &str, value: &str| selector.get(label).and_then(Value::as_str) == Some(value);
    let of_target = blueprint.selector;
    if selects(&of_target.label, &of_target.value) {
        return Some(Weight::FULL);
    }
    if !selects(APEX_LABEL, &blueprint.plan.names.apex) {
        return Some(Weight::ZERO);
    }
    let sides = Sides::of(blueprint, seen);
    let selected =
        |pods: &[Pod<'_>]| count(pods.iter().filter(|pod| pod.is_ready && pod.is_labelled));
    Some(share(selected(&sides.primary), selected(&sides.canary)))
}

fn count<T>(pods: impl Iterator<Item = T>) -> u32 {
    u32::try_from(pods.count()).unwrap_or(u32::MAX)
}

fn label(pod: &Key, value: Option<&str>) -> Write {
    Write::Merge {
        key: pod.clone(),
        patch: json!({"metadata": {"labels": {APEX_LABEL: value}}}),
    }
}

/// A pod, as it matters here.
struct Pod<'a> {
    key: &'a Key,
    is_ready: bool,
    is_labelled: bool,
    hash: &'a str,
}

/// The pods of both sides that are not going.
struct Sides<'a> {
    primary: Vec<Pod<'a>>,
    canary: Vec<Pod<'a>>,
}

impl<'a> Sides<'a> {
    fn of(blueprint: &Blueprint<'_>, seen: &'a Objects) -> Self {
        let selector = blueprint.selector;
        let primary = selector.primary_value();
        let mut sides = Self {
            primary: Vec::new(),
            canary: Vec::new(),
        };
        for (key, object) in seen.iter().filter(|(key, _)| key.kind() == kinds::POD) {
            let Some(pod) = Pod::of(blueprint.plan, key, object) else {
                continue;
            };
            let value = labelled(object, &selector.label);
            if value == primary {
                sides.primary.push(pod);
            } else if value == selector.value && is_of_target(blueprint.plan, object) {
                sides.canary.push(pod);
            }
        }
        sides
    }

    /// The ready pods of the canary, those with the label first; none while it has pods of several revisions, for nobody says here which is meant.
    fn of_one_revision(&self) -> Vec<&Pod<'a>> {
        let mut hashes = self.canary.iter().map(|pod| pod.hash);
        let first = hashes.next();
        if hashes.any(|hash| Some(hash) != first) {
            return Vec::new();
        }
        let mut ready: Vec<&Pod<'a>> = self.canary.iter().filter(|pod| pod.is_ready).collect();
        ready.sort_by_key(|pod| !pod.is_labelled);
        ready
    }
}

impl<'a> Pod<'a> {
    /// `None` for one that is going: it answers nobody for long, and its label goes with it.
    fn of(plan: &Plan, key: &'a Key, object: &'a Arc<Value>) -> Option<Self> {
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return None;
        }
        let conditions = object
            .pointer("/status/conditions")
            .and_then(Value::as_array);
        let mut conditions = conditions.into_iter().flatten();
        let is_ready =
            conditions.any(|it| text(it, "type") == "Ready" && text(it, "status") == "True");
        let hashes = HASHES.map(|hash| labelled(object, hash));
        Some(Self {
            key,
            is_ready,
            is_labelled: labelled(object, APEX_LABEL) == plan.names.apex,
            hash: hashes
                .into_iter()
                .find(|hash| !hash.is_empty())
                .unwrap_or_default(),
        })
    }
}

/// Whether the pod was made for the target, and not for another workload with the same label: of a Deployment by the `ReplicaSet` of its revision.
fn is_of_target(plan: &Plan, pod: &Value) -> bool {
    let target = &plan.target;
    let owner = match target.kind {
        TargetKind::Deployment => format!("{}-{}", target.name, labelled(pod, "pod-template-hash")),
        TargetKind::DaemonSet | TargetKind::Service | TargetKind::Knative => target.name.clone(),
    };
    let owners = pod
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    let mut owners = owners.into_iter().flatten();
    owners.any(|it| it.get("controller") == Some(&Value::Bool(true)) && text(it, "name") == owner)
}

fn labelled<'a>(pod: &'a Value, label: &str) -> &'a str {
    let labels = pod.pointer("/metadata/labels");
    let value = labels.and_then(|labels| labels.get(label)?.as_str());
    value.unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
