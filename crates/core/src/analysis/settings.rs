//! How a release is judged by evidence.

use std::collections::BTreeMap;
use std::fmt;

use chrono::TimeDelta;
use slipway_api::go;
use slipway_api::names::annotation;

use crate::plan::Silence;
use crate::weight::Weight;

/// The part that the test plays, the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum JudgeMode {
    /// None: nothing is counted.
    Off,
    /// It says what it would have done.
    #[default]
    Shadow,
    /// It may roll back and retreat.
    Protect,
    /// It decides on steps as well.
    Full,
}

impl JudgeMode {
    /// The mode of that word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Off, Self::Shadow, Self::Protect, Self::Full];
        all.into_iter().find(|mode| mode.as_str() == word)
    }

    /// The word that annotations spell it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Protect => "protect",
            Self::Full => "full",
        }
    }

    /// Whether it may take a release back.
    pub const fn protects(self) -> bool {
        matches!(self, Self::Protect | Self::Full)
    }

    /// What a check means that was not measured, where nothing else is said: who judges by evidence holds without it.
    pub fn silence(self) -> Silence {
        if self.protects() {
            Silence::Hold
        } else {
            Silence::default()
        }
    }
}

/// How the evidence that the canary is worse is gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bets {
    /// By the canary's share of each tick's failures: holds under clumps.
    #[default]
    Tick,
    /// By each failure: faster, where failures are independent.
    Count,
    /// By each failure once they are seen to fall evenly on the primary's pods, by ticks before.
    Auto,
}

impl Bets {
    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Tick, Self::Count, Self::Auto];
        all.into_iter().find(|bets| bets.as_str() == word)
    }

    /// The word that annotations spell it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Count => "count",
            Self::Auto => "auto",
        }
    }
}

/// What is done where the test cannot tell, what protects most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// The release goes back.
    RollBack,
    /// The step is held.
    #[default]
    Hold,
    /// The release goes on.
    Advance,
}

impl Policy {
    /// The policy of that word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::RollBack, Self::Hold, Self::Advance];
        all.into_iter().find(|policy| policy.as_str() == word)
    }

    /// The word that annotations spell it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RollBack => "rollback",
            Self::Hold => "hold",
            Self::Advance => "advance",
        }
    }
}

/// The plain rule for gross failures: so many ticks in a row with so many requests of the canary, of which such a share failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cliff {
    /// The share, 0 to 1.
    pub share: f64,
    /// The fewest requests.
    pub requests: u64,
    /// Ticks in a row.
    pub ticks: u32,
}

impl Cliff {
    /// The rule in those words: `50%/5req/2ticks`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let share: f64 = parts.next()?.strip_suffix('%')?.parse().ok()?;
        let requests = parts.next()?.strip_suffix("req")?.parse().ok()?;
        let ticks = parts.next()?;
        let ticks = ticks
            .strip_suffix("ticks")
            .or_else(|| ticks.strip_suffix("tick"))?;
        let ticks = ticks.parse().ok()?;
        let is_right =
            parts.next().is_none() && (10.0..=100.0).contains(&share) && requests > 0 && ticks > 0;
        is_right.then_some(Self {
            share: share / 100.0,
            requests,
            ticks,
        })
    }
}

impl fmt::Display for Cliff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.share * 100.0;
        write!(f, "{share}%/{}req/{}ticks", self.requests, self.ticks)
    }
}

/// The settings of the test.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeSettings {
    /// Its part.
    pub mode: JudgeMode,
    /// The greatest chance that a harmless release is rolled back by evidence.
    pub alpha: f64,
    /// The greatest chance that a step is taken while more than `max_impact` of all requests would fail by it.
    pub beta: f64,
    /// That share of all requests, 0 to 1.
    pub max_impact: f64,
    /// The odds ratio that does not matter.
    pub tolerance: f64,
    /// The share of failures that never matters, 0 to 1.
    pub error_floor: f64,
    /// Time between two ticks.
    pub tick: TimeDelta,
    /// How long the latency of a canary is not judged, from its first user on.
    pub warmup: TimeDelta,
    /// The shortest time at a weight.
    pub min_step: TimeDelta,
    /// The longest, after which `on_insufficient` holds.
    pub max_step: TimeDelta,
    /// How long the canary has all traffic while the primary stands by, in `full`, before it is promoted.
    pub soak: TimeDelta,
    /// The canary's first weight in `full`; `None`: as much as its traffic asks for, and at least the plan's.
    pub first_weight: Option<Weight>,
    /// How the evidence is gathered.
    pub bets: Bets,
    /// The evidence at which the canary goes back to its first weight; `None`: it does not.
    pub brake: Option<f64>,
    /// The rule for gross failures.
    pub cliff: Cliff,
    /// What is done when the longest step ended undecided.
    pub on_insufficient: Policy,
    /// What is done while the primary is degraded itself.
    pub on_shared: Policy,
    /// The latencies that requests are counted by, in milliseconds; `None`: those that the primary's histogram tells.
    pub edges: Option<Vec<u32>>,
    /// How much each metric counts, by its name or by `latency` for all of them that are one; one that is absent counts 1.
    pub weights: BTreeMap<String, f64>,
}

impl Default for JudgeSettings {
    fn default() -> Self {
        Self {
            mode: JudgeMode::Shadow,
            alpha: 0.001,
            beta: 0.05,
            max_impact: 0.0025,
            tolerance: 1.25,
            error_floor: 0.0005,
            tick: TimeDelta::seconds(10),
            warmup: TimeDelta::seconds(30),
            min_step: TimeDelta::seconds(60),
            max_step: TimeDelta::minutes(15),
            soak: TimeDelta::minutes(3),
            first_weight: None,
            bets: Bets::Tick,
            brake: Some(20.0),
            cliff: Cliff {
                share: 0.5,
                requests: 5,
                ticks: 2,
            },
            on_insufficient: Policy::Hold,
            on_shared: Policy::Hold,
            edges: None,
            weights: BTreeMap::new(),
        }
    }
}

impl JudgeSettings {
    /// Whether the canary has all traffic for a while before it is promoted.
    pub fn soaks(&self) -> bool {
        self.mode == JudgeMode::Full && self.soak > TimeDelta::zero()
    }

    /// How much a metric counts.
    pub fn weight_of(&self, metric: &str) -> f64 {
        let named = self.weights.get(metric);
        let latency = || self.weights.get("latency").filter(|_| metric != "errors");
        named.or_else(latency).copied().unwrap_or(1.0)
    }

    /// One setting in the words of its annotation; empty for a key that is none of the test's.
    pub fn text(&self, key: &str) -> String {
        let percent = |share: f64| format!("{}%", share * 100.0);
        match key {
            annotation::ANALYSIS_MODE => self.mode.as_str().to_owned(),
            annotation::ALPHA => self.alpha.to_string(),
            annotation::BETA => self.beta.to_string(),
            annotation::MAX_IMPACT => percent(self.max_impact),
            annotation::TOLERANCE => self.tolerance.to_string(),
            annotation::ERROR_FLOOR => percent(self.error_floor),
            annotation::TICK => go::format_duration(self.tick),
            annotation::WARMUP => go::format_duration(self.warmup),
            annotation::MIN_STEP => go::format_duration(self.min_step),
            annotation::MAX_STEP => go::format_duration(self.max_step),
            annotation::SOAK => go::format_duration(self.soak),
            annotation::FIRST_WEIGHT => {
                let auto = || "auto".to_owned();
                self.first_weight.map_or_else(auto, |it| it.to_string())
            }
            annotation::LATENCY_EDGES => match &self.edges {
                Some(edges) => {
                    let seconds = |edge: &u32| (f64::from(*edge) / 1000.0).to_string();
                    edges.iter().map(seconds).collect::<Vec<_>>().join(",")
                }
                None => "auto".to_owned(),
            },
            annotation::METRIC_WEIGHTS => {
                let told = self.weights.iter().map(|(name, it)| format!("{name}={it}"));
                let told: Vec<String> = told.collect();
                if told.is_empty() {
                    return "equal".to_owned();
                }
                told.join(",")
            }
            annotation::EVIDENCE => self.bets.as_str().to_owned(),
            annotation::BRAKE => self.brake.unwrap_or_default().to_string(),
            annotation::CLIFF => self.cliff.to_string(),
            annotation::ON_INSUFFICIENT_DATA => self.on_insufficient.as_str().to_owned(),
            annotation::ON_SHARED_INCIDENT => self.on_shared.as_str().to_owned(),
            _ => String::new(),
        }
    }
}
