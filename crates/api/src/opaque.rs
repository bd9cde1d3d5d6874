//! Schemas of fields whose JSON says more, or less, than their Rust type.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::crd::DEFAULT;
use crate::{HookType, Phase, names};

/// A number; a fraction passes and is reported by `Plan`.
pub(crate) fn number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "number"})
}

/// Any text.
pub(crate) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string"})
}

/// A moment in RFC 3339.
pub(crate) fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// An object that travels on as it is.
pub(crate) fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Objects that travel on as they are.
pub(crate) fn objects(_: &mut SchemaGenerator) -> Schema {
    list_of(&anything())
}

/// Our own part of the status: a field that a newer version wrote survives an older CRD.
pub(crate) fn slipway_status(generator: &mut SchemaGenerator) -> Schema {
    object(generator)
}

/// `ParentReference`s, with the two defaults of the Gateway API.
pub(crate) fn gateway_refs(_: &mut SchemaGenerator) -> Schema {
    list_of(&with_properties(&json!({
        "group": {"type": "string", DEFAULT: "gateway.networking.k8s.io"},
        "kind": {"type": "string", DEFAULT: "Gateway"},
    })))
}

/// Mirror filters, with the two defaults of a `BackendObjectReference`.
pub(crate) fn mirrors(_: &mut SchemaGenerator) -> Schema {
    let backend = with_properties(&json!({
        "group": {"type": "string", DEFAULT: ""},
        "kind": {"type": "string", DEFAULT: "Service"},
    }));
    list_of(&with_properties(&json!({"backendRef": backend})))
}

/// Matches of an A/B release: only the three keys that Flagger keeps. A fourth, until now pruned unseen, would narrow a working release.
pub(crate) fn analysis_matches(_: &mut SchemaGenerator) -> Schema {
    list_of(&json!({
        "type": "object",
        "properties": {
            "headers": anything(),
            "queryParams": anything(),
            "sourceLabels": anything(),
        },
    }))
}

/// The types of hooks, the empty one included.
pub(crate) fn hook_type(_: &mut SchemaGenerator) -> Schema {
    let words: Vec<Value> = std::iter::once(json!(""))
        .chain(HookType::ALL.iter().map(|hook| json!(hook.as_str())))
        .collect();
    json_schema!({"type": "string", "enum": words})
}

/// The severities of alerts, the empty one included.
pub(crate) fn severity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["", "info", "warn", "error"]})
}

/// What browsers know as `SameSite`.
pub(crate) fn same_site(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Strict", "Lax", "None"]})
}

/// The providers of metrics that a MetricTemplate may name.
pub(crate) fn metric_provider(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": names::METRIC_PROVIDERS})
}

/// The chats that an AlertProvider may name.
pub(crate) fn alert_provider(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": names::ALERT_PROVIDERS})
}

/// The phases, the empty one included.
pub(crate) fn phase(_: &mut SchemaGenerator) -> Schema {
    let words: Vec<Value> = std::iter::once(Phase::Empty)
        .chain(Phase::NAMED)
        .map(|phase| json!(phase.as_str()))
        .collect();
    json_schema!({"type": "string", "enum": words})
}

fn anything() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn with_properties(properties: &Value) -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": properties})
}

fn list_of(items: &Value) -> Schema {
    json_schema!({"type": "array", "items": items})
}
