//! Weight without a mesh, made of pods: what users meet, what the objects say, and what it costs.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail")]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::names::APEX_LABEL;
use slipway_api::{Phase, SlipwayStatus};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};
use slipway_scenarios::stage::SLIPWAY;
use slipway_sim::{Behaviour, Object, Verb, Which};

const HOUR: Duration = Duration::from_hours(1);

fn weighted(steps: &str) -> Value {
    let mut object = canary("kubernetes", &json!({"stepWeight": 50}));
    let metadata = object
        .pointer_mut("/metadata")
        .and_then(Value::as_object_mut);
    let annotations = json!({"slipway.dev/step-weights": steps});
    metadata.unwrap().insert("annotations".into(), annotations);
    object
}

/// A Canary of so many pods, initialised, with users at 100 requests a second.
async fn initialised(object: Value, replicas: u32) -> Stage {
    let mut stage = Stage::live(3, &["-metrics-server=http://prometheus:9090"]);
    stage.world.set_propagation(Duration::from_secs(1));
    // They go on serving while proxies learn that they go.
    let healthy = Behaviour::healthy().stops_in(Duration::from_secs(8));
    for image in ["app:v1", "app:v2", "app:v3"] {
        stage.world.script(Which::image(image), healthy.clone());
    }
    let apex = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {"selector": {"app": "app"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    });
    stage.apply(&[deployment("app:v1", replicas), apex]);
    stage.world.users().call("app.test", 100.0);
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.world.users().begin_anew();
    stage.apply(&[object]);
    stage.start();
    let phase = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(phase, Phase::Initialized);
    tokio::time::sleep(Duration::from_secs(30)).await;
    stage
}

async fn until(stage: &Stage, what: &str, holds: impl Fn(&Stage) -> bool) {
    let held = stage.world.eventually(HOUR, |_| holds(stage)).await;
    assert!(held, "{what}: {:#?}", stage.status());
}

async fn at_weight(stage: &Stage, weight: i64) {
    until(stage, "the weight", |stage| {
        stage.status().canary_weight == weight
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
}

fn push(stage: &Stage, image: &str) {
    stage.world.set_image(NAMESPACE, "app", image).unwrap();
}

fn slipway(stage: &Stage) -> SlipwayStatus {
    stage.status().slipway.unwrap_or_default()
}

/// Percent of the apex' endpoints that run this image.
fn share(stage: &Stage, image: &str) -> f64 {
    let shares = stage.world.plane("app.test").shares();
    let of = shares
        .iter()
        .filter(|(revision, _)| revision.image == image);
    (of.map(|(_, share)| share).sum::<f64>() * 1000.0).round() / 10.0
}

fn selector(stage: &Stage) -> Value {
    let apex = stage.object("Service", "app").unwrap();
    apex.pointer("/spec/selector").cloned().unwrap()
}

fn pods(stage: &Stage, app: &str) -> Vec<String> {
    let all = stage.world.list("Pod", NAMESPACE);
    let fitting = all.iter().filter(|pod| label(pod, "app") == app);
    fitting.map(|pod| pod.name().to_owned()).collect()
}

fn label(pod: &Object, name: &str) -> String {
    let labels = pod.pointer("/metadata/labels");
    let value = labels.and_then(|labels| labels.get(name)?.as_str());
    value.unwrap_or_default().to_owned()
}

fn carriers(stage: &Stage, app: &str) -> usize {
    let all = stage.world.list("Pod", NAMESPACE);
    let carries =
        |pod: &&std::sync::Arc<Object>| label(pod, "app") == app && label(pod, APEX_LABEL) == "app";
    all.iter().filter(carries).count()
}

#[tokio::test(start_paused = true)]
async fn users_meet_as_much_of_the_canary_as_pods_can_make_and_lose_nothing() {
    let stage = initialised(weighted("20,60"), 4).await;
    push(&stage, "app:v2");
    at_weight(&stage, 20).await;
    assert!((share(&stage, "app:v2") - 20.0).abs() < 0.1);
    assert_eq!(slipway(&stage).routed_weight, None);
    at_weight(&stage, 60).await;
    assert!((share(&stage, "app:v2") - 50.0).abs() < 0.1);
    assert_eq!(slipway(&stage).routed_weight, Some(50));
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    assert!((share(&stage, "app:v2") - 100.0).abs() < 0.1);
    assert_eq!(selector(&stage), json!({"app": "app-primary"}));
    assert!(stage.world.users().report().failed() < 0.001);
    let target = stage.object("Deployment", "app").unwrap();
    assert!(
        !target.to_string().contains(APEX_LABEL),
        "never on the user's template"
    );
}

#[tokio::test(start_paused = true)]
async fn a_weight_out_of_reach_is_said_and_a_release_without_users_is_not_promoted() {
    let stage = initialised(weighted("1,5"), 2).await;
    push(&stage, "app:v2");
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Failed, "{:#?}", stage.events());
    let told = stage.events();
    assert!(
        told.iter().any(|text| text.contains("needs 99 ready pods")),
        "{told:#?}"
    );
    let reason = slipway(&stage).reason.unwrap();
    assert!(reason.contains("needs 19 ready pods"), "{reason}");
    assert!((share(&stage, "app:v1") - 100.0).abs() < 0.1);
}

/// A primary of blue/green is given weights: nothing of it is rolled for that.
#[tokio::test(start_paused = true)]
async fn a_primary_from_before_the_weights_serves_on_with_the_same_pods() {
    let stage = initialised(canary("kubernetes", &json!({"stepWeight": 20})), 4).await;
    let before = pods(&stage, "app-primary");
    let tuned = json!({"metadata": {"annotations": {"slipway.dev/step-weights": "20,60"}}});
    stage
        .world
        .patch("Canary", NAMESPACE, "app", &tuned)
        .unwrap();
    push(&stage, "app:v2");
    at_weight(&stage, 20).await;
    assert!((share(&stage, "app:v2") - 20.0).abs() < 0.1);
    assert_eq!(pods(&stage, "app-primary"), before);
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    assert!(stage.world.users().report().failed() < 0.001);
    let primary = stage.object("Deployment", "app-primary").unwrap();
    let labels = primary.pointer("/spec/template/metadata/labels").unwrap();
    assert_eq!(labels.get(APEX_LABEL), Some(&json!("app")));
}

#[tokio::test(start_paused = true)]
async fn with_the_controller_down_nothing_grows() {
    let mut stage = initialised(weighted("20,60"), 4).await;
    push(&stage, "app:v2");
    at_weight(&stage, 20).await;
    stage.kill();
    let more = json!({"spec": {"replicas": 12}});
    stage
        .world
        .patch("deployment", NAMESPACE, "app", &more)
        .unwrap();
    push(&stage, "app:v3");
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(share(&stage, "app:v2") + share(&stage, "app:v3") <= 20.1);
    stage
        .world
        .kill_pods(NAMESPACE, |pod| label(pod, "app") == "app");
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!((share(&stage, "app:v1") - 100.0).abs() < 0.1);
    stage.start();
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    assert!((share(&stage, "app:v3") - 100.0).abs() < 0.1);
}

/// Half of the primary goes under traffic: the share of the canary is what it was asked for within a watch delivery.
#[tokio::test(start_paused = true)]
async fn the_share_follows_when_the_primary_loses_pods() {
    let stage = initialised(weighted("20,60"), 4).await;
    push(&stage, "app:v2");
    at_weight(&stage, 20).await;
    let lost: Vec<String> = pods(&stage, "app-primary").into_iter().take(2).collect();
    let broken = stage
        .world
        .break_pods(NAMESPACE, move |pod| lost.contains(&pod.name().to_owned()));
    assert_eq!(broken, 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        share(&stage, "app:v2") < 0.1,
        "one of three would be a third"
    );
    stage.world.mend_pods();
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
}

#[tokio::test(start_paused = true)]
async fn taking_the_annotation_away_midway_goes_back_to_blue_green() {
    let stage = initialised(weighted("20,60"), 4).await;
    push(&stage, "app:v2");
    at_weight(&stage, 20).await;
    let gone = json!({"metadata": {"annotations": {"slipway.dev/step-weights": null}}});
    stage
        .world
        .patch("Canary", NAMESPACE, "app", &gone)
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(selector(&stage), json!({"app": "app-primary"}));
    assert!((share(&stage, "app:v1") - 100.0).abs() < 0.1);
}

#[tokio::test(start_paused = true)]
async fn deleting_the_canary_midway_gives_the_apex_and_the_pods_back() {
    let stage = initialised(weighted("20,60"), 4).await;
    push(&stage, "app:v2");
    at_weight(&stage, 60).await;
    stage.world.delete("canary", NAMESPACE, "app").unwrap();
    until(&stage, "gone", |stage| {
        stage.object("Canary", "app").is_none()
    })
    .await;
    assert_eq!(selector(&stage), json!({"app": "app"}));
    assert_eq!(carriers(&stage, "app"), 0);
    assert!(stage.world.users().report().failed() < 0.001);
}

/// P9: pods are watched from the first release on, and cost no request at rest.
#[tokio::test(start_paused = true)]
async fn pods_cost_nothing_at_rest() {
    for object in [
        canary("kubernetes", &json!({"stepWeight": 20})),
        weighted("20,60"),
    ] {
        let stage = initialised(object, 4).await;
        let asked = stage.world.faults(SLIPWAY).asked();
        tokio::time::sleep(HOUR).await;
        let later = stage.world.faults(SLIPWAY).asked();
        let at_rest = later.iter().skip(asked.len());
        let requests: Vec<_> = at_rest
            .filter(|asked| asked.verb != Verb::Watch && asked.resource != "leases")
            .collect();
        assert!(requests.is_empty(), "{requests:#?}");
    }
}
