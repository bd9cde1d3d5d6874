//! The next move of a release whose checks have passed.

use slipway_api::CanaryStatus;

use crate::plan::{Plan, Strategy};
use crate::weight::{Routes, Weight};

/// What comes next when a tick has passed its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Mirror live traffic to the canary for one interval.
    Mirror,
    /// Give the canary this weight.
    Weigh(Weight),
    /// Count one more iteration; the number of the one that begins.
    Iterate(i64),
    /// Blue/green: give the canary all traffic for one interval (with a mesh), before it is promoted.
    CutOver,
    /// A release by weight that is judged by evidence: give the canary all traffic while the primary stands as it is, before it is promoted.
    Soak,
    /// The canary has passed: promote it.
    Promote,
}

impl Move {
    /// Whether the promotion gates stand before it.
    pub fn is_gated(self) -> bool {
        matches!(self, Self::CutOver | Self::Soak | Self::Promote)
    }
}

/// The next move, computed from the status alone (P6): whatever a route says, and however often this is asked.
///
/// A spec that was edited during the release (fewer steps, fewer iterations) still ends: what has been passed counts as passed (FC-037).
pub fn next_move(plan: &Plan, status: &CanaryStatus) -> Move {
    let mirrored = release_is_mirrored(status);
    match &plan.strategy {
        Strategy::Canary { steps, mirror } => {
            if *mirror && status.canary_weight == 0 && !mirrored {
                return Move::Mirror;
            }
            let next = steps
                .iter()
                .find(|step| step.percent() > status.canary_weight);
            match next {
                Some(step) => Move::Weigh(*step),
                None if plan.judge.soaks() && status.canary_weight < 100 => Move::Soak,
                None => Move::Promote,
            }
        }
        Strategy::BlueGreen { iterations, .. } if status.iterations < *iterations => {
            Move::Iterate(status.iterations + 1)
        }
        Strategy::BlueGreen { iterations, .. } if !is_cut_over(plan, status, *iterations) => {
            Move::CutOver
        }
        Strategy::AbTesting { iterations } if status.iterations < *iterations => {
            Move::Iterate(status.iterations + 1)
        }
        Strategy::BlueGreen { .. } | Strategy::AbTesting { .. } => Move::Promote,
    }
}

/// The routes that a running release asks for, from its status.
pub fn asked_routes(plan: &Plan, status: &CanaryStatus) -> Routes {
    if !plan.splits() {
        // Nothing can be split there, also when the provider was changed while something was.
        return Routes::PRIMARY;
    }
    let mirrored = release_is_mirrored(status);
    match &plan.strategy {
        Strategy::AbTesting { .. } if status.iterations > 0 => Routes::to_canary(Weight::FULL),
        Strategy::AbTesting { .. } => Routes::PRIMARY,
        Strategy::Canary { .. } | Strategy::BlueGreen { .. } => Routes {
            canary: Weight::clamped(status.canary_weight),
            mirrored,
            everyone: false,
        },
    }
}

/// The routes with which the canary answers for both sides: in A/B testing a full weight alone would mean those whom the match selects.
pub fn all_to_canary(plan: &Plan) -> Routes {
    Routes {
        everyone: matches!(plan.strategy, Strategy::AbTesting { .. }),
        ..Routes::to_canary(Weight::FULL)
    }
}

/// Whether blue/green has given the canary all traffic: with a mesh its weight says so, and never a count that an edited spec could make true.
fn is_cut_over(plan: &Plan, status: &CanaryStatus, iterations: i64) -> bool {
    if plan.provider.has_mesh() {
        status.canary_weight == 100
    } else {
        status.iterations > iterations
    }
}

fn release_is_mirrored(status: &CanaryStatus) -> bool {
    let release = status
        .slipway
        .as_ref()
        .and_then(|slipway| slipway.release.as_ref());
    release.is_some_and(|release| release.mirrored)
}
