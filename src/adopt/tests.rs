//! `slipway adopt --dry-run` on a simulated cluster that a Flagger has worked on.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_controller::clock::TokioClock;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};
use tower::Layer;

use super::rehearsal::Rehearsed;
use super::{Args, rehearse};
use crate::cluster::Cluster;
use crate::output::Said;

const HOUR: Duration = Duration::from_hours(1);

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// A release at rest that Slipway does not know: what it remembered of it is gone, as if a Flagger had written the status.
async fn left_by_flagger() -> Stage {
    let mut stage = Stage::new(5, &["-mesh-provider=istio"]);
    let steps = json!({"stepWeight": 20, "maxWeight": 60});
    stage.apply(&[deployment("app:v1", 2), canary("istio", &steps)]);
    let reached = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(reached, Phase::Initialized);
    stage.stop().await;
    let flagger = stage.world.user("flagger");
    let status = json!({"status": {"slipway": null}});
    flagger
        .patch_status("Canary", NAMESPACE, "app", &status)
        .unwrap();
    stage
}

async fn adopts(stage: &Stage) -> Said {
    let args = Cli::parse_from(["adopt", "--dry-run", "--mesh-provider=istio", "-o=json"]).args;
    let rehearsed = Rehearsed::default();
    let notes = rehearsed.notes.clone();
    let service = rehearsed.layer(stage.world.client_service("ada"));
    let client = kube::Client::new(service, NAMESPACE);
    let cluster = Cluster::new(
        kube::Client::new(stage.world.client_service("ada"), NAMESPACE),
        "ada",
    );
    let clock = Arc::new(TokioClock::starting_at(stage.world.now()));
    let work = Box::pin(rehearse(&cluster, client, &notes, clock, &args));
    work.await.unwrap()
}

/// What a write of ours would change: versions of what only we write, specs of what others write too.
fn objects(stage: &Stage) -> Vec<String> {
    let by = |kinds: &[&str], pointer: &str| -> Vec<String> {
        let all = kinds
            .iter()
            .flat_map(|kind| stage.world.list(kind, NAMESPACE));
        let found = all.map(|it| it.pointer(pointer).map(ToString::to_string));
        found.map(Option::unwrap_or_default).collect()
    };
    let ours = ["Canary", "Service", "VirtualService", "Event", "Lease"];
    let mut all = by(&ours, "/metadata/resourceVersion");
    all.extend(by(&["Deployment"], "/spec"));
    all
}

#[tokio::test(start_paused = true)]
async fn a_release_at_rest_would_stay_and_the_rehearsal_leaves_no_trace() {
    let stage = left_by_flagger().await;
    let before = objects(&stage);
    let said = adopts(&stage).await;
    assert_eq!(said.code, 0, "{}", said.text);
    let rows: Value = serde_json::from_str(&said.text).unwrap();
    assert_eq!(rows[0]["canary"], "test/app");
    assert_eq!(rows[0]["outcome"], "stays as it is", "{rows}");
    let writes = rows[0]["writes"].to_string();
    assert!(writes.contains("write canaries/status app"), "{writes}");
    assert!(!writes.contains("virtualservices"), "{writes}");
    assert!(!writes.contains("deployments"), "{writes}");
    assert_eq!(objects(&stage), before);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_nobody_has_acted_on_is_told() {
    let stage = left_by_flagger().await;
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let before = objects(&stage);
    let said = adopts(&stage).await;
    assert_eq!(said.code, 1, "{}", said.text);
    assert!(said.text.contains("a release starts"), "{}", said.text);
    assert_eq!(objects(&stage), before);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_no_plan_is_told_with_its_mistake() {
    let stage = left_by_flagger().await;
    let wrong = json!({"spec": {"analysis": {"interval": "soon"}}});
    stage
        .world
        .patch("Canary", NAMESPACE, "app", &wrong)
        .unwrap();
    let said = adopts(&stage).await;
    assert_eq!(said.code, 1, "{}", said.text);
    assert!(said.text.contains("soon"), "{}", said.text);
}
