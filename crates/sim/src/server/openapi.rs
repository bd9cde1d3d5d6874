//! What the server says of its schemas: just enough that kubectl applies, edits and leaves validation to the server.
//!
//! Every kind is an object of any content, and takes `fieldValidation`; the server's own shapes are not told.

use super::failure::Failure;
use super::kinds::{Kind, Registry};
use serde_json::{Map, Value, json};

/// # Errors
/// 404 for a group and version that nothing is served in.
pub(super) fn document(kinds: &Registry, path: &[&str]) -> Result<Value, Failure> {
    match path {
        [] => Ok(root(kinds)),
        ["api", version] => of_version(kinds, "", version),
        ["apis", group, version] => of_version(kinds, group, version),
        _ => Err(Failure::no_such_path()),
    }
}

fn root(kinds: &Registry) -> Value {
    let mut paths = Map::new();
    for (_, kind) in kinds.served() {
        for version in &kind.versions {
            let place = place(&kind.group, version);
            let url = format!("/openapi/v3/{place}?hash=0");
            paths.insert(place, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// `api/v1`, `apis/apps/v1`.
fn place(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

fn of_version(kinds: &Registry, group: &str, version: &str) -> Result<Value, Failure> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    let served = kinds.served().map(|(_, kind)| kind);
    for kind in served.filter(|it| it.group == group && it.versions.iter().any(|it| it == version))
    {
        let named = json!({"group": group, "version": version, "kind": kind.name});
        paths.insert(path_of(kind, version), operations(&named));
        let schema = json!({
            "type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-group-version-kind": [named],
        });
        schemas.insert(format!("{group}.{version}.{}", kind.name), schema);
    }
    if schemas.is_empty() {
        return Err(Failure::no_such_path());
    }
    Ok(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "sim"},
        "paths": paths, "components": {"schemas": schemas},
    }))
}

fn path_of(kind: &Kind, version: &str) -> String {
    let place = place(&kind.group, version);
    let within = if kind.is_namespaced() {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    format!("/{place}{within}/{}/{{name}}", kind.plural)
}

fn operations(named: &Value) -> Value {
    let parameters: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation", "force"]
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
        .collect();
    let operation = |action: &str| {
        json!({
            "parameters": parameters, "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": named,
        })
    };
    json!({"get": operation("get"), "put": operation("put"), "patch": operation("patch")})
}
