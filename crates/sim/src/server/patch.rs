//! The patches that are no apply: merge, JSON and strategic merge.

use super::failure::Failure;
use super::fields::step_of;
use super::shape::{KeyField, ListShape, Shape};
use crate::json::object;
use json_patch::{AddOperation, PatchOperation};
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
    let json_patch::Patch(operations) = serde_json::from_value(patch.clone())
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    for operation in operations {
        let operation = lenient(target, operation);
        json_patch::patch(target, &[operation]).map_err(|_| Failure::patch_does_not_fit())?;
    }
    Ok(())
}

/// The real server replaces what is not there by adding it.
fn lenient(target: &Value, operation: PatchOperation) -> PatchOperation {
    match operation {
        PatchOperation::Replace(it) if target.pointer(it.path.as_str()).is_none() => {
            PatchOperation::Add(AddOperation {
                path: it.path,
                value: it.value,
            })
        }
        PatchOperation::Replace(_)
        | PatchOperation::Add(_)
        | PatchOperation::Remove(_)
        | PatchOperation::Move(_)
        | PatchOperation::Copy(_)
        | PatchOperation::Test(_) => operation,
    }
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
    let olds = std::mem::take(items);
    let place = |item: &Value| {
        let step = step_of(&list, item);
        olds.iter().position(|old| step_of(&list, old) == step)
    };
    let named: Vec<Option<usize>> = news.iter().map(place).collect();
    let mut untouched = olds
        .iter()
        .enumerate()
        .filter(|(at, _)| !named.contains(&Some(*at)))
        .peekable();
    // Items of the patch keep its order, and each stands before those of the live list that came after it; new ones come first.
    for (new, at) in news.iter().zip(&named) {
        while let Some((_, before)) = untouched.next_if(|(old, _)| at.is_some_and(|at| *old < at)) {
            items.push(before.clone());
        }
        if deletes(new) {
            continue;
        }
        let mut item = at.and_then(|at| olds.get(at)).cloned().unwrap_or_default();
        strategic(shape.item(), &mut item, new);
        items.push(item);
    }
    items.extend(untouched.map(|(_, old)| old.clone()));
}
