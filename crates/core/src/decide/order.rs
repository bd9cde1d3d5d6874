//! Releases that go first: a start waits until they rest at their newest revision. What initialises, runs or protects is never held by it.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_api::names::annotation;
use slipway_api::{CanaryStatus, Phase};

use super::draft::{Case, Draft};
use super::takeover::is_promoted;
use crate::observation::{Observation, Obstacle, ObstacleCondition};
use crate::order::Standing;
use crate::plan::{Place, Problem};
use crate::words;

/// How long a revision that has just been noticed lets the others come that were changed with it: the objects of one `kubectl apply` arrive one
/// after the other, in any order.
const MOMENT: TimeDelta = TimeDelta::seconds(3);

/// What holds a start.
pub(super) struct Held {
    /// What is awaited.
    pub(super) what: String,
    /// Whether one of them failed: only a person can go on.
    pub(super) failed: bool,
    /// When it is over by itself.
    pub(super) until: Option<DateTime<Utc>>,
}

/// What of the order holds the start of a revision.
pub(super) fn held(draft: &Draft<'_>) -> Option<Held> {
    let case = draft.case;
    let standings = case.plan.after.iter().map(|name| {
        let peer = case.seen.peers.get(name);
        (name.as_str(), peer.map(|peer| peer.standing))
    });
    let first: Vec<(&str, Option<Standing>)> = standings
        .filter(|(_, standing)| *standing != Some(Standing::Rests))
        .collect();
    if !first.is_empty() {
        let whats: Vec<String> = first
            .iter()
            .map(|(name, standing)| words::before(name, *standing))
            .collect();
        let failed = |(_, standing): &(&str, Option<Standing>)| *standing == Some(Standing::Failed);
        return Some(Held {
            what: whats.join(", and for "),
            failed: first.iter().any(failed),
            until: None,
        });
    }
    let names = case.plan.after.join(", ");
    let noticed = case.slipway().pending_since.unwrap_or(case.now);
    let until = noticed + MOMENT;
    (!names.is_empty() && case.now < until).then(|| Held {
        what: format!("a change of {names} that may have come with it"),
        failed: false,
        until: Some(until),
    })
}

/// What is wrong with the order: a release that waits for itself, a name that no Canary has.
///
/// A Canary that is not in service yet may come before the ones that it names.
pub(super) fn obstacles(case: &Case<'_>) -> Vec<Obstacle> {
    let mut found = Vec::new();
    if let Some(round) = cycle(case) {
        let me = &case.plan.canary.name;
        let allowed = format!("must not lead back to {me}: {}", round.join(" after "));
        found.push(problem(case, allowed));
    }
    let begun = !matches!(case.status.phase, Phase::Empty | Phase::Initializing);
    for name in &case.plan.after {
        if begun && name != &case.plan.canary.name && !case.seen.peers.contains_key(name) {
            let namespace = &case.plan.canary.namespace;
            found.push(problem(
                case,
                format!("but there is no Canary {namespace}/{name}"),
            ));
        }
    }
    found
}

fn problem(case: &Case<'_>, allowed: String) -> Obstacle {
    let plan = case.plan;
    let tuned = plan.tuning.get(annotation::AFTER);
    let text = tuned.map_or("", |tuned| tuned.text.as_str());
    let problem = Problem::new(format!("annotation {}", annotation::AFTER), text, allowed);
    let problem = match tuned.map(|tuned| tuned.place) {
        Some(Place::Target) => problem.of(format!(
            "{} {}/{}",
            plan.target.kind.as_str(),
            plan.canary.namespace,
            plan.target.name
        )),
        Some(Place::Canary) | None => problem,
    };
    Obstacle {
        condition: ObstacleCondition::InvalidSpec,
        problem,
    }
}

/// The way from this release back to itself, both ends named, if there is one.
fn cycle(case: &Case<'_>) -> Option<Vec<String>> {
    let me = case.plan.canary.name.as_str();
    let mut seen = std::collections::BTreeSet::new();
    let mut ways: Vec<Vec<&str>> = case
        .plan
        .after
        .iter()
        .map(|name| vec![me, name.as_str()])
        .collect();
    while let Some(way) = ways.pop() {
        let last = *way.last()?;
        if last == me {
            return Some(way.into_iter().map(str::to_owned).collect());
        }
        if !seen.insert(last) {
            continue;
        }
        let next = case.seen.peers.get(last);
        for name in next.into_iter().flat_map(|peer| &peer.after) {
            let mut longer = way.clone();
            longer.push(name);
            ways.push(longer);
        }
    }
    None
}

/// Whether the target holds what the primary serves.
pub(crate) fn is_at_newest(status: &CanaryStatus, seen: &Observation) -> bool {
    let slipway = status.slipway.as_ref();
    let promoted = slipway.and_then(|slipway| slipway.promoted_revision.as_deref());
    is_promoted(promoted, seen)
}
