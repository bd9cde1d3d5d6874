//! The grammar of each annotation: durations with a unit, whole percents or fractions, lists with commas.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use slipway_api::go;
use slipway_api::names::annotation;

use super::judge;
use crate::analysis::{Bets, Cliff, JudgeMode, Policy};
use crate::plan::{CanaryReplicas, Silence};
use crate::weight::Weight;

/// A value that is right.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A duration.
    Span(TimeDelta),
    /// A count, or a weight in whole percent.
    Whole(i64),
    /// Weights in whole percent, growing.
    Weights(Vec<i64>),
    /// A share in percent.
    Percent(f64),
    /// A latency in milliseconds.
    Milliseconds(i64),
    /// How many pods the canary has.
    Size(CanaryReplicas),
    /// Yes or no.
    Switch(bool),
    /// Gates, possibly none.
    Gates(Vec<Gate>),
    /// What a metric that was not measured means.
    Silence(Silence),
    /// Whether a deleted Canary leaves everything as it is.
    Orphan(bool),
    /// Names of Canaries, possibly none.
    Names(Vec<String>),
    /// The part that the sequential test plays.
    Mode(JudgeMode),
    /// A number without a unit.
    Number(f64),
    /// What the success rate of the checks leaves.
    Objective,
    /// What the sequential test bets on.
    Bets(Bets),
    /// The rule for gross failures.
    Cliff(Cliff),
    /// What follows where the sequential test cannot tell.
    Policy(Policy),
    /// The canary's first weight, where it is said.
    FirstWeight(Option<Weight>),
    /// Latencies in milliseconds, growing, where they are said.
    Edges(Option<Vec<u32>>),
    /// How much each metric counts.
    MetricWeights(BTreeMap<String, f64>),
}

/// A gate that a person opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Before a release starts.
    Rollout,
    /// Before a judged revision is promoted.
    Promotion,
}

impl Gate {
    /// Both, in the order of a release.
    pub const ALL: [Self; 2] = [Self::Rollout, Self::Promotion];

    /// The word that annotations, actions and the status spell it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Promotion => "promotion",
        }
    }

    /// The gate of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.as_str() == word)
    }
}

impl Value {
    /// The value of an annotation.
    ///
    /// # Errors
    /// What is allowed.
    pub(super) fn parse(key: &str, text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        match key {
            annotation::INTERVAL => span(text)
                .filter(|span| *span > TimeDelta::zero())
                .map(Self::Span)
                .ok_or("must be a duration longer than nothing, such as 30s or 1m"),
            annotation::SETTLE => span(text)
                .filter(|span| *span >= TimeDelta::zero())
                .map(Self::Span)
                .ok_or("must be a duration, such as 5s or 0s"),
            annotation::CANARY_REPLICAS => CanaryReplicas::parse(text)
                .map(Self::Size)
                .ok_or("must be min, match-primary, or a whole percentage of the primary's pods from 1 to 100"),
            annotation::THRESHOLD => whole(text, 1..=i64::from(i32::MAX))
                .ok_or("must be a whole number of failed checks, 1 or more"),
            annotation::ITERATIONS => {
                whole(text, 1..=1_000_000).ok_or("must be a whole number from 1 to 1000000")
            }
            annotation::MAX_WEIGHT | annotation::STEP_WEIGHT => {
                whole(text.strip_suffix('%').unwrap_or(text), 1..=100)
                    .ok_or("must be a whole percentage from 1 to 100")
            }
            annotation::STEP_WEIGHTS => weights(text).map(Self::Weights).ok_or(
                "must be whole percentages from 1 to 100 with commas between, each greater than the one before, such as 1,5,25,50",
            ),
            annotation::SUCCESS_RATE => percent(text)
                .map(Self::Percent)
                .ok_or("must be a percentage from 0 to 100, such as 99.5"),
            annotation::LATENCY => latency(text)
                .map(Self::Milliseconds)
                .ok_or("must be p99<DURATION in whole milliseconds, such as p99<500ms"),
            annotation::APPROVE => gates(text)
                .map(Self::Gates)
                .ok_or("must be rollout, promotion, or both with a comma between"),
            annotation::AFTER => names(text)
                .map(Self::Names)
                .ok_or("must be names of Canaries of the same namespace with commas between, such as database,cache"),
            annotation::METRICS_SERVER_SECRET => names(text)
                .filter(|names| names.len() == 1)
                .map(Self::Names)
                .ok_or("must be the name of a Secret of the same namespace"),
            annotation::ON_NO_DATA | annotation::ON_PROVIDER_ERROR => Silence::parse(text)
                .map(Self::Silence)
                .ok_or("must be fail, hold or pass"),
            annotation::ON_DELETE => match text {
                "restore" => Ok(Self::Orphan(false)),
                "orphan" => Ok(Self::Orphan(true)),
                _ => Err("must be restore or orphan"),
            },
            annotation::MIRROR
            | annotation::SKIP_ANALYSIS
            | annotation::PAUSED
            | annotation::HOLD_NEW_REVISION => {
                switch(text).ok_or("must be true or false")
            }
            _ => judge::parse(key, text),
        }
    }
}

pub(super) fn span(text: &str) -> Option<TimeDelta> {
    // A duration has a unit: "0" alone is none here.
    let has_unit = text.ends_with(|letter: char| letter.is_ascii_alphabetic());
    go::parse_duration(text).ok().filter(|_| has_unit)
}

fn whole(text: &str, allowed: std::ops::RangeInclusive<i64>) -> Option<Value> {
    let number = text.parse().ok()?;
    allowed.contains(&number).then_some(Value::Whole(number))
}

fn weights(text: &str) -> Option<Vec<i64>> {
    let mut weights: Vec<i64> = Vec::new();
    for word in text.split(',') {
        let word = word.trim();
        let weight = word.strip_suffix('%').unwrap_or(word).parse().ok()?;
        let least = weights.last().map_or(1, |before| before + 1);
        if !(least..=100).contains(&weight) {
            return None;
        }
        weights.push(weight);
    }
    Some(weights)
}

pub(super) fn percent(text: &str) -> Option<f64> {
    let number: f64 = text.strip_suffix('%').unwrap_or(text).parse().ok()?;
    (0.0..=100.0).contains(&number).then_some(number)
}

/// The built-in check measures the 99th percentile in whole milliseconds.
fn latency(text: &str) -> Option<i64> {
    let bound = span(text.strip_prefix("p99<")?.trim())?;
    let whole = bound.num_milliseconds();
    let is_whole = TimeDelta::milliseconds(whole) == bound;
    (whole > 0 && is_whole).then_some(whole)
}

fn gates(text: &str) -> Option<Vec<Gate>> {
    let mut gates = Vec::new();
    for word in text.split(',') {
        gates.push(Gate::parse(word.trim())?);
    }
    gates.sort_unstable();
    gates.dedup();
    Some(gates)
}

/// Each once, in the order in which they were written.
fn names(text: &str) -> Option<Vec<String>> {
    let plain = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-' || letter == '.'
    };
    let mut names: Vec<String> = Vec::new();
    for word in text.split(',').map(str::trim) {
        if word.is_empty() || !word.chars().all(plain) {
            return None;
        }
        if !names.iter().any(|known| known == word) {
            names.push(word.to_owned());
        }
    }
    Some(names)
}

fn switch(text: &str) -> Option<Value> {
    match text {
        "true" => Some(Value::Switch(true)),
        "false" => Some(Value::Switch(false)),
        _ => None,
    }
}
