//! The problems that several backends have with a spec.

use slipway_api::Canary;
use slipway_core::plan::{Plan, Problem, Strategy};

/// Whether the plan sends those whom a match selects, and nobody else, to the canary.
pub(crate) fn is_ab_testing(plan: &Plan) -> bool {
    matches!(plan.strategy, Strategy::AbTesting { .. })
}

/// Whether the plan copies requests to the canary.
pub(crate) fn is_mirroring(plan: &Plan) -> bool {
    match plan.strategy {
        Strategy::Canary { mirror, .. } | Strategy::BlueGreen { mirror, .. } => mirror,
        Strategy::AbTesting { .. } => false,
    }
}

/// A/B testing where routes have no match. **Differs from Flagger**, which sends everybody to the canary (F-8).
pub(crate) fn no_match(canary: &Canary, of: &str) -> Problem {
    let matches = canary
        .spec
        .analysis_in_force()
        .map(|analysis| analysis.match_.as_slice());
    let value = serde_json::Value::from(matches.unwrap_or_default());
    let allowed =
        format!("must be absent: {of} cannot tell requests apart, everybody would meet the canary");
    Problem::new("spec.analysis.match", value, allowed)
}

/// Session affinity where routes have no cookies. **Differs from Flagger**, which deals every request of a user out anew without a word.
pub(crate) fn no_affinity(canary: &Canary, of: &str) -> Option<Problem> {
    let affinity = canary.spec.analysis_in_force()?.session_affinity.as_ref()?;
    let allowed = format!(
        "must be absent: {of} cannot tell users apart, they would meet both versions in turn"
    );
    Some(Problem::new(
        "spec.analysis.sessionAffinity",
        &affinity.cookie_name,
        allowed,
    ))
}

/// Mirroring where requests cannot be copied. **Differs from Flagger**, where such a release never advances (F-7, Q10).
pub(crate) fn no_mirror(of: &str) -> Problem {
    let allowed = format!("must be false: {of} cannot copy requests to the canary");
    Problem::new("spec.analysis.mirror", true, allowed)
}
