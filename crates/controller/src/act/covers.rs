//! Whether an object already holds everything that would be applied to it.

use serde_json::{Map, Value};
use slipway_core::object::Key;

/// Whether `live` holds every field of `wanted`. Further fields of maps are others' business; lists must agree element by element, except those
/// that Kubernetes merges by a key (ports, owner references), where further elements are others' business as well.
///
/// In custom resources lists are atomic: there an element with a further field is another element. The kind is the key's: in a list the API server
/// leaves it out of the objects of built-in kinds.
pub(crate) fn covers(key: &Key, live: &Value, wanted: &Value) -> bool {
    let atomic = is_custom(key);
    let (Value::Object(live), Value::Object(wanted)) = (live, wanted) else {
        return map_covers(live, wanted, "", atomic);
    };
    let is_told_by_key = |field: &str| matches!(field, "apiVersion" | "kind");
    wanted
        .iter()
        .filter(|(field, _)| !is_told_by_key(field))
        .all(|(field, wanted)| field_covers(live, field, wanted, atomic))
}

/// Kinds that are not built in: their lists have no merge keys that we know of.
fn is_custom(key: &Key) -> bool {
    let group = key
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    group.contains('.') && !group.ends_with(".k8s.io") || group == "gateway.networking.k8s.io"
}

fn map_covers(live: &Value, wanted: &Value, field: &str, atomic: bool) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => object_covers(live, wanted, atomic),
        (Value::Array(live), Value::Array(wanted)) => list_covers(live, wanted, field, atomic),
        // The API server leaves out what is empty or null.
        (Value::Null, wanted) => is_nothing(wanted),
        (live, wanted) => live == wanted || same_number(live, wanted),
    }
}

fn object_covers(live: &Map<String, Value>, wanted: &Map<String, Value>, atomic: bool) -> bool {
    wanted
        .iter()
        .all(|(field, wanted)| field_covers(live, field, wanted, atomic))
}

fn field_covers(live: &Map<String, Value>, field: &str, wanted: &Value, atomic: bool) -> bool {
    match live.get(field) {
        Some(live) => map_covers(live, wanted, field, atomic),
        None => is_nothing(wanted),
    }
}

fn list_covers(live: &[Value], wanted: &[Value], field: &str, atomic: bool) -> bool {
    if matches!(field, "ports" | "ownerReferences") && !atomic {
        return wanted.iter().all(|wanted| {
            live.iter()
                .any(|live| map_covers(live, wanted, field, atomic))
        });
    }
    if field == "ownerReferences" {
        return wanted.iter().all(|wanted| live.contains(wanted));
    }
    if atomic {
        return live == wanted;
    }
    live.len() == wanted.len()
        && live
            .iter()
            .zip(wanted)
            .all(|(live, wanted)| map_covers(live, wanted, field, atomic))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn same_number(live: &Value, wanted: &Value) -> bool {
    live.is_number() && wanted.is_number() && live.as_f64() == wanted.as_f64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_core::object::{Kind, kinds};

    use super::*;

    #[test]
    fn fields_and_ports_of_others_do_not_count() {
        let key = kinds::SERVICE.named("test", "app");
        let live = json!({"spec": {"clusterIP": "10.0.0.1", "selector": {"app": "x"}, "ports": [
            {"name": "extra", "port": 1}, {"name": "http", "port": 80, "protocol": "TCP", "nodePort": 3}]}});
        assert!(covers(
            &key,
            &live,
            &json!({"spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": "x"}}})
        ));
        assert!(!covers(
            &key,
            &live,
            &json!({"spec": {"selector": {"app": "y"}}})
        ));
        assert!(!covers(
            &key,
            &live,
            &json!({"spec": {"ports": [{"name": "http", "port": 81}]}})
        ));
    }

    #[test]
    fn an_object_of_a_list_which_names_no_kind_is_the_same_object() {
        let key = kinds::SERVICE.named("test", "app");
        let live = json!({"spec": {"selector": {"app": "x"}}});
        let wanted =
            json!({"apiVersion": "v1", "kind": "Service", "spec": {"selector": {"app": "x"}}});
        assert!(covers(&key, &live, &wanted));
    }

    #[test]
    fn a_list_of_a_custom_resource_must_be_the_same_to_the_letter() {
        let kind = Kind {
            api_version: "networking.istio.io/v1beta1",
            kind: "VirtualService",
            plural: "virtualservices",
        };
        let key = kind.named("test", "app");
        let live = json!({"spec": {"hosts": ["app"], "http": [{"route": [], "timeout": "1s"}]}});
        assert!(covers(
            &key,
            &live,
            &json!({"spec": {"http": [{"route": [], "timeout": "1s"}]}})
        ));
        assert!(!covers(
            &key,
            &live,
            &json!({"spec": {"http": [{"route": []}]}})
        ));
    }

    #[test]
    fn what_is_empty_may_be_absent() {
        let key = kinds::SERVICE.named("test", "app");
        assert!(covers(
            &key,
            &json!({"metadata": {}}),
            &json!({"metadata": {"labels": {}}, "spec": {"ports": []}})
        ));
        assert!(!covers(
            &key,
            &json!({}),
            &json!({"metadata": {"labels": {"a": "b"}}})
        ));
    }
}
