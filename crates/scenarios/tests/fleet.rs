//! Several releases with the real controller: the order between them, and the limits on how many run at once.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail, and look at one case of many"
)]

use std::collections::BTreeMap;
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

/// A Deployment and its Canary by 20, 60, of that name and namespace.
fn release(namespace: &str, name: &str) -> [Value; 2] {
    let steps = json!({"stepWeights": [20, 60]});
    let named = |object: Value| {
        let text = object.to_string();
        let text = text.replace(r#""app""#, &format!(r#""{name}""#));
        // The key of labels and selectors stays.
        let text = text.replace(
            &format!(r#""{name}":"{name}""#),
            &format!(r#""app":"{name}""#),
        );
        let mut object: Value = serde_json::from_str(&text).unwrap();
        object["metadata"]["namespace"] = json!(namespace);
        object
    };
    [
        named(deployment("app:v1", 1)),
        named(canary("istio", &steps)),
    ]
}

fn status_in(stage: &Stage, namespace: &str, name: &str) -> CanaryStatus {
    let canary = stage.world.get("Canary", namespace, name).unwrap();
    serde_json::from_value(canary["status"].clone()).unwrap_or_default()
}

fn status(stage: &Stage, name: &str) -> CanaryStatus {
    status_in(stage, NAMESPACE, name)
}

fn slipway(stage: &Stage, name: &str) -> SlipwayStatus {
    status(stage, name).slipway.unwrap_or_default()
}

fn waits_for(stage: &Stage, name: &str) -> String {
    let waiting = slipway(stage, name).waiting;
    waiting.map(|waiting| waiting.for_).unwrap_or_default()
}

fn condition(stage: &Stage, name: &str, type_: &str) -> Option<(ConditionStatus, String)> {
    let conditions = status(stage, name).conditions;
    let found = conditions.iter().find(|it| it.type_ == type_)?;
    Some((found.status, found.message.clone()))
}

fn annotate(stage: &Stage, kind: &str, name: &str, key: &str, value: impl Into<Value>) {
    let patch = json!({"metadata": {"annotations": {format!("slipway.dev/{key}"): value.into()}}});
    stage.world.patch(kind, NAMESPACE, name, &patch).unwrap();
}

fn set_image(stage: &Stage, name: &str, image: &str) {
    stage.world.set_image(NAMESPACE, name, image).unwrap();
}

async fn until(stage: &Stage, holds: impl Fn(&Stage) -> bool) -> bool {
    stage.world.eventually(HOUR, |_| holds(stage)).await;
    holds(stage)
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

async fn is_at(stage: &Stage, name: &str, phase: Phase) -> bool {
    until(stage, |stage| status(stage, name).phase == phase).await
}

/// These releases, initialised, `app` after `database`.
async fn ordered(names: &[&str]) -> Stage {
    let stage = Stage::new(11, &FLAGS);
    for name in names {
        stage.apply(&release(NAMESPACE, name));
    }
    annotate(&stage, "Deployment", "app", "after", "database");
    for name in names {
        assert!(is_at(&stage, name, Phase::Initialized).await, "{name}");
    }
    stage
}

#[tokio::test(start_paused = true)]
async fn two_that_are_changed_together_go_one_after_the_other_whichever_comes_first() {
    for order in [["app", "database"], ["database", "app"]] {
        let stage = ordered(&["app", "database"]).await;
        // As one `kubectl apply`: the objects come one after the other.
        for name in order {
            set_image(&stage, name, "app:v2");
            pass(Duration::from_millis(700)).await;
        }
        assert!(is_at(&stage, "database", Phase::Progressing).await);
        pass(Duration::from_secs(5)).await;
        assert_eq!(status(&stage, "app").phase, Phase::Waiting, "{order:?}");
        let first = "Canary database to rest at its newest revision";
        assert_eq!(waits_for(&stage, "app"), first);
        assert!(is_at(&stage, "database", Phase::Succeeded).await);
        let rested = stage.world.now();
        assert!(is_at(&stage, "app", Phase::Progressing).await);
        let woken_after = stage.world.now() - rested;
        // No interval has passed: it was woken, and did not look by itself.
        assert!(woken_after < chrono::TimeDelta::seconds(1), "{woken_after}");
        assert!(is_at(&stage, "app", Phase::Succeeded).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_release_holds_the_one_after_it_also_over_a_restart() {
    let mut stage = ordered(&["app", "database"]).await;
    annotate(&stage, "Canary", "database", "threshold", "1");
    stage.outside.reply(
        "istio_requests_total",
        slipway_scenarios::outside::Reply::Sample(10.0),
    );
    set_image(&stage, "database", "app:v2");
    assert!(is_at(&stage, "database", Phase::Failed).await);
    set_image(&stage, "app", "app:v2");
    let held = "Canary database to be mended, whose last release failed";
    assert!(until(&stage, |stage| waits_for(stage, "app") == held).await);
    let shown = Some((ConditionStatus::True, format!("Waiting for {held}.")));
    assert_eq!(condition(&stage, "app", "DependencyFailed"), shown);
    let since = slipway(&stage, "app").waiting.unwrap().since;
    stage.kill();
    stage.start();
    pass(HOUR).await;
    assert_eq!(slipway(&stage, "app").waiting.unwrap().since, since);
    let told = stage.events();
    let times = told.iter().filter(|text| text.contains(held)).count();
    assert_eq!(times, 1, "{told:?}");
    // The newest of the database is again what serves.
    stage.outside.reply(
        "istio_requests_total",
        slipway_scenarios::outside::Reply::Sample(100.0),
    );
    set_image(&stage, "database", "app:v1");
    assert!(is_at(&stage, "app", Phase::Succeeded).await);
    assert_eq!(condition(&stage, "app", "DependencyFailed"), None);
}

#[tokio::test(start_paused = true)]
async fn a_cycle_and_an_unknown_name_are_refused_by_name_until_they_are_mended() {
    let stage = ordered(&["app", "database"]).await;
    annotate(&stage, "Canary", "database", "after", "app");
    for (name, round) in [
        ("app", "app after database after app"),
        ("database", "database after app after database"),
    ] {
        let names_it = |stage: &Stage| {
            let told = condition(stage, name, "InvalidSpec");
            told.is_some_and(|(_, message)| message.ends_with(round))
        };
        assert!(until(&stage, names_it).await, "{:?}", status(&stage, name));
    }
    set_image(&stage, "app", "app:v2");
    pass(HOUR).await;
    assert_eq!(status(&stage, "app").phase, Phase::Initialized);
    annotate(&stage, "Canary", "database", "after", "cache");
    assert!(is_at(&stage, "app", Phase::Succeeded).await);
    let unknown = "annotation slipway.dev/after is cache, but there is no Canary test/cache";
    let told = condition(&stage, "database", "InvalidSpec");
    assert_eq!(told, Some((ConditionStatus::True, unknown.to_owned())));
    // When it comes, the one after it is woken.
    stage.apply(&release(NAMESPACE, "cache"));
    assert!(
        until(&stage, |stage| condition(stage, "database", "InvalidSpec")
            .is_none())
        .await
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_write_of_an_ordered_pair_changes_neither_order_nor_end() {
    for write in (1..=31).step_by(3) {
        let mut stage = ordered(&["app", "database"]).await;
        let faults = stage.world.faults("slipway");
        let before = faults.writes();
        faults.at_write(before + write, slipway_sim::Fault::CrashAfter);
        set_image(&stage, "app", "app:v2");
        set_image(&stage, "database", "app:v2");
        let (mut crashed, mut both) = (false, false);
        let end = stage.world.now() + chrono::TimeDelta::hours(1);
        while status(&stage, "app").phase != Phase::Succeeded && stage.world.now() < end {
            let rests = status(&stage, "database").phase == Phase::Succeeded;
            both |= !rests && status(&stage, "app").phase == Phase::Progressing;
            tokio::select! {
                () = faults.crashed(), if !crashed => {
                    crashed = true;
                    stage.kill();
                    stage.start();
                }
                () = pass(Duration::from_millis(500)) => {}
            }
        }
        assert_eq!(
            status(&stage, "app").phase,
            Phase::Succeeded,
            "write {write}"
        );
        assert!(
            crashed && !both,
            "write {write}: crashed {crashed}, together {both}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_tells_of_the_newest_spec_that_was_looked_at() {
    let stage = ordered(&["app", "database"]).await;
    let told = |stage: &Stage| {
        let canary = stage.world.get("Canary", NAMESPACE, "app").unwrap();
        let generation = canary["metadata"]["generation"].as_i64().unwrap();
        (
            generation,
            canary["status"]["observedGeneration"].as_i64().unwrap(),
        )
    };
    for threshold in [3, 4] {
        let patch = json!({"spec": {"analysis": {"threshold": threshold}}});
        stage
            .world
            .patch("Canary", NAMESPACE, "app", &patch)
            .unwrap();
        let (generation, observed) = told(&stage);
        assert_eq!(generation, observed + 1, "nobody has looked at it yet");
        pass(Duration::from_secs(1)).await;
        assert_eq!(told(&stage), (generation, generation));
    }
}

/// How many run, by namespace.
fn running(stage: &Stage, namespaces: &[&str]) -> BTreeMap<String, usize> {
    let runs = ["Progressing", "WaitingPromotion", "Promoting", "Finalising"];
    let count = |namespace: &str| {
        let canaries = stage.world.list("Canary", namespace);
        let phases = canaries
            .iter()
            .map(|canary| canary["status"]["phase"].as_str());
        phases
            .filter(|phase| phase.is_some_and(|phase| runs.contains(&phase)))
            .count()
    };
    namespaces
        .iter()
        .map(|namespace| ((*namespace).to_owned(), count(namespace)))
        .collect()
}

/// So many releases on one ConfigMap, half of them in another namespace, initialised.
async fn on_one_config(flags: &[&str], count: usize) -> (Stage, Vec<(&'static str, String)>) {
    let stage = Stage::new(13, &[&FLAGS, flags].concat());
    stage.apply(&[json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})]);
    let mut all = Vec::new();
    for namespace in [NAMESPACE, "other"] {
        stage.apply(&[settings(namespace, "1")]);
    }
    for number in 0..count {
        let namespace = if number % 2 == 0 { NAMESPACE } else { "other" };
        let name = format!("app-{number}");
        let [mut workload, canary] = release(namespace, &name);
        workload["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
            json!([{"configMapRef": {"name": "settings"}}]);
        stage.apply(&[workload, canary]);
        all.push((namespace, name));
    }
    for (namespace, name) in &all {
        let initialised =
            |stage: &Stage| status_in(stage, namespace, name).phase == Phase::Initialized;
        assert!(until(&stage, initialised).await, "{name}");
    }
    (stage, all)
}

fn settings(namespace: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}, "data": {"value": value}})
}

/// Changes the ConfigMaps, and watches until all have ended; how many ran at most, in all and in the fuller namespace, and the order of starts.
async fn change_all(
    stage: &mut Stage,
    all: &[(&'static str, String)],
    kill_at: Option<usize>,
) -> (usize, usize) {
    for namespace in [NAMESPACE, "other"] {
        stage.apply(&[settings(namespace, "2")]);
    }
    let (mut most, mut fullest, mut steps) = (0, 0, 0);
    let ended = |stage: &Stage| {
        all.iter().all(|(namespace, name)| {
            let canary = stage.world.get("Canary", namespace, name).unwrap();
            canary["status"]["phase"] == json!("Succeeded")
        })
    };
    let end = stage.world.now() + chrono::TimeDelta::hours(2);
    while !ended(stage) && stage.world.now() < end {
        let counts = running(stage, &[NAMESPACE, "other"]);
        most = most.max(counts.values().sum());
        fullest = fullest.max(counts.values().copied().max().unwrap_or(0));
        steps += 1;
        if kill_at.is_some_and(|every| steps % every == 0) {
            stage.kill();
            stage.start();
        }
        pass(Duration::from_millis(250)).await;
    }
    assert!(ended(stage), "not all have ended");
    (most, fullest)
}

#[tokio::test(start_paused = true)]
async fn fc_082_a_shared_config_starts_no_more_releases_than_may_run_at_once() {
    let flags = ["--max-releases=3", "--max-releases-per-namespace=2"];
    let (mut stage, all) = on_one_config(&flags, 10).await;
    assert_eq!(change_all(&mut stage, &all, None).await, (3, 2));
    for (namespace, name) in &all {
        let slipway = status_in(&stage, namespace, name).slipway.unwrap();
        assert!(!slipway.queued && slipway.pending_since.is_none(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn fc_082_restarts_neither_exceed_the_limit_nor_lose_anybody() {
    let flags = ["--max-releases=2"];
    let (mut stage, all) = on_one_config(&flags, 6).await;
    let (most, _) = change_all(&mut stage, &all, Some(150)).await;
    assert_eq!(most, 2);
}

/// FC-082 at a larger size; it takes a while.
#[tokio::test(start_paused = true)]
#[ignore = "a hundred releases take a minute or two"]
async fn fc_082_a_hundred_releases_of_one_config_ten_at_once() {
    let (mut stage, all) = on_one_config(&["--max-releases=10"], 100).await;
    let (most, _) = change_all(&mut stage, &all, None).await;
    assert_eq!(most, 10);
}

#[tokio::test(start_paused = true)]
async fn without_limits_all_run_at_once() {
    let (mut stage, all) = on_one_config(&[], 6).await;
    assert_eq!(change_all(&mut stage, &all, None).await, (6, 3));
}

#[tokio::test(start_paused = true)]
async fn the_queue_tells_places_and_moves_up_when_one_ends() {
    let stage = Stage::new(17, &[&FLAGS, &["--max-releases=1"][..]].concat());
    for name in ["one", "two", "three"] {
        stage.apply(&release(NAMESPACE, name));
    }
    for name in ["one", "two", "three"] {
        assert!(is_at(&stage, name, Phase::Initialized).await, "{name}");
    }
    for name in ["one", "two", "three"] {
        set_image(&stage, name, "app:v2");
        pass(Duration::from_secs(1)).await;
    }
    assert_eq!(status(&stage, "one").phase, Phase::Progressing);
    assert_eq!(waits_for(&stage, "two"), "its turn: 1st of 1");
    assert_eq!(waits_for(&stage, "three"), "its turn: 2nd of 2");
    let since = slipway(&stage, "three").pending_since;
    // One that waits for a person holds nobody, and keeps its place for when it may go on.
    annotate(&stage, "Canary", "two", "approve", "rollout");
    assert!(
        until(&stage, |stage| waits_for(stage, "three")
            == "its turn: 1st of 1")
        .await
    );
    assert!(is_at(&stage, "one", Phase::Succeeded).await);
    let ended = stage.world.now();
    assert!(is_at(&stage, "three", Phase::Progressing).await);
    assert!(stage.world.now() - ended < chrono::TimeDelta::seconds(1));
    annotate(&stage, "Canary", "two", "approve", Value::Null);
    assert!(
        until(&stage, |stage| waits_for(stage, "two")
            == "its turn: 1st of 1")
        .await
    );
    assert!(slipway(&stage, "two").pending_since < since);
    assert!(is_at(&stage, "two", Phase::Succeeded).await);
    assert_eq!(status(&stage, "three").phase, Phase::Succeeded);
}
