//! The patches that are no apply: merge, JSON and strategic merge.

use super::failure::Failure;
use super::fields::step_of;
use super::shape::{KeyField, ListShape, Shape};
use crate::json::object;
use serde_json::Value;

/// How the body of a PATCH is meant, from its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Merge,
    Json,
    Strategic,
    Apply,
}

impl PatchKind {
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().map(str::trim)? {
            "application/merge-patch+json" => Some(Self::Merge),
            "application/json-patch+json" => Some(Self::Json),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" | "application/apply-patch+json" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// RFC 7396.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    let map = object(target);
    for (name, new) in patch {
        if new.is_null() {
            map.remove(name);
        } else {
            merge(map.entry(name.as_str()).or_insert(Value::Null), new);
        }
    }
}

/// RFC 6902.
///
/// # Errors
/// 400 for a body that is no patch, 422 where it does not fit the object: a `test` that fails, a `remove` of nothing.
pub(crate) fn json(target: &mut Value, patch: &Value) -> Result<(), Failure> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    json_patch::patch(target, &patch).map_err(|_| Failure::patch_does_not_fit())
}

/// A strategic merge: as [`merge`], but keyed lists merge by their first key and sets by union.
///
/// The directives `$patch: delete` and `$patch: replace` are obeyed; those about order and retained keys are left out, because a list here keeps
/// the order it had.
pub(crate) fn strategic(shape: &Shape, target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(patch) => {
            if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
                *target = Value::Object(patch.clone());
                object(target).remove("$patch");
                return;
            }
            let map = object(target);
            for (name, new) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
                if new.is_null() || deletes(new) {
                    map.remove(name);
                } else {
                    let place = map.entry(name.as_str()).or_insert(Value::Null);
                    strategic(shape.field(name), place, new);
                }
            }
        }
        Value::Array(news) => strategic_list(shape, target, news),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            *target = patch.clone();
        }
    }
}

fn deletes(patch: &Value) -> bool {
    patch.get("$patch").and_then(Value::as_str) == Some("delete")
}

fn strategic_list(shape: &Shape, target: &mut Value, news: &[Value]) {
    let list = match &shape.list {
        ListShape::Atomic => {
            *target = Value::Array(news.to_vec());
            return;
        }
        ListShape::Set => ListShape::Set,
        // Strategic merge knows one key, which is the first of those that apply knows.
        ListShape::Keyed(keys) => {
            let first = keys.first().map(|key| KeyField {
                name: key.name.clone(),
                default: None,
            });
            ListShape::Keyed(first.into_iter().collect())
        }
    };
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Some(items) = target.as_array_mut() else {
        return;
    };
    let replaces = |item: &Value| item.get("$patch").and_then(Value::as_str) == Some("replace");
    if news.iter().any(replaces) {
        *items = news
            .iter()
            .filter(|item| !replaces(item))
            .cloned()
            .collect();
        return;
    }
    for new in news {
        let step = step_of(&list, new);
        let at = items.iter().position(|item| step_of(&list, item) == step);
        match (at, deletes(new)) {
            (Some(at), true) => {
                items.remove(at);
            }
            (Some(at), false) => {
                if let Some(item) = items.get_mut(at) {
                    strategic(shape.item(), item, new);
                }
            }
            (None, true) => {}
            (None, false) => {
                let mut item = Value::Null;
                strategic(shape.item(), &mut item, new);
                items.push(item);
            }
        }
    }
}
