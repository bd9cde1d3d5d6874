//! The pace and the steps of an analysis.

use chrono::TimeDelta;
use slipway_api::{CanaryAnalysis, CanarySpec, GoInt, go};

use super::{Defaults, Problems};
use crate::plan::annotations::WithoutMesh;
use crate::plan::{Affinity, Problem, Provider, Strategy};
use crate::weight::Weight;

/// The part of a plan that says how fast and how far.
pub(super) struct Pace {
    pub(super) strategy: Strategy,
    pub(super) interval: TimeDelta,
    pub(super) threshold: i64,
    pub(super) promotion_step: Option<Weight>,
    pub(super) affinity: Option<Affinity>,
    pub(super) primary_ready_threshold: i64,
    pub(super) canary_ready_threshold: i64,
}

/// Iterations of a blue/green release that is made of a weighted one without a mesh, as Flagger makes it.
const ITERATIONS_WITHOUT_MESH: i64 = 10;

/// Reads `spec.analysis`, or its former name.
pub(super) fn parse(
    spec: &CanarySpec,
    weights: WithoutMesh,
    provider: &Provider,
    defaults: &Defaults,
    problems: &mut Problems,
) -> (Pace, Vec<Problem>) {
    let empty = CanaryAnalysis::default();
    let analysis = spec.analysis_in_force().unwrap_or(&empty);
    let skipped = spec.skip_analysis || spec.analysis_in_force().is_none();
    let mut warnings = Vec::new();
    let interval = interval(analysis, defaults, problems, &mut warnings);
    let splits = provider.has_mesh() || weights == WithoutMesh::Pods;
    let strategy = strategy(analysis, splits, skipped, problems, &mut warnings);
    let percent = |problems: &mut Problems, field: &str, value: Option<GoInt>| {
        value.map_or(100, |value| problems.integer(field, value, 0..=100, 100))
    };
    let step = weight(
        problems,
        "spec.analysis.stepWeightPromotion",
        analysis.step_weight_promotion,
    );
    let pace = Pace {
        strategy,
        interval,
        threshold: threshold(analysis, problems),
        promotion_step: (!step.is_zero()).then_some(step),
        affinity: affinity(analysis, problems),
        primary_ready_threshold: percent(
            problems,
            "spec.analysis.primaryReadyThreshold",
            analysis.primary_ready_threshold,
        ),
        canary_ready_threshold: percent(
            problems,
            "spec.analysis.canaryReadyThreshold",
            analysis.canary_ready_threshold,
        ),
    };
    (pace, warnings)
}

/// Flagger's rule: absent is 60 s, shorter than the floor is the floor. A text that is no duration is a mistake here.
fn interval(
    analysis: &CanaryAnalysis,
    defaults: &Defaults,
    problems: &mut Problems,
    warnings: &mut Vec<Problem>,
) -> TimeDelta {
    let Some(text) = &analysis.interval else {
        return TimeDelta::seconds(60).max(defaults.minimum_interval);
    };
    match go::parse_duration(text) {
        Ok(interval) if interval > TimeDelta::zero() => {
            if interval < defaults.minimum_interval {
                let floor = go::format_duration(defaults.minimum_interval);
                warnings.push(Problem::new(
                    "spec.analysis.interval",
                    text,
                    format!("is shorter than the least interval: {floor} is used"),
                ));
            }
            interval.max(defaults.minimum_interval)
        }
        Ok(_) | Err(_) => {
            problems.add(
                "spec.analysis.interval",
                text,
                "must be a duration longer than nothing, such as 30s or 1m",
            );
            defaults.minimum_interval
        }
    }
}

/// The cookies of session affinity. A name that is no token would end the `Set-Cookie` that it stands in.
fn affinity(analysis: &CanaryAnalysis, problems: &mut Problems) -> Option<Affinity> {
    let rules = analysis.session_affinity.as_ref()?;
    let field = "spec.analysis.sessionAffinity";
    let is_token = |name: &str| {
        let is_part =
            |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
        !name.is_empty() && name.chars().all(is_part)
    };
    let mut check = |name: &str, part: &str| {
        if !is_token(name) {
            let allowed = "must be the name of a cookie: letters, digits and !#$%&'*+-.^_`|~";
            problems.add(format!("{field}.{part}"), name, allowed);
        }
    };
    check(&rules.cookie_name, "cookieName");
    let primary = rules.primary_cookie_name.as_deref();
    let primary = primary.filter(|name| !name.is_empty());
    if let Some(name) = primary {
        check(name, "primaryCookieName");
        if name == rules.cookie_name {
            let allowed = "must differ from cookieName: the sides could not be told apart";
            problems.add(format!("{field}.primaryCookieName"), name, allowed);
        }
    }
    Some(Affinity {
        cookie: rules.cookie_name.clone(),
        primary_cookie: primary.map(str::to_owned),
    })
}

/// Flagger's rule: nothing, 0 and less are 1.
fn threshold(analysis: &CanaryAnalysis, problems: &mut Problems) -> i64 {
    problems
        .integer(
            "spec.analysis.threshold",
            analysis.threshold,
            i64::from(i32::MIN)..=i64::from(i32::MAX),
            1,
        )
        .max(1)
}

fn strategy(
    analysis: &CanaryAnalysis,
    splits: bool,
    skipped: bool,
    problems: &mut Problems,
    warnings: &mut Vec<Problem>,
) -> Strategy {
    let iterations = problems.integer(
        "spec.analysis.iterations",
        analysis.iterations,
        0..=1_000_000,
        0,
    );
    let mirror = analysis.mirror;
    if !splits {
        return without_mesh(analysis, iterations, warnings);
    }
    if iterations > 0 && !analysis.match_.is_empty() {
        return Strategy::AbTesting { iterations };
    }
    if iterations > 0 {
        return Strategy::BlueGreen { iterations, mirror };
    }
    let steps = steps(analysis, problems);
    if steps.is_empty() && !skipped && problems.0.is_empty() {
        problems.add(
            "spec.analysis",
            "",
            "must have iterations, stepWeight or stepWeights",
        );
    }
    Strategy::Canary { steps, mirror }
}

/// Without a mesh nothing can be split: blue/green behind the canary's own Service (dossier 01 §4 step 29).
fn without_mesh(
    analysis: &CanaryAnalysis,
    iterations: i64,
    warnings: &mut Vec<Problem>,
) -> Strategy {
    if !analysis.match_.is_empty() {
        let text = "A/B testing is not supported when using the kubernetes provider";
        warnings.push(Problem::new(
            "spec.analysis.match",
            "",
            format!("is not heeded: {text}"),
        ));
    }
    if iterations < 1 {
        let text = "Progressive traffic is not supported when using the kubernetes provider";
        let field = if analysis.step_weights.is_empty() {
            "spec.analysis.stepWeight"
        } else {
            "spec.analysis.stepWeights"
        };
        warnings.push(Problem::new(
            field,
            "",
            format!("is not heeded: {text}; {ITERATIONS_WITHOUT_MESH} iterations are used"),
        ));
        return Strategy::BlueGreen {
            iterations: ITERATIONS_WITHOUT_MESH,
            mirror: false,
        };
    }
    Strategy::BlueGreen {
        iterations,
        mirror: false,
    }
}

/// The weights in order: from `stepWeight` up to `maxWeight`, never beyond it, or `stepWeights` as they stand.
///
/// **Differs from Flagger**, which passes over `maxWeight` when it is no multiple of `stepWeight` (Q9).
fn steps(analysis: &CanaryAnalysis, problems: &mut Problems) -> Vec<Weight> {
    let step = weight(problems, "spec.analysis.stepWeight", analysis.step_weight);
    let max = weight(problems, "spec.analysis.maxWeight", analysis.max_weight);
    let max = if max.is_zero() { Weight::FULL } else { max };
    if !step.is_zero() {
        return linear(step, max);
    }
    let mut steps: Vec<Weight> = Vec::new();
    for (index, value) in analysis.step_weights.iter().enumerate() {
        let field = format!("spec.analysis.stepWeights[{index}]");
        let weight = Weight::clamped(problems.integer(&field, *value, 1..=100, 100));
        match steps.last() {
            Some(before) if *before >= weight => {
                problems.add(
                    field,
                    weight,
                    format!("must be greater than the weight before it, which is {before}"),
                );
            }
            Some(_) | None => steps.push(weight),
        }
    }
    steps
}

fn linear(step: Weight, max: Weight) -> Vec<Weight> {
    let mut at = step.percent();
    let mut steps = Vec::new();
    while at < max.percent() {
        steps.push(Weight::clamped(at));
        at += step.percent();
    }
    steps.push(max);
    steps
}

fn weight(problems: &mut Problems, field: &str, value: GoInt) -> Weight {
    Weight::clamped(problems.integer(field, value, 0..=100, 0))
}
