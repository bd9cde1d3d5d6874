//! Several releases: the order between them, and the limits on how many run at once.
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

use chrono::{DateTime, TimeDelta, Utc};
use slipway_api::{CanaryStatus, ConditionStatus, Phase, Side, SlipwayStatus};
use slipway_core::action::{Action, Meant, Verb};
use slipway_core::fleet::{self, Fleet, Limits, Turn};
use slipway_core::order::{Peer, Standing};
use support::{Story, World, at, canary, seen, slipway, start};

/// `app`, which comes after these.
fn after(names: &str) -> Story {
    canary("app").steps([20, 60]).tuned("after", names)
}

fn peer(standing: Standing, after: &[&str]) -> Peer {
    let after = after.iter().map(ToString::to_string).collect();
    Peer { standing, after }
}

/// Initialised, with these others.
fn with_peers(story: Story, peers: &[(&str, Standing)]) -> World {
    let mut world = story.world();
    for (name, standing) in peers {
        world.peers.insert((*name).to_owned(), peer(*standing, &[]));
    }
    world.run();
    assert_eq!(world.phase(), Phase::Initialized, "{}", world.tale());
    world
}

fn waits_for(world: &World) -> String {
    let waiting = slipway(&world.stored).waiting;
    waiting.map(|waiting| waiting.for_).unwrap_or_default()
}

fn condition(world: &World, type_: &str) -> Option<(ConditionStatus, String)> {
    let found = world
        .stored
        .conditions
        .iter()
        .find(|it| it.type_ == type_)?;
    Some((found.status, found.message.clone()))
}

fn pass(world: &mut World, seconds: i64) {
    world.now += TimeDelta::seconds(seconds);
    world.run();
}

#[test]
fn a_release_starts_when_those_before_it_rest_and_says_for_whom_it_waits_since_when() {
    let first = [("database", Standing::Moves), ("cache", Standing::Moves)];
    let mut world = with_peers(after("database,cache"), &first);
    world.push("v2");
    world.run();
    let noticed = world.now;
    assert_eq!(world.phase(), Phase::Waiting, "{}", world.tale());
    assert_eq!(
        waits_for(&world),
        "Canary database to rest at its newest revision, and for Canary cache to rest at its newest revision"
    );
    pass(&mut world, 600);
    world
        .peers
        .insert("database".into(), peer(Standing::Rests, &[]));
    world.run();
    assert_eq!(
        waits_for(&world),
        "Canary cache to rest at its newest revision"
    );
    let since = slipway(&world.stored).waiting.unwrap().since;
    assert!(
        since <= noticed,
        "the wait counts from when it began: {since}"
    );
    assert_eq!(condition(&world, "Stalled"), None);
    world
        .peers
        .insert("cache".into(), peer(Standing::Rests, &[]));
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(slipway(&world.stored).pending_since, None);
}

#[test]
fn a_revision_lets_what_was_changed_with_it_come_first() {
    let mut world = with_peers(after("database"), &[("database", Standing::Rests)]);
    world.push("v2");
    world.run_until(|world| world.phase() == Phase::Waiting);
    assert_eq!(
        waits_for(&world),
        "a change of database that may have come with it"
    );
    world
        .peers
        .insert("database".into(), peer(Standing::Moves, &[]));
    world.run();
    assert_eq!(world.phase(), Phase::Waiting, "{}", world.tale());
    world
        .peers
        .insert("database".into(), peer(Standing::Rests, &[]));
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

#[test]
fn a_release_that_failed_holds_those_after_it_by_a_condition_until_it_is_mended() {
    let mut world = with_peers(after("database"), &[("database", Standing::Failed)]);
    world.push("v2");
    world.run();
    let what = "Canary database to be mended, whose last release failed";
    assert_eq!(waits_for(&world), what);
    let held = Some((ConditionStatus::True, format!("Waiting for {what}.")));
    assert_eq!(condition(&world, "DependencyFailed"), held);
    assert_eq!(condition(&world, "Stalled"), held);
    let told = world.told();
    let times = |text: &str| told.iter().filter(|told| told.contains(text)).count();
    assert_eq!(times(what), 1, "{told:?}");
    world
        .peers
        .insert("database".into(), peer(Standing::Rests, &[]));
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(condition(&world, "DependencyFailed"), None);
}

#[test]
fn a_cycle_is_refused_by_name_and_holds_every_start() {
    let mut world = after("database").world();
    world
        .peers
        .insert("database".into(), peer(Standing::Rests, &["cache"]));
    world
        .peers
        .insert("cache".into(), peer(Standing::Rests, &["cache", "app"]));
    world.run();
    // In service all the same: initialisation is not held.
    assert_eq!(world.phase(), Phase::Initialized, "{}", world.tale());
    let problem = "annotation slipway.dev/after is database, must not lead back to app: app after database after cache after app";
    let refused = Some((ConditionStatus::True, problem.to_owned()));
    assert_eq!(condition(&world, "InvalidSpec"), refused);
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Initialized, "{}", world.tale());
    world
        .peers
        .insert("cache".into(), peer(Standing::Rests, &[]));
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(condition(&world, "InvalidSpec"), None);
}

#[test]
fn a_cycle_of_others_is_theirs_and_one_with_itself_is_named() {
    let mut world = after("database").world();
    world
        .peers
        .insert("database".into(), peer(Standing::Moves, &["cache"]));
    world
        .peers
        .insert("cache".into(), peer(Standing::Moves, &["database"]));
    world.run();
    assert_eq!(condition(&world, "InvalidSpec"), None, "{}", world.tale());
    let mut world = after("app").world();
    world.run();
    let (_, text) = condition(&world, "InvalidSpec").unwrap();
    assert!(
        text.ends_with("must not lead back to app: app after app"),
        "{text}"
    );
}

#[test]
fn a_name_that_no_canary_has_is_said() {
    let mut world = after("databse").initialised();
    let problem = "annotation slipway.dev/after is databse, but there is no Canary test/databse";
    let refused = Some((ConditionStatus::True, problem.to_owned()));
    assert_eq!(condition(&world, "InvalidSpec"), refused);
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Initialized, "{}", world.tale());
    world
        .peers
        .insert("databse".into(), peer(Standing::Rests, &[]));
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

#[test]
fn a_running_release_is_not_held_by_one_before_it_that_starts_to_move() {
    let mut world = with_peers(after("database"), &[("database", Standing::Rests)]);
    world.push("v2");
    world.run_until(|world| world.stored.canary_weight == 20);
    world
        .peers
        .insert("database".into(), peer(Standing::Moves, &[]));
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

#[test]
fn what_others_wait_for_is_told_from_the_target_and_not_from_what_was_noticed_of_it() {
    let status = |phase: Phase, pinned: Option<Side>| CanaryStatus {
        phase,
        slipway: Some(SlipwayStatus {
            acted_revision: Some("v2".into()),
            promoted_revision: Some("v1".into()),
            pinned_to: pinned,
            ..SlipwayStatus::default()
        }),
        ..CanaryStatus::default()
    };
    let holds = |revision: &str| seen(None, Some(support::ready(revision, 1)));
    for (phase, pinned, target, expected) in [
        (Phase::Initialized, None, "v1", Standing::Rests),
        (Phase::Succeeded, None, "v1", Standing::Rests),
        // Changed, and nobody has looked at it yet.
        (Phase::Succeeded, None, "v3", Standing::Moves),
        (Phase::Waiting, None, "v1", Standing::Moves),
        (Phase::Progressing, None, "v1", Standing::Moves),
        (Phase::Finalising, None, "v1", Standing::Moves),
        (Phase::Empty, None, "v1", Standing::Moves),
        (Phase::Terminating, None, "v1", Standing::Moves),
        (Phase::Failed, None, "v2", Standing::Failed),
        (Phase::Failed, None, "v3", Standing::Moves),
        // The failed revision was taken back: the newest is what serves.
        (Phase::Failed, None, "v1", Standing::Rests),
        (Phase::Failed, Some(Side::Canary), "v2", Standing::Failed),
    ] {
        let found = Standing::of(&status(phase, pinned), &holds(target));
        assert_eq!(found, expected, "{phase} with {target}");
    }
    let gone = seen(None, None);
    assert_eq!(
        Standing::of(&status(Phase::Succeeded, None), &gone),
        Standing::Moves
    );
}

#[test]
fn a_release_that_may_not_run_yet_tells_its_place_and_keeps_its_time() {
    let mut world = canary("app").steps([20, 60]).initialised();
    world.turn = Turn::Behind { place: 3, of: 7 };
    world.push("v2");
    world.run();
    let noticed = slipway(&world.stored).pending_since.unwrap();
    assert_eq!(world.phase(), Phase::Waiting, "{}", world.tale());
    assert_eq!(waits_for(&world), "its turn: 3rd of 7");
    assert!(slipway(&world.stored).queued);
    pass(&mut world, 60);
    // Only more behind it: not worth a write.
    world.turn = Turn::Behind { place: 3, of: 90 };
    world.run();
    assert_eq!(waits_for(&world), "its turn: 3rd of 7");
    world.turn = Turn::Behind { place: 1, of: 5 };
    world.push("v3");
    world.run();
    assert_eq!(waits_for(&world), "its turn: 1st of 5");
    let waiting = slipway(&world.stored).waiting.unwrap();
    assert_eq!(
        (waiting.since, slipway(&world.stored).pending_since),
        (noticed, Some(noticed))
    );
    world.turn = Turn::Free;
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert!(!slipway(&world.stored).queued);
    let told = world.told();
    let times = |text: &str| told.iter().filter(|told| told.contains(text)).count();
    assert_eq!(times("waits for its turn"), 1, "{told:?}");
}

#[test]
fn a_running_release_is_never_interrupted_by_the_limits() {
    let mut world = canary("app").steps([20, 60]).initialised();
    world.push("v2");
    world.run_until(|world| world.stored.canary_weight == 20);
    world.turn = Turn::Behind { place: 1, of: 1 };
    world.push("v3");
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

#[test]
fn a_suspended_release_leaves_the_queue_and_keeps_its_time() {
    let mut world = canary("app").steps([20, 60]).initialised();
    world.turn = Turn::Behind { place: 1, of: 2 };
    world.push("v2");
    world.run();
    let noticed = slipway(&world.stored).pending_since;
    world.plan.suspend = true;
    world.run();
    assert!(!slipway(&world.stored).queued);
    world.plan.suspend = false;
    world.run();
    assert!(slipway(&world.stored).queued);
    assert_eq!(slipway(&world.stored).pending_since, noticed);
}

#[test]
fn a_person_may_promote_past_order_and_turn() {
    let mut world = with_peers(after("database"), &[("database", Standing::Failed)]);
    world.turn = Turn::Behind { place: 1, of: 1 };
    world.push("v2");
    world.run();
    let meant = Meant {
        revision: "v2".to_owned(),
        by: "ada".to_owned(),
        at: Some(world.now),
        gate: None,
    };
    world.actions.push(Action {
        verb: Verb::Promote,
        value: meant.value(),
        meant: Ok(meant),
    });
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

fn id(namespace: &str, name: &str) -> fleet::Id {
    (namespace.to_owned(), name.to_owned())
}

fn noticed(second: i64) -> DateTime<Utc> {
    at(second)
}

/// Two run in `a`, one in `b`; three wait in `a`, one in `b`, in this order: a/1, b/1, a/2, a/3.
fn fleet(limits: Limits) -> Fleet {
    let mut fleet = Fleet::new(limits);
    for (namespace, name) in [("a", "run-1"), ("a", "run-2"), ("b", "run-1")] {
        fleet.note(&id(namespace, name), fleet::Standing::Runs);
    }
    for (second, (namespace, name)) in (1..).zip([("a", "1"), ("b", "1"), ("a", "2"), ("a", "3")]) {
        let queued = fleet::Standing::Queued(noticed(second));
        assert_eq!(fleet.note(&id(namespace, name), queued), []);
    }
    fleet
}

#[test]
fn the_queue_is_first_come_first_served_within_both_limits() {
    let behind = |place, of| Turn::Behind { place, of };
    for (all, in_namespace, expected) in [
        (0, 0, [Turn::Free, Turn::Free, Turn::Free, Turn::Free]),
        (
            3,
            0,
            [behind(1, 4), behind(2, 4), behind(3, 4), behind(4, 4)],
        ),
        (4, 0, [Turn::Free, behind(2, 4), behind(3, 4), behind(4, 4)]),
        // The namespace of the first is full: it does not hold the one behind it.
        (4, 2, [behind(1, 4), Turn::Free, behind(3, 4), behind(4, 4)]),
        (0, 3, [Turn::Free, Turn::Free, behind(2, 3), behind(3, 3)]),
        (9, 9, [Turn::Free, Turn::Free, Turn::Free, Turn::Free]),
    ] {
        let fleet = fleet(Limits { all, in_namespace });
        let turns = [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3")];
        let turns: Vec<Turn> = (1..)
            .zip(turns)
            .map(|(second, (namespace, name))| fleet.turn(&id(namespace, name), noticed(second)))
            .collect();
        assert_eq!(turns, expected, "{all} {in_namespace}");
    }
}

#[test]
fn one_that_ends_wakes_the_next_and_those_whose_place_is_told() {
    let limits = Limits {
        all: 1,
        in_namespace: 0,
    };
    let mut fleet = Fleet::new(limits);
    fleet.note(&id("a", "runs"), fleet::Standing::Runs);
    for number in 0..35 {
        let queued = fleet::Standing::Queued(noticed(number));
        fleet.note(&id("a", &format!("{number:02}")), queued);
    }
    let woken = fleet.note(&id("a", "runs"), fleet::Standing::Rests);
    let woken: Vec<&str> = woken.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(
        woken,
        [
            "00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "19", "29"
        ]
    );
    assert_eq!(fleet.note(&id("a", "runs"), fleet::Standing::Rests), []);
}

#[test]
fn the_order_of_the_queue_is_that_of_the_statuses_whoever_computes_it() {
    let limits = Limits {
        all: 1,
        in_namespace: 0,
    };
    let all: Vec<(fleet::Id, DateTime<Utc>)> = (0..6)
        .map(|number| {
            (
                id("a", &number.to_string()),
                start() - TimeDelta::seconds(number % 3),
            )
        })
        .collect();
    let turns = |order: &[(fleet::Id, DateTime<Utc>)]| {
        let mut fleet = Fleet::new(limits);
        fleet.note(&id("b", "runs"), fleet::Standing::Runs);
        for (id, since) in order {
            fleet.note(id, fleet::Standing::Queued(*since));
        }
        let turns: Vec<Turn> = all
            .iter()
            .map(|(id, since)| fleet.turn(id, *since))
            .collect();
        turns
    };
    let backwards: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(turns(&all), turns(&backwards));
}
