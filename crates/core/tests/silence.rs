//! What is made of metrics that say nothing: a failed check, a wait, or a pass, as annotations ask; and a Canary that leaves all as it is.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the helpers of tests may fail, and look at one case of many"
)]

#[expect(
    dead_code,
    unused_imports,
    reason = "each test takes its part of the world"
)]
mod support;

use serde_json::json;
use slipway_api::Phase;
use slipway_core::analysis::{CheckResult, judge};
use slipway_core::observation::Reading;
use support::{Reply, Story, World, canary, slipway};

const FIRST: &str = "metric 0";

/// A release by 20 and 60 under a success rate, with these annotations, at the moment when weight 20 has users.
fn at_first_weight(annotations: &[(&str, &str)]) -> World {
    let mut story = canary("app")
        .steps([20, 60])
        .threshold(2)
        .success_rate(99.0);
    for (key, value) in annotations {
        story = story.tuned(key, value);
    }
    let mut world = story.initialised();
    world.push("v2");
    world.run_until(|world| world.stored.canary_weight == 20);
    assert_eq!(world.stored.canary_weight, 20, "{}", world.tale());
    world
}

fn waits_for(world: &World) -> String {
    let waiting = slipway(&world.stored).waiting;
    waiting.map(|waiting| waiting.for_).unwrap_or_default()
}

fn told(world: &World, text: &str) -> usize {
    let told = world.told();
    told.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn each_reading_means_what_the_annotations_say_and_mistakes_always_fail() {
    let plan = |annotation: &str, value: &str| -> slipway_core::plan::Plan {
        let story: Story = canary("app").steps([20]).success_rate(99.0);
        story.tuned(annotation, value).plan()
    };
    let readings = [
        Reading::NoData("none".into()),
        Reading::Failed("down".into()),
        Reading::Value(f64::INFINITY),
        Reading::Ambiguous("two".into()),
        Reading::Unusable("wrong".into()),
        Reading::Value(98.0),
    ];
    let rows = [
        ("on-no-data", "fail", "FFFFFF"),
        ("on-no-data", "hold", "UFFFFF"),
        ("on-no-data", "pass", "PFFFFF"),
        ("on-provider-error", "fail", "FFFFFF"),
        ("on-provider-error", "hold", "FUFFFF"),
        ("on-provider-error", "pass", "FPFFFF"),
    ];
    for (annotation, value, expected) in rows {
        let plan = plan(annotation, value);
        let said: String = readings
            .iter()
            .map(|reading| match judge(&plan, &plan.metrics[0], reading) {
                CheckResult::Passed => 'P',
                CheckResult::Failed(_) => 'F',
                CheckResult::Unmeasured(_) => 'U',
            })
            .collect();
        assert_eq!(said, expected, "{annotation}: {value}");
    }
}

#[test]
fn fc_058_a_release_without_data_fails_unless_it_is_to_hold() {
    let mut world = at_first_weight(&[]);
    world.answers(FIRST, Reply::NoData);
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
}

#[test]
fn fc_058_fc_061_a_release_that_holds_stays_at_its_step_says_so_once_and_goes_on_by_itself() {
    let rows = [
        ("on-no-data", Reply::NoData),
        ("on-provider-error", Reply::Down),
    ];
    for (annotation, silence) in rows {
        let mut world = at_first_weight(&[(annotation, "hold")]);
        world.answers(FIRST, silence);
        world.run_for(3_600);
        assert_eq!(world.phase(), Phase::Progressing, "{}", world.tale());
        assert_eq!(world.stored.canary_weight, 20, "{}", world.tale());
        assert_eq!(world.stored.failed_checks, 0, "{}", world.tale());
        assert_eq!(
            waits_for(&world),
            "metric request-success-rate to be measured"
        );
        let text = "waiting for metric request-success-rate to be measured: ";
        assert_eq!(told(&world, text), 1, "{}", world.tale());
        world.answers(FIRST, Reply::Value(99.9));
        world.run();
        assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
        assert_eq!(waits_for(&world), "");
    }
}

#[test]
fn a_metric_that_fails_is_not_hidden_by_one_that_says_nothing() {
    let bad = json!({"name": "errors", "query": "errors", "thresholdRange": {"max": 1}, "interval": "1m"});
    let story = canary("app")
        .steps([20, 60])
        .threshold(2)
        .success_rate(99.0);
    let mut world = story.metric(bad).tuned("on-no-data", "hold").initialised();
    world.answers("metric 1", Reply::Value(0.0));
    world.push("v2");
    world.run_until(|world| world.stored.canary_weight == 20);
    world.answers(FIRST, Reply::NoData);
    world.answers("metric 1", Reply::Value(5.0));
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
}

#[test]
fn a_release_that_holds_gives_way_to_a_newer_revision_at_once() {
    let mut world = at_first_weight(&[("on-no-data", "hold")]);
    world.answers(FIRST, Reply::NoData);
    world.run_for(600);
    world.push("v3");
    world.run_for(1);
    assert_eq!(world.share_of_canary(), 0, "{}", world.tale());
}

#[test]
fn without_data_may_pass_where_an_sre_asks_for_it() {
    let mut world = at_first_weight(&[("on-no-data", "pass")]);
    world.answers(FIRST, Reply::NoData);
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

#[test]
fn an_orphaned_canary_has_no_finalizer_and_one_that_it_had_goes() {
    let mut world = canary("app")
        .steps([20])
        .tuned("on-delete", "orphan")
        .initialised();
    assert!(!world.has_finalizer, "{}", world.tale());
    world.edit(|story| story.tuned("on-delete", "restore"));
    world.run_for(60);
    assert!(world.has_finalizer, "{}", world.tale());
    world.edit(|story| story.tuned("on-delete", "orphan"));
    world.run_for(60);
    assert!(!world.has_finalizer, "{}", world.tale());
    assert_eq!(world.phase(), Phase::Initialized);
}
