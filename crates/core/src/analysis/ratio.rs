//! Whether requests are shared as the weight says: if not, the route is not applied, or users stick to a side.
//!
//! **Source**: analysis.md 2.4 (g); Lindon and Malek (2022).

use super::number::{ln_beta, real};

/// How far from the weight the true share may be: its spread is about `sqrt(w (1-w) / TOLERANCE)`.
const TOLERANCE: f64 = 2000.0;

/// The logarithm of the evidence that the canary's share of requests is not its weight (0 to 1).
pub fn ratio_evidence(weight: f64, canary: u64, primary: u64) -> f64 {
    if weight <= 0.0 || weight >= 1.0 {
        return 0.0;
    }
    let (canary, primary) = (real(canary), real(primary));
    let (left, right) = (TOLERANCE * weight, TOLERANCE * (1.0 - weight));
    let mixed = ln_beta(left + canary, right + primary) - ln_beta(left, right);
    mixed - canary * weight.ln() - primary * (-weight).ln_1p()
}
