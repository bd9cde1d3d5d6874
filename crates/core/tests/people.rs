//! What people do to a release, and what an annotation changes in one that runs.
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

use slipway_api::{Phase, Side};
use slipway_core::action::{Action, Meant, Verb};
use slipway_core::plan::{Gate, Problem};
use support::{Reply, Story, World, at, canary, slipway};

/// 20, 60, then promoted; judged by the success rate, every 10 s.
fn weighted() -> Story {
    canary("app").steps([20, 60]).success_rate(99.0)
}

/// `v2` is at that weight.
fn at_weight(story: Story, weight: i64) -> World {
    let mut world = story.initialised();
    world.push("v2");
    world.run_until(|world| world.stored.canary_weight == weight);
    world
}

/// Ada acts on a revision.
fn act(world: &mut World, verb: Verb, revision: &str) {
    act_at(world, verb, revision, None);
}

fn act_at(world: &mut World, verb: Verb, revision: &str, gate: Option<Gate>) {
    let meant = Meant {
        revision: revision.to_owned(),
        by: "ada".to_owned(),
        at: Some(world.now),
        gate,
    };
    world.actions.retain(|action| action.verb != verb);
    world.actions.push(Action {
        verb,
        value: meant.value(),
        meant: Ok(meant),
    });
}

fn waits_for(world: &World) -> Option<String> {
    slipway(&world.stored).waiting.map(|waiting| waiting.for_)
}

fn outcome(world: &World, verb: Verb) -> String {
    let actions = slipway(&world.stored).actions;
    actions
        .get(verb.as_str())
        .map(|heeded| heeded.outcome.clone())
        .unwrap_or_default()
}

fn reason(world: &World) -> String {
    slipway(&world.stored).reason.unwrap_or_default()
}

#[test]
fn a_release_starts_and_is_promoted_when_a_person_has_approved_both() {
    let mut world = weighted()
        .tuned("approve", "rollout,promotion")
        .initialised();
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Waiting, "{}", world.tale());
    assert_eq!(
        waits_for(&world).as_deref(),
        Some("approval of the rollout by a person")
    );
    assert_eq!(
        slipway(&world.stored).pending_revision.as_deref(),
        Some("v2")
    );
    act(&mut world, Verb::Approve, "v2");
    world.run();
    assert_eq!(world.phase(), Phase::WaitingPromotion, "{}", world.tale());
    assert_eq!(world.stored.canary_weight, 60);
    assert_eq!(
        waits_for(&world).as_deref(),
        Some("approval of the promotion by a person")
    );
    act(&mut world, Verb::Approve, "v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    let given = slipway(&world.stored).approvals;
    let given: Vec<_> = given
        .iter()
        .map(|it| {
            (
                it.gate.as_str(),
                it.said.revision.as_str(),
                it.said.by.as_str(),
            )
        })
        .collect();
    assert_eq!(
        given,
        [("rollout", "v2", "ada"), ("promotion", "v2", "ada")]
    );
    let told = world.told();
    for expected in [
        "Halt app.test advancement waiting for approval by a person",
        "Release of app.test: rollout of revision v2 approved by ada",
        "Halt app.test advancement waiting for promotion approval by a person",
        "Release of app.test: promotion of revision v2 approved by ada",
    ] {
        let times = told
            .iter()
            .filter(|text| text.trim_start_matches("! ") == expected)
            .count();
        assert_eq!(times, 1, "{expected}\n{}", world.tale());
    }
}

#[test]
fn p3_an_approval_opens_one_gate_for_one_revision() {
    let mut world = weighted().tuned("approve", "rollout").initialised();
    world.push("v2");
    world.run();
    world.push("v3");
    world.run();
    act(&mut world, Verb::Approve, "v2");
    world.run();
    assert_eq!(world.phase(), Phase::Waiting, "{}", world.tale());
    assert_eq!(
        outcome(&world, Verb::Approve),
        "Release of app.test: action approve has no effect: it names revision v2, but the release is Waiting with revision v3: nothing was done"
    );
    act(&mut world, Verb::Approve, "v3");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    world.push("v4");
    world.run();
    assert_eq!(world.phase(), Phase::Waiting, "{}", world.tale());
}

#[test]
fn a_wait_for_a_person_writes_nothing_and_is_judged_on() {
    let mut world = at_weight(weighted().tuned("approve", "promotion"), 60);
    world.run_for(60);
    let before = world.stored.clone();
    world.run_for(3600);
    assert_eq!(world.stored, before, "{}", world.tale());
    world.answers("metric 0", Reply::Value(90.0));
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
}

#[test]
fn a_paused_release_keeps_its_weight_until_it_is_resumed() {
    let mut world = at_weight(weighted(), 20);
    act(&mut world, Verb::Pause, "v2");
    world.run_for(600);
    assert_eq!(world.stored.canary_weight, 20, "{}", world.tale());
    assert_eq!(world.phase(), Phase::Progressing);
    let waited = "somebody to resume it: it was paused by ada";
    assert_eq!(waits_for(&world).as_deref(), Some(waited));
    act(&mut world, Verb::Resume, "v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(slipway(&world.stored).paused, None);
}

#[test]
fn a_paused_release_that_goes_wrong_is_rolled_back_all_the_same() {
    let mut world = at_weight(weighted(), 20);
    act(&mut world, Verb::Pause, "v2");
    world.run_for(60);
    world.answers("metric 0", Reply::Value(90.0));
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
}

#[test]
fn nothing_starts_while_a_canary_is_paused() {
    for by_annotation in [false, true] {
        let story = if by_annotation {
            weighted().tuned("paused", "true")
        } else {
            weighted()
        };
        let mut world = story.initialised();
        if !by_annotation {
            act(&mut world, Verb::Pause, "v1");
            world.run();
        }
        world.push("v2");
        world.run();
        assert_eq!(world.phase(), Phase::Waiting, "{}", world.tale());
        if by_annotation {
            assert_eq!(
                waits_for(&world).as_deref(),
                Some("annotation slipway.dev/paused of Canary app to be false")
            );
            world.edit(|story| story.tuned("paused", "false"));
        } else {
            act(&mut world, Verb::Resume, "v2");
        }
        world.run();
        assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    }
}

#[test]
fn an_abort_takes_the_traffic_back_at_once_and_the_revision_is_not_tried_again() {
    let mut world = at_weight(weighted(), 60);
    act(&mut world, Verb::Abort, "v2");
    world.step();
    assert_eq!(world.share_of_canary(), 0, "{}", world.tale());
    assert_eq!(world.phase(), Phase::Failed);
    assert_eq!(reason(&world), "Rolled back at weight 60: aborted by ada.");
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
    act(&mut world, Verb::Retry, "v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

#[test]
fn a_revision_that_waits_can_be_aborted_before_it_starts() {
    let mut world = weighted().tuned("approve", "rollout").initialised();
    world.push("v2");
    world.run();
    act(&mut world, Verb::Abort, "v2");
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
    assert_eq!(reason(&world), "Aborted by ada before it started.");
    assert_eq!(slipway(&world.stored).pending_revision, None);
    act(&mut world, Verb::Retry, "v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

#[test]
fn p3_a_person_promotes_without_further_analysis_and_is_named() {
    let mut world = at_weight(weighted(), 20);
    world.answers("metric 0", Reply::Never);
    act(&mut world, Verb::Promote, "v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(reason(&world), "Promoted without further analysis by ada.");
    let release = slipway(&world.stored).release.unwrap();
    assert_eq!(
        release.skipped_by.map(|said| said.by).as_deref(),
        Some("ada")
    );
}

#[test]
fn a_late_action_does_nothing_and_says_so() {
    for verb in Verb::ALL {
        let mut world = at_weight(weighted(), 20);
        world.push("v3");
        world.run_until(|world| {
            let release = slipway(&world.stored).release;
            release.is_some_and(|release| release.revision == "v3")
        });
        act(&mut world, verb, "v2");
        world.run();
        assert_eq!(
            world.phase(),
            Phase::Succeeded,
            "{verb:?}\n{}",
            world.tale()
        );
        assert!(
            outcome(&world, verb).contains("nothing was done"),
            "{verb:?}: {}",
            outcome(&world, verb)
        );
    }
}

#[test]
fn an_action_is_done_once_however_long_it_stands_there() {
    let mut world = at_weight(weighted(), 20);
    act(&mut world, Verb::Abort, "v2");
    world.run();
    // The same revision comes again by another way: the old word does not count against it.
    act(&mut world, Verb::Retry, "v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    let heeded = world.told();
    let aborts = heeded.iter().filter(|text| text.contains("is aborted by"));
    assert_eq!(aborts.count(), 1, "{}", world.tale());
}

#[test]
fn an_action_that_cannot_be_read_is_told_once_and_holds_nothing() {
    let mut world = at_weight(weighted(), 20);
    let problem = Problem::new(
        "annotation slipway.dev/action-abort",
        "now",
        "must be words",
    );
    world.actions.push(Action {
        verb: Verb::Abort,
        value: "now".to_owned(),
        meant: Err(problem),
    });
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    let told = world.told();
    let refusals = told
        .iter()
        .filter(|text| text.contains("action abort has no effect"));
    assert_eq!(refusals.count(), 1, "{}", world.tale());
}

#[test]
fn a_promotion_that_has_begun_is_not_aborted() {
    let mut world = at_weight(weighted(), 60);
    world.run_until(|world| world.phase() == Phase::Promoting);
    act(&mut world, Verb::Abort, "v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert!(outcome(&world, Verb::Abort).contains("being promoted already"));
}

#[test]
fn an_annotation_that_changes_during_a_release_applies_from_the_next_decision_and_is_told() {
    let mut world = at_weight(weighted().threshold(1).tuned("threshold", "3"), 20);
    world.edit(|story| story.tuned("threshold", "5"));
    world.answers("metric 0", Reply::Value(90.0));
    world.run_until(|world| world.stored.failed_checks == 4);
    assert_eq!(world.phase(), Phase::Progressing, "{}", world.tale());
    let told = world.told();
    let changes = told.iter().filter(|text| text.starts_with("Annotation "));
    let changes: Vec<_> = changes.collect();
    assert_eq!(
        changes,
        [
            "Annotation slipway.dev/threshold of app.test changed from 3 to 5 during the release, from now on it applies"
        ],
        "{}",
        world.tale()
    );
    let remembered = slipway(&world.stored).annotations;
    assert_eq!(
        remembered.get("slipway.dev/threshold").map(String::as_str),
        Some("5")
    );
}

#[test]
fn p6_actions_survive_a_crash_after_any_write() {
    for after in 0..12 {
        let mut world = at_weight(weighted(), 20);
        act(&mut world, Verb::Abort, "v2");
        world.fault = support::Fault::Crash { after, seconds: 30 };
        world.run();
        assert_eq!(world.phase(), Phase::Failed, "{after}\n{}", world.tale());
        assert_eq!(world.share_of_canary(), 0, "{after}\n{}", world.tale());
        assert!(world.is_alive(Side::Primary));
        assert!(world.now > at(0));
    }
}

#[test]
fn the_record_tells_what_each_tick_measured_and_what_came_of_it() {
    let mut world = at_weight(weighted(), 20);
    world.answers("metric 0", Reply::Value(98.5));
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
    let ticks = slipway(&world.stored).release.unwrap().ticks;
    let told: Vec<_> = ticks
        .iter()
        .map(|tick| {
            let value = tick.values.get("request-success-rate").copied();
            (tick.weight, value, tick.failure.as_deref())
        })
        .collect();
    let failure = Some("Halt app.test advancement success rate 98.50% < 99%");
    assert_eq!(
        told,
        [
            (0, None, None),
            (20, Some(98.5), failure),
            (20, Some(98.5), failure),
        ]
    );
}

#[test]
fn the_record_is_bounded_and_keeps_the_newest() {
    let weights: Vec<i64> = (1..=60).collect();
    let weights: [i64; 60] = weights.try_into().unwrap();
    let mut world = canary("app").steps(weights).initialised();
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    let ticks = slipway(&world.stored).release.unwrap().ticks;
    assert_eq!(ticks.len(), slipway_api::RECORDED_TICKS);
    assert_eq!(ticks.last().map(|tick| tick.weight), Some(60));
}
