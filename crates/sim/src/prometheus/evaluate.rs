//! What a parsed query is worth at one moment.

use super::families::{self, Class, Family, Shape};
use super::parse::{Expression, Operator, Selector};
use crate::users::{Counter, Series};
use std::collections::BTreeMap;

pub(super) type Labels = BTreeMap<String, String>;

/// One series with its number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: Labels,
    pub(super) value: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Scalar(f64),
    Vector(Vec<Sample>),
    /// Of a bare range selector: the samples as they were scraped.
    Matrix(Vec<Scraped>),
}

/// One series with its samples: the second of each scrape, since the world began, and what was counted before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scraped {
    pub(super) labels: Labels,
    pub(super) samples: Vec<(u64, f64)>,
}

/// Seconds between two scrapes of a pod.
const SCRAPE: u64 = 5;

/// What there is to look at, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    pub(super) series: &'a [&'a Series],
    /// Since the world began.
    pub(super) second: u64,
}

/// # Errors
/// What cannot be evaluated.
pub(super) fn evaluate(expression: &Expression, moment: Moment<'_>) -> Result<Outcome, String> {
    match expression {
        Expression::Number(number) => Ok(Outcome::Scalar(*number)),
        Expression::Select(selector) if selector.window.is_some() => {
            Ok(Outcome::Matrix(scraped(selector, moment)))
        }
        Expression::Select(selector) => Ok(Outcome::Vector(select(selector, moment))),
        Expression::Call(function, arguments) => call(function, arguments, moment),
        Expression::Aggregate {
            function,
            by,
            inner,
        } => {
            let samples = vector(evaluate(inner, moment)?)?;
            Ok(Outcome::Vector(aggregate(function, by, samples)))
        }
        Expression::Binary {
            operator,
            left,
            right,
        } => binary(*operator, evaluate(left, moment)?, evaluate(right, moment)?),
    }
}

fn vector(outcome: Outcome) -> Result<Vec<Sample>, String> {
    match outcome {
        Outcome::Vector(samples) => Ok(samples),
        Outcome::Scalar(_) => Err("expected type instant vector, got scalar".to_owned()),
        Outcome::Matrix(_) => Err("expected type instant vector, got range vector".to_owned()),
    }
}

/// The counters of a selector: totals, or what they grew by within the window.
fn select(selector: &Selector, moment: Moment<'_>) -> Vec<Sample> {
    let Some(family) = families::named(&selector.metric) else {
        return Vec::new();
    };
    let window = selector.window.map(|window| window.as_secs());
    let mut found = Vec::new();
    for series in moment.series {
        for (class, counter) in [(Class::Ok, &series.ok), (Class::Failed, &series.failed)] {
            // Without a window a series is forgotten five minutes after its pod.
            let is_there = counter.first.is_some_and(|first| first < moment.second)
                && series
                    .gone
                    .is_none_or(|gone| gone + window.unwrap_or(300) > moment.second);
            if is_there {
                let counted = counted(counter, window, moment.second);
                samples(&family, family.labels(series, class), &counted, &mut found);
            }
        }
    }
    found.retain(|sample| {
        let label = |name: &str| sample.labels.get(name).map_or("", String::as_str);
        selector
            .matchers
            .iter()
            .all(|matcher| matcher.holds(label(&matcher.label)))
    });
    found
}

/// What each scrape within the window said, of the series that it knew.
fn scraped(selector: &Selector, moment: Moment<'_>) -> Vec<Scraped> {
    let window = selector.window.map_or(0, |window| window.as_secs());
    let first = moment.second.saturating_sub(window) + 1;
    let mut found: BTreeMap<Labels, Vec<(u64, f64)>> = BTreeMap::new();
    let total = Selector {
        window: None,
        ..selector.clone()
    };
    for second in (first..=moment.second).filter(|second| second.is_multiple_of(SCRAPE)) {
        let there = |series: &&&Series| series.gone.is_none_or(|gone| gone >= second);
        let series: Vec<&Series> = moment.series.iter().filter(there).copied().collect();
        let then = Moment {
            series: &series,
            second,
        };
        for sample in select(&total, then) {
            let samples = found.entry(sample.labels).or_default();
            samples.push((second, sample.value));
        }
    }
    let of = |(labels, samples)| Scraped { labels, samples };
    found.into_iter().map(of).collect()
}

/// Latencies in microseconds with their requests, of whole seconds only: what was scraped last.
fn counted(counter: &Counter, window: Option<u64>, second: u64) -> Vec<(u64, f64)> {
    let Some(last) = second.checked_sub(1) else {
        return Vec::new();
    };
    match window {
        None => counter.until(last).collect(),
        Some(window) => counter
            .between(second.saturating_sub(window), last)
            .collect(),
    }
}

fn samples(family: &Family, labels: Labels, counted: &[(u64, f64)], found: &mut Vec<Sample>) {
    let micros = |latency: &u64| u32::try_from(*latency).map_or(f64::MAX, f64::from);
    match family.shape {
        Shape::Requests => {
            let value = counted.iter().map(|(_, requests)| requests).sum();
            found.push(Sample { labels, value });
        }
        Shape::Sum { micros: unit } => {
            let value = counted
                .iter()
                .map(|(latency, requests)| micros(latency) / unit * requests)
                .sum();
            found.push(Sample { labels, value });
        }
        Shape::Buckets {
            bounds,
            micros: unit,
        } => {
            for bound in bounds.iter().copied().chain([f64::INFINITY]) {
                let within = counted
                    .iter()
                    .filter(|(latency, _)| micros(latency) / unit <= bound);
                let value = within.map(|(_, requests)| requests).sum();
                let mut labels = labels.clone();
                labels.insert("le".to_owned(), crate::reply::spell(bound));
                found.push(Sample { labels, value });
            }
        }
    }
}

fn call(function: &str, arguments: &[Expression], moment: Moment<'_>) -> Result<Outcome, String> {
    match (function, arguments) {
        ("rate" | "irate" | "increase", [Expression::Select(selector)]) => {
            let window = selector.window.ok_or_else(|| {
                format!("expected type range vector in call to function {function:?}")
            })?;
            let by = if function == "increase" {
                1.0
            } else {
                window.as_secs_f64()
            };
            let mut samples = select(selector, moment);
            for sample in &mut samples {
                sample.value /= by;
            }
            Ok(Outcome::Vector(samples))
        }
        ("histogram_quantile", [quantile, buckets]) => {
            let quantile = scalar(&evaluate(quantile, moment)?)?;
            let samples = vector(evaluate(buckets, moment)?)?;
            Ok(Outcome::Vector(histogram_quantile(quantile, samples)))
        }
        ("vector", [number]) => {
            let value = scalar(&evaluate(number, moment)?)?;
            Ok(Outcome::Vector(vec![Sample {
                labels: Labels::new(),
                value,
            }]))
        }
        ("scalar", [inner]) => {
            let samples = vector(evaluate(inner, moment)?)?;
            let only = if samples.len() == 1 {
                samples.first()
            } else {
                None
            };
            Ok(Outcome::Scalar(
                only.map_or(f64::NAN, |sample| sample.value),
            ))
        }
        _ => Err(format!(
            "unknown function with name {function:?}, or not so many arguments"
        )),
    }
}

fn scalar(outcome: &Outcome) -> Result<f64, String> {
    match outcome {
        Outcome::Scalar(number) => Ok(*number),
        Outcome::Vector(_) | Outcome::Matrix(_) => {
            Err("expected type scalar, got a vector".to_owned())
        }
    }
}

fn aggregate(function: &str, by: &[String], samples: Vec<Sample>) -> Vec<Sample> {
    let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for sample in samples {
        let kept = sample
            .labels
            .into_iter()
            .filter(|(name, _)| by.contains(name))
            .collect();
        groups.entry(kept).or_default().push(sample.value);
    }
    let whole = |values: &[f64]| crate::mesh::count(values.len());
    groups
        .into_iter()
        .map(|(labels, values)| {
            let sum: f64 = values.iter().sum();
            let value = match function {
                "avg" => sum / whole(&values),
                "min" => values.iter().copied().fold(f64::INFINITY, f64::min),
                "max" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                "count" => whole(&values),
                _ => sum,
            };
            Sample { labels, value }
        })
        .collect()
}

/// As Prometheus does it: linear within the bucket, the last finite bound for what lies above it, NaN without observations.
fn histogram_quantile(quantile: f64, samples: Vec<Sample>) -> Vec<Sample> {
    let mut groups: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for mut sample in samples {
        let Some(bound) = sample.labels.remove("le") else {
            continue;
        };
        let bound = bound.parse().unwrap_or(f64::INFINITY);
        groups
            .entry(sample.labels)
            .or_default()
            .push((bound, sample.value));
    }
    groups
        .into_iter()
        .map(|(labels, mut buckets)| {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            Sample {
                labels,
                value: quantile_of(quantile, &buckets),
            }
        })
        .collect()
}

fn quantile_of(quantile: f64, buckets: &[(f64, f64)]) -> f64 {
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    if all <= 0.0 {
        return f64::NAN;
    }
    let rank = quantile * all;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= rank {
            if bound.is_infinite() {
                return lower;
            }
            return lower + (bound - lower) * (rank - below) / (count - below);
        }
        (lower, below) = (*bound, *count);
    }
    lower
}

fn binary(operator: Operator, left: Outcome, right: Outcome) -> Result<Outcome, String> {
    if operator == Operator::Or {
        let mut both = vector(left)?;
        for sample in vector(right)? {
            if !both.iter().any(|it| it.labels == sample.labels) {
                both.push(sample);
            }
        }
        return Ok(Outcome::Vector(both));
    }
    Ok(match (left, right) {
        (Outcome::Matrix(_), _) | (_, Outcome::Matrix(_)) => {
            return Err(
                "binary expression must contain only scalar and instant vector types".to_owned(),
            );
        }
        (Outcome::Scalar(a), Outcome::Scalar(b)) => {
            Outcome::Scalar(compute(operator, a, b).unwrap_or(0.0))
        }
        (Outcome::Vector(samples), Outcome::Scalar(b)) => {
            Outcome::Vector(each(samples, |a| compute(operator, a, b)))
        }
        (Outcome::Scalar(a), Outcome::Vector(samples)) => {
            Outcome::Vector(each(samples, |b| compute(operator, a, b)))
        }
        (Outcome::Vector(left), Outcome::Vector(right)) => Outcome::Vector(
            left.into_iter()
                .filter_map(|sample| {
                    let other = right.iter().find(|it| it.labels == sample.labels)?;
                    let value = compute(operator, sample.value, other.value)?;
                    Some(Sample { value, ..sample })
                })
                .collect(),
        ),
    })
}

fn each(samples: Vec<Sample>, change: impl Fn(f64) -> Option<f64>) -> Vec<Sample> {
    samples
        .into_iter()
        .filter_map(|sample| change(sample.value).map(|value| Sample { value, ..sample }))
        .collect()
}

/// The result of arithmetic, or the left side of a comparison that holds.
fn compute(operator: Operator, a: f64, b: f64) -> Option<f64> {
    let kept = |holds: bool| holds.then_some(a);
    match operator {
        Operator::Add => Some(a + b),
        Operator::Subtract => Some(a - b),
        Operator::Multiply => Some(a * b),
        Operator::Divide => Some(a / b),
        Operator::Less => kept(a < b),
        Operator::LessOrEqual => kept(a <= b),
        Operator::Greater => kept(a > b),
        Operator::GreaterOrEqual => kept(a >= b),
        Operator::Equal => kept(a.total_cmp(&b).is_eq()),
        Operator::Different => kept(a.total_cmp(&b).is_ne()),
        Operator::Or => None,
    }
}
