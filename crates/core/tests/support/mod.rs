//! The shortest way to a plan, an observation and a small world in which decisions are carried out.

mod deployment;
mod oracle;
mod story;
mod world;

pub(crate) use deployment::Deployment;
pub(crate) use story::{Story, canary};
pub(crate) use world::{Fault, Reply, World};

use chrono::{DateTime, TimeDelta, Utc};
use slipway_api::{CanaryStatus, Phase, ReleaseStatus, SLIPWAY_STATUS_VERSION, SlipwayStatus};
use slipway_core::decision::{Decision, Effect};
use slipway_core::observation::{Observation, SideCounts, Workload};
use slipway_core::weight::Routes;

/// The start of every story.
pub(crate) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_900_000_000, 0).unwrap()
}

/// So many seconds after the start of every story.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

/// A workload with all its pods ready.
pub(crate) fn ready(revision: &str, replicas: i64) -> Workload {
    pods(revision, replicas, replicas)
}

/// A workload with some of its pods ready.
pub(crate) fn pods(revision: &str, replicas: i64, ready: i64) -> Workload {
    Workload {
        revision: revision.into(),
        flagger_hash: Some(hash(revision)),
        given_revision: Some(revision.into()),
        generation: 1,
        observed_generation: 1,
        replicas,
        existing: replicas,
        updated: replicas,
        ready,
        available: ready,
        ..Workload::default()
    }
}

/// What Flagger would write for a revision, in this world.
pub(crate) fn hash(revision: &str) -> String {
    format!("flagger-{revision}")
}

/// Both sides ready: the primary at `v1`, the target at `v2`.
pub(crate) fn both_ready() -> Observation {
    seen(Some(ready("v1", 1)), Some(ready("v2", 1)))
}

/// What is seen of a primary and a target, with the finalizer on the Canary.
pub(crate) fn seen(primary: Option<Workload>, target: Option<Workload>) -> Observation {
    let count = |workload: &Option<Workload>| {
        let ready = workload.as_ref().map_or(0, |workload| workload.ready);
        u32::try_from(ready).ok()
    };
    Observation {
        endpoints: SideCounts {
            primary: count(&primary),
            canary: count(&target),
        },
        target,
        primary,
        recorded_revision: Some("v1".into()),
        has_finalizer: true,
        ..Observation::default()
    }
}

/// A status in the middle of a release of `v2` over `v1`.
pub(crate) fn status(phase: Phase) -> CanaryStatus {
    CanaryStatus {
        phase,
        last_applied_spec: Some(hash("v2")),
        last_promoted_spec: Some(hash("v1")),
        slipway: Some(SlipwayStatus {
            version: SLIPWAY_STATUS_VERSION,
            acted_revision: Some("v2".into()),
            promoted_revision: Some("v1".into()),
            release: Some(ReleaseStatus {
                revision: "v2".into(),
                started_at: Some(start()),
                primary_was_ready: true,
                ..ReleaseStatus::default()
            }),
            ..SlipwayStatus::default()
        }),
        ..CanaryStatus::default()
    }
}

/// Our part of a status.
pub(crate) fn slipway(status: &CanaryStatus) -> SlipwayStatus {
    status.slipway.clone().unwrap_or_default()
}

/// The routes that a decision writes, in order.
pub(crate) fn routed(decision: &Decision) -> Vec<Routes> {
    let routes = decision.effects.iter().filter_map(|effect| match effect {
        Effect::Route(routes) => Some(*routes),
        _ => None,
    });
    routes.collect()
}

/// The events of a decision, in order.
pub(crate) fn told(decision: &Decision) -> Vec<String> {
    if !decision.effects.contains(&Effect::Tell) {
        return Vec::new();
    }
    let transition = slipway(&decision.status).transition.unwrap_or_default();
    transition.notes.into_iter().map(|note| note.text).collect()
}

/// The names of what a decision asks, in order.
pub(crate) fn asked(decision: &Decision) -> Vec<String> {
    decision
        .questions
        .iter()
        .map(world::shell::name_of)
        .collect()
}

/// Whether an effect only keeps what is.
pub(crate) fn keeps(effect: &Effect) -> bool {
    matches!(effect, Effect::Services { .. } | Effect::Route(_))
}
