//! Who is told, how often, and what is said of those who cannot be.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};
use slipway_scenarios::outside::Reply;

const HOUR: Duration = Duration::from_hours(1);
/// Long enough for what is repeated to be seen.
const LATER: Duration = Duration::from_mins(10);
const FLAGS: [&str; 2] = [
    "-mesh-provider=istio",
    "-metrics-server=http://prometheus:9090",
];

/// A Canary by 20, 60 whose alerts go to a receiver of plain JSON, and whose events to a hook; with this analysis besides.
fn told_to_all(analysis: &Value) -> Vec<Value> {
    let mut object = canary("istio", &json!({"stepWeights": [20, 60]}));
    let into = object.pointer_mut("/spec/analysis").unwrap();
    let into = into.as_object_mut().unwrap();
    let alerts =
        json!([{"name": "on-call", "severity": "info", "providerRef": {"name": "on-call"}}]);
    into.insert("alerts".to_owned(), alerts);
    let hooks = json!([{"name": "log", "type": "event", "url": "http://events.hooks/"}]);
    into.insert("webhooks".to_owned(), hooks);
    into.extend(analysis.as_object().unwrap().clone());
    vec![deployment("app:v1", 2), receiver(), object]
}

fn receiver() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider",
        "metadata": {"name": "on-call", "namespace": NAMESPACE},
        "spec": {"type": "webhook", "address": "http://alerts.hooks/"},
    })
}

async fn initialised(objects: &[Value]) -> Stage {
    let stage = Stage::new(29, &FLAGS);
    stage.apply(objects);
    let reached = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(reached, Phase::Initialized, "{:?}", stage.events());
    stage
}

/// The alerts so far: severity and text.
fn alerts(stage: &Stage) -> Vec<(String, String)> {
    let came = stage.outside.came();
    let of_receiver = came.iter().filter(|came| came.url.contains("alerts.hooks"));
    let read = |body: &str| {
        let body: Value = serde_json::from_str(body).unwrap();
        let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap().to_owned();
        assert_eq!(
            (text("source"), text("name")),
            ("slipway".into(), "app".into())
        );
        (text("severity"), text("text"))
    };
    of_receiver.map(|came| read(&came.body)).collect()
}

fn of_severity(stage: &Stage, wanted: &[&str]) -> Vec<String> {
    let all = alerts(stage).into_iter();
    let wanted = all.filter(|(severity, _)| wanted.contains(&severity.as_str()));
    wanted.map(|(_, text)| text).collect()
}

fn push(stage: &Stage) {
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
}

fn annotate(stage: &Stage, key: &str, value: &str) {
    let patch = json!({"metadata": {"annotations": {format!("slipway.dev/{key}"): value}}});
    stage
        .world
        .patch("Canary", NAMESPACE, "app", &patch)
        .unwrap();
}

fn approve(stage: &Stage) {
    let slipway = stage.status().slipway.unwrap();
    let at = stage.world.now().to_rfc3339();
    let revision = slipway.pending_revision.unwrap();
    annotate(
        stage,
        "action-approve",
        &format!("revision={revision} by=ada at={at}"),
    );
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A release that fails, and the one alert that says so: after a while there is no other.
async fn fails(stage: &Stage, text: &str) {
    assert_eq!(
        stage.reach(&[Phase::Failed], HOUR).await,
        Phase::Failed,
        "{:?}",
        stage.events()
    );
    pass(LATER).await;
    let told = of_severity(stage, &["error", "warn"]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told.iter().all(|told| told.contains(text)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn fc_101_every_way_to_fail_is_alerted_once_with_its_reason() {
    let stage = initialised(&told_to_all(&json!({}))).await;
    stage
        .outside
        .reply("istio_requests_total", Reply::Sample(10.0));
    push(&stage);
    fails(&stage, "Failed checks threshold reached 2").await;

    let tests = json!([{"name": "tests", "type": "pre-rollout", "url": "http://tests.hooks/"}]);
    let stage = initialised(&told_to_all(&json!({"webhooks": tests}))).await;
    stage
        .outside
        .reply("tests.hooks", Reply::Status(500, "no".to_owned()));
    push(&stage);
    fails(&stage, "Failed checks threshold reached 2").await;

    let stage = initialised(&told_to_all(&json!({}))).await;
    let image = slipway_sim::Which::image("app:v2");
    stage
        .world
        .script(image, slipway_sim::Behaviour::healthy().never_ready());
    push(&stage);
    fails(&stage, "Progress deadline exceeded").await;

    let back = json!([{"name": "back", "type": "rollback", "url": "http://back.hooks/"}]);
    let stage = initialised(&told_to_all(&json!({"webhooks": back}))).await;
    push(&stage);
    fails(&stage, "Rolling back manual webhook invoked").await;

    let stage = initialised(&told_to_all(&json!({}))).await;
    push(&stage);
    stage.reach(&[Phase::Progressing], HOUR).await;
    stage.world.set_image(NAMESPACE, "app", "app:v1").unwrap();
    fails(&stage, "Release cancelled").await;
}

#[tokio::test(start_paused = true)]
async fn fc_101_every_wait_for_a_person_is_alerted_once_unless_it_is_muted() {
    let gates = |muted: bool| {
        let gate = |name: &str, kind: &str| json!({"name": name, "type": kind, "url": format!("http://{name}.hooks/"), "muteAlert": muted});
        json!({"webhooks": [
            gate("start", "confirm-rollout"),
            gate("more", "confirm-traffic-increase"),
            gate("end", "confirm-promotion"),
        ]})
    };
    for muted in [false, true] {
        let stage = initialised(&told_to_all(&gates(muted))).await;
        annotate(&stage, "approve", "rollout");
        for gate in ["start.hooks", "more.hooks", "end.hooks"] {
            stage
                .outside
                .reply(gate, Reply::Status(403, "closed".to_owned()));
        }
        push(&stage);
        pass(LATER).await;
        let of_person = ["Canary is waiting for approval."];
        assert_eq!(of_severity(&stage, &["warn"]), of_person, "muted: {muted}");
        approve(&stage);
        let mut expected = of_person.map(str::to_owned).to_vec();
        for (gate, text) in [
            ("start.hooks", "Canary is waiting for approval."),
            (
                "more.hooks",
                "Canary traffic increase is waiting for approval.",
            ),
            ("end.hooks", "Canary promotion is waiting for approval."),
        ] {
            pass(LATER).await;
            if !muted {
                expected.push(text.to_owned());
            }
            assert_eq!(
                of_severity(&stage, &["warn"]),
                expected,
                "{gate}, muted: {muted}"
            );
            stage
                .outside
                .reply(gate, Reply::Status(200, "open".to_owned()));
        }
        pass(LATER).await;
        assert_eq!(stage.status().phase, Phase::Succeeded);
    }
}

#[tokio::test(start_paused = true)]
async fn fc_101_a_pause_is_alerted_once_each_time() {
    let stage = initialised(&told_to_all(&json!({}))).await;
    push(&stage);
    for round in 1..=2 {
        stage.reach(&[Phase::Progressing], HOUR).await;
        annotate(&stage, "paused", "true");
        pass(LATER).await;
        let text = "Canary is waiting for annotation slipway.dev/paused of Canary app to be false.";
        assert_eq!(of_severity(&stage, &["warn", "error"]), vec![text; round]);
        annotate(&stage, "paused", "false");
        pass(Duration::from_secs(5)).await;
    }
    pass(LATER).await;
    assert_eq!(stage.status().phase, Phase::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn fc_102_what_is_tried_again_is_alerted_once() {
    let stage = initialised(&told_to_all(&json!({}))).await;
    stage
        .outside
        .reply("istio_requests_total", Reply::Sample(10.0));
    // The route cannot be written for a while: the rollback is tried again and again.
    let faults = stage.world.faults("slipway");
    push(&stage);
    stage.reach(&[Phase::Progressing], HOUR).await;
    faults.always(slipway_sim::Fault::Refuse(500), |asked| {
        asked.resource == "virtualservices" && asked.write.is_some()
    });
    stage.reach(&[Phase::Failed], HOUR).await;
    pass(Duration::from_mins(10)).await;
    faults.clear();
    fails(&stage, "Failed checks threshold reached 2").await;
}

#[tokio::test(start_paused = true)]
async fn every_event_goes_to_the_event_hook_once_in_its_order() {
    let stage = initialised(&told_to_all(&json!({}))).await;
    push(&stage);
    assert_eq!(
        stage.reach(&[Phase::Succeeded], HOUR).await,
        Phase::Succeeded
    );
    pass(LATER).await;
    let came = stage.outside.came();
    let of_hook = came.iter().filter(|came| came.url.contains("events.hooks"));
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for came in of_hook {
        let body: Value = serde_json::from_str(&came.body).unwrap();
        let text = body
            .pointer("/metadata/eventMessage")
            .and_then(Value::as_str);
        *told.entry(text.unwrap().to_owned()).or_default() += 1;
    }
    let mut written: BTreeMap<String, usize> = BTreeMap::new();
    for text in stage.events() {
        *written.entry(text).or_default() += 1;
    }
    assert_eq!(told, written);
}

#[tokio::test(start_paused = true)]
async fn fc_038_an_alert_provider_that_is_missing_is_said_and_holds_nothing() {
    let said = |stage: &Stage| {
        let conditions = stage.status().conditions;
        let found = conditions
            .into_iter()
            .find(|it| it.type_ == "SpecNotHeeded");
        found.map(|found| found.message)
    };
    let mut objects = told_to_all(&json!({}));
    objects.retain(|object| object.pointer("/kind") != Some(&json!("AlertProvider")));
    let stage = initialised(&objects).await;
    let missing = "spec.analysis.alerts[0].providerRef.name is on-call, but there is no AlertProvider test/on-call: these alerts are not sent";
    assert_eq!(said(&stage).as_deref(), Some(missing));
    let times = |text: &str| stage.events().iter().filter(|it| *it == text).count();
    assert_eq!(times(missing), 1);
    let mut provider = receiver();
    provider.pointer_mut("/spec").unwrap().take();
    *provider.pointer_mut("/spec").unwrap() =
        json!({"type": "webhook", "secretRef": {"name": "on-call"}});
    stage.apply(&[provider]);
    pass(Duration::from_secs(1)).await;
    let no_secret = "AlertProvider test/on-call: spec.secretRef.name is on-call, but there is no Secret test/on-call";
    assert_eq!(said(&stage).as_deref(), Some(no_secret));
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "on-call", "namespace": NAMESPACE},
        "data": {"address": "aHR0cDovL2FsZXJ0cy5ob29rcy8="},
    });
    stage.apply(&[secret]);
    pass(Duration::from_secs(1)).await;
    assert_eq!(said(&stage), None);
    push(&stage);
    assert_eq!(
        stage.reach(&[Phase::Succeeded], HOUR).await,
        Phase::Succeeded
    );
    pass(LATER).await;
    assert!(!alerts(&stage).is_empty());
}
