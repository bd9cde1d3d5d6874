//! Between releases: hold what is, finish what the last release left to do, and notice a new revision.

use slipway_api::Side;

use super::draft::{Draft, due};
use super::initialise::flagger_hash;
use super::start;
use crate::decision::{Decision, Effect};

/// A release at rest, or one that has something left to scale down, or a new one.
pub(super) fn rest(mut draft: Draft<'_>) -> Decision {
    let slipway = draft.case.slipway();
    let pinned = slipway.pinned_to == Some(Side::Canary);
    if let Some(revision) = draft.case.target_revision()
        && slipway.acted_revision.as_deref() != Some(revision.as_str())
    {
        // After a failed promotion the primary is broken: there even the revision that it served before has to be released to it.
        if slipway.promoted_revision.as_deref() != Some(revision.as_str()) || pinned {
            return start::gated(draft, revision);
        }
        // The user took a failed revision back: what is at the target is what the primary serves.
        draft.status.last_applied_spec = flagger_hash(&draft, &revision);
        draft
            .status
            .tracked_configs
            .clone_from(&draft.case.seen.configs.flagger);
        draft.slipway().acted_revision = Some(revision);
    }
    if !pinned {
        scale_down(&mut draft);
    }
    draft.decide()
}

/// Scales the target down one settle time after its traffic left it, and only while the primary can answer (P4, FC-010).
fn scale_down(draft: &mut Draft<'_>) {
    let Some(left_at) = draft.case.slipway().traffic_left_at else {
        return;
    };
    let (now, settled) = (
        draft.case.now,
        due(Some(left_at), draft.case.plan.settle, draft.case.now),
    );
    if now < settled {
        draft.wake_at(settled);
        return;
    }
    if !draft.case.is_alive(Side::Primary) {
        draft.wait_for(format!(
            "{} to have a ready pod before the canary is scaled down",
            draft.case.plan.names.primary
        ));
        return;
    }
    if let Some(routes) = draft.safe_routes() {
        draft.before(Effect::Route(routes));
    }
    draft.before(Effect::PauseScaler);
    draft.before(Effect::ScaleDownTarget);
    draft.stop_waiting();
    draft.slipway().traffic_left_at = None;
}

/// Makes a lost primary again from the record of what was promoted last, never from an unjudged target (FC-056).
pub(super) fn mend_primary(draft: &mut Draft<'_>) {
    if draft.case.seen.primary.is_some() {
        return;
    }
    let slipway = draft.case.slipway();
    let revision = draft.case.target_revision();
    if draft.case.seen.recorded_revision.is_some() {
        draft.after(Effect::RestorePrimary);
    } else if let Some(revision) =
        revision.filter(|revision| slipway.promoted_revision.as_ref() == Some(revision))
    {
        draft.after(Effect::CreatePrimary { revision });
    }
}
