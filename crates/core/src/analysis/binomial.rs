//! One side against a fixed rate, in both directions: worse than what never matters, and not worse than what may be risked.
//!
//! **Source**: analysis.md 2.4 (c). The mean of one step is linear in the true rate, so both hold for a rate that drifts below (or above) the limit.

use super::count::GROWTHS;
use super::number::{down, log_mean, real};

/// A rate is never taken to be nearer to 0 or 1 than this.
const NEAREST: f64 = 1e-9;

/// The logarithm of `(q/p)^bad ((1-q)/(1-p))^good`.
fn likelihood(q: f64, p: f64, requests: u64, bad: u64) -> f64 {
    let (q, p) = (
        q.clamp(NEAREST, 1.0 - NEAREST),
        p.clamp(NEAREST, 1.0 - NEAREST),
    );
    let good = real(requests.saturating_sub(bad));
    real(bad) * (q / p).ln() + good * ((-q).ln_1p() - (-p).ln_1p())
}

/// The alternatives to a floor: so many times as much, at most half of what is left above it.
fn alternatives(floor: f64) -> impl Iterator<Item = f64> {
    GROWTHS
        .into_iter()
        .map(move |growth| (floor * growth).min(f64::midpoint(floor, 1.0)))
}

/// The stakes on "the rate is above this floor", after so many more requests; one a growth of [`GROWTHS`].
pub fn floor_step(stakes: &mut Vec<f64>, floor: f64, requests: u64, bad: u64) {
    stakes.resize(GROWTHS.len(), 0.0);
    for (stake, q) in stakes.iter_mut().zip(alternatives(floor)) {
        *stake = down(*stake + likelihood(q, floor, requests, bad));
    }
}

/// The evidence of those stakes together.
pub(super) fn floor_evidence(stakes: &[f64]) -> f64 {
    log_mean(stakes.iter().copied())
}

/// The evidence that the rate is not as bad as `risked`, after so many more requests at a rate that is taken to be `usual`.
pub fn clean_step(stake: f64, usual: f64, risked: f64, requests: u64, bad: u64) -> f64 {
    let usual = usual.clamp(NEAREST, 1.0 - NEAREST);
    let risked = risked.clamp(usual, 1.0 - NEAREST);
    down(stake + likelihood(usual, risked, requests, bad))
}

/// Whether that evidence is enough for one of so many steps, of which all together may be wrong with chance beta.
pub fn is_enough(stake: f64, beta: f64, steps: usize) -> bool {
    stake >= (super::number::length(steps.max(1)) / beta).ln()
}
