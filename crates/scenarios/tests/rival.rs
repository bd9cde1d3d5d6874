//! A Flagger that comes back while Slipway works: Slipway stands by, for that Canary.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test may fail as the test does"
)]

use std::time::Duration;

use serde_json::json;
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

async fn at_rest() -> Stage {
    let stage = Stage::new(11, &["-mesh-provider=istio"]);
    let steps = json!({"stepWeight": 20, "maxWeight": 60});
    stage.apply(&[deployment("app:v1", 2), canary("istio", &steps)]);
    let reached = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(reached, Phase::Initialized);
    stage
}

/// What Flagger writes with each check: a whole status, and it knows nothing of ours.
fn flagger_writes(stage: &Stage, weight: u32) {
    let status =
        json!({"status": {"phase": "Progressing", "canaryWeight": weight, "slipway": null}});
    let flagger = stage.world.user("flagger");
    flagger
        .patch_status("Canary", NAMESPACE, "app", &status)
        .unwrap();
}

fn written(stage: &Stage) -> u64 {
    let own = stage.world.faults("slipway").asked();
    let own = own.iter().filter(|it| it.verb.is_write());
    own.filter(|it| !it.path.contains("leases") && !it.path.ends_with("/events"))
        .count()
        .try_into()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn while_a_flagger_writes_slipway_stands_by_and_says_so_once() {
    let stage = at_rest().await;
    let before = written(&stage);
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    for weight in [0, 10, 20, 30] {
        flagger_writes(&stage, weight);
        tokio::time::sleep(5 * MINUTE).await;
    }
    // The change of the image came before the first of them: what was written between the two is Slipway's own.
    let late = written(&stage);
    flagger_writes(&stage, 40);
    tokio::time::sleep(9 * MINUTE).await;
    assert_eq!(written(&stage), late, "Slipway wrote beside a Flagger");
    assert_eq!(stage.status().canary_weight, 40);
    assert!(late <= before + 1, "Slipway wrote {} times", late - before);
    let told = stage.events();
    let told = told.iter().filter(|it| it.starts_with("A live Flagger"));
    assert_eq!(told.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn once_the_flagger_is_silent_slipway_takes_over() {
    let stage = at_rest().await;
    flagger_writes(&stage, 0);
    tokio::time::sleep(5 * MINUTE).await;
    assert!(stage.status().slipway.is_none());
    let reached = stage
        .world
        .eventually(HOUR, |_| stage.status().slipway.is_some())
        .await;
    assert!(reached, "never taken over");
}

#[tokio::test(start_paused = true)]
async fn what_flagger_wrote_before_the_start_is_taken_over_at_once() {
    let mut stage = at_rest().await;
    stage.stop().await;
    let status = json!({"status": {"slipway": null}});
    let flagger = stage.world.user("flagger");
    flagger
        .patch_status("Canary", NAMESPACE, "app", &status)
        .unwrap();
    tokio::time::sleep(MINUTE).await;
    stage.start();
    let reached = stage
        .world
        .eventually(MINUTE, |_| stage.status().slipway.is_some())
        .await;
    assert!(reached, "not taken over");
}
