//! What the tests of this crate share: the API server's view of a schema, and Go's view of sameness.

use serde_json::{Map, Value, json};

/// The schema of a kind in one version, as the API server would have it.
pub(crate) fn schema_of(kind: &str, version: &str) -> Value {
    let crds = slipway_api::crds();
    let crd = crds
        .iter()
        .find(|crd| crd["spec"]["names"]["kind"] == kind)
        .unwrap_or_else(|| panic!("no CRD of {kind}"));
    let versions = crd["spec"]["versions"].as_array().unwrap();
    versions
        .iter()
        .find(|found| found["name"] == version)
        .unwrap_or_else(|| panic!("{kind} has no {version}"))["schema"]["openAPIV3Schema"]
        .clone()
}

/// What an API server would refuse or prune, a line each.
pub(crate) fn objections(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    if schema["x-kubernetes-int-or-string"] == true {
        return refuse_unless(value.is_i64() || value.is_string(), path, "int or string");
    }
    let words = schema["enum"].as_array();
    let is_allowed = words.is_none_or(|words| words.contains(value));
    let allowed = refuse_unless(is_allowed, path, "a word of the enum");
    let inner = match schema["type"].as_str() {
        Some("string") => refuse_unless(value.is_string(), path, "string"),
        Some("boolean") => refuse_unless(value.is_boolean(), path, "boolean"),
        Some("number") => refuse_unless(value.is_number(), path, "number"),
        Some("array") => value.as_array().map_or_else(
            || vec![format!("{path}: not a list")],
            |items| list_objections(&schema["items"], items, path),
        ),
        Some("object") => value.as_object().map_or_else(
            || vec![format!("{path}: not an object")],
            |fields| object_objections(schema, fields, path),
        ),
        other => vec![format!("{path}: schema of type {other:?}")],
    };
    allowed.into_iter().chain(inner).collect()
}

fn refuse_unless(holds: bool, path: &str, what: &str) -> Vec<String> {
    if holds {
        Vec::new()
    } else {
        vec![format!("{path}: not {what}")]
    }
}

fn list_objections(schema: &Value, items: &[Value], path: &str) -> Vec<String> {
    (0..)
        .zip(items)
        .flat_map(|(i, item)| objections(schema, item, &format!("{path}[{i}]")))
        .collect()
}

fn object_objections(schema: &Value, fields: &Map<String, Value>, path: &str) -> Vec<String> {
    let required = schema["required"].as_array().into_iter().flatten();
    let missing = required
        .filter_map(Value::as_str)
        .filter(|name| !fields.contains_key(*name))
        .map(|name| format!("{path}.{name}: required"));
    let inner = fields.iter().flat_map(|(name, value)| {
        let path = format!("{path}.{name}");
        let properties = &schema["properties"];
        if !properties[name].is_null() {
            objections(&properties[name], value, &path)
        } else if schema["additionalProperties"].is_object() {
            objections(&schema["additionalProperties"], value, &path)
        } else if schema["x-kubernetes-preserve-unknown-fields"] == true {
            Vec::new()
        } else {
            vec![format!("{path}: pruned")]
        }
    });
    missing.chain(inner).collect()
}

/// A value without what Go would leave out: zeros and empties are absent there. `10.0` is `10`, a hook without a type is a rollout hook.
pub(crate) fn as_go_means_it(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), as_go_means_it(value)))
            .filter(|(name, value)| !is_zero(value) && !is_default(name, value))
            .collect(),
        Value::Array(items) => items.iter().map(as_go_means_it).collect(),
        Value::Number(number) => whole_if_possible(number),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

fn whole_if_possible(number: &serde_json::Number) -> Value {
    let float = number.as_f64().unwrap();
    let whole = format!("{float:.0}").parse::<i64>();
    match whole {
        Ok(whole) if number.is_f64() && float.fract() == 0.0 => json!(whole),
        Ok(_) | Err(_) => json!(number),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn is_default(name: &str, value: &Value) -> bool {
    (name == "type" && value == "rollout") || (name == "targetPort" && value == "0")
}

/// Where two values differ, a line each: whole objects side by side are too much to read.
pub(crate) fn differences(expected: &Value, got: &Value, path: &str) -> Vec<String> {
    match (expected, got) {
        (Value::Object(left), Value::Object(right)) => left
            .keys()
            .chain(right.keys().filter(|name| !left.contains_key(*name)))
            .flat_map(|name| differences(&expected[name], &got[name], &format!("{path}.{name}")))
            .collect(),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => (0..)
            .zip(left.iter().zip(right))
            .flat_map(|(i, (left, right))| differences(left, right, &format!("{path}[{i}]")))
            .collect(),
        _ if expected == got => Vec::new(),
        _ => vec![format!("{path}: expected {expected}, got {got}")],
    }
}

/// Asserts that nothing differs.
pub(crate) fn assert_same(expected: &Value, got: &Value) {
    let told = differences(expected, got, "");
    assert!(told.is_empty(), "{told:#?}");
}
