//! What is said of a release that is judged by evidence.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_api::{AlertLevel, Evidence, Note, ReleaseStatus, Shared, Tally};

use super::{alerting, canary, held, normal, warning};
use crate::analysis::{self, Cause, Hold, JudgeSettings, Stage, Verdict};
use crate::plan::Plan;
use crate::weight::Weight;

/// What one tick came to: `canary fails 4.1% of 2,310 requests, primary 0.2% of 41,876: evidence 1,200 to 1`.
pub fn evidence(
    known: &Evidence,
    settings: &JudgeSettings,
    stage: Stage<'_>,
    verdict: Verdict,
) -> String {
    let worse = analysis::evidence(known, settings, stage.steps.len());
    let (does, canary, primary) = match analysis::loudest(known, stage.steps.len()) {
        Some((slower, metric)) => (format!("is {slower} in"), metric.canary, metric.primary),
        None => ("fails".to_owned(), known.canary, known.primary),
    };
    let numbers = format!(
        "canary {does} {}, primary {}: evidence {}",
        share(canary),
        share(primary),
        odds(worse)
    );
    match held_by(verdict) {
        Some(why) => format!("{numbers}; {why}"),
        None => numbers,
    }
}

fn held_by(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Hold(Hold::SharedIncident) => Some("held while the primary fails as well"),
        Verdict::Hold(Hold::WrongRatio) => {
            Some("held as requests are not shared as the weight says")
        }
        Verdict::Hold(Hold::Undecided) => Some("undecided at the end of the longest step"),
        Verdict::Hold(Hold::Measuring | Hold::NoData)
        | Verdict::Advance
        | Verdict::Retreat
        | Verdict::RollBack(_) => None,
    }
}

fn share(tally: Tally) -> String {
    format!("{} of {} requests", percent(tally), grouped(tally.requests))
}

/// The share that failed, with as many digits as mean something.
fn percent(tally: Tally) -> String {
    if tally.requests == 0 || tally.failed == 0 {
        return "0%".to_owned();
    }
    let real = |count: u64| analysis::real(count);
    let percent = real(tally.failed) / real(tally.requests) * 100.0;
    let text = match percent {
        it if it >= 10.0 => format!("{it:.0}"),
        it if it >= 0.1 => format!("{it:.1}"),
        it => format!("{it:.2}"),
    };
    format!("{text}%")
}

/// The evidence as odds: `1,200 to 1`.
fn odds(log: f64) -> String {
    /// What is more is said to be more.
    const GREATEST: u64 = 1_000_000;
    let evidence = log.exp();
    if evidence < 1.0 {
        return "none".to_owned();
    }
    let whole = analysis::whole(evidence);
    if whole >= GREATEST {
        return format!("more than {} to 1", grouped(GREATEST));
    }
    format!("{} to 1", grouped(whole))
}

/// A whole number with a comma at every thousand.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Why a release goes back, with the numbers.
pub fn cause(cause: Cause, numbers: &str) -> String {
    match cause {
        Cause::Evidence => numbers.to_owned(),
        Cause::Cliff => format!("gross failure, {numbers}"),
        Cause::Undecided => format!("undecided at the end of the longest step, {numbers}"),
        Cause::SharedIncident => format!("the primary fails as well, {numbers}"),
    }
}

/// What it cost: `31 user requests failed in 40s.`
pub fn exposed(known: &Evidence, release: Option<&ReleaseStatus>, now: DateTime<Utc>) -> String {
    let failed = grouped(known.canary.failed);
    let since = release.and_then(|release| release.started_at);
    let after = since.map(|since| {
        let whole = TimeDelta::seconds((now - since).num_seconds());
        format!(" in {}", slipway_api::go::format_duration(whole))
    });
    format!(
        "{failed} user requests failed{}.",
        after.unwrap_or_default()
    )
}

/// Taken back by what was counted.
pub fn rolled_back_by_evidence(plan: &Plan, why: &str) -> Note {
    alerting(
        warning(format!("Rolling back {} {why}", canary(plan))),
        AlertLevel::Error,
        format!("Rolled back: {why}"),
    )
}

/// Back to the first weight.
pub fn retreats(plan: &Plan, first: Weight, numbers: &str) -> Note {
    let note = warning(format!(
        "Retreat {} canary weight {first}: {numbers}",
        canary(plan)
    ));
    alerting(
        note,
        AlertLevel::Warn,
        format!("Canary is back at weight {first}: {numbers}"),
    )
}

/// What the test would have done that would have taken a release back.
pub const ROLLED_BACK: &str = "rolled back";

/// What the test would have done, where it only watches; nothing for what it would have left alone.
pub fn would_have(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::RollBack(_) => Some(ROLLED_BACK),
        Verdict::Retreat => Some("sent back to its first weight"),
        Verdict::Hold(_) | Verdict::Advance => None,
    }
}

/// A time of day, in UTC.
pub fn clock(at: DateTime<Utc>) -> String {
    at.format("%H:%M:%S").to_string()
}

/// The share that arrives is not the weight.
pub fn astray(plan: &Plan, weight: Weight, shared: Shared) -> String {
    let all = shared.canary.saturating_add(shared.primary);
    let share = Tally {
        requests: all,
        failed: shared.canary,
    };
    format!(
        "The weight of {} is {weight}%, and {} of {} requests arrive at the canary: the route is not obeyed, or not all requests take it.",
        canary(plan),
        percent(share),
        grouped(all)
    )
}

/// What a release waits for whose route is not obeyed.
pub fn share_awaited(weight: Weight) -> String {
    format!("{weight}%{SHARED}")
}

const SHARED: &str = " of the requests to arrive at the canary";
const EVIDENCE: &str = "evidence that it may have weight ";
const PROMOTION: &str = "evidence that it may be promoted";
const SOAK: &str = "the soak at all traffic to last ";
const COUNTED: &str = "requests to be counted";

/// What a release waits for whose next weight the test has not allowed yet.
pub fn evidence_awaited(next: Weight) -> String {
    if next == Weight::FULL {
        return PROMOTION.to_owned();
    }
    format!("{EVIDENCE}{next}")
}

/// What it waits for while nothing is counted.
pub fn count_awaited() -> String {
    COUNTED.to_owned()
}

/// What it waits for that has all traffic, before it is promoted.
pub fn soak_awaited(soak: TimeDelta) -> String {
    format!("{SOAK}{}", slipway_api::go::format_duration(soak))
}

/// The canary has all traffic, and the primary stands by.
pub fn soaks(plan: &Plan) -> Note {
    normal(format!(
        "Advance {} canary weight 100 while the primary stands by",
        canary(plan)
    ))
}

/// Whether that is what is awaited.
pub fn is_evidence(what: &str) -> bool {
    let begins = what.starts_with(EVIDENCE) || what.starts_with(SOAK);
    begins || what.ends_with(SHARED) || what == PROMOTION || what == COUNTED
}

/// The same, as people are told it: evidence takes its time, blindness is for somebody to mend.
pub fn evidence_holds(plan: &Plan, what: &str) -> Note {
    if what == COUNTED || what.ends_with(SHARED) {
        return held(plan, what);
    }
    normal(format!(
        "Halt {} advancement waiting for {what}",
        canary(plan)
    ))
}
