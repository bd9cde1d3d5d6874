//! Deployments.
//!
//! **Source**: Flagger `pkg/canary/deployment_controller.go`, `deployment_ready.go`; dossier 01 §13.

use std::borrow::Cow;

use serde_json::Value;
use slipway_core::object::{Kind, kinds};
use slipway_core::observation::Workload;
use slipway_core::plan::{CanaryReplicas, Problem};
use slipway_core::revision::{flagger_template_hash, revision};

use super::Resize;
use super::templated::{TEMPLATE, Templated, complaint, condition, number, text};
use crate::metadata::{REVISION, annotation_of};

/// `apps/v1` Deployment.
#[derive(Debug)]
pub(super) struct Deployment;

impl Templated for Deployment {
    fn kind(&self) -> Kind {
        kinds::DEPLOYMENT
    }

    fn observe(&self, object: &Value) -> Workload {
        let template = object.pointer(TEMPLATE).unwrap_or(&Value::Null);
        let status = |field: &str| number(object, &format!("/status/{field}"), 0);
        let generation = number(object, "/metadata/generation", 0);
        let observed_generation = status("observedGeneration");
        let progressing = condition(object, "Progressing");
        Workload {
            revision: revision(template),
            flagger_hash: flagger_template_hash(template),
            given_revision: annotation_of(object, REVISION).map(str::to_owned),
            generation,
            observed_generation,
            replicas: number(object, "/spec/replicas", 1),
            existing: status("replicas"),
            updated: status("updatedReplicas"),
            ready: status("readyReplicas"),
            available: status("availableReplicas"),
            deadline_exceeded: observed_generation >= generation
                && text(progressing, "reason") == "ProgressDeadlineExceeded",
            recreates: text(object.pointer("/spec/strategy"), "type") == "Recreate",
            complaint: complaint(object),
        }
    }

    fn check(&self, _: &Value) -> Option<Problem> {
        None
    }

    fn not_copied(&self) -> &'static [&'static str] {
        &["replicas", "paused", "selector"]
    }

    fn own_template<'a>(&self, template: &'a Value) -> Cow<'a, Value> {
        Cow::Borrowed(template)
    }

    fn initial_replicas(&self, target: &Value) -> Option<i64> {
        Some(replicas(target).max(1))
    }

    fn scale_up(
        &self,
        target: &Value,
        primary: Option<&Value>,
        scaler_least: Option<i64>,
        size: CanaryReplicas,
    ) -> Option<Resize> {
        let now = replicas(target);
        let is_enough = now > 0 && size == CanaryReplicas::Minimum;
        let wanted = size.wanted(scaler_least, primary.map(replicas));
        (!is_enough && now < wanted).then_some(Resize::Replicas(wanted))
    }

    fn scale_down(&self, target: &Value) -> Option<Resize> {
        (replicas(target) != 0).then_some(Resize::Replicas(0))
    }

    /// **Source**: dossier 01 §13.2. **Differs from Flagger**, which copies a zero too (Q20).
    fn resize_primary(
        &self,
        target: &Value,
        primary: &Value,
        scaled: bool,
        size: CanaryReplicas,
    ) -> Option<Resize> {
        let (target, primary) = (replicas(target), replicas(primary));
        let wanted = match size {
            CanaryReplicas::Minimum => target,
            CanaryReplicas::Share(_) => target.max(primary),
        };
        let differs = !scaled && wanted > 0 && wanted != primary;
        differs.then_some(Resize::Replicas(wanted))
    }
}

fn replicas(workload: &Value) -> i64 {
    number(workload, "/spec/replicas", 1)
}
