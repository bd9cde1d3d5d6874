//! How many pods a side has before it gets traffic, with the real controller.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

const HOUR: Duration = Duration::from_hours(1);

/// A Canary with this size and an autoscaler of 2 to 9 pods, initialised, its primary scaled to 6 by the load of the day.
async fn at_its_peak(size: &str) -> Stage {
    let flags = [
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus:9090",
    ];
    let stage = Stage::new(5, &flags);
    let mut canary = canary("istio", &json!({"stepWeight": 20, "maxWeight": 60}));
    *canary.pointer_mut("/metadata").unwrap() = json!({
        "name": "app", "namespace": NAMESPACE, "annotations": {"slipway.dev/canary-replicas": size},
    });
    canary["spec"]["autoscalerRef"] =
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "app"});
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}, "minReplicas": 2, "maxReplicas": 9,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
        },
    });
    stage.apply(&[deployment("app:v1", 2), scaler, canary]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
    stage.world.set_autoscaler(NAMESPACE, "app-primary", 6);
    let is_scaled = |stage: &Stage| ready(stage, "app-primary") == 6;
    assert!(stage.world.eventually(HOUR, |_| is_scaled(&stage)).await);
    stage
}

fn ready(stage: &Stage, name: &str) -> i64 {
    let object: Value = stage.object("Deployment", name).unwrap();
    let ready = object.pointer("/status/readyReplicas");
    ready.and_then(Value::as_i64).unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn fc_080_at_its_peak_the_canary_has_the_size_that_was_asked_for_before_it_gets_traffic() {
    for (size, expected) in [("min", 2), ("50%", 3), ("match-primary", 6)] {
        let stage = at_its_peak(size).await;
        stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
        let has_weight = |stage: &Stage| stage.status().canary_weight == 20;
        assert!(stage.world.eventually(HOUR, |_| has_weight(&stage)).await);
        assert_eq!(ready(&stage, "app"), expected, "{size}");
        let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
        assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
        assert_eq!(ready(&stage, "app-primary"), 6, "{size}");
    }
}

/// What the primary's scaler goes down to, and whether it says that it is held.
fn least_of_primary(stage: &Stage) -> (i64, bool) {
    let scaler = stage.object("HorizontalPodAutoscaler", "app-primary");
    let scaler: Value = scaler.unwrap();
    let least = scaler["spec"]["minReplicas"].as_i64().unwrap();
    let note = &scaler["metadata"]["annotations"]["slipway.dev/held-least"];
    (least, !note.is_null())
}

/// A release whose canary has most of the traffic, so that the primary's scaler would let its pods go.
async fn with_most_of_the_traffic() -> Stage {
    let stage = at_its_peak("min").await;
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let has_weight = |stage: &Stage| stage.status().canary_weight == 40;
    assert!(stage.world.eventually(HOUR, |_| has_weight(&stage)).await);
    stage.world.set_autoscaler(NAMESPACE, "app-primary", 2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ready(&stage, "app-primary"), 6);
    assert_eq!(least_of_primary(&stage), (6, true));
    stage
}

/// The primary had all its pods whenever traffic was on its way back, and its scaler says in the end what it said.
async fn expect_held_until(stage: &Stage, end: Phase) {
    loop {
        let phase = stage.status().phase;
        assert_eq!(least_of_primary(stage).0, 6, "{phase:?}");
        if phase == Phase::Failed || phase == Phase::Finalising {
            assert_eq!(ready(stage, "app-primary"), 6, "{phase:?}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let is_let_go = |stage: &Stage| least_of_primary(stage) == (2, false);
    assert!(stage.world.eventually(HOUR, |_| is_let_go(stage)).await);
    let has_shrunk = |stage: &Stage| ready(stage, "app-primary") == 2;
    assert!(stage.world.eventually(HOUR, |_| has_shrunk(stage)).await);
    assert_eq!(stage.status().phase, end, "{:#?}", stage.events());
    assert!(stage.status().slipway.unwrap().held_replicas.is_none());
}

#[tokio::test(start_paused = true)]
async fn fc_012_a_rollback_meets_a_primary_that_has_as_many_pods_as_when_the_release_began() {
    let stage = with_most_of_the_traffic().await;
    stage.outside.reply(
        "istio_requests_total",
        slipway_scenarios::outside::Reply::Sample(50.0),
    );
    expect_held_until(&stage, Phase::Failed).await;
}

#[tokio::test(start_paused = true)]
async fn fc_013_a_promotion_meets_a_primary_that_has_as_many_pods_as_when_the_release_began() {
    for dies in [false, true] {
        let mut stage = with_most_of_the_traffic().await;
        if dies {
            let promotes = |stage: &Stage| stage.status().phase == Phase::Promoting;
            assert!(stage.world.eventually(HOUR, |_| promotes(&stage)).await);
            stage.kill();
            tokio::time::sleep(Duration::from_mins(1)).await;
            assert_eq!(least_of_primary(&stage).0, 6);
            stage.start();
        }
        expect_held_until(&stage, Phase::Succeeded).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_takes_its_traffic_back_has_as_many_pods_as_served_it_before() {
    let stage = at_its_peak("min").await;
    stage.world.delete("Canary", NAMESPACE, "app").unwrap();
    let is_gone = |stage: &Stage| stage.object("Canary", "app").is_none();
    assert!(stage.world.eventually(HOUR, |_| is_gone(&stage)).await);
    assert_eq!(ready(&stage, "app"), 6);
}

#[tokio::test(start_paused = true)]
async fn without_a_scaler_a_share_never_makes_the_primary_smaller() {
    let flags = [
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus:9090",
    ];
    let stage = Stage::new(6, &flags);
    let mut canary = canary("istio", &json!({"stepWeight": 20, "maxWeight": 60}));
    *canary.pointer_mut("/metadata").unwrap() = json!({
        "name": "app", "namespace": NAMESPACE, "annotations": {"slipway.dev/canary-replicas": "50%"},
    });
    stage.apply(&[deployment("app:v1", 4), canary]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let has_weight = |stage: &Stage| stage.status().canary_weight == 20;
    assert!(stage.world.eventually(HOUR, |_| has_weight(&stage)).await);
    assert_eq!(ready(&stage, "app"), 2);
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    assert_eq!(ready(&stage, "app-primary"), 4);
}
