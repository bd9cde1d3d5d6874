//! `Canary.status`: the only memory of a release.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SlipwayStatus;
use crate::{go, opaque, time};

/// Where a release stands.
///
/// Everything but `slipway` and `observedGeneration` is Flagger's, in Flagger's form, so that either controller can go on where the other stopped.
///
/// **Source:** Flagger `CanaryStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStatus {
    /// The phase of the release.
    #[schemars(schema_with = "opaque::phase")]
    pub phase: Phase,

    /// Failed checks of this release.
    #[serde(deserialize_with = "go::whole")]
    #[schemars(schema_with = "opaque::number")]
    pub failed_checks: i64,

    /// Weight of the canary, in percent.
    #[serde(deserialize_with = "go::whole")]
    #[schemars(schema_with = "opaque::number")]
    pub canary_weight: i64,

    /// Ticks of a blue/green or A/B release that are done; Flagger writes -1 at times.
    #[serde(deserialize_with = "go::whole")]
    #[schemars(schema_with = "opaque::number")]
    pub iterations: i64,

    /// Cookie of this release's canary, as `name=value`.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub session_affinity_cookie: Option<String>,

    /// Cookie of the primary, as `name=value`.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub primary_session_affinity_cookie: Option<String>,

    /// Cookie of the release before, which is made to expire.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub previous_session_affinity_cookie: Option<String>,

    /// Checksum of each tracked config, by `configmap/NAME` or `secret/NAME`; absent when configs are not tracked, empty when none is referenced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracked_configs: Option<BTreeMap<String, String>>,

    /// Flagger's hash of the revision last acted on.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub last_applied_spec: Option<String>,

    /// Flagger's hash of the revision that the primary serves.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub last_promoted_spec: Option<String>,

    /// When this status was last written.
    #[serde(with = "time::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::date_time")]
    pub last_transition_time: Option<DateTime<Utc>>,

    /// The generation of the Canary that this status tells of: until it is the newest, tools take nothing here for an answer. 0 was never written.
    #[serde(deserialize_with = "go::whole", skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "opaque::number")]
    pub observed_generation: i64,

    /// What people and tools wait on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<CanaryCondition>,

    /// What Slipway remembers beyond Flagger.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::slipway_status")]
    pub slipway: Option<SlipwayStatus>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// One condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["type", "status", "reason"]))]
pub struct CanaryCondition {
    /// Its type, such as `Promoted`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    #[schemars(schema_with = "opaque::text")]
    pub status: ConditionStatus,
    /// When it was last written.
    #[serde(with = "time::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::date_time")]
    pub last_update_time: Option<DateTime<Utc>>,
    /// When its status last changed.
    #[serde(with = "time::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::date_time")]
    pub last_transition_time: Option<DateTime<Utc>>,
    /// One word for programs.
    pub reason: String,
    /// A sentence for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can say, or a word was found that is none of the three.
    #[default]
    #[serde(other)]
    Unknown,
}

impl ConditionStatus {
    /// The word as Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The phase of a release: Flagger's eleven, and none yet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub enum Phase {
    /// Not seen yet (an empty text).
    #[default]
    Empty,
    /// The primary is being made.
    Initializing,
    /// The primary serves, and no revision was released yet.
    Initialized,
    /// A new revision waits at a gate before its release.
    Waiting,
    /// A new revision is judged.
    Progressing,
    /// A judged revision waits at the gate before its promotion.
    WaitingPromotion,
    /// The primary takes the new revision over.
    Promoting,
    /// Traffic is on the promoted primary and the canary is scaled down.
    Finalising,
    /// The release ended well.
    Succeeded,
    /// The release was rolled back.
    Failed,
    /// The Canary is being deleted.
    Terminating,
    /// The Canary let go of everything.
    Terminated,
}

impl Phase {
    /// The eleven phases with a name, in the order of a release.
    pub const NAMED: [Self; 11] = [
        Self::Initializing,
        Self::Initialized,
        Self::Waiting,
        Self::Progressing,
        Self::WaitingPromotion,
        Self::Promoting,
        Self::Finalising,
        Self::Succeeded,
        Self::Failed,
        Self::Terminating,
        Self::Terminated,
    ];

    /// The word as the status spells it; empty for [`Phase::Empty`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "",
            Self::Initializing => "Initializing",
            Self::Initialized => "Initialized",
            Self::Waiting => "Waiting",
            Self::Progressing => "Progressing",
            Self::WaitingPromotion => "WaitingPromotion",
            Self::Promoting => "Promoting",
            Self::Finalising => "Finalising",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::Terminated => "Terminated",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A phase that nobody knows; to guess at one could move traffic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown phase {0:?}: known are the eleven from Initializing to Terminated, or none")]
pub struct UnknownPhase(String);

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(word: &str) -> Result<Self, UnknownPhase> {
        std::iter::once(Self::Empty)
            .chain(Self::NAMED)
            .find(|phase| phase.as_str() == word)
            .ok_or_else(|| UnknownPhase(word.to_owned()))
    }
}

impl TryFrom<String> for Phase {
    type Error = UnknownPhase;

    fn try_from(word: String) -> Result<Self, UnknownPhase> {
        word.parse()
    }
}

impl From<Phase> for String {
    fn from(phase: Phase) -> Self {
        phase.as_str().to_owned()
    }
}
