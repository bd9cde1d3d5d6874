//! Codecs of targets, Services, tracked configs and scalers; no I/O.
//!
//! ```text
//!  target ──► observe ──────────────────────────► Workload        (what the core judges)
//!    │   └──► config_references ──► track ──────► TrackedConfig ─┐
//!    │                                                           ▼
//!    └──► record ──► copies of the configs ──► primary ──► primary's scaler      (a promotion, in this order)
//!
//!  apex, primary, canary ──► services ──► restore_apex            (the Services around both workloads)
//! ```
//!
//! The invariant of this crate: **what the primary runs is the target's template, byte for byte, but for the names that tell the two
//! apart.** A template travels as [`serde_json::Value`], so that fields newer than this build survive, and `replicas` of a workload stands
//! in no apply: how many pods there are is the business of whoever scales.
//!
//! A kind of target or scaler is one file, one line in [`target()`] or [`scaler()`], and one folder of golden cases.

pub mod adopt;
pub mod configs;
mod json;
mod metadata;
pub mod opt_in;
pub mod pods;
pub mod record;
mod scaler;
mod services;
mod target;
mod template;

use slipway_core::plan::TargetKind;

pub use configs::{ConfigKind, ConfigReference, TrackedConfig};
pub use metadata::{ORIGINAL, REVISION};
pub use scaler::{Scaler, scaler};
pub use services::{needs as service_keys, restore_apex, services};
pub use target::{Resize, Target, target, workload};

/// A kind that is known, but that this build has no codec for: nothing of it is touched (A12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// Of a target.
    #[error("targets of kind {} have no codec in this build, it must be Deployment, DaemonSet or Service", of_target(*.0))]
    Target(TargetKind),
}

const fn of_target(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Deployment | TargetKind::DaemonSet | TargetKind::Service => kind.as_str(),
        TargetKind::Knative => "Service of serving.knative.dev",
    }
}
