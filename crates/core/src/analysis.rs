//! Judging a reading, and the sequential tests that judge by evidence.
//!
//! A test is a bet against the canary that no harmless canary can win by much: the stake multiplies with each tick, by a factor whose mean is at
//! most 1 while the canary is no worse than what is tolerated. So the chance that it ever passes `1 / alpha` is at most alpha (Ville), however often
//! it is looked at. Stakes are kept as logarithms in [`Evidence`](slipway_api::Evidence), the only memory.

mod binomial;
mod count;
mod counters;
mod judge;
mod number;
mod plan;
mod ratio;
mod replay;
mod settings;
mod share;
#[cfg(test)]
mod tests;

pub use binomial::{clean_step, floor_step, is_enough};
pub use count::GROWTHS;
pub use counters::{CounterSeries, Counters, Counts, count, rate, slower_than};
pub use judge::{Arm, Cause, Hold, Pair, Seen, Stage, Verdict, conclude, evidence, learn, loudest};
pub(crate) use number::{real, whole};
pub use plan::first_weight;
pub use ratio::ratio_evidence;
pub use replay::{Moment, Past, replay};
pub use settings::{Bets, Cliff, JudgeMode, JudgeSettings, Policy};
pub use share::FRACTIONS;

use crate::observation::Reading;
use crate::plan::{MetricCheck, MetricSource, Plan, Silence};
use crate::words;

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// Within its bounds.
    Passed,
    /// Not, or nothing was measured: the sentence that the event says.
    Failed(String),
    /// Nothing was measured, and the plan has the release wait for it: the same sentence.
    Unmeasured(String),
}

/// Whether a reading is within the bounds of its check. Bounds are inclusive; only a number can pass (INV-12), unless an annotation asks for more.
/// A value that is no number, several series and a check that is itself wrong are mistakes, which no annotation excuses.
///
/// **Source**: dossier 02 B.5: durations and their bounds are whole milliseconds.
pub fn judge(plan: &Plan, check: &MetricCheck, reading: &Reading) -> CheckResult {
    let value = match reading {
        Reading::Value(value) if value.is_finite() => *value,
        Reading::Value(value) => {
            return CheckResult::Failed(words::no_values(
                plan,
                check,
                &format!("the value is {value}"),
            ));
        }
        Reading::NoData(why) => {
            return silent(plan.on_no_data, words::no_values(plan, check, why));
        }
        Reading::Ambiguous(series) => {
            return CheckResult::Failed(words::several_series(check, series));
        }
        Reading::Failed(why) => {
            return silent(plan.on_provider_error, words::query_failed(check, why));
        }
        Reading::Unusable(sentence) => return CheckResult::Failed(sentence.clone()),
    };
    let whole = check.source == MetricSource::RequestDuration;
    let trim = |number: f64| if whole { number.trunc() } else { number };
    let value = trim(value);
    if let Some(min) = check.min.map(trim)
        && value < min
    {
        return CheckResult::Failed(words::out_of_bounds(plan, check, value, min, false));
    }
    if let Some(max) = check.max.map(trim)
        && value > max
    {
        return CheckResult::Failed(words::out_of_bounds(plan, check, value, max, true));
    }
    CheckResult::Passed
}

/// What a check says that was not measured.
fn silent(silence: Silence, why: String) -> CheckResult {
    match silence {
        Silence::Fail => CheckResult::Failed(why),
        Silence::Hold => CheckResult::Unmeasured(why),
        Silence::Pass => CheckResult::Passed,
    }
}
