//! What a plan is to be at the traffic that there is.

use super::number::real;
use super::settings::JudgeSettings;
use crate::weight::Weight;

/// The greatest first weight that low traffic is given.
const GREATEST: i64 = 10;
/// How long the first step is meant to need, in seconds.
const MEANT: f64 = 120.0;

/// The first weight that lets the first step end within two minutes at so many requests a second, where it is more than the plan's.
///
/// **Source**: analysis.md 2.6: `min(10 %, 4.6 w2 / (impact R 120 s))`.
pub fn first_weight(steps: &[Weight], settings: &JudgeSettings, rate: f64) -> Option<Weight> {
    let first = steps.first()?;
    let next = steps.get(1).copied().unwrap_or(Weight::FULL);
    let share = 4.6 * real(u64::try_from(next.percent()).unwrap_or(0))
        / (settings.max_impact * rate * MEANT);
    let whole = (1..GREATEST).find(|percent| real(u64::try_from(*percent).unwrap_or(0)) >= share);
    let raised = Weight::clamped(whole.unwrap_or(GREATEST));
    (raised > *first).then_some(raised)
}
