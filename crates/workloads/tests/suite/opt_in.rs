//! What a Canary is made of, and what is said where it cannot be told.

use serde_json::{Value, json};
use slipway_core::object::kinds;
use slipway_workloads::opt_in::{Around, asked, canary, is_made, is_made_for};

/// A Deployment with these annotations of ours and container ports.
fn deployment(annotations: &[(&str, &str)], ports: &[i64]) -> Value {
    let mut object = json!({
        "metadata": {"name": "app", "namespace": "test", "uid": "7", "annotations": {}},
        "spec": {"template": {"metadata": {"labels": {"app": "app", "tier": "web"}}, "spec": {"containers": [{"name": "app"}]}}},
    });
    for (key, value) in annotations {
        object["metadata"]["annotations"][format!("slipway.dev/{key}")] = json!(value);
    }
    let ports: Vec<Value> = ports
        .iter()
        .map(|port| json!({"containerPort": port}))
        .collect();
    object["spec"]["template"]["spec"]["containers"][0]["ports"] = ports.into();
    object
}

fn service(name: &str, selector: &Value, ports: &[i64]) -> Value {
    let ports: Vec<Value> = ports.iter().map(|port| json!({"port": port})).collect();
    json!({"metadata": {"name": name}, "spec": {"selector": selector, "ports": ports}})
}

fn made(workload: &Value, services: &[Value]) -> Result<Value, Vec<String>> {
    let around = Around {
        services: services.to_vec(),
        ..Around::default()
    };
    canary(kinds::DEPLOYMENT, workload, &around)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn the_service_of_users_is_the_one_that_selects_the_pods() {
    let app = json!({"app": "app"});
    let workload = deployment(&[("release", "canary")], &[8080]);
    for (services, expected) in [
        (vec![], Ok(json!({"port": 8080}))),
        (vec![service("app", &app, &[80])], Ok(json!({"port": 80}))),
        (
            vec![service("web", &app, &[80])],
            Ok(json!({"name": "web", "port": 80})),
        ),
        (
            vec![service("web", &app, &[80]), service("app", &app, &[81])],
            Ok(json!({"port": 81})),
        ),
        // Of others, or of everybody.
        (
            vec![service("other", &json!({"app": "other"}), &[80])],
            Ok(json!({"port": 8080})),
        ),
        (
            vec![service("all", &json!({}), &[80])],
            Ok(json!({"port": 8080})),
        ),
        (
            vec![
                service("a", &app, &[80]),
                service("b", &json!({"tier": "web"}), &[80]),
            ],
            Err(
                "Deployment test/app: annotation slipway.dev/port cannot be told: the Services a, b select the pods; give one of them the name app, or write a Canary",
            ),
        ),
        (
            vec![service("app", &app, &[80, 81])],
            Err(
                "Deployment test/app: annotation slipway.dev/port must be one of the ports of Service app: 80, 81",
            ),
        ),
    ] {
        let found = made(&workload, &services).map(|canary| canary["spec"]["service"].clone());
        assert_eq!(
            found,
            expected.map_err(|text: &str| vec![text.to_owned()]),
            "{services:?}"
        );
    }
}

#[test]
fn annotations_that_are_wrong_are_all_named_with_what_is_allowed() {
    let of = |text: &str| format!("Deployment test/app: annotation slipway.dev/{text}");
    let matched = "header:NAME=VALUE or cookie:NAME=VALUE, several with commas between, such as header:x-user=beta";
    for (annotations, ports, expected) in [
        (
            vec![("release", "yes")],
            vec![80],
            vec![of("release is yes, must be canary, blue-green or ab")],
        ),
        (
            vec![("release", "ab")],
            vec![80],
            vec![of(&format!(
                "match must say who meets the new revision, {matched}"
            ))],
        ),
        (
            vec![
                ("release", "ab"),
                ("match", "header:x-user"),
                ("port", "http"),
            ],
            vec![80],
            vec![
                of(&format!("match is header:x-user, must be {matched}")),
                of("port is http, must be the number of a port, 1 to 65535"),
            ],
        ),
        (
            vec![("release", "canary"), ("match", "cookie:a=b")],
            vec![80],
            vec![of(
                "match is cookie:a=b, must stand beside slipway.dev/release: ab only",
            )],
        ),
        (
            vec![("release", "canary")],
            vec![],
            vec![of(
                "port must name the port: no Service selects the pods, and no container has a port",
            )],
        ),
        (
            vec![("release", "canary")],
            vec![80, 90],
            vec![of("port must be one of the container ports 80, 90")],
        ),
    ] {
        assert_eq!(made(&deployment(&annotations, &ports), &[]), Err(expected));
    }
}

#[test]
fn a_cookie_is_matched_alone_and_literally() {
    let workload = deployment(&[("release", "ab"), ("match", "cookie:v=1.0")], &[80]);
    let canary = made(&workload, &[]).unwrap();
    let expected = json!([{"headers": {"cookie": {"regex": r"^(.*?;)?\s*(v=1\.0)(;.*)?$"}}}]);
    assert_eq!(canary["spec"]["analysis"]["match"], expected);
}

#[test]
fn a_made_canary_belongs_to_its_workload_and_keeps_its_service() {
    let mut workload = deployment(&[("release", "canary")], &[8080]);
    let known = made(&workload, &[service("web", &json!({"app": "app"}), &[80])]).unwrap();
    assert!(is_made(&known) && is_made_for(&known, &workload));
    let around = Around {
        canary: Some(known.clone()),
        ..Around::default()
    };
    assert_eq!(canary(kinds::DEPLOYMENT, &workload, &around), Ok(known));
    workload["metadata"]["annotations"]["slipway.dev/port"] = json!("90");
    let changed = canary(kinds::DEPLOYMENT, &workload, &around).unwrap();
    assert_eq!(
        changed["spec"]["service"],
        json!({"name": "web", "port": 90})
    );
    workload["metadata"]["uid"] = json!("8");
    assert!(!is_made_for(&changed, &workload));
}

#[test]
fn what_a_canary_controls_is_never_opted_in() {
    let mut workload = deployment(&[("release", "canary")], &[80]);
    assert_eq!(asked(&workload), Some("canary"));
    workload["metadata"]["ownerReferences"] = json!([{"kind": "Canary", "name": "app"}]);
    assert_eq!(asked(&workload), None);
}
