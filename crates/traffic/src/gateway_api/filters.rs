//! What `spec.service` says about every rule: filters and timeouts.
//!
//! **Source**: dossier 02 A.8.

use serde_json::{Map, Value, json};
use slipway_api::{CanaryService, go};
use slipway_core::plan::Problem;

use super::matches::Form;

/// What a Canary says about its rules.
pub(super) struct Attributes {
    pub(super) filters: Vec<Value>,
    pub(super) timeouts: Option<Value>,
}

/// The filters that a Canary has words for. A rule has each of them once, but for copies.
const WORDS: [&str; 5] = [
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "URLRewrite",
    "RequestMirror",
    "CORS",
];

pub(super) fn attributes(form: Form, service: &CanaryService, has_timeouts: bool) -> Attributes {
    let headers = |side: &str| {
        service
            .headers
            .as_ref()
            .and_then(|headers| headers.get(side))
    };
    let mut filters = Vec::new();
    filters.extend(headers("request").and_then(|it| modifier("RequestHeaderModifier", it)));
    filters.extend(headers("response").and_then(|it| modifier("ResponseHeaderModifier", it)));
    filters.extend(rewrite(service).filter(|_| form == Form::Http));
    filters.extend(service.mirror.iter().filter_map(mirror));
    if has_timeouts {
        filters.extend(service.cors_policy.as_ref().map(cors));
    }
    Attributes {
        filters,
        timeouts: has_timeouts.then(|| timeouts(service)).flatten(),
    }
}

/// Filters of the user that stay beside those of the Canary.
pub(super) fn joined(theirs: &[Value], ours: &[Value]) -> Vec<Value> {
    let is_said = |filter: &&Value| {
        let kind = kind_of(filter);
        kind != "RequestMirror" && ours.iter().any(|it| kind_of(it) == kind)
    };
    let theirs = theirs
        .iter()
        .filter(|it| !is_said(it) && !ours.contains(it));
    ours.iter().chain(theirs).cloned().collect()
}

/// Whether a Canary has words for this kind of filter.
pub(super) fn is_word(filter: &Value) -> bool {
    WORDS.contains(&kind_of(filter))
}

pub(super) fn kind_of(filter: &Value) -> &str {
    super::parents::text(filter, "type")
}

/// The modifier of headers, sorted by their names. An empty one is none.
fn modifier(kind: &str, headers: &Value) -> Option<Value> {
    let mut fields = Map::new();
    for field in ["add", "set"] {
        let pairs = headers.get(field).and_then(Value::as_object);
        let pairs: Vec<Value> = pairs
            .into_iter()
            .flatten()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        if !pairs.is_empty() {
            fields.insert(field.into(), Value::Array(pairs));
        }
    }
    let removed = headers.get("remove").and_then(Value::as_array);
    if let Some(removed) = removed.filter(|removed| !removed.is_empty()) {
        fields.insert("remove".into(), json!(removed));
    }
    (!fields.is_empty()).then(|| filter(kind, Value::Object(fields)))
}

fn filter(kind: &str, body: Value) -> Value {
    let mut letters = kind.chars();
    let field = match kind {
        "URLRewrite" => "urlRewrite".to_owned(),
        "CORS" => "cors".to_owned(),
        _ => letters
            .next()
            .map(|first| first.to_lowercase().collect::<String>() + letters.as_str())
            .unwrap_or_default(),
    };
    Value::Object(Map::from_iter([
        ("type".to_owned(), json!(kind)),
        (field, body),
    ]))
}

fn rewrite(service: &CanaryService) -> Option<Value> {
    let rewrite = service.rewrite.as_ref()?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut fields = Map::new();
    if let Some(host) = given(&rewrite.authority) {
        fields.insert("hostname".into(), json!(host));
    }
    if let Some(uri) = given(&rewrite.uri) {
        let path = if rewrite.type_.as_deref() == Some("ReplacePrefixMatch") {
            json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": uri})
        } else {
            json!({"type": "ReplaceFullPath", "replaceFullPath": uri})
        };
        fields.insert("path".into(), path);
    }
    (!fields.is_empty()).then(|| filter("URLRewrite", Value::Object(fields)))
}

fn mirror(entry: &Value) -> Option<Value> {
    let mut reference = entry.get("backendRef")?.as_object()?.clone();
    reference.entry("group").or_insert(json!(""));
    reference.entry("kind").or_insert(json!("Service"));
    Some(filter(
        "RequestMirror",
        json!({"backendRef": Value::Object(reference)}),
    ))
}

/// The copy of every request to a Service of ours.
pub(super) fn mirror_to(service: &str, port: u16) -> Value {
    let reference = json!({"group": "", "kind": "Service", "name": service, "port": port});
    filter("RequestMirror", json!({"backendRef": reference}))
}

/// **Differs from Flagger**: without a `maxAge` the API server's default is written out (F-22: the two would differ for ever).
fn cors(policy: &Value) -> Value {
    const DEFAULT_MAX_AGE: i64 = 5;
    let renamed = [
        ("allowOrigin", "allowOrigins"),
        ("allowMethods", "allowMethods"),
        ("allowHeaders", "allowHeaders"),
        ("exposeHeaders", "exposeHeaders"),
    ];
    let mut fields = Map::new();
    for (from, to) in renamed {
        let list = policy.get(from).and_then(Value::as_array);
        if let Some(list) = list.filter(|list| !list.is_empty()) {
            fields.insert(to.into(), json!(list));
        }
    }
    if policy.get("allowCredentials") == Some(&json!(true)) {
        fields.insert("allowCredentials".into(), json!(true));
    }
    let age = policy.get("maxAge").and_then(Value::as_str);
    let age = age.and_then(|text| go::parse_duration(text).ok());
    let seconds = age.map_or(DEFAULT_MAX_AGE, |age| age.num_seconds());
    fields.insert("maxAge".into(), json!(seconds));
    filter("CORS", Value::Object(fields))
}

fn timeouts(service: &CanaryService) -> Option<Value> {
    let mut fields = Map::new();
    for (field, value) in [
        ("request", &service.timeout),
        ("backendRequest", &service.backend_timeout),
    ] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            fields.insert(field.into(), json!(value));
        }
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// What a `GRPCRoute` has no words for.
pub(super) fn check_calls(service: &CanaryService) -> Vec<Problem> {
    let given = [
        ("timeout", json!(service.timeout)),
        ("backendTimeout", json!(service.backend_timeout)),
        ("rewrite", json!(service.rewrite)),
        ("corsPolicy", json!(service.cors_policy)),
    ];
    let said = given.into_iter().filter(|(_, value)| !value.is_null());
    said.map(|(field, value)| {
        let allowed = "must be absent: a GRPCRoute has no words for it";
        Problem::new(format!("spec.service.{field}"), value, allowed)
    })
    .collect()
}

/// Gateway API's durations are fewer than Go's: no fractions, no signs, hours to milliseconds.
pub(super) fn check_timeouts(service: &CanaryService) -> Vec<Problem> {
    let given = [
        ("spec.service.timeout", &service.timeout),
        ("spec.service.backendTimeout", &service.backend_timeout),
    ];
    let wrong = given.into_iter().filter_map(|(field, value)| {
        let value = value.as_deref().filter(|value| !value.is_empty())?;
        let allowed = "must be whole hours, minutes, seconds or milliseconds, such as 15s or 1m30s: Gateway API has no other durations";
        (!is_duration(value)).then(|| Problem::new(field, value, allowed))
    });
    wrong.collect()
}

/// `^([0-9]{1,5}(h|m|s|ms)){1,4}$`.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    let mut parts = 0;
    while !rest.is_empty() && parts < 4 {
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let unit = ["ms", "h", "m", "s"]
            .into_iter()
            .find_map(|unit| after.strip_prefix(unit));
        let Some(after) = unit.filter(|_| (1..=5).contains(&number.len())) else {
            return false;
        };
        (rest, parts) = (after, parts + 1);
    }
    rest.is_empty() && parts > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_gateway_api_are_told_from_gos() {
        for text in ["15s", "1m30s", "500ms", "1h1m1s1ms", "0s"] {
            assert!(is_duration(text), "{text}");
        }
        for text in ["", "1.5s", "-1s", "10us", "1d", "s", "123456s", "5"] {
            assert!(!is_duration(text), "{text}");
        }
    }
}
