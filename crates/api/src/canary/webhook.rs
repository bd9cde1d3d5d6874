//! `Canary.spec.analysis.webhooks`: who is asked, when.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::go::{self, GoInt, is_false};
use crate::opaque;

/// One hook: a request whose answer a release waits for or is told by.
///
/// **Source:** Flagger `CanaryWebhook`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name", "url"]))]
pub struct CanaryWebhook {
    /// When it is called; `rollout` when absent.
    #[serde(rename = "type")]
    #[schemars(schema_with = "opaque::hook_type")]
    pub type_: HookType,
    /// Name for people.
    pub name: String,
    /// Where the request goes.
    pub url: String,
    /// Limit of each attempt, as a duration; 10s when absent.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Attempts after the first.
    #[serde(skip_serializing_if = "GoInt::is_zero")]
    pub retries: GoInt,
    /// Whether a gate that waits sends no alert.
    #[serde(skip_serializing_if = "is_false")]
    pub mute_alert: bool,
    /// Whether the TLS certificate of the receiver goes unchecked.
    #[serde(rename = "disableTLS", skip_serializing_if = "is_false")]
    pub disable_tls: bool,
    /// What is sent along; the payload tells an absent map from an empty one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// When a hook is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum HookType {
    /// A gate before a release starts.
    ConfirmRollout,
    /// A check before any traffic.
    PreRollout,
    /// A check at each tick; what an empty type means.
    #[default]
    Rollout,
    /// A gate before the weight grows.
    ConfirmTrafficIncrease,
    /// A gate before a promotion.
    ConfirmPromotion,
    /// Told after the end of a release.
    PostRollout,
    /// Told of every event.
    Event,
    /// A gate that, open, causes a rollback.
    Rollback,
    /// A word that is none of these; `Plan` reports it.
    Unknown(String),
}

impl HookType {
    /// Every type, in the order of a release.
    pub const ALL: [Self; 8] = [
        Self::ConfirmRollout,
        Self::PreRollout,
        Self::Rollout,
        Self::ConfirmTrafficIncrease,
        Self::ConfirmPromotion,
        Self::PostRollout,
        Self::Event,
        Self::Rollback,
    ];

    /// The word as a Canary spells it; a hook without a type reads `rollout`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::ConfirmRollout => "confirm-rollout",
            Self::PreRollout => "pre-rollout",
            Self::Rollout => "rollout",
            Self::ConfirmTrafficIncrease => "confirm-traffic-increase",
            Self::ConfirmPromotion => "confirm-promotion",
            Self::PostRollout => "post-rollout",
            Self::Event => "event",
            Self::Rollback => "rollback",
            Self::Unknown(word) => word,
        }
    }
}

impl From<String> for HookType {
    fn from(word: String) -> Self {
        if word.is_empty() {
            return Self::default();
        }
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == word)
            .unwrap_or(Self::Unknown(word))
    }
}

impl From<HookType> for String {
    fn from(hook: HookType) -> Self {
        hook.as_str().to_owned()
    }
}

impl std::fmt::Display for HookType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
