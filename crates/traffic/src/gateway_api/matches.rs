//! From the matches of a Canary, which are Istio's, to those of a route.
//!
//! **Source**: dossier 02 A.8. Conditions that an HTTPRoute has no words for (labels of the caller, scheme, port, headers that must be absent)
//! are left out of `service.match`, as Flagger does; in `analysis.match` they are mistakes, since everybody would meet the canary without them
//! (F-21).

use serde_json::{Map, Value, json};
use slipway_api::Canary;
use slipway_core::plan::Problem;

/// Whose matches: those of requests, or those of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Of an HTTPRoute: path, method, headers, query parameters.
    Http,
    /// Of a `GRPCRoute`: service and method, headers.
    Grpc,
}

/// What a condition on a text must be.
const EXACT_OR_REGEX: &str =
    "must be exact or regex: Gateway API has no other condition on a header or a query parameter";

/// The matches that every request meets.
pub(super) fn everything(form: Form) -> Vec<Value> {
    match form {
        Form::Http => vec![json!({"path": path("PathPrefix", "/")})],
        Form::Grpc => Vec::new(),
    }
}

/// What of the matches of a Canary a route cannot say.
pub(super) fn check(form: Form, canary: &Canary) -> Vec<Problem> {
    let service = canary.spec.service.match_.iter().enumerate();
    let mut problems: Vec<Problem> = service
        .filter_map(|(at, entry)| of(form, entry, &format!("spec.service.match[{at}]")).err())
        .collect();
    let analysis = canary.spec.analysis_in_force();
    let selected = analysis.map_or(&[][..], |analysis| &analysis.match_);
    for (at, entry) in selected.iter().enumerate() {
        let field = format!("spec.analysis.match[{at}]");
        problems.extend(of(form, entry, &field).err());
        problems.extend(unsayable(entry, &field));
    }
    problems
}

fn unsayable(entry: &Value, field: &str) -> Option<Problem> {
    const SAYABLE: [&str; 4] = ["headers", "queryParams", "uri", "method"];
    let is_set = |value: &Value| !value.is_null() && *value != json!({});
    let fields = entry.as_object()?;
    if let Some((name, value)) = fields
        .iter()
        .find(|(name, value)| is_set(value) && !SAYABLE.contains(&name.as_str()))
    {
        let allowed =
            "must be absent: Gateway API has no such condition; say it by headers or queryParams";
        return Some(Problem::new(format!("{field}.{name}"), value, allowed));
    }
    let selects = ["headers", "queryParams"]
        .iter()
        .any(|name| fields.get(*name).is_some_and(is_set));
    let allowed =
        "must have a condition on headers or queryParams: everybody would meet the canary";
    (!selects).then(|| Problem::new(field, entry, allowed))
}

/// The matches of a list; what cannot be said is left out, [`check`] has named it.
pub(super) fn all(form: Form, list: &[Value]) -> Vec<Value> {
    let entries = list
        .iter()
        .filter_map(|entry| of(form, entry, "").ok().flatten());
    entries.collect()
}

/// One match, with the path that the API server would fill in. `None`: it has no condition that a route has words for.
///
/// # Errors
/// A condition of a kind that a route has not.
fn of(form: Form, entry: &Value, field: &str) -> Result<Option<Value>, Problem> {
    let mut found = match form {
        Form::Http => target_of_request(entry, field)?,
        Form::Grpc => target_of_call(entry, field)?,
    };
    for name in ["headers", "queryParams"] {
        let conditions = conditions(entry.get(name), &format!("{field}.{name}"))?;
        if conditions.is_empty() {
            continue;
        }
        if form == Form::Grpc && name == "queryParams" {
            let allowed = "must be absent: calls have no query parameters";
            return Err(Problem::new(
                format!("{field}.{name}"),
                &entry[name],
                allowed,
            ));
        }
        found.insert(name.into(), Value::Array(conditions));
    }
    if found.is_empty() {
        return Ok(None);
    }
    if form == Form::Http {
        found.entry("path").or_insert(path("PathPrefix", "/"));
    }
    Ok(Some(Value::Object(found)))
}

fn target_of_request(entry: &Value, field: &str) -> Result<Map<String, Value>, Problem> {
    let mut found = Map::new();
    if let Some(uri) = entry.get("uri").filter(|uri| !uri.is_null()) {
        found.insert("path".into(), path_of(uri, &format!("{field}.uri"))?);
    }
    if let Some(method) = entry.get("method").filter(|method| !method.is_null()) {
        let exact = method.get("exact").and_then(Value::as_str);
        let exact = exact.filter(|method| !method.is_empty()).ok_or_else(|| {
            let allowed = "must be exact: Gateway API has no other condition on a method";
            Problem::new(format!("{field}.method"), method, allowed)
        })?;
        found.insert("method".into(), json!(exact));
    }
    Ok(found)
}

/// A call's path is `/SERVICE/METHOD`.
fn target_of_call(entry: &Value, field: &str) -> Result<Map<String, Value>, Problem> {
    let mut found = Map::new();
    if let Some(method) = entry.get("method").filter(|method| !method.is_null()) {
        let allowed = "must be absent: every call has the HTTP method POST";
        return Err(Problem::new(format!("{field}.method"), method, allowed));
    }
    let Some(uri) = entry.get("uri").filter(|uri| !uri.is_null()) else {
        return Ok(found);
    };
    let said = |word: &str| uri.get(word).and_then(Value::as_str);
    let parts = |path: &str| {
        let mut parts = path.strip_prefix('/').unwrap_or_default().split('/');
        let service = parts.next().unwrap_or_default().to_owned();
        (service, parts.next().unwrap_or_default().to_owned())
    };
    let (service, method) = match (said("exact").map(parts), said("prefix").map(parts)) {
        (Some((service, method)), _) if !service.is_empty() && !method.is_empty() => {
            (service, Some(method))
        }
        (None, Some((service, method))) if method.is_empty() => (service, None),
        _ => {
            let allowed = "must be exact, /SERVICE/METHOD, or prefix, /SERVICE/: a GRPCRoute has no other condition on a path";
            return Err(Problem::new(format!("{field}.uri"), uri, allowed));
        }
    };
    if !service.is_empty() {
        let mut target = json!({"type": "Exact", "service": service});
        if let (Some(fields), Some(method)) = (target.as_object_mut(), method) {
            fields.insert("method".into(), json!(method));
        }
        found.insert("method".into(), target);
    }
    Ok(found)
}

fn path_of(uri: &Value, field: &str) -> Result<Value, Problem> {
    let said = [
        ("regex", "RegularExpression"),
        ("exact", "Exact"),
        ("prefix", "PathPrefix"),
    ];
    let mut said = said.iter().filter_map(|(word, kind)| {
        let value = uri.get(word)?.as_str().filter(|text| !text.is_empty())?;
        Some(path(kind, value))
    });
    said.next().ok_or_else(|| {
        let allowed =
            "must be exact, prefix or regex: Gateway API has no other condition on a path";
        Problem::new(field, uri, allowed)
    })
}

fn path(kind: &str, value: &str) -> Value {
    json!({"type": kind, "value": value})
}

/// The conditions on headers or query parameters, in the order of their names (F-6: Flagger's order changes by itself).
fn conditions(map: Option<&Value>, field: &str) -> Result<Vec<Value>, Problem> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    let conditions = entries.map(|(name, wanted)| {
        let said = |word: &str| {
            let text = wanted.get(word).and_then(Value::as_str);
            text.filter(|text| !text.is_empty())
        };
        let condition = said("exact").map(|value| condition(name, "Exact", value));
        let condition =
            condition.or_else(|| said("regex").map(|value| condition_of_regex(name, value)));
        condition.ok_or_else(|| Problem::new(format!("{field}.{name}"), wanted, EXACT_OR_REGEX))
    });
    conditions.collect()
}

fn condition_of_regex(name: &str, value: &str) -> Value {
    condition(name, "RegularExpression", value)
}

fn condition(name: &str, kind: &str, value: &str) -> Value {
    json!({"name": name, "type": kind, "value": value})
}

/// The requests that meet both one of `selected` and one of `among`.
///
/// **Differs from Flagger**, where headers of the analysis take the place of those of the service (F-9). In a route the match with more conditions
/// wins: whoever is selected would be taken by the rule for everybody.
pub(super) fn narrowed(selected: &[Value], among: &[Value]) -> Vec<Value> {
    if among.is_empty() {
        return selected.to_vec();
    }
    let pairs = selected
        .iter()
        .flat_map(|selected| among.iter().map(move |entry| (selected, entry)));
    pairs
        .map(|(selected, entry)| both(selected, entry))
        .collect()
}

fn both(selected: &Value, entry: &Value) -> Value {
    let mut joined = entry.as_object().cloned().unwrap_or_default();
    for list in ["headers", "queryParams"] {
        let wanted = selected.get(list).and_then(Value::as_array);
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
            continue;
        };
        let name = |condition: &Value| super::parents::text(condition, "name").to_lowercase();
        let is_said = |condition: &&Value| wanted.iter().any(|it| name(it) == name(condition));
        let before = joined.get(list).and_then(Value::as_array);
        let others = before
            .into_iter()
            .flatten()
            .filter(|it| !is_said(it))
            .cloned();
        let all: Vec<Value> = wanted.iter().cloned().chain(others).collect();
        joined.insert(list.into(), Value::Array(all));
    }
    Value::Object(joined)
}

/// The requests that carry a cookie.
pub(super) fn carrying(cookie: crate::affinity::Cookie<'_>) -> Value {
    let (header, pattern) = cookie.condition();
    let value = super::parents::text(&pattern, "regex");
    json!({"path": path("PathPrefix", "/"), "headers": [condition_of_regex(header, value)]})
}

/// A match of the user, with what the API server fills in.
pub(super) fn defaulted(form: Form, entry: &Value) -> Value {
    let mut fields = entry.as_object().cloned().unwrap_or_default();
    let target = match form {
        Form::Http => Some(fields.entry("path").or_insert_with(|| json!({}))),
        Form::Grpc => fields.get_mut("method"),
    };
    if let Some(target) = target.and_then(Value::as_object_mut) {
        let kind = if form == Form::Http {
            "PathPrefix"
        } else {
            "Exact"
        };
        target.entry("type").or_insert(json!(kind));
        if form == Form::Http {
            target.entry("value").or_insert(json!("/"));
        }
    }
    for list in ["headers", "queryParams"] {
        let conditions = fields.get_mut(list).and_then(Value::as_array_mut);
        for condition in conditions.into_iter().flatten() {
            if let Some(condition) = condition.as_object_mut() {
                condition.entry("type").or_insert(json!("Exact"));
            }
        }
    }
    Value::Object(fields)
}
