//! Events are stored once, in the core form, and shown in both.
//!
//! **Source**: the conversion of `events.k8s.io/v1` in Kubernetes.

use super::failure::Failure;
use super::kinds::Kind;
use crate::json::{dig, object, text};
use serde_json::Value;

/// Core name, new name.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// A stored event as `events.k8s.io/v1` shows it.
pub(crate) fn to_new(event: &Value) -> Value {
    renamed(event, "events.k8s.io/v1", |core, new| (core, new))
}

/// An `events.k8s.io/v1` event as it is stored.
pub(crate) fn to_core(event: &Value) -> Value {
    renamed(event, "v1", |core, new| (new, core))
}

fn renamed(
    event: &Value,
    api_version: &str,
    direction: impl Fn(&'static str, &'static str) -> (&'static str, &'static str),
) -> Value {
    let mut event = event.clone();
    let map = object(&mut event);
    for (core, new) in NAMES {
        let (from, to) = direction(core, new);
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
    map.insert("apiVersion".to_owned(), api_version.into());
    event
}

/// What `events.k8s.io/v1` demands of a new event; the core form is checked for its namespace only.
///
/// # Errors
/// 422 with the first field that is not allowed.
pub(crate) fn validate_new(kind: &Kind, event: &Value) -> Result<(), Failure> {
    let name = text(event, &["metadata", "name"]);
    let refuse = |field: &str, why: &str| Err(Failure::invalid(kind, name, field, why));
    if dig(event, &["eventTime"]).is_null() {
        return refuse("eventTime", "Required value");
    }
    for (field, longest) in [
        ("reportingController", 253),
        ("reportingInstance", 128),
        ("action", 128),
        ("reason", 128),
    ] {
        let value = text(event, &[field]);
        if value.is_empty() {
            return refuse(field, "Required value");
        }
        if value.len() > longest {
            return refuse(
                field,
                &format!("Too long: may not be more than {longest} bytes"),
            );
        }
    }
    if text(event, &["note"]).len() > 1024 {
        return refuse("note", "Too long: may not be more than 1024 bytes");
    }
    if !["Normal", "Warning"].contains(&text(event, &["type"])) {
        return refuse("type", "Invalid value: must be Normal or Warning");
    }
    Ok(())
}

/// An event lies in the namespace of what it is about; about cluster-scoped things it lies in `default`.
///
/// # Errors
/// 422 naming `involvedObject.namespace`.
pub(crate) fn validate_namespace(kind: &Kind, event: &Value) -> Result<(), Failure> {
    let about = text(event, &["involvedObject", "namespace"]);
    let lies = text(event, &["metadata", "namespace"]);
    if about == lies || (about.is_empty() && lies == "default") {
        return Ok(());
    }
    let why = format!("Invalid value: \"{about}\": does not match event.namespace");
    let name = text(event, &["metadata", "name"]);
    Err(Failure::invalid(
        kind,
        name,
        "involvedObject.namespace",
        &why,
    ))
}
