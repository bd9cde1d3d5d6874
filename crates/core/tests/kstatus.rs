//! What tools read of a Canary: Flux by the rules of kstatus, kubectl by a condition, Argo CD by the phase.
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

use slipway_api::{CanaryStatus, ConditionStatus, Phase};
use slipway_core::decide;
use slipway_core::decide::refuse;
use slipway_core::decision::Effect;
use slipway_core::observation::{Obstacle, ObstacleCondition};
use slipway_core::plan::Problem;
use support::{World, at, both_ready, canary, ready, seen, status};

/// The words of kstatus.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    InProgress,
    Failed,
    Current,
}

/// The rules of kstatus for a kind that it does not know, for an object of that generation.
///
/// **Source**: sigs.k8s.io/cli-utils `pkg/kstatus`, its README on the conditions `Reconciling`, `Stalled` and `Ready`.
fn kstatus(generation: i64, status: &CanaryStatus) -> Told {
    let holds = |type_: &str| {
        let found = status.conditions.iter().find(|it| it.type_ == type_);
        found.map(|found| found.status)
    };
    if ![0, generation].contains(&status.observed_generation) {
        return Told::InProgress;
    }
    if holds("Reconciling") == Some(ConditionStatus::True) {
        return Told::InProgress;
    }
    if holds("Stalled") == Some(ConditionStatus::True) {
        return Told::Failed;
    }
    match holds("Ready") {
        Some(ConditionStatus::False | ConditionStatus::Unknown) => Told::InProgress,
        Some(ConditionStatus::True) | None => Told::Current,
    }
}

/// The health that Argo CD tells of a Canary, by its phase.
fn argo(phase: Phase) -> Told {
    match phase {
        Phase::Failed => Told::Failed,
        Phase::Initialized | Phase::Succeeded => Told::Current,
        _ => Told::InProgress,
    }
}

#[test]
fn a_release_is_told_alike_to_flux_and_argo_cd_in_every_moment() {
    for fails in [false, true] {
        let mut world = canary("app").steps([20, 60]).success_rate(99.0).world();
        let mut phases: Vec<Phase> = Vec::new();
        let mut look = |world: &World| {
            let phase = world.phase();
            if phases.last() != Some(&phase) {
                phases.push(phase);
            }
            let told = kstatus(1, &world.stored);
            assert_eq!(told, argo(phase), "{phase}\n{}", world.tale());
        };
        for revision in ["v1", "v2"] {
            if revision == "v2" {
                if fails {
                    world.is_broken(slipway_api::Side::Canary, "v2");
                }
                world.push("v2");
            }
            for _ in 0..400 {
                world.run_for(1);
                look(&world);
            }
        }
        let end = if fails {
            Phase::Failed
        } else {
            Phase::Succeeded
        };
        assert_eq!(phases.last(), Some(&end), "{phases:?}");
        assert!(phases.contains(&Phase::Initialized) && phases.contains(&Phase::Progressing));
    }
}

#[test]
fn what_nobody_mends_by_waiting_is_failed_and_never_in_progress() {
    let plan = canary("app").steps([20, 60]).plan();
    let problem = Problem::new("spec.provider", "x", "must be known");
    for condition in [
        ObstacleCondition::InvalidSpec,
        ObstacleCondition::ProviderUnavailable,
        ObstacleCondition::UnsupportedProvider,
        ObstacleCondition::Stalled,
    ] {
        let mut observed = both_ready();
        observed.generation = Some(3);
        observed.obstacles = vec![Obstacle {
            condition,
            problem: problem.clone(),
        }];
        for phase in [Phase::Initialized, Phase::Progressing, Phase::Succeeded] {
            let decision = decide(&plan, &status(phase), &observed, at(0));
            assert_eq!(
                kstatus(3, &decision.status),
                Told::Failed,
                "{condition:?} {phase}"
            );
        }
    }
    let refused = refuse(
        "Deployment",
        (&CanaryStatus::default(), Some(3)),
        &[problem],
        at(0),
    );
    assert_eq!(kstatus(3, &refused.status), Told::Failed);
    assert_eq!(kstatus(4, &refused.status), Told::InProgress);
}

#[test]
fn a_status_tells_of_the_generation_that_was_decided_on_and_a_newer_one_alone_is_no_transition() {
    let plan = canary("app").steps([20, 60]).plan();
    let mut observed = seen(Some(ready("v1", 1)), Some(ready("v1", 0)));
    observed.generation = Some(1);
    let mut before = status(Phase::Succeeded);
    let slipway = before.slipway.as_mut().unwrap();
    (slipway.acted_revision, slipway.promoted_revision) = (Some("v1".into()), Some("v1".into()));
    let first = decide(&plan, &before, &observed, at(0)).status;
    assert_eq!(first.observed_generation, 1);
    observed.generation = Some(2);
    assert_eq!(
        kstatus(2, &first),
        Told::InProgress,
        "the newer spec was not looked at"
    );
    let second = decide(&plan, &first, &observed, at(60));
    assert!(second.effects.contains(&Effect::Record));
    assert_eq!(kstatus(2, &second.status), Told::Current);
    assert_eq!(
        second.status.last_transition_time,
        first.last_transition_time
    );
    let third = decide(&plan, &second.status, &observed, at(120));
    assert!(!third.effects.contains(&Effect::Record));
}
