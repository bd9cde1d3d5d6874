//! Small views into JSON: the simulator stores every object as a `Value` and reads a dozen fields of it.

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// The value at `path`, `Null` where a step is absent.
pub(crate) fn dig<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter()
        .try_fold(value, |at, step| at.as_object()?.get(*step))
        .unwrap_or(&NULL)
}

/// The text at `path`, empty where it is absent or something else.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    dig(value, path).as_str().unwrap_or_default()
}

/// The whole number at `path`.
pub(crate) fn int(value: &Value, path: &[&str]) -> Option<i64> {
    dig(value, path).as_i64()
}

/// Whether `true` stands at `path`.
pub(crate) fn is_true(value: &Value, path: &[&str]) -> bool {
    dig(value, path).as_bool() == Some(true)
}

/// The items at `path`, none where there is no list.
pub(crate) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    dig(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The pairs of text at `path`: labels, annotations, selectors.
pub(crate) fn pairs<'a>(
    value: &'a Value,
    path: &[&str],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    dig(value, path)
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// The object in `value`, which becomes one if it is anything else.
pub(crate) fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("made an object above")
        }
    }
}

/// The place at `path`, whose missing parents are made.
pub(crate) fn place<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Value {
    path.iter().fold(value, |at, step| {
        object(at).entry(*step).or_insert(Value::Null)
    })
}

/// Puts `new` at `path`.
pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    *place(value, path) = new.into();
}

/// Puts `new` at `path` if nothing stands there.
pub(crate) fn default(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    let place = place(value, path);
    if place.is_null() {
        *place = new.into();
    }
}

/// Takes away what stands at `path`.
pub(crate) fn take(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    parents
        .iter()
        .try_fold(value, |at, step| at.as_object_mut()?.get_mut(*step))?
        .as_object_mut()?
        .remove(*last)
}

/// Copies what stands at `path` of `from`, or takes it away where there is nothing.
pub(crate) fn copy(from: &Value, to: &mut Value, path: &[&str]) {
    match dig(from, path) {
        Value::Null => {
            take(to, path);
        }
        found @ (Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_)) => {
            set(to, path, found.clone());
        }
    }
}
