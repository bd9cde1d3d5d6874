//! What another controller left in each phase is gone on from: no release starts, no weight moves (FC-054).
//!
//! The state is made by a release of our own, from which everything is taken that Flagger would not have written; what a recorded Flagger left, second
//! by second, is taken over in `crates/core/tests/takeover.rs`.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{self, NAMESPACE, canary, deployment};
use slipway_scenarios::outside::Reply;
use slipway_sim::World;

const HOUR: Duration = Duration::from_hours(1);
/// Longer than any of these releases takes.
const SOON: Duration = Duration::from_mins(10);

/// When the controller is taken away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    In(Phase),
    At(i64),
}

const MOMENTS: [Moment; 10] = [
    Moment::In(Phase::Initialized),
    Moment::In(Phase::Waiting),
    Moment::In(Phase::Progressing),
    Moment::At(20),
    Moment::At(40),
    Moment::In(Phase::WaitingPromotion),
    Moment::In(Phase::Promoting),
    Moment::In(Phase::Finalising),
    Moment::In(Phase::Succeeded),
    Moment::In(Phase::Failed),
];

/// A Canary by 20, 40, 60 with gates before and after, initialised.
async fn initialised() -> Stage {
    let flags = [
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus:9090",
    ];
    let stage = Stage::new(13, &flags);
    let gate =
        |kind: &str| json!({"name": kind, "type": kind, "url": format!("http://{kind}.gates/")});
    let analysis = json!({
        "stepWeight": 20, "maxWeight": 60, "webhooks": [gate("confirm-rollout"), gate("confirm-promotion")],
    });
    stage.apply(&[deployment("app:v1", 2), canary("istio", &analysis)]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
    stage
}

/// Pushes a revision, and kills the controller at that moment of its release.
async fn leave_at(stage: &mut Stage, moment: Moment) {
    let closed = || Reply::Status(403, "closed".to_owned());
    match moment {
        Moment::In(Phase::Waiting) => stage.outside.reply("confirm-rollout.gates", closed()),
        Moment::In(Phase::WaitingPromotion) => {
            stage.outside.reply("confirm-promotion.gates", closed());
        }
        Moment::In(Phase::Failed) => stage.outside.reply("prometheus", Reply::Sample(50.0)),
        Moment::In(_) | Moment::At(_) => {}
    }
    if moment != Moment::In(Phase::Initialized) {
        stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    }
    let is_there = |stage: &Stage| {
        let status = stage.status();
        match moment {
            Moment::In(phase) => status.phase == phase,
            Moment::At(weight) => {
                status.phase == Phase::Progressing
                    && status.canary_weight == weight
                    && weights(&stage.world) == [100 - weight, weight]
            }
        }
    };
    let reached = stage.world.eventually(HOUR, |_| is_there(stage)).await;
    assert!(reached, "{moment:?}: {:#?}", stage.events());
    if matches!(moment, Moment::In(Phase::Succeeded | Phase::Failed)) {
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    stage.kill();
    stage.outside.reply("prometheus", Reply::Sample(100.0));
    for gate in ["confirm-rollout.gates", "confirm-promotion.gates"] {
        stage.outside.reply(gate, Reply::Status(200, String::new()));
    }
}

/// Takes away what Flagger would not have written.
fn forget(stage: &Stage) {
    let user = stage.world.user("kubectl");
    let patch = json!({"status": {"slipway": null}});
    user.patch_status("Canary", NAMESPACE, "app", &patch)
        .unwrap();
    for (kind, name) in [
        ("Deployment", "app-primary"),
        ("Service", "app"),
        ("Service", "app-primary"),
        ("Service", "app-canary"),
        ("VirtualService", "app"),
    ] {
        let object = stage.object(kind, name).unwrap();
        let annotations = object.pointer("/metadata/annotations");
        let ours = annotations
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(key, _)| key.starts_with("slipway.dev/"));
        let gone: Map<String, Value> = ours.map(|(key, _)| (key.clone(), Value::Null)).collect();
        let patch = json!({"metadata": {"annotations": gone}});
        user.patch(kind, NAMESPACE, name, &patch).unwrap();
    }
    for record in stage.world.list("ControllerRevision", NAMESPACE) {
        let name = record.pointer("/metadata/name").and_then(Value::as_str);
        stage
            .world
            .delete("ControllerRevision", NAMESPACE, name.unwrap())
            .unwrap();
    }
}

/// The weights of the primary and of the canary as the route has them.
fn weights(world: &World) -> Vec<i64> {
    objects::weights(&world.get("VirtualService", NAMESPACE, "app").unwrap())
}

fn image(stage: &Stage, name: &str) -> String {
    objects::image(&stage.object("Deployment", name).unwrap()).to_owned()
}

fn started(stage: &Stage) -> usize {
    let told = stage.events();
    let told = told.iter();
    told.filter(|text| text.contains("New revision detected"))
        .count()
}

#[tokio::test(start_paused = true)]
async fn fc_054_what_another_controller_left_in_any_phase_is_gone_on_from() {
    for moment in MOMENTS {
        let mut stage = initialised().await;
        leave_at(&mut stage, moment).await;
        forget(&stage);
        let (before, releases) = (weights(&stage.world), started(&stage));
        let phase = stage.status().phase;
        let seen = Arc::new(Mutex::new(vec![before.clone()]));
        let route = Arc::clone(&seen);
        stage.world.on_write(move |world, _| {
            let now = weights(world);
            let mut route = route.lock().unwrap();
            if route.last() != Some(&now) {
                route.push(now);
            }
        });
        stage.start();
        let is_ours = |stage: &Stage| {
            stage
                .status()
                .slipway
                .is_some_and(|it| it.acted_revision.is_some())
        };
        assert!(stage.world.eventually(HOUR, |_| is_ours(&stage)).await);
        // A primary that is ready gets its traffic back at once: it was promoted. And the first step is due when the canary is ready.
        let returns = matches!(phase, Phase::Promoting | Phase::Finalising);
        let begins = moment == Moment::In(Phase::Progressing);
        let now = weights(&stage.world);
        assert!(
            now == before || begins || returns && now == [100, 0],
            "{moment:?}: {before:?} {now:?}"
        );
        let failed = moment == Moment::In(Phase::Failed);
        if !failed && moment != Moment::In(Phase::Initialized) {
            let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
            assert_eq!(end, Phase::Succeeded, "{moment:?}: {:#?}", stage.events());
        }
        tokio::time::sleep(SOON).await;
        let serves = if failed || moment == Moment::In(Phase::Initialized) {
            "app:v1"
        } else {
            "app:v2"
        };
        assert_eq!(image(&stage, "app-primary"), serves, "{moment:?}");
        let waited = moment == Moment::In(Phase::Waiting);
        assert_eq!(
            started(&stage),
            releases + usize::from(waited),
            "{moment:?}: {:#?}",
            stage.events()
        );
        // No weight that a release had reached is walked again, but back to the primary.
        let reached = before.last().copied().unwrap_or(0);
        let lower = seen.lock().unwrap().clone();
        let lower = lower.iter().filter_map(|route| route.last().copied());
        assert!(
            lower
                .filter(|weight| *weight > 0)
                .all(|weight| weight >= reached),
            "{moment:?}: {:?}",
            seen.lock().unwrap()
        );
    }
}

/// A status of a later version: it has words that this one does not know, and they are still there afterwards.
#[tokio::test(start_paused = true)]
async fn what_a_later_version_wrote_is_kept_and_gone_on_from_in_any_phase() {
    for moment in MOMENTS {
        let mut stage = initialised().await;
        leave_at(&mut stage, moment).await;
        let user = stage.world.user("kubectl");
        let patch = json!({"status": {"slipway": {"version": 99, "ofTheFuture": {"kept": true}}}});
        user.patch_status("Canary", NAMESPACE, "app", &patch)
            .unwrap();
        let (before, releases) = (weights(&stage.world), started(&stage));
        stage.start();
        tokio::time::sleep(SOON).await;
        let status = stage.object("Canary", "app").unwrap();
        let kept = status.pointer("/status/slipway/ofTheFuture/kept");
        assert_eq!(kept, Some(&json!(true)), "{moment:?}");
        let waited = moment == Moment::In(Phase::Waiting);
        assert_eq!(
            started(&stage),
            releases + usize::from(waited),
            "{moment:?}"
        );
        let failed = moment == Moment::In(Phase::Failed);
        let serves = if failed || moment == Moment::In(Phase::Initialized) {
            "app:v1"
        } else {
            "app:v2"
        };
        assert_eq!(
            image(&stage, "app-primary"),
            serves,
            "{moment:?} {before:?}: {:#?}",
            stage.events()
        );
        assert_eq!(weights(&stage.world), [100, 0], "{moment:?}");
    }
}
