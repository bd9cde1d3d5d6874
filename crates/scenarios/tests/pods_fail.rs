//! Releases whose pods do not run: acted on at once, and the Canary alone says why (FC-105).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]

use std::time::Duration;

use serde_json::json;
use slipway_api::{Phase, ReleaseStatus, Side, SlipwayStatus};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};
use slipway_scenarios::stage::SLIPWAY;
use slipway_sim::{Asked, Behaviour, Fault, Which};

const HOUR: Duration = Duration::from_hours(1);

/// A Canary by 20, 40, 60 that is initialised; the pods of `app:v2` behave so.
async fn initialised(provider: &str, v2: Behaviour) -> Stage {
    let stage = Stage::new(7, &["-metrics-server=http://prometheus:9090"]);
    begin(&stage, provider, v2).await;
    stage
}

async fn begin(stage: &Stage, provider: &str, v2: Behaviour) {
    stage.world.script(Which::image("app:v2"), v2);
    let steps = json!({"stepWeight": 20, "maxWeight": 60});
    let mut canary = canary(provider, &steps);
    canary["spec"]["progressDeadlineSeconds"] = json!(120);
    stage.apply(&[deployment("app:v1", 2), canary]);
    let phase = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(phase, Phase::Initialized);
}

fn set_image(stage: &Stage, image: &str) {
    stage.world.set_image(NAMESPACE, "app", image).unwrap();
}

fn slipway(stage: &Stage) -> SlipwayStatus {
    stage.status().slipway.unwrap_or_default()
}

fn record(stage: &Stage) -> ReleaseStatus {
    slipway(stage).release.unwrap_or_default()
}

/// Side, container, reason, exit code.
fn reasons(stage: &Stage) -> Vec<(Side, String, String, Option<i64>)> {
    let given = record(stage).pods.into_iter();
    given
        .map(|it| {
            (
                it.side,
                it.container.unwrap_or_default(),
                it.reason,
                it.exit_code,
            )
        })
        .collect()
}

async fn until(stage: &Stage, within: Duration, holds: impl Fn(&Stage) -> bool) {
    stage.world.eventually(within, |_| holds(stage)).await;
    assert!(holds(stage), "{:?}\n{:?}", stage.status(), stage.events());
}

#[tokio::test(start_paused = true)]
async fn fc_105_each_way_in_which_pods_fail_stands_in_the_status_after_they_are_gone() {
    let healthy = Behaviour::healthy;
    let rows = [
        (healthy().cannot_pull(), "ImagePullBackOff", None),
        (healthy().waits_for("ErrImagePull"), "ErrImagePull", None),
        (
            healthy().waits_for("CreateContainerConfigError"),
            "CreateContainerConfigError",
            None,
        ),
        (healthy().crash_loops(), "CrashLoopBackOff", Some(1)),
        (
            healthy().crash_loops().runs_out_of_memory(),
            "OOMKilled",
            Some(137),
        ),
    ];
    for (behaviour, reason, code) in rows {
        let stage = initialised("istio", behaviour).await;
        set_image(&stage, "app:v2");
        let known = |stage: &Stage| !reasons(stage).is_empty();
        until(&stage, Duration::from_secs(2), known).await;
        assert_eq!(
            stage.status().phase,
            Phase::Progressing,
            "the deadline runs"
        );
        assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
        tokio::time::sleep(HOUR).await;
        let target = stage.object("Deployment", "app").unwrap();
        assert_eq!(target["spec"]["replicas"], 0);
        let expected = (Side::Canary, "app".to_owned(), reason.to_owned(), code);
        assert_eq!(reasons(&stage), [expected]);
        let told = slipway(&stage).reason.unwrap_or_default();
        assert!(told.contains(&format!("container app: {reason}")), "{told}");
        let event = format!("Pods of app.test do not run, container app: {reason}");
        let events = stage.events();
        let about = events.iter().filter(|text| text.starts_with(&event));
        assert_eq!(about.count(), 1, "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fc_105_pods_that_fit_nowhere_say_so() {
    let stage = initialised("istio", Behaviour::healthy()).await;
    let patch = json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "none"}}}}});
    stage
        .world
        .patch("Deployment", NAMESPACE, "app", &patch)
        .unwrap();
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
    let [given] = record(&stage).pods.try_into().unwrap();
    assert_eq!(
        (given.reason.as_str(), given.container),
        ("Unschedulable", None)
    );
    assert!(
        given.message.contains("nodes are available"),
        "{}",
        given.message
    );
    let told = slipway(&stage).reason.unwrap_or_default();
    assert!(told.contains("pod: Unschedulable"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_crash_loops_under_traffic_loses_it_at_once_and_the_status_says_why() {
    for provider in ["istio", "linkerd"] {
        let behaviour = Behaviour::healthy().fails_after(Duration::from_secs(15));
        let stage = initialised(provider, behaviour).await;
        set_image(&stage, "app:v2");
        until(&stage, HOUR, |stage| stage.status().canary_weight > 0).await;
        // All pods crash at about the same time; traffic is back in the very look that sees it.
        until(&stage, HOUR, |stage| stage.status().failed_checks > 0).await;
        until(&stage, Duration::from_secs(1), |stage| {
            stage.status().canary_weight == 0
        })
        .await;
        let expected = (
            Side::Canary,
            "app".to_owned(),
            "CrashLoopBackOff".to_owned(),
            Some(1),
        );
        until(&stage, Duration::from_secs(1), |stage| {
            reasons(stage) == [expected.clone()]
        })
        .await;
        let waits = slipway(&stage).waiting.map(|waiting| waiting.for_);
        assert_eq!(
            waits.as_deref(),
            Some("Deployment app to become ready"),
            "{provider}"
        );
        assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
        let told = slipway(&stage).reason.unwrap_or_default();
        assert!(told.contains("CrashLoopBackOff, exit code 1"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_does_not_come_up_with_the_promoted_revision_says_why() {
    let stage = initialised("istio", Behaviour::healthy()).await;
    let of_primary = Which::Named(NAMESPACE.to_owned(), "app-primary".to_owned());
    stage.world.script(
        of_primary.and(Which::image("app:v2")),
        Behaviour::healthy().cannot_pull(),
    );
    set_image(&stage, "app:v2");
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
    let expected = (
        Side::Primary,
        "app".to_owned(),
        "ImagePullBackOff".to_owned(),
        None,
    );
    assert_eq!(reasons(&stage), [expected]);
    let told = slipway(&stage).reason.unwrap_or_default();
    assert!(
        told.starts_with("Promotion failed") && told.contains("ImagePullBackOff"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn where_pods_may_not_be_watched_releases_go_on() {
    let stage = Stage::new(7, &["-metrics-server=http://prometheus:9090"]);
    let of_pods = |asked: &Asked| asked.resource == "pods";
    stage
        .world
        .faults(SLIPWAY)
        .always(Fault::Refuse(403), of_pods);
    begin(&stage, "istio", Behaviour::healthy()).await;
    set_image(&stage, "app:v2");
    let phase = stage.reach(&[Phase::Succeeded], HOUR).await;
    assert_eq!(phase, Phase::Succeeded);
}
