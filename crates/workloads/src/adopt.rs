//! Adoption: what Flagger wrote, and what we created, becomes ours to apply (A3).
//!
//! Server-side apply removes a field that its manager stops sending, and only such a field. What another manager set, or the same one by a
//! plain write, stays for ever: an environment variable that a promotion drops would live on at the primary. So before the first apply the
//! entries of those writes in `metadata.managedFields` become one entry `slipway`/Apply, without every field that we never send: for the
//! primary `spec.replicas` first of all, since giving that up would mean one pod.
//!
//! **Source**: house A3, V4 (seen on Kubernetes 1.36).

use serde_json::{Map, Value, json};
use slipway_api::names::{FIELD_MANAGER, FLAGGER_FIELD_MANAGER};
use slipway_core::blueprint::Blueprint;
use slipway_core::object::Key;

use crate::json::put;

/// The managers whose plain writes are adopted: Flagger's, and ours, which come from creations and merge patches.
pub const MANAGERS: [&str; 2] = [FLAGGER_FIELD_MANAGER, FIELD_MANAGER];

/// The part of an object that an entry of `managedFields` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but what a subresource writes.
    Object,
    /// The status.
    Status,
}

/// The path of a field; `*` stands for every item of a list.
pub type Path = Vec<String>;

/// The fields of an object of that key which no apply of ours ever holds.
pub fn never_sent(blueprint: &Blueprint<'_>, key: &Key) -> Vec<Path> {
    let mut paths: Vec<Path> = match key.kind {
        "Deployment" | "DaemonSet" => WORKLOAD,
        "Service" => SERVICE,
        _ => &[],
    }
    .iter()
    .map(|path| path.split(' ').map(str::to_owned).collect())
    .collect();
    let unmanaged = blueprint.canary.spec.service.unmanaged_metadata.as_ref();
    if let Some(unmanaged) = unmanaged.filter(|_| key.kind == "Service") {
        let of = |section: &str, keys: &[String]| {
            let path = |key: &String| vec!["metadata".to_owned(), section.to_owned(), key.clone()];
            keys.iter().map(path).collect::<Vec<_>>()
        };
        paths.extend(of("labels", &unmanaged.labels));
        paths.extend(of("annotations", &unmanaged.annotations));
    }
    paths
}

/// Keys of annotations hold dots and slashes, so that the parts of a path stand apart by a space.
const WORKLOAD: &[&str] = &[
    "spec replicas",
    "spec paused",
    "metadata annotations deployment.kubernetes.io/revision",
    "metadata annotations deprecated.daemonset.template.generation",
];

const SERVICE: &[&str] = &[
    "spec type",
    "spec clusterIP",
    "spec clusterIPs",
    "spec externalTrafficPolicy",
    "spec internalTrafficPolicy",
    "spec ipFamilies",
    "spec ipFamilyPolicy",
    "spec sessionAffinity",
    "spec ports * nodePort",
];

/// The JSON patch that adopts a part of an object, guarded by its resourceVersion; `None` when there is nothing to adopt.
///
/// **Shape**: `live` comes with its `metadata.managedFields`. Entries of another version of the kind are left alone, since their paths may
/// mean something else.
pub fn adopt(live: &Value, part: Part, managers: &[&str], never_sent: &[Path]) -> Option<Value> {
    let version = live.get("apiVersion")?.as_str()?;
    let resource_version = live.pointer("/metadata/resourceVersion")?.as_str()?;
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let is_adopted = |entry: &Value| {
        let manager = text(entry, "manager");
        is_of(entry, part, "Update")
            && managers.contains(&manager)
            && text(entry, "apiVersion") == version
    };
    let mut foreign = fields_of(entries.iter().filter(|entry| is_adopted(entry)));
    for path in never_sent {
        remove(&mut foreign, path);
    }
    if foreign.is_empty() {
        return None;
    }
    let is_ours =
        |entry: &Value| is_of(entry, part, "Apply") && text(entry, "manager") == FIELD_MANAGER;
    let ours = fields_of(entries.iter().filter(|entry| is_ours(entry)));
    let merged: Vec<&Value> = entries
        .iter()
        .filter(|entry| is_adopted(entry) || is_ours(entry))
        .collect();
    let kept = entries
        .iter()
        .filter(|entry| !is_adopted(entry) && !is_ours(entry));
    let entry = entry(part, version, &merged, &union(ours, foreign));
    let entries: Vec<Value> = kept.cloned().chain([entry]).collect();
    Some(json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version},
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
    ]))
}

fn entry(part: Part, version: &str, merged: &[&Value], fields: &Map<String, Value>) -> Value {
    let mut entry = json!({
        "manager": FIELD_MANAGER,
        "operation": "Apply",
        "apiVersion": version,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    });
    // RFC 3339 in UTC, so that the greatest text is the latest time.
    if let Some(time) = merged
        .iter()
        .filter_map(|entry| entry.get("time")?.as_str())
        .max()
    {
        put(&mut entry, &["time"], time);
    }
    if part == Part::Status {
        put(&mut entry, &["subresource"], "status");
    }
    entry
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_of(entry: &Value, part: Part, operation: &str) -> bool {
    let subresource = match part {
        Part::Object => "",
        Part::Status => "status",
    };
    text(entry, "operation") == operation && text(entry, "subresource") == subresource
}

fn fields_of<'a>(entries: impl Iterator<Item = &'a Value>) -> Map<String, Value> {
    let sets = entries.filter_map(|entry| entry.get("fieldsV1")?.as_object().cloned());
    sets.fold(Map::new(), union)
}

/// Both sets of fields as one. A set without members below a field, `{}`, is the field itself; `.` is the field itself where there are some.
fn union(mut left: Map<String, Value>, right: Map<String, Value>) -> Map<String, Value> {
    for (field, below) in right {
        let merged = match (left.remove(&field), below) {
            (Some(Value::Object(before)), Value::Object(after)) => join(before, after).into(),
            (_, below) => below,
        };
        left.insert(field, merged);
    }
    left
}

fn join(left: Map<String, Value>, right: Map<String, Value>) -> Map<String, Value> {
    let is_itself = left.is_empty() || right.is_empty();
    let mut joined = union(left, right);
    if is_itself && !joined.is_empty() {
        joined.insert(".".to_owned(), json!({}));
    }
    joined
}

/// Takes a field out of a set, and what then holds nothing: an empty set would mean the parent itself.
fn remove(fields: &mut Map<String, Value>, path: &[String]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let named = format!("f:{first}");
    let matching: Vec<String> = fields
        .keys()
        .filter(|key| **key == named || (first == "*" && key.starts_with("k:")))
        .cloned()
        .collect();
    for key in matching {
        let emptied = match fields.get_mut(&key).and_then(Value::as_object_mut) {
            Some(below) if !rest.is_empty() && !below.is_empty() => {
                remove(below, rest);
                below.is_empty()
            }
            Some(_) | None => rest.is_empty(),
        };
        if emptied {
            fields.remove(&key);
        }
    }
}
