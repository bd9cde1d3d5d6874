//! `Canary.spec`: what is released and which objects stand around it.

use std::collections::BTreeMap;

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CanaryAnalysis, CanaryService, CanaryStatus};
use crate::go::{self, GoInt, is_false};

/// What a user asks of one release.
///
/// **Source:** Flagger `pkg/apis/flagger/v1beta1/canary.go`, `CanarySpec`.
///
/// **Differs from Flagger:** `canaryAnalysis` is in the schema of both served versions; Flagger's API server prunes it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "flagger.app",
    version = "v1beta1",
    kind = "Canary",
    plural = "canaries",
    namespaced,
    status = "CanaryStatus",
    category = "all",
    derive = "Default",
    derive = "PartialEq",
    doc = "Canary describes one release: a workload, the way of its traffic, and the checks that a new revision must pass.",
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["targetRef"]))]
pub struct CanarySpec {
    /// The traffic router, such as `istio` or `gatewayapi:v1`. Absent means the controller's default.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,

    /// URL of the Prometheus that this release is judged by. Absent means the controller's default.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub metrics_server: Option<String>,

    /// The workload that is released.
    pub target_ref: ObjectReference,

    /// The scaler of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaler_ref: Option<AutoscalerReference>,

    /// The Ingress in front of the apex (nginx, skipper).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_ref: Option<ObjectReference>,

    /// The route in front of the apex (apisix).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_ref: Option<ObjectReference>,

    /// The upstream whose settings are copied (gloo).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_ref: Option<UpstreamReference>,

    /// The Services and the route of the release.
    pub service: CanaryService,

    /// How a new revision is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<CanaryAnalysis>,

    /// The former name of `analysis`, used when that is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_analysis: Option<CanaryAnalysis>,

    /// Seconds that a workload may take to become ready; 600 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<GoInt>,

    /// Promote a new revision without judging it.
    #[serde(skip_serializing_if = "is_false")]
    pub skip_analysis: bool,

    /// Give the workload and its traffic back when the Canary is deleted.
    #[serde(skip_serializing_if = "is_false")]
    pub revert_on_deletion: bool,

    /// Leave the release as it is until this is false again.
    #[serde(skip_serializing_if = "is_false")]
    pub suspend: bool,
}

impl CanarySpec {
    /// The analysis in force: `analysis`, else its former name `canaryAnalysis`.
    pub fn analysis_in_force(&self) -> Option<&CanaryAnalysis> {
        self.analysis.as_ref().or(self.canary_analysis.as_ref())
    }
}

/// An object of the Canary's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["apiVersion", "kind", "name"]))]
pub struct ObjectReference {
    /// Group and version, such as `apps/v1`.
    pub api_version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Name of the object.
    pub name: String,
}

/// The scaler of the target, and how its copy for the primary differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["apiVersion", "kind", "name"]))]
pub struct AutoscalerReference {
    /// Group and version, such as `autoscaling/v2`.
    pub api_version: String,
    /// `HorizontalPodAutoscaler` or `ScaledObject`.
    pub kind: String,
    /// Name of the scaler.
    pub name: String,
    /// KEDA only: the query of the primary's trigger, by the name of the trigger.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub primary_scaler_queries: BTreeMap<String, String>,
    /// The bounds of the primary's scaler where they differ from the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_scaler_replicas: Option<ScalerReplicas>,
}

/// Bounds of a scaler; an absent one is that of the target's scaler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalerReplicas {
    /// Fewest pods, 1 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<GoInt>,
    /// Most pods, 1 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<GoInt>,
}

/// A Gloo Upstream, which may stand in another namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["apiVersion", "kind", "name"]))]
pub struct UpstreamReference {
    /// Group and version.
    pub api_version: String,
    /// `Upstream`.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Its namespace; absent means the Canary's own.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
