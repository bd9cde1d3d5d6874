//! `kubernetes`: no mesh, so no routing objects. The apex Service selects one side with all of its pods, or those of both that carry our label.
//!
//! The selector is a matter of the Services and is not written here. That leaves all or nothing, no copy, and a share only where annotations have
//! weight made by [`pods`].

use slipway_api::Canary;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Kind, Objects, Write, kinds};
use slipway_core::plan::{Plan, Problem, TargetKind};
use slipway_core::pods::PodCounts;
use slipway_core::weight::{Routes, Weight};

use crate::{Router, pods, problem};

/// **Source**: dossier 02 A.5.
pub(crate) struct Kubernetes;

const NAME: &str = "a plain Service";

impl Router for Kubernetes {
    fn kinds(&self, plan: &Plan) -> Vec<Kind> {
        let kind = self.needs_pods(plan).then_some(kinds::POD);
        kind.into_iter().collect()
    }

    fn check(&self, plan: &Plan, canary: &Canary) -> Vec<Problem> {
        let mut problems = Vec::new();
        if problem::is_ab_testing(plan) {
            problems.push(problem::no_match(canary, NAME));
        }
        if problem::is_mirroring(plan) {
            problems.push(problem::no_mirror(NAME));
        }
        if self.needs_pods(plan) {
            problems.extend(problem::no_affinity(canary, NAME));
            problems.extend(no_pods(plan));
        }
        problems
    }

    fn needs(&self, blueprint: &Blueprint<'_>, _: &Objects) -> Vec<Key> {
        let apex = || pods::apex(blueprint.plan);
        let apex = self.needs_pods(blueprint.plan).then(apex);
        apex.into_iter().collect()
    }

    fn needs_pods(&self, plan: &Plan) -> bool {
        plan.weighs_by_pods()
    }

    fn pods(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Option<PodCounts> {
        self.needs_pods(blueprint.plan)
            .then(|| pods::counts(blueprint, seen))
    }

    fn render(
        &self,
        blueprint: &Blueprint<'_>,
        seen: &Objects,
        want: Routes,
    ) -> Result<Vec<Write>, Problem> {
        if want.mirrored {
            return Err(problem::no_mirror(NAME));
        }
        if !want.canary.is_zero() && problem::is_ab_testing(blueprint.plan) {
            return Err(problem::no_match(blueprint.canary, NAME));
        }
        if self.needs_pods(blueprint.plan) {
            let affinity = problem::no_affinity(blueprint.canary, NAME);
            if let Some(problem) = affinity.or_else(|| no_pods(blueprint.plan))
                && !want.canary.is_zero()
            {
                return Err(problem);
            }
            return Ok(pods::render(blueprint, seen, want.canary));
        }
        if want.canary.is_zero() || want.canary == Weight::FULL {
            return Ok(Vec::new());
        }
        let allowed = format!(
            "must be a mesh or an ingress to give the canary {} %: {NAME} cannot split traffic",
            want.canary
        );
        Err(Problem::new("spec.provider", "kubernetes", allowed))
    }

    fn read(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Option<Routes>, Problem> {
        if !self.needs_pods(blueprint.plan) {
            return Ok(None);
        }
        Ok(pods::read(blueprint, seen).map(Routes::to_canary))
    }

    /// The apex is given back with the Services; its labels are taken off the pods of the user.
    fn restore(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Vec<Write>, Problem> {
        if !self.needs_pods(blueprint.plan) {
            return Ok(Vec::new());
        }
        Ok(pods::render(blueprint, seen, Weight::ZERO))
    }
}

/// A target that has no pods of its own, which no weight can be made of.
fn no_pods(plan: &Plan) -> Option<Problem> {
    match plan.target.kind {
        TargetKind::Deployment | TargetKind::DaemonSet => None,
        TargetKind::Service | TargetKind::Knative => {
            let allowed = "must be Deployment or DaemonSet for weights without a mesh, which are made by pods";
            let kind = plan.target.kind.as_str();
            Some(Problem::new("spec.targetRef.kind", kind, allowed))
        }
    }
}
