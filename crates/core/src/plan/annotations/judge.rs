//! The annotations of the sequential test: their grammar, and the settings that they make.

use std::collections::BTreeMap;

use slipway_api::names::annotation;

use super::Tuning;
use super::value::{Value, percent, span};
use crate::analysis::{Bets, Cliff, JudgeMode, JudgeSettings, Policy};
use crate::weight::Weight;

/// The value of an annotation of the test.
///
/// # Errors
/// What is allowed.
pub(super) fn parse(key: &str, text: &str) -> Result<Value, &'static str> {
    match key {
        annotation::ANALYSIS_MODE => JudgeMode::parse(text)
            .map(Value::Mode)
            .ok_or("must be off, shadow, protect or full"),
        annotation::ALPHA | annotation::BETA => number(text)
            .filter(|chance| *chance > 0.0 && *chance <= 0.5)
            .map(Value::Number)
            .ok_or("must be a chance above 0 and at most 0.5, such as 0.001"),
        annotation::MAX_IMPACT => percent(text)
            .filter(|share| *share > 0.0)
            .map(Value::Percent)
            .ok_or("must be a percentage above 0 and at most 100, such as 0.25%"),
        annotation::ERROR_FLOOR if text == "slo" => Ok(Value::Objective),
        annotation::ERROR_FLOOR => percent(text)
            .filter(|share| *share > 0.0 && *share < 50.0)
            .map(Value::Percent)
            .ok_or("must be a percentage above 0 and below 50, such as 0.05%, or slo"),
        annotation::TOLERANCE => number(text)
            .filter(|odds| (1.0..=100.0).contains(odds))
            .map(Value::Number)
            .ok_or("must be an odds ratio from 1 to 100, such as 1.25"),
        annotation::TICK => span(text)
            .filter(|tick| (1..=600).contains(&tick.num_seconds()))
            .map(Value::Span)
            .ok_or("must be a duration from 1s to 10m, such as 10s"),
        annotation::MIN_STEP | annotation::MAX_STEP => span(text)
            .filter(|step| step.num_seconds() > 0)
            .map(Value::Span)
            .ok_or("must be a duration longer than nothing, such as 60s"),
        annotation::WARMUP | annotation::SOAK => span(text)
            .filter(|time| time.num_seconds() >= 0)
            .map(Value::Span)
            .ok_or("must be a duration, such as 30s or 0s"),
        annotation::EVIDENCE => Bets::parse(text)
            .map(Value::Bets)
            .ok_or("must be tick, count or auto"),
        annotation::BRAKE => number(text)
            .filter(|evidence| *evidence == 0.0 || *evidence > 1.0)
            .map(Value::Number)
            .ok_or("must be 0, or evidence above 1 such as 20"),
        annotation::CLIFF => Cliff::parse(text)
            .map(Value::Cliff)
            .ok_or("must be a share, requests and ticks, such as 50%/5req/2ticks"),
        annotation::FIRST_WEIGHT => first_weight(text)
            .ok_or("must be auto, or a whole percentage from 1 to 100"),
        annotation::LATENCY_EDGES => edges(text)
            .ok_or("must be auto, or one to three bounds of the histogram in seconds, growing, such as 0.1,0.5"),
        annotation::METRIC_WEIGHTS => metric_weights(text)
            .map(Value::MetricWeights)
            .ok_or("must be errors=NUMBER,latency=NUMBER, not both 0, such as errors=3,latency=1"),
        annotation::ON_INSUFFICIENT_DATA | annotation::ON_SHARED_INCIDENT => Policy::parse(text)
            .map(Value::Policy)
            .ok_or("must be hold, advance or rollback"),
        _ => Err("is not known"),
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn first_weight(text: &str) -> Option<Value> {
    if text == "auto" {
        return Some(Value::FirstWeight(None));
    }
    let whole: i64 = text.strip_suffix('%').unwrap_or(text).parse().ok()?;
    (1..=100)
        .contains(&whole)
        .then(|| Value::FirstWeight(Some(Weight::clamped(whole))))
}

fn edges(text: &str) -> Option<Value> {
    /// How many latencies the state has room for.
    const MOST: usize = 3;
    if text == "auto" {
        return Some(Value::Edges(None));
    }
    let mut edges: Vec<u32> = Vec::new();
    for word in text.split(',') {
        let span = span(&format!("{}s", word.trim()))?;
        let whole = u32::try_from(span.num_milliseconds()).ok()?;
        let is_whole = chrono::TimeDelta::milliseconds(whole.into()) == span;
        if !is_whole || edges.last().map_or(whole == 0, |last| whole <= *last) {
            return None;
        }
        edges.push(whole);
    }
    (edges.len() <= MOST).then_some(Value::Edges(Some(edges)))
}

fn metric_weights(text: &str) -> Option<BTreeMap<String, f64>> {
    let mut weights = BTreeMap::new();
    for word in text.split(',') {
        let (name, weight) = word.trim().split_once('=')?;
        let weight = number(weight).filter(|weight| (0.0..=1000.0).contains(weight))?;
        if !["errors", "latency"].contains(&name)
            || weights.insert(name.to_owned(), weight).is_some()
        {
            return None;
        }
    }
    let counts = |name: &str| weights.get(name).is_none_or(|weight| *weight > 0.0);
    (counts("errors") || counts("latency")).then_some(weights)
}

/// The settings that the annotations in force make; `objective` is the share of failures that the checks leave, 0 to 1.
///
/// # Errors
/// The floor is to be what the checks leave, and they leave nothing: none of them bounds the success rate.
pub(super) fn settings(
    tuning: &Tuning,
    objective: Option<f64>,
) -> Result<JudgeSettings, &'static str> {
    let mut settings = JudgeSettings::default();
    if tuning.value(annotation::ERROR_FLOOR) == Some(&Value::Objective) {
        let left = objective.filter(|left| *left > 0.0 && *left < 0.5);
        settings.error_floor = left
            .ok_or("needs the check request-success-rate with a minimum above 50 and below 100")?;
    }
    for key in annotation::JUDGE {
        if let Some(value) = tuning.value(key) {
            set(&mut settings, key, value);
        }
    }
    Ok(settings)
}

fn set(settings: &mut JudgeSettings, key: &str, value: &Value) {
    match (key, value) {
        (_, Value::Mode(mode)) => settings.mode = *mode,
        (_, Value::Bets(bets)) => settings.bets = *bets,
        (_, Value::Cliff(cliff)) => settings.cliff = *cliff,
        (_, Value::FirstWeight(weight)) => settings.first_weight = *weight,
        (_, Value::Edges(edges)) => settings.edges.clone_from(edges),
        (_, Value::MetricWeights(weights)) => settings.weights.clone_from(weights),
        (annotation::ALPHA, Value::Number(chance)) => settings.alpha = *chance,
        (annotation::BETA, Value::Number(chance)) => settings.beta = *chance,
        (annotation::TOLERANCE, Value::Number(odds)) => settings.tolerance = *odds,
        (annotation::BRAKE, Value::Number(evidence)) => {
            settings.brake = Some(*evidence).filter(|evidence| *evidence > 0.0);
        }
        (annotation::MAX_IMPACT, Value::Percent(share)) => settings.max_impact = share / 100.0,
        (annotation::ERROR_FLOOR, Value::Percent(share)) => settings.error_floor = share / 100.0,
        (annotation::TICK, Value::Span(span)) => settings.tick = *span,
        (annotation::WARMUP, Value::Span(span)) => settings.warmup = *span,
        (annotation::SOAK, Value::Span(span)) => settings.soak = *span,
        (annotation::MIN_STEP, Value::Span(span)) => settings.min_step = *span,
        (annotation::MAX_STEP, Value::Span(span)) => settings.max_step = *span,
        (annotation::ON_INSUFFICIENT_DATA, Value::Policy(policy)) => {
            settings.on_insufficient = *policy;
        }
        (annotation::ON_SHARED_INCIDENT, Value::Policy(policy)) => settings.on_shared = *policy,
        _ => {}
    }
}

/// Whether what this annotation says of the test is weaker than what stood before; if so, what it may not be weaker than.
pub(super) fn weaker(key: &str, new: &JudgeSettings, old: &JudgeSettings) -> Option<String> {
    let brake = |settings: &JudgeSettings| settings.brake.unwrap_or(f64::INFINITY);
    let is_weaker = match key {
        annotation::ANALYSIS_MODE => new.mode < old.mode,
        annotation::ALPHA => new.alpha < old.alpha,
        annotation::BETA => new.beta > old.beta,
        annotation::MAX_IMPACT => new.max_impact > old.max_impact,
        annotation::TOLERANCE => new.tolerance > old.tolerance,
        annotation::ERROR_FLOOR => new.error_floor > old.error_floor,
        annotation::TICK => new.tick > old.tick,
        annotation::WARMUP => new.warmup > old.warmup,
        annotation::SOAK => new.soak < old.soak,
        annotation::MIN_STEP => new.min_step < old.min_step,
        annotation::FIRST_WEIGHT => new.first_weight > old.first_weight,
        annotation::BRAKE => brake(new) > brake(old),
        annotation::CLIFF => {
            new.cliff.share > old.cliff.share
                || new.cliff.requests > old.cliff.requests
                || new.cliff.ticks > old.cliff.ticks
        }
        annotation::ON_INSUFFICIENT_DATA => new.on_insufficient > old.on_insufficient,
        annotation::ON_SHARED_INCIDENT => new.on_shared > old.on_shared,
        _ => false,
    };
    is_weaker.then(|| old.text(key))
}
