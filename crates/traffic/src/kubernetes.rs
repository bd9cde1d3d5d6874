//! `kubernetes`: no mesh, so no routing objects. The apex Service selects one side with all of its pods.
//!
//! The selector is a matter of the Services and is not written here. That leaves all or nothing: no share, no copy.

use slipway_api::Canary;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Kind, Objects, Write};
use slipway_core::plan::{Plan, Problem};
use slipway_core::weight::{Routes, Weight};

use crate::{Router, problem};

/// **Source**: dossier 02 A.5.
pub(crate) struct Kubernetes;

const NAME: &str = "a plain Service";

impl Router for Kubernetes {
    fn kinds(&self, _: &Plan) -> Vec<Kind> {
        Vec::new()
    }

    fn check(&self, plan: &Plan, canary: &Canary) -> Vec<Problem> {
        let mut problems = Vec::new();
        if problem::is_ab_testing(plan) {
            problems.push(problem::no_match(canary, NAME));
        }
        if problem::is_mirroring(plan) {
            problems.push(problem::no_mirror(NAME));
        }
        problems
    }

    fn needs(&self, _: &Blueprint<'_>, _: &Objects) -> Vec<Key> {
        Vec::new()
    }

    fn render(
        &self,
        blueprint: &Blueprint<'_>,
        _: &Objects,
        want: Routes,
    ) -> Result<Vec<Write>, Problem> {
        if want.mirrored {
            return Err(problem::no_mirror(NAME));
        }
        if !want.canary.is_zero() && problem::is_ab_testing(blueprint.plan) {
            return Err(problem::no_match(blueprint.canary, NAME));
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

    fn read(&self, _: &Blueprint<'_>, _: &Objects) -> Result<Option<Routes>, Problem> {
        Ok(None)
    }

    fn restore(&self, _: &Blueprint<'_>, _: &Objects) -> Result<Vec<Write>, Problem> {
        Ok(Vec::new())
    }
}
