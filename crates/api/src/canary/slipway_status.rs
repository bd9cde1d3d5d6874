//! What Slipway remembers of a release beyond Flagger's fields: `status.slipway`.
//!
//! The status is the only memory: everything that a restarted controller must know to go on stands here or in Flagger's fields.
//! A format is read by its own and the next minor version, both ways: unknown fields are ignored, absent fields have defaults.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Evidence;

/// The version of the format that this build writes.
pub const SLIPWAY_STATUS_VERSION: u32 = 1;

/// Slipway's own state of one Canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SlipwayStatus {
    /// The version of this format, [`SLIPWAY_STATUS_VERSION`] when this build wrote it; 0 means it was never written.
    pub version: u32,
    /// The revision last acted on (started, failed or promoted): sha256 of the target's template and its tracked configs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acted_revision: Option<String>,
    /// The revision that the primary serves; absent when it is not known (a release of Flagger's was taken over half-way).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted_revision: Option<String>,
    /// The running release, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseStatus>,
    /// When traffic was last taken off the target; it is scaled down one settle time later. Absent when that has been done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_left_at: Option<DateTime<Utc>>,
    /// Whether the target is paused by us while it has traffic.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub target_paused: bool,
    /// When traffic left a target that we paused; it is resumed one settle time later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_free_at: Option<DateTime<Utc>>,
    /// The number of pods below which the scaler of the primary may not go while the target has, or had, some of its traffic: as many as it had when
    /// the release started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_replicas: Option<i64>,
    /// The side that holds a good revision while all traffic is pinned to it; absent means the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_to: Option<Side>,
    /// The weight that the route really has, where it is not the weight asked for (a side without ready pods).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routed_weight: Option<i64>,
    /// The kind of routing object in force, `HTTPRoute.gateway.networking.k8s.io`, where the provider has several: a running release keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Since when the side that the release waits for has not been ready: the progress deadline counts from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unready_since: Option<DateTime<Utc>>,
    /// What the release waits for, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Post-rollout hooks that have not answered yet, by name; the outcome of the release does not depend on them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending_hooks: Vec<PendingHook>,
    /// What is wrong in the spec or around it, as last told by an event: a change is told again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The annotations that tune the running release, or tuned the last one, by key: a change of one is told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The revision at the target that has not been started: a gate, a person, an order or a problem holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_revision: Option<String>,
    /// When a revision was first found pending that has not been started or taken back since: its place among those that wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<DateTime<Utc>>,
    /// Whether the pending revision waits for nothing but its turn among the releases at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub queued: bool,
    /// The gates that a person has opened for the revision that is pending or was released last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// Who paused the release, until somebody resumes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Said>,
    /// What a person wants done with a revision and is not done yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wish: Option<Wish>,
    /// The last action of each kind that was heeded, by its word: none is done twice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub actions: BTreeMap<String, Heeded>,
    /// The last transition with what was to be told of it, so that a restarted controller can tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
    /// Why the last release failed or was cancelled, in one sentence with numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Fields that a newer version wrote; they are written back as they came.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

/// One side of a release.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// The workload that serves, and its Service.
    Primary,
    /// The target, which holds the new revision, and its Service.
    Canary,
}

/// One way of one revision from detection to Succeeded or Failed.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the release that stands in the status by its name"
)]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReleaseStatus {
    /// The revision that is released: pinned here when the release starts; nothing else is ever promoted by it.
    pub revision: String,
    /// When the release was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When the last step was taken or the last check failed: the next tick is due one interval later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_at: Option<DateTime<Utc>>,
    /// The number of ticks so far, failed ones included; answers to questions of another tick are void.
    pub tick: u64,
    /// Whether the pre-rollout hooks have passed.
    pub tested: bool,
    /// Whether mirroring is on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mirrored: bool,
    /// Whether the primary was ready when the release started: a primary that was broken before does not hold its cure.
    pub primary_was_ready: bool,
    /// Whether the promotion gates have said yes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
    /// Whether the analysis is skipped: by `skipAnalysis`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// Who had the analysis skipped, when a person did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped_by: Option<Said>,
    /// The ticks that decided something, the newest last: at most [`RECORDED_TICKS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ticks: Vec<Tick>,
    /// Whether users have met the revision at a step that passed, where weight is made by pods.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub met: bool,
    /// What each hook that is not asked in every tick answered last, by its type and name: at most [`RECORDED_HOOKS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookAnswer>,
    /// The reasons that pods gave for not running, as they came: seen before anything was scaled down, at most [`RECORDED_REASONS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodReason>,
    /// When the promotion began: a primary that is emptied by its strategy waits one settle time for the traffic to leave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoting_since: Option<DateTime<Utc>>,
    /// What the sequential test has seen of it, where it plays a part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
    /// Fields that a newer version wrote; they are written back as they came.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

/// How many ticks of a release are recorded; older ones are forgotten first.
pub const RECORDED_TICKS: usize = 30;

/// How many answers of hooks a release records, in all and in one tick.
pub const RECORDED_HOOKS: usize = 20;

/// How many reasons of pods a release records.
pub const RECORDED_REASONS: usize = 8;

/// How many characters of a text from outside are recorded.
pub const RECORDED_TEXT: usize = 200;

/// One tick of an analysis: what was measured, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Tick {
    /// When it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// The weight of the canary under which it was measured, in percent.
    pub weight: i64,
    /// What each check by a metric read, by its name; one that read no number is absent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, f64>,
    /// What each check by a metric allowed, by its name: `>= 99%`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
    /// What each hook of this tick answered, by its name: `passed`, or why it refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, String>,
    /// Why it failed, as it was told; absent when it passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What a hook answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HookAnswer {
    /// The hook's name.
    pub name: String,
    /// Its type: `confirm-rollout`, `pre-rollout`.
    #[serde(rename = "type")]
    pub type_: String,
    /// When it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Whether it said yes.
    pub passed: bool,
    /// Why it said no, at most [`RECORDED_TEXT`] characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// A reason that pods gave for not running, once however many of them gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodReason {
    /// Whose pods.
    pub side: Side,
    /// The reason, in the words of Kubernetes: `ImagePullBackOff`, `OOMKilled`, `Unschedulable`.
    pub reason: String,
    /// The container; absent where the pod as a whole is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// How its process ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// What Kubernetes said besides, at most [`RECORDED_TEXT`] characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// One of the pods.
    pub pod: String,
    /// When it was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

/// What a person said of a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Said {
    /// The revision that was meant.
    pub revision: String,
    /// Who said it, as they named themselves; the audit log of the API server knows it for sure.
    pub by: String,
    /// When it was heeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

/// A gate that a person has opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Approval {
    /// `rollout` or `promotion`.
    pub gate: String,
    /// For which revision, who and when.
    #[serde(flatten)]
    pub said: Said,
}

/// What a person wants done with a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Wish {
    /// `promote` or `abort`.
    pub action: String,
    /// With which revision, who and when.
    #[serde(flatten)]
    pub said: Said,
}

/// An action that was heeded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Heeded {
    /// The annotation's value: another value is another action.
    pub value: String,
    /// When it was heeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// What came of it, as it was told.
    pub outcome: String,
}

/// What a release waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// A sentence part that names it: `confirm-rollout hook gate`, `primary podinfo-primary to become ready`.
    #[serde(rename = "for")]
    pub for_: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// A post-rollout hook that is still to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingHook {
    /// The hook's name.
    pub name: String,
    /// The outcome that it is told: `Succeeded` or `Failed`.
    pub phase: String,
    /// Since when it is pending; part of the identity of the call.
    pub since: DateTime<Utc>,
}

/// A transition and the texts that belong to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Transition {
    /// Counts transitions of this Canary; with its uid it is the key that makes an alert or event recognisable when it is repeated.
    pub number: u64,
    /// When it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// What was to be told, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// One thing told to people: an event, and with a severity also an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub type_: NoteType,
    /// The text of the event.
    pub text: String,
    /// The alert that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertNote>,
}

/// The type of a Kubernetes event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NoteType {
    /// Things go their way.
    Normal,
    /// Something wants attention.
    Warning,
}

/// An alert that is sent with an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertNote {
    /// How much it matters.
    pub severity: AlertLevel,
    /// The text of the alert.
    pub text: String,
    /// Whether the facts of the Canary (target, threshold, deadline, routing) go with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_facts: bool,
}

/// How much an alert matters; an alert rule names the lowest level that it wants.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AlertLevel {
    /// Good to know.
    Info,
    /// Somebody is awaited, or a release went back.
    Warn,
    /// A release failed.
    Error,
}
