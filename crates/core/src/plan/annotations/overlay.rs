//! Laying annotations over a spec.

use slipway_api::names::annotation;
use slipway_api::{Canary, CanaryAnalysis, CanaryMetric, CanarySpec, GoInt, ThresholdRange, go};

use super::{Tuning, Value, problem};
use crate::plan::Problem;

/// The annotations that say how the weight grows.
pub(super) const STEPS: [&str; 3] = [
    annotation::STEP_WEIGHT,
    annotation::STEP_WEIGHTS,
    annotation::MAX_WEIGHT,
];

/// The field of the spec that an annotation is laid over, where there is one.
pub(super) fn field(key: &str) -> Option<&'static str> {
    match key {
        annotation::INTERVAL => Some("spec.analysis.interval"),
        annotation::THRESHOLD => Some("spec.analysis.threshold"),
        annotation::MAX_WEIGHT => Some("spec.analysis.maxWeight"),
        annotation::STEP_WEIGHT => Some("spec.analysis.stepWeight"),
        annotation::STEP_WEIGHTS => Some("spec.analysis.stepWeights"),
        annotation::ITERATIONS => Some("spec.analysis.iterations"),
        _ => None,
    }
}

/// The spec with the annotations laid over it, under its newer name `analysis`.
pub(super) fn over(tuning: &Tuning, canary: &Canary, problems: &mut Vec<Problem>) -> CanarySpec {
    let mut spec = canary.spec.clone();
    if let Some(Value::Switch(skip)) = tuning.value(annotation::SKIP_ANALYSIS) {
        spec.skip_analysis = *skip;
    }
    let brings_an_analysis = [
        annotation::STEP_WEIGHT,
        annotation::STEP_WEIGHTS,
        annotation::ITERATIONS,
    ];
    let brings_one = brings_an_analysis
        .iter()
        .any(|key| tuning.get(key).is_some());
    let Some(mut analysis) = spec
        .analysis_in_force()
        .cloned()
        .or_else(|| brings_one.then(CanaryAnalysis::default))
    else {
        return spec;
    };
    keep_strategy(tuning, canary, &analysis, problems);
    pace(tuning, &mut analysis);
    steps(tuning, canary, &mut analysis, problems);
    objectives(tuning, &mut analysis);
    spec.analysis = Some(analysis);
    spec
}

/// Steps and iterations are two strategies: an annotation tunes the one of the Canary, and never makes another of it.
fn keep_strategy(
    tuning: &Tuning,
    canary: &Canary,
    analysis: &CanaryAnalysis,
    problems: &mut Vec<Problem>,
) {
    let weighted = !analysis.step_weight.is_zero() || !analysis.step_weights.is_empty();
    let counted = !analysis.iterations.is_zero();
    let refused: &[&str] = match (weighted, counted) {
        // Without a mesh a weighted Canary becomes blue/green: there iterations have a meaning.
        (true, false) if !is_without_mesh(canary) => &[annotation::ITERATIONS],
        (_, true) => &STEPS,
        (true | false, false) => return keep_one(tuning, canary, problems),
    };
    let allowed = if counted {
        "must not stand on a release by iterations: it would make another strategy of it"
    } else {
        "must not stand on a release by weight: it would make another strategy of it"
    };
    for key in refused {
        if let Some(tuned) = tuning.get(key) {
            problems.push(problem(canary, key, tuned, allowed));
        }
    }
}

/// Of annotations alone, too, one strategy can be meant.
fn keep_one(tuning: &Tuning, canary: &Canary, problems: &mut Vec<Problem>) {
    let weighs = STEPS.iter().find(|key| tuning.get(key).is_some());
    if let (Some(steps), Some(tuned)) = (weighs, tuning.get(annotation::ITERATIONS)) {
        let allowed = format!("must not stand beside {steps}: only one of them can be meant");
        problems.push(problem(canary, annotation::ITERATIONS, tuned, allowed));
    }
}

fn is_without_mesh(canary: &Canary) -> bool {
    canary
        .spec
        .provider
        .as_deref()
        .is_some_and(|provider| provider == "kubernetes")
}

fn pace(tuning: &Tuning, analysis: &mut CanaryAnalysis) {
    if let Some(Value::Span(interval)) = tuning.value(annotation::INTERVAL) {
        analysis.interval = Some(go::format_duration(*interval));
    }
    if let Some(Value::Whole(threshold)) = tuning.value(annotation::THRESHOLD) {
        analysis.threshold = GoInt::from(*threshold);
    }
    if let Some(Value::Whole(iterations)) = tuning.value(annotation::ITERATIONS) {
        analysis.iterations = GoInt::from(*iterations);
    }
    if let Some(Value::Switch(mirror)) = tuning.value(annotation::MIRROR) {
        analysis.mirror = *mirror;
    }
}

/// A list replaces a step and a step a list; both at one place contradict each other. The greatest weight cuts a list, or ends it.
fn steps(
    tuning: &Tuning,
    canary: &Canary,
    analysis: &mut CanaryAnalysis,
    problems: &mut Vec<Problem>,
) {
    let place = |key: &str| tuning.get(key).map(|tuned| tuned.place);
    let (one, many) = (
        place(annotation::STEP_WEIGHT),
        place(annotation::STEP_WEIGHTS),
    );
    if let (Some(tuned), true) = (tuning.get(annotation::STEP_WEIGHT), one == many) {
        let allowed =
            "must not stand beside slipway.dev/step-weights: only one of them can be meant";
        let key = annotation::STEP_WEIGHT;
        problems.push(problem(canary, key, tuned, allowed));
    }
    if one > many
        && let Some(Value::Whole(step)) = tuning.value(annotation::STEP_WEIGHT)
    {
        analysis.step_weight = GoInt::from(*step);
        analysis.step_weights.clear();
    } else if let Some(Value::Weights(weights)) = tuning.value(annotation::STEP_WEIGHTS) {
        analysis.step_weight = GoInt::from(0);
        analysis.step_weights = weights.iter().map(|weight| GoInt::from(*weight)).collect();
    }
    let Some(Value::Whole(max)) = tuning.value(annotation::MAX_WEIGHT) else {
        return;
    };
    analysis.max_weight = GoInt::from(*max);
    if analysis.step_weight.is_zero() && !analysis.step_weights.is_empty() {
        let below = |weight: &GoInt| weight.value().is_none_or(|weight| weight < *max);
        analysis.step_weights.retain(below);
        analysis.step_weights.push(GoInt::from(*max));
    }
}

/// The built-in checks, with the bound that the annotation gives; a check that the Canary has not is added.
fn objectives(tuning: &Tuning, analysis: &mut CanaryAnalysis) {
    if let Some(Value::Percent(min)) = tuning.value(annotation::SUCCESS_RATE) {
        let range = ThresholdRange {
            min: Some(*min),
            max: None,
        };
        bound(analysis, "request-success-rate", range);
    }
    if let Some(Value::Milliseconds(max)) = tuning.value(annotation::LATENCY) {
        let range = ThresholdRange {
            min: None,
            max: Some(GoInt::from(*max).as_f64()),
        };
        bound(analysis, "request-duration", range);
    }
}

fn bound(analysis: &mut CanaryAnalysis, name: &str, range: ThresholdRange) {
    let known = analysis
        .metrics
        .iter_mut()
        .find(|metric| metric.name == name && metric.template_ref.is_none());
    match known {
        Some(metric) => metric.threshold_range = Some(range),
        None => analysis.metrics.push(CanaryMetric {
            name: name.to_owned(),
            interval: Some("1m".to_owned()),
            threshold_range: Some(range),
            ..CanaryMetric::default()
        }),
    }
}
