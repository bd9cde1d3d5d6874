//! What the record of a release tells people: hooks, pods, ticks, each in a sentence.

use slipway_api::{Phase, PodReason, ReleaseStatus, Side};
use slipway_core::words::pod_reason;

use crate::cluster::Release;
use crate::output::span;

/// `pods of the canary app: container app: ImagePullBackOff, since 12:03:04`, one for each reason.
pub(crate) fn pods(release: &Release) -> Vec<String> {
    let recorded = release.slipway.release.as_ref();
    let pods = recorded.into_iter().flat_map(|recorded| &recorded.pods);
    pods.map(of_pods).collect()
}

fn of_pods(given: &PodReason) -> String {
    let side = match given.side {
        Side::Primary => "primary",
        Side::Canary => "canary",
    };
    let at = given.at.map(|at| at.format(" (at %H:%M:%S)").to_string());
    let at = at.unwrap_or_default();
    format!("pods of the {side}, {}{at}", pod_reason(given))
}

/// The same as a sentence.
pub(crate) fn pods_sentence(release: &Release) -> Option<String> {
    let all = pods(release);
    (!all.is_empty()).then(|| format!("Not running were {}.", all.join("; ")))
}

/// `confirm-rollout gate passed`, `rollout load refused: 503`: what each hook answered last.
pub(crate) fn hooks(release: &Release) -> Vec<String> {
    let Some(recorded) = &release.slipway.release else {
        return Vec::new();
    };
    let outside = recorded.hooks.iter().map(|hook| {
        let said = match (hook.passed, hook.text.as_str()) {
            (true, _) => "passed".to_owned(),
            (false, "") => "refused".to_owned(),
            (false, why) => format!("refused: {why}"),
        };
        format!("{} {} {said}", hook.type_, hook.name)
    });
    let last = recorded.ticks.last();
    let of_tick = last.into_iter().flat_map(|tick| &tick.hooks);
    let known = |name: &String| recorded.hooks.iter().any(|hook| hook.name == *name);
    let of_tick = of_tick.filter(|(name, _)| !known(name));
    let of_tick = of_tick.map(|(name, said)| format!("{name} {said}"));
    outside.chain(of_tick).collect()
}

/// The same as a sentence.
pub(crate) fn hooks_sentence(release: &Release) -> Option<String> {
    let all = hooks(release);
    (!all.is_empty()).then(|| format!("Hooks: {}.", all.join(", ")))
}

/// How a release that was promoted went: `It passed 4 checks of 5 in 2m10s.`
pub(crate) fn promotion_sentence(release: &Release) -> Option<String> {
    let recorded = release.slipway.release.as_ref()?;
    if release.status.phase != Phase::Succeeded || recorded.ticks.is_empty() {
        return None;
    }
    let passed = recorded.ticks.iter();
    let passed = passed.filter(|tick| tick.failure.is_none()).count();
    let took = took(recorded).map_or_else(String::new, |took| format!(" in {took}"));
    let last = last_values(recorded).map_or_else(String::new, |last| format!("; the last: {last}"));
    Some(format!(
        "It passed {passed} of {} checks{took}{last}.",
        recorded.ticks.len()
    ))
}

fn took(recorded: &ReleaseStatus) -> Option<String> {
    let end = recorded.ticks.last()?.at?;
    Some(span(end - recorded.started_at?))
}

/// What the last tick read, each value with its limit: `request-success-rate 99.80 (>= 99%)`.
fn last_values(recorded: &ReleaseStatus) -> Option<String> {
    let last = recorded.ticks.last()?;
    let all = last.values.iter().map(|(name, value)| {
        let limit = last.limits.get(name);
        let limit = limit.map_or_else(String::new, |limit| format!(" ({limit})"));
        format!("{name} {value:.2}{limit}")
    });
    let all: Vec<String> = all.collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// The same as a sentence, while a release runs.
pub(crate) fn last_sentence(release: &Release) -> Option<String> {
    let last = last_values(release.slipway.release.as_ref()?)?;
    Some(format!("The last check read {last}."))
}
