//! Between releases: hold what is, finish what the last release left to do, and notice a new revision.

use slipway_api::Side;

use super::draft::Draft;
use super::initialise::flagger_hash;
use super::migrate;
use super::standing;
use super::start;
use crate::decision::{Decision, Effect};
use crate::weight::Routes;

/// A release at rest, or one that has something left to scale down, or a new one.
pub(super) fn rest(mut draft: Draft<'_>) -> Decision {
    if !migrate::migrate(&mut draft) {
        return draft.decide();
    }
    let slipway = draft.case.slipway();
    if let Some(revision) = draft.case.target_revision()
        && slipway.acted_revision.as_deref() != Some(revision.as_str())
    {
        if !draft.case.holds_promoted_revision() {
            return start::gated(draft, revision);
        }
        // The user took a failed revision back: what is at the target is what the primary serves.
        draft.status.last_applied_spec = flagger_hash(&draft, &revision);
        draft
            .status
            .tracked_configs
            .clone_from(&draft.case.seen.configs.flagger);
        let slipway = draft.slipway();
        slipway.acted_revision = Some(revision.clone());
        slipway.promoted_revision = Some(revision);
    }
    if slipway.pending_revision.is_some() || slipway.wish.is_some() {
        let slipway = draft.slipway();
        (slipway.pending_revision, slipway.wish) = (None, None);
        slipway.pending_since = None;
    }
    let left = slipway.traffic_left_at.is_some() && slipway.pinned_to != Some(Side::Canary);
    if left && !draft.case.is_alive(Side::Primary) {
        draft.wait_for(format!(
            "{} to have a ready pod before the canary is scaled down",
            draft.case.plan.names.primary
        ));
        return draft.decide();
    }
    if left && draft.is_settled() {
        if !standing::is_away(&mut draft) {
            return draft.decide();
        }
        scale_down(&mut draft);
    }
    draft.stop_waiting();
    draft.decide()
}

/// Scales the target down: its traffic left it one settle time ago, and the primary can answer (P4, FC-010).
fn scale_down(draft: &mut Draft<'_>) {
    draft.route_before(Routes::PRIMARY);
    draft.before(Effect::PauseScaler);
    draft.before(Effect::ScaleDownTarget);
    draft.release_primary();
    draft.slipway().traffic_left_at = None;
}

/// Makes a lost primary again from the record of what was promoted last, never from an unjudged target (FC-056).
pub(super) fn mend_primary(draft: &mut Draft<'_>) {
    if draft.case.seen.primary.is_some() {
        return;
    }
    let revision = draft.case.target_revision();
    if draft.case.seen.recorded_revision.is_some() {
        draft.after(Effect::RestorePrimary);
    } else if let Some(revision) = revision.filter(|_| draft.case.holds_promoted_revision()) {
        draft.after(Effect::CreatePrimary { revision });
    }
}
