//! A target that is paused while it has traffic, with the real controller.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment, image, weights};
use slipway_sim::World;

const HOUR: Duration = Duration::from_hours(1);

/// A Canary by 20, 40, 60 that has newer revisions wait, at 40 percent.
async fn at_40_percent() -> Stage {
    let flags = [
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus:9090",
    ];
    let stage = Stage::new(13, &flags);
    let mut canary = canary("istio", &json!({"stepWeight": 20, "maxWeight": 60}));
    *canary.pointer_mut("/metadata").unwrap() = json!({
        "name": "app", "namespace": NAMESPACE, "annotations": {"slipway.dev/hold-new-revision": "true"},
    });
    stage.apply(&[deployment("app:v1", 2), canary]);
    let phase = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(phase, Phase::Initialized);
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let has_weight = |stage: &Stage| stage.status().canary_weight == 40;
    assert!(stage.world.eventually(HOUR, |_| has_weight(&stage)).await);
    assert!(is_paused(&stage));
    stage
}

fn is_paused(stage: &Stage) -> bool {
    let target = stage.object("Deployment", "app").unwrap();
    target.pointer("/spec/paused") == Some(&Value::Bool(true))
}

const RELEASED: &str = "/status/slipway/release/revision";

/// The revision that is released.
fn released(stage: &Stage) -> Value {
    let canary = stage.object("Canary", "app").unwrap();
    canary.pointer(RELEASED).unwrap().clone()
}

/// The images of the pods of the target that are there.
fn images(world: &World) -> Vec<String> {
    let pods = world.list("Pod", NAMESPACE);
    let ours = pods.iter().filter(|pod| {
        let name = pod.pointer("/metadata/name").and_then(Value::as_str);
        name.is_some_and(|name| name.starts_with("app-") && !name.starts_with("app-primary-"))
    });
    let of = |pod: &Value| {
        let image = pod.pointer("/spec/containers/0/image");
        image.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    ours.map(|pod| of(pod)).collect()
}

#[tokio::test(start_paused = true)]
async fn fc_014_a_newer_revision_gets_no_pod_while_the_target_has_traffic() {
    for dies in [false, true] {
        let mut stage = at_40_percent().await;
        let before = released(&stage);
        let wrong = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&wrong);
        stage.world.on_write(move |world, write| {
            let route = world.get("VirtualService", NAMESPACE, "app");
            let has_traffic = route.is_some_and(|route| weights(&route) != [100, 0]);
            let canary = world.get("Canary", NAMESPACE, "app");
            let revision = canary.and_then(|canary| canary.pointer(RELEASED).cloned());
            let is_of_before = revision.as_ref() == Some(&before);
            if has_traffic && is_of_before && images(world).contains(&"app:v3".to_owned()) {
                told.lock().unwrap().push(format!("{write:?}"));
            }
        });
        stage.world.set_image(NAMESPACE, "app", "app:v3").unwrap();
        assert_eq!(images(&stage.world), ["app:v2", "app:v2"]);
        if dies {
            // It has seen the newer revision, and has not let the target go.
            let is_off = |stage: &Stage| stage.status().canary_weight == 0;
            assert!(stage.world.eventually(HOUR, |_| is_off(&stage)).await);
            stage.kill();
            tokio::time::sleep(Duration::from_mins(2)).await;
            assert!(is_paused(&stage));
            stage.start();
        }
        let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
        assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
        let primary = stage.object("Deployment", "app-primary").unwrap();
        assert_eq!(image(&primary), "app:v3");
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(!is_paused(&stage));
        assert!(wrong.lock().unwrap().is_empty(), "{wrong:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_users_own_stays_and_ours_goes_when_the_canary_is_deleted() {
    let stage = at_40_percent().await;
    stage.world.delete("Canary", NAMESPACE, "app").unwrap();
    let is_gone = |stage: &Stage| stage.object("Canary", "app").is_none();
    assert!(stage.world.eventually(HOUR, |_| is_gone(&stage)).await);
    assert!(!is_paused(&stage));

    let stage = at_40_percent().await;
    let mut own = deployment("app:v2", 2);
    own["spec"]["paused"] = json!(true);
    own["spec"].as_object_mut().unwrap().remove("replicas");
    stage.apply(&[own]);
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(stage.status().slipway.unwrap().target_free_at.is_none());
    assert!(is_paused(&stage));
}
