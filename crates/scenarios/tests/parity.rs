//! What Flagger can do beside releasing a Deployment through Istio: every kind of target and scaler, the further options of a Canary.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

const HOUR: Duration = Duration::from_secs(3600);

const ISTIO: [&str; 2] = [
    "-mesh-provider=istio",
    "-metrics-server=http://prometheus:9090",
];

/// A stage on which these objects are initialised, with users who call the apex.
async fn initialised(flags: &[&str], objects: &[Value]) -> Stage {
    let stage = Stage::new(1, flags);
    stage.apply(objects);
    let reached = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(reached, Phase::Initialized, "{:?}", stage.events());
    stage.world.users().call("app.test", 50.0);
    stage
}

/// The end of the release that is under way or about to start.
async fn end(stage: &Stage) -> Phase {
    stage
        .reach(&[Phase::Progressing, Phase::Promoting], HOUR)
        .await;
    stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await
}

fn at<'a>(object: &'a Value, pointer: &str) -> &'a Value {
    object.pointer(pointer).unwrap_or(&Value::Null)
}

fn image(stage: &Stage, kind: &str, name: &str) -> Value {
    let object = stage.object(kind, name).unwrap();
    at(&object, "/spec/template/spec/containers/0/image").clone()
}

/// A `DaemonSet` `app` with this image.
fn daemon_set(image: &str) -> Value {
    let mut object = deployment(image, 1);
    object["kind"] = json!("DaemonSet");
    object["spec"].as_object_mut().unwrap().remove("replicas");
    object
}

/// The same Canary for a target of another kind.
fn of_kind(mut canary: Value, api_version: &str, kind: &str) -> Value {
    canary["spec"]["targetRef"] = json!({"apiVersion": api_version, "kind": kind, "name": "app"});
    canary
}

const STEPS: fn() -> Value = || json!({"stepWeight": 25, "maxWeight": 50});

fn of_daemon_set() -> Value {
    of_kind(canary("istio", &STEPS()), "apps/v1", "DaemonSet")
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_is_promoted_and_scaled_by_its_node_selector_without_a_lost_request() {
    let stage = initialised(&ISTIO, &[daemon_set("app:v1"), of_daemon_set()]).await;
    stage.world.add_node("node-1", &[]);
    let nowhere = "/spec/template/spec/nodeSelector/flagger.app~1scale-to-zero";
    let target = || stage.object("DaemonSet", "app").unwrap();
    assert_eq!(at(&target(), nowhere), "true");
    let user = stage.world.user("user");
    user.set_image("DaemonSet", NAMESPACE, "app", "app:v2")
        .unwrap();
    assert_eq!(end(&stage).await, Phase::Succeeded, "{:?}", stage.events());
    assert_eq!(image(&stage, "DaemonSet", "app-primary"), "app:v2");
    assert_eq!(at(&target(), nowhere), "true");
    let primary = stage.object("DaemonSet", "app-primary").unwrap();
    assert_eq!(at(&primary, nowhere), &Value::Null);
    assert_eq!(at(&primary, "/status/numberAvailable"), 2);
    assert!(
        stage.world.users().report().unanswered() < 1.0,
        "{:?}",
        stage.world.users().losses()
    );
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_that_fails_is_rolled_back_and_has_no_pod_left() {
    let stage = initialised(&ISTIO, &[daemon_set("app:v1"), of_daemon_set()]).await;
    stage.outside.reply(
        "istio_requests_total",
        slipway_scenarios::outside::Reply::Sample(50.0),
    );
    let user = stage.world.user("user");
    user.set_image("DaemonSet", NAMESPACE, "app", "app:v2")
        .unwrap();
    assert_eq!(end(&stage).await, Phase::Failed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(image(&stage, "DaemonSet", "app-primary"), "app:v1");
    let target = stage.object("DaemonSet", "app").unwrap();
    assert_eq!(at(&target, "/status/currentNumberScheduled"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_that_is_updated_by_hand_is_named_and_not_released() {
    let stage = initialised(&ISTIO, &[daemon_set("app:v1"), of_daemon_set()]).await;
    let mut by_hand = daemon_set("app:v2");
    by_hand["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    stage.apply(&[by_hand]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.status().phase, Phase::Initialized);
    let told = stage.events();
    assert!(
        told.iter()
            .any(|text| text.contains("must be RollingUpdate")),
        "{told:?}"
    );
}
