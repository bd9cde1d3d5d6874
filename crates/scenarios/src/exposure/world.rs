//! The traffic of one release, second by second.

use std::collections::VecDeque;

use super::chance::Chance;
use super::rule::{Rule, Said, Sample};

/// What is released into what.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Requests a second, of both sides together.
    pub rate: f64,
    /// The share of requests that fail at the old revision.
    pub base: f64,
    /// How many failures come at once, in the mean; 1: each for itself. A clump falls on one side.
    pub clump: f64,
    /// What is wrong.
    pub fault: Fault,
    /// Seconds between two scrapes of Prometheus.
    pub scrape: u64,
}

/// What is wrong with a release.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The new revision fails this share of requests, from that second on.
    Canary(f64, u64),
    /// Both sides fail this share of requests between two seconds.
    Shared(f64, u64, u64),
}

impl Case {
    /// A healthy release at so many requests a second.
    pub fn healthy(rate: f64, base: f64) -> Self {
        Self {
            rate,
            base,
            clump: 1.0,
            fault: Fault::None,
            scrape: 15,
        }
    }

    /// The same with a fault.
    pub fn with(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    /// The shares of failures of both sides in that second.
    fn rates(&self, second: u64) -> (f64, f64) {
        match self.fault {
            Fault::Canary(rate, from) if second >= from => (rate.max(self.base), self.base),
            Fault::Shared(rate, from, to) if (from..to).contains(&second) => (rate, rate),
            Fault::None | Fault::Canary(..) | Fault::Shared(..) => (self.base, self.base),
        }
    }
}

/// How one release went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Played {
    /// Whether the new revision was promoted.
    pub promoted: bool,
    /// When it ended, in seconds from the first canary traffic.
    pub seconds: f64,
    /// Failed requests beyond those that the old revision would have failed.
    pub exposed: f64,
}

/// Seconds until a weight is in force everywhere.
const PROPAGATION: u64 = 2;
/// Longer than any rule lets a release run.
const LONGEST: u64 = 6 * 3600;

/// Plays one release under a rule.
pub fn play(case: &Case, rule: &Rule, seed: u64) -> Played {
    let mut chance = Chance::new(seed);
    let mut judge = rule.begin(case);
    let phase = seed % case.scrape.max(1);
    let (mut sample, mut samples) = (Sample::default(), VecDeque::new());
    let mut weights: VecDeque<(u64, f64)> = VecDeque::from([(0, judge.weight())]);
    let (mut exposed, mut ended) = (0.0, None);
    for second in 0..LONGEST {
        let weight = in_force(&mut weights, second);
        exposed += step(case, &mut chance, second, weight, &mut sample);
        sample.second = second + 1;
        if (second + 1 + phase).is_multiple_of(case.scrape.max(1)) {
            samples.push_back(sample);
            if samples.len() > 64 {
                samples.pop_front();
            }
        }
        if let Some((promoted, at)) = ended {
            if second + 1 >= at + PROPAGATION {
                return Played {
                    promoted,
                    seconds: super::rule::real(at),
                    exposed,
                };
            }
            continue;
        }
        match judge.look(second + 1, &samples, &mut chance) {
            Said::Nothing => {}
            Said::Weight(weight) => weights.push_back((second + 1 + PROPAGATION, weight)),
            Said::RolledBack => ended = Some((false, second + 1)),
            Said::Promoted => {
                return Played {
                    promoted: true,
                    seconds: super::rule::real(second + 1),
                    exposed,
                };
            }
        }
    }
    Played {
        promoted: false,
        seconds: super::rule::real(LONGEST),
        exposed,
    }
}

fn in_force(weights: &mut VecDeque<(u64, f64)>, second: u64) -> f64 {
    while weights.get(1).is_some_and(|(from, _)| *from <= second) {
        weights.pop_front();
    }
    weights.front().map_or(0.0, |(_, weight)| *weight)
}

/// One second of requests; how many more failed than usual.
fn step(case: &Case, chance: &mut Chance, second: u64, weight: f64, into: &mut Sample) -> f64 {
    let (canary, primary) = case.rates(second);
    let mut side = |share: f64, rate: f64| {
        let clumps = chance.poisson(case.rate * share * rate / case.clump);
        let failed: u64 = (0..clumps).map(|_| chance.clump(case.clump)).sum();
        let fine = chance.poisson(case.rate * share * (1.0 - rate));
        (fine + failed, failed)
    };
    let (requests, failed) = side(weight, canary);
    let (others, others_failed) = side(1.0 - weight, primary);
    into.canary.0 += requests;
    into.canary.1 += failed;
    into.primary.0 += others;
    into.primary.1 += others_failed;
    super::rule::real(failed) - super::rule::real(requests) * primary
}
