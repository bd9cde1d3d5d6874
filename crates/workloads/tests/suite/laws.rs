//! What holds for every template, Service and set of managed fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use slipway_api::Side;
use slipway_core::blueprint::ApexPods;
use slipway_core::object::{Objects, Write, kinds};
use slipway_core::plan::CanaryReplicas;
use slipway_workloads::adopt::{self, Part};
use slipway_workloads::{Resize, TrackedConfig, configs, restore_apex, services};

use crate::given::Given;

const NAMES: [&str; 3] = ["one", "two", "three"];

/// Any JSON that a newer Kubernetes might put into a field.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z/-]{0,6}".prop_map(Value::from),
        Just(json!(1.5)),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES.to_vec())
}

fn env() -> impl Strategy<Value = Value> {
    let variable = ("[A-C]", name(), 0..3_u8).prop_map(|(variable, config, kind)| match kind {
        0 => json!({"name": variable, "value": "v"}),
        1 => json!({"name": variable, "valueFrom": {"configMapKeyRef": {"name": config, "key": "k"}}}),
        _ => json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": config, "key": "k"}}}),
    });
    prop::collection::vec(variable, 0..3).prop_map(Value::from)
}

fn env_from() -> impl Strategy<Value = Value> {
    let source = (name(), any::<bool>()).prop_map(|(config, secret)| {
        json!({if secret { "secretRef" } else { "configMapRef" }: {"name": config}})
    });
    prop::collection::vec(source, 0..2).prop_map(Value::from)
}

fn container() -> impl Strategy<Value = Value> {
    ("[a-z]{1,3}", "v[0-9]", env(), env_from(), anything()).prop_map(|(name, image, env, env_from, tomorrow)| {
        json!({"name": name, "image": image, "env": env, "envFrom": env_from, "fieldOfTomorrow": tomorrow})
    })
}

fn volumes() -> impl Strategy<Value = Value> {
    let volume = (name(), 0..3_u8).prop_map(|(config, kind)| match kind {
        0 => json!({"name": config, "configMap": {"name": config}}),
        1 => json!({"name": config, "secret": {"secretName": config}}),
        _ => json!({"name": config, "projected": {"sources": [
            {"configMap": {"name": config}}, {"secret": {"name": config}},
        ]}}),
    });
    prop::collection::vec(volume, 0..3).prop_map(Value::from)
}

fn template() -> impl Strategy<Value = Value> {
    let containers = || prop::collection::vec(container(), 1..3).prop_map(Value::from);
    (
        containers(),
        containers(),
        volumes(),
        anything(),
        anything(),
    )
        .prop_map(|(containers, init, volumes, tomorrow, next_week)| {
            json!({
                "metadata": {"labels": {"app": "app", "tier": "web"}, "annotations": {"a": "b"}},
                "fieldOfTomorrow": next_week,
                "spec": {
                    "containers": containers,
                    "initContainers": init,
                    "volumes": volumes,
                    "fieldOfTomorrow": tomorrow,
                },
            })
        })
}

/// The kinds with a pod template.
fn kind() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["Deployment", "DaemonSet"])
}

/// A Canary of a workload of that kind with that template, with a choice of the configs tracked.
fn given(kind: &str, template: &Value) -> Given {
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "app", "namespace": "test", "uid": "u1"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": kind, "name": "app"},
            "service": {"port": 80, "targetPort": "http"},
            "analysis": {"interval": "10s", "threshold": 1, "stepWeight": 50},
        },
    });
    let mut target = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "app", "namespace": "test"},
        "spec": {
            "selector": {"matchLabels": {"app": "app"}},
            "fieldOfTomorrow": {"a": 1},
            "template": template,
        },
    });
    if kind == "Deployment" {
        target["spec"]["replicas"] = json!(3);
    }
    serde_json::from_value(json!({"canary": canary, "target": target})).unwrap()
}

fn tracked(given: &Given, chosen: &[bool]) -> Vec<TrackedConfig> {
    let references = given.codec().config_references(&given.target);
    let chosen = references
        .iter()
        .zip(chosen.iter().cycle())
        .filter(|(_, chosen)| **chosen);
    chosen
        .map(|(reference, _)| configs::track(reference, &json!({"data": {"k": "v"}})).unwrap())
        .collect()
}

fn primary(given: &Given, live: Option<&Value>, tracked: &[TrackedConfig]) -> Write {
    given.blueprint(|blueprint| {
        given
            .codec()
            .primary(blueprint, &given.target, live, tracked, "id")
            .unwrap()
    })
}

fn object(write: Write) -> Value {
    match write {
        Write::Apply { object, .. }
        | Write::Create { object, .. }
        | Write::Replace { object, .. } => object,
        Write::Merge { patch, .. } => patch,
        Write::Delete { .. } => Value::Null,
    }
}

/// JSON merge patch (RFC 7386), as the API server does it.
fn merge(target: &mut Value, patch: &Value) {
    let Some(members) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in members {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// Takes away what the primary has instead of the target's.
fn without_our_rewriting(mut template: Value, original: &Value) -> Value {
    template["metadata"] = original["metadata"].clone();
    let text = template.to_string();
    let text = NAMES.iter().fold(text, |text, name| {
        text.replace(&format!("\"{name}-primary\""), &format!("\"{name}\""))
    });
    serde_json::from_str(&text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p8_rendering_twice_is_rendering_once_and_no_apply_holds_replicas(
        kind in kind(), template in template(), chosen in prop::collection::vec(any::<bool>(), 1..4),
    ) {
        let given = given(kind, &template);
        let tracked = tracked(&given, &chosen);
        let created = object(primary(&given, None, &tracked));
        let again = primary(&given, Some(&created), &tracked);
        if let Write::Merge { patch, .. } = &again {
            prop_assert_eq!(patch, &json!({}), "there is nothing to change");
        } else {
            let mut applied = object(again);
            prop_assert_eq!(applied["spec"].get("replicas"), None);
            if let Some(replicas) = created["spec"].get("replicas") {
                applied["spec"]["replicas"] = replicas.clone();
            }
            prop_assert_eq!(applied, created);
        }
    }

    #[test]
    fn no_name_of_a_tracked_config_is_left_without_the_suffix_and_no_other_gets_it(
        kind in kind(), template in template(), chosen in prop::collection::vec(any::<bool>(), 1..4),
    ) {
        let given = given(kind, &template);
        let tracked = tracked(&given, &chosen);
        let rendered = object(primary(&given, None, &tracked));
        for reference in given.codec().config_references(&rendered) {
            let base = reference.name.strip_suffix("-primary");
            let is_tracked = |name: &str| tracked.iter().any(|config| config.kind == reference.kind && config.name == name);
            match base {
                Some(base) => prop_assert!(is_tracked(base), "{:?}", reference),
                None => prop_assert!(!is_tracked(&reference.name), "{:?}", reference),
            }
        }
    }

    #[test]
    fn whatever_else_stands_in_a_template_survives(
        kind in kind(), template in template(), chosen in prop::collection::vec(any::<bool>(), 1..4),
    ) {
        let given = given(kind, &template);
        let rendered = object(primary(&given, None, &tracked(&given, &chosen)));
        prop_assert_eq!(&rendered["spec"]["fieldOfTomorrow"], &json!({"a": 1}));
        let survived = without_our_rewriting(rendered["spec"]["template"].clone(), &template);
        prop_assert_eq!(survived.to_string(), template.to_string());
    }

    #[test]
    fn a_promotion_makes_the_primary_what_a_new_one_would_be(
        kind in kind(), before in template(), after in template(), chosen in prop::collection::vec(any::<bool>(), 1..4),
    ) {
        let old = given(kind, &before);
        let mut live = object(primary(&old, None, &tracked(&old, &chosen)));
        let new = given(kind, &after);
        let tracked = tracked(&new, &chosen);
        let wanted = object(primary(&new, None, &tracked));
        let write = primary(&new, Some(&live), &tracked);
        if let Write::Merge { patch, .. } = write {
            merge(&mut live, &patch);
            prop_assert_eq!(live, wanted);
        } else {
            prop_assert_eq!(&object(write)["spec"]["template"], &wanted["spec"]["template"]);
        }
    }

    #[test]
    fn a_primary_holds_the_revision_it_was_made_from_and_no_other(
        kind in kind(), template in template(), chosen in prop::collection::vec(any::<bool>(), 1..4),
    ) {
        let given = given(kind, &template);
        let live = object(primary(&given, None, &tracked(&given, &chosen)));
        let mut other = given.target.clone();
        other["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other");
        let same = |target: &Value| {
            given.blueprint(|blueprint| given.codec().same_revision(blueprint, target, &live))
        };
        prop_assert!(same(&given.target));
        prop_assert!(!same(&other));
    }
}

/// What a write or a scaling does to a workload.
fn after(target: &Value, resize: Option<Resize>) -> Value {
    let mut target = target.clone();
    match resize {
        None => {}
        Some(Resize::Replicas(replicas)) => target["spec"]["replicas"] = json!(replicas),
        Some(Resize::Write(Write::Merge { patch, .. })) => merge(&mut target, &patch),
        Some(Resize::Write(other)) => panic!("{other:?}"),
    }
    target
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scaling_down_and_up_again_is_no_new_revision_and_doing_either_twice_is_once(
        kind in kind(), template in template(), disk in prop::option::of(Just("ssd")),
    ) {
        let mut template = template;
        if let Some(disk) = disk {
            template["spec"]["nodeSelector"] = json!({"disk": disk});
        }
        let given = given(kind, &template);
        let codec = given.codec();
        let down = after(&given.target, codec.scale_down(&given.target));
        prop_assert_eq!(codec.scale_down(&down), None);
        prop_assert_ne!(&down, &given.target);
        let (before, at_zero) = (codec.observe(&given.target), codec.observe(&down));
        prop_assert_eq!(&before.revision, &at_zero.revision);
        prop_assert_eq!(before.flagger_hash, at_zero.flagger_hash);
        let up = after(&down, codec.scale_up(&down, None, Some(3), CanaryReplicas::Minimum));
        prop_assert_eq!(codec.scale_up(&up, None, Some(3), CanaryReplicas::Minimum), None);
        prop_assert_eq!(before.revision, codec.observe(&up).revision);
    }

    #[test]
    fn a_primary_is_never_made_at_zero(kind in kind(), template in template()) {
        let given = given(kind, &template);
        let mut down = given.target.clone();
        down = after(&down, given.codec().scale_down(&down));
        let at_zero: Given = Given { target: down, ..given };
        let made = object(primary(&at_zero, None, &[]));
        prop_assert_eq!(at_zero.codec().scale_up(&made, None, None, CanaryReplicas::Minimum), None, "{}", made);
    }
}

/// A Service of a user.
fn service() -> impl Strategy<Value = Value> {
    let port = (prop::sample::select(vec![80, 81, 9000]), any::<bool>(), prop::option::of("[a-c]|http"))
        .prop_map(|(number, udp, name)| {
            let mut port = json!({"port": number, "protocol": if udp { "UDP" } else { "TCP" }, "targetPort": number});
            if let Some(name) = name {
                port["name"] = json!(name);
            }
            port
        });
    let ports =
        prop::collection::vec(port, 1..4).prop_filter("the API server takes them", |ports| {
            let unique = |of: &dyn Fn(&Value) -> String| {
                let all: std::collections::BTreeSet<String> = ports.iter().map(of).collect();
                all.len() == ports.len()
            };
            let named = ports.len() == 1 || ports.iter().all(|port| port.get("name").is_some());
            named && unique(&key) && unique(&|port| port["name"].to_string())
        });
    let selector = prop::sample::select(vec![
        json!({"app": "app"}),
        json!({"app": "app", "tier": "web"}),
        json!({"other": "x"}),
    ]);
    let annotations = prop::sample::select(vec![
        json!({}),
        json!({"cloud": "1"}),
        json!({"kustomize.toolkit.fluxcd.io/reconcile": "enabled", "cloud": "1"}),
    ]);
    (ports, selector, annotations).prop_map(|(ports, selector, annotations)| {
        let mut metadata = json!({"name": "app", "namespace": "test", "labels": {"team": "x"}});
        if annotations != json!({}) {
            metadata["annotations"] = annotations;
        }
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {
            "type": "LoadBalancer", "selector": selector, "ports": ports,
        }})
    })
}

fn key(port: &Value) -> String {
    format!("{}/{}", port["port"], port["protocol"])
}

/// Server-side apply to a Service, for the fields that we send: ports are a list by port and protocol, the selector is one value.
fn apply(live: &mut Value, applied: &Value) {
    for (name, value) in applied["metadata"]["annotations"].as_object().unwrap() {
        live["metadata"]["annotations"][name] = value.clone();
    }
    live["spec"]["selector"] = applied["spec"]["selector"].clone();
    let ports = live["spec"]["ports"].as_array_mut().unwrap();
    for port in applied["spec"]["ports"].as_array().unwrap() {
        match ports.iter_mut().find(|other| key(other) == key(port)) {
            Some(there) => merge(there, port),
            None => ports.push(port.clone()),
        }
    }
}

fn apex(given: &Given, live: &Value, side: Side) -> Value {
    let seen: Objects =
        BTreeMap::from([(kinds::SERVICE.named("test", "app"), Arc::new(live.clone()))]);
    let writes =
        given.blueprint(|blueprint| services(blueprint, Some(ApexPods::Of(side)), &seen).unwrap());
    object(writes.into_iter().last().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn restore_gives_the_apex_back_after_any_history(
        original in service(), history in prop::collection::vec(any::<bool>(), 1..4),
    ) {
        let given = given("Deployment", &json!({"spec": {"containers": []}}));
        let mut live = original.clone();
        for primary in history {
            let side = if primary { Side::Primary } else { Side::Canary };
            let applied = apex(&given, &live, side);
            apply(&mut live, &applied);
            let settled = live.clone();
            let applied = apex(&given, &live, side);
            apply(&mut live, &applied);
            prop_assert_eq!(&live, &settled, "applying twice is applying once");
            prop_assert_eq!(&live["spec"]["type"], &json!("LoadBalancer"));
            let names: Vec<&Value> = live["spec"]["ports"].as_array().unwrap().iter().map(|port| &port["name"]).collect();
            let unique: std::collections::BTreeSet<String> = names.iter().map(ToString::to_string).collect();
            prop_assert!(names.iter().all(|name| name.is_string()) && unique.len() == names.len(), "{:?}", names);
            for port in original["spec"]["ports"].as_array().unwrap() {
                prop_assert!(live["spec"]["ports"].as_array().unwrap().iter().any(|there| key(there) == key(port)));
            }
        }
        let writes = given.blueprint(|blueprint| restore_apex(blueprint, Some(&live)).unwrap());
        let restored = writes.into_iter().next().map_or(live, object);
        prop_assert_eq!(&restored, &original);
        let again = given.blueprint(|blueprint| restore_apex(blueprint, Some(&restored)).unwrap());
        prop_assert_eq!(again, vec![]);
    }
}

/// A set of fields as an entry of managedFields has it.
fn fields() -> impl Strategy<Value = Value> {
    let leaf = Just(json!({}));
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("f:(spec|replicas|a|b)|\\.", inner, 1..4).prop_map(|map| {
            let mut map: Map<String, Value> = map.into_iter().collect();
            if let Some(itself) = map.get_mut(".") {
                *itself = json!({});
            }
            map.into()
        })
    })
}

/// The paths that a set holds.
fn paths(fields: &Value) -> std::collections::BTreeSet<String> {
    fn walk(at: &str, fields: &Value, found: &mut std::collections::BTreeSet<String>) {
        let members = fields.as_object().unwrap();
        if members.is_empty() || members.contains_key(".") {
            found.insert(at.to_owned());
        }
        for (key, below) in members.iter().filter(|(key, _)| *key != ".") {
            walk(&format!("{at}/{key}"), below, found);
        }
    }
    let mut found = std::collections::BTreeSet::new();
    for (key, below) in fields
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| *key != ".")
    {
        walk(&format!("/{key}"), below, &mut found);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn adoption_takes_every_field_of_the_adopted_but_those_never_sent_and_nothing_of_others(
        flaggers in fields(), ours in fields(), others in fields(),
    ) {
        let entry = |manager: &str, operation: &str, fields: &Value| json!({
            "manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
        });
        let kept = entry("kubectl", "Update", &others);
        let mut live = json!({"apiVersion": "apps/v1", "metadata": {"resourceVersion": "1", "managedFields": [
            entry("flagger", "Update", &flaggers), kept, entry("slipway", "Apply", &ours),
        ]}});
        let never: Vec<adopt::Path> = vec![vec!["spec".into(), "replicas".into()]];
        let is_never = |path: &String| path == "/f:spec/f:replicas" || path.starts_with("/f:spec/f:replicas/");
        let wanted: std::collections::BTreeSet<String> =
            paths(&flaggers).into_iter().filter(|path| !is_never(path)).collect();
        let Some(patch) = adopt::adopt(&live, Part::Object, &adopt::MANAGERS, &never) else {
            prop_assert!(wanted.is_empty(), "{:?}", wanted);
            return Ok(());
        };
        let entries = patch[1]["value"].as_array().unwrap();
        prop_assert_eq!(entries.len(), 2);
        prop_assert_eq!(&entries[0], &kept);
        let expected: std::collections::BTreeSet<String> = wanted.union(&paths(&ours)).cloned().collect();
        prop_assert_eq!(paths(&entries[1]["fieldsV1"]), expected);
        live["metadata"]["managedFields"] = patch[1]["value"].clone();
        prop_assert_eq!(adopt::adopt(&live, Part::Object, &adopt::MANAGERS, &never), None);
    }
}
