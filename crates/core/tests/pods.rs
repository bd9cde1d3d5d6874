//! Weight without a mesh: asked for by annotations alone, made of pods, told as asked and as reached.
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

use slipway_api::Phase;
use slipway_core::blueprint::ApexPods;
use slipway_core::decision::{Decision, Effect};
use slipway_core::plan::{Defaults, Plan, Strategy};
use slipway_core::pods::PodCounts;
use slipway_core::weight::Weight;
use support::{Story, World, both_ready, canary, slipway, status};

fn weighted(weights: &str) -> Story {
    canary("app")
        .provider("kubernetes")
        .success_rate(99.0)
        .tuned("step-weights", weights)
}

/// A world with so many pods on each side.
fn with_pods(story: Story, primary: u32, canary: u32) -> World {
    let mut world = story.initialised();
    world.pods = Some(PodCounts { primary, canary });
    world
}

fn not_reached(world: &World) -> Option<String> {
    let mut all = world.stored.conditions.iter();
    let found = all.find(|it| it.type_ == "WeightNotReached");
    found.map(|it| it.message.clone())
}

#[test]
fn annotations_ask_for_weights_without_a_mesh_and_a_spec_does_not() {
    let steps = |story: Story| match story.plan().strategy {
        Strategy::Canary { steps, .. } => steps.iter().map(|step| step.percent()).collect(),
        Strategy::BlueGreen { .. } | Strategy::AbTesting { .. } => Vec::new(),
    };
    let plain = || canary("app").provider("kubernetes");
    let rows = [
        (plain().steps([20, 60]), vec![]),
        (plain().linear(20, 60), vec![]),
        (plain().tuned("step-weights", "20,60"), vec![20, 60]),
        (plain().tuned("step-weight", "40"), vec![40, 80, 100]),
        (
            plain().linear(20, 60).tuned("max-weight", "40"),
            vec![20, 40],
        ),
        (
            plain().steps([20, 60]).tuned("step-weight", "50"),
            vec![50, 100],
        ),
    ];
    for (story, expected) in rows {
        assert_eq!(steps(story.clone()), expected, "{story:?}");
    }
}

#[test]
fn steps_beside_iterations_are_refused_by_the_name_of_the_annotation() {
    let stories = [
        canary("app")
            .provider("kubernetes")
            .iterations(5)
            .tuned("step-weight", "20"),
        canary("app")
            .provider("kubernetes")
            .tuned("iterations", "5")
            .tuned("max-weight", "20"),
        canary("app")
            .provider("kubernetes")
            .tuned("max-weight", "20"),
    ];
    for story in stories {
        let problems = Plan::parse(&story.object(), &Defaults::default()).unwrap_err();
        let named = |annotation: &str| problems.iter().any(|it| it.field.contains(annotation));
        assert!(
            named("slipway.dev/") || named("spec.analysis"),
            "{problems:?}"
        );
    }
}

#[test]
fn pods_are_labelled_before_the_apex_selects_them_and_let_go_after_it_has_ceased_to() {
    let plan = weighted("20,60").plan();
    let routing = |weight: i64| {
        let mut status = status(Phase::Progressing);
        status.canary_weight = weight;
        let release = status.slipway.as_mut().unwrap().release.as_mut();
        release.unwrap().step_at = Some(support::at(0));
        let seen = slipway_core::observation::Observation {
            pods: Some(PodCounts {
                primary: 4,
                canary: 4,
            }),
            ..both_ready()
        };
        let decision = slipway_core::decide(&plan, &status, &seen, support::at(5));
        order(&decision)
    };
    assert_eq!(routing(0), ["apex Of(Primary)", "route 0"]);
    assert_eq!(routing(20), ["route 20", "apex Labelled"]);
    assert_eq!(routing(100), ["apex Of(Canary)", "route 100"]);
}

fn order(decision: &Decision) -> Vec<String> {
    let named = |effect: &Effect| match effect {
        Effect::Services { apex: Some(pods) } => Some(format!("apex {pods:?}")),
        Effect::Route(routes) => Some(format!("route {}", routes.canary)),
        _ => None,
    };
    decision.effects.iter().filter_map(named).collect()
}

#[test]
fn the_status_tells_the_weight_asked_for_and_the_weight_reached() {
    let mut world = with_pods(weighted("20,60"), 4, 4);
    world.push("v2");
    world.run_until(|world| world.stored.canary_weight == 60);
    assert_eq!(
        slipway(&world.stored).routed_weight,
        Some(50),
        "{}",
        world.tale()
    );
    assert_eq!(world.share_of_canary(), 50);
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

#[test]
fn a_weight_that_one_pod_would_exceed_is_said_and_not_judged_and_the_next_one_is() {
    let mut world = with_pods(weighted("20,60").threshold(1), 2, 2);
    world.push("v2");
    world.run_until(|world| world.stored.canary_weight == 20);
    assert_eq!(
        slipway(&world.stored).routed_weight,
        Some(0),
        "{}",
        world.tale()
    );
    let said = not_reached(&world).unwrap();
    assert!(
        said.contains("weight 20") && said.contains("4 ready pods"),
        "{said}"
    );
    world.run_until(|world| world.stored.canary_weight == 60);
    assert_eq!(not_reached(&world), None, "{}", world.tale());
    let asked = |world: &World| {
        let lines = world.happened(&["ask"]);
        lines.iter().filter(|it| it.contains("metric")).count()
    };
    assert_eq!(asked(&world), 0, "{}", world.tale());
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(asked(&world), 1, "{}", world.tale());
    let told = world.told();
    let told = told
        .iter()
        .filter(|it| it.contains("gives no user"))
        .count();
    assert_eq!(told, 1, "{}", world.tale());
}

/// P3: nobody judged it.
#[test]
fn a_revision_that_no_step_gave_to_users_is_not_promoted() {
    let mut world = with_pods(weighted("1,5"), 2, 2);
    world.push("v2");
    world.run();
    assert_eq!(world.phase(), Phase::Failed, "{}", world.tale());
    let reason = slipway(&world.stored).reason.unwrap();
    assert!(reason.contains("19 ready pods"), "{reason}");
    assert_eq!(not_reached(&world), None, "{}", world.tale());
}

/// FC-011: whatever is asked for, pods that are not ready carry no weight.
#[test]
fn fc_011_one_ready_pod_of_ten_carries_a_tenth_at_most() {
    for percent in 1..100 {
        let pods = PodCounts {
            primary: 10,
            canary: 1,
        };
        let reached = pods.reached(Weight::clamped(percent));
        assert!(reached.percent() <= 10, "{percent}: {reached}");
    }
}

#[test]
fn traffic_returns_by_steps_without_a_mesh_as_well() {
    let mut world = with_pods(weighted("20,60").promotion_step(20), 4, 4);
    world.push("v2");
    world.run_until(|world| world.phase() == Phase::Promoting);
    world.run_until(|world| world.stored.canary_weight == 40);
    assert_eq!(world.phase(), Phase::Promoting, "{}", world.tale());
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
}

#[test]
fn weights_that_are_taken_back_go_on_as_blue_green() {
    let mut world = with_pods(weighted("20,60"), 4, 4);
    world.push("v2");
    world.run_until(|world| world.stored.canary_weight == 20);
    let story = canary("app")
        .provider("kubernetes")
        .success_rate(99.0)
        .steps([20, 60]);
    world.edit(move |_| story.clone());
    world.run();
    assert_eq!(world.phase(), Phase::Succeeded, "{}", world.tale());
    assert_eq!(world.share_of_canary(), 0);
    let apex = Effect::Services {
        apex: Some(ApexPods::Of(slipway_api::Side::Primary)),
    };
    assert!(world.decide().effects.contains(&apex));
}
