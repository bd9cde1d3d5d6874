//! Texts about the kind of routing object.

use slipway_api::Note;

use super::{normal, target};
use crate::plan::Plan;

/// Traffic is routed by another kind of object than the provider usually has.
pub fn routed_by(plan: &Plan, by: &str, missing: &str) -> Note {
    normal(format!(
        "spec.provider is {}, routed by {by}: {missing}",
        plan.provider
    ))
}

/// The routing object of the former kind is taken away.
pub fn route_changed(plan: &Plan, from: &str, to: &str) -> Note {
    normal(format!(
        "{} is routed by {to} from now on, its {from} is taken away",
        target(plan)
    ))
}
