//! The `Canary`: one release, as its user describes it and as we remember it.

mod analysis;
mod evidence;
mod service;
mod slipway_status;
mod spec;
mod status;
mod webhook;

pub use analysis::{
    AlertSeverity, CanaryAlert, CanaryAnalysis, CanaryMetric, CrossNamespaceReference,
    SessionAffinity, ThresholdRange,
};
pub use evidence::*;
pub use service::{CanaryService, CustomMetadata, HttpRewrite, UnmanagedMetadata};
pub use slipway_status::*;
pub use spec::{
    AutoscalerReference, Canary, CanarySpec, ObjectReference, ScalerReplicas, UpstreamReference,
};
pub use status::{CanaryCondition, CanaryStatus, ConditionStatus, Phase, UnknownPhase};
pub use webhook::{CanaryWebhook, HookType};
