//! The custom resources, annotation keys and well-known names of Slipway.
//!
//! ```text
//!  Canary ──► targetRef       the workload that a user deploys
//!    │   ├──► service         the three Services around it and the route in front
//!    │   ├──► analysis        pace, steps, checks ──► MetricTemplate
//!    │   │                                      └──► AlertProvider
//!    └──► status              the only memory of a release
//! ```
//!
//! Group, kinds, field names and stored forms are those of Flagger 1.44, so that an object that works there works here and goes back.
//! The invariant of this crate: **an object that Flagger's CRD accepts decodes, and no field of it is lost on the way back.**
//! What no schema can say (a fraction where a count belongs, an unknown provider) decodes too and is left for `slipway-core`'s `Plan` to report.
//!
//! A Go zero value and an absent field are one thing in Flagger's types; they are one thing here as well.

mod alert_provider;
mod canary;
pub mod crd;
pub mod go;
mod metric_template;
pub mod names;
mod opaque;
pub mod time;

pub use alert_provider::{AlertProvider, AlertProviderSpec, SecretReference};
pub use canary::*;
pub use crd::{crds, crds_yaml};
pub use go::GoInt;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
pub use metric_template::{MetricProviderSpec, MetricTemplate, MetricTemplateSpec};
