//! The words of an SRE, with the real controller: annotations and actions, as kubectl writes them.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail")]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::{CanaryStatus, ConditionStatus, Phase, SlipwayStatus};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

const HOUR: Duration = Duration::from_hours(1);
const FLAGS: [&str; 2] = [
    "-mesh-provider=istio",
    "-metrics-server=http://prometheus:9090",
];

/// A Canary by 20, 40, 60, initialised, with these flags of the controller besides.
async fn initialised(flags: &[&str]) -> Stage {
    let stage = Stage::new(7, &[&FLAGS, flags].concat());
    let steps = json!({"stepWeight": 20, "maxWeight": 60});
    stage.apply(&[deployment("app:v1", 2), canary("istio", &steps)]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
    stage
}

/// `kubectl annotate KIND app KEY=VALUE --overwrite`; `null` takes it off.
fn annotate(stage: &Stage, kind: &str, key: &str, value: impl Into<Value>) {
    let patch = json!({"metadata": {"annotations": {format!("slipway.dev/{key}"): value.into()}}});
    let patched = stage.world.patch(kind, NAMESPACE, "app", &patch);
    assert!(patched.is_ok(), "{patched:?}");
}

fn set_image(stage: &Stage, image: &str) {
    stage.world.set_image(NAMESPACE, "app", image).unwrap();
}

/// Ada acts on a revision, at this moment.
fn act(stage: &Stage, verb: &str, revision: &str) {
    let at = stage.world.now().to_rfc3339();
    let value = format!("revision={revision} by=ada at={at}");
    annotate(stage, "Canary", &format!("action-{verb}"), value);
}

fn slipway(stage: &Stage) -> SlipwayStatus {
    stage.status().slipway.unwrap_or_default()
}

fn released(stage: &Stage) -> String {
    slipway(stage).release.unwrap_or_default().revision
}

fn condition(status: &CanaryStatus, type_: &str) -> Option<(ConditionStatus, String)> {
    let found = status.conditions.iter().find(|it| it.type_ == type_)?;
    Some((found.status, found.message.clone()))
}

async fn until(stage: &Stage, holds: impl Fn(&Stage) -> bool) -> bool {
    stage.world.eventually(HOUR, |_| holds(stage)).await;
    holds(stage)
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn an_annotation_of_the_target_tunes_its_release_and_never_starts_one() {
    let stage = initialised(&[]).await;
    let before = stage.status();
    annotate(&stage, "Deployment", "step-weights", "5,50");
    annotate(&stage, "Canary", "max-weight", "80");
    pass(HOUR).await;
    assert_eq!(stage.status(), before, "an annotation starts nothing");
    set_image(&stage, "app:v2");
    let mut weights = Vec::new();
    until(&stage, |stage| stage.status().phase == Phase::Succeeded).await;
    for text in stage.events() {
        if let Some(weight) = text.strip_prefix("Advance app.test canary weight ") {
            weights.push(weight.to_owned());
        }
    }
    assert_eq!(weights, ["5", "50", "80"], "{:?}", stage.events());
    for (kind, name) in [
        ("Deployment", "app-primary"),
        ("Service", "app"),
        ("Service", "app-primary"),
        ("Service", "app-canary"),
        ("VirtualService", "app"),
        ("DestinationRule", "app-canary"),
    ] {
        let object = stage.object(kind, name).unwrap().to_string();
        for key in ["step-weights", "max-weight"] {
            assert!(
                !object.contains(key),
                "{kind} {name} carries {key}: {object}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_annotation_that_is_wrong_is_named_and_the_last_good_plan_stays_in_force() {
    let mut stage = initialised(&[]).await;
    annotate(&stage, "Deployment", "threshold", "5");
    set_image(&stage, "app:v2");
    assert!(until(&stage, |stage| stage.status().canary_weight == 20).await);
    annotate(&stage, "Deployment", "threshold", "many");
    let problem = "Deployment test/app: annotation slipway.dev/threshold is many, must be a whole number of failed checks, 1 or more";
    assert!(
        until(&stage, |stage| {
            let told = condition(&stage.status(), "InvalidSpec");
            told == Some((ConditionStatus::True, problem.to_owned()))
        })
        .await,
        "{:?}",
        stage.status().conditions
    );
    assert!(
        stage.events().contains(&problem.to_owned()),
        "{:?}",
        stage.events()
    );
    // Not even a restart forgets what was in force.
    stage.kill();
    stage.start();
    stage.outside.reply(
        "istio_requests_total",
        slipway_scenarios::outside::Reply::Sample(10.0),
    );
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
    let reason = slipway(&stage).reason.unwrap_or_default();
    assert!(reason.contains("5 checks failed"), "{reason}");
    annotate(&stage, "Deployment", "threshold", "3");
    assert!(
        until(&stage, |stage| condition(&stage.status(), "InvalidSpec")
            .is_none())
        .await
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_release_applies_from_the_next_decision_and_is_told() {
    let stage = initialised(&[]).await;
    set_image(&stage, "app:v2");
    assert!(until(&stage, |stage| stage.status().canary_weight == 20).await);
    annotate(&stage, "Deployment", "max-weight", "30");
    assert_eq!(
        stage.reach(&[Phase::Succeeded], HOUR).await,
        Phase::Succeeded
    );
    let events = stage.events();
    let expected = "Annotation slipway.dev/max-weight of app.test changed from nothing to 30 during the release, from now on it applies";
    assert!(events.contains(&expected.to_owned()), "{events:?}");
    let last = "Advance app.test canary weight 30";
    assert!(events.contains(&last.to_owned()), "{events:?}");
    let beyond = "Advance app.test canary weight 40";
    assert!(!events.contains(&beyond.to_owned()), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn the_flags_say_whose_annotations_are_heeded_and_how_weak_they_may_be() {
    let stage = initialised(&["--annotations=canary"]).await;
    annotate(&stage, "Deployment", "skip-analysis", "true");
    annotate(&stage, "Deployment", "threshold", "nonsense");
    set_image(&stage, "app:v2");
    assert_eq!(
        stage.reach(&[Phase::Succeeded], HOUR).await,
        Phase::Succeeded
    );
    let skipped = slipway(&stage).release.unwrap_or_default().skipped;
    assert!(!skipped, "the target's annotation was heeded");

    let stage = initialised(&["--policy=strict"]).await;
    annotate(&stage, "Deployment", "skip-analysis", "true");
    let refused = |stage: &Stage| {
        let told = condition(&stage.status(), "InvalidSpec");
        told.is_some_and(|(_, message)| {
            message.contains("must not be weaker than the Canary's false")
        })
    };
    assert!(
        until(&stage, refused).await,
        "{:?}",
        stage.status().conditions
    );
    set_image(&stage, "app:v2");
    pass(HOUR).await;
    assert_eq!(
        stage.status().phase,
        Phase::Initialized,
        "a mistake holds the start"
    );
    annotate(&stage, "Deployment", "skip-analysis", Value::Null);
    assert_eq!(
        stage.reach(&[Phase::Succeeded], HOUR).await,
        Phase::Succeeded
    );
}

#[tokio::test(start_paused = true)]
async fn a_person_approves_while_the_controller_is_down() {
    let mut stage = initialised(&[]).await;
    annotate(&stage, "Canary", "approve", "rollout,promotion");
    set_image(&stage, "app:v2");
    assert!(until(&stage, |stage| stage.status().phase == Phase::Waiting).await);
    let pending = slipway(&stage).pending_revision.unwrap();
    stage.kill();
    act(&stage, "approve", &pending);
    pass(HOUR).await;
    assert_eq!(stage.status().phase, Phase::Waiting);
    stage.start();
    assert!(
        until(&stage, |stage| stage.status().phase
            == Phase::WaitingPromotion)
        .await
    );
    assert_eq!(released(&stage), pending);
    act(&stage, "approve", &pending);
    assert_eq!(
        stage.reach(&[Phase::Succeeded], HOUR).await,
        Phase::Succeeded
    );
    let gates: Vec<(String, String)> = slipway(&stage)
        .approvals
        .into_iter()
        .map(|given| (given.gate, given.said.by))
        .collect();
    let expected = [("rollout", "ada"), ("promotion", "ada")];
    let expected = expected.map(|(gate, by)| (gate.to_owned(), by.to_owned()));
    assert_eq!(gates, expected);
}

#[tokio::test(start_paused = true)]
async fn an_action_on_another_revision_does_nothing_and_says_so() {
    let stage = initialised(&[]).await;
    set_image(&stage, "app:v2");
    assert!(until(&stage, |stage| stage.status().canary_weight == 20).await);
    let old = released(&stage);
    set_image(&stage, "app:v3");
    assert!(until(&stage, |stage| released(stage) != old).await);
    act(&stage, "abort", &old);
    assert_eq!(
        stage.reach(&[Phase::Succeeded], HOUR).await,
        Phase::Succeeded
    );
    let heeded = slipway(&stage).actions.remove("abort").unwrap();
    assert!(
        heeded.outcome.contains("nothing was done"),
        "{}",
        heeded.outcome
    );
    assert!(
        stage.events().contains(&heeded.outcome),
        "{:?}",
        stage.events()
    );
}

#[tokio::test(start_paused = true)]
async fn pause_resume_abort_retry_and_promote_do_what_they_say_once() {
    let stage = initialised(&[]).await;
    set_image(&stage, "app:v2");
    assert!(until(&stage, |stage| stage.status().canary_weight == 20).await);
    let revision = released(&stage);
    act(&stage, "pause", &revision);
    pass(HOUR).await;
    assert_eq!(stage.status().canary_weight, 20);
    let waiting = slipway(&stage).waiting.unwrap();
    assert_eq!(waiting.for_, "somebody to resume it: it was paused by ada");
    act(&stage, "resume", &revision);
    assert!(until(&stage, |stage| stage.status().canary_weight == 40).await);
    act(&stage, "abort", &revision);
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
    assert_eq!(
        slipway(&stage).reason.as_deref(),
        Some("Rolled back at weight 40: aborted by ada.")
    );
    pass(HOUR).await;
    assert_eq!(stage.status().phase, Phase::Failed);
    act(&stage, "retry", &revision);
    assert!(until(&stage, |stage| stage.status().canary_weight == 20).await);
    act(&stage, "promote", &revision);
    assert_eq!(
        stage.reach(&[Phase::Succeeded], HOUR).await,
        Phase::Succeeded
    );
    assert_eq!(
        slipway(&stage).reason.as_deref(),
        Some("Promoted without further analysis by ada.")
    );
}

#[tokio::test(start_paused = true)]
async fn p9_actions_that_were_done_cost_nothing_at_rest() {
    let stage = initialised(&[]).await;
    set_image(&stage, "app:v2");
    assert!(until(&stage, |stage| stage.status().canary_weight == 20).await);
    let revision = released(&stage);
    act(&stage, "promote", &revision);
    assert_eq!(
        stage.reach(&[Phase::Succeeded], HOUR).await,
        Phase::Succeeded
    );
    pass(Duration::from_mins(1)).await;
    let status = stage.status();
    let writes = |stage: &Stage| {
        let asked = stage.world.faults("slipway").asked();
        asked
            .iter()
            .filter(|asked| asked.write.is_some() && asked.resource != "leases")
            .count()
    };
    let before = writes(&stage);
    pass(HOUR).await;
    assert_eq!(writes(&stage), before);
    assert_eq!(stage.status(), status);
}
