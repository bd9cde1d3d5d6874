//! The live view on a simulated cluster, with the real controller on it.
use std::time::Duration;

use clap::Parser;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};
use slipway_sim::{Behaviour, Which};

use super::watch::{Board, tell, watch};
use super::{Args, view};
use crate::cluster::Cluster;

const HOUR: Duration = Duration::from_hours(1);

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn args(words: &str) -> Args {
    let words = std::iter::once("status").chain(words.split_whitespace());
    Cli::try_parse_from(words).unwrap().args
}

fn ada(stage: &Stage) -> Cluster {
    let service = stage.world.client_service("ada");
    Cluster::new(kube::Client::new(service, NAMESPACE), "ada")
}

async fn initialised() -> Stage {
    let flags = [
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus:9090",
    ];
    let stage = Stage::new(7, &flags);
    let steps = json!({"stepWeight": 20, "maxWeight": 60});
    stage.apply(&[deployment("app:v1", 2), canary("istio", &steps)]);
    let phase = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(phase, Phase::Initialized);
    stage
}

fn set_image(stage: &Stage, image: &str) {
    stage.world.set_image(NAMESPACE, "app", image).unwrap();
}

async fn until(stage: &Stage, holds: impl Fn(&Stage) -> bool) {
    stage.world.eventually(HOUR, |_| holds(stage)).await;
    assert!(holds(stage), "{:?}", stage.status());
}

/// What the watch has told until nothing comes any more.
async fn board(cluster: &Cluster, words: &str) -> Board {
    let mut events = watch(cluster, &args(words));
    let mut board = Board::default();
    loop {
        let next = futures::StreamExt::next(&mut events);
        match tokio::time::timeout(Duration::from_millis(50), next).await {
            Ok(Some(event)) => {
                board.take(cluster, event).await;
            }
            Ok(None) | Err(_) => return board,
        }
    }
}

fn drawn(stage: &Stage, cluster: &Cluster, board: &Board, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let now = stage.world.now();
    terminal
        .draw(|frame| view::draw(frame, cluster, board, "namespace test", now))
        .unwrap();
    terminal.backend().to_string()
}

#[tokio::test(start_paused = true)]
async fn the_screen_tells_phase_weight_step_checks_and_time_left() {
    let stage = initialised().await;
    let cluster = ada(&stage);
    set_image(&stage, "app:v2");
    until(&stage, |stage| stage.status().canary_weight == 40).await;
    let screen = drawn(&stage, &cluster, &board(&cluster, "-w").await, 110, 24);
    for expected in [
        "test/app",
        "Progressing",
        "primary 60%  canary 40%",
        "step         2/3",
        "time left    ",
        "request-success-rate >= 99%, last 100.00",
        "Advance app.test canary weight 40",
        "q: quit",
    ] {
        assert!(screen.contains(expected), "{expected}\n{screen}");
    }
    assert!(!screen.contains("Releases"), "one release needs no table");
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_pods_do_not_run_says_why_and_how_long_it_may_still_take() {
    let stage = initialised().await;
    let cluster = ada(&stage);
    let broken = Behaviour::healthy().cannot_pull();
    stage.world.script(Which::image("app:v2"), broken);
    set_image(&stage, "app:v2");
    until(&stage, |stage| stage.status().phase == Phase::Progressing).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let screen = drawn(&stage, &cluster, &board(&cluster, "-w app").await, 110, 24);
    for expected in [
        "waits for    Deployment app to become ready",
        "deadline     in ",
        "not running  pods of the canary, container app: ImagePullBackOff",
    ] {
        assert!(screen.contains(expected), "{expected}\n{screen}");
    }
}

#[tokio::test(start_paused = true)]
async fn several_releases_are_listed_and_one_is_chosen_by_the_arrows_and_it_fits_everywhere() {
    let stage = initialised().await;
    let cluster = ada(&stage);
    let mut other = canary("istio", &json!({"stepWeight": 50, "maxWeight": 50}));
    other["metadata"]["name"] = json!("other");
    other["spec"]["targetRef"]["name"] = json!("other");
    stage.apply(&[other]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut board = board(&cluster, "-w").await;
    let screen = drawn(&stage, &cluster, &board, 110, 30);
    for expected in [
        "Releases",
        "test/app",
        "test/other",
        "↑ ↓: choose",
        "╭ test/app ",
    ] {
        assert!(screen.contains(expected), "{expected}\n{screen}");
    }
    let down = crossterm::event::KeyCode::Down.into();
    assert!(
        !board.press(down) && !board.press(down),
        "it does not leave"
    );
    let screen = drawn(&stage, &cluster, &board, 110, 30);
    assert!(screen.contains("╭ test/other "), "{screen}");
    assert!(board.press(crossterm::event::KeyCode::Char('q').into()));
    for (width, height) in [(1, 1), (20, 5), (40, 10), (200, 60)] {
        drawn(&stage, &cluster, &board, width, height);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_terminal_each_change_is_one_line_and_what_did_not_change_is_not_told_again() {
    let stage = initialised().await;
    let cluster = ada(&stage);
    let told = |words: &'static str| {
        let (cluster, stage) = (&cluster, &stage);
        async move {
            let (mut out, args) = (Vec::new(), args(words));
            let events = watch(cluster, &args);
            let telling = tell(cluster, &args, events, || stage.world.now(), &mut out);
            // The watch goes on for ever: it is called off once the release is over.
            let over = until(stage, |stage| stage.status().phase == Phase::Succeeded);
            tokio::select! {
                done = telling => done.unwrap(),
                () = async { over.await; tokio::time::sleep(HOUR).await; } => {}
            }
            String::from_utf8(out).unwrap()
        }
    };
    set_image(&stage, "app:v2");
    let text = told("-w").await;
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(_, line)| line)
        .collect();
    for expected in [
        "test/app Progressing 0%, step 0/3, failed 0/2, waits for Deployment app to become ready",
        "test/app Progressing 20%, step 1/3, failed 0/2",
        "test/app Progressing 60%, step 3/3, failed 0/2",
        "test/app Succeeded 0%",
    ] {
        let count = lines.iter().filter(|line| **line == expected).count();
        assert_eq!(count, 1, "{expected}\n{text}");
    }
    set_image(&stage, "app:v3");
    until(&stage, |stage| stage.status().phase == Phase::Progressing).await;
    for line in told("-w app -o json").await.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["name"], "app", "{line}");
    }
}
