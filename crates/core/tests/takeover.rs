//! Taking over from Flagger and handing back to it, in every phase that a real Flagger was recorded in (FC-054).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
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

use std::collections::BTreeMap;
use std::path::Path;

use chrono::TimeDelta;
use serde_json::Value;
use slipway_api::{CanaryStatus, Phase, Side};
use slipway_core::weight::{Routes, Weight};
use support::{Deployment, Reply, Story, World, canary, hash, slipway, start};

/// What Flagger's recorded hashes stand for in this world.
const REVISIONS: [(&str, &str); 5] = [
    ("66b8cf6845", "v1"),
    ("7f588f4898", "v2"),
    ("dc6d8748c", "v3"),
    ("796857d485", "broken"),
    // The application of the story about configs.
    ("554cbb567f", "v1"),
];

/// One workload as it was recorded.
#[derive(Clone, Debug, Default)]
struct Recorded {
    image: String,
    replicas: i64,
    ready: i64,
}

/// A moment at which Flagger has just written a status.
#[derive(Clone, Debug)]
struct Moment {
    name: String,
    spec: Value,
    status: CanaryStatus,
    target: Recorded,
    primary: Recorded,
    routes: Option<Routes>,
}

/// Every status that a recorded Flagger wrote once its initialisation was over, with the world at that moment.
fn moments() -> Vec<Moment> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/flagger/traces");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    let moments = files.iter().flat_map(|path| {
        let trace: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        moments_of(&trace)
    });
    moments.collect()
}

fn moments_of(trace: &Value) -> Vec<Moment> {
    let story = trace["scenario"].as_str().unwrap();
    let mut found = Vec::new();
    let (mut spec, mut routes) = (Value::Null, None);
    let mut workloads: BTreeMap<String, Recorded> = BTreeMap::new();
    for line in trace["timeline"].as_array().unwrap() {
        let name = line["name"].as_str().unwrap_or_default();
        match line["kind"].as_str().unwrap() {
            "do" => {
                let mut applied = line["apply"].as_array().into_iter().flatten();
                let canary = applied.rfind(|object| object["kind"] == "Canary");
                spec = canary.map_or(spec, |canary| canary["spec"].clone());
            }
            "deployments" if line["image"].is_string() => {
                let image = line["image"].as_str().unwrap();
                let workload = Recorded {
                    image: image.trim_start_matches("app:").to_owned(),
                    replicas: line["replicas"].as_i64().unwrap_or(1),
                    ready: line["ready"].as_i64().unwrap_or(0),
                };
                workloads.insert(name.to_owned(), workload);
            }
            "virtualservices" | "trafficsplits" | "httproutes" => {
                routes = routes_of(&line["spec"]).or(routes);
            }
            "canaries" => {
                let Some(status) = status_of(&line["status"]) else {
                    continue;
                };
                found.push(Moment {
                    name: format!("{story} at {}, {}", line["t"], status.phase),
                    spec: spec.clone(),
                    status: status.clone(),
                    target: scaled(&workloads["app"], status.phase),
                    primary: workloads["app-primary"].clone(),
                    routes,
                });
            }
            _ => {}
        }
    }
    found
}

/// Flagger scales the target up before it writes Progressing; the watches of two kinds may have shown it the other way round.
fn scaled(target: &Recorded, phase: Phase) -> Recorded {
    Recorded {
        replicas: target.replicas.max(i64::from(phase == Phase::Progressing)),
        ..target.clone()
    }
}

/// A status of a release that has a primary; its hashes are those of this world.
fn status_of(recorded: &Value) -> Option<CanaryStatus> {
    let mut status: CanaryStatus = serde_json::from_value(recorded.clone()).ok()?;
    if matches!(
        status.phase,
        Phase::Empty | Phase::Initializing | Phase::Terminating | Phase::Terminated
    ) {
        return None;
    }
    for written in [
        &mut status.last_applied_spec,
        &mut status.last_promoted_spec,
    ] {
        let revision = REVISIONS
            .iter()
            .find(|(hash, _)| written.as_deref() == Some(*hash));
        *written = Some(hash(revision.unwrap().1));
    }
    // It was written a second ago.
    status.last_transition_time = Some(start() - TimeDelta::seconds(1));
    Some(status)
}

fn routes_of(spec: &Value) -> Option<Routes> {
    let rule = ["/http/0", "/rules/0", ""]
        .iter()
        .find_map(|at| spec.pointer(at))?;
    let sides = ["route", "backendRefs", "backends"]
        .iter()
        .find_map(|key| rule[key].as_array())?;
    let of_canary = sides.iter().find(|side| {
        let name = [
            &side["destination"]["host"],
            &side["name"],
            &side["service"],
        ];
        name.iter()
            .any(|name| name.as_str().is_some_and(|name| name.ends_with("-canary")))
    })?;
    let weight = &of_canary["weight"];
    let text = weight.as_str().and_then(|text| text.parse().ok());
    Some(Routes {
        canary: Weight::clamped(weight.as_i64().or(text)?),
        mirrored: rule.get("mirror").is_some(),
        everyone: false,
    })
}

impl Recorded {
    fn deployment(&self) -> Deployment {
        let long_ago = start() - TimeDelta::minutes(5);
        let mut deployment = Deployment::new(&self.image, self.replicas, long_ago);
        let before = TimeDelta::minutes(4);
        let startup = match (self.ready > 0, self.image.as_str()) {
            (true, _) => Some(TimeDelta::zero()),
            (false, "broken") => None,
            (false, _) => Some(before + TimeDelta::seconds(2)),
        };
        deployment.advance(start() - before, |_| startup);
        deployment
    }
}

impl Moment {
    /// The world at that moment, with Slipway in the place of Flagger.
    fn world(&self) -> World {
        let mut world = Story::of_spec("app", self.spec.clone()).world();
        world.stored = self.status.clone();
        world.target = Some(self.target.deployment());
        world.primary = Some(self.primary.deployment());
        world.same_revision = Some(self.target.image == self.primary.image);
        world
            .configs
            .flagger
            .clone_from(&self.status.tracked_configs);
        (world.apex, world.routes) = (Side::Primary, self.routes);
        for side in [Side::Canary, Side::Primary] {
            world.is_broken(side, "broken");
        }
        world
    }

    /// Whether its release cannot succeed any more.
    fn is_lost(&self) -> bool {
        let threshold = self.spec["analysis"]["threshold"].as_i64().unwrap();
        self.target.image == "broken" || self.status.failed_checks >= threshold
    }

    /// Whether the user changed the target after Flagger had come to rest.
    fn is_changed(&self) -> bool {
        let rests = matches!(self.status.phase, Phase::Initialized | Phase::Succeeded);
        rests && self.target.image != self.primary.image
    }
}

/// Slipway has taken over: from now on nobody compares target and primary.
fn take_over(world: &mut World) {
    world.run_for(0);
    assert!(
        !slipway_core::decide::is_foreign(&world.stored),
        "{}",
        world.tale()
    );
    world.same_revision = None;
}

fn releases(world: &World) -> usize {
    let told = world.told();
    told.iter()
        .filter(|text| text.contains("New revision detected"))
        .count()
}

#[test]
fn the_recordings_hold_every_phase_but_two() {
    let moments = moments();
    let phases = Phase::NAMED
        .into_iter()
        .filter(|phase| !moments.iter().any(|moment| moment.status.phase == *phase));
    let phases: Vec<Phase> = phases.collect();
    // Those before there is anything to take over, and after.
    assert_eq!(
        phases,
        [Phase::Initializing, Phase::Terminating, Phase::Terminated]
    );
    assert!(moments.len() > 100, "{}", moments.len());
}

#[test]
fn fc_054_a_taking_over_moves_no_weight_and_starts_no_release() {
    for moment in moments().iter().filter(|moment| !moment.is_changed()) {
        let mut world = moment.world();
        let share = world.share_of_canary();
        take_over(&mut world);
        let returns = matches!(moment.status.phase, Phase::Promoting | Phase::Finalising);
        let is_kept = world.share_of_canary() == share || returns && world.share_of_canary() == 0;
        assert!(is_kept, "{}\n{}", moment.name, world.tale());
        let goes_on = returns && matches!(world.phase(), Phase::Promoting | Phase::Finalising);
        assert!(
            world.phase() == moment.status.phase || goes_on,
            "{}\n{}",
            moment.name,
            world.tale()
        );
        assert_eq!(releases(&world), 0, "{}\n{}", moment.name, world.tale());
    }
}

#[test]
fn fc_054_what_was_taken_over_ends_as_it_would_have() {
    for moment in moments().iter().filter(|moment| !moment.is_changed()) {
        let mut world = moment.world();
        take_over(&mut world);
        world.run();
        let (end, primary) = match moment.status.phase {
            rests @ (Phase::Initialized | Phase::Succeeded | Phase::Failed) => {
                (rests, &moment.primary.image)
            }
            _ if moment.is_lost() => (Phase::Failed, &moment.primary.image),
            _ => (Phase::Succeeded, &moment.target.image),
        };
        let serves = world.primary.as_ref().unwrap().template.clone();
        assert_eq!(
            (world.phase(), &serves),
            (end, primary),
            "{}\n{}",
            moment.name,
            world.tale()
        );
        let is_gated = moment.status.phase == Phase::Waiting;
        assert_eq!(
            releases(&world),
            usize::from(is_gated),
            "{}\n{}",
            moment.name,
            world.tale()
        );
    }
}

/// The status as a Flagger writes it whose hashes we cannot compute: another version dumps other fields.
fn by_another_version(mut status: CanaryStatus) -> CanaryStatus {
    for written in [
        &mut status.last_applied_spec,
        &mut status.last_promoted_spec,
    ] {
        *written = written.as_ref().map(|hash| format!("other-{hash}"));
    }
    status
}

#[test]
fn fc_054_hashes_of_another_version_of_flagger_start_no_release() {
    for mut moment in moments() {
        moment.status = by_another_version(moment.status);
        let mut world = moment.world();
        let share = world.share_of_canary();
        take_over(&mut world);
        let returns = matches!(moment.status.phase, Phase::Promoting | Phase::Finalising);
        let is_kept = world.share_of_canary() == share || returns && world.share_of_canary() == 0;
        assert!(is_kept, "{}\n{}", moment.name, world.tale());
        let started = usize::from(moment.is_changed());
        assert_eq!(
            releases(&world),
            started,
            "{}\n{}",
            moment.name,
            world.tale()
        );
    }
}

#[test]
fn fc_054_a_change_that_flagger_did_not_act_on_starts_exactly_one_release() {
    let mut changed = 0;
    for mut moment in moments() {
        let rests = matches!(
            moment.status.phase,
            Phase::Initialized | Phase::Succeeded | Phase::Failed
        );
        if !rests {
            continue;
        }
        changed += 1;
        let is_failed = moment.status.phase == Phase::Failed;
        if !is_failed {
            "v9".clone_into(&mut moment.target.image);
        }
        let mut world = moment.world();
        take_over(&mut world);
        if is_failed {
            // What failed is not tried again, but what comes next is.
            assert_eq!(releases(&world), 0, "{}\n{}", moment.name, world.tale());
            world.push("v9");
        }
        world.run();
        assert_eq!(releases(&world), 1, "{}\n{}", moment.name, world.tale());
        assert_eq!(
            world.phase(),
            Phase::Succeeded,
            "{}\n{}",
            moment.name,
            world.tale()
        );
        assert_eq!(
            world.primary.as_ref().unwrap().template,
            "v9",
            "{}",
            moment.name
        );
    }
    assert!(changed > 20, "{changed}");
}

#[test]
fn fc_017_a_target_that_is_taken_back_after_the_take_over_is_understood() {
    for moment in moments().iter().filter(|moment| !moment.is_changed()) {
        let phase = moment.status.phase;
        let runs = matches!(
            phase,
            Phase::Progressing | Phase::WaitingPromotion | Phase::Waiting
        );
        let has_configs = moment
            .status
            .tracked_configs
            .iter()
            .any(|configs| !configs.is_empty());
        let is_failed = phase == Phase::Failed && moment.target.image != moment.primary.image;
        if has_configs || !(runs || is_failed) {
            continue;
        }
        let mut world = moment.world();
        take_over(&mut world);
        world.push(&moment.primary.image);
        world.run();
        assert_eq!(releases(&world), 0, "{}\n{}", moment.name, world.tale());
        let told = world.told();
        let again = told.iter().any(|text| text.contains("Restarting"));
        assert!(!again, "{}\n{}", moment.name, world.tale());
        assert_eq!(world.share_of_canary(), 0, "{}", moment.name);
        assert_eq!(
            world.target.as_ref().unwrap().replicas,
            0,
            "{}\n{}",
            moment.name,
            world.tale()
        );
    }
}

#[test]
fn fc_054_what_cannot_be_read_yet_is_taken_over_once_it_can() {
    let all = moments();
    let at_rest = |moment: &&Moment| moment.status.phase == Phase::Succeeded;
    let mut moment = all.iter().find(at_rest).unwrap().clone();
    moment.status = by_another_version(moment.status);
    let mut world = moment.world();
    let target = world.target.take();
    world.run_for(60);
    let waiting = slipway(&world.stored).waiting.unwrap();
    assert!(
        waiting.for_.contains("to take over from Flagger"),
        "{waiting:?}"
    );
    assert!(
        slipway_core::decide::is_foreign(&world.stored),
        "it is compared until then"
    );
    world.target = target;
    take_over(&mut world);
    assert_eq!(
        (world.phase(), releases(&world)),
        (Phase::Succeeded, 0),
        "{}",
        world.tale()
    );
    assert_eq!(slipway(&world.stored).waiting, None);
}

// And back.

/// Whether a Flagger that finds this status starts a release. **Source**: dossier 01 §3.3.
fn flagger_sees_a_change(world: &World) -> bool {
    let status = &world.stored;
    let target = world.target.as_ref().map(|target| hash(&target.template));
    let template = status.last_applied_spec.is_none()
        || target != status.last_promoted_spec && target != status.last_applied_spec;
    let configs = world.configs.flagger.as_ref();
    let configs = configs.is_some_and(|configs| Some(configs) != status.tracked_configs.as_ref());
    template || configs
}

/// That in whatever phase Slipway is taken away at rest or in waiting, Flagger goes on without starting a release.
fn check_way_back(name: &str, mut world: World, seconds: i64) {
    let end = world.now + TimeDelta::seconds(seconds);
    let mut phases = Vec::new();
    while world.now < end && world.step() {
        let phase = world.phase();
        if matches!(phase, Phase::Empty | Phase::Initializing) {
            continue;
        }
        phases.push(phase);
        // A revision whose gate is asked is started by nobody yet; in Waiting Flagger asks it, whatever the hashes say.
        let is_acted_on = slipway(&world.stored).acted_revision == world.observe().revision();
        let starts = is_acted_on && phase != Phase::Waiting && flagger_sees_a_change(&world);
        assert!(!starts, "{name}, {phase}\n{}", world.tale());
    }
    assert!(!phases.is_empty(), "{name}");
}

#[test]
fn fc_054_flagger_goes_on_from_what_slipway_leaves_without_starting_a_release() {
    type Prepare = fn(&mut World);
    let weighted = || canary("app").steps([20, 60]).success_rate(99.0);
    let rows: Vec<(&str, Story, Prepare)> = vec![
        ("healthy", weighted(), |world| world.push("v2")),
        ("blue/green", canary("app").iterations(2), |world| {
            world.push("v2");
        }),
        (
            "without a mesh",
            canary("app").provider("kubernetes").iterations(2),
            |world| world.push("v2"),
        ),
        ("skipped", weighted().skip_analysis(), |world| {
            world.push("v2");
        }),
        ("breach", weighted(), |world| {
            world.answers("metric 0", Reply::Value(1.0));
            world.push("v2");
        }),
        ("deadline", weighted(), |world| {
            world.is_broken(Side::Canary, "v2");
            world.push("v2");
        }),
        ("failed promotion", weighted(), |world| {
            world.is_broken(Side::Primary, "v2");
            world.push("v2");
        }),
        (
            "gate",
            weighted().hook("confirm-rollout", "gate"),
            |world| {
                world.answers("gate", Reply::No);
                world.push("v2");
            },
        ),
        (
            "promotion gate",
            weighted().hook("confirm-promotion", "gate"),
            |world| {
                world.answers("gate", Reply::No);
                world.push("v2");
            },
        ),
        ("a config", weighted(), |world| {
            world.configs.flagger =
                Some(BTreeMap::from([("configmap/a".to_owned(), "1".to_owned())]));
            world.configs.digest = "1".to_owned();
        }),
    ];
    for (name, story, prepare) in rows {
        let mut world = story.initialised();
        prepare(&mut world);
        check_way_back(name, world, 1800);
    }
    let reverted = weighted()
        .initialised()
        .after(15)
        .then(|world| world.push("v1"));
    let mut reverted = reverted;
    reverted.push("v2");
    check_way_back("reverted", reverted, 600);
    let mut newer = weighted()
        .initialised()
        .after(15)
        .then(|world| world.push("v3"));
    newer.push("v2");
    check_way_back("newer", newer, 600);
}
