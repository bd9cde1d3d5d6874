//! The same requests to the simulated API server and to a real one: where their answers differ, the simulator is wrong.
//!
//! Needs a real kube-apiserver (no controllers) and its `KUBECONFIG`: `cargo test -p slipway-sim --test honesty -- --ignored`,
//! which `e2e/honesty` brings up and takes down again.
//! What is generated (uids, versions, times, addresses) is not compared, and neither is what the simulator leaves out on purpose: see `forgiven`.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of a test may fail as the test does"
)]
#![expect(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "the list of stories is long, and its values are written where they are passed"
)]

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use slipway_sim::World;
use std::fmt::Write as _;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PLAIN: &str = "application/json";

/// One request; `{ns}`, `{rv}` and `{first}` stand for the namespace and the versions of the last and the first object that was answered.
struct Step {
    method: &'static str,
    path: String,
    content_type: &'static str,
    body: Value,
}

fn step(method: &'static str, path: &str, content_type: &'static str, body: Value) -> Step {
    Step {
        method,
        path: path.to_owned(),
        content_type,
        body,
    }
}

fn get(path: &str) -> Step {
    step("GET", path, PLAIN, Value::Null)
}

fn post(path: &str, body: Value) -> Step {
    step("POST", path, PLAIN, body)
}

fn put(path: &str, body: Value) -> Step {
    step("PUT", path, PLAIN, body)
}

fn delete(path: &str, body: Value) -> Step {
    step("DELETE", path, PLAIN, body)
}

fn apply(path: &str, manager: &str, body: Value) -> Step {
    step(
        "PATCH",
        &format!("{path}?fieldManager={manager}"),
        APPLY,
        body,
    )
}

fn force(path: &str, manager: &str, body: Value) -> Step {
    step(
        "PATCH",
        &format!("{path}?fieldManager={manager}&force=true"),
        APPLY,
        body,
    )
}

fn merge(path: &str, body: Value) -> Step {
    step("PATCH", &format!("{path}?fieldManager=merger"), MERGE, body)
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/{ns}/deployments";
const CONFIG_MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";
const SERVICES: &str = "/api/v1/namespaces/{ns}/services";
const CANARIES: &str = "/apis/sim.slipway.dev/v1/namespaces/{ns}/canaries";

fn of(collection: &str, name: &str) -> String {
    format!("{collection}/{name}")
}

fn by(path: &str, manager: &str) -> String {
    format!("{path}?fieldManager={manager}")
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "app", "labels": {"app": "app", "old": "label"}},
        "spec": {
            "replicas": 5,
            "selector": {"matchLabels": {"app": "app"}},
            "template": {
                "metadata": {"labels": {"app": "app"}, "annotations": {"a": "b"}},
                "spec": {
                    "nodeSelector": {"disk": "fast"},
                    "containers": [{
                        "name": "app", "image": "app:v1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        "ports": [{"name": "http", "containerPort": 9898}, {"name": "grpc", "containerPort": 9999}],
                        "resources": {"limits": {"cpu": "1", "memory": "64Mi"}},
                        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9898}},
                        "volumeMounts": [{"name": "config", "mountPath": "/config"}],
                    }],
                    "volumes": [{"name": "config", "configMap": {"name": "app"}}],
                },
            },
        },
    })
}

/// The Deployment with one field of its template's container changed or taken away.
fn container(field: &str, value: Value) -> Value {
    let mut sent = deployment();
    let container = &mut sent["spec"]["template"]["spec"]["containers"][0];
    if value.is_null() {
        container.as_object_mut().unwrap().remove(field);
    } else {
        container[field] = value;
    }
    sent
}

fn without(mut sent: Value, path: &str, field: &str) -> Value {
    sent.pointer_mut(path)
        .and_then(Value::as_object_mut)
        .unwrap()
        .remove(field);
    sent
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": {"a": "b"}}, "data": data})
}

fn service(ports: Value, app: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app"}, "spec": {"selector": {"app": app}, "ports": ports}})
}

fn canary(spec: Value) -> Value {
    json!({"apiVersion": "sim.slipway.dev/v1", "kind": "Canary", "metadata": {"name": "x"}, "spec": spec})
}

fn definition() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "a": {"type": "object", "properties": {"b": {"type": "integer"}, "c": {"type": "array", "items": {"type": "integer"}}}},
            "d": {"type": "string", "default": "x"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
                "type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "v": {"type": "integer"}},
            }},
        }},
        "status": {"type": "object", "properties": {
            "phase": {"type": "string"}, "weight": {"type": "integer"},
            "conditions": {"type": "array", "items": {"type": "object", "properties": {"type": {"type": "string"}, "status": {"type": "string"}}}},
        }},
    }}});
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "subresources": {"status": {}}, "schema": schema,
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "canaries.sim.slipway.dev"},
        "spec": {
            "group": "sim.slipway.dev", "scope": "Namespaced",
            "names": {"kind": "Canary", "plural": "canaries", "singular": "canary", "listKind": "CanaryList"},
            "versions": [version("v1", true), version("v1alpha1", false)],
        },
    })
}

fn event() -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "x.1"}, "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Normal", "reason": "Synced", "action": "Advance", "note": "weight 5",
        "reportingController": "slipway.dev/controller", "reportingInstance": "a",
        "regarding": {"kind": "Canary", "name": "x", "namespace": "{ns}"},
    })
}

fn lease(holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "x"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"},
    })
}

/// The stories: each begins in a namespace of its own.
fn stories() -> Vec<(&'static str, Vec<Step>)> {
    let app = of(DEPLOYMENTS, "app");
    let (map, svc, x) = (of(CONFIG_MAPS, "x"), of(SERVICES, "app"), of(CANARIES, "x"));
    let adopt = |body: Value| step("PATCH", &by(&app, "slipway"), MERGE, body);
    vec![
        (
            "create a deployment",
            vec![
                post(&by(DEPLOYMENTS, "maker"), deployment()),
                post(&by(DEPLOYMENTS, "maker"), deployment()),
                get(&app),
            ],
        ),
        (
            "apply over another manager",
            vec![
                post(&by(DEPLOYMENTS, "maker"), deployment()),
                apply(&app, "slipway", container("image", json!("app:v2"))),
                force(&app, "slipway", container("image", json!("app:v2"))),
                force(
                    &app,
                    "slipway",
                    container("env", json!([{"name": "B", "value": "3"}])),
                ),
                force(&app, "slipway", without(deployment(), "/spec", "replicas")),
            ],
        ),
        (
            "apply and stop sending",
            vec![
                apply(&app, "slipway", deployment()),
                apply(&app, "slipway", deployment()),
                apply(
                    &app,
                    "slipway",
                    container("env", json!([{"name": "B", "value": "2"}])),
                ),
                apply(
                    &app,
                    "slipway",
                    container("ports", json!([{"name": "http", "containerPort": 9898}])),
                ),
                apply(
                    &app,
                    "slipway",
                    container("resources", json!({"limits": {"cpu": "1"}})),
                ),
                apply(&app, "slipway", container("resources", Value::Null)),
                apply(&app, "slipway", container("readinessProbe", Value::Null)),
                apply(
                    &app,
                    "slipway",
                    without(deployment(), "/spec/template/spec", "nodeSelector"),
                ),
                apply(
                    &app,
                    "slipway",
                    without(deployment(), "/spec/template/metadata", "annotations"),
                ),
                apply(
                    &app,
                    "slipway",
                    without(deployment(), "/metadata", "labels"),
                ),
                apply(&app, "slipway", without(deployment(), "/spec", "replicas")),
            ],
        ),
        (
            "add and order containers by apply",
            vec![
                apply(&app, "slipway", deployment()),
                merge(&app, json!({"metadata": {"annotations": {"x": "y"}}})),
                step(
                    "PATCH",
                    &by(&app, "injector"),
                    STRATEGIC,
                    json!({"spec": {"template": {"spec": {"containers": [{"name": "sidecar", "image": "s:1"}]}}}}),
                ),
                apply(&app, "slipway", container("image", json!("app:v2"))),
                step(
                    "PATCH",
                    &by(&app, "kubectl"),
                    STRATEGIC,
                    json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app:v3"}]}}}}),
                ),
                step(
                    "PATCH",
                    &by(&app, "kubectl"),
                    STRATEGIC,
                    json!({"spec": {"template": {"spec": {"containers": [{"name": "sidecar", "$patch": "delete"}]}}}}),
                ),
                apply(&app, "slipway", deployment()),
            ],
        ),
        (
            "adopt what flagger made",
            vec![
                post(&by(DEPLOYMENTS, "flagger"), deployment()),
                adopt(
                    json!({"metadata": {"resourceVersion": "{rv}", "managedFields": [{
                        "manager": "slipway", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
                        "fieldsV1": {"f:metadata": {"f:labels": {"f:old": {}}}, "f:spec": {"f:template": {"f:spec": {
                            "f:nodeSelector": {}, "f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}}}},
                        }}}},
                    }]}}),
                ),
                force(
                    &app,
                    "slipway",
                    without(
                        without(
                            without(
                                container("env", json!([{"name": "B", "value": "2"}])),
                                "/spec",
                                "replicas",
                            ),
                            "/metadata",
                            "labels",
                        ),
                        "/spec/template/spec",
                        "nodeSelector",
                    ),
                ),
                adopt(json!({"metadata": {"managedFields": [{}]}})),
                get(&app),
            ],
        ),
        (
            "scale",
            vec![
                post(&by(DEPLOYMENTS, "maker"), deployment()),
                get(&format!("{app}/scale")),
                merge(&format!("{app}/scale"), json!({"spec": {"replicas": 2}})),
                get(&app),
                merge(&format!("{app}/scale"), json!({"spec": {"replicas": 2}})),
                merge(&format!("{app}/scale"), json!({"spec": {"replicas": -1}})),
                get(&app),
                merge(&app, json!({"spec": {"replicas": 7}})),
                get(&app),
            ],
        ),
        (
            "the status of a deployment",
            vec![
                post(&by(DEPLOYMENTS, "maker"), deployment()),
                merge(
                    &format!("{app}/status"),
                    json!({"metadata": {"annotations": {"c": "d"}, "labels": {"e": "f"}}, "spec": {"replicas": 9}, "status": {"replicas": 3, "observedGeneration": 1}}),
                ),
                get(&app),
                merge(&app, json!({"status": {"replicas": 9}})),
                merge(&app, json!({"metadata": {"annotations": {"c": "e"}}})),
                merge(&app, json!({"metadata": {"labels": {"c": "e"}}})),
            ],
        ),
        (
            "patches",
            vec![
                post(
                    &by(CONFIG_MAPS, "maker"),
                    config_map(json!({"a": "1", "b": "2"})),
                ),
                merge(&map, json!({"data": {"a": null, "c": "3"}})),
                step(
                    "PATCH",
                    &by(&map, "j"),
                    JSON_PATCH,
                    json!([{"op": "test", "path": "/data/b", "value": "9"}, {"op": "remove", "path": "/data/b"}]),
                ),
                step(
                    "PATCH",
                    &by(&map, "j"),
                    JSON_PATCH,
                    json!([{"op": "test", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/b"}]),
                ),
                step(
                    "PATCH",
                    &by(&map, "j"),
                    JSON_PATCH,
                    json!([{"op": "remove", "path": "/data/zzz"}]),
                ),
                step(
                    "PATCH",
                    &by(&map, "j"),
                    JSON_PATCH,
                    json!([{"op": "replace", "path": "/data/zzz", "value": "1"}]),
                ),
                step(
                    "PATCH",
                    &by(&map, "j"),
                    JSON_PATCH,
                    json!([{"op": "add", "path": "/metadata/annotations", "value": {"x": "y"}}]),
                ),
                merge(
                    &map,
                    json!({"metadata": {"resourceVersion": "1"}, "data": {"z": "1"}}),
                ),
                merge(&map, json!({})),
                step("PATCH", &map, PLAIN, json!({})),
                merge(&of(CONFIG_MAPS, "absent"), json!({})),
                step("PATCH", &map, APPLY, config_map(json!({}))),
                apply(
                    &map,
                    "m",
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"managedFields": [{"manager": "x"}]}}),
                ),
                apply(&map, "m", json!({"apiVersion": "v1", "kind": "Secret"})),
            ],
        ),
        (
            "updates",
            vec![
                post(&by(CONFIG_MAPS, "maker"), config_map(json!({"a": "1"}))),
                put(&by(&map, "putter"), config_map(json!({"a": "2"}))),
                put(
                    &map,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "resourceVersion": "1"}}),
                ),
                put(
                    &map,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "uid": "1-2"}}),
                ),
                put(
                    &map,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "y"}}),
                ),
                put(
                    &of(CONFIG_MAPS, "absent"),
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "absent"}}),
                ),
                put(
                    &map,
                    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}),
                ),
                put(
                    &map,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "other"}}),
                ),
            ],
        ),
        (
            "creates",
            vec![
                post(
                    &by(CONFIG_MAPS, "maker"),
                    json!({"metadata": {"name": "bare"}, "data": {"a": "b"}}),
                ),
                post(
                    &by(CONFIG_MAPS, "maker"),
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}),
                ),
                post(
                    &by(CONFIG_MAPS, "maker"),
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not_A_Name"}}),
                ),
                post(
                    &by(CONFIG_MAPS, "maker"),
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "y", "resourceVersion": "5"}}),
                ),
                post(
                    "/api/v1/namespaces/nowhere-at-all/configmaps",
                    config_map(json!({})),
                ),
                post(
                    &by(SERVICES, "maker"),
                    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "1x"}, "spec": {"ports": [{"port": 80}]}}),
                ),
                post(
                    &by(DEPLOYMENTS, "maker"),
                    without(deployment(), "/spec", "selector"),
                ),
                post(
                    &by(DEPLOYMENTS, "maker"),
                    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": {
                        "selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "app"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
                    }}),
                ),
                step("POST", &map, PLAIN, config_map(json!({}))),
                get("/apis/nothing.example/v1/namespaces/{ns}/things"),
                get(&of(CONFIG_MAPS, "absent")),
                get("/api/v1/namespaces/{ns}/configmaps/x/status"),
            ],
        ),
        (
            "services",
            vec![
                apply(
                    &svc,
                    "one",
                    service(json!([{"name": "http", "port": 80}]), "one"),
                ),
                force(
                    &svc,
                    "two",
                    service(json!([{"name": "grpc", "port": 81}]), "two"),
                ),
                force(
                    &svc,
                    "one",
                    service(json!([{"name": "admin", "port": 82}]), "one"),
                ),
                merge(&svc, json!({"spec": {"selector": {"app": "three"}}})),
                merge(&svc, json!({"spec": {"clusterIP": "10.96.99.99"}})),
                put(
                    &by(&svc, "putter"),
                    service(
                        json!([{"name": "http", "port": 80, "targetPort": "http"}]),
                        "four",
                    ),
                ),
                merge(&svc, json!({"spec": {"ports": []}})),
                merge(&svc, json!({"spec": {"ports": [{"port": 1}, {"port": 2}]}})),
            ],
        ),
        (
            "finalizers and deletion",
            vec![
                post(
                    &by(CANARIES, "maker"),
                    json!({"apiVersion": "sim.slipway.dev/v1", "kind": "Canary", "metadata": {"name": "x", "finalizers": ["a.example/b"]}}),
                ),
                delete(
                    &x,
                    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "1-2"}}),
                ),
                delete(
                    &x,
                    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": "1"}}),
                ),
                delete(&x, Value::Null),
                delete(&x, Value::Null),
                merge(
                    &x,
                    json!({"metadata": {"finalizers": ["a.example/b", "c.example/d"]}}),
                ),
                merge(&x, json!({"spec": {"a": {"b": 7}}})),
                merge(&x, json!({"metadata": {"finalizers": null}})),
                get(&x),
                post(&by(CONFIG_MAPS, "maker"), config_map(json!({}))),
                delete(
                    &map,
                    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "1-2"}}),
                ),
                delete(&map, Value::Null),
                delete(&map, Value::Null),
                post(&by(DEPLOYMENTS, "maker"), deployment()),
                delete(
                    &app,
                    json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}),
                ),
                delete(
                    &app,
                    json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Orphan"}),
                ),
                delete(
                    &app,
                    json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}),
                ),
                get(&app),
            ],
        ),
        (
            "a custom kind",
            vec![
                post(
                    &by(CANARIES, "maker"),
                    json!({"apiVersion": "sim.slipway.dev/v1", "kind": "Canary", "metadata": {"name": "x"}, "spec": {"a": {"b": 1, "z": 2}, "free": {"q": 1}, "map": {"k": "v"}}, "status": {"phase": "A"}, "other": 1}),
                ),
                merge(
                    &x,
                    json!({"spec": {"a": {"b": 2}}, "status": {"phase": "B"}}),
                ),
                merge(
                    &format!("{x}/status"),
                    json!({"metadata": {"labels": {"a": "b"}}, "spec": {"a": {"b": 3}}, "status": {"phase": "C", "unknown": 1}}),
                ),
                get(&x),
                merge(
                    &x,
                    json!({"metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}}}),
                ),
                put(&x, canary(json!({"a": {"b": 4}}))),
                put(
                    &by(&x, "putter"),
                    json!({"apiVersion": "sim.slipway.dev/v1", "kind": "Canary", "metadata": {"name": "x", "resourceVersion": "{rv}"}, "spec": {"a": {"b": 4}}}),
                ),
                step("PATCH", &x, STRATEGIC, json!({"spec": {}})),
                get("/apis/sim.slipway.dev/v1alpha1/namespaces/{ns}/canaries/x"),
                get("/apis/sim.slipway.dev/v2/namespaces/{ns}/canaries/x"),
                get(&format!("{x}/scale")),
            ],
        ),
        (
            "apply to a custom kind",
            vec![
                apply(
                    &x,
                    "one",
                    canary(
                        json!({"a": {"b": 1, "c": [1, 2]}, "keyed": [{"name": "p", "v": 1}, {"name": "q", "v": 2}], "map": {"k": "v", "l": "w"}}),
                    ),
                ),
                apply(
                    &x,
                    "one",
                    canary(
                        json!({"a": {"b": 1, "c": [1, 2]}, "keyed": [{"name": "p", "v": 1}, {"name": "q", "v": 2}], "map": {"k": "v", "l": "w"}}),
                    ),
                ),
                apply(&x, "two", canary(json!({"a": {"c": [3]}}))),
                force(
                    &x,
                    "two",
                    canary(
                        json!({"a": {"c": [3]}, "keyed": [{"name": "r", "v": 3}], "map": {"l": "w"}}),
                    ),
                ),
                apply(
                    &x,
                    "one",
                    canary(json!({"a": {"b": 1}, "keyed": [{"name": "q", "v": 2}]})),
                ),
                force(
                    &format!("{x}/status"),
                    "one",
                    json!({"apiVersion": "sim.slipway.dev/v1", "kind": "Canary", "metadata": {"labels": {"no": "no"}}, "spec": {"a": {"b": 9}}, "status": {"phase": "P", "weight": 5}}),
                ),
                force(
                    &format!("{x}/status"),
                    "one",
                    json!({"apiVersion": "sim.slipway.dev/v1", "kind": "Canary", "status": {"phase": "Q"}}),
                ),
                merge(&format!("{x}/status"), json!({"status": {"weight": 7}})),
                apply(
                    &format!("{x}/status"),
                    "one",
                    json!({"apiVersion": "sim.slipway.dev/v1", "kind": "Canary", "status": {"phase": "Q", "weight": 8}}),
                ),
                force(
                    &format!("{}/status", of(CANARIES, "absent")),
                    "one",
                    json!({"apiVersion": "sim.slipway.dev/v1", "kind": "Canary", "status": {"phase": "Q"}}),
                ),
                force(
                    &format!("{x}/status"),
                    "flagger",
                    json!({"apiVersion": "sim.slipway.dev/v1", "kind": "Canary", "status": {"conditions": [{"type": "Promoted", "status": "True"}]}}),
                ),
                get(&x),
            ],
        ),
        (
            "watches",
            vec![
                post(&by(CONFIG_MAPS, "maker"), config_map(json!({"a": "1"}))),
                merge(&map, json!({"data": {"a": "2"}})),
                merge(&map, json!({"metadata": {"labels": {"a": "c"}}})),
                merge(&map, json!({"metadata": {"labels": {"a": "b"}}})),
                get(&format!(
                    "{CONFIG_MAPS}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dx"
                )),
                get(&format!(
                    "{CONFIG_MAPS}?watch=true&timeoutSeconds=1&resourceVersion={{first}}&labelSelector=a%3Db"
                )),
                get(&format!(
                    "{CONFIG_MAPS}?watch=true&timeoutSeconds=1&resourceVersion={{first}}&fieldSelector=metadata.name%3Dx"
                )),
                get(&format!(
                    "{CONFIG_MAPS}?watch=true&timeoutSeconds=1&resourceVersion=nonsense"
                )),
                get(&format!(
                    "{CONFIG_MAPS}?watch=true&timeoutSeconds=1&resourceVersion=1&fieldSelector=metadata.name%3Dx"
                )),
                get(&format!(
                    "{CONFIG_MAPS}?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dx"
                )),
                delete(&map, Value::Null),
                get(&format!(
                    "{CONFIG_MAPS}?watch=true&timeoutSeconds=1&resourceVersion={{first}}&fieldSelector=metadata.name%3Dx"
                )),
            ],
        ),
        (
            "metadata only",
            vec![
                post(&by(CONFIG_MAPS, "maker"), config_map(json!({"a": "1"}))),
                step("METADATA", &map, PLAIN, Value::Null),
                step(
                    "METADATA",
                    &format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Dx"),
                    PLAIN,
                    Value::Null,
                ),
            ],
        ),
        (
            "dry runs",
            vec![
                post(
                    &format!("{CONFIG_MAPS}?fieldManager=maker&dryRun=All"),
                    config_map(json!({"a": "1"})),
                ),
                get(&map),
                post(&by(CONFIG_MAPS, "maker"), config_map(json!({"a": "1"}))),
                step(
                    "PATCH",
                    &format!("{map}?fieldManager=m&dryRun=All"),
                    MERGE,
                    json!({"data": {"a": "2"}}),
                ),
                delete(&format!("{map}?dryRun=All"), Value::Null),
                get(&map),
            ],
        ),
        (
            "events",
            vec![
                post(
                    &by("/apis/events.k8s.io/v1/namespaces/{ns}/events", "slipway"),
                    event(),
                ),
                get("/apis/events.k8s.io/v1/namespaces/{ns}/events/x.1"),
                get("/api/v1/namespaces/{ns}/events/x.1"),
                get("/api/v1/namespaces/{ns}/events?fieldSelector=involvedObject.name%3Dx"),
                post(
                    "/apis/events.k8s.io/v1/namespaces/{ns}/events",
                    without(event(), "", "reportingInstance"),
                ),
                post(
                    "/apis/events.k8s.io/v1/namespaces/{ns}/events",
                    without(event(), "", "eventTime"),
                ),
            ],
        ),
        (
            "leases",
            vec![
                post(
                    &by("/apis/coordination.k8s.io/v1/namespaces/{ns}/leases", "a"),
                    lease("a"),
                ),
                put(
                    "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases/x",
                    lease("b"),
                ),
                put(
                    &by("/apis/coordination.k8s.io/v1/namespaces/{ns}/leases/y", "a"),
                    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "y"}, "spec": {"holderIdentity": "b"}}),
                ),
            ],
        ),
        (
            "lists",
            vec![
                post(&by(CONFIG_MAPS, "maker"), config_map(json!({}))),
                get(&format!("{CONFIG_MAPS}?labelSelector=a%3Db")),
                get(&format!("{CONFIG_MAPS}?labelSelector=a+notin+%28b%29")),
                get(&format!("{CONFIG_MAPS}?labelSelector=a+b")),
                get(&format!("{CONFIG_MAPS}?fieldSelector=data.a%3Db")),
                get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Dx")),
                get(&format!("{CONFIG_MAPS}?continue=nonsense")),
            ],
        ),
        (
            "other kinds",
            vec![
                post(
                    &by("/apis/apps/v1/namespaces/{ns}/daemonsets", "maker"),
                    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"}, "spec": {
                        "selector": {"matchLabels": {"app": "app"}}, "template": {"metadata": {"labels": {"app": "app"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
                    }}),
                ),
                post(
                    &by(
                        "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers",
                        "maker",
                    ),
                    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": {
                        "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
                        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 99}}}],
                    }}),
                ),
                merge(
                    "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers/h",
                    json!({"spec": {"minReplicas": 9}}),
                ),
                post(
                    &by("/api/v1/namespaces/{ns}/secrets", "maker"),
                    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "YQ=="}}),
                ),
                merge(
                    "/api/v1/namespaces/{ns}/secrets/s",
                    json!({"type": "other"}),
                ),
                merge(
                    "/api/v1/namespaces/{ns}/secrets/s",
                    json!({"immutable": true}),
                ),
                merge(
                    "/api/v1/namespaces/{ns}/secrets/s",
                    json!({"data": {"a": "Yg=="}}),
                ),
            ],
        ),
    ]
}

/// What one server has answered so far in a story.
#[derive(Default)]
struct Memory {
    last: Value,
    first: Value,
}

impl Memory {
    fn take(&mut self, answer: Value) {
        if answer["metadata"]["uid"].is_string() {
            if self.first.is_null() {
                self.first = answer.clone();
            }
            self.last = answer;
        }
    }
}

fn fill(text: &str, namespace: &str, memory: &Memory) -> String {
    let field =
        |object: &Value, name: &str| object["metadata"][name].as_str().unwrap_or("0").to_owned();
    text.replace("{ns}", namespace)
        .replace("{rv}", &field(&memory.last, "resourceVersion"))
        .replace("{first}", &field(&memory.first, "resourceVersion"))
}

/// Asks one server: the code, and the answer as JSON, a list of lines for a watch, or a text.
async fn ask(client: &Client, step: &Step, namespace: &str, memory: &Memory) -> (u16, Value) {
    let body = if step.body.is_null() {
        String::new()
    } else {
        fill(&step.body.to_string(), namespace, memory)
    };
    let (method, accept) = match step.method {
        "METADATA" if step.path.contains('?') => (
            "GET",
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        ),
        "METADATA" => (
            "GET",
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        ),
        method => (method, "application/json"),
    };
    let request = http::Request::builder()
        .method(method)
        .uri(fill(&step.path, namespace, memory))
        .header("content-type", step.content_type)
        .header("accept", accept)
        .body(Body::from(body.into_bytes()))
        .unwrap();
    let answer = client.send(request).await.unwrap();
    let code = answer.status().as_u16();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    let lines: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let answer = if step.path.contains("watch=true") && code == 200 {
        Value::Array(lines)
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    (code, answer)
}

/// Takes out what two servers generate differently, and what the simulator leaves out on purpose.
fn forgiven(value: &Value) -> Value {
    if value["kind"] == "Status" {
        return refusal(value);
    }
    if value.get("eventTime").is_some() {
        // Ownership of an event is kept in the form that is stored, not in the one that was written.
        let mut event = value.clone();
        event["metadata"]["managedFields"] = Value::Null;
        return pruned(&event);
    }
    pruned(value)
}

fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut kept: serde_json::Map<String, Value> = map
                .iter()
                // The real server names no empty list of allocated node ports, has newer fields, and counts pods apart.
                .filter(|(name, _)| {
                    !["remainingItemCount", "selfLink", "terminatingReplicas"]
                        .contains(&name.as_str())
                })
                .map(|(name, inner)| {
                    let generated = [
                        "uid",
                        "resourceVersion",
                        "creationTimestamp",
                        "time",
                        "deletionTimestamp",
                        "clusterIP",
                        "clusterIPs",
                        "continue",
                        "key",
                    ];
                    let inner = if generated.contains(&name.as_str()) {
                        json!("*")
                    } else {
                        forgiven(inner)
                    };
                    (name.clone(), inner)
                })
                .collect();
            if kept
                .get("f:status")
                .is_some_and(|it| it.as_object().is_some_and(serde_json::Map::is_empty))
            {
                kept.remove("f:status");
            }
            Value::Object(kept)
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(forgiven).collect();
            if items.iter().any(|item| item.get("fieldsV1").is_some()) {
                items.sort_by_key(|item| {
                    (
                        item["manager"].to_string(),
                        item["operation"].to_string(),
                        item["subresource"].to_string(),
                    )
                });
            }
            Value::Array(items)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Of several causes the simulator names the first, and it words some refusals of nonsense in its own way.
fn refusal(status: &Value) -> Value {
    const OWN_WORDS: [&str; 5] = [
        "unable to parse requirement",
        "invalid continue token",
        "StorageError",
        "Precondition failed",
        "in the precondition",
    ];
    let message = status["message"].as_str().unwrap_or_default();
    let cause = &status["details"]["causes"][0];
    let mut kept = status.clone();
    let is_own = OWN_WORDS.iter().any(|words| message.contains(words)) || status["code"] == 400;
    if is_own || !cause.is_null() {
        kept["message"] = json!("*");
    }
    if !cause.is_null() {
        kept["details"]["causes"] = json!([cause]);
    }
    kept["details"]["uid"] = json!("*");
    if status["code"] == 500 {
        kept["reason"] = json!("*");
        kept["message"] = json!("*");
    }
    kept
}

/// Where two values differ, path by path.
fn differences(path: &str, real: &Value, sim: &Value, found: &mut Vec<String>) {
    match (real, sim) {
        (Value::Object(real), Value::Object(sim)) => {
            let names: std::collections::BTreeSet<&String> =
                real.keys().chain(sim.keys()).collect();
            for name in names {
                let (left, right) = (
                    real.get(name).unwrap_or(&Value::Null),
                    sim.get(name).unwrap_or(&Value::Null),
                );
                differences(&format!("{path}.{name}"), left, right, found);
            }
        }
        (Value::Array(real), Value::Array(sim)) if real.len() == sim.len() => {
            for (at, (left, right)) in real.iter().zip(sim).enumerate() {
                differences(&format!("{path}[{at}]"), left, right, found);
            }
        }
        (real, sim) if real != sim => found.push(format!("{path}: real {real}, sim {sim}")),
        _ => {}
    }
}

/// A real server and a simulated one, asked side by side.
struct Pair {
    real: Client,
    sim: Client,
}

impl Pair {
    async fn both(&self, step: &Step) {
        for client in [&self.real, &self.sim] {
            ask(client, step, "", &Memory::default()).await;
        }
    }

    /// Where the answers of a story differ.
    async fn compare(&self, namespace: &str, name: &str, steps: &[Step]) -> String {
        let mut report = String::new();
        let (mut of_real, mut of_sim) = (Memory::default(), Memory::default());
        for (number, step) in steps.iter().enumerate() {
            let (real_code, real) = ask(&self.real, step, namespace, &of_real).await;
            let (sim_code, sim) = ask(&self.sim, step, namespace, &of_sim).await;
            let mut found = Vec::new();
            if real_code == sim_code {
                differences("", &forgiven(&real), &forgiven(&sim), &mut found);
            } else {
                found.push(format!(
                    "code: real {real_code} {}, sim {sim_code} {}",
                    real["message"], sim["message"]
                ));
            }
            if !found.is_empty() {
                let lines = found.join("\n    ");
                writeln!(
                    report,
                    "{name}, step {}: {} {}\n    {lines}",
                    number + 1,
                    step.method,
                    step.path
                )
                .unwrap();
            }
            of_real.take(real);
            of_sim.take(sim);
        }
        report
    }
}

#[tokio::test]
#[ignore = "needs a real kube-apiserver and its KUBECONFIG"]
async fn the_simulated_server_answers_as_a_real_one() {
    let world = World::new(1);
    world.stop_cluster(true);
    let pair = Pair {
        real: Client::try_default().await.unwrap(),
        sim: Client::new(world.client_service("honesty"), "default"),
    };
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/canaries.sim.slipway.dev";
    pair.both(&force(crd, "a", definition())).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let mut report = String::new();
    for (at, (name, steps)) in stories().into_iter().enumerate() {
        let namespace = format!("honesty-{}-{at}", std::process::id());
        let made =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        pair.both(&post("/api/v1/namespaces", made)).await;
        report.push_str(&pair.compare(&namespace, name, &steps).await);
    }
    assert!(report.is_empty(), "\n{report}");
}
