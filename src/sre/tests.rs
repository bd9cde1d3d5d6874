//! The commands on a simulated cluster, with the real controller on it.
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

use super::Command;
use crate::cluster::Cluster;
use crate::output::Said;

const HOUR: Duration = Duration::from_hours(1);

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The cluster as Ada sees it.
fn ada(stage: &Stage) -> Cluster {
    let service = stage.world.client_service("ada");
    Cluster::new(kube::Client::new(service, NAMESPACE), "ada")
}

/// Ada types a command.
async fn types(stage: &Stage, line: &str) -> anyhow::Result<Said> {
    let words = std::iter::once("slipway").chain(line.split_whitespace());
    let command = Cli::try_parse_from(words)?.command;
    command.on(&ada(stage), stage.world.now()).await
}

async fn said(stage: &Stage, line: &str) -> String {
    let said = types(stage, line).await.unwrap();
    assert_eq!(said.code, 0, "{line}: {}", said.text);
    said.text
}

async fn initialised() -> Stage {
    let stage = Stage::new(
        7,
        &[
            "-mesh-provider=istio",
            "-metrics-server=http://prometheus:9090",
        ],
    );
    let steps = json!({"stepWeight": 20, "maxWeight": 60});
    stage.apply(&[deployment("app:v1", 2), canary("istio", &steps)]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
    stage
}

async fn at_weight(stage: &Stage, weight: i64) {
    let reached = |stage: &Stage| stage.status().canary_weight == weight;
    stage.world.eventually(HOUR, |_| reached(stage)).await;
    assert!(reached(stage));
}

fn annotate(stage: &Stage, kind: &str, key: &str, value: &str) {
    let patch = json!({"metadata": {"annotations": {format!("slipway.dev/{key}"): value}}});
    stage.world.patch(kind, NAMESPACE, "app", &patch).unwrap();
}

fn set_image(stage: &Stage, image: &str) {
    stage.world.set_image(NAMESPACE, "app", image).unwrap();
}

#[tokio::test(start_paused = true)]
async fn status_tells_where_releases_stand() {
    let stage = initialised().await;
    annotate(&stage, "Deployment", "approve", "promotion");
    set_image(&stage, "app:v2");
    at_weight(&stage, 40).await;
    let all = said(&stage, "status").await;
    let lines: Vec<Vec<&str>> = all
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines,
        [
            vec![
                "CANARY", "PHASE", "WEIGHT", "STEP", "FAILED", "WAITS", "FOR", "SINCE"
            ],
            vec!["test/app", "Progressing", "40%", "2/3", "0/2"],
        ],
        "{all}"
    );
    assert_eq!(
        stage.reach(&[Phase::WaitingPromotion], HOUR).await,
        Phase::WaitingPromotion
    );
    tokio::time::sleep(Duration::from_secs(90)).await;
    let one = said(&stage, "status canary/app").await;
    for expected in [
        "phase         WaitingPromotion",
        "weight        60%",
        "step          3/3",
        "approval of the promotion by a person, since 1m",
        "request-success-rate >= 99%",
        "request-duration <= 500ms",
    ] {
        let expected = expected.replace("since 1m", "since 9");
        let flat = one.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = expected.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&wanted), "{wanted}\n{one}");
    }
    let json: Value = serde_json::from_str(&said(&stage, "status app -o json").await).unwrap();
    assert_eq!(json["weight"], 60);
    assert_eq!(json["phase"], "WaitingPromotion");
    assert_eq!(
        json["waitsFor"]["for"],
        "approval of the promotion by a person"
    );
    assert!(types(&stage, "status canary/other").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn history_tells_what_each_tick_measured_and_what_came_of_it() {
    let stage = initialised().await;
    set_image(&stage, "app:v2");
    at_weight(&stage, 20).await;
    stage.outside.reply(
        "istio_requests_total",
        slipway_scenarios::outside::Reply::Sample(91.5),
    );
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
    let text = said(&stage, "history canary/app").await;
    let failure = "Halt app.test advancement success rate 91.50% < 99%";
    assert_eq!(
        text.matches(failure).count(),
        3,
        "two ticks and the reason: {text}"
    );
    assert!(text.contains("request-success-rate 91.50"), "{text}");
    let status = said(&stage, "status app").await;
    let judged = "request-success-rate >= 99%, last 91.50";
    assert!(status.contains(judged), "{status}");
}

#[tokio::test(start_paused = true)]
async fn explain_tells_each_value_and_where_it_came_from() {
    let stage = initialised().await;
    annotate(&stage, "Deployment", "threshold", "5");
    annotate(&stage, "Canary", "success-rate", "99.9");
    let text = said(&stage, "explain canary/app").await;
    let flat: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for expected in [
        "steps 20,40,60 spec.analysis.stepWeight, maxWeight",
        "interval 10s spec.analysis.interval",
        "threshold 5 annotation slipway.dev/threshold of Deployment app",
        "settle 5s default",
        "check request-success-rate >= 99.9% annotation slipway.dev/success-rate of Canary app",
        "check request-duration <= 500ms spec.analysis.metrics",
    ] {
        assert!(flat.contains(&expected.to_owned()), "{expected}\n{text}");
    }
    annotate(&stage, "Deployment", "threshold", "many");
    let refused = types(&stage, "explain app").await.unwrap();
    assert_eq!(refused.code, 1);
    assert!(
        refused.text.contains("slipway.dev/threshold is many"),
        "{}",
        refused.text
    );
}

#[tokio::test(start_paused = true)]
async fn explain_status_and_why_tell_for_whom_a_release_waits() {
    let stage = initialised().await;
    let mut first = canary("istio", &json!({"stepWeight": 20, "maxWeight": 60}));
    first["metadata"]["name"] = json!("database");
    first["spec"]["targetRef"]["name"] = json!("database");
    stage.apply(&[first]);
    annotate(&stage, "Deployment", "after", "database");
    set_image(&stage, "app:v2");
    tokio::time::sleep(Duration::from_mins(5)).await;
    let explained = said(&stage, "explain canary/app").await;
    let line = explained
        .lines()
        .find(|line| line.trim_start().starts_with("after"));
    let line: Vec<&str> = line.unwrap().split_whitespace().collect();
    let expected = "after database annotation slipway.dev/after of Deployment app";
    assert_eq!(line.join(" "), expected);
    let awaited = "Canary database to rest at its newest revision";
    let status = said(&stage, "status app").await;
    assert!(status.contains(&format!("{awaited}, since 5m")), "{status}");
    let why = said(&stage, "why app").await;
    assert!(
        why.contains(&format!("It has waited for {awaited} for 5m")),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn why_tells_the_numbers() {
    let stage = initialised().await;
    set_image(&stage, "app:v2");
    at_weight(&stage, 20).await;
    let running = said(&stage, "why canary/app").await;
    assert!(
        running.contains("of test/app is judged at weight 20%."),
        "{running}"
    );
    assert!(
        running.contains("0 of 2 checks that may fail have failed"),
        "{running}"
    );
    stage.outside.reply(
        "istio_requests_total",
        slipway_scenarios::outside::Reply::Sample(91.5),
    );
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
    let failed = said(&stage, "why app").await;
    for expected in ["was not promoted.", "2 checks failed", "91.50% < 99%"] {
        assert!(failed.contains(expected), "{expected}: {failed}");
    }
}

/// The same with users whose requests are counted, and this mode of the sequential test.
async fn at_weight_20_with_users(mode: &str, errors: f64) -> Stage {
    let flags = [
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus:9090",
    ];
    let mut stage = Stage::live(7, &flags);
    stage.start();
    stage.world.users().call("app.test", 100.0);
    let steps = json!({"stepWeight": 20, "maxWeight": 60, "threshold": 5, "metrics": []});
    stage.apply(&[deployment("app:v1", 2), canary("istio", &steps)]);
    annotate(&stage, "Canary", "analysis-mode", mode);
    let phase = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(phase, Phase::Initialized);
    let fails = slipway_sim::Behaviour::healthy().errors(errors);
    stage
        .world
        .script(slipway_sim::Which::image("app:v2"), fails);
    set_image(&stage, "app:v2");
    at_weight(&stage, 20).await;
    stage
}

#[tokio::test(start_paused = true)]
async fn why_and_status_tell_what_requests_say_and_what_it_cost() {
    let stage = at_weight_20_with_users("protect", 0.5).await;
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
    let why = said(&stage, "why app").await;
    for expected in ["canary fails 50% of ", " user requests failed in "] {
        assert!(why.contains(expected), "{expected}: {why}");
    }
    let stage = at_weight_20_with_users("full", 0.0).await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    let numbers = "canary fails 0% of ";
    let why = said(&stage, "why app").await;
    assert!(
        why.contains(&format!("Judged by evidence: {numbers}")),
        "{why}"
    );
    let status = said(&stage, "status app").await;
    assert!(status.contains(numbers), "{status}");
    let stage = at_weight_20_with_users("shadow", 0.5).await;
    let phase = stage.reach(&[Phase::Succeeded], HOUR).await;
    assert_eq!(phase, Phase::Succeeded);
    let why = said(&stage, "why app").await;
    let watched = "The sequential test, which only watches, would have rolled back at ";
    assert!(why.contains(watched), "{why}");
}

#[tokio::test(start_paused = true)]
async fn replay_tells_what_the_test_would_have_said_of_the_last_release() {
    let stage = at_weight_20_with_users("off", 0.5).await;
    let phase = stage.reach(&[Phase::Succeeded], HOUR).await;
    assert_eq!(phase, Phase::Succeeded);
    let replayed = async |words: &str| {
        let line = format!("slipway replay {words}");
        let Command::Replay(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("{line}");
        };
        crate::replay::with(&ada(&stage), &args, stage.world.now(), &stage.wire).await
    };
    let refused = replayed("app").await.err().unwrap().to_string();
    assert_eq!(refused, "say where Prometheus is: --metrics-server URL");
    let server = "app --metrics-server http://prometheus:9090";
    let told = replayed(server).await.unwrap().text;
    assert!(told.contains("rolled back"), "{told}");
    assert!(told.contains("canary fails 50% of "), "{told}");
    let json = replayed(&format!("{server} -o json")).await.unwrap().text;
    let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert!(
        rows.iter().any(|row| row["verdict"] == "rollback"),
        "{json}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_person_approves_pauses_resumes_aborts_and_retries_by_command() {
    let stage = initialised().await;
    annotate(&stage, "Canary", "approve", "rollout");
    set_image(&stage, "app:v2");
    assert_eq!(stage.reach(&[Phase::Waiting], HOUR).await, Phase::Waiting);
    let approved = said(&stage, "approve canary/app").await;
    assert!(
        approved.contains("rollout of revision") && approved.ends_with("approved by ada"),
        "{approved}"
    );
    at_weight(&stage, 20).await;
    let paused = said(&stage, "pause app").await;
    assert!(paused.contains("paused at revision"), "{paused}");
    tokio::time::sleep(HOUR).await;
    assert_eq!(stage.status().canary_weight, 20);
    said(&stage, "resume app").await;
    at_weight(&stage, 40).await;
    said(&stage, "abort app").await;
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
    said(&stage, "retry app").await;
    at_weight(&stage, 20).await;
    assert!(
        types(&stage, "promote app").await.is_err(),
        "the flag is asked for"
    );
    said(&stage, "promote app --skip-analysis").await;
    assert_eq!(
        stage.reach(&[Phase::Succeeded], HOUR).await,
        Phase::Succeeded
    );
    for line in ["approve app", "resume app", "abort app", "retry app"] {
        let refused = types(&stage, line).await.unwrap_err().to_string();
        assert!(
            refused.starts_with("there is nothing to "),
            "{line}: {refused}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_action_ends_with_an_error() {
    let stage = initialised().await;
    set_image(&stage, "app:v2");
    at_weight(&stage, 20).await;
    let late = types(&stage, "abort app --revision 0123456789")
        .await
        .unwrap();
    assert_eq!(late.code, 1);
    assert!(late.text.contains("nothing was done"), "{}", late.text);
    assert_eq!(stage.status().phase, Phase::Progressing);
}

#[tokio::test(start_paused = true)]
async fn an_action_is_written_while_the_controller_is_down() {
    let mut stage = initialised().await;
    set_image(&stage, "app:v2");
    at_weight(&stage, 20).await;
    stage.kill();
    let written = said(&stage, "abort app").await;
    assert!(
        written.contains("the controller has not heeded it yet"),
        "{written}"
    );
    assert_eq!(stage.status().phase, Phase::Progressing);
    stage.start();
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
}

#[tokio::test(start_paused = true)]
async fn wait_is_not_fooled_by_the_time_before_the_change_was_noticed() {
    let mut stage = initialised().await;
    assert_eq!(
        types(&stage, "wait app --timeout 1s").await.unwrap().code,
        0
    );
    stage.kill();
    set_image(&stage, "app:v2");
    // The status still tells of the revision before: Initialized, and nothing awaited.
    let blind = types(&stage, "wait canary/app --timeout 1m").await.unwrap();
    assert_eq!(blind.code, 2, "{}", blind.text);
    stage.start();
    let promoted = types(&stage, "wait canary/app --timeout 1h").await.unwrap();
    assert_eq!(promoted.code, 0, "{}", promoted.text);
    assert_eq!(stage.status().phase, Phase::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn wait_for_an_image_waits_until_it_comes_and_tells_how_it_ended() {
    let stage = initialised().await;
    let early = types(&stage, "wait app --image app:v2 --timeout 30s")
        .await
        .unwrap();
    assert_eq!(early.code, 2);
    assert!(
        early.text.contains("which is not at the target"),
        "{}",
        early.text
    );
    set_image(&stage, "app:v2");
    stage.outside.reply(
        "istio_requests_total",
        slipway_scenarios::outside::Reply::Sample(91.5),
    );
    let failed = types(&stage, "wait app --image app:v2 --timeout 1h")
        .await
        .unwrap();
    assert_eq!(failed.code, 1, "{}", failed.text);
    assert!(failed.text.contains("2 checks failed"), "{}", failed.text);
    // It failed, and stays so for whoever asks again; a retry that nobody has seen yet is another try.
    assert_eq!(types(&stage, "wait app").await.unwrap().code, 1);
    stage.outside.reply(
        "istio_requests_total",
        slipway_scenarios::outside::Reply::Sample(100.0),
    );
    said(&stage, "retry app").await;
    assert_eq!(
        types(&stage, "wait app --timeout 1h").await.unwrap().code,
        0
    );
}

#[tokio::test(start_paused = true)]
async fn wait_tells_when_the_revision_was_replaced() {
    let stage = initialised().await;
    set_image(&stage, "app:v2");
    let cluster = ada(&stage);
    let waiting = async {
        let words = [
            "slipway",
            "wait",
            "app",
            "--image",
            "app:v2",
            "--timeout",
            "1h",
        ];
        let command = Cli::try_parse_from(words).unwrap().command;
        command.on(&cluster, stage.world.now()).await.unwrap()
    };
    let replacing = async {
        at_weight(&stage, 20).await;
        set_image(&stage, "app:v3");
    };
    let (said, ()) = tokio::join!(waiting, replacing);
    assert_eq!(said.code, 1, "{}", said.text);
    assert!(said.text.contains("was replaced by"), "{}", said.text);
}

#[tokio::test(start_paused = true)]
async fn why_history_and_status_tell_what_pods_and_hooks_said_after_they_are_gone() {
    let stage = Stage::new(
        7,
        &[
            "-mesh-provider=istio",
            "-metrics-server=http://prometheus:9090",
        ],
    );
    let broken = slipway_sim::Behaviour::healthy().cannot_pull();
    stage
        .world
        .script(slipway_sim::Which::image("app:v2"), broken);
    let mut object = canary("istio", &json!({"stepWeight": 20, "maxWeight": 60}));
    object["spec"]["analysis"]["webhooks"] =
        json!([{"name": "gate", "type": "confirm-rollout", "url": "http://gate.hooks/"}]);
    stage.apply(&[deployment("app:v1", 2), object]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
    set_image(&stage, "app:v2");
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
    tokio::time::sleep(HOUR).await;
    for line in ["why app", "history app", "status app"] {
        let text = said(&stage, line).await;
        for expected in [
            "pods of the canary, container app: ImagePullBackOff",
            "confirm-rollout gate passed",
        ] {
            assert!(text.contains(expected), "{line}: {expected}: {text}");
        }
    }
    let json: Value = serde_json::from_str(&said(&stage, "why app -o json").await).unwrap();
    assert_eq!(json["pods"][0]["reason"], "ImagePullBackOff");
    assert_eq!(json["phase"], "Failed");
}

#[tokio::test(start_paused = true)]
async fn every_command_speaks_json() {
    let stage = initialised().await;
    annotate(&stage, "Canary", "approve", "rollout");
    set_image(&stage, "app:v2");
    assert_eq!(stage.reach(&[Phase::Waiting], HOUR).await, Phase::Waiting);
    let rows = [
        ("status", "/0/phase", json!("Waiting")),
        ("status app", "/phase", json!("Waiting")),
        ("explain app", "/0/name", json!("strategy")),
        ("why app", "/phase", json!("Waiting")),
        ("history app", "", Value::Null),
        ("approve app", "/done", json!(true)),
        ("pause app", "/action", json!("pause")),
        ("resume app", "/by", json!("ada")),
        ("promote app --skip-analysis", "/heeded", json!(true)),
        ("wait app --timeout 1h", "/outcome", json!("promoted")),
    ];
    for (line, pointer, expected) in rows {
        let text = said(&stage, &format!("{line} -o json")).await;
        let json: Value = serde_json::from_str(&text).unwrap();
        if line.starts_with("explain") {
            assert!(json[0]["name"].is_string(), "{text}");
        } else {
            assert_eq!(json.pointer(pointer), Some(&expected), "{line}: {text}");
        }
    }
    let why = said(&stage, "why app").await;
    assert!(why.contains("was promoted."), "{why}");
}
