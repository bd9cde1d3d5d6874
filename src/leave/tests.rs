//! Leaving, and what comes after it, on a simulated cluster.

use std::time::Duration;

use clap::Parser;
use serde_json::json;
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

use crate::cluster::Cluster;
use crate::output::Said;
use crate::sre::Command;

const HOUR: Duration = Duration::from_hours(1);

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

async fn types(stage: &Stage, line: &str) -> anyhow::Result<Said> {
    let words = std::iter::once("slipway").chain(line.split_whitespace());
    let command = Cli::try_parse_from(words)?.command;
    let service = stage.world.client_service("ada");
    let cluster = Cluster::new(kube::Client::new(service, NAMESPACE), "ada");
    command.on(&cluster, stage.world.now()).await
}

async fn promoted() -> Stage {
    let flags = ["-mesh-provider=istio", "-namespace=test"];
    let stage = Stage::new(9, &flags);
    let steps = json!({"stepWeight": 20, "maxWeight": 60});
    stage.apply(&[deployment("app:v1", 2), canary("istio", &steps)]);
    stage.reach(&[Phase::Initialized], HOUR).await;
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let reached = stage.reach(&[Phase::Succeeded], HOUR).await;
    assert_eq!(reached, Phase::Succeeded);
    stage
}

/// What serves, and which way traffic goes.
fn serving(stage: &Stage) -> Vec<String> {
    let kinds = ["Deployment", "Service", "VirtualService", "DestinationRule"];
    let all = kinds
        .iter()
        .flat_map(|kind| stage.world.list(kind, NAMESPACE));
    all.map(|it| format!("{} {}", it["metadata"]["name"], it["spec"]))
        .collect()
}

const HAND_BACK: &str = "hand-back --to flagger";

#[tokio::test(start_paused = true)]
async fn while_slipway_leads_nothing_is_handed_back() {
    let stage = promoted().await;
    for line in [HAND_BACK, "uninstall"] {
        let error = types(&stage, line).await.unwrap_err().to_string();
        assert!(error.contains("stop it first"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_back_is_a_canary_of_flaggers_and_traffic_stays() {
    let mut stage = promoted().await;
    stage.stop().await;
    let (before, canary) = (serving(&stage), stage.object("Canary", "app").unwrap());
    let said = types(&stage, &format!("{HAND_BACK} --dry-run"))
        .await
        .unwrap();
    assert_eq!(said.code, 0, "{}", said.text);
    assert_eq!(stage.object("Canary", "app").unwrap(), canary);

    let said = types(&stage, HAND_BACK).await.unwrap();
    assert!(said.text.contains("test/app: Succeeded"), "{}", said.text);
    let after = stage.object("Canary", "app").unwrap();
    assert!(after["status"].get("slipway").is_none(), "{after}");
    let finalizers = &after["metadata"]["finalizers"];
    assert!(finalizers.as_array().is_none_or(Vec::is_empty), "{after}");
    let types: Vec<_> = after["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["type"])
        .collect();
    assert_eq!(types, ["Promoted"]);
    for field in [
        "phase",
        "canaryWeight",
        "failedChecks",
        "lastAppliedSpec",
        "lastPromotedSpec",
        "trackedConfigs",
    ] {
        assert_eq!(after["status"][field], canary["status"][field], "{field}");
    }
    assert_eq!(serving(&stage), before);
}

#[tokio::test(start_paused = true)]
async fn a_slipway_that_comes_back_takes_over_and_nothing_moves() {
    let mut stage = promoted().await;
    stage.stop().await;
    types(&stage, HAND_BACK).await.unwrap();
    let before = serving(&stage);
    stage.start();
    let is_taken = |stage: &Stage| stage.status().slipway.is_some();
    stage.world.eventually(HOUR, |_| is_taken(&stage)).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(is_taken(&stage));
    assert_eq!(stage.status().phase, Phase::Succeeded);
    assert_eq!(serving(&stage), before);
}

#[tokio::test(start_paused = true)]
async fn a_running_release_is_not_handed_back() {
    let mut stage = promoted().await;
    stage.world.set_image(NAMESPACE, "app", "app:v3").unwrap();
    stage.reach(&[Phase::Progressing], HOUR).await;
    stage.stop().await;
    let error = types(&stage, HAND_BACK).await.unwrap_err().to_string();
    assert!(error.contains("test/app (Progressing)"), "{error}");
    assert!(stage.status().slipway.is_some());
}

#[tokio::test(start_paused = true)]
async fn after_an_uninstall_canaries_can_be_deleted_without_a_controller() {
    let mut stage = promoted().await;
    stage.stop().await;
    let before = serving(&stage);
    let said = types(&stage, "uninstall").await.unwrap();
    assert!(said.text.contains("its primary serves"), "{}", said.text);
    assert_eq!(serving(&stage), before);
    stage.world.delete("Canary", NAMESPACE, "app").unwrap();
    assert!(
        stage.object("Canary", "app").is_none(),
        "the Canary is held"
    );
}
