//! Taking over what Flagger left, in any phase, without starting a release and without moving a weight.
//!
//! **Source**: design.md, "Taking over"; dossier 01 §3.3. In Initialized and Succeeded, target and primary are compared: a difference is a change
//! that nobody has acted on. In every other phase the target counts as the revision that was acted on, so that a failed one is not tried again.

use slipway_api::{
    CanaryStatus, Phase, ReleaseStatus, SLIPWAY_STATUS_VERSION, Side, SlipwayStatus,
};

use crate::observation::{Observation, Workload};
use crate::plan::{Plan, Strategy};
use crate::weight::Weight;

/// The revision that is written where a change happened that nobody has acted on.
pub(super) const UNKNOWN: &str = "unknown";

/// Whether a status was written by another controller and has not been taken over yet: ours names the revision that was acted on, from the end of
/// the initialisation to the end of the Canary.
pub fn is_foreign(status: &CanaryStatus) -> bool {
    let acted = status
        .slipway
        .as_ref()
        .and_then(|slipway| slipway.acted_revision.as_ref());
    let has_none = matches!(
        status.phase,
        Phase::Empty | Phase::Initializing | Phase::Terminating | Phase::Terminated
    );
    acted.is_none() && !has_none
}

/// The status that this controller goes on from, when the stored one is another controller's and enough is known.
pub(super) fn take_over(
    plan: &Plan,
    status: &CanaryStatus,
    seen: &Observation,
) -> Option<CanaryStatus> {
    if !is_foreign(status) {
        return None;
    }
    let revision = seen.revision()?;
    let target = seen.target.as_ref()?;
    let unchanged = is_unchanged(status, target, seen)?;
    let promoted_revision = promoted(status, target, seen, unchanged);
    let acted = if unchanged {
        revision
    } else {
        UNKNOWN.to_owned()
    };
    let left_at = status.last_transition_time;
    let slipway = SlipwayStatus {
        version: SLIPWAY_STATUS_VERSION,
        release: Some(release(status, seen, acted.clone())),
        acted_revision: Some(acted),
        promoted_revision,
        pinned_to: pinned(status, seen),
        traffic_left_at: left_at.filter(|_| status.phase == Phase::Finalising),
        waiting: None,
        ..status.slipway.clone().unwrap_or_default()
    };
    let mut next = CanaryStatus {
        slipway: Some(slipway),
        ..status.clone()
    };
    keep_weights(plan, &mut next, seen);
    Some(next)
}

/// What the primary serves: the target's revision, or what Flagger knows it by, so that a user who takes the target back to it is understood.
fn promoted(
    status: &CanaryStatus,
    target: &Workload,
    seen: &Observation,
    unchanged: bool,
) -> Option<String> {
    let same =
        seen.same_revision == Some(true) || is_hash(status.last_promoted_spec.as_deref(), target);
    let taken_back = status.phase == Phase::Waiting && has_same_configs(status, seen);
    if same && (unchanged || taken_back) {
        return seen.revision();
    }
    match status.phase {
        // The primary has been given another revision since.
        Phase::Promoting | Phase::Finalising => None,
        Phase::Failed if pinned(status, seen).is_some() => None,
        Phase::Empty
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Succeeded
        | Phase::Failed
        | Phase::Terminating
        | Phase::Terminated => status
            .last_promoted_spec
            .as_ref()
            .map(|hash| format!("{FLAGGERS}{hash}")),
    }
}

/// Before a revision that is only known by Flagger's hash.
const FLAGGERS: &str = "flagger:";

/// Whether what the target holds is what was promoted. A revision that is only known by Flagger's hash is not known to have had these configs.
pub(super) fn is_promoted(promoted: Option<&str>, seen: &Observation) -> bool {
    let (Some(promoted), Some(revision)) = (promoted, seen.revision()) else {
        return false;
    };
    let has_configs = seen
        .configs
        .flagger
        .as_ref()
        .is_some_and(|configs| !configs.is_empty());
    let hash = promoted.strip_prefix(FLAGGERS).filter(|_| !has_configs);
    let held = seen
        .target
        .as_ref()
        .and_then(|target| target.flagger_hash.as_deref());
    promoted == revision || hash.is_some() && hash == held
}

fn has_same_configs(status: &CanaryStatus, seen: &Observation) -> bool {
    status.tracked_configs.is_none() || status.tracked_configs == seen.configs.flagger
}

/// Whether the target holds the revision that Flagger acted on last; `None` while that cannot be told.
fn is_unchanged(status: &CanaryStatus, target: &Workload, seen: &Observation) -> Option<bool> {
    let is_applied = is_hash(status.last_applied_spec.as_deref(), target);
    match status.phase {
        Phase::Initialized | Phase::Succeeded => {
            Some((is_applied || seen.same_revision?) && has_same_configs(status, seen))
        }
        // The primary has been given what was judged: another content at the target was not, and must not be promoted (P3).
        Phase::Promoting | Phase::Finalising => Some(is_applied || seen.same_revision?),
        // Flagger notes the revision that waits at its gate only when it starts.
        Phase::Waiting => Some(false),
        Phase::Empty
        | Phase::Initializing
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Failed
        | Phase::Terminating
        | Phase::Terminated => Some(true),
    }
}

fn is_hash(written: Option<&str>, target: &Workload) -> bool {
    written.is_some() && written == target.flagger_hash.as_deref()
}

fn release(status: &CanaryStatus, seen: &Observation, revision: String) -> ReleaseStatus {
    let mirrored = seen.routes.is_some_and(|routes| routes.mirrored);
    let has_traffic = status.canary_weight > 0 || status.iterations > 0 || mirrored;
    ReleaseStatus {
        revision,
        started_at: status.last_transition_time,
        // Flagger writes its status with each step: the next one, or the first, is due an interval later.
        step_at: status.last_transition_time,
        tested: has_traffic,
        mirrored,
        primary_was_ready: true,
        promoting_since: status.last_transition_time,
        ..ReleaseStatus::default()
    }
}

/// A failed promotion of Flagger's leaves all traffic on the canary.
fn pinned(status: &CanaryStatus, seen: &Observation) -> Option<Side> {
    let on_canary = status.canary_weight == 100
        || seen
            .routes
            .is_some_and(|routes| routes.canary == Weight::FULL);
    (status.phase == Phase::Failed && on_canary).then_some(Side::Canary)
}

/// Flagger writes weight 0 and one iteration less while it waits for a promotion (Q12); the route tells what is true.
fn keep_weights(plan: &Plan, next: &mut CanaryStatus, seen: &Observation) {
    let runs = matches!(
        next.phase,
        Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting
    );
    next.iterations = next.iterations.max(0);
    let Some(routes) = seen.routes.filter(|_| runs) else {
        return;
    };
    match &plan.strategy {
        Strategy::Canary { .. } => next.canary_weight = routes.canary.percent(),
        Strategy::AbTesting { .. } if routes.canary == Weight::FULL => {
            next.iterations = next.iterations.max(1);
        }
        Strategy::BlueGreen { iterations, .. } if routes.canary == Weight::FULL => {
            next.iterations = next.iterations.max(iterations + 1);
            next.canary_weight = 100;
        }
        Strategy::AbTesting { .. } | Strategy::BlueGreen { .. } => {}
    }
    if next.phase == Phase::Promoting {
        next.canary_weight = routes.canary.percent();
    }
    let has_traffic = !routes.canary.is_zero();
    if let Some(release) = next
        .slipway
        .as_mut()
        .and_then(|slipway| slipway.release.as_mut())
    {
        release.tested |= has_traffic;
    }
}
