//! What a query may ask for by name.

use std::collections::BTreeMap;

use slipway_api::{CanarySpec, ObjectReference};
use slipway_core::plan::{MetricCheck, MetricSource, Plan, TargetKind};

/// The window of a query whose check names none.
pub(crate) const DEFAULT_INTERVAL: &str = "1m";

/// The values that the built-in queries and the templates may use.
///
/// **Source**: dossier 02 B.2, C.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    /// The Canary's name.
    pub name: String,
    /// The Canary's namespace.
    pub namespace: String,
    /// The name of the target.
    pub target: String,
    /// The kind of the target: the names of a DaemonSet's pods have another form. Templates do not see it.
    pub target_kind: TargetKind,
    /// The name of the apex.
    pub service: String,
    /// The name of the Ingress, or of the target.
    pub ingress: String,
    /// The name of the route, or of the target; for Knative the revision that was created last.
    pub route: String,
    /// The window of the query, as it was written; empty where the check names none.
    pub interval: String,
    /// What a template reads as `variables`.
    pub variables: BTreeMap<String, String>,
}

impl Variables {
    /// The values for one check of a Canary.
    ///
    /// **Shape**: `route` is right for every provider but Knative: there the shell sets it to the Knative Service's
    /// `status.latestCreatedRevisionName`.
    pub fn new(plan: &Plan, spec: &CanarySpec, check: &MetricCheck) -> Self {
        let target = &plan.target.name;
        let or_target = |reference: &Option<ObjectReference>| {
            let name = reference
                .as_ref()
                .map(|reference| &reference.name)
                .filter(|name| !name.is_empty());
            name.unwrap_or(target).clone()
        };
        let variables = match &check.source {
            MetricSource::Template { variables, .. } => variables.clone(),
            MetricSource::SuccessRate | MetricSource::RequestDuration | MetricSource::Query(_) => {
                BTreeMap::new()
            }
        };
        Self {
            name: plan.canary.name.clone(),
            namespace: plan.canary.namespace.clone(),
            target: target.clone(),
            target_kind: plan.target.kind,
            service: plan.names.apex.clone(),
            ingress: or_target(&spec.ingress_ref),
            route: or_target(&spec.route_ref),
            interval: check.interval.clone(),
            variables,
        }
    }
}

/// The values of most tests.
#[cfg(test)]
pub(crate) fn podinfo() -> Variables {
    let name = || "podinfo".to_owned();
    Variables {
        name: name(),
        namespace: "test".to_owned(),
        target: name(),
        target_kind: TargetKind::Deployment,
        service: name(),
        ingress: name(),
        route: name(),
        interval: "1m".to_owned(),
        variables: BTreeMap::new(),
    }
}
