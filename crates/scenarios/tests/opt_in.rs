//! Canaries for workloads that only carry annotations, with the real controller.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail, and look at one case of many"
)]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

const HOUR: Duration = Duration::from_hours(1);
const FLAGS: [&str; 2] = [
    "-mesh-provider=istio",
    "-metrics-server=http://prometheus:9090",
];

fn stage(flags: &[&str]) -> Stage {
    Stage::new(23, &[&FLAGS, flags].concat())
}

/// A Deployment `app` with these annotations of ours.
fn asking(annotations: &[(&str, &str)]) -> Value {
    let mut object = deployment("app:v1", 2);
    for (key, value) in annotations {
        object["metadata"]["annotations"][format!("slipway.dev/{key}")] = json!(value);
    }
    object
}

fn service(name: &str, ports: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": "app"}, "ports": ports},
    })
}

fn http() -> Value {
    json!([{"name": "http", "port": 80, "targetPort": "http"}])
}

fn annotate(stage: &Stage, key: &str, value: impl Into<Value>) {
    let patch = json!({"metadata": {"annotations": {format!("slipway.dev/{key}"): value.into()}}});
    stage
        .world
        .patch("Deployment", NAMESPACE, "app", &patch)
        .unwrap();
}

async fn until(stage: &Stage, holds: impl Fn(&Stage) -> bool) -> bool {
    stage.world.eventually(HOUR, |_| holds(stage)).await;
    holds(stage)
}

async fn reaches(stage: &Stage, phase: Phase) {
    assert_eq!(
        stage.reach(&[phase], HOUR).await,
        phase,
        "{:?}",
        stage.events()
    );
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

fn spec(stage: &Stage) -> Value {
    let canary = stage.object("Canary", "app").unwrap_or_default();
    canary["spec"].clone()
}

/// The warnings about the Deployment.
fn warnings(stage: &Stage) -> Vec<String> {
    let events = stage.world.list("Event", NAMESPACE);
    let of_workload = events
        .iter()
        .filter(|event| event["involvedObject"]["kind"] == json!("Deployment"));
    of_workload
        .filter_map(|event| event["message"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_asks_gets_a_canary_that_its_annotations_tune() {
    let stage = stage(&[]);
    stage.apply(&[
        service("app", &http()),
        asking(&[
            ("release", "canary"),
            ("step-weights", "5,50"),
            ("interval", "10s"),
        ]),
    ]);
    reaches(&stage, Phase::Initialized).await;
    let canary = stage.object("Canary", "app").unwrap();
    let owner = &canary["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["name"]),
        (&json!("Deployment"), &json!("app"))
    );
    let of_service = json!({"port": 80, "targetPort": "http", "portName": "http"});
    assert_eq!(canary["spec"]["service"], of_service);
    assert!(
        stage
            .status()
            .conditions
            .iter()
            .all(|it| it.type_ != "SpecNotHeeded"),
        "{:?}",
        stage.status().conditions
    );
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    reaches(&stage, Phase::Succeeded).await;
    let events = stage.events();
    let weights: Vec<&str> = events
        .iter()
        .filter_map(|text| text.strip_prefix("Advance app.test canary weight "))
        .collect();
    assert_eq!(weights, ["5", "50"], "{events:?}");
    // What it controls is never opted in itself.
    for (kind, name) in [
        ("Deployment", "app-primary"),
        ("Service", "app-primary"),
        ("Service", "app-canary"),
        ("VirtualService", "app"),
    ] {
        let object = stage.object(kind, name).unwrap().to_string();
        assert!(
            !object.contains("slipway.dev/release"),
            "{kind} {name}: {object}"
        );
    }
    assert_eq!(stage.world.list("Canary", NAMESPACE).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_annotation_that_goes_takes_its_canary_with_it_and_the_target_is_restored() {
    for while_down in [false, true] {
        let mut stage = stage(&[]);
        stage.apply(&[
            service("app", &http()),
            asking(&[("release", "blue-green")]),
        ]);
        reaches(&stage, Phase::Initialized).await;
        if while_down {
            stage.stop().await;
        }
        annotate(&stage, "release", Value::Null);
        if while_down {
            stage.start();
        }
        assert!(
            until(&stage, |stage| stage.object("Canary", "app").is_none()).await,
            "{while_down}"
        );
        let replicas = stage.object("Deployment", "app").unwrap()["spec"]["replicas"].clone();
        assert_eq!(replicas, json!(2));
        let apex = stage.object("Service", "app").unwrap();
        assert_eq!(apex["spec"]["selector"], json!({"app": "app"}));
        pass(HOUR).await;
        assert!(stage.object("Canary", "app").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_annotation_changes_the_canary_and_starts_nothing() {
    let stage = stage(&[]);
    stage.apply(&[service("web", &http()), asking(&[("release", "canary")])]);
    reaches(&stage, Phase::Initialized).await;
    assert_eq!(spec(&stage)["service"]["name"], json!("web"));
    assert_eq!(spec(&stage)["analysis"]["stepWeight"], json!(10));
    annotate(&stage, "match", "header:X-User=beta,cookie:type=insider");
    annotate(&stage, "release", "ab");
    let is_ab = |stage: &Stage| spec(stage)["analysis"]["iterations"] == json!(10);
    assert!(until(&stage, is_ab).await, "{}", spec(&stage));
    let analysis = &spec(&stage)["analysis"];
    assert_eq!(analysis.get("stepWeight"), None);
    let expected = json!([
        {"headers": {"x-user": {"exact": "beta"}}},
        {"headers": {"cookie": {"regex": r"^(.*?;)?\s*(type=insider)(;.*)?$"}}},
    ]);
    assert_eq!(analysis["match"], expected);
    // The Service of its users is kept although it selects the primary now.
    assert_eq!(spec(&stage)["service"]["name"], json!("web"));
    pass(HOUR).await;
    assert_eq!(stage.status().phase, Phase::Initialized);
    // One that is wrong is said on the Deployment, and the last good Canary stays.
    annotate(&stage, "match", "beta");
    let told =
        "Deployment test/app: annotation slipway.dev/match is beta, must be header:NAME=VALUE";
    assert!(
        until(&stage, |stage| warnings(stage)
            .iter()
            .any(|it| it.starts_with(told)))
        .await
    );
    assert_eq!(spec(&stage)["analysis"]["match"], expected);
}

#[tokio::test(start_paused = true)]
async fn a_port_that_cannot_be_told_is_said_on_the_deployment_until_it_is_named() {
    let stage = stage(&[]);
    let two = json!([{"name": "http", "port": 80}, {"name": "grpc", "port": 9000}]);
    stage.apply(&[service("app", &two), asking(&[("release", "canary")])]);
    let told = "Deployment test/app: annotation slipway.dev/port must be one of the ports of Service app: 80, 9000";
    assert!(
        until(&stage, |stage| warnings(stage) == [told]).await,
        "{:?}",
        warnings(&stage)
    );
    pass(HOUR).await;
    assert_eq!(warnings(&stage), [told]);
    assert!(stage.object("Canary", "app").is_none());
    annotate(&stage, "port", "9000");
    reaches(&stage, Phase::Initialized).await;
    assert_eq!(
        spec(&stage)["service"],
        json!({"port": 9000, "targetPort": 9000, "portName": "grpc"})
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_service_the_one_container_port_is_taken_and_an_autoscaler_is_named() {
    let stage = stage(&[]);
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "scaler", "namespace": NAMESPACE},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}, "minReplicas": 2, "maxReplicas": 4},
    });
    stage.apply(&[scaler, asking(&[("release", "canary")])]);
    reaches(&stage, Phase::Initialized).await;
    assert_eq!(spec(&stage)["service"], json!({"port": 8080}));
    assert_eq!(spec(&stage)["autoscalerRef"]["name"], json!("scaler"));
    assert!(
        stage
            .object("HorizontalPodAutoscaler", "scaler-primary")
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_somebody_wrote_wins() {
    let stage = stage(&[]);
    let mut written = canary("istio", &json!({"iterations": 2}));
    written["metadata"]["name"] = json!("mine");
    stage.apply(&[service("app", &http()), asking(&[("release", "canary")])]);
    reaches(&stage, Phase::Initialized).await;
    stage.apply(&[written]);
    assert!(until(&stage, |stage| stage.object("Canary", "app").is_none()).await);
    let initialised = |stage: &Stage| {
        let mine = stage.object("Canary", "mine").unwrap_or_default();
        mine["status"]["phase"] == json!("Initialized")
    };
    assert!(until(&stage, initialised).await, "{:?}", stage.events());
    pass(HOUR).await;
    assert!(stage.object("Canary", "app").is_none());
    stage.world.delete("Canary", NAMESPACE, "mine").unwrap();
    reaches(&stage, Phase::Initialized).await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_of_that_name_for_another_workload_is_not_touched() {
    let stage = stage(&[]);
    let mut other = canary("istio", &json!({"iterations": 2}));
    other["spec"]["targetRef"]["name"] = json!("other");
    stage.apply(&[
        other,
        service("app", &http()),
        asking(&[("release", "canary")]),
    ]);
    let told = "Deployment test/app: annotation slipway.dev/release but Canary test/app is there already, for Deployment other";
    assert!(
        until(&stage, |stage| warnings(stage)
            .iter()
            .any(|it| it.starts_with(told)))
        .await,
        "{:?}",
        warnings(&stage)
    );
    assert_eq!(spec(&stage)["targetRef"]["name"], json!("other"));
}

#[tokio::test(start_paused = true)]
async fn where_annotations_of_targets_are_not_heeded_nobody_is_opted_in() {
    for flag in ["--annotations=canary", "--annotations=none"] {
        let stage = stage(&[flag]);
        stage.apply(&[service("app", &http()), asking(&[("release", "canary")])]);
        pass(HOUR).await;
        assert!(stage.object("Canary", "app").is_none(), "{flag}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_asks_as_well_and_a_deleted_workload_leaves_no_canary() {
    let stage = stage(&[]);
    let mut object = asking(&[("release", "blue-green")]);
    object["kind"] = json!("DaemonSet");
    object["spec"].as_object_mut().unwrap().remove("replicas");
    stage.apply(&[object]);
    let made = |stage: &Stage| spec(stage)["targetRef"]["kind"] == json!("DaemonSet");
    assert!(until(&stage, made).await);
    stage.world.delete("DaemonSet", NAMESPACE, "app").unwrap();
    assert!(until(&stage, |stage| stage.object("Canary", "app").is_none()).await);
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_write_makes_one_canary_all_the_same() {
    for write in 1..=6 {
        let mut stage = stage(&[]);
        let faults = stage.world.faults("slipway");
        faults.at_write(write, slipway_sim::Fault::CrashAfter);
        stage.apply(&[service("app", &http()), asking(&[("release", "canary")])]);
        let world = stage.world.clone();
        tokio::select! {
            () = faults.crashed() => {
                stage.kill();
                stage.start();
            }
            _ = world.eventually(Duration::from_mins(5), |_| false) => {}
        }
        reaches(&stage, Phase::Initialized).await;
        assert_eq!(stage.world.list("Canary", NAMESPACE).len(), 1);
        assert_eq!(spec(&stage)["service"]["targetPort"], json!("http"));
    }
}
