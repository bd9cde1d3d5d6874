//! The record of a release: what hooks answered, why pods did not run, what each tick allowed. It is bounded, and costs no write of its own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::panic,
    reason = "the helpers of tests may fail, and look at one case of many"
)]

#[expect(
    dead_code,
    unused_imports,
    reason = "each test takes its part of the world"
)]
mod support;

use slipway_api::{Phase, PodReason, RECORDED_REASONS, RECORDED_TEXT, ReleaseStatus, Side};
use slipway_core::decide;
use slipway_core::decision::Effect;
use slipway_core::observation::Workload;
use support::{Reply, Story, World, at, canary, pods, ready, seen, slipway, status, told};

/// 20, 60, then promoted; judged by the success rate, with a hook of each kind that a release waits for.
fn hooked() -> Story {
    let story = canary("app").steps([20, 60]).success_rate(99.0);
    let kinds = [
        "confirm-rollout",
        "pre-rollout",
        "rollout",
        "confirm-promotion",
        "post-rollout",
    ];
    let with_hook = |story: Story, kind: &&str| story.hook(kind, &format!("of-{kind}"));
    kinds.iter().fold(story, with_hook)
}

fn record(world: &World) -> ReleaseStatus {
    slipway(&world.stored).release.unwrap_or_default()
}

/// Type, and what it said.
fn answers(world: &World) -> Vec<(String, bool, String)> {
    let hooks = record(world).hooks.into_iter();
    hooks.map(|it| (it.type_, it.passed, it.text)).collect()
}

#[test]
fn what_each_hook_answered_stands_in_the_record() {
    let mut world = hooked().initialised();
    world.answers("of-post-rollout", Reply::No);
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    let passed = |kind: &str| (kind.to_owned(), true, String::new());
    let mut found = answers(&world);
    found.sort();
    let expected = [
        passed("confirm-promotion"),
        passed("confirm-rollout"),
        ("post-rollout".to_owned(), false, "no".to_owned()),
        passed("pre-rollout"),
    ];
    assert_eq!(found, expected, "{}", world.tale());
    let ticks = record(&world).ticks;
    assert!(
        ticks
            .iter()
            .any(|tick| tick.hooks.get("of-rollout").map(String::as_str) == Some("passed"))
    );
    assert!(
        ticks.iter().all(|tick| tick.limits.values().eq([">= 99%"])),
        "{ticks:?}"
    );
}

#[test]
fn a_hook_that_refuses_its_tick_is_recorded_with_what_it_said() {
    let mut world = hooked().initialised();
    world.answers("of-rollout", Reply::No);
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
    let last = record(&world).ticks.pop().unwrap();
    assert_eq!(
        last.hooks.get("of-rollout").map(String::as_str),
        Some("refused: no")
    );
}

#[test]
fn a_gate_that_opens_late_is_recorded_as_open_and_the_answers_of_a_release_before_are_not() {
    let mut world = hooked().initialised();
    world.answers("of-confirm-promotion", Reply::No);
    world.push("v2");
    world.run_until(|world| world.phase() == Phase::WaitingPromotion);
    let refused = ("confirm-promotion".to_owned(), false, "no".to_owned());
    assert!(answers(&world).contains(&refused), "{:?}", answers(&world));
    world.answers("of-confirm-promotion", Reply::Yes);
    world.run();
    let passed = ("confirm-promotion".to_owned(), true, String::new());
    assert!(answers(&world).contains(&passed), "{}", world.tale());
    world.answers("of-pre-rollout", Reply::No);
    world.push("v3");
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
    assert!(
        !answers(&world)
            .iter()
            .any(|(kind, ..)| kind == "confirm-promotion")
    );
}

fn given(reason: &str) -> PodReason {
    PodReason {
        side: Side::Canary,
        reason: reason.to_owned(),
        container: Some("app".into()),
        exit_code: None,
        message: String::new(),
        pod: "app-x".into(),
        at: None,
    }
}

#[test]
fn reasons_of_pods_are_recorded_once_told_once_and_bounded() {
    let plan = canary("app").steps([20]).plan();
    let mut known = status(Phase::Progressing);
    let mut seen = seen(
        Some(ready("v1", 1)),
        Some(Workload {
            updated: 1,
            replicas: 1,
            ..pods("v2", 1, 0)
        }),
    );
    let mut told_of = 0;
    for at_second in 0..20 {
        let reason = given(&format!("Reason{at_second}"));
        seen.pod_reasons = vec![reason.clone(), reason];
        let decision = decide(&plan, &known, &seen, at(at_second));
        told_of += told(&decision)
            .iter()
            .filter(|text| text.starts_with("Pods of app.test do not run"))
            .count();
        known = decision.status;
        let again = decide(&plan, &known, &seen, at(at_second));
        assert!(
            !again.effects.contains(&Effect::Record),
            "the same again writes nothing"
        );
    }
    let recorded = slipway(&known).release.unwrap_or_default().pods;
    assert_eq!(
        (recorded.len(), told_of),
        (RECORDED_REASONS, RECORDED_REASONS)
    );
    assert_eq!(
        recorded[0],
        PodReason {
            at: Some(at(0)),
            ..given("Reason0")
        }
    );
}

#[test]
fn pods_of_the_revision_before_say_nothing_of_the_one_that_has_none_yet() {
    let plan = canary("app").steps([20]).plan();
    let no_pods = Workload {
        updated: 0,
        ..pods("v2", 1, 0)
    };
    let mut seen = seen(Some(ready("v1", 1)), Some(no_pods));
    seen.pod_reasons = vec![given("CrashLoopBackOff")];
    let decision = decide(&plan, &status(Phase::Progressing), &seen, at(1));
    assert!(
        slipway(&decision.status)
            .release
            .unwrap_or_default()
            .pods
            .is_empty()
    );
}

#[test]
fn what_a_hook_says_is_cut() {
    let long = "x".repeat(5 * RECORDED_TEXT);
    assert_eq!(
        slipway_core::words::bounded(&long, RECORDED_TEXT)
            .chars()
            .count(),
        RECORDED_TEXT
    );
}
