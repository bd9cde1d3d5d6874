//! Releases that go well.

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn a_healthy_canary_is_promoted_step_by_step() {
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
    let begun = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(begun, Phase::Initialized);
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    let primary: Value = stage.object("Deployment", "app-primary").unwrap();
    let image = primary.pointer("/spec/template/spec/containers/0/image");
    assert_eq!(image, Some(&json!("app:v2")));
    let target = stage.object("Deployment", "app").unwrap();
    assert_eq!(target.pointer("/spec/replicas"), Some(&json!(0)));
}
