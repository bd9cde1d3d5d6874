//! Labels, annotations and owners of what we write.

use serde_json::{Map, Value, json};
use slipway_api::names::{API_VERSION, GROUP, TOOLKIT_MARK, annotation};
use slipway_core::blueprint::{Blueprint, CodecSettings};
use slipway_core::object::Key;
use slipway_core::plan::Problem;

use crate::json::put;

/// The annotation on a primary, and on its record, that says which revision it was last given.
pub const REVISION: &str = "slipway.dev/revision";

/// The annotation on a user's Service that says what stood there before us, as JSON.
pub const ORIGINAL: &str = "slipway.dev/original";

/// What `kubectl apply` keeps of the manifest that it was last given.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Annotations that are the state of a controller or a tool about this one object.
const STATE: [&str; 2] = [LAST_APPLIED, "deployment.kubernetes.io/"];

/// Whether a label or annotation may stand on a copy: Flux' and ours never do.
pub(crate) fn may_be_copied(key: &str) -> bool {
    !key.contains(TOOLKIT_MARK) && !key.starts_with(annotation::PREFIX)
}

/// Whether a label or annotation is copied from the metadata of one object to that of another (`-include-label-prefix`).
pub(crate) fn is_included(settings: &CodecSettings, key: &str) -> bool {
    let mut prefixes = settings.include_label_prefixes.iter();
    let included = prefixes.any(|prefix| prefix == "*" || key.starts_with(prefix.as_str()));
    included && may_be_copied(key) && !STATE.iter().any(|state| key.starts_with(state))
}

/// Those labels or annotations (`section`) of an object that pass.
pub(crate) fn copied(
    object: &Value,
    section: &str,
    passes: impl Fn(&str) -> bool,
) -> Map<String, Value> {
    let all = object
        .pointer("/metadata")
        .and_then(|metadata| metadata.get(section)?.as_object());
    let kept = all.into_iter().flatten().filter(|(key, _)| passes(key));
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// One annotation of an object.
pub(crate) fn annotation_of<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

/// `metadata` of an object of ours, without the sections that are empty.
pub(crate) fn metadata(
    key: &Key,
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
    owners: Vec<Value>,
) -> Value {
    let mut metadata = json!({"name": key.name, "namespace": key.namespace});
    if !labels.is_empty() {
        put(&mut metadata, &["labels"], labels);
    }
    if !annotations.is_empty() {
        put(&mut metadata, &["annotations"], annotations);
    }
    if !owners.is_empty() {
        put(&mut metadata, &["ownerReferences"], owners);
    }
    metadata
}

/// The Canary as the controller of an object; none where it has no uid (tools without a cluster).
pub(crate) fn owner(blueprint: &Blueprint<'_>) -> Vec<Value> {
    let canary = &blueprint.plan.canary;
    if canary.uid.is_empty() {
        return Vec::new();
    }
    vec![json!({
        "apiVersion": API_VERSION,
        "kind": "Canary",
        "name": canary.name,
        "uid": canary.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })]
}

/// The owner for an object that may exist already: what was there before us stays without one, and outlives the Canary.
pub(crate) fn owner_of(blueprint: &Blueprint<'_>, live: Option<&Value>) -> Vec<Value> {
    if live.is_none_or(|live| is_ours(blueprint, live)) {
        owner(blueprint)
    } else {
        Vec::new()
    }
}

/// Whether an object was made for this Canary.
///
/// By name, not by uid: a Canary that was deleted without its objects and made again has another uid.
pub(crate) fn is_ours(blueprint: &Blueprint<'_>, object: &Value) -> bool {
    canary_owners(object)
        .any(|owner| owner.get("name").and_then(Value::as_str) == Some(&blueprint.plan.canary.name))
}

/// The owners of an object that are Canaries, ours and others.
pub(crate) fn canary_owners(object: &Value) -> impl Iterator<Item = &Value> {
    owners(object).filter(|owner| {
        let group = owner.get("apiVersion").and_then(Value::as_str);
        let group = group.and_then(|version| version.split('/').next());
        group == Some(GROUP) && owner.get("kind").and_then(Value::as_str) == Some("Canary")
    })
}

/// The owners of an object.
pub(crate) fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    let owners = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    owners.into_iter().flatten()
}

/// Whether an owner is the controller.
pub(crate) fn is_controller(owner: &Value) -> bool {
    owner.get("controller").and_then(Value::as_bool) == Some(true)
}

/// Refuses an object that another Canary controls: two releases would tear it to and fro.
pub(crate) fn refuse_foreign(
    blueprint: &Blueprint<'_>,
    key: &Key,
    live: Option<&Value>,
) -> Result<(), Problem> {
    let mut owners = live.into_iter().flat_map(canary_owners);
    let ours = blueprint.plan.canary.name.as_str();
    let name = |owner: &Value| {
        owner
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    match owners.find(|owner| is_controller(owner) && name(owner) != ours) {
        None => Ok(()),
        Some(other) => Err(Problem::new(
            "metadata.ownerReferences",
            format!("Canary {}", name(other)),
            format!("must not belong to another Canary than {ours}"),
        )
        .of(key.to_string())),
    }
}
