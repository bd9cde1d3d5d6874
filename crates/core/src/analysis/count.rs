//! The count test: given how many requests failed in all, how many of them were the canary's.
//!
//! The fastest, and exact as long as failures fall on requests one by one. Sticky sessions with clumps of failures break it.
//!
//! **Source**: analysis.md 2.4 (a); Lindon and Malek (2022), Turner, Ly and Grünwald (2024).

use super::judge::Pair;
use super::number::real;

/// How many times worse than tolerated each bet takes the canary to be.
pub const GROWTHS: [f64; 8] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];

/// The logarithms by which each bet's stake changes in this tick; `None` where the tick says nothing.
pub(super) fn factors(pair: Pair, tolerance: f64) -> Option<Vec<f64>> {
    let (canary, primary) = (real(pair.canary.requests), real(pair.primary.requests));
    let failed = real(pair.canary.bad + pair.primary.bad);
    if failed <= 0.0 || canary <= 0.0 || primary <= 0.0 {
        return None;
    }
    let exposed = tolerance * canary;
    let bet = |growth: f64| {
        real(pair.canary.bad) * growth.ln()
            + failed * ((exposed + primary) / (growth * exposed + primary)).ln()
    };
    Some(GROWTHS.map(bet).to_vec())
}
