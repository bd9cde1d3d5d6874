//! What the shell saw and heard, as data.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use slipway_api::PodReason;

use crate::action::Action;
use crate::analysis::Counters;
use crate::decision::Question;
use crate::fleet::Turn;
use crate::order::Peer;
use crate::plan::Problem;
use crate::pods::PodCounts;
use crate::revision;
use crate::weight::Routes;

/// Everything that [`decide`](crate::decide()) may know about the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The target, unless it does not exist.
    pub target: Option<Workload>,
    /// The primary, unless it does not exist.
    pub primary: Option<Workload>,
    /// Whether the record of what was promoted last exists, from which a lost primary is made again; its revision.
    pub recorded_revision: Option<String>,
    /// The tracked ConfigMaps and Secrets of the target.
    pub configs: Configs,
    /// Ready endpoints of the canary's Service and of the primary's; absent when the Service or its endpoints are not known yet.
    pub endpoints: SideCounts,
    /// The pods that weight is made of, where it is.
    pub pods: Option<PodCounts>,
    /// The reasons that pods of the newest revision of either side give for not running.
    pub pod_reasons: Vec<PodReason>,
    /// What the routing object says, for taking over a release half-way; nothing else is ever computed from it.
    pub routes: Option<Routes>,
    /// Whether those who carry traffic have taken the routing object over as it stands.
    pub standing: Standing,
    /// Which kind of routing object is in force, for providers that have several.
    pub route: RouteChoice,
    /// The newest answer to each question asked in this life of the controller.
    pub answers: Vec<Answered>,
    /// What keeps the release from being carried out at all: a missing dependency, another Canary with the same target.
    pub obstacles: Vec<Obstacle>,
    /// Whether target and primary hold the same revision, compared field by field; asked for on taking over from Flagger only.
    pub same_revision: Option<bool>,
    /// What around the spec works but was probably meant otherwise: nobody who can be alerted.
    pub warnings: Vec<Problem>,
    /// The releases that this one names to go first, and those that they name: by name, an unknown one absent.
    pub peers: BTreeMap<String, Peer>,
    /// Whether it may start now, as far as the limits on releases at once say.
    pub turn: Turn,
    /// What people want done, as it stands on the Canary.
    pub actions: Vec<Action>,
    /// The generation of the Canary.
    pub generation: Option<i64>,
    /// Whether the Canary is being deleted.
    pub deleting: bool,
    /// Whether our finalizer stands on the Canary.
    pub has_finalizer: bool,
}

/// Whether those who carry traffic (gateways, a mesh) have taken over the routing object as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// They have, or nobody could say so.
    #[default]
    Accepted,
    /// Not yet; what is awaited, as a sentence part: `HTTPRoute test/app to be accepted by Gateway edge/public`.
    Pending(String),
    /// They have not, and say why.
    Refused(Problem),
}

/// Which kind of routing object is in force, for providers that have several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteChoice {
    /// Its name, as the status remembers it; `None`: the provider has one kind.
    pub name: Option<String>,
    /// Why it is not the kind that the provider usually has: the kind, and what is missing.
    pub instead: Option<Instead>,
    /// Whether an object of the kind that was in force before is still there: it goes once the new one stands.
    pub leaves: bool,
}

/// One kind of routing object in the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instead {
    /// The kind that routes: `HTTPRoute of gateway.networking.k8s.io/v1`.
    pub by: String,
    /// What the provider usually has, and why that cannot be had.
    pub missing: String,
}

/// Ready endpoints behind the two Services of a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideCounts {
    /// Behind `-primary`.
    pub primary: Option<u32>,
    /// Behind `-canary`.
    pub canary: Option<u32>,
}

/// A workload, reduced to what is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// sha256 over the canonical JSON of what defines a revision (for a Deployment its pod template).
    pub revision: String,
    /// The hash that Flagger 1.44 would write for it (dossier 01 §3.4); absent where it cannot be computed.
    pub flagger_hash: Option<String>,
    /// Of a primary: the revision that it was last given, from the annotation that Slipway keeps on it.
    pub given_revision: Option<String>,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// `spec.replicas`.
    pub replicas: i64,
    /// `status.replicas`: pods of every revision.
    pub existing: i64,
    /// `status.updatedReplicas`: pods of the newest revision.
    pub updated: i64,
    /// `status.readyReplicas`.
    pub ready: i64,
    /// `status.availableReplicas`.
    pub available: i64,
    /// Whether Kubernetes says that its own progress deadline was exceeded, for the observed generation.
    pub deadline_exceeded: bool,
    /// Whether its strategy empties it before the new pods come (`Recreate`).
    pub recreates: bool,
    /// Why pods do not start, from the conditions of the workload, in its own words; empty when there is nothing to say.
    pub complaint: String,
}

/// The tracked ConfigMaps and Secrets of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configs {
    /// Flagger's names and checksums (`configmap/name`, `secret/name`), for `status.trackedConfigs`; `None` when tracking is off.
    pub flagger: Option<BTreeMap<String, String>>,
    /// One digest over names and contents (`data` and `binaryData`) of all tracked objects; empty when there are none.
    pub digest: String,
    /// References that are not optional and do not exist: `configmap app-config`.
    pub missing: Vec<String>,
    /// Whether something could not be read (an error that is not "does not exist"): then nothing is decided by configs.
    pub unknown: bool,
}

/// Something outside of the spec that keeps a release from being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The condition that it is shown by.
    pub condition: ObstacleCondition,
    /// Object, field, value and what is allowed.
    pub problem: Problem,
}

/// The condition that an obstacle is shown by (A14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObstacleCondition {
    /// `RoutingIneffective`: those who carry traffic have refused the route.
    RoutingIneffective,
    /// `InvalidSpec`: the user has something to mend.
    InvalidSpec,
    /// `ProviderUnavailable`: the kinds of the provider are not served, or may not be used.
    ProviderUnavailable,
    /// `UnsupportedProvider`: a known provider that this build has no backend for.
    UnsupportedProvider,
    /// `Stalled` alone: another Canary has the target, a live Flagger works here.
    Stalled,
    /// `DependencyFailed`: a release that goes first failed.
    DependencyFailed,
    /// `InternalError`: the last look panicked. It was told when it did.
    InternalError,
}

/// A question with its newest answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// What was asked, and in which round.
    pub question: Question,
    /// When the answer came.
    pub at: DateTime<Utc>,
    /// The answer.
    pub answer: Answer,
}

/// An answer from the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Of a hook.
    Hook(Verdict),
    /// Of a metric.
    Metric(Reading),
    /// The counters of requests, or why there are none.
    Counters(Result<Arc<Counters>, String>),
}

/// What a hook said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes (HTTP 200, 201 or 202).
    Passed,
    /// No, or it could not be asked: the text that goes into the event, possibly empty.
    Refused(String),
}

/// What a metric query said. Only [`Reading::Value`] can pass a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A number; durations of the built-in check are milliseconds. NaN is never a value.
    Value(f64),
    /// No sample, or NaN: nothing was measured. The text says which.
    NoData(String),
    /// More than one series, named by their labels: which one is meant cannot be told.
    Ambiguous(String),
    /// The query failed: refused, timed out, unreachable.
    Failed(String),
    /// The check itself is wrong: a template that does not exist or render, a Secret without its key. The whole sentence.
    Unusable(String),
}

impl Observation {
    /// The revision at the target: one digest over its template and its tracked configs.
    ///
    /// `None` while it cannot be told: no target, a config that is missing or could not be read (FC-084). Nothing is decided by it then.
    pub fn revision(&self) -> Option<String> {
        let target = self.target.as_ref()?;
        if self.configs.unknown || !self.configs.missing.is_empty() {
            return None;
        }
        Some(revision::with_configs(
            &target.revision,
            &self.configs.digest,
        ))
    }

    /// The newest answer to the question about the same thing, whatever its round.
    pub fn newest(&self, question: &Question) -> Option<&Answered> {
        self.answers
            .iter()
            .find(|answered| answered.question.subject == question.subject)
    }

    /// The answer to exactly this question.
    pub fn answer(&self, question: &Question) -> Option<&Answer> {
        self.newest(question)
            .filter(|answered| answered.question == *question)
            .map(|answered| &answered.answer)
    }
}
