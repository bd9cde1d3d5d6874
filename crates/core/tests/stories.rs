//! How releases really break (the catalogue of failures), one story each. The oracle of the world checks the promises at every write.
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

use chrono::TimeDelta;
use slipway_api::{Phase, Side};
use slipway_core::decide;
use slipway_core::decision::{Decision, Effect, Outcome, Subject, Wake};
use slipway_core::observation::{Standing, Workload};
use slipway_core::plan::Problem;
use slipway_core::weight::{Routes, Weight};
use support::{Reply, Story, World, at, canary, pods, ready, seen, slipway, status, told};

/// 20, 60, then promoted; judged by the success rate.
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

/// `v2` is promoted, and the primary has just been given it.
fn promoting(story: Story) -> World {
    let mut world = story.initialised();
    world.push("v2");
    world.run_until(|world| world.phase() == Phase::Promoting);
    world
}

fn serves(world: &World) -> Vec<&str> {
    let primary = world.primary.as_ref().unwrap();
    primary.answers_with(world.now)
}

fn target_replicas(world: &World) -> i64 {
    world.target.as_ref().map_or(0, |target| target.replicas)
}

fn reason(world: &World) -> String {
    slipway(&world.stored).reason.unwrap_or_default()
}

fn waits_for(world: &World) -> Option<String> {
    slipway(&world.stored).waiting.map(|waiting| waiting.for_)
}

// Traffic to nothing, to the dead, or to the wrong version.

#[test]
fn fc_001_a_promotion_that_fails_keeps_the_traffic_on_the_judged_canary() {
    for recreates in [false, true] {
        let mut world = weighted().world();
        world.target.as_mut().unwrap().recreates = recreates;
        world.run();
        world.is_broken(Side::Primary, "v2");
        world.push("v2");
        world.run();
        assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
        assert_eq!(world.share_of_canary(), 100, "{}", world.tale());
        assert_eq!(world.stored.canary_weight, 100);
        assert_eq!(target_replicas(&world), 1);
        assert_eq!(world.counted, [Outcome::Failed]);
        let errors = world.happened(&["alert"]);
        let errors = errors.iter().filter(|line| line.contains("error:"));
        assert_eq!(errors.count(), 1, "{}", world.tale());
    }
}

#[test]
fn fc_030_the_deadline_of_the_primary_counts_from_when_it_was_given_the_revision() {
    let mut world = weighted().deadline(60).initialised();
    world.is_broken(Side::Primary, "v2");
    world.push("v2");
    world.run_until(|world| world.phase() == Phase::Promoting);
    let given_at = world.now;
    world.run_until(|world| world.phase() == Phase::Failed);
    assert_eq!(
        world.now - given_at,
        TimeDelta::seconds(60),
        "{}",
        world.tale()
    );
}

/// After [`fc_001_a_promotion_that_fails_keeps_the_traffic_on_the_judged_canary`], with an old pod of the primary left, or none.
fn failed_promotion(primary_is_emptied: bool) -> World {
    let mut world = weighted().world();
    world.target.as_mut().unwrap().recreates = primary_is_emptied;
    world.run();
    world.is_broken(Side::Primary, "v2");
    world.push("v2");
    world.run();
    world
}

#[test]
fn fc_002_after_a_failed_promotion_the_next_revision_meets_no_user_while_the_primary_answers() {
    let mut world = failed_promotion(false);
    world.push("v3");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(serves(&world), ["v3"]);
    let steps = world.happened(&["status"]);
    let again = steps
        .iter()
        .rposition(|line| line.contains("Failed"))
        .unwrap();
    let expected = [
        "status Progressing 0/0 failed 0",
        "status Progressing 20/0 failed 0",
        "status Progressing 60/0 failed 0",
        "status Promoting 60/0 failed 0",
        "status Finalising 0/0 failed 0",
        "status Succeeded 0/0 failed 0",
    ];
    assert_eq!(steps[again + 1..], expected, "{}", world.tale());
}

#[test]
fn fc_002_a_revision_that_waits_at_its_gate_after_a_failed_promotion_meets_no_user() {
    let mut world = weighted().hook("confirm-rollout", "gate").initialised();
    world.is_broken(Side::Primary, "v2");
    world.push("v2");
    world.run();
    assert_eq!(world.share_of_canary(), 100, "{}", world.tale());
    world.answers("gate", Reply::No);
    world.push("v3");
    world.run_for(60);
    assert_eq!(world.phase(), Phase::Waiting, "{}", world.tale());
    assert_eq!(world.share_of_canary(), 0, "{}", world.tale());
}

#[test]
fn fc_002_a_cure_is_released_although_the_primary_is_still_dead() {
    let mut world = failed_promotion(true);
    world.push("v3");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(serves(&world), ["v3"]);
    assert_eq!(target_replicas(&world), 0);
}

#[test]
fn fc_002_a_broken_primary_gets_the_old_revision_back_by_a_release_of_it() {
    let mut world = failed_promotion(true);
    world.push("v1");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(serves(&world), ["v1"]);
    assert_eq!(world.share_of_canary(), 0);
}

#[test]
fn fc_003_a_target_that_is_scaled_to_zero_under_traffic_loses_it_at_once() {
    let mut world = at_weight(weighted(), 60);
    let now = world.now;
    let scale = |target: &mut support::Deployment| target.replicas = 0;
    world.target.as_mut().unwrap().change(now, scale);
    world.run_for(2);
    assert_eq!(world.share_of_canary(), 0, "{}", world.tale());
    assert_eq!(world.phase(), Phase::Progressing);
    assert_eq!(world.stored.failed_checks, 1);
    assert_eq!(waits_for(&world).unwrap(), "Deployment app to become ready");
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
}

#[test]
fn a_canary_that_comes_back_begins_its_steps_again() {
    let mut world = at_weight(weighted(), 60);
    world.kill(Side::Canary);
    world.run_for(5);
    world.revive(Side::Canary);
    world.run();
    let steps: Vec<String> = world.happened(&["status"]);
    let lost = steps
        .iter()
        .position(|line| line.ends_with("failed 1"))
        .unwrap();
    let expected = [
        "status Progressing 0/0 failed 1",
        "status Progressing 20/0 failed 1",
        "status Progressing 60/0 failed 1",
        "status Promoting 60/0 failed 1",
    ];
    assert_eq!(steps[lost..lost + 4], expected, "{}", world.tale());
    assert_eq!(world.phase(), Phase::Succeeded);
}

#[test]
fn fc_004_a_primary_at_zero_replicas_is_never_ready() {
    let plan = weighted().plan();
    let world = seen(Some(pods("v2", 0, 0)), Some(ready("v2", 1)));
    let mut promoting = status(Phase::Promoting);
    promoting.canary_weight = 60;
    let decision = decide(&plan, &promoting, &world, at(0));
    assert_eq!(decision.status.phase, Phase::Promoting);
    assert_eq!(
        support::routed(&decision),
        [Routes::to_canary(Weight::FULL)]
    );
    let mut initialising = status(Phase::Initializing);
    initialising.slipway = None;
    let decision = decide(&plan, &initialising, &world, at(0));
    assert_eq!(decision.status.phase, Phase::Initializing);
    assert_eq!(support::routed(&decision), []);
}

#[test]
fn fc_005_the_first_hand_over_loses_no_request() {
    let mut world = weighted().world();
    world.starts_in(Side::Primary, "v1", 90);
    world.run_for(80);
    assert_eq!(
        world.share_of_canary(),
        100,
        "the target serves on\n{}",
        world.tale()
    );
    assert_eq!(
        waits_for(&world).unwrap(),
        "Deployment app-primary to become ready"
    );
    world.run();
    assert_eq!(world.phase(), Phase::Initialized);
    assert_eq!(world.share_of_canary(), 0);
}

#[test]
fn a_primary_that_dies_after_the_first_hand_over_gives_the_traffic_back() {
    let mut world = weighted().world();
    world.run_until(|world| world.routes == Some(Routes::PRIMARY));
    world.kill(Side::Primary);
    world.run_for(1);
    assert_eq!(world.phase(), Phase::Initializing);
    assert_eq!(world.share_of_canary(), 100, "{}", world.tale());
    world.revive(Side::Primary);
    world.run();
    assert_eq!(world.phase(), Phase::Initialized);
    assert_eq!(world.share_of_canary(), 0);
}

#[test]
fn fc_014_a_newer_revision_takes_the_traffic_off_at_once() {
    let mut world = at_weight(weighted(), 60);
    world.push("v3");
    let pushed_at = world.now;
    world.run_until(|world| world.share_of_canary() == 0);
    assert_eq!(world.now, pushed_at, "{}", world.tale());
    world.run();
    assert_eq!(serves(&world), ["v3"]);
}

#[test]
fn fc_015_a_newer_revision_in_any_phase_gets_no_traffic_before_it_is_judged_and_is_not_lost() {
    let stories = [
        weighted(),
        weighted().promotion_step(20),
        canary("app").iterations(2),
        canary("app").ab(2),
        canary("app").provider("kubernetes").iterations(2),
    ];
    for story in stories {
        let mut straight = story.clone().initialised();
        straight.push("v2");
        let begun_at = straight.now;
        straight.run();
        let seconds = (straight.now - begun_at).num_seconds();
        for second in 0..=seconds {
            let mut world = story.clone().initialised();
            world.push("v2");
            world.run_until(|world| world.now >= begun_at + TimeDelta::seconds(second));
            world.push("v3");
            // The oracle fails as soon as v3 has traffic that its own steps do not allow.
            world.run();
            assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
            assert_eq!(serves(&world), ["v3"], "INV-7: {second}\n{}", world.tale());
            assert_eq!(target_replicas(&world), 0, "{}", world.tale());
        }
    }
}

#[test]
fn fc_016_what_is_at_the_target_by_now_is_not_promoted_in_the_place_of_what_was_judged() {
    let plan = weighted().plan();
    let mut promoting = status(Phase::Promoting);
    promoting.canary_weight = 60;
    let world = seen(Some(ready("v1", 1)), Some(ready("v3", 1)));
    let decision = decide(&plan, &promoting, &world, at(0));
    let promotes = |effect: &Effect| matches!(effect, Effect::Promote { .. });
    assert!(
        !decision.effects.iter().any(promotes),
        "{:?}",
        decision.effects
    );
    assert_eq!(decision.status.phase, Phase::Progressing);
    assert_eq!(slipway(&decision.status).release.unwrap().revision, "v3");
    assert_eq!(support::routed(&decision), [Routes::PRIMARY]);
}

#[test]
fn fc_016_a_config_that_changes_before_the_copy_starts_the_analysis_over() {
    let mut world = weighted().initialised();
    world.push("v2");
    world.run_until(|world| world.stored.canary_weight == 60);
    world.configs.digest = "other".into();
    let judged = world.observe().revision();
    world.run();
    let given = world.primary.as_ref().unwrap().given.clone();
    assert_eq!(given, judged, "INV-5\n{}", world.tale());
    let restarts = world.told();
    let restarts = restarts.iter().filter(|text| text.contains("Restarting"));
    assert_eq!(restarts.count(), 1);
}

#[test]
fn fc_017_a_revert_cancels_the_release_at_once_and_starts_none() {
    for weight in [20, 60] {
        let mut world = at_weight(weighted(), weight);
        world.push("v1");
        let pushed_at = world.now;
        world.run_until(|world| world.phase() == Phase::Failed);
        assert_eq!(world.now, pushed_at);
        world.run();
        assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
        assert_eq!(serves(&world), ["v1"]);
        assert_eq!(target_replicas(&world), 0);
        assert_eq!(
            world
                .happened(&["effect"])
                .iter()
                .filter(|effect| effect.contains("Promote"))
                .count(),
            0
        );
        let expected = format!(
            "Cancelled at weight {weight}: the target was set back to the promoted revision."
        );
        assert_eq!(reason(&world), expected);
    }
}

#[test]
fn fc_017_a_revert_of_a_waiting_revision_closes_the_wait() {
    let mut world = weighted().hook("confirm-rollout", "gate").initialised();
    world.answers("gate", Reply::No);
    world.push("v2");
    world.run_for(20);
    assert_eq!(world.phase(), Phase::Waiting);
    world.push("v1");
    world.run_for(20);
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(waits_for(&world), None);
    world.answers("gate", Reply::Yes);
    world.run();
    assert_eq!(target_replicas(&world), 0, "{}", world.tale());
}

#[test]
fn a_revision_that_failed_is_not_tried_again_until_another_came() {
    let mut world = weighted().hook("confirm-rollout", "gate").initialised();
    world.answers("metric 0", Reply::Value(1.0));
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Failed);
    world.answers("gate", Reply::No);
    world.push("v3");
    world.run_for(20);
    assert_eq!(world.phase(), Phase::Waiting);
    world.push("v2");
    world.run_for(20);
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
    world.push("v1");
    world.run();
    world.push("v2");
    world.run_for(20);
    assert_eq!(world.phase(), Phase::Waiting, "{}", world.tale());
}

#[test]
fn fc_045_a_change_during_the_initialisation_is_released_afterwards() {
    for tenths in 0..100 {
        let mut world = weighted().world();
        world.run_until(|world| world.now >= at(0) + TimeDelta::milliseconds(100 * tenths));
        world.push("v2");
        world.run();
        let initialised_with = world.happened(&["effect"]);
        let made = initialised_with
            .iter()
            .any(|effect| effect.contains("CreatePrimary { revision: \"v1\" }"));
        assert!(made || tenths == 0, "{}", world.tale());
        assert_eq!(serves(&world), ["v2"], "{}", world.tale());
        assert_eq!(target_replicas(&world), 0, "{}", world.tale());
        let phase = if made {
            Phase::Succeeded
        } else {
            Phase::Initialized
        };
        assert_eq!(world.phase(), phase, "{}", world.tale());
    }
}

#[test]
fn fc_056_a_lost_primary_is_made_again_from_what_was_promoted_and_never_from_the_unjudged_target() {
    let mut world = at_weight(weighted(), 20);
    world.primary = None;
    world.run_for(1);
    assert_eq!(
        world.primary.as_ref().unwrap().template,
        "v1",
        "{}",
        world.tale()
    );
    world.run();
    assert_eq!(serves(&world), ["v2"], "{}", world.tale());

    let mut world = at_weight(weighted(), 20);
    (world.primary, world.record) = (None, None);
    world.run_for(30);
    let made = world.happened(&["effect"]);
    let made = made
        .iter()
        .filter(|effect| effect.starts_with("effect CreatePrimary {"));
    assert_eq!(made.count(), 1, "only the first one\n{}", world.tale());
}

// Stuck for ever.

/// Its name, what becomes of the workload at a second, and the workload that it is made of.
type Unready = (&'static str, fn(i64, Workload) -> Workload, Workload);

/// The ways in which a workload is not ready.
fn unready(revision: &str) -> Vec<Unready> {
    let same = |_, workload| workload;
    let grows = |second, workload: Workload| Workload {
        replicas: 4 + second % 3,
        ..workload
    };
    vec![
        ("none of the pods", same, pods(revision, 4, 0)),
        ("some of the pods", same, pods(revision, 4, 3)),
        (
            "old pods do not go",
            same,
            Workload {
                existing: 5,
                ..ready(revision, 4)
            },
        ),
        (
            "new pods do not come",
            same,
            Workload {
                updated: 2,
                ..ready(revision, 4)
            },
        ),
        (
            "nobody observes it",
            same,
            Workload {
                generation: 2,
                ..ready(revision, 4)
            },
        ),
        (
            "its scaler changes it all the time",
            grows,
            pods(revision, 4, 2),
        ),
    ]
}

#[test]
fn fc_029_a_canary_that_does_not_become_ready_fails_at_its_deadline_in_the_first_release_and_the_next()
 {
    let plan = weighted().deadline(60).plan();
    let mut before = status(Phase::Succeeded);
    for revision in ["v3", "v4"] {
        for (name, change, workload) in unready(revision) {
            let look = |status: &_, second: i64| {
                let target = change(second, workload.clone());
                decide(
                    &plan,
                    status,
                    &seen(Some(ready("v1", 1)), Some(target)),
                    at(second),
                )
            };
            let mut now = look(&before, 100).status;
            for second in 101..160 {
                now = look(&now, second).status;
                assert_eq!(now.phase, Phase::Progressing, "{name} at {second}");
            }
            let decision = look(&now, 160);
            assert_eq!(decision.status.phase, Phase::Failed, "{name}");
            assert!(
                told(&decision)[0].starts_with("Rolling back app.test progress deadline exceeded"),
                "{name}"
            );
        }
        // The next revision is pushed after the first one failed.
        before = status(Phase::Failed);
        before.slipway.as_mut().unwrap().acted_revision = Some("v3".into());
    }
}

#[test]
fn fc_029_a_primary_that_does_not_become_ready_fails_its_promotion_at_its_deadline() {
    let plan = weighted().deadline(60).plan();
    for (name, change, workload) in unready("v2") {
        let look = |status: &_, second: i64| {
            let primary = change(second, workload.clone());
            decide(
                &plan,
                status,
                &seen(Some(primary), Some(ready("v2", 1))),
                at(second),
            )
        };
        let mut now = status(Phase::Promoting);
        for second in 0..60 {
            now = look(&now, second).status;
            assert_eq!(now.phase, Phase::Promoting, "{name} at {second}");
        }
        let decision = look(&now, 60);
        assert_eq!(decision.status.phase, Phase::Failed, "{name}");
        assert_eq!(
            slipway(&decision.status).pinned_to,
            Some(Side::Canary),
            "{name}"
        );
    }
}

#[test]
fn a_side_that_is_late_is_told_once_after_an_interval() {
    let late = |world: &World, whose: &str| {
        let told = world.told();
        let of_side = told.iter().filter(|text| text.contains(whose));
        of_side.filter(|text| text.contains(" not ready: ")).count()
    };
    let mut world = weighted().initialised();
    world.starts_in(Side::Canary, "v2", 9);
    world.starts_in(Side::Primary, "v2", 35);
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(late(&world, "! canary deployment"), 0, "{}", world.tale());
    assert_eq!(late(&world, "! app-primary.test"), 1, "{}", world.tale());
    world.starts_in(Side::Canary, "v3", 35);
    world.push("v3");
    world.run();
    assert_eq!(late(&world, "! canary deployment"), 1, "{}", world.tale());
}

#[test]
fn fc_029_what_kubernetes_gave_up_is_rolled_back_at_once() {
    let plan = weighted().plan();
    let stuck = Workload {
        deadline_exceeded: true,
        ..pods("v2", 1, 0)
    };
    let decision = decide(
        &plan,
        &status(Phase::Progressing),
        &seen(Some(ready("v1", 1)), Some(stuck)),
        at(1),
    );
    assert_eq!(decision.status.phase, Phase::Failed);
}

#[test]
fn fc_031_a_primary_that_was_broken_before_does_not_hold_its_cure() {
    let mut world = weighted().initialised();
    world.kill(Side::Primary);
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(serves(&world), ["v2"]);
}

#[test]
fn fc_031_a_primary_that_is_partly_ready_is_no_reason_to_jump() {
    let plan = weighted().plan();
    let half = Some(pods("v1", 4, 2));
    let world = seen(half, Some(ready("v2", 1)));
    let started = decide(&plan, &status_before("v2"), &world, at(0)).status;
    let decision = decide(&plan, &started, &world, at(1));
    assert_eq!(decision.status.canary_weight, 20);
    assert_eq!(
        support::routed(&decision),
        [Routes::to_canary(Weight::clamped(20))]
    );
}

/// Succeeded with `v1`, and that revision is new.
fn status_before(revision: &str) -> slipway_api::CanaryStatus {
    let mut before = status(Phase::Succeeded);
    let slipway = before.slipway.as_mut().unwrap();
    slipway.acted_revision = Some("v1".into());
    assert_ne!(revision, "v1");
    before
}

#[test]
fn fc_037_a_spec_that_is_edited_during_a_release_still_ends_and_moves_nothing_at_once() {
    type Edit = fn(Story) -> Story;
    let blue_green = || canary("app").iterations(4).success_rate(99.0);
    let ab = || canary("app").ab(4).success_rate(99.0);
    let rows: Vec<(&str, Story, Edit)> = vec![
        ("fewer iterations", blue_green(), |story| {
            story.iterations(1)
        }),
        ("more iterations", blue_green(), |story| story.iterations(6)),
        ("fewer iterations of A/B", ab(), |story| story.iterations(1)),
        ("other steps", weighted(), |story| story.steps([5, 10])),
        ("more steps", weighted(), |story| {
            story.steps([20, 30, 40, 50, 60, 70, 80])
        }),
        ("a smaller maximum", canary("app").linear(20, 60), |story| {
            story.linear(20, 30)
        }),
        ("a longer interval", weighted(), |story| story.interval(30)),
        ("a shorter interval", weighted().interval(60), |story| {
            story.interval(10)
        }),
        ("blue/green instead", weighted(), |story| {
            story.iterations(2)
        }),
    ];
    for (name, story, edit) in rows {
        let mut world = story.initialised();
        world.push("v2");
        world.run_until(|world| world.stored.canary_weight >= 20 || world.stored.iterations >= 2);
        let before = (world.share_of_canary(), world.phase());
        world.edit(edit);
        world.run_for(1);
        assert_eq!(
            (world.share_of_canary(), world.phase()),
            before,
            "{name}: moved by the edit\n{}",
            world.tale()
        );
        world.run();
        assert_eq!(world.phase(), Phase::Succeeded, "{name}\n{}", world.tale());
        assert_eq!(serves(&world), ["v2"], "{name}");
    }
}

#[test]
fn fc_037_blue_green_with_fewer_iterations_is_cut_over_behind_its_gate() {
    let mut world = canary("app")
        .iterations(4)
        .hook("confirm-promotion", "gate")
        .initialised();
    world.answers("gate", Reply::No);
    world.push("v2");
    world.run_until(|world| world.stored.iterations == 3);
    world.edit(|story| story.iterations(2));
    world.run_for(60);
    assert_eq!(world.share_of_canary(), 0, "{}", world.tale());
    assert_eq!(world.phase(), Phase::WaitingPromotion);
    world.answers("gate", Reply::Yes);
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

#[test]
fn fc_037_a_threshold_that_is_lowered_below_the_failed_checks_rolls_back_at_the_next_tick() {
    let mut world = weighted().threshold(5).initialised();
    world.answers("metric 0", Reply::Value(1.0));
    world.push("v2");
    world.run_until(|world| world.stored.failed_checks == 3);
    let failed_at = world.now;
    world.answers("metric 0", Reply::Value(100.0));
    world.edit(|story| story.threshold(2));
    world.run_until(|world| world.phase() == Phase::Failed);
    assert_eq!(
        world.now - failed_at,
        TimeDelta::seconds(10),
        "{}",
        world.tale()
    );
    assert_eq!(reason(&world), "Rolled back at weight 20: 3 checks failed.");
}

#[test]
fn fc_039_the_deadline_stands_still_while_a_release_is_suspended() {
    let mut world = weighted().deadline(60).initialised();
    world.starts_in(Side::Canary, "v2", 5000);
    world.push("v2");
    world.run_for(40);
    world.plan.suspend = true;
    world.run_for(1000);
    assert_eq!(world.phase(), Phase::Progressing);
    assert_eq!(waits_for(&world).unwrap(), "spec.suspend to be false");
    world.now = at(2000);
    world.plan.suspend = false;
    world.run_for(15);
    assert_eq!(world.phase(), Phase::Progressing, "{}", world.tale());
    world.run_for(10);
    assert_eq!(
        world.phase(),
        Phase::Failed,
        "20 seconds were left\n{}",
        world.tale()
    );
}

#[test]
fn fc_039_a_suspended_release_is_left_alone_in_every_phase() {
    for phase in Phase::NAMED {
        let plan = weighted().suspend().plan();
        let mut before = status(phase);
        before.canary_weight = 20;
        let world = seen(Some(ready("v1", 1)), Some(pods("v3", 1, 0)));
        let decision = decide(&plan, &before, &world, at(5000));
        assert_eq!(decision.status.phase, phase);
        assert_eq!(decision.status.canary_weight, 20);
        let effects = [Effect::Record, Effect::Tell];
        assert_eq!(decision.effects, effects, "{phase}");
        let again = decide(&plan, &decision.status, &world, at(9000));
        assert_eq!(again.effects, [], "{phase}: once");
    }
}

#[test]
fn fc_040_a_breach_rolls_back_after_the_threshold_in_every_phase_with_weight() {
    let gated = |gate: &'static str, phase: Phase| {
        let mut world = weighted().hook(gate, "gate").initialised();
        world.push("v2");
        world.run_until(|world| world.stored.canary_weight == 20);
        world.answers("gate", Reply::No);
        world.run_until(move |world| world.phase() == phase && waits_for(world).is_some());
        world
    };
    let rows = [
        at_weight(weighted(), 60),
        gated("confirm-traffic-increase", Phase::Progressing),
        gated("confirm-promotion", Phase::WaitingPromotion),
    ];
    for mut world in rows {
        world.answers("metric 0", Reply::Value(98.9));
        world.run_until(|world| world.phase() == Phase::Failed);
        let checks = world.told();
        let checks = checks.iter().filter(|text| text.contains("success rate"));
        assert_eq!(checks.count(), 2, "{}", world.tale());
        world.run();
        assert_eq!(world.share_of_canary(), 0, "{}", world.tale());
        assert_eq!(target_replicas(&world), 0);
    }
}

#[test]
fn fc_041_a_rollback_hook_is_heard_however_late_it_answers() {
    let mut world = weighted().hook("rollback", "back").initialised();
    world.answers("back", Reply::Late(25, Box::new(Reply::Yes)));
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
    assert_eq!(
        reason(&world),
        "Rolled back at weight 60: rollback hook back asked for it."
    );
    let told = world.told();
    assert!(
        told.contains(&"! Rolling back app.test manual webhook invoked".to_owned()),
        "{}",
        world.tale()
    );
}

#[test]
fn fc_042_traffic_returns_at_once_whatever_the_settle_time_and_pods_go_later() {
    for settle in [0, 1, 5, 600] {
        let mut world = at_weight(weighted(), 60);
        world.plan.settle = TimeDelta::seconds(settle);
        world.answers("metric 0", Reply::Value(1.0));
        world.run_until(|world| world.phase() == Phase::Failed);
        let failed_at = world.now;
        world.run_until(|world| world.share_of_canary() == 0);
        assert_eq!(world.now, failed_at, "{}", world.tale());
        world.run_until(|world| target_replicas(world) == 0);
        assert_eq!(
            world.now - failed_at,
            TimeDelta::seconds(settle),
            "{}",
            world.tale()
        );
    }
}

#[test]
fn fc_034_a_gate_that_stays_closed_for_two_days_is_named_and_told_once() {
    let gates = [
        ("confirm-rollout", Phase::Waiting, 0),
        ("confirm-traffic-increase", Phase::Progressing, 0),
        ("confirm-promotion", Phase::WaitingPromotion, 60),
    ];
    for (kind, phase, share) in gates {
        let mut world = weighted().hook(kind, "gate").interval(60).initialised();
        world.answers("gate", Reply::No);
        world.push("v2");
        let what = format!("{kind} hook gate");
        let awaited = what.clone();
        world.run_until(move |world| waits_for(world).as_ref() == Some(&awaited));
        let (since, stored) = (world.now, world.stored.clone());
        world.run_for(2 * 24 * 3600);
        assert_eq!(world.stored, stored, "nothing to write\n{}", world.tale());
        assert_eq!(world.phase(), phase);
        let waiting = slipway(&world.stored).waiting.unwrap();
        assert_eq!((waiting.for_, waiting.since), (what, since));
        let alerts = world.happened(&["alert"]);
        let alerts = alerts.iter().filter(|alert| alert.contains("waiting"));
        assert_eq!(alerts.count(), 1, "{}", world.tale());
        assert_eq!(world.share_of_canary(), share);
        // And it is asked at its pace all the while: the gate that opens is heard within an interval.
        world.answers("gate", Reply::Yes);
        let opened_at = world.now;
        world.run_until(move |world| world.phase() != phase || world.share_of_canary() != share);
        assert!(
            world.now - opened_at <= TimeDelta::seconds(61),
            "{}",
            world.tale()
        );
        world.run();
        assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    }
}

#[test]
fn fc_035_a_closed_traffic_gate_repeats_no_test_before_the_traffic() {
    let mut world = weighted()
        .hook("pre-rollout", "test")
        .hook("confirm-traffic-increase", "gate")
        .initialised();
    world.answers("gate", Reply::No);
    world.push("v2");
    world.run_for(100);
    let asked = world.happened(&["ask"]);
    let times = |whom: &str| asked.iter().filter(|line| line.contains(whom)).count();
    assert_eq!(times("test"), 1, "{}", world.tale());
    assert_eq!(times("gate"), 10, "{}", world.tale());
    assert_eq!(
        waits_for(&world).unwrap(),
        "confirm-traffic-increase hook gate"
    );
}

// Configs and workloads.

#[test]
fn fc_084_a_config_that_cannot_be_read_decides_nothing_and_is_read_again() {
    let mut world = weighted().initialised();
    let before = world.stored.clone();
    world.push("v2");
    world.configs.unknown = true;
    world.run_for(300);
    assert_eq!(world.stored, before, "{}", world.tale());
    let seen = world.observe();
    let decision = decide(&world.plan, &world.stored, &seen, world.now);
    let again = world.now + TimeDelta::seconds(10);
    assert_eq!(decision.wake, Wake::At(again), "no change need come");
    world.configs.unknown = false;
    world.run();
    assert_eq!(serves(&world), ["v2"], "{}", world.tale());
}

// The end of a Canary.

#[test]
fn fc_094_a_deleted_canary_gives_the_target_back_before_it_goes() {
    for phase in [
        Phase::Initialized,
        Phase::Progressing,
        Phase::Promoting,
        Phase::Succeeded,
    ] {
        let mut world = weighted().initialised();
        if phase != Phase::Initialized {
            world.push("v2");
            world.run_until(|world| {
                world.phase() == phase
                    && (phase != Phase::Progressing || world.stored.canary_weight == 60)
            });
        }
        world.deleting = true;
        world.run_until(|world| !world.has_finalizer);
        assert!(world.restored, "{}", world.tale());
        assert!(world.is_alive(Side::Canary), "{}", world.tale());
        let told = world.told();
        let ends = told.iter().filter(|text| text.starts_with("Terminat"));
        assert_eq!(ends.count(), 2, "{}", world.tale());
    }
}

#[test]
fn fc_095_a_canary_whose_target_never_comes_up_is_let_go_at_the_deadline() {
    let mut world = weighted().deadline(60).initialised();
    world.is_broken(Side::Canary, "v1");
    world.target.as_mut().unwrap().kill();
    world.deleting = true;
    let deleted_at = world.now;
    world.run_until(|world| !world.has_finalizer);
    assert_eq!(
        world.now - deleted_at,
        TimeDelta::seconds(60),
        "{}",
        world.tale()
    );
    let mut world = weighted().initialised();
    world.target = None;
    world.deleting = true;
    world.run_for(1);
    assert!(!world.has_finalizer, "there is nothing to give back");
}

// Promotions.

#[test]
fn p7_a_primary_that_its_strategy_empties_gives_its_traffic_to_the_judged_canary_first() {
    let mut world = weighted().world();
    world.target.as_mut().unwrap().recreates = true;
    world.run();
    world.push("v2");
    world.run();
    let lines = world.happened(&["status", "route", "effect"]);
    let begun = lines
        .iter()
        .position(|line| line.starts_with("status Promoting"))
        .unwrap();
    let promotes = lines
        .iter()
        .position(|line| line.starts_with("effect Promote"))
        .unwrap();
    assert!(
        lines[begun..promotes].contains(&"route 100".to_owned()),
        "{}",
        world.tale()
    );
    assert_eq!(serves(&world), ["v2"]);
}

#[test]
fn p7_a_canary_that_dies_while_the_traffic_moves_there_keeps_the_primary_whole() {
    let mut world = weighted().world();
    world.target.as_mut().unwrap().recreates = true;
    world.run();
    world.push("v2");
    world.run_until(|world| world.phase() == Phase::Promoting);
    world.kill(Side::Canary);
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
    assert_eq!(serves(&world), ["v1"], "{}", world.tale());
}

#[test]
fn p4_traffic_returns_to_the_primary_only_when_it_is_ready_and_in_the_steps_that_were_asked_for() {
    let mut world = weighted().promotion_step(25).initialised();
    world.starts_in(Side::Primary, "v2", 30);
    world.push("v2");
    world.run();
    let lines = world.happened(&["status", "tell"]);
    let begun = lines
        .iter()
        .position(|line| line.starts_with("status Promoting"))
        .unwrap();
    let expected = [
        "status Promoting 60/0 failed 0",
        "tell Copying app.test template spec to app-primary.test",
        "tell ! app-primary.test not ready: waiting for rollout to finish: 1 old replicas are pending termination",
        "status Promoting 35/0 failed 0",
        "tell Advance app.test primary weight 65",
        "status Promoting 10/0 failed 0",
        "tell Advance app.test primary weight 90",
        "status Finalising 0/0 failed 0",
        "tell Advance app.test primary weight 100",
        "status Succeeded 0/0 failed 0",
        "tell Promotion completed! Scaling down app.test",
    ];
    assert_eq!(lines[begun..], expected, "{}", world.tale());
}

#[test]
fn a_promotion_that_is_deleted_from_the_gate_is_not_asked_twice() {
    let mut world = canary("app")
        .iterations(1)
        .hook("confirm-promotion", "gate")
        .initialised();
    world.push("v2");
    world.run();
    let asked = world.happened(&["ask"]);
    assert_eq!(
        asked,
        ["ask ConfirmPromotion gate (Progressing)"],
        "{}",
        world.tale()
    );
    assert_eq!(world.phase(), Phase::Succeeded);
    assert_eq!(promoting(weighted()).phase(), Phase::Promoting);
}

#[test]
fn a_step_that_users_never_met_is_not_judged_and_counts_from_when_its_route_stands() {
    let plan = weighted().plan();
    let mut world = seen(Some(ready("v1", 1)), Some(ready("v2", 1)));
    let mut progressing = status(Phase::Progressing);
    progressing.canary_weight = 20;
    let release = progressing.slipway.as_mut().unwrap().release.as_mut();
    let release = release.unwrap();
    (release.tested, release.tick, release.step_at) = (true, 1, Some(at(0)));
    let twenty = Routes::to_canary(Weight::clamped(20));

    world.routes = Some(Routes::PRIMARY);
    let late = decide(&plan, &progressing, &world, at(15));
    assert_eq!(late.questions, []);
    assert_eq!(support::routed(&late), [twenty]);
    let release = slipway(&late.status).release.unwrap();
    assert_eq!((release.tick, release.step_at), (1, Some(at(15))));

    world.routes = Some(twenty);
    let early = decide(&plan, &late.status, &world, at(20));
    assert_eq!(early.questions, []);
    let judged = decide(&plan, &late.status, &world, at(25));
    assert_eq!(metrics_asked(&judged), 1);
}

/// How many metrics are asked.
fn metrics_asked(decision: &Decision) -> usize {
    let subjects = decision.questions.iter().map(|question| &question.subject);
    subjects
        .filter(|it| matches!(it, Subject::Metric { .. }))
        .count()
}

#[test]
fn fc_026_a_step_is_not_judged_before_the_parents_of_its_route_have_accepted_it() {
    let plan = weighted().plan();
    let mut world = seen(Some(ready("v1", 1)), Some(ready("v2", 1)));
    let mut progressing = status(Phase::Progressing);
    progressing.canary_weight = 20;
    let release = progressing.slipway.as_mut().unwrap().release.as_mut();
    let release = release.unwrap();
    (release.tested, release.tick, release.step_at) = (true, 1, Some(at(0)));
    world.routes = Some(Routes::to_canary(Weight::clamped(20)));
    let awaited = "HTTPRoute test/app to be accepted by Gateway edge/public";
    let pending = Standing::Pending(awaited.to_owned());
    let problem =
        Problem::new("status.parents[]", "False", "must be True").of("HTTPRoute test/app");
    let waits_for = |decision: &Decision| slipway(&decision.status).waiting.map(|it| it.for_);

    world.standing = pending.clone();
    let held = decide(&plan, &progressing, &world, at(15));
    assert_eq!(held.questions, []);
    assert_eq!(waits_for(&held).as_deref(), Some(awaited));
    world.standing = Standing::Refused(problem);
    let refused = decide(&plan, &held.status, &world, at(40));
    assert_eq!(refused.questions, []);

    // Time counts from when it stands.
    world.standing = Standing::Accepted;
    let stands = decide(&plan, &refused.status, &world, at(50));
    assert_eq!((stands.questions.len(), waits_for(&stands)), (0, None));
    let release = slipway(&stands.status).release.unwrap();
    assert_eq!((release.tick, release.step_at), (1, Some(at(50))));
    assert_eq!(decide(&plan, &stands.status, &world, at(59)).questions, []);
    assert_eq!(
        metrics_asked(&decide(&plan, &stands.status, &world, at(60))),
        1
    );
}

#[test]
fn fc_026_a_canary_stays_up_until_the_parents_have_accepted_that_its_traffic_is_away() {
    let plan = weighted().plan();
    let mut world = seen(Some(ready("v1", 1)), Some(ready("v2", 1)));
    let mut failed = status(Phase::Failed);
    let slipway_of = failed.slipway.as_mut().unwrap();
    slipway_of.acted_revision = world.revision();
    slipway_of.traffic_left_at = Some(at(0));
    let scales = |decision: &Decision| decision.effects.contains(&Effect::ScaleDownTarget);

    world.standing = Standing::Pending("it to be accepted by it".to_owned());
    let held = decide(&plan, &failed, &world, at(30));
    assert!(!scales(&held), "{held:?}");
    world.standing = Standing::Accepted;
    let accepted = decide(&plan, &held.status, &world, at(60));
    assert!(!scales(&accepted), "it settles from then on: {accepted:?}");
    assert!(scales(&decide(&plan, &accepted.status, &world, at(65))));
    // Nobody is led there by a route that was refused.
    world.standing = Standing::Refused(Problem::new("f", "v", "a"));
    assert!(scales(&decide(&plan, &failed, &world, at(30))));
}

#[test]
fn fc_025_what_of_a_spec_is_not_heeded_is_said_once_and_stands_in_nobodys_way() {
    let mut world = canary("app")
        .provider("kubernetes")
        .steps([20, 60])
        .initialised();
    let said = |world: &World| {
        let mut all = world.stored.conditions.iter();
        all.find(|it| it.type_ == "SpecNotHeeded")
            .map(|it| it.message.clone())
    };
    let told = |world: &World| {
        let all = world.told();
        all.iter()
            .filter(|it| it.contains("spec.analysis.stepWeights"))
            .count()
    };
    assert!(
        said(&world).unwrap().contains("spec.analysis.stepWeights"),
        "{}",
        world.tale()
    );
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(told(&world), 1, "{}", world.tale());
    world.edit(|story| story.iterations(3));
    world.run();
    assert_eq!(said(&world), None, "{}", world.tale());
}
