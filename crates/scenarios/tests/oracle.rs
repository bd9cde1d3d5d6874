//! The proof that the instrument sees: a controller that writes what it must not is caught, promise by promise.
//!
//! A release is brought to weight 20 by the real controller, which is then killed; what is written in its name is the deliberate bug.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test may fail as the test does"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use slipway_scenarios::objects::NAMESPACE;
use slipway_scenarios::oracle::Oracle;
use slipway_scenarios::stage::SLIPWAY;
use slipway_scenarios::{Scenario, Stage};
use slipway_sim::User;

/// A release of Istio at weight 20, whose controller has died, and the oracle that looks on.
async fn at_twenty() -> (Stage, Arc<Mutex<Oracle>>) {
    let scenario: Scenario = "istio/canary/promotes/fixed".parse().unwrap();
    let mut stage = Stage::live(1, &["-metrics-server=http://prometheus:9090"]);
    for (which, behaviour) in scenario.behaviours() {
        stage.world.script(which, behaviour);
    }
    let oracle = Arc::new(Mutex::new(Oracle::new(scenario, Duration::ZERO)));
    let looking = Arc::clone(&oracle);
    stage.world.on_write(move |world, write| {
        looking.lock().unwrap().see(world, write);
    });
    stage.apply(&scenario.workload());
    stage.world.users().call("app.test", 50.0);
    stage.start();
    stage.apply(&scenario.canary());
    let patience = Duration::from_mins(5);
    let world = stage.world.clone();
    world
        .eventually(patience, |_| stage.status().last_promoted_spec.is_some())
        .await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let reached = world
        .eventually(patience, |_| {
            stage.status().canary_weight == 20 && !world.plane("app.test").shares().is_empty()
        })
        .await;
    assert!(reached, "{:?}", stage.status());
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.kill();
    (stage, oracle)
}

fn weights(primary: i64, canary: i64) -> Value {
    let to = |host: &str, weight: i64| json!({"destination": {"host": host}, "weight": weight});
    json!({"spec": {"http": [{"route": [to("app-primary", primary), to("app-canary", canary)]}]}})
}

fn patch(by: &User, kind: &str, name: &str, patch: &Value) {
    by.patch(kind, NAMESPACE, name, patch).unwrap();
}

/// What a bug writes.
type Bug = fn(&User);

/// What the oracle says to it, by the word with which the complaint begins.
const BUGS: [(&str, Bug, &str); 10] = [
    (
        "weights that do not sum to 100",
        |by| patch(by, "virtualservice", "app", &weights(80, 10)),
        "P1",
    ),
    (
        "users are sent to a Service that selects nobody",
        |by| {
            let nobody = json!({"spec": {"selector": {"app": "nobody"}}});
            patch(by, "service", "app-primary", &nobody);
        },
        "P2",
    ),
    (
        "a revision becomes the primary before it has passed",
        |by| {
            by.set_image("deployment", NAMESPACE, "app-primary", "app:v2")
                .unwrap();
        },
        "P3",
    ),
    (
        "the canary is scaled down under traffic",
        |by| patch(by, "deployment", "app", &json!({"spec": {"replicas": 0}})),
        "P4",
    ),
    (
        "the canary is scaled down before proxies know that its traffic is gone",
        |by| {
            patch(by, "virtualservice", "app", &weights(100, 0));
            patch(by, "deployment", "app", &json!({"spec": {"replicas": 0}}));
        },
        "P4",
    ),
    (
        "a step is recorded before it is due",
        |by| {
            let step = json!({"status": {"canaryWeight": 60}});
            by.patch_status("canary", NAMESPACE, "app", &step).unwrap();
        },
        "P6",
    ),
    (
        "a step is routed before it is due",
        |by| patch(by, "virtualservice", "app", &weights(40, 60)),
        "INV-2",
    ),
    (
        "the primary is made smaller",
        |by| {
            let one = json!({"spec": {"replicas": 1}});
            patch(by, "deployment", "app-primary", &one);
        },
        "P7",
    ),
    (
        "an annotation of the user is removed",
        |by| {
            let gone = json!({"metadata": {"annotations": {"example.com/keep": null}}});
            patch(by, "service", "app", &gone);
        },
        "P8",
    ),
    (
        "the template of the target is changed",
        |by| {
            by.set_image("deployment", NAMESPACE, "app", "app:v1")
                .unwrap();
        },
        "P8",
    ),
];

#[tokio::test(start_paused = true)]
async fn every_deliberate_bug_is_caught() {
    for (bug, write, expected) in BUGS {
        let (stage, oracle) = at_twenty().await;
        let before = oracle.lock().unwrap().complaints();
        assert_eq!(before, Vec::<String>::new(), "before {bug}");
        write(&stage.world.user(SLIPWAY));
        tokio::time::sleep(Duration::from_secs(5)).await;
        oracle.lock().unwrap().look(&stage.world);
        let seen = oracle.lock().unwrap().complaints();
        let is_caught = seen
            .iter()
            .any(|complaint| complaint.contains(&format!(" {expected}: ")));
        assert!(is_caught, "{bug}: expected {expected}, got {seen:#?}");
    }
}

/// `docs/mutations.md` lists what is tried here.
#[test]
fn the_table_of_bugs_is_in_the_docs() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/mutations.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (bug, _, caught_by) in BUGS {
        let row = format!("| {bug} | {caught_by} |");
        assert!(page.contains(&row), "docs/mutations.md lacks: {row}");
    }
}
