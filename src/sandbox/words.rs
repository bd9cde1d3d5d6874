//! What the show tells its audience: plain sentences for somebody who has never seen a release.

use std::time::Duration;

use serde_json::Value;
use slipway_api::Phase;

use super::acts::Act;
use super::cluster::Service;
use super::picture::Release;
use super::show::{Outcome, Show, Stage};

pub(super) fn opening() -> &'static str {
    "An empty cluster. Four services are installed, and Slipway makes a primary for each: a copy that serves the users, so that a new version can be tried beside it."
}

pub(super) fn opened() -> &'static str {
    "All four are up, and the users come: 50 requests a second to each service."
}

pub(super) fn title(at: usize, of: usize, act: &Act) -> String {
    if of > 1 {
        format!("{} of {of}: {}", at + 1, act.title)
    } else {
        capital(act.title)
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

pub(super) fn pushed(act: &Act) -> String {
    let (service, version) = (act.service.name(), act.version);
    format!("A developer pushes: kubectl set image deployment/{service} app=podinfo:{version}")
}

pub(super) fn pods_died(release: &Release, killed: usize) -> String {
    let (weight, version) = (release.weight(), &release.canary.version);
    format!(
        "The machine under {version} goes down: {killed} pods are gone while {weight}% of the users are on them"
    )
}

pub(super) fn controller_died() -> &'static str {
    "Slipway is killed. Traffic stays as it is; nobody watches for a while"
}

pub(super) fn controller_is_back(release: &Release) -> String {
    let weight = release.weight();
    format!("Another Slipway starts. It reads the status of the Canary and goes on at {weight}%")
}

/// The hook that is called before any user meets the new version.
pub(super) const ACCEPTANCE: &str = "acceptance-test";
/// The hook that is called at every check.
pub(super) const LOAD: &str = "load-test";

/// Which hook it is, by what its payload tells the tester to do.
pub(super) fn hook_name(payload: &Value) -> &'static str {
    match payload.pointer("/metadata/type").and_then(Value::as_str) {
        Some("bash") => ACCEPTANCE,
        _ => LOAD,
    }
}

/// A call of a hook.
pub(super) fn hook(payload: &Value, passed: bool) -> String {
    let command = payload.pointer("/metadata/cmd").and_then(Value::as_str);
    let verdict = if passed { "says yes" } else { "says no" };
    format!(
        "hook {} {verdict}: {}",
        hook_name(payload),
        command.unwrap_or_default()
    )
}

/// What happens now and why, in a sentence or two.
pub(super) fn now(show: &Show, release: &Release) -> String {
    match show.stage {
        Stage::Opening { .. } => {
            let name = release.service.name();
            format!(
                "Slipway makes {name}-primary, moves the traffic to it, and scales {name} to zero: that is where new versions will be tried."
            )
        }
        Stage::Lead { .. } => show.act().lead.to_owned(),
        Stage::Playing { begun: false, .. } => {
            let version = show.act().version;
            format!("{version} is pushed. Users still get {}.", show.from())
        }
        Stage::Playing { .. } => playing(show, release),
        Stage::Ended { .. } | Stage::Over => show.outcomes.last().map(outcome).unwrap_or_default(),
    }
}

fn playing(show: &Show, release: &Release) -> String {
    let new = show.act().version;
    let old = show.from();
    match release.phase() {
        Phase::Progressing => progressing(release, old, new),
        Phase::Promoting => format!(
            "{new} has proven itself. The primary takes it over pod by pod, while the canary goes on serving."
        ),
        Phase::Finalising => format!(
            "The primary runs {new} and is ready: all traffic goes to it, then the canary is scaled down."
        ),
        Phase::Waiting | Phase::WaitingPromotion => "Waiting for somebody to approve.".to_owned(),
        Phase::Empty
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Succeeded
        | Phase::Failed
        | Phase::Terminating
        | Phase::Terminated => format!("{new} is pushed. Users still get {old}."),
    }
}

fn progressing(release: &Release, old: &str, new: &str) -> String {
    let (failed, threshold) = (release.status.failed_checks, release.limits.threshold);
    let weight = release.weight();
    if failed > 0 {
        let left = threshold - failed;
        return format!(
            "{} So it gets no more traffic. Failed checks: {failed}; {left} more and it is hauled back.",
            last_warning(release)
        );
    }
    let demand = demand(release);
    if weight == 100 {
        return format!("All requests are switched to {new} at once; {old} stands by, in case.");
    }
    if release.is_mirrored() {
        let (done, of) = (release.status.iterations, release.limits.iterations);
        return format!(
            "{new} gets a copy of every request; its answers are measured and thrown away. {done} of {of} checks passed: {demand}."
        );
    }
    if weight > 0 {
        return format!(
            "{weight}% of the users get {new}. Every {} it is checked: {demand}. If so, it gets more.",
            seconds(release.limits.interval)
        );
    }
    if release.status.iterations > 0 {
        let (done, of) = (release.status.iterations, release.limits.iterations);
        return format!(
            "{} {done} of {of} checks passed: {demand}.",
            audience(release, new)
        );
    }
    if release.canary.ready < release.canary.wanted || release.canary.wanted == 0 {
        return format!(
            "{new} is started beside {old}. No user meets it before it is ready and has passed its acceptance test."
        );
    }
    format!("{new} is ready. Its acceptance test runs; no user meets it yet.")
}

/// Who meets a new version that gets no share of everybody's requests.
fn audience(release: &Release, new: &str) -> String {
    match release.service {
        Service::Frontend => {
            format!("Only insiders get {new}: whoever has their cookie, or Safari.")
        }
        Service::Backend | Service::Cache | Service::Database => {
            format!("No user gets {new} yet; the load test does.")
        }
    }
}

/// What a new version must do.
fn demand(release: &Release) -> String {
    let limits = release.limits;
    format!(
        "{}% must succeed, 99 of 100 within {} ms",
        limits.success, limits.latency
    )
}

fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs())
}

/// What the last check found, without what everybody sees anyway.
fn last_warning(release: &Release) -> String {
    let notes = release
        .status
        .slipway
        .as_ref()
        .and_then(|it| it.transition.as_ref());
    let text = notes.and_then(|it| {
        it.notes
            .iter()
            .map(|note| note.text.as_str())
            .find(|text| text.starts_with("Halt"))
    });
    let text = text.unwrap_or("A check failed");
    let text = text
        .split_once(" advancement ")
        .map_or(text, |(_, what)| what);
    capital(text) + "."
}

/// How an act ended.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let (name, new, from) = (
        outcome.act.service.name(),
        outcome.act.version,
        &outcome.from,
    );
    let failed = outcome.users.failed;
    match outcome.phase {
        Phase::Succeeded => format!(
            "{name} {new} is promoted: every user has it, {} after the push. {} failed on the way.",
            span(outcome.took),
            requests(failed)
        ),
        Phase::Failed => {
            let met = if outcome.canary.sent > 0.0 {
                String::new()
            } else {
                "No user ever met it. ".to_owned()
            };
            format!(
                "{name} {new} is rolled back: every user has {from} again. {met}{} failed{}.",
                requests(failed),
                saved(outcome)
            )
        }
        Phase::Empty
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Terminating
        | Phase::Terminated => format!("{name} {new} has not come to an end."),
    }
}

fn saved(outcome: &Outcome) -> String {
    if outcome.at_once >= 1.0 {
        format!(
            "; given to everybody at once, it would have failed about {}",
            whole(outcome.at_once)
        )
    } else {
        String::new()
    }
}

fn requests(number: f64) -> String {
    match whole(number).as_str() {
        "0" => "No request".to_owned(),
        "1" => "1 request".to_owned(),
        number => format!("{number} requests"),
    }
}

/// The last lines: the number that matters, and the same for each release.
pub(super) fn summary(show: &Show) -> Vec<String> {
    let users = show.users();
    let mut lines = vec![format!(
        "User requests that failed: {} of {} ({:.3}%)",
        whole(users.failed),
        whole(users.sent),
        users.share() * 100.0
    )];
    lines.extend(show.outcomes.iter().map(row));
    lines
}

fn row(outcome: &Outcome) -> String {
    let act = &outcome.act;
    let change = format!("{} {} -> {}", act.service.name(), outcome.from, act.version);
    let end = if outcome.phase == Phase::Succeeded {
        "promoted"
    } else if outcome.phase == Phase::Failed {
        "rolled back"
    } else {
        outcome.phase.as_str()
    };
    let failed = format!(
        "{} of {} failed",
        whole(outcome.users.failed),
        whole(outcome.users.sent)
    );
    format!(
        "  {change:<26} {end:<12} in {:<7} {failed}{}",
        span(outcome.took),
        saved_short(outcome)
    )
}

fn saved_short(outcome: &Outcome) -> String {
    if outcome.at_once >= 1.0 {
        format!(" (all at once: ~{})", whole(outcome.at_once))
    } else {
        String::new()
    }
}

/// A whole number with thousands set apart.
pub(super) fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut set = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            set.push(',');
        }
        set.push(digit);
    }
    set
}

/// `1m40s`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

/// `00:01:40`.
pub(super) fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}
