//! Tables of the decision core: what is given, and what is expected.
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

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use slipway_api::{CanaryStatus, Phase};
use slipway_core::analysis::{CheckResult, judge};
use slipway_core::decide;
use slipway_core::decision::Subject;
use slipway_core::observation::{Answer, Answered, Observation, Reading, Workload};
use slipway_core::plan::{Defaults, MetricCheck, Plan, TargetKind};
use slipway_core::readiness::{Readiness, readiness};
use slipway_core::strategy::{Move, next_move};
use slipway_core::weight::Routes;
use support::{Story, at, both_ready, canary, pods, ready, routed, seen, slipway, status};

// A phase and what the world did: the phase after one look, and the routes that it writes.

/// What a look at a weighted release of `v2` over `v1`, at 60 percent where it has any, comes to.
fn look(phase: Phase, world: &Observation) -> String {
    let plan = canary("app").steps([20, 60]).plan();
    let mut before = status(phase);
    let runs = matches!(
        phase,
        Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting
    );
    before.canary_weight = if runs { 60 } else { 0 };
    let slipway = before.slipway.as_mut().unwrap();
    if matches!(phase, Phase::Initialized | Phase::Succeeded) {
        slipway.promoted_revision = Some("v2".into());
    }
    if phase == Phase::Waiting {
        slipway.acted_revision = Some("v1".into());
    }
    slipway.release.as_mut().unwrap().step_at = Some(at(0));
    let decision = decide(&plan, &before, world, at(1));
    let routes = routed(&decision);
    let weights = routes.iter().map(|routes| format!(" {}", routes.canary));
    format!("{}{}", decision.status.phase, weights.collect::<String>())
}

#[test]
fn what_the_world_does_meets_every_phase() {
    let promoted = || Some(ready("v1", 1));
    let dead = |revision| Some(pods(revision, 1, 0));
    let worlds = [
        ("nothing", both_ready()),
        ("a newer revision", seen(promoted(), Some(ready("v3", 1)))),
        ("a revert", seen(promoted(), Some(ready("v1", 1)))),
        ("the canary dies", seen(promoted(), dead("v2"))),
        ("the primary dies", seen(dead("v1"), Some(ready("v2", 1)))),
        ("both die", seen(dead("v1"), dead("v2"))),
    ];
    // In the order of the worlds: the phase, and the weights that are written.
    let rows = [
        (
            Phase::Initialized,
            "Initialized 0; Progressing 0; Progressing 0; Initialized 0; Initialized 100; Initialized 0",
        ),
        (
            Phase::Waiting,
            "Progressing 0; Progressing 0; Succeeded 0; Progressing 0; Progressing 100; Progressing 0",
        ),
        (
            Phase::Progressing,
            "Progressing 60; Progressing 0; Failed 0; Progressing 0; Progressing 100; Progressing 0",
        ),
        (
            Phase::WaitingPromotion,
            "WaitingPromotion 60; Progressing 0; Failed 0; WaitingPromotion 0; WaitingPromotion 100; WaitingPromotion 0",
        ),
        (
            Phase::Promoting,
            "Promoting 60; Progressing 0; Failed 0; Promoting 0; Promoting 100; Promoting 60",
        ),
        (
            Phase::Finalising,
            "Succeeded 0 0; Succeeded 0 0; Succeeded 0 0; Succeeded 0 0; Finalising 100; Finalising 0",
        ),
        (
            Phase::Succeeded,
            "Succeeded 0; Progressing 0; Progressing 0; Succeeded 0; Succeeded 100; Succeeded 0",
        ),
        (
            Phase::Failed,
            "Failed 0; Progressing 0; Failed 0; Failed 0; Failed 100; Failed 0",
        ),
    ];
    for (phase, expected) in rows {
        let found = worlds.iter().map(|(_, world)| look(phase, world));
        let found: Vec<String> = found.collect();
        let names = worlds
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join("; ");
        assert_eq!(found.join("; "), expected, "{phase}: {names}");
    }
}

// Thresholds.

fn check_of(metric: &Value) -> (Plan, MetricCheck) {
    let plan = canary("app").steps([20]).metric(metric.clone()).plan();
    let check = plan.metrics[0].clone();
    (plan, check)
}

#[test]
fn thresholds_are_inclusive_and_the_former_one_is_a_least_success_and_a_greatest_anything_else() {
    let template = json!({"name": "queue", "templateRef": {"name": "queue"}});
    let with = |mut metric: Value, bounds: Value| {
        let bounds = bounds.as_object().unwrap().clone();
        metric.as_object_mut().unwrap().extend(bounds);
        metric
    };
    let named = |name: &str| json!({"name": name});
    let range = |range: Value| json!({"thresholdRange": range});
    // The metric; values that pass; values that do not.
    let rows: Vec<(Value, &[f64], &[f64])> = vec![
        (
            with(named("request-success-rate"), range(json!({"min": 99}))),
            &[99.0, 99.1, 100.0],
            &[98.999, 0.0],
        ),
        (
            with(named("request-success-rate"), json!({"threshold": 99})),
            &[99.0, 100.0],
            &[98.9],
        ),
        (
            with(named("request-duration"), range(json!({"max": 500}))),
            &[500.0, 500.9, 0.0],
            &[501.0, 1e9],
        ),
        (
            with(named("request-duration"), json!({"threshold": 500})),
            &[500.0, 0.0],
            &[501.0],
        ),
        (
            with(template.clone(), range(json!({"min": 1, "max": 3}))),
            &[1.0, 2.5, 3.0],
            &[0.999, 3.001, -1.0],
        ),
        (
            with(template.clone(), range(json!({"min": -3}))),
            &[-3.0, 0.0],
            &[-3.5],
        ),
        (
            with(template.clone(), json!({"threshold": 5})),
            &[5.0, -1.0],
            &[5.001],
        ),
        // The range counts where both are given, and 0 is a bound.
        (
            with(
                template.clone(),
                json!({"threshold": 5, "thresholdRange": {"max": 0}}),
            ),
            &[0.0],
            &[0.001, 5.0],
        ),
        (
            with(
                json!({"name": "own", "query": "up"}),
                json!({"threshold": 5}),
            ),
            &[5.0],
            &[6.0],
        ),
    ];
    for (metric, passes, fails) in rows {
        let (plan, check) = check_of(&metric);
        for value in passes {
            let result = judge(&plan, &check, &Reading::Value(*value));
            assert_eq!(result, CheckResult::Passed, "{metric} {value}");
        }
        for value in fails {
            let result = judge(&plan, &check, &Reading::Value(*value));
            assert!(matches!(result, CheckResult::Failed(_)), "{metric} {value}");
        }
    }
}

#[test]
fn fc_064_a_metric_that_nothing_is_asked_of_is_refused() {
    let rows = [
        json!({"name": "request-success-rate"}),
        json!({"name": "request-duration", "thresholdRange": {}}),
        json!({"name": "queue", "templateRef": {"name": "queue"}}),
        json!({"name": "typo", "thresholdRange": {"min": 1}}),
        json!({"name": "queue", "templateRef": {"name": "queue"}, "thresholdRange": {"min": 3, "max": 1}}),
        json!({"name": "request-duration", "thresholdRange": {"max": 1}, "interval": "soon"}),
    ];
    for metric in rows {
        let story = canary("app").steps([20]).metric(metric.clone());
        let problems = Plan::parse(&story.object(), &Defaults::default()).unwrap_err();
        let problem = problems.first().unwrap();
        assert!(
            problem.field.starts_with("spec.analysis.metrics[0]"),
            "{metric}: {problem}"
        );
    }
}

// What is not a number within its bounds never passes (INV-12).

/// Every kind of answer that is no pass, each said in its own words.
fn no_passes() -> Vec<(Reading, &'static str)> {
    vec![
        (Reading::Value(98.9), "success rate 98.90% < 99%"),
        (Reading::Value(f64::NAN), "NaN"),
        (Reading::Value(f64::INFINITY), "inf"),
        (Reading::Value(f64::NEG_INFINITY), "-inf"),
        (Reading::NoData("no samples".into()), "no values found"),
        (
            Reading::Ambiguous("{pod=\"a\"}, {pod=\"b\"}".into()),
            "{pod=\"a\"}, {pod=\"b\"}",
        ),
        (
            Reading::Failed("503 from Prometheus".into()),
            "503 from Prometheus",
        ),
        (
            Reading::Unusable("no Secret test/token".into()),
            "no Secret test/token",
        ),
    ]
}

#[test]
fn fc_059_fc_060_what_was_not_measured_never_passes_and_each_says_why() {
    let metric = json!({"name": "request-success-rate", "thresholdRange": {"min": 99}});
    let (plan, check) = check_of(&metric);
    let mut said = Vec::new();
    for (reading, words) in no_passes() {
        match judge(&plan, &check, &reading) {
            CheckResult::Failed(why) => {
                assert!(why.contains(words), "{reading:?}: {why}");
                said.push(why);
            }
            other @ (CheckResult::Passed | CheckResult::Unmeasured(_)) => {
                panic!("{reading:?}: {other:?}")
            }
        }
    }
    said.sort();
    let all = said.len();
    said.dedup();
    assert_eq!(said.len(), all, "they are told apart: {said:#?}");
    // Without a lower or without an upper bound nothing else passes either.
    for bounds in [json!({"min": -1e300}), json!({"max": 1e300})] {
        let (plan, check) = check_of(
            &json!({"name": "queue", "templateRef": {"name": "queue"}, "thresholdRange": bounds}),
        );
        for (reading, _) in no_passes().into_iter().skip(1) {
            assert!(
                judge(&plan, &check, &reading) != CheckResult::Passed,
                "{bounds}: {reading:?}"
            );
        }
    }
}

/// A release at its first weight, an interval before each tick.
fn judged_release() -> CanaryStatus {
    let mut running = status(Phase::Progressing);
    running.canary_weight = 20;
    let release = running.slipway.as_mut().unwrap().release.as_mut().unwrap();
    (release.step_at, release.tested, release.tick) = (Some(at(0)), true, 1);
    running
}

/// One tick of an analysis with one metric, and when it was decided.
fn tick(plan: &Plan, before: &CanaryStatus, reading: &Reading) -> CanaryStatus {
    let step_at = slipway(before).release.unwrap().step_at.unwrap();
    let now: DateTime<Utc> = step_at + TimeDelta::seconds(10);
    let mut world = both_ready();
    let asking = decide(plan, before, &world, now);
    let asked: Vec<_> = asking
        .questions
        .iter()
        .filter(|question| question.subject != Subject::Counters)
        .collect();
    assert_eq!(asked.len(), 1, "{asking:#?}");
    world.answers.push(Answered {
        question: asked[0].clone(),
        at: now,
        answer: Answer::Metric(reading.clone()),
    });
    decide(plan, &asking.status, &world, now).status
}

/// The model of an analysis with weights 20, 40, 60: three passes promote, so many failures roll back, in any order, and nothing else does either.
#[derive(Clone, Copy, Debug, Default)]
struct Model {
    passes: i64,
    failures: i64,
}

impl Model {
    fn next(self, passes: bool) -> Self {
        Self {
            passes: self.passes + i64::from(passes),
            failures: self.failures + i64::from(!passes),
        }
    }

    fn expected(self, threshold: i64) -> (Phase, i64, i64) {
        match self {
            Self { failures, .. } if failures == threshold => (Phase::Failed, 0, 0),
            Self {
                passes: 3,
                failures,
            } => (Phase::Promoting, 60, failures),
            Self { passes, failures } => (Phase::Progressing, 20 + 20 * passes, failures),
        }
    }
}

/// Walks every sequence of readings from here; how many there were.
fn walk(
    plan: &Plan,
    before: &CanaryStatus,
    model: Model,
    readings: &[Reading],
    left: usize,
) -> usize {
    if left == 0 || before.phase != Phase::Progressing {
        return 1;
    }
    let ways = readings.iter().map(|reading| {
        let after = tick(plan, before, reading);
        let model = model.next(*reading == Reading::Value(99.0));
        let found = (after.phase, after.canary_weight, after.failed_checks);
        assert_eq!(
            found,
            model.expected(plan.threshold),
            "after {reading:?}, {model:?}"
        );
        walk(plan, &after, model, readings, left - 1)
    });
    ways.sum()
}

#[test]
fn fc_062_every_sequence_of_readings_ends_as_the_model_says() {
    let readings = [
        Reading::Value(99.0),
        Reading::Value(98.9),
        Reading::NoData("no samples".into()),
        Reading::Failed("503".into()),
    ];
    for threshold in [1, 2, 3] {
        let story = canary("app").steps([20, 40, 60]).success_rate(99.0);
        let plan = story.threshold(threshold).plan();
        let ways = walk(&plan, &judged_release(), Model::default(), &readings, 6);
        assert!(ways >= 10, "{ways}");
    }
    // And whatever else is no pass counts the same.
    let mut all: Vec<Reading> = no_passes()
        .into_iter()
        .map(|(reading, _)| reading)
        .collect();
    all.push(Reading::Value(99.0));
    let story = canary("app").steps([20, 40, 60]).success_rate(99.0);
    let plan = story.threshold(2).plan();
    walk(&plan, &judged_release(), Model::default(), &all, 4);
}

// Readiness.

/// What `kubectl rollout status` says of a Deployment. **Source**: kubectl's `polymorphichelpers/rollout_status.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kubectl {
    Done,
    Waits,
    Error,
}

fn kubectl(workload: &Workload) -> Kubectl {
    if workload.generation > workload.observed_generation {
        return Kubectl::Waits;
    }
    if workload.deadline_exceeded {
        return Kubectl::Error;
    }
    let waits = workload.updated < workload.replicas
        || workload.existing > workload.updated
        || workload.available < workload.updated;
    if waits { Kubectl::Waits } else { Kubectl::Done }
}

/// Every Deployment of up to three pods asked for and four there.
fn deployments() -> impl Iterator<Item = Workload> {
    let counts = (0..=3).flat_map(|replicas| (0..=4).map(move |existing| (replicas, existing)));
    let counts = counts.flat_map(|(replicas, existing)| {
        (0..=existing).flat_map(move |updated| {
            (0..=existing).map(move |available| (replicas, existing, updated, available))
        })
    });
    counts.flat_map(|(replicas, existing, updated, available)| {
        [(1, false), (2, false), (1, true), (2, true)].map(|(generation, deadline_exceeded)| {
            Workload {
                generation,
                observed_generation: 1,
                replicas,
                existing,
                updated,
                available,
                ready: available,
                deadline_exceeded,
                ..Workload::default()
            }
        })
    })
}

#[test]
fn readiness_is_the_verdict_of_kubectl_rollout_status_but_where_it_says_why_not() {
    for workload in deployments() {
        let (ours, theirs) = (
            readiness(TargetKind::Deployment, "app", &workload, 100),
            kubectl(&workload),
        );
        let surplus = workload.updated > workload.replicas;
        let expected = match (&ours, theirs) {
            // Nothing at all is done for kubectl, and never ready here (FC-003).
            (Readiness::Waiting(_), Kubectl::Done) => workload.available == 0,
            // Pods that are about to go need not be available any more.
            (Readiness::Ready, Kubectl::Waits) => {
                surplus && workload.available >= workload.replicas
            }
            // A deadline that was exceeded before everything came after all is no reason to give up.
            (Readiness::Ready, Kubectl::Error) => {
                kubectl(&Workload {
                    deadline_exceeded: false,
                    ..workload.clone()
                }) == Kubectl::Done
                    || surplus
            }
            (Readiness::Ready, Kubectl::Done) => workload.available > 0,
            (Readiness::Waiting(_), Kubectl::Waits) | (Readiness::Stuck(_), Kubectl::Error) => true,
            (Readiness::Waiting(_), Kubectl::Error)
            | (Readiness::Stuck(_), Kubectl::Done | Kubectl::Waits) => false,
        };
        assert!(expected, "{ours:?}, kubectl {theirs:?}: {workload:#?}");
    }
}

// Weights.

/// The weights that a release of this plan goes through, until it is promoted.
fn weights(plan: &Plan) -> Vec<i64> {
    let mut now = CanaryStatus::default();
    let mut weights = Vec::new();
    for _ in 0..=101 {
        match next_move(plan, &now) {
            Move::Weigh(weight) => {
                now.canary_weight = weight.percent();
                weights.push(weight.percent());
            }
            Move::Promote => return weights,
            other => panic!("{other:?}"),
        }
    }
    panic!("it never ends: {weights:?}");
}

#[test]
fn fc_027_the_weights_grow_to_the_maximum_and_never_beyond_it() {
    for step in 1..=100 {
        for max in 0..=100 {
            let plan = canary("app").linear(step, max).plan();
            let weights = weights(&plan);
            let end = if max == 0 { 100 } else { max };
            assert_eq!(weights.last(), Some(&end), "{step} {max}: {weights:?}");
            assert!(
                weights.is_sorted_by(|one, next| one < next),
                "{step} {max}: {weights:?}"
            );
            assert!(weights.iter().all(|weight| (1..=100).contains(weight)));
            let gaps = weights.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(
                gaps.chain(weights.first().copied()).all(|gap| gap <= step),
                "{step} {max}: {weights:?}"
            );
        }
    }
}

#[test]
fn fc_027_lists_of_weights_are_walked_as_they_stand_or_refused() {
    let of = |weights: Value| {
        Story::of_spec(
            "app",
            json!({
                "provider": "istio", "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
                "service": {"port": 80}, "analysis": {"interval": "10s", "threshold": 2, "stepWeights": weights},
            }),
        )
    };
    for list in [
        vec![1],
        vec![100],
        vec![1, 2, 3],
        vec![5, 50, 100],
        (1..=100).collect(),
    ] {
        assert_eq!(weights(&of(json!(list)).plan()), list);
    }
    for list in [
        json!([0]),
        json!([101]),
        json!([-1]),
        json!([20, 20]),
        json!([20, 10]),
        json!([20, 1.5]),
        json!([9_007_199_254_740_993_i64]),
    ] {
        let parsed =
            serde_json::from_value::<slipway_api::Canary>(json!(of(list.clone()).object()));
        let refused = parsed.is_err()
            || Plan::parse(&of(list.clone()).object(), &Defaults::default()).is_err();
        assert!(refused, "{list}");
    }
}

#[test]
fn fc_025_without_a_mesh_weights_become_ten_iterations_and_no_weight_is_ever_asked_for() {
    let plan = canary("app").provider("kubernetes").steps([20, 60]).plan();
    let mut now = CanaryStatus::default();
    for iteration in 1..=10 {
        assert_eq!(next_move(&plan, &now), Move::Iterate(iteration));
        now.iterations = iteration;
        now.canary_weight = 20;
        assert_eq!(
            slipway_core::strategy::asked_routes(&plan, &now),
            Routes::PRIMARY
        );
    }
    assert_eq!(next_move(&plan, &now), Move::CutOver);
    let fields: Vec<&str> = plan
        .warnings
        .iter()
        .map(|warning| warning.field.as_str())
        .collect();
    assert_eq!(fields, ["spec.analysis.stepWeights"]);
}

// References to other namespaces: what the flag says, what is named, whether that is taken.

#[test]
fn fc_115_references_to_other_namespaces_follow_one_flag_that_the_refusal_names() {
    let place = |namespace: Option<&str>| {
        namespace.map_or_else(
            || json!({"name": "shared"}),
            |namespace| json!({"name": "shared", "namespace": namespace}),
        )
    };
    for (allowed, namespace, is_taken) in [
        (true, None, true),
        (true, Some("test"), true),
        (true, Some("monitoring"), true),
        (false, None, true),
        (false, Some("test"), true),
        (false, Some("monitoring"), false),
    ] {
        let reference = place(namespace);
        let metric = json!({"name": "errors", "templateRef": reference, "thresholdRange": {"max": 1}, "interval": "1m"});
        let alert = json!({"name": "chat", "severity": "info", "providerRef": reference});
        for (list, entry, field) in [
            ("metrics", metric, "spec.analysis.metrics[0].templateRef"),
            ("alerts", alert, "spec.analysis.alerts[0].providerRef"),
        ] {
            let canary = json!({
                "metadata": {"name": "app", "namespace": "test"},
                "spec": {
                    "provider": "istio", "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
                    "service": {"port": 80},
                    "analysis": {"interval": "1m", "threshold": 2, "stepWeight": 10, "maxWeight": 50, list: [entry]},
                },
            });
            let defaults = Defaults {
                cross_namespace_references: allowed,
                ..Defaults::default()
            };
            let plan = Plan::parse(&serde_json::from_value(canary).unwrap(), &defaults);
            let problems: Vec<String> = plan
                .err()
                .into_iter()
                .flatten()
                .map(|it| it.to_string())
                .collect();
            if is_taken {
                assert!(problems.is_empty(), "{allowed} {namespace:?}: {problems:?}");
            } else {
                assert_eq!(problems.len(), 1, "{problems:?}");
                let expected = format!("{field}.namespace is monitoring");
                assert!(problems[0].contains(&expected), "{problems:?}");
                assert!(
                    problems[0].contains("-no-cross-namespace-refs"),
                    "{problems:?}"
                );
            }
        }
    }
}
