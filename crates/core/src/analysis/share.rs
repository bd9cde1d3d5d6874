//! The tick-share betting test: one number a tick, the canary's share of the failures.
//!
//! Bursts, retries and clumps of any size inside a tick cannot break it: it needs only that in the mean they fall on a side by its exposure.
//!
//! **Source**: analysis.md 2.4 (b); the betting construction of Waudby-Smith and Ramdas (2024), with a mean that moves with the weights.

use super::judge::Pair;
use super::number::real;

/// The parts of the stake that are bet in each tick.
pub const FRACTIONS: [f64; 3] = [0.25, 0.5, 0.95];

/// The logarithms by which each bet's stake changes in this tick; `None` where the tick says nothing.
pub(super) fn factors(pair: Pair, tolerance: f64) -> Option<Vec<f64>> {
    let (canary, primary) = (real(pair.canary.requests), real(pair.primary.requests));
    let failed = real(pair.canary.bad + pair.primary.bad);
    if failed <= 0.0 || canary <= 0.0 || primary <= 0.0 {
        return None;
    }
    let fair = tolerance * canary / (tolerance * canary + primary);
    let share = real(pair.canary.bad) / failed;
    let bet = |fraction: f64| (fraction / fair * (share - fair)).ln_1p();
    Some(FRACTIONS.map(bet).to_vec())
}
