//! Kayenta's judge, `NetflixACAJudge-v1.0`, on one metric: the error rate a minute, of a canary and a baseline of equal size.
//!
//! **Source**: analysis.md 2.3. Mann-Whitney at 98 %, tolerance 0.25, effect size by means; marginal 75, pass 95, so that one metric decides alone.

use std::collections::VecDeque;

use super::chance::Chance;
use super::rule::{Judge, Said, Sample, real};

/// Share of the traffic for the canary.
const WEIGHT: f64 = 0.1;
/// Seconds between two judgements, and judgements.
const HOUR: u64 = 3600;
const JUDGEMENTS: u64 = 3;
/// The normal quantile of a two-sided confidence of 98 %.
const QUANTILE: f64 = 2.326_348;
const TOLERANCE: f64 = 0.25;

/// The judge, with a point a minute of each side.
#[derive(Default)]
pub(super) struct ByKayenta {
    canary: Vec<f64>,
    baseline: Vec<f64>,
    last: Sample,
}

impl ByKayenta {
    fn note(&mut self, newest: Sample) {
        let rate = |newest: (u64, u64), last: (u64, u64)| {
            let requests = real(newest.0 - last.0);
            (requests > 0.0).then(|| real(newest.1 - last.1) / requests)
        };
        self.canary.extend(rate(newest.canary, self.last.canary));
        self.baseline
            .extend(rate(newest.primary, self.last.primary));
        self.last = newest;
    }

    /// Whether the canary's error rate is classified High.
    fn is_high(&self, chance: &mut Chance) -> bool {
        let (mut canary, mut baseline) = (self.canary.clone(), self.baseline.clone());
        if canary.is_empty() || baseline.is_empty() || canary == baseline {
            return false;
        }
        if are_equal(&canary) && are_equal(&baseline) {
            let scale = mean(&canary).abs().max(mean(&baseline).abs());
            for point in canary.iter_mut().chain(&mut baseline) {
                *point += 1e-5 * scale * chance.normal();
            }
        }
        let estimate = root(&canary, &baseline, 0.0);
        let least = root(&canary, &baseline, QUANTILE);
        least > TOLERANCE * estimate.abs() && mean(&canary) >= mean(&baseline)
    }
}

impl Judge for ByKayenta {
    fn weight(&self) -> f64 {
        WEIGHT
    }

    fn look(&mut self, second: u64, samples: &VecDeque<Sample>, chance: &mut Chance) -> Said {
        if second.is_multiple_of(60)
            && let Some(newest) = samples.back()
        {
            self.note(*newest);
        }
        if !second.is_multiple_of(HOUR) {
            return Said::Nothing;
        }
        if self.is_high(chance) {
            return Said::RolledBack;
        }
        if second >= JUDGEMENTS * HOUR {
            Said::Promoted
        } else {
            Said::Nothing
        }
    }
}

fn are_equal(points: &[f64]) -> bool {
    points.windows(2).all(|pair| match pair {
        [left, right] => (left - right).abs() < f64::EPSILON,
        _ => true,
    })
}

fn count(points: &[f64]) -> f64 {
    real(u64::try_from(points.len()).unwrap_or(u64::MAX))
}

fn mean(points: &[f64]) -> f64 {
    points.iter().sum::<f64>() / count(points).max(1.0)
}

/// The shift of the canary at which its rank sum deviates by `quantile` spreads; found by halving, for the deviation falls with the shift.
fn root(canary: &[f64], baseline: &[f64], quantile: f64) -> f64 {
    let greatest = |points: &[f64]| points.iter().fold(0.0_f64, |most, it| most.max(it.abs()));
    let reach = greatest(canary) + greatest(baseline) + 1e-9;
    let (mut low, mut high) = (-reach, reach);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if deviation(canary, baseline, middle) > quantile {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// How many spreads the rank sum of the shifted canary is above its mean.
fn deviation(canary: &[f64], baseline: &[f64], shift: f64) -> f64 {
    let shifted = canary.iter().map(|point| (point - shift, true));
    let mut all: Vec<(f64, bool)> = shifted
        .chain(baseline.iter().map(|it| (*it, false)))
        .collect();
    all.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (mut ranks, mut ties, mut before) = (0.0, 0.0, 0.0);
    for group in all.chunk_by(|left, right| (left.0 - right.0).abs() < 1e-12) {
        let size = real(u64::try_from(group.len()).unwrap_or(0));
        let own = real(u64::try_from(group.iter().filter(|it| it.1).count()).unwrap_or(0));
        ranks += own * (before + f64::midpoint(size, 1.0));
        ties += size.powi(3) - size;
        before += size;
    }
    let (left, right) = (count(canary), count(baseline));
    let moved = ranks - left * (left + 1.0) / 2.0 - left * right / 2.0;
    let all = left + right;
    let spread = left * right / 12.0 * ((all + 1.0) - ties / (all * (all - 1.0)));
    if spread <= 0.0 || moved.abs() < f64::EPSILON {
        return 0.0;
    }
    (moved - 0.5 * moved.signum()) / spread.sqrt()
}
