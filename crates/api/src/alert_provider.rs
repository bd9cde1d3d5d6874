//! The `AlertProvider`: where people are told.

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{go, opaque};

/// Where people are told.
///
/// **Source:** Flagger `pkg/apis/flagger/v1beta1/alert.go`.
///
/// **Differs from Flagger:** `address` and `secretRef` may stand together, as Flagger's documentation has them; the Secret's address wins, as in its code.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "flagger.app",
    version = "v1beta1",
    kind = "AlertProvider",
    plural = "alertproviders",
    namespaced,
    category = "all",
    derive = "Default",
    derive = "PartialEq",
    doc = "AlertProvider is a chat or a receiver that is told of releases.",
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["type"]))]
pub struct AlertProviderSpec {
    /// The kind of chat, such as `slack`.
    #[serde(rename = "type")]
    #[schemars(schema_with = "opaque::alert_provider")]
    pub type_: String,
    /// Channel; `general` when absent.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// User that the message seems to come from; `flagger` when absent.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// URL of the receiver.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// URL of the proxy on the way.
    #[serde(deserialize_with = "go::text", skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// The Secret with `address` and perhaps `token`, in the provider's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name"]))]
pub struct SecretReference {
    /// Name of the Secret.
    pub name: String,
}
