//! The `MetricTemplate`: a query that several releases share, and who answers it.

use std::collections::BTreeMap;

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert_provider::SecretReference;
use crate::go::{self, is_false};
use crate::opaque;

/// A query and who answers it.
///
/// **Source:** Flagger `pkg/apis/flagger/v1beta1/metric.go`.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "flagger.app",
    version = "v1beta1",
    kind = "MetricTemplate",
    plural = "metrictemplates",
    namespaced,
    category = "all",
    derive = "Default",
    derive = "PartialEq",
    doc = "MetricTemplate is a query that several releases share, and the provider that answers it.",
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["provider", "query"]))]
pub struct MetricTemplateSpec {
    /// Who answers the query.
    pub provider: MetricProviderSpec,
    /// The query, as a Go template.
    pub query: String,
}

/// Who answers a query, and how to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["type"]))]
pub struct MetricProviderSpec {
    /// The kind of provider, such as `prometheus`.
    #[serde(rename = "type")]
    #[schemars(schema_with = "opaque::metric_provider")]
    pub type_: String,
    /// URL of the provider; some have a default.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Headers that are sent along (prometheus).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Vec<String>>,
    /// The Secret with the credentials, in the template's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
    /// Region (cloudwatch).
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the TLS certificate of the provider goes unchecked.
    #[serde(skip_serializing_if = "is_false")]
    pub insecure_skip_verify: bool,
}
