//! What holds for every write: what a door does not change, what grows, what must be there.

use super::apply::Manager;
use super::failure::Failure;
use super::kinds::{self, Generation, Kind, KindId, Origin};
use super::store::Object;
use super::{Call, defaults};
use crate::json::{copy, dig, list, object, set, take, text};
use serde_json::Value;

/// Pods wait for their processes, namespaces for their content: others take them out at last.
pub(super) fn lingers(id: KindId) -> bool {
    matches!(id, kinds::POD | kinds::NAMESPACE)
}

pub(super) fn creates_on_update(id: KindId) -> bool {
    matches!(id, kinds::LEASE | kinds::EVENT | kinds::ENDPOINTS)
}

/// Fills in defaults, drops what the kind does not know.
pub(super) fn complete(id: KindId, kind: &Kind, value: &mut Value) {
    if id != kinds::CRD {
        defaults::drop_empty(value);
    }
    match kind.origin {
        Origin::Native => defaults::fill(id, value),
        Origin::Structural => {
            kind.shape.prune(value);
            kind.shape.fill(value);
        }
        Origin::Custom => {}
    }
}

pub(super) fn check_preconditions(
    call: &Call<'_>,
    old: &Object,
    new: &Value,
) -> Result<(), Failure> {
    let name = &call.resource.name;
    let version = text(new, &["metadata", "resourceVersion"]);
    if !version.is_empty() && version != text(old, &["metadata", "resourceVersion"]) {
        return Err(Failure::modified(&call.kind, name));
    }
    let uid = text(new, &["metadata", "uid"]);
    if !uid.is_empty() && uid != old.uid() {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            old.uid()
        );
        return Err(Failure::conflict(&call.kind, name, &why));
    }
    Ok(())
}

/// Puts back what this door does not change.
pub(super) fn retain(call: &Call<'_>, kind: &Kind, old: &Value, new: &mut Value) {
    if call.is_status() {
        for (field, value) in old.as_object().into_iter().flatten() {
            if field != "status" && (field != "metadata" || !kind.is_native()) {
                set(new, &[field], value.clone());
            }
        }
        object(new).retain(|field, _| field == "status" || old.get(field).is_some());
        if kind.is_native() {
            copy(old, new, &["metadata", "labels"]);
        }
    } else if kind.status {
        copy(old, new, &["status"]);
    }
    for field in [
        "uid",
        "name",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ] {
        copy(old, new, &["metadata", field]);
    }
    take(new, &["metadata", "managedFields"]);
    if call.stored == kinds::SERVICE {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if dig(new, &["spec", field]).is_null() {
                copy(old, new, &["spec", field]);
            }
        }
    }
}

pub(super) fn count_generation(kind: &Kind, old: &Value, new: &mut Value) {
    let differs = |path: &[&str]| dig(old, path) != dig(new, path);
    let grows = match kind.generation {
        Generation::Never => false,
        Generation::Spec => differs(&["spec"]),
        Generation::SpecAndAnnotations => {
            differs(&["spec"]) || differs(&["metadata", "annotations"])
        }
        Generation::All => {
            let is_counted =
                |field: &str| field != "metadata" && !(field == "status" && kind.status);
            let fields = |value: &Value| -> Vec<String> {
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(field, _)| field.clone())
                    .collect()
            };
            let (olds, news) = (fields(old), fields(new));
            olds.iter()
                .chain(&news)
                .any(|field| is_counted(field) && differs(&[field]))
        }
    };
    if grows {
        let generation = dig(old, &["metadata", "generation"]).as_i64().unwrap_or(0);
        set(new, &["metadata", "generation"], generation + 1);
    }
}

pub(super) fn check_finalizers(call: &Call<'_>, old: &Object, new: &Value) -> Result<(), Failure> {
    let before = list(old, &["metadata", "finalizers"]);
    let after = list(new, &["metadata", "finalizers"]);
    let added = after.iter().find(|finalizer| !before.contains(finalizer));
    if let Some(added) = added.filter(|_| old.is_going()) {
        let why = format!(
            "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{added}}}"
        );
        return Err(Failure::invalid(
            &call.kind,
            &call.resource.name,
            "metadata.finalizers",
            &why,
        ));
    }
    Ok(())
}

/// Whether two states differ in nothing but their bookkeeping.
pub(super) fn same_content(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        return false;
    };
    let is_kept = |field: &str| field != "managedFields" && field != "resourceVersion";
    let metadata = |map: &serde_json::Map<String, Value>| -> Vec<(String, Value)> {
        let metadata = map.get("metadata").and_then(Value::as_object);
        let fields = metadata
            .into_iter()
            .flatten()
            .filter(|(field, _)| is_kept(field));
        fields
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect()
    };
    old.len() == new.len()
        && old
            .iter()
            .all(|(field, value)| field == "metadata" || new.get(field) == Some(value))
        && metadata(old) == metadata(new)
}

pub(super) fn same_managers(old: &[Manager], new: &[Manager]) -> bool {
    old.len() == new.len() && new.iter().all(|manager| old.contains(manager))
}
