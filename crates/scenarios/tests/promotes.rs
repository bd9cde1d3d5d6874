//! Releases that go well.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_healthy_canary_is_promoted_step_by_step() {
    tracing_subscriber::fmt()
        .with_env_filter("slipway_controller=debug")
        .with_test_writer()
        .try_init()
        .ok();
    let stage = Stage::new(
        1,
        &[
            "-mesh-provider=istio",
            "-metrics-server=http://prometheus:9090",
        ],
    );
    stage.apply(&[
        deployment("app:v1", 2),
        canary("istio", &json!({"stepWeight": 20, "maxWeight": 60})),
    ]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let before = stage.world.faults("slipway").asked().len();
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    eprintln!("{}", serde_json::to_string_pretty(&stage.status()).unwrap());
    for event in stage.events() {
        eprintln!("EVENT {event}");
    }
    assert_eq!(end, Phase::Succeeded);
    let primary: Value = stage.object("Deployment", "app-primary").unwrap();
    assert_eq!(
        primary.pointer("/spec/template/spec/containers/0/image"),
        Some(&json!("app:v2"))
    );
    assert_eq!(
        stage
            .object("Deployment", "app")
            .unwrap()
            .pointer("/spec/replicas"),
        Some(&json!(0))
    );
}
