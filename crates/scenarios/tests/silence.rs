//! Metrics that say nothing, and a Canary that is deleted without being given back, with the real controller.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail")]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};
use slipway_scenarios::outside::Reply;

const HOUR: Duration = Duration::from_hours(1);

/// A Canary by 20, 40, 60 with one annotation, initialised.
async fn initialised(annotation: &str, value: &str) -> Stage {
    let flags = [
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus:9090",
    ];
    let stage = Stage::new(3, &flags);
    let mut canary = canary("istio", &json!({"stepWeight": 20, "maxWeight": 60}));
    let pair = json!({ format!("slipway.dev/{annotation}"): value });
    *canary.pointer_mut("/metadata").unwrap() =
        json!({"name": "app", "namespace": NAMESPACE, "annotations": pair});
    stage.apply(&[deployment("app:v1", 2), canary]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
    stage
}

fn waits_for(stage: &Stage) -> String {
    let waiting = stage.status().slipway.unwrap_or_default().waiting;
    waiting.map(|waiting| waiting.for_).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn fc_061_a_release_outlives_an_outage_of_prometheus_and_a_restart_in_it() {
    let mut stage = initialised("on-provider-error", "hold").await;
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let has_weight = |stage: &Stage| stage.status().canary_weight == 20;
    stage.world.eventually(HOUR, |_| has_weight(&stage)).await;
    let down = Reply::Status(503, "down".to_owned());
    stage.outside.reply("prometheus", down);
    tokio::time::sleep(HOUR).await;
    stage.kill();
    stage.start();
    tokio::time::sleep(HOUR).await;
    let status = stage.status();
    assert_eq!(status.phase, Phase::Progressing, "{:#?}", stage.events());
    assert_eq!((status.canary_weight, status.failed_checks), (20, 0));
    let what = waits_for(&stage);
    assert!(what.ends_with(" to be measured"), "{what}");
    let told = stage.events();
    let told = told.iter().filter(|text| text.contains(&what));
    assert_eq!(told.count(), 1, "{:#?}", stage.events());
    stage.outside.reply("prometheus", Reply::Sample(100.0));
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
}

#[tokio::test(start_paused = true)]
async fn an_orphaned_canary_goes_at_once_and_leaves_the_target_as_it_is() {
    let stage = initialised("on-delete", "orphan").await;
    let canary = stage.object("Canary", "app").unwrap();
    assert_eq!(canary.pointer("/metadata/finalizers"), None);
    stage.world.delete("Canary", NAMESPACE, "app").unwrap();
    tokio::time::sleep(HOUR).await;
    assert_eq!(stage.object("Canary", "app"), None);
    let target: Value = stage.object("Deployment", "app").unwrap();
    assert_eq!(target.pointer("/spec/replicas"), Some(&json!(0)));
}
