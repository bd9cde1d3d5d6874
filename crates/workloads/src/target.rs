//! The `Target` seam: a workload that a user deploys, and the primary that is made from it.

mod daemonset;
mod deployment;
pub(crate) mod service;
mod templated;
#[cfg(test)]
mod tests;

use serde_json::Value;
use slipway_api::CanaryService;
use slipway_core::blueprint::{Blueprint, CodecSettings, ExtraPort, PodSelector};
use slipway_core::object::{Kind, Write, kinds};
use slipway_core::observation::Workload;
use slipway_core::plan::{CanaryReplicas, Problem, TargetKind};

use crate::configs::{ConfigReference, TrackedConfig};
use crate::{Unsupported, configs};

/// A kind of workload that can be released.
pub trait Target: Send + Sync {
    /// The kind of the object, of the target and of its primary.
    fn kind(&self) -> Kind;

    /// What is judged about a target or a primary. Called for each event of the watch; an object without a status is one that nothing is
    /// known about yet.
    fn observe(&self, object: &Value) -> Workload;

    /// Whether it cannot tell by itself if anybody answers: then a Service whose endpoints are not known has none.
    fn lives_by_endpoints(&self) -> bool {
        false
    }

    /// What about the target keeps it from being released at all.
    fn check(&self, object: &Value) -> Option<Problem>;

    /// How the pods of the target are told from others.
    ///
    /// # Errors
    /// The target selects by none of the labels of the settings, or the value is too long to have the suffix `-primary`.
    fn selector(&self, object: &Value, settings: &CodecSettings) -> Result<PodSelector, Problem>;

    /// The further ports of the containers, in their order; none unless `service.portDiscovery` is set.
    fn extra_ports(&self, object: &Value, service: &CanaryService) -> Vec<ExtraPort>;

    /// The ConfigMaps and Secrets that the pods use, each once.
    fn config_references(&self, object: &Value) -> Vec<ConfigReference>;

    /// The write that makes the primary hold what the target holds: a creation with as many replicas as the target has, when there is no
    /// primary (`live`), else an apply of everything but `replicas`.
    ///
    /// **Shape**: `copy_id` becomes the annotation `flagger-id` of the pods, which restarts them; a primary that already holds this revision
    /// keeps its id, so that writing twice restarts nothing (FC-090). `tracked` are the configs that the primary has copies of.
    ///
    /// # Errors
    /// The target has no pod template; the primary belongs to another Canary.
    fn primary(
        &self,
        blueprint: &Blueprint<'_>,
        target: &Value,
        live: Option<&Value>,
        tracked: &[TrackedConfig],
        copy_id: &str,
    ) -> Result<Write, Problem>;

    /// Whether the primary runs what the target holds, compared field by field; for taking over from Flagger.
    ///
    /// **Shape**: only the pod template counts, as for a revision. `flagger-id` and the suffix on names of config copies do not matter,
    /// and what the copies hold is not looked at.
    fn same_revision(&self, blueprint: &Blueprint<'_>, target: &Value, primary: &Value) -> bool;

    /// What scales a target up to the size that is asked for. `None`: it is up, and large enough. A target that is up is never made smaller, and
    /// with [`CanaryReplicas::Minimum`] never larger.
    ///
    /// **Shape**: `scaler_least` is the least number that the target's scaler goes to; `None` when it has no scaler, and 1 when the scaler
    /// could not be read.
    fn scale_up(
        &self,
        target: &Value,
        primary: Option<&Value>,
        scaler_least: Option<i64>,
        size: CanaryReplicas,
    ) -> Option<Resize>;

    /// What scales a target to zero. `None`: it is there, or cannot be scaled.
    fn scale_down(&self, target: &Value) -> Option<Resize>;

    /// What a promotion does to the size of the primary. `None`: it keeps the one it has.
    ///
    /// **Shape**: as many replicas as the target has, so that a new number in the user's manifest arrives. A primary with a scaler (`scaled`)
    /// is left to it, and zero is never copied. Where a size was asked for, the number may be that and not the user's: then the primary only
    /// grows.
    fn resize_primary(
        &self,
        target: &Value,
        primary: &Value,
        scaled: bool,
        size: CanaryReplicas,
    ) -> Option<Resize>;

    /// The writes that record what is promoted, so that a lost primary can be made again as it was: the new record, then the end of the old.
    ///
    /// **Shape**: `primary` is the primary as it is, for its number of replicas; `seen` are the records of any Canary in the namespace.
    ///
    /// # Errors
    /// Those of [`Target::primary`].
    fn record(
        &self,
        blueprint: &Blueprint<'_>,
        target: &Value,
        primary: Option<&Value>,
        tracked: &[TrackedConfig],
        seen: &[&Value],
    ) -> Result<Vec<Write>, Problem>;

    /// The write that creates a lost primary from its record.
    ///
    /// # Errors
    /// The record does not hold a workload.
    fn primary_from_record(
        &self,
        blueprint: &Blueprint<'_>,
        record: &Value,
        copy_id: &str,
    ) -> Result<Write, Problem>;

    /// The revision of the target together with its configs: what [`Target::primary`] gives the primary.
    fn revision(&self, target: &Value, tracked: &[TrackedConfig]) -> String {
        slipway_core::revision::with_configs(
            &self.observe(target).revision,
            &configs::digest(tracked),
        )
    }
}

/// How a workload gets another size.
#[derive(Clone, Debug, PartialEq)]
pub enum Resize {
    /// So many replicas, through its `scale` subresource: `replicas` stands in no apply.
    Replicas(i64),
    /// By a write to the object.
    Write(Write),
}

/// The codec of the workloads of a kind of object; none for kinds that are not always a workload.
pub fn workload(kind: Kind) -> Option<&'static dyn Target> {
    match kind {
        kinds::DEPLOYMENT => Some(&deployment::Deployment),
        kinds::DAEMON_SET => Some(&daemonset::DaemonSet),
        _ => None,
    }
}

/// The codec of a kind of target.
///
/// # Errors
/// [`Unsupported`]; no kind falls back to another. **Differs from Flagger**, where whatever is not known is a Deployment.
pub fn target(kind: TargetKind) -> Result<&'static dyn Target, Unsupported> {
    match kind {
        TargetKind::Deployment => Ok(&deployment::Deployment),
        TargetKind::DaemonSet => Ok(&daemonset::DaemonSet),
        TargetKind::Service => Ok(&service::Service),
        TargetKind::Knative => Err(Unsupported::Target(kind)),
    }
}
