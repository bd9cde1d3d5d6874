//! What the server says about itself: groups, versions, resources, health.

use super::Answer;
use super::failure::Failure;
use super::kinds::{Kind, Registry};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// # Errors
/// 404 for a document that does not exist, a group without installed kinds included.
pub(super) fn document(kinds: &Registry, path: &[String]) -> Result<Answer, Failure> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let value = match path.as_slice() {
        ["version"] => version(),
        ["healthz" | "livez" | "readyz"] => return Ok(Answer::Text(200, "ok".to_owned())),
        ["api"] => json!({
            "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [],
        }),
        ["api", version] => resources(kinds, "", version)?,
        ["apis"] => json!({
            "kind": "APIGroupList", "apiVersion": "v1", "groups": groups(kinds).into_values().collect::<Vec<_>>(),
        }),
        ["apis", group] => groups(kinds)
            .remove(*group)
            .ok_or_else(Failure::no_such_path)?,
        ["apis", group, version] => resources(kinds, group, version)?,
        ["openapi", "v3", rest @ ..] => super::openapi::document(kinds, rest)?,
        _ => return Err(Failure::no_such_path()),
    };
    Ok(Answer::value(200, &value))
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": "v1.36.3-sim", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}

fn groups(kinds: &Registry) -> BTreeMap<String, Value> {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, kind) in kinds.served().filter(|(_, kind)| !kind.group.is_empty()) {
        let known = versions.entry(kind.group.clone()).or_default();
        for version in &kind.versions {
            if !known.contains(version) {
                known.push(version.clone());
            }
        }
    }
    versions
        .into_iter()
        .map(|(group, versions)| {
            let all: Vec<Value> = versions
                .iter()
                .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
                .collect();
            let value = json!({
                "kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": all, "preferredVersion": all.first(),
            });
            (group, value)
        })
        .collect()
}

fn resources(kinds: &Registry, group: &str, version: &str) -> Result<Value, Failure> {
    let mut found = Vec::new();
    for (_, kind) in kinds.served() {
        if kind.group == group && kind.versions.iter().any(|it| it == version) {
            found.extend(entries(kind));
        }
    }
    if found.is_empty() {
        return Err(Failure::no_such_path());
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": found,
    }))
}

fn entries(kind: &Kind) -> Vec<Value> {
    let entry = |name: String, of: &str, verbs: &[&str]| {
        json!({
            "name": name, "singularName": "", "namespaced": kind.is_namespaced(), "kind": of, "verbs": verbs,
        })
    };
    let all = [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    ];
    let mut main = entry(kind.plural.clone(), &kind.name, &all);
    crate::json::set(&mut main, &["singularName"], kind.name.to_lowercase());
    if !kind.short.is_empty() {
        crate::json::set(&mut main, &["shortNames"], kind.short.clone());
    }
    if kind.is_in_all {
        crate::json::set(&mut main, &["categories"], json!(["all"]));
    }
    let mut found = vec![main];
    let partial = ["get", "patch", "update"];
    if kind.status {
        found.push(entry(
            format!("{}/status", kind.plural),
            &kind.name,
            &partial,
        ));
    }
    if kind.scale {
        found.push(entry(format!("{}/scale", kind.plural), "Scale", &partial));
    }
    found
}
