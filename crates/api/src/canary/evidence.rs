//! What the sequential test of a release has seen so far: `status.slipway.release.evidence`.
//!
//! About 1.5 KB whatever the number of pods. Every logarithm is rounded down to four decimals when it is made, so that what a restarted
//! controller reads is what the one before had, and rounding never adds evidence.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The evidence for and against a release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// The time of the newest sample that is counted; before the first one, when the canary got its first users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The pods that are counted, by a digest: how many milliseconds before `until` the newest counted sample of each was taken. At most
    /// [`COUNTED_PODS`]: of the others the first sample is a mark to count from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pods: BTreeMap<String, u32>,
    /// The latencies that requests are counted by, in milliseconds, chosen once; absent until they are, empty where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edges: Option<Vec<u32>>,
    /// How many ticks measured something.
    pub ticks: u64,
    /// The canary's requests, all in all.
    pub canary: Tally,
    /// The primary's, without ticks in which it was degraded itself.
    pub primary: Tally,
    /// The evidence that the canary is worse, by metric: `errors`, `slower than 0.25`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricEvidence>,
    /// How many accounts are open: one a step of weight.
    pub accounts: u32,
    /// The evidence that the canary may have each of the weights that come after its first, 100 last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clean: Vec<Clean>,
    /// The requests of both sides since the weight was reached, for the check of their ratio.
    pub shared: Shared,
    /// Whether they show that requests are not shared as the weight says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub astray: bool,
    /// How evenly the failures of the primary fall on its pods.
    #[serde(skip_serializing_if = "Spread::is_empty")]
    pub spread: Spread,
    /// Ticks in a row with a gross failure.
    #[serde(skip_serializing_if = "is_zero")]
    pub gross: u32,
    /// Whether the release was sent back to its first weight.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub braked: bool,
    /// The weight that the clock below counts for, in percent.
    pub weight: i64,
    /// When the canary reached that weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_since: Option<DateTime<Utc>>,
    /// When something was counted last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_at: Option<DateTime<Utc>>,
    /// The weight that the canary has earned by that: 100 is its promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earned: Option<i64>,
    /// What the test would have done first, and when, where it only watches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<String>,
    /// What the newest tick came to, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

/// How many pods are remembered by their digests.
pub const COUNTED_PODS: usize = 24;

/// Requests, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Tally {
    /// All of them.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
}

impl Tally {
    /// Whether nothing was requested.
    pub const fn is_empty(&self) -> bool {
        self.requests == 0
    }
}

/// How evenly failures fall on the pods of a side: 1 a tick where each falls by chance, more where they come in clumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Spread {
    /// Ticks that could tell.
    pub ticks: u32,
    /// What they told, summed.
    pub sum: f64,
}

impl Spread {
    /// Whether no tick could tell.
    pub const fn is_empty(&self) -> bool {
        self.ticks == 0
    }
}

/// The requests that each side got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Shared {
    /// The canary.
    pub canary: u64,
    /// The primary.
    pub primary: u64,
}

/// The evidence that the canary may have a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Clean {
    /// The weight, in percent.
    pub weight: i64,
    /// The evidence, as a logarithm.
    pub log: f64,
}

/// The evidence of one metric, as logarithms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricEvidence {
    /// The canary's requests that were timed, and how many of them were slow; nothing for the metric `errors`, whose books are those of the release.
    #[serde(skip_serializing_if = "Tally::is_empty")]
    pub canary: Tally,
    /// The primary's.
    #[serde(skip_serializing_if = "Tally::is_empty")]
    pub primary: Tally,
    /// That the canary is worse than the primary: an account for each step, in it a logarithm for each bet.
    pub accounts: Vec<Vec<f64>>,
    /// That the canary is worse than what never matters, a logarithm for each alternative.
    pub floor: Vec<f64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
