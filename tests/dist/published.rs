//! Manifests of the shape that was published in 2019 work as they are: planned here, and released on a simulated cluster.

use std::time::Duration;

use serde_json::Value;
use slipway_core::plan::{HookKind, Strategy};
use slipway_scenarios::Stage;

use crate::build::{documents, of_kind, plans, read};

const FILE: &str = "tests/dist/published-2019.yaml";

fn published() -> Vec<Value> {
    documents(&read(FILE), FILE)
}

#[test]
fn every_canary_of_2019_is_a_plan_and_means_what_it_meant() {
    let objects = published();
    for canary in of_kind(&objects, "Canary") {
        assert_eq!(canary["apiVersion"], "flagger.app/v1alpha3");
        assert!(canary["spec"].get("analysis").is_none());
    }
    let plans = plans(&objects, FILE);
    let plan = |name: &str| plans.iter().find(|it| it.canary.name == name).unwrap();
    let strategy = |name: &str| plan(name).strategy.clone();
    assert_eq!(strategy("frontend"), Strategy::AbTesting { iterations: 10 });
    assert_eq!(
        strategy("cache"),
        Strategy::BlueGreen {
            iterations: 5,
            mirror: false
        }
    );
    assert_eq!(
        strategy("database"),
        Strategy::BlueGreen {
            iterations: 10,
            mirror: true
        }
    );
    let Strategy::Canary { steps, .. } = strategy("backend") else {
        panic!("backend is not released by weight")
    };
    let steps: Vec<_> = steps.iter().map(|it| it.percent()).collect();
    assert_eq!(steps, [10, 20, 30, 40, 50]);
    for plan in &plans {
        let least = if plan.canary.name == "frontend" {
            70.0
        } else {
            99.0
        };
        // One word, `threshold`, is a least rate for the one and a greatest duration for the other.
        let limits: Vec<_> = plan.metrics.iter().map(|it| (it.min, it.max)).collect();
        assert_eq!(limits, [(Some(least), None), (None, Some(500.0))]);
        let hooks: Vec<_> = plan.hooks.iter().map(|it| it.kind).collect();
        assert_eq!(hooks, [HookKind::PreRollout, HookKind::Rollout]);
        assert!(plan.autoscaler.is_some());
    }
}

fn phase(stage: &Stage, name: &str) -> String {
    let canary = stage.world.get("Canary", "app", name);
    let phase = canary.and_then(|it| it.pointer("/status/phase")?.as_str().map(str::to_owned));
    phase.unwrap_or_default()
}

async fn all_reach(stage: &Stage, wanted: &str) {
    let services = ["frontend", "backend", "cache", "database"];
    let are_there = |stage: &Stage| services.iter().all(|name| phase(stage, name) == wanted);
    let hours = Duration::from_hours(2);
    stage.world.eventually(hours, |_| are_there(stage)).await;
    let phases = services.map(|name| phase(stage, name));
    assert_eq!(phases, [wanted; 4], "{:?}", stage.events());
}

#[tokio::test(start_paused = true)]
async fn the_application_of_2019_is_initialised_and_an_update_of_all_four_is_promoted() {
    let flags = [
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus:9090",
    ];
    let stage = Stage::new(19, &flags);
    stage.apply(&published());
    all_reach(&stage, "Initialized").await;
    for name in ["frontend", "backend", "cache", "database"] {
        let image = "stefanprodan/podinfo:3.1.1";
        stage.world.set_image("app", name, image).unwrap();
    }
    all_reach(&stage, "Succeeded").await;
    for name in ["frontend", "backend", "cache", "database"] {
        let primary = stage
            .world
            .get("Deployment", "app", &format!("{name}-primary"));
        let image = primary.unwrap()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        assert_eq!(image, "stefanprodan/podinfo:3.1.1", "{name}");
    }
}
