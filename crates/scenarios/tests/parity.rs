//! What Flagger can do beside releasing a Deployment through Istio: every kind of target and scaler, the further options of a Canary.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

const HOUR: Duration = Duration::from_hours(1);

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
    tokio::time::sleep(Duration::from_mins(1)).await;
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
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(stage.status().phase, Phase::Initialized);
    let told = stage.events();
    assert!(
        told.iter()
            .any(|text| text.contains("must be RollingUpdate")),
        "{told:?}"
    );
}

/// Two Deployments `web-v1` and `web-v2`, and a Service `app` that leads to one of them.
fn service(version: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {"selector": {"app": version}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    })
}

fn web(version: &str, image: &str) -> Value {
    let mut object = deployment(image, 2);
    object["metadata"]["name"] = json!(version);
    object["spec"]["selector"] = json!({"matchLabels": {"app": version}});
    object["spec"]["template"]["metadata"]["labels"] = json!({"app": version});
    object
}

fn leads_to(stage: &Stage, name: &str) -> Value {
    let service = stage.object("Service", name).unwrap();
    at(&service, "/spec/selector/app").clone()
}

fn of_service() -> Vec<Value> {
    vec![
        web("web-v1", "app:v1"),
        web("web-v2", "app:v2"),
        service("web-v1"),
        of_kind(canary("istio", &STEPS()), "v1", "Service"),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_service_is_promoted_by_where_it_leads_without_a_lost_request() {
    let stage = initialised(&ISTIO, &of_service()).await;
    assert_eq!(leads_to(&stage, "app-primary"), "web-v1");
    stage.apply(&[service("web-v2")]);
    stage.reach(&[Phase::Progressing], HOUR).await;
    assert_eq!(
        leads_to(&stage, "app-primary"),
        "web-v1",
        "nobody judged it yet"
    );
    assert_eq!(leads_to(&stage, "app-canary"), "web-v2");
    assert_eq!(end(&stage).await, Phase::Succeeded, "{:?}", stage.events());
    assert_eq!(leads_to(&stage, "app-primary"), "web-v2");
    let report = stage.world.users().report();
    assert!(
        report.unanswered() < 1.0,
        "{:?}",
        stage.world.users().losses()
    );
    assert!(report.of_workload(NAMESPACE, "web-v2").ok > 0.0);
}

#[tokio::test(start_paused = true)]
async fn p2_a_service_that_leads_to_nobody_gets_no_traffic() {
    let stage = initialised(&ISTIO, &of_service()).await;
    stage.apply(&[service("nobody")]);
    assert_eq!(end(&stage).await, Phase::Failed, "{:?}", stage.events());
    assert_eq!(leads_to(&stage, "app-primary"), "web-v1");
    assert!(
        stage.world.users().report().unanswered() < 1.0,
        "{:?}",
        stage.world.users().losses()
    );
}

fn scaled_object() -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"name": "app"}, "minReplicaCount": 2, "maxReplicaCount": 4,
            "triggers": [{"type": "prometheus", "metadata": {"query": "sum(rate(requests{svc=\"app-canary\"}[1m]))"}}],
        },
    })
}

fn scaled_canary(kind: &str, api_version: &str) -> Value {
    let mut canary = canary("istio", &STEPS());
    canary["spec"]["autoscalerRef"] = json!({
        "apiVersion": api_version, "kind": kind, "name": "app",
        "primaryScalerReplicas": {"minReplicas": 3, "maxReplicas": 6},
    });
    canary
}

fn replicas(stage: &Stage, name: &str) -> Value {
    let object = stage.object("Deployment", name).unwrap();
    at(&object, "/spec/replicas").clone()
}

#[tokio::test(start_paused = true)]
async fn fc_076_a_paused_scaled_object_pauses_the_target_and_never_the_primary() {
    let mut paused = scaled_object();
    paused["metadata"]["annotations"] = json!({"autoscaling.keda.sh/paused-replicas": "2"});
    let objects = [
        deployment("app:v1", 2),
        paused,
        scaled_canary("ScaledObject", "keda.sh/v1alpha1"),
    ];
    let stage = initialised(&ISTIO, &objects).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let mark = "/metadata/annotations/autoscaling.keda.sh~1paused-replicas";
    let of = |name: &str| stage.object("ScaledObject", name).unwrap();
    assert_eq!(at(&of("app"), mark), "0");
    assert_eq!(at(&of("app-primary"), mark), &Value::Null);
    assert_eq!(at(&of("app-primary"), "/spec/minReplicaCount"), 3);
    assert_eq!(
        (replicas(&stage, "app"), replicas(&stage, "app-primary")),
        (json!(0), json!(3))
    );
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    stage.reach(&[Phase::Progressing], HOUR).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        at(&of("app"), mark),
        &Value::Null,
        "the canary may be scaled"
    );
    assert_eq!(replicas(&stage, "app"), 2);
    assert_eq!(end(&stage).await, Phase::Succeeded, "{:?}", stage.events());
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(at(&of("app"), mark), "0");
    assert_eq!(
        (replicas(&stage, "app"), replicas(&stage, "app-primary")),
        (json!(0), json!(3))
    );
    assert!(
        stage.world.users().report().unanswered() < 1.0,
        "{:?}",
        stage.world.users().losses()
    );
}

#[tokio::test(start_paused = true)]
async fn without_keda_the_missing_kind_is_named_and_the_release_goes_on_when_it_comes() {
    let stage = Stage::new(1, &ISTIO);
    stage.world.uninstall("scaledobjects.keda.sh");
    stage.apply(&[
        deployment("app:v1", 2),
        scaled_canary("ScaledObject", "keda.sh/v1alpha1"),
    ]);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let told = stage.events();
    assert!(
        told.iter()
            .any(|text| text.contains("scaledobjects of keda.sh/v1alpha1 cannot be had")),
        "{told:?}"
    );
    assert!(stage.object("Deployment", "app-primary").is_none());
    stage.world.install("scaledobjects.keda.sh");
    stage.apply(&[scaled_object()]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
}

#[tokio::test(start_paused = true)]
async fn the_primarys_autoscaler_has_the_bounds_that_the_canary_gives_it() {
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}, "minReplicas": 2, "maxReplicas": 4},
    });
    let objects = [
        deployment("app:v1", 2),
        scaler,
        scaled_canary("HorizontalPodAutoscaler", "autoscaling/v2"),
    ];
    let stage = initialised(&ISTIO, &objects).await;
    let primary = stage
        .object("HorizontalPodAutoscaler", "app-primary")
        .unwrap();
    assert_eq!(at(&primary, "/spec/minReplicas"), 3);
    assert_eq!(at(&primary, "/spec/maxReplicas"), 6);
    assert_eq!(at(&primary, "/spec/scaleTargetRef/name"), "app-primary");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(replicas(&stage, "app-primary"), 3);
}

fn sticky(analysis: Value) -> Value {
    let mut analysis = analysis;
    analysis["sessionAffinity"] = json!({"cookieName": "fc", "primaryCookieName": "pc"});
    analysis
}

/// What users with that cookie are answered by, within ten seconds.
async fn answered(stage: &Stage, cookie: &str) -> (f64, f64) {
    let users = stage.world.users();
    users.call("app.test", 0.0);
    let visit = slipway_sim::Visit::default().header("Cookie", &format!("a=b; {cookie}; c=d"));
    users.call_as("app.test", 10.0, visit.clone());
    users.begin_anew();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let report = users.report();
    assert!(report.unanswered() < 1.0, "{:?}", users.losses());
    users.call_as("app.test", 0.0, visit);
    users.call("app.test", 50.0);
    let of = |workload: &str| report.of_workload(NAMESPACE, workload).ok;
    (of("app-primary"), of("app"))
}

#[tokio::test(start_paused = true)]
async fn fc_022_users_stay_on_the_side_they_met_through_a_crash_and_never_meet_a_canary_that_is_gone()
 {
    let analysis = sticky(json!({"stepWeight": 25, "maxWeight": 50, "interval": "60s"}));
    let objects = [deployment("app:v1", 2), canary("istio", &analysis)];
    let mut stage = initialised(&ISTIO, &objects).await;
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    stage
        .world
        .eventually(HOUR, |_| stage.status().canary_weight == 25)
        .await;
    let cookies = |stage: &Stage| {
        let status = stage.status();
        let known = (
            status.session_affinity_cookie,
            status.primary_session_affinity_cookie,
        );
        (known.0.unwrap(), known.1.unwrap())
    };
    let (of_canary, of_primary) = cookies(&stage);
    stage.kill();
    stage.start();
    let (primary, canary) = answered(&stage, &of_canary).await;
    assert!(primary < 1.0 && canary > 50.0, "{primary} {canary}");
    let (primary, canary) = answered(&stage, &of_primary).await;
    assert!(primary > 50.0 && canary < 1.0, "{primary} {canary}");
    assert_eq!(cookies(&stage), (of_canary.clone(), of_primary));

    stage.outside.reply(
        "istio_requests_total",
        slipway_scenarios::outside::Reply::Sample(50.0),
    );
    let ended = stage.reach(&[Phase::Failed], HOUR).await;
    assert_eq!(ended, Phase::Failed, "{:?}", stage.events());
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(replicas(&stage, "app"), 0);
    let (primary, canary) = answered(&stage, &of_canary).await;
    assert!(primary > 50.0 && canary < 1.0, "{primary} {canary}");
    let route = stage.object("VirtualService", "app").unwrap();
    let told = at(&route, "/spec/http/0/headers/response/add/Set-Cookie");
    assert_eq!(told, &json!(format!("{of_canary}; Max-Age=-1")));
    let status = stage.status();
    assert_eq!(status.session_affinity_cookie, None);
    assert_eq!(status.previous_session_affinity_cookie, Some(of_canary));
}

#[tokio::test(start_paused = true)]
async fn session_affinity_is_refused_by_name_where_routes_have_no_cookies() {
    let stage = Stage::new(1, &["-mesh-provider=linkerd"]);
    let canary = canary("linkerd", &sticky(STEPS()));
    stage.apply(&[deployment("app:v1", 2), canary]);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let told = stage.events();
    let expected = "spec.analysis.sessionAffinity is fc, must be absent: a TrafficSplit cannot tell users apart";
    assert!(told.iter().any(|text| text.contains(expected)), "{told:?}");
}
