//! What others do to the objects of a release while it runs, rests or has no controller.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{self, NAMESPACE, canary, deployment};
use slipway_scenarios::outside::Reply;
use slipway_sim::World;

const HOUR: Duration = Duration::from_hours(1);

/// A Canary by 20, 40, 60 with these hooks and so much more of its Deployment, initialised.
async fn initialised(hooks: Value, more: &[Value], edit: impl Fn(&mut Value)) -> Stage {
    let flags = [
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus:9090",
    ];
    let stage = Stage::new(11, &flags);
    let mut app = deployment("app:v1", 2);
    edit(&mut app);
    stage.apply(more);
    let analysis = json!({"stepWeight": 20, "maxWeight": 60, "webhooks": hooks});
    stage.apply(&[app, canary("istio", &analysis)]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
    stage
}

async fn until(stage: &Stage, holds: impl Fn(&Stage) -> bool) -> bool {
    stage.world.eventually(HOUR, |_| holds(stage)).await
}

/// The weights of the primary and of the canary as the route has them.
fn weights(world: &World) -> Vec<i64> {
    objects::weights(&world.get("VirtualService", NAMESPACE, "app").unwrap())
}

fn image(stage: &Stage, name: &str) -> String {
    objects::image(&stage.object("Deployment", name).unwrap()).to_owned()
}

fn replicas(stage: &Stage, name: &str) -> i64 {
    let object = stage.object("Deployment", name).unwrap();
    object
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn fc_048_an_interval_that_changes_while_a_hook_hangs_takes_no_step_twice() {
    let hooks =
        json!([{"name": "load", "type": "rollout", "url": "http://load.hooks/", "timeout": "25s"}]);
    let stage = initialised(hooks, &[], |_| {}).await;
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    assert!(until(&stage, |stage| stage.status().canary_weight == 20).await);
    stage.outside.reply("load.hooks", Reply::Hang);
    let asked = stage.outside.count("load.hooks");
    assert!(until(&stage, |stage| stage.outside.count("load.hooks") > asked).await);
    let asked = stage.outside.count("load.hooks");
    for interval in ["7s", "3s", "8s"] {
        let patch = json!({"spec": {"analysis": {"interval": interval}}});
        stage
            .world
            .patch("Canary", NAMESPACE, "app", &patch)
            .unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    assert_eq!(
        stage.outside.count("load.hooks"),
        asked,
        "one look at a time"
    );
    stage
        .outside
        .reply("load.hooks", Reply::Status(200, String::new()));
    let mut seen = vec![stage.status().canary_weight];
    while stage.status().phase == Phase::Progressing {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let weight = stage.status().canary_weight;
        if stage.status().phase == Phase::Progressing && seen.last() != Some(&weight) {
            seen.push(weight);
        }
    }
    assert_eq!(seen, [20, 40, 60], "{:#?}", stage.events());
}

#[tokio::test(start_paused = true)]
async fn fc_057_after_hours_without_a_controller_only_what_is_there_now_counts() {
    let mut stage = initialised(json!([]), &[], |_| {}).await;
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    assert!(until(&stage, |stage| weights(&stage.world) == [60, 40]).await);
    stage.kill();
    stage.world.set_image(NAMESPACE, "app", "app:v3").unwrap();
    tokio::time::sleep(HOUR).await;
    stage.world.set_image(NAMESPACE, "app", "app:v4").unwrap();
    let route = stage.object("VirtualService", "app").unwrap();
    let mut edited = route.pointer("/spec/http").unwrap().clone();
    for (to, weight) in [(0, 10), (1, 90)] {
        *edited
            .pointer_mut(&format!("/0/route/{to}/weight"))
            .unwrap() = json!(weight);
    }
    let patch = json!({"spec": {"http": edited}});
    stage
        .world
        .patch("VirtualService", NAMESPACE, "app", &patch)
        .unwrap();
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(weights(&stage.world), [10, 90]);
    let routed = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&routed);
    stage.world.on_write(move |world, _| {
        let now = weights(world);
        let mut seen = seen.lock().unwrap();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    });
    stage.start();
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    assert_eq!(image(&stage, "app-primary"), "app:v4");
    // Nobody has judged what served most of the users: it loses them first.
    let walked = [[10, 90], [100, 0], [80, 20], [60, 40], [40, 60], [100, 0]];
    assert_eq!(*routed.lock().unwrap(), walked);
}

#[tokio::test(start_paused = true)]
async fn fc_072_an_approval_of_one_run_opens_no_gate_of_the_next() {
    let stage = initialised(json!([]), &[], |_| {}).await;
    let patch = json!({"metadata": {"annotations": {"slipway.dev/approve": "rollout"}}});
    stage
        .world
        .patch("Canary", NAMESPACE, "app", &patch)
        .unwrap();
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    assert!(until(&stage, |stage| stage.status().phase == Phase::Waiting).await);
    let pending = |stage: &Stage| stage.status().slipway.and_then(|it| it.pending_revision);
    let first = pending(&stage).unwrap();
    stage.world.set_image(NAMESPACE, "app", "app:v3").unwrap();
    assert!(until(&stage, |stage| pending(stage).is_some_and(|it| it != first)).await);
    let text = format!("revision={first} by=ada at=2026-01-31T09:30:00Z gate=rollout");
    let patch = json!({"metadata": {"annotations": {"slipway.dev/action-approve": text}}});
    stage
        .world
        .patch("Canary", NAMESPACE, "app", &patch)
        .unwrap();
    tokio::time::sleep(HOUR).await;
    assert_eq!(
        stage.status().phase,
        Phase::Waiting,
        "{:#?}",
        stage.events()
    );
    assert_eq!(image(&stage, "app-primary"), "app:v1");
    // And the gates of receivers can tell the runs apart, by the checksum of each payload: the traces compare it.
}

#[tokio::test(start_paused = true)]
async fn fc_081_nothing_that_scales_later_gives_a_failed_revision_traffic() {
    let stage = initialised(json!([]), &[], |_| {}).await;
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    assert!(until(&stage, |stage| stage.status().canary_weight == 20).await);
    stage.outside.reply("prometheus", Reply::Sample(50.0));
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Failed);
    stage.outside.reply("prometheus", Reply::Sample(100.0));
    tokio::time::sleep(HOUR).await;
    assert_eq!(replicas(&stage, "app"), 0);
    let patch = json!({"spec": {"replicas": 3}});
    stage
        .world
        .patch("Deployment", NAMESPACE, "app", &patch)
        .unwrap();
    tokio::time::sleep(HOUR).await;
    assert_eq!(stage.status().phase, Phase::Failed, "{:#?}", stage.events());
    assert_eq!(weights(&stage.world), [100, 0]);
    assert_eq!(image(&stage, "app-primary"), "app:v1");
    // Somebody may look for what was wrong with it: the pods are theirs, and serve nobody.
    assert_eq!(replicas(&stage, "app"), 3);
    let apex = stage.object("Service", "app").unwrap();
    assert_eq!(
        apex.pointer("/spec/selector"),
        Some(&json!({"app": "app-primary"}))
    );
}

#[tokio::test(start_paused = true)]
async fn fc_086_a_secret_that_is_rotated_every_minute_holds_no_release_up_where_it_is_not_tracked()
{
    let secret = |version: u32| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "tls", "namespace": NAMESPACE, "annotations": {"flagger.app/config-tracking": "disabled"}},
            "stringData": {"version": version.to_string()},
        })
    };
    let uses = |app: &mut Value| {
        *app.pointer_mut("/spec/template/spec/containers/0").unwrap() = json!({
            "name": "app", "image": "app:v1", "ports": [{"name": "http", "containerPort": 8080}],
            "envFrom": [{"secretRef": {"name": "tls"}}],
        });
    };
    let stage = initialised(json!([]), &[secret(0)], uses).await;
    // At rest it starts none, under way it starts none over.
    for version in 1..10 {
        stage.apply(&[secret(version)]);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(stage.status().phase, Phase::Initialized);
    }
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    for version in 10..40 {
        stage.apply(&[secret(version)]);
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    assert_eq!(
        stage.status().phase,
        Phase::Succeeded,
        "{:#?}",
        stage.events()
    );
    let restarts = stage.events();
    let restarts = restarts.iter().filter(|text| text.contains("Restarting"));
    assert_eq!(restarts.count(), 0);
}
