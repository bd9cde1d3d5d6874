//! The record of what was promoted last: a `ControllerRevision`, from which a lost primary is made again.
//!
//! A primary that somebody deletes must not be made from the target, which may hold a revision that nobody judged (P3, FC-016).
//! The API server lets nobody change the data of a `ControllerRevision`, so each revision has a record of its own, and the last one stays.

use serde_json::{Map, Value, json};
use slipway_api::names::SUBDOMAIN_NAME_MAX;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Write, kinds};
use slipway_core::plan::Problem;
use slipway_core::revision::revision;

use crate::json::put;
use crate::metadata::{REVISION, annotation_of, copied, metadata, owner, owner_of};

/// The label by which records are found among the `ControllerRevisions` of others.
pub const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "slipway");

/// The annotation that names the primary that a record is of. No label: a name may be longer than the value of a label.
pub const PRIMARY: &str = "slipway.dev/primary";

/// The label by which the records of one primary are found: a digest of its name, since the records of a whole namespace are much to read.
const OF_PRIMARY: &str = "slipway.dev/primary-digest";

/// How many digits of a revision stand in a name.
const DIGITS: usize = 10;

/// What selects the records of that primary, as a list of the API server takes it; [`newest`] tells names with equal digests apart.
pub fn selector(primary: &str) -> String {
    format!(
        "{}={},{OF_PRIMARY}={}",
        LABEL.0,
        LABEL.1,
        name_digest(primary)
    )
}

fn name_digest(primary: &str) -> String {
    digits(&revision(&json!(primary)))
}

fn digits(text: &str) -> String {
    text.chars().take(DIGITS).collect()
}

/// The newest record of this Canary among those of any.
pub fn newest<'a>(blueprint: &Blueprint<'_>, seen: &[&'a Value]) -> Option<&'a Value> {
    let ours = seen
        .iter()
        .copied()
        .filter(|record| is_of(blueprint, record));
    ours.max_by_key(|record| number(record))
}

/// The revision that a record holds.
pub fn recorded_revision(record: &Value) -> Option<&str> {
    annotation_of(record, REVISION)
}

fn is_of(blueprint: &Blueprint<'_>, record: &Value) -> bool {
    annotation_of(record, PRIMARY) == Some(&blueprint.plan.names.primary)
}

fn number(record: &Value) -> i64 {
    record.get("revision").and_then(Value::as_i64).unwrap_or(0)
}

/// The new record first, then the end of the old ones, so that there is always one.
pub(crate) fn writes(
    blueprint: &Blueprint<'_>,
    content: &Value,
    given: &str,
    seen: &[&Value],
) -> Vec<Write> {
    let key = key(blueprint, given);
    let next = newest(blueprint, seen).map_or(1, |newest| number(newest) + 1);
    let old = seen.iter().filter(|record| is_of(blueprint, record));
    let old = old.filter_map(|record| record.pointer("/metadata/name")?.as_str());
    let old: Vec<&str> = old.filter(|name| *name != key.name).collect();
    let deletions = old.into_iter().map(|name| Write::Delete {
        key: kinds::CONTROLLER_REVISION.named(&key.namespace, name),
    });
    let object = json!({
        "apiVersion": key.api_version,
        "kind": key.kind,
        "metadata": metadata(&key, labels(blueprint), annotations(blueprint, given), owner(blueprint)),
        "data": data(content),
        "revision": next,
    });
    let create = Write::Create {
        key: key.clone(),
        object,
    };
    std::iter::once(create).chain(deletions).collect()
}

fn labels(blueprint: &Blueprint<'_>) -> Map<String, Value> {
    let primary = name_digest(&blueprint.plan.names.primary);
    Map::from_iter([
        (LABEL.0.to_owned(), LABEL.1.into()),
        (OF_PRIMARY.to_owned(), primary.into()),
    ])
}

fn annotations(blueprint: &Blueprint<'_>, given: &str) -> Map<String, Value> {
    let primary = blueprint.plan.names.primary.as_str();
    Map::from_iter([
        (REVISION.to_owned(), given.into()),
        (PRIMARY.to_owned(), primary.into()),
    ])
}

/// The workload without what names this one object; its owner may be another when it is made again.
fn data(content: &Value) -> Value {
    let metadata = |section: &str| {
        content
            .pointer("/metadata")
            .and_then(|all| all.get(section))
    };
    json!({
        "metadata": {"labels": metadata("labels"), "annotations": metadata("annotations")},
        "spec": content.get("spec"),
    })
}

/// The primary that a record is of, as it is made again: with its labels and annotations, and owned by the Canary.
///
/// # Errors
/// There is nothing at the pointer that must be there.
pub(crate) fn restored(
    blueprint: &Blueprint<'_>,
    record: &Value,
    key: &Key,
    required: &str,
) -> Result<Value, Problem> {
    let mut object = content(record, required)?;
    put(&mut object, &["apiVersion"], key.api_version);
    put(&mut object, &["kind"], key.kind);
    let metadata = metadata(
        key,
        copied(&object, "labels", |_| true),
        copied(&object, "annotations", |_| true),
        owner_of(blueprint, None),
    );
    put(&mut object, &["metadata"], metadata);
    Ok(object)
}

/// What a record holds.
fn content(record: &Value, required: &str) -> Result<Value, Problem> {
    let data = record
        .get("data")
        .filter(|data| data.pointer(required).is_some());
    data.cloned().ok_or_else(|| {
        let name = |pointer: &str| {
            record
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let key =
            kinds::CONTROLLER_REVISION.named(name("/metadata/namespace"), name("/metadata/name"));
        Problem::new(
            format!("data{}", required.replace('/', ".")),
            "",
            "must be there",
        )
        .of(key.to_string())
    })
}

fn key(blueprint: &Blueprint<'_>, given: &str) -> Key {
    let plan = blueprint.plan;
    let primary = plan.names.primary.as_str();
    let mut name = format!("{primary}-{}", digits(given));
    if name.len() > SUBDOMAIN_NAME_MAX {
        // Names that begin alike must still differ.
        let digest = digits(&revision(&json!([primary, given])));
        let begin: String = primary
            .chars()
            .take(SUBDOMAIN_NAME_MAX - DIGITS - 1)
            .collect();
        name = format!("{}-{digest}", begin.trim_end_matches(['.', '-']));
    }
    kinds::CONTROLLER_REVISION.named(&plan.canary.namespace, &name)
}
