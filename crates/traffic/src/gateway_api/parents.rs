//! What a route attaches to: Gateways, and in the form of a mesh Services.

use serde_json::{Map, Value, json};
use slipway_api::CanaryService;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Kind};
use slipway_core::plan::{Plan, Problem};

/// The group of Gateways, which a `gatewayRef` without a group means.
const GROUP: &str = "gateway.networking.k8s.io";

const ALLOWED: &str = "must name what the route attaches to: a Gateway, or for a mesh the apex Service with its port \
     (group: \"\", kind: Service)";

/// What is wrong with the `gatewayRefs` of a Canary.
pub(super) fn check(service: &CanaryService) -> Vec<Problem> {
    let references = &service.gateway_refs;
    if references.is_empty() {
        return vec![Problem::new("spec.service.gatewayRefs", "", ALLOWED)];
    }
    let nameless = references
        .iter()
        .enumerate()
        .filter(|(_, reference)| text(reference, "name").is_empty());
    nameless
        .map(|(at, reference)| {
            Problem::new(
                format!("spec.service.gatewayRefs[{at}].name"),
                reference,
                ALLOWED,
            )
        })
        .collect()
}

/// Linkerd's own route attaches to Services alone.
pub(super) fn check_services(service: &CanaryService) -> Vec<Problem> {
    let references = named(service).into_iter().enumerate();
    let others = references.filter(|(_, parent)| text(parent, "kind") != "Service");
    others
        .map(|(at, parent)| {
            let allowed = "must be Service: the HTTPRoute of policy.linkerd.io attaches to nothing else, \
                 and that of gateway.networking.k8s.io is not installed";
            let field = format!("spec.service.gatewayRefs[{at}].kind");
            Problem::new(field, text(&parent, "kind"), allowed)
        })
        .collect()
}

/// The parents that a Canary names, with the defaults of the API server.
///
/// **Differs from Flagger**: a Service without a group is one of the core group; Flagger's CRD makes it a Service of Gateway API, which there is none of.
pub(super) fn named(service: &CanaryService) -> Vec<Value> {
    let references = service.gateway_refs.iter().filter_map(Value::as_object);
    let parents = references.filter(|reference| {
        reference
            .get("name")
            .and_then(Value::as_str)
            .is_some_and(|name| !name.is_empty())
    });
    parents.map(defaulted).collect()
}

fn defaulted(reference: &Map<String, Value>) -> Value {
    let mut parent = reference.clone();
    let kind = parent.entry("kind").or_insert(json!("Gateway")).clone();
    let group = parent.entry("group").or_insert(json!(GROUP));
    if kind == "Service" && *group == GROUP {
        *group = json!("");
    }
    Value::Object(parent)
}

/// The apex Service as a parent.
pub(super) fn apex(plan: &Plan) -> Value {
    json!({"group": "", "kind": "Service", "name": plan.names.apex, "port": plan.port})
}

/// The parents of the Canary, and behind them those of the user.
pub(super) fn joined(ours: Vec<Value>, theirs: Option<&Value>, namespace: &str) -> Vec<Value> {
    let mut all = ours;
    for parent in theirs.and_then(Value::as_array).into_iter().flatten() {
        if !all.iter().any(|known| is_same(known, parent, namespace)) {
            all.push(parent.clone());
        }
    }
    all
}

/// The Gateway that a parent is, if it is one.
pub(super) fn gateway(kind: Kind, blueprint: &Blueprint<'_>, parent: &Value) -> Option<Key> {
    let is_gateway = text(parent, "kind") == "Gateway" && text(parent, "group") == GROUP;
    let own = &blueprint.plan.canary.namespace;
    is_gateway.then(|| kind.named(namespace_of(parent, own), text(parent, "name")))
}

/// Whether two references mean the same parent, seen from a namespace.
///
/// **Source**: the reference of `ParentReference`; `core` is how Linkerd calls the group that has no name.
pub(super) fn is_same(one: &Value, other: &Value, namespace: &str) -> bool {
    let group = |parent: &Value| match parent.get("group").and_then(Value::as_str) {
        None => GROUP.to_owned(),
        Some("core") => String::new(),
        Some(group) => group.to_owned(),
    };
    let kind = |parent: &Value| match text(parent, "kind") {
        "" => "Gateway".to_owned(),
        kind => kind.to_owned(),
    };
    let of = |parent: &Value| {
        (
            group(parent),
            kind(parent),
            namespace_of(parent, namespace).to_owned(),
            text(parent, "name").to_owned(),
            text(parent, "sectionName").to_owned(),
            parent.get("port").and_then(Value::as_i64),
        )
    };
    of(one) == of(other)
}

/// A parent for people: `Gateway edge/public`.
pub(super) fn name(parent: &Value, namespace: &str) -> String {
    let kind = match text(parent, "kind") {
        "" => "Gateway",
        kind => kind,
    };
    let (namespace, name) = (namespace_of(parent, namespace), text(parent, "name"));
    format!("{kind} {namespace}/{name}")
}

pub(super) fn namespace_of<'a>(reference: &'a Value, own: &'a str) -> &'a str {
    match text(reference, "namespace") {
        "" => own,
        namespace => namespace,
    }
}

pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
