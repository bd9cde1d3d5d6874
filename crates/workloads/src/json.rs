//! JSON: setting a field, and merge patches for the objects that server-side apply refuses.

use serde_json::{Map, Value};

/// Sets the field at a path, and makes the objects on the way that are not there. What is in the way and is no object is replaced.
pub(crate) fn put(object: &mut Value, path: &[&str], value: impl Into<Value>) {
    let mut place = object;
    for key in path {
        if !place.is_object() {
            *place = Map::new().into();
        }
        let Some(members) = place.as_object_mut() else {
            return;
        };
        place = members.entry(*key).or_insert(Value::Null);
    }
    *place = value.into();
}

/// The JSON merge patch that turns `live` into `wanted`: what is not wanted is deleted. `None`: there is no difference.
pub(crate) fn merge_patch(live: &Value, wanted: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (live, wanted) else {
        return (live != wanted).then(|| wanted.clone());
    };
    let gone = before
        .iter()
        .filter(|(key, value)| !value.is_null() && after.get(*key).is_none_or(Value::is_null))
        .map(|(key, _)| (key.clone(), Value::Null));
    let changed = after.iter().filter(|(_, value)| !value.is_null());
    let changed = changed.filter_map(|(key, value)| match before.get(key) {
        None | Some(Value::Null) => Some((key.clone(), value.clone())),
        Some(old) => merge_patch(old, value).map(|patch| (key.clone(), patch)),
    });
    let patch: Map<String, Value> = gone.chain(changed).collect();
    (!patch.is_empty()).then(|| patch.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_deletes_what_is_not_wanted_and_leaves_what_is() {
        for (live, wanted, patch) in [
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!({"a": 1, "n": null}), json!({"a": 1}), None),
            (
                json!({"a": 1}),
                json!({"b": 2}),
                Some(json!({"a": null, "b": 2})),
            ),
            (
                json!({"s": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, "k": [1]}),
                json!({"s": {"type": "Recreate"}, "k": [1]}),
                Some(json!({"s": {"type": "Recreate", "rollingUpdate": null}})),
            ),
            (
                json!({"l": [{"a": 1}]}),
                json!({"l": [{"b": 1}]}),
                Some(json!({"l": [{"b": 1}]})),
            ),
        ] {
            assert_eq!(merge_patch(&live, &wanted), patch, "{live} to {wanted}");
        }
    }
}
