//! The rules that are compared, each as a state machine that is looked at every second.

use std::collections::VecDeque;

use chrono::TimeDelta;
use slipway_api::Evidence;
use slipway_core::analysis::{Arm, JudgeSettings, Pair, Seen, Stage, Verdict, conclude, learn};
use slipway_core::weight::Weight;

use super::chance::Chance;
use super::kayenta;
use super::world::Case;

/// What Prometheus knows at one scrape: requests and failures of each side since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) second: u64,
    pub(super) canary: (u64, u64),
    pub(super) primary: (u64, u64),
}

/// What a look comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Said {
    Nothing,
    /// The canary has this share from now on.
    Weight(f64),
    RolledBack,
    Promoted,
}

/// A rule of judgement with its plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// The sequential test in mode `full`.
    Evidence {
        /// Its settings.
        settings: JudgeSettings,
        /// The weights.
        steps: Vec<Weight>,
        /// Whether the first weight is raised where traffic is low (`first-weight: auto`).
        raises_first: bool,
    },
    /// A threshold on the success rate of a window, as Flagger and Argo Rollouts have it.
    Threshold(Threshold),
    /// Kayenta's judge at its documented settings: 3 hours, judged every hour, a tenth of the traffic each for canary and baseline.
    Kayenta,
}

/// A threshold rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Seconds between two checks.
    pub interval: u64,
    /// Seconds of the window that a check looks at.
    pub window: u64,
    /// The least success rate, in percent.
    pub least: f64,
    /// Failed checks that end it.
    pub failures: u64,
    /// Whether the release ends one check after the last failure (Flagger) or with it.
    pub ends_late: bool,
    /// The weights.
    pub steps: Vec<Weight>,
    /// Seconds at each weight; `None`: one check, held while checks fail (Flagger).
    pub pace: Option<u64>,
}

impl Rule {
    pub(super) fn begin(&self, case: &Case) -> Box<dyn Judge> {
        match self {
            Self::Evidence {
                settings,
                steps,
                raises_first,
            } => {
                let mut steps = steps.clone();
                if *raises_first {
                    raise_first(&mut steps, settings, case.rate);
                }
                Box::new(ByEvidence::new(settings.clone(), steps))
            }
            Self::Threshold(threshold) => Box::new(ByThreshold {
                rule: threshold.clone(),
                at: 0,
                failed: 0,
                since: 0,
            }),
            Self::Kayenta => Box::new(kayenta::ByKayenta::default()),
        }
    }
}

/// The first weight so that the clean test of the next can end within two minutes, at most 10 percent (2.6).
fn raise_first(steps: &mut Vec<Weight>, settings: &JudgeSettings, rate: f64) {
    let Some(raised) = slipway_core::analysis::first_weight(steps, settings, rate) else {
        return;
    };
    steps.retain(|step| *step > raised);
    steps.insert(0, raised);
}

pub(super) trait Judge {
    /// The weight that the release begins with.
    fn weight(&self) -> f64;
    fn look(&mut self, second: u64, samples: &VecDeque<Sample>, chance: &mut Chance) -> Said;
}

pub(super) fn real(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn share(weight: Option<&Weight>) -> f64 {
    let percent = weight.map_or(0, |weight| weight.percent());
    f64::from(u8::try_from(percent).unwrap_or(100)) / 100.0
}

struct ByThreshold {
    rule: Threshold,
    at: usize,
    failed: u64,
    since: u64,
}

impl ByThreshold {
    /// Whether the success rate of the window is good; `None` where there is no request in it. Silence is no failure here, which is kind to
    /// the rules compared: Flagger counts it as one.
    fn check(&self, second: u64, samples: &VecDeque<Sample>) -> Option<bool> {
        let begin = second.saturating_sub(self.rule.window);
        let within = || samples.iter().filter(|sample| sample.second > begin);
        let (first, last) = (within().next()?, within().next_back()?);
        let first = if begin == 0 {
            Sample::default()
        } else {
            *first
        };
        let requests = real(last.canary.0 - first.canary.0);
        let failed = real(last.canary.1 - first.canary.1);
        (requests > 0.0).then(|| (1.0 - failed / requests) * 100.0 >= self.rule.least)
    }

    fn advance(&mut self, second: u64) -> Said {
        self.at += 1;
        self.since = second;
        match self.rule.steps.get(self.at) {
            Some(weight) => Said::Weight(share(Some(weight))),
            None => Said::Promoted,
        }
    }
}

impl Judge for ByThreshold {
    fn weight(&self) -> f64 {
        share(self.rule.steps.first())
    }

    fn look(&mut self, second: u64, samples: &VecDeque<Sample>, _: &mut Chance) -> Said {
        if second.is_multiple_of(self.rule.interval) {
            if self.rule.ends_late && self.failed >= self.rule.failures {
                return Said::RolledBack;
            }
            let is_good = self.check(second, samples);
            if is_good == Some(false) {
                self.failed += 1;
                if !self.rule.ends_late && self.failed > self.rule.failures {
                    return Said::RolledBack;
                }
            } else if self.rule.pace.is_none() {
                return self.advance(second);
            }
        }
        match self.rule.pace {
            Some(pace) if second - self.since >= pace => self.advance(second),
            Some(_) | None => Said::Nothing,
        }
    }
}

struct ByEvidence {
    settings: JudgeSettings,
    steps: Vec<Weight>,
    weight: Weight,
    since: u64,
    known: Evidence,
    last: Sample,
}

impl ByEvidence {
    fn new(settings: JudgeSettings, steps: Vec<Weight>) -> Self {
        let weight = steps.first().copied().unwrap_or_default();
        Self {
            settings,
            steps,
            weight,
            since: 0,
            known: Evidence::default(),
            last: Sample::default(),
        }
    }

    fn seen(&self, newest: Sample) -> Seen {
        let arm = |newest: (u64, u64), last: (u64, u64)| Arm {
            requests: newest.0 - last.0,
            bad: newest.1 - last.1,
        };
        let errors = Pair {
            canary: arm(newest.canary, self.last.canary),
            primary: arm(newest.primary, self.last.primary),
        };
        Seen {
            errors,
            slow: Vec::new(),
            spread: None,
            is_of_one_weight: self.last.second >= self.since + 5,
        }
    }

    fn go_to(&mut self, weight: Weight, second: u64) -> Said {
        (self.weight, self.since) = (weight, second);
        Said::Weight(share(Some(&weight)))
    }
}

impl Judge for ByEvidence {
    fn weight(&self) -> f64 {
        share(self.steps.first())
    }

    fn look(&mut self, second: u64, samples: &VecDeque<Sample>, _: &mut Chance) -> Said {
        let tick = u64::try_from(self.settings.tick.num_seconds()).unwrap_or(10);
        let newest = samples.back().copied().unwrap_or_default();
        // It ticks on new data, not on the clock.
        if !second.is_multiple_of(tick.max(1)) || newest.second <= self.last.second {
            return Said::Nothing;
        }
        let seen = self.seen(newest);
        let stood = TimeDelta::seconds(i64::try_from(second - self.since).unwrap_or(0));
        let stage = Stage {
            steps: &self.steps,
            weight: self.weight,
            stood,
        };
        learn(&mut self.known, &self.settings, stage, &seen);
        self.last = newest;
        let verdict = conclude(&self.known, &self.settings, stage, &seen);
        match verdict {
            Verdict::Hold(_) => Said::Nothing,
            Verdict::RollBack(_) => Said::RolledBack,
            Verdict::Retreat => {
                self.known.braked = true;
                let first = self.steps.first().copied().unwrap_or_default();
                self.go_to(first, second)
            }
            Verdict::Advance => {
                let mut later = self.steps.iter().filter(|step| **step > self.weight);
                match later.next().copied() {
                    Some(next) => self.go_to(next, second),
                    None => Said::Promoted,
                }
            }
        }
    }
}
