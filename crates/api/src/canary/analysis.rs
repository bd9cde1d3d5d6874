//! `Canary.spec.analysis`: pace, steps and checks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CanaryWebhook;
use crate::go::{self, GoInt, is_false};
use crate::opaque;

/// How a new revision is judged and how its traffic grows.
///
/// Counts and weights are as written: their bounds, and which of the three kinds of steps is meant, are for `Plan` to say.
///
/// **Source:** Flagger `CanaryAnalysis`.
///
/// **Differs from Flagger:** no field is required, and `iterations`, `stepWeight` and `stepWeights` may stand together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryAnalysis {
    /// Time between two ticks, as a duration.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,

    /// Failed checks that cause a rollback; 1 when absent.
    #[serde(skip_serializing_if = "GoInt::is_zero")]
    pub threshold: GoInt,

    /// Ticks of a blue/green or A/B release; 0 means a release by weight.
    #[serde(skip_serializing_if = "GoInt::is_zero")]
    pub iterations: GoInt,

    /// Weight at which a revision is promoted, in percent; 100 when absent.
    #[serde(skip_serializing_if = "GoInt::is_zero")]
    pub max_weight: GoInt,

    /// How much the weight grows with each tick, in percent.
    #[serde(skip_serializing_if = "GoInt::is_zero")]
    pub step_weight: GoInt,

    /// The weights to go through, in percent; the last one is the greatest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub step_weights: Vec<GoInt>,

    /// How fast traffic returns to the primary after a promotion, in percent a tick; all at once when absent.
    #[serde(skip_serializing_if = "GoInt::is_zero")]
    pub step_weight_promotion: GoInt,

    /// Whether the canary first gets a copy of the traffic.
    #[serde(skip_serializing_if = "is_false")]
    pub mirror: bool,

    /// Share of the traffic that is copied, in percent (Istio).
    #[serde(skip_serializing_if = "GoInt::is_zero")]
    pub mirror_weight: GoInt,

    /// Share of the primary's pods that must be ready, in percent; 100 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_ready_threshold: Option<GoInt>,

    /// Share of the canary's pods that must be ready, in percent; 100 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_ready_threshold: Option<GoInt>,

    /// Which requests an A/B release sends to the canary.
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "opaque::analysis_matches")]
    pub match_: Vec<Value>,

    /// Service level objectives, in the order they are checked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<CanaryMetric>,

    /// Who is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<CanaryAlert>,

    /// Hooks, in the order they are called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<CanaryWebhook>,

    /// Whether a user who met the canary stays there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,
}

/// One service level objective.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name"]))]
pub struct CanaryMetric {
    /// `request-success-rate`, `request-duration`, or a name of the user's.
    pub name: String,

    /// Window of the query, as a duration.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,

    /// The former form of `thresholdRange`: a minimum for a success rate, a maximum for everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,

    /// The range that a reading must be in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_range: Option<ThresholdRange>,

    /// A `PromQL` query of the user's.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,

    /// The template that asks for this metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<CrossNamespaceReference>,

    /// Values for the template, read there as `variables`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub template_variables: BTreeMap<String, String>,
}

/// Bounds of a reading, both included; an absent bound does not bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ThresholdRange {
    /// Least value that passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Greatest value that passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// A MetricTemplate or AlertProvider, which may stand in another namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name"]))]
pub struct CrossNamespaceReference {
    /// Name of the object.
    pub name: String,
    /// Its namespace; absent means the Canary's own.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Who is told of a release, and of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name", "providerRef"]))]
pub struct CanaryAlert {
    /// Name of the alert.
    pub name: String,
    /// Least severity that is told.
    #[serde(
        deserialize_with = "AlertSeverity::optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "opaque::severity")]
    pub severity: Option<AlertSeverity>,
    /// The AlertProvider that tells.
    pub provider_ref: CrossNamespaceReference,
}

/// How grave an alert is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum AlertSeverity {
    /// Everything.
    Info,
    /// Halts and failures.
    Warn,
    /// Failures.
    Error,
    /// A word that is none of the three; `Plan` reports it.
    Unknown(String),
}

impl AlertSeverity {
    /// The word as a Canary spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Unknown(word) => word,
        }
    }

    /// The empty word is no severity, as in Go.
    fn optional<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Self>, D::Error> {
        Ok(go::text(from)?.map(Self::from))
    }
}

impl From<String> for AlertSeverity {
    fn from(word: String) -> Self {
        match word.as_str() {
            "info" => Self::Info,
            "warn" => Self::Warn,
            "error" => Self::Error,
            _ => Self::Unknown(word),
        }
    }
}

impl From<AlertSeverity> for String {
    fn from(severity: AlertSeverity) -> Self {
        severity.as_str().to_owned()
    }
}

/// The cookies that keep a user on the side that was met first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["cookieName"]))]
pub struct SessionAffinity {
    /// Name of the canary's cookie.
    pub cookie_name: String,
    /// Name of the primary's cookie; absent means that the primary sets none.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub primary_cookie_name: Option<String>,
    /// Seconds that a cookie lives; 86400 when absent.
    #[serde(skip_serializing_if = "GoInt::is_zero")]
    #[schemars(extend("x-slipway-default" = 86400))]
    pub max_age: GoInt,
    /// `Domain` of the cookie.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// `HttpOnly` of the cookie.
    #[serde(skip_serializing_if = "is_false")]
    pub http_only: bool,
    /// `Partitioned` of the cookie.
    #[serde(skip_serializing_if = "is_false")]
    pub partitioned: bool,
    /// `Path` of the cookie.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `SameSite` of the cookie: `Strict`, `Lax` or `None`.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::same_site")]
    pub same_site: Option<String>,
    /// `Secure` of the cookie.
    #[serde(skip_serializing_if = "is_false")]
    pub secure: bool,
}
