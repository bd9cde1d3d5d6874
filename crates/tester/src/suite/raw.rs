//! A suite as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::wire::Protocol;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSuite {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) base: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Value>,
    pub(super) timeout: Option<String>,
    pub(super) deadline: Option<String>,
    pub(super) checks: Vec<RawCheck>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawCheck {
    #[serde(default)]
    pub(super) name: String,
    pub(super) request: Option<RawRequest>,
    pub(super) grpc: Option<RawGrpc>,
    pub(super) load: Option<RawLoad>,
    #[serde(default)]
    pub(super) expect: RawExpect,
    pub(super) retry: Option<RawRetry>,
    #[serde(default)]
    pub(super) save: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRequest {
    #[serde(default)]
    pub(super) url: String,
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Value>,
    pub(super) body: Option<String>,
    pub(super) json: Option<Value>,
    #[serde(default)]
    pub(super) protocol: Protocol,
    #[serde(default)]
    pub(super) insecure: bool,
    pub(super) timeout: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawGrpc {
    #[serde(default)]
    pub(super) url: String,
    #[serde(default)]
    pub(super) service: String,
    #[serde(default)]
    pub(super) insecure: bool,
    pub(super) timeout: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLoad {
    pub(super) request: RawRequest,
    pub(super) rate: f64,
    pub(super) duration: String,
    pub(super) concurrency: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawExpect {
    pub(super) status: Option<Value>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) json: BTreeMap<String, Value>,
    pub(super) body: Option<Value>,
    pub(super) latency: Option<Value>,
    pub(super) success: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRetry {
    #[serde(rename = "for")]
    pub(super) within: String,
    pub(super) every: Option<String>,
}
