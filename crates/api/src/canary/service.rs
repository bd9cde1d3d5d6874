//! `Canary.spec.service`: the Services of a release and the route in front of them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::go::{self, GoInt, is_false};
use crate::opaque;

/// The Services and the route of a release.
///
/// What only travels on to an object of the mesh is JSON; what we judge is typed.
///
/// **Source:** Flagger `CanaryService`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryService {
    /// Base of the three names; absent means the name of the target.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Port of the Services; 0 means absent.
    #[serde(skip_serializing_if = "GoInt::is_zero")]
    pub port: GoInt,

    /// Name of the port; `http` when absent.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub port_name: Option<String>,

    /// Port of the pods, by number or name; the number of `port` when absent or 0.
    #[serde(
        deserialize_with = "go::int_or_string",
        skip_serializing_if = "Option::is_none"
    )]
    pub target_port: Option<IntOrString>,

    /// Application protocol of the port; `tcp` makes Istio's routes TCP routes.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,

    /// Which endpoints the Services prefer, such as `PreferClose`.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<String>,

    /// Whether the Services get the other ports of the containers too.
    #[serde(skip_serializing_if = "is_false")]
    pub port_discovery: bool,

    /// Whether the Services have no cluster IP.
    #[serde(skip_serializing_if = "is_false")]
    pub headless: bool,

    /// How long the route waits for an answer, as a duration.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,

    /// How long one attempt at a backend may take, as a duration (Gateway API).
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub backend_timeout: Option<String>,

    /// Istio gateways of the route; `mesh` when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,

    /// Gateways that an HTTPRoute attaches to (`ParentReference`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "opaque::gateway_refs")]
    pub gateway_refs: Vec<Value>,

    /// Host names of the route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,

    /// Whether the VirtualService is delegated to: it has neither hosts nor gateways then.
    #[serde(skip_serializing_if = "is_false")]
    pub delegation: bool,

    /// Istio's `TrafficPolicy` of the destination rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::object")]
    pub traffic_policy: Option<Value>,

    /// Which requests the route takes (Istio's `HTTPMatchRequest`).
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "opaque::objects")]
    pub match_: Vec<Value>,

    /// How the route rewrites a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<HttpRewrite>,

    /// How the route tries again (Istio's `HTTPRetry`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::object")]
    pub retries: Option<Value>,

    /// Headers that the route adds, sets and removes (Istio's `Headers`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::object")]
    pub headers: Option<Value>,

    /// Backends that get a copy of each request (Gateway API's `HTTPRequestMirrorFilter`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "opaque::mirrors")]
    pub mirror: Vec<Value>,

    /// Cross-origin policy of the route (Istio's `CorsPolicy`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::object")]
    pub cors_policy: Option<Value>,

    /// Name of the App Mesh mesh.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub mesh_name: Option<String>,

    /// Virtual services that App Mesh lets the workload call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<String>,

    /// Labels and annotations of the apex Service and of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apex: Option<CustomMetadata>,

    /// Labels and annotations of the primary's Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<CustomMetadata>,

    /// Labels and annotations of the canary's Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CustomMetadata>,

    /// Keys of labels and annotations that others set on the Services and that stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmanaged_metadata: Option<UnmanagedMetadata>,
}

/// How a route rewrites a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRewrite {
    /// The path, or its prefix.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The host.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// `ReplacePrefixMatch` or `ReplaceFullPath` (Gateway API); anything but the former is the latter.
    #[serde(
        rename = "type",
        deserialize_with = "go::text",
        skip_serializing_if = "Option::is_none"
    )]
    pub type_: Option<String>,
}

/// Labels and annotations that a generated object carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomMetadata {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Keys of labels and annotations that we leave alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UnmanagedMetadata {
    /// Keys of annotations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<String>,
    /// Keys of labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}
