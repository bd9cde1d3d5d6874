//! Annotations: what each means, which wins, and what is refused.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Value, json};
use slipway_api::Canary;
use slipway_core::plan::{
    AnnotationPolicy, AnnotationScope, Defaults, Gate, MetricSource, Place, Plan, Strategy,
};

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn annotations(pairs: Pairs<'_>) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| (format!("slipway.dev/{key}"), (*value).to_owned()))
        .collect()
}

fn canary(analysis: &Value, pairs: Pairs<'_>) -> Canary {
    let mut spec = json!({
        "provider": "istio", "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
        "service": {"port": 80}, "analysis": {"interval": "1m", "threshold": 2},
    });
    for (key, value) in analysis.as_object().unwrap() {
        spec["analysis"][key] = value.clone();
    }
    let metadata = json!({"name": "app", "namespace": "test", "annotations": annotations(pairs)});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn steps() -> Value {
    json!({"stepWeight": 10, "maxWeight": 50})
}

fn plan(analysis: &Value, on_canary: Pairs<'_>, on_target: Pairs<'_>) -> Result<Plan, Vec<String>> {
    planned(analysis, on_canary, on_target, &Defaults::default())
}

fn planned(
    analysis: &Value,
    on_canary: Pairs<'_>,
    on_target: Pairs<'_>,
    defaults: &Defaults,
) -> Result<Plan, Vec<String>> {
    Plan::tuned(
        &canary(analysis, on_canary),
        &annotations(on_target),
        defaults,
    )
    .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn weights(plan: &Plan) -> Vec<i64> {
    match &plan.strategy {
        Strategy::Canary { steps, .. } => steps.iter().map(|step| step.percent()).collect(),
        Strategy::BlueGreen { iterations, .. } | Strategy::AbTesting { iterations } => {
            vec![-iterations]
        }
    }
}

fn bounds(plan: &Plan, source: &MetricSource) -> Vec<(Option<f64>, Option<f64>)> {
    let checks = plan.metrics.iter().filter(|check| check.source == *source);
    checks.map(|check| (check.min, check.max)).collect()
}

#[test]
fn the_target_wins_over_the_canary_and_that_over_the_spec_and_that_over_the_default() {
    let none = plan(&json!({"stepWeight": 10, "threshold": 0}), &[], &[]).unwrap();
    assert_eq!(none.threshold, 1);
    assert_eq!(plan(&steps(), &[], &[]).unwrap().threshold, 2);
    let on_canary = plan(&steps(), &[("threshold", "3")], &[]).unwrap();
    assert_eq!(on_canary.threshold, 3);
    let both = plan(&steps(), &[("threshold", "3")], &[("threshold", "4")]).unwrap();
    assert_eq!(both.threshold, 4);
    let tuned = both.tuning.get("slipway.dev/threshold").unwrap();
    assert_eq!((tuned.text.as_str(), tuned.place), ("4", Place::Target));
}

#[test]
fn each_annotation_means_what_the_reference_says() {
    let all: Pairs<'_> = &[
        ("interval", "30s"),
        ("threshold", "3"),
        ("success-rate", "99.5%"),
        ("latency", "p99<250ms"),
        ("mirror", "true"),
        ("skip-analysis", "true"),
        ("paused", "true"),
        ("settle", "20s"),
        ("approve", "promotion, rollout"),
        ("step-weights", "1,5,25"),
    ];
    let plan = plan(&steps(), &[], all).unwrap();
    assert_eq!(plan.interval, TimeDelta::seconds(30));
    assert_eq!(plan.settle, TimeDelta::seconds(20));
    assert_eq!(plan.threshold, 3);
    assert!(plan.skip_analysis && plan.paused);
    assert_eq!(plan.approve, [Gate::Rollout, Gate::Promotion]);
    assert_eq!(weights(&plan), [1, 5, 25]);
    assert!(matches!(
        plan.strategy,
        Strategy::Canary { mirror: true, .. }
    ));
    assert_eq!(
        bounds(&plan, &MetricSource::SuccessRate),
        [(Some(99.5), None)]
    );
    assert_eq!(
        bounds(&plan, &MetricSource::RequestDuration),
        [(None, Some(250.0))]
    );
}

#[test]
fn p10_a_value_of_the_sequential_test_that_does_not_parse_says_what_is_allowed() {
    let rows = [
        (
            "analysis-mode",
            "on",
            "must be off, shadow, protect or full",
        ),
        (
            "alpha",
            "0",
            "must be a chance above 0 and at most 0.5, such as 0.001",
        ),
        (
            "max-impact",
            "0%",
            "must be a percentage above 0 and at most 100, such as 0.25%",
        ),
        (
            "tolerance",
            "0.9",
            "must be an odds ratio from 1 to 100, such as 1.25",
        ),
        (
            "tick",
            "11m",
            "must be a duration from 1s to 10m, such as 10s",
        ),
        ("brake", "1", "must be 0, or evidence above 1 such as 20"),
        (
            "cliff",
            "50%/0req/2ticks",
            "must be a share, requests and ticks, such as 50%/5req/2ticks",
        ),
        (
            "latency-edges",
            "0.5,0.1",
            "must be auto, or one to three bounds of the histogram in seconds, growing, such as 0.1,0.5",
        ),
        (
            "metric-weights",
            "errors=0,latency=0",
            "must be errors=NUMBER,latency=NUMBER, not both 0, such as errors=3,latency=1",
        ),
        (
            "on-shared-incident",
            "pass",
            "must be hold, advance or rollback",
        ),
    ];
    for (key, value, allowed) in rows {
        let found = plan(&steps(), &[(key, value)], &[]).unwrap_err();
        let expected = format!("annotation slipway.dev/{key} is {value}, {allowed}");
        assert_eq!(found.join("; "), expected);
    }
}

#[test]
fn what_stands_on_the_sequential_test_is_read_as_it_is_written() {
    let all: Pairs<'_> = &[
        ("analysis-mode", "full"),
        ("alpha", "0.01"),
        ("max-impact", "1%"),
        ("error-floor", "0.2"),
        ("tick", "5s"),
        ("soak", "0s"),
        ("first-weight", "2%"),
        ("evidence", "count"),
        ("brake", "0"),
        ("cliff", "80%/10req/3ticks"),
        ("latency-edges", "0.1, 2.5"),
        ("metric-weights", "errors=3,latency=0"),
        ("on-insufficient-data", "advance"),
    ];
    let plan = plan(&steps(), all, &[]).unwrap();
    let judge = &plan.judge;
    for (key, text) in all {
        let told = judge.text(&format!("slipway.dev/{key}"));
        let expected = match *text {
            "0.2" => "0.2%",
            "2%" => "2",
            "0.1, 2.5" => "0.1,2.5",
            other => other,
        };
        assert_eq!(told, expected, "{key}");
    }
    assert!((judge.max_impact - 0.01).abs() < 1e-12);
    assert_eq!(
        (judge.brake, judge.edges.clone()),
        (None, Some(vec![100, 2500]))
    );
    assert!(judge.weight_of("slower than 100ms") < 1e-12 && judge.weight_of("errors") > 2.9);
    let by_objective: Pairs<'_> = &[("error-floor", "slo"), ("success-rate", "99.5")];
    let plan_of = |pairs| crate::plan(&steps(), pairs, &[]);
    let floor = plan_of(by_objective).unwrap().judge.error_floor;
    assert!((floor - 0.005).abs() < 1e-12, "{floor}");
    assert_eq!(
        plan_of(&by_objective[..1]).unwrap_err(),
        [
            "annotation slipway.dev/error-floor is slo, needs the check request-success-rate with a minimum above 50 and below 100"
        ]
    );
    // Who judges by evidence holds without it, unless it is said otherwise.
    assert_eq!(plan.on_no_data, slipway_core::plan::Silence::Hold);
}

#[test]
fn an_objective_replaces_the_bound_of_the_built_in_check_and_leaves_other_checks() {
    let metrics = json!([
        {"name": "request-success-rate", "thresholdRange": {"min": 90}, "interval": "5m"},
        {"name": "errors", "query": "up", "thresholdRange": {"max": 1}},
    ]);
    let analysis = json!({"stepWeight": 10, "metrics": metrics});
    let plan = plan(&analysis, &[("success-rate", "99")], &[]).unwrap();
    let checks: Vec<_> = plan
        .metrics
        .iter()
        .map(|check| (check.name.as_str(), check.interval.as_str(), check.min))
        .collect();
    assert_eq!(
        checks,
        [
            ("request-success-rate", "5m", Some(99.0)),
            ("errors", "1m", None)
        ]
    );
}

#[test]
fn steps_are_replaced_cut_and_ended() {
    let rows: [(Value, Pairs<'_>, &[i64]); 7] = [
        (steps(), &[("step-weight", "25")], &[25, 50]),
        (steps(), &[("max-weight", "25%")], &[10, 20, 25]),
        (steps(), &[("step-weights", "5,80")], &[5, 80]),
        (
            json!({"stepWeights": [1, 5, 40]}),
            &[("step-weight", "50")],
            &[50, 100],
        ),
        (
            json!({"stepWeights": [1, 5, 40]}),
            &[("max-weight", "20")],
            &[1, 5, 20],
        ),
        (json!({}), &[("step-weight", "50")], &[50, 100]),
        (json!({"iterations": 5}), &[("iterations", "3")], &[-3]),
    ];
    for (analysis, pairs, expected) in rows {
        let plan = plan(&analysis, &[], pairs).unwrap();
        assert_eq!(weights(&plan), expected, "{analysis} {pairs:?}");
    }
    // A list on the Canary gives way to a step on the target.
    let plan = plan(
        &steps(),
        &[("step-weights", "1,2")],
        &[("step-weight", "30")],
    )
    .unwrap();
    assert_eq!(weights(&plan), [30, 50]);
}

#[test]
fn p10_a_value_that_does_not_parse_names_annotation_value_and_what_is_allowed() {
    let percentages = "must be a whole percentage from 1 to 100";
    let flag = "must be true or false";
    let duration = "must be a duration longer than nothing, such as 30s or 1m";
    let rows = [
        ("interval", "30", duration),
        ("interval", "0s", duration),
        (
            "threshold",
            "0",
            "must be a whole number of failed checks, 1 or more",
        ),
        ("max-weight", "101", percentages),
        ("step-weight", "2.5", percentages),
        (
            "step-weights",
            "5,5",
            "must be whole percentages from 1 to 100 with commas between, each greater than the one before, such as 1,5,25,50",
        ),
        (
            "iterations",
            "none",
            "must be a whole number from 1 to 1000000",
        ),
        (
            "success-rate",
            "101",
            "must be a percentage from 0 to 100, such as 99.5",
        ),
        (
            "success-rate",
            "NaN",
            "must be a percentage from 0 to 100, such as 99.5",
        ),
        (
            "latency",
            "p50<1s",
            "must be p99<DURATION in whole milliseconds, such as p99<500ms",
        ),
        ("mirror", "yes", flag),
        ("skip-analysis", "1", flag),
        ("paused", "True", flag),
        ("settle", "5", "must be a duration, such as 5s or 0s"),
        (
            "approve",
            "all",
            "must be rollout, promotion, or both with a comma between",
        ),
    ];
    for (key, value, allowed) in rows {
        let on_canary = plan(&steps(), &[(key, value)], &[]).unwrap_err();
        let expected = format!("annotation slipway.dev/{key} is {value}, {allowed}");
        assert_eq!(on_canary.join("; "), expected);
        let on_target = plan(&steps(), &[], &[(key, value)]).unwrap_err();
        assert_eq!(on_target, [format!("Deployment test/app: {expected}")]);
    }
}

#[test]
fn p10_an_annotation_never_makes_another_strategy_of_a_release() {
    let by_weight = plan(&steps(), &[("iterations", "5")], &[]).unwrap_err();
    assert_eq!(
        by_weight,
        [
            "annotation slipway.dev/iterations is 5, must not stand on a release by weight: it would make another strategy of it"
        ]
    );
    let by_count = plan(&json!({"iterations": 5}), &[("step-weight", "5")], &[]).unwrap_err();
    assert!(
        by_count[0].contains("release by iterations"),
        "{by_count:?}"
    );
    let both = plan(
        &steps(),
        &[("step-weight", "5"), ("step-weights", "5,10")],
        &[],
    );
    assert!(both.unwrap_err()[0].contains("only one of them can be meant"));
}

#[test]
fn an_annotation_that_changes_nothing_is_warned_of() {
    let on_canary: Pairs<'_> = &[("treshold", "5"), ("action-abort", "x"), ("threshold", "5")];
    let plan = plan(&steps(), on_canary, &[("holds-new-revision", "true")]).unwrap();
    let warnings: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "annotation slipway.dev/treshold is 5, is not known: is it misspelt?",
            "Deployment test/app: annotation slipway.dev/holds-new-revision is true, is not known: is it misspelt?",
        ]
    );
}

#[test]
fn the_scope_says_whose_annotations_are_heeded() {
    let rows = [
        (AnnotationScope::All, 4),
        (AnnotationScope::Canary, 3),
        (AnnotationScope::None, 2),
    ];
    for (annotations, expected) in rows {
        let defaults = Defaults {
            annotations,
            ..Defaults::default()
        };
        let plan = planned(
            &steps(),
            &[("threshold", "3")],
            &[("threshold", "4")],
            &defaults,
        );
        assert_eq!(plan.unwrap().threshold, expected);
    }
    // What is not heeded may be anything.
    let defaults = Defaults {
        annotations: AnnotationScope::None,
        ..Defaults::default()
    };
    assert!(
        planned(
            &steps(),
            &[("threshold", "x")],
            &[("mirror", "x")],
            &defaults
        )
        .is_ok()
    );
}

#[test]
fn the_strict_policy_refuses_what_is_weaker_and_takes_what_is_stronger() {
    let analysis = json!({
        "stepWeight": 10, "maxWeight": 50, "mirror": true,
        "metrics": [
            {"name": "request-success-rate", "thresholdRange": {"min": 99}},
            {"name": "request-duration", "thresholdRange": {"max": 500}},
        ],
    });
    let counted = json!({"iterations": 5});
    // Key, stronger or equal, weaker; of a Canary with interval 1m and threshold 2.
    let rows: [(&Value, &str, &[&str], &[&str]); 13] = [
        (&analysis, "interval", &["1m", "2m"], &["59s"]),
        (&analysis, "threshold", &["1", "2"], &["3"]),
        (&analysis, "step-weight", &["5", "10"], &["20"]),
        (
            &analysis,
            "step-weights",
            &["1,10,20,30,40,50"],
            &["10,50", "20,25,30,40,50", "1,2,3,4,5"],
        ),
        (&analysis, "max-weight", &["50", "60"], &["40"]),
        (&counted, "iterations", &["5", "6"], &["4"]),
        (&analysis, "success-rate", &["99", "99.9"], &["98"]),
        (
            &analysis,
            "latency",
            &["p99<500ms", "p99<100ms"],
            &["p99<1s"],
        ),
        (&analysis, "mirror", &["true"], &["false"]),
        (&analysis, "skip-analysis", &["false"], &["true"]),
        (&analysis, "on-no-data", &["fail"], &["hold", "pass"]),
        (&analysis, "on-provider-error", &["fail"], &["hold", "pass"]),
        (&analysis, "on-delete", &["restore"], &["orphan"]),
    ];
    let strict = Defaults {
        policy: AnnotationPolicy::Strict,
        ..Defaults::default()
    };
    for (analysis, key, fine, weak) in rows {
        for value in fine {
            let plan = planned(analysis, &[], &[(key, value)], &strict);
            assert!(plan.is_ok(), "{key} {value}: {:?}", plan.err());
        }
        for value in weak {
            for (canary, target) in [(vec![], vec![(key, *value)]), (vec![(key, *value)], vec![])] {
                let refused = planned(analysis, &canary, &target, &strict).unwrap_err();
                assert_eq!(refused.len(), 1, "{refused:?}");
                assert!(
                    refused[0].contains("must not be weaker than"),
                    "{refused:?}"
                );
                assert!(refused[0].contains(&format!("slipway.dev/{key} is {value}")));
                let free = planned(analysis, &canary, &target, &Defaults::default());
                assert!(free.is_ok(), "{key} {value}: {:?}", free.err());
            }
        }
    }
}

#[test]
fn under_the_strict_policy_a_target_cannot_undo_what_the_canarys_annotations_ask_for() {
    let strict = Defaults {
        policy: AnnotationPolicy::Strict,
        ..Defaults::default()
    };
    for (key, strong, weak) in [
        ("paused", "true", "false"),
        ("approve", "rollout,promotion", "promotion"),
        ("settle", "30s", "20s"),
        ("canary-replicas", "match-primary", "50%"),
        ("canary-replicas", "50%", "min"),
        ("threshold", "1", "2"),
    ] {
        let refused = planned(&steps(), &[(key, strong)], &[(key, weak)], &strict).unwrap_err();
        assert_eq!(refused.len(), 1, "{refused:?}");
        let expected = format!("must not be weaker than the Canary's {strong}");
        assert!(refused[0].contains(&expected), "{refused:?}");
    }
}

#[test]
fn p10_what_was_in_force_is_remembered_without_what_is_wrong_now() {
    let broken = canary(&steps(), &[("threshold", "many")]);
    let before = annotations(&[("threshold", "7")]);
    let plan = Plan::remembered(&broken, &before, &Defaults::default()).unwrap();
    assert_eq!(plan.threshold, 7);
}

/// The rows of the reference: annotation, example, meaning, weaker.
fn reference() -> Vec<Vec<&'static str>> {
    let page = include_str!("../../../docs/annotations.md");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `slipway.dev/"));
    rows.map(|line| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect()
    })
    .collect()
}

#[test]
fn the_reference_has_every_annotation_in_order_with_an_example_that_is_allowed() {
    let rows = reference();
    let keys: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(keys, slipway_core::plan::annotations::KEYS);
    for row in rows {
        assert!(
            row.len() == 4 && row.iter().all(|cell| !cell.is_empty()),
            "{row:?}"
        );
        let key = row[0].strip_prefix("slipway.dev/").unwrap();
        let analysis = if key == "iterations" {
            json!({"iterations": 5})
        } else {
            steps()
        };
        let mut object = canary(&analysis, &[(key, row[1])]);
        object.spec.metrics_server = Some("https://prometheus.test".to_owned());
        let plan = Plan::tuned(&object, &annotations(&[]), &Defaults::default());
        assert!(plan.is_ok(), "{row:?}: {:?}", plan.err());
    }
}
