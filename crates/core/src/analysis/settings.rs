//! How a release is judged by evidence.

use std::collections::BTreeMap;

use chrono::TimeDelta;

/// The part that the test plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// How the evidence that the canary is worse is gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bets {
    /// By the canary's share of each tick's failures: holds under clumps.
    #[default]
    Tick,
    /// By each failure: faster, where failures are independent.
    Count,
}

/// What is done where the test cannot tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The step is held.
    #[default]
    Hold,
    /// The release goes on.
    Advance,
    /// It goes back.
    RollBack,
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
    /// The shortest time at a weight.
    pub min_step: TimeDelta,
    /// The longest, after which `on_insufficient` holds.
    pub max_step: TimeDelta,
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
    /// How much each metric counts; one that is absent counts 1.
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
            min_step: TimeDelta::seconds(60),
            max_step: TimeDelta::minutes(15),
            bets: Bets::Tick,
            brake: Some(20.0),
            cliff: Cliff {
                share: 0.5,
                requests: 5,
                ticks: 2,
            },
            on_insufficient: Policy::Hold,
            on_shared: Policy::Hold,
            weights: BTreeMap::new(),
        }
    }
}
