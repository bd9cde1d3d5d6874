//! From one kind of routing object to another, at rest: both lead the same way until the new one stands, and only then the old one goes.

use super::draft::Draft;
use super::standing;
use crate::decision::Effect;
use crate::words;

/// Takes the former routing object away once the new one stands; whether nothing is left to be done.
///
/// The new one is asked for with every decision. A release that runs never comes here: it keeps the kind that it began with.
pub(super) fn migrate(draft: &mut Draft<'_>) -> bool {
    let case = draft.case;
    if !case.seen.route.leaves {
        return true;
    }
    let routes = draft.safe_routes().unwrap_or_default();
    draft.route_before(routes);
    if !standing::stands(draft) {
        return false;
    }
    draft.before(Effect::RetireRoute);
    let (from, to) = (case.slipway().route, case.seen.route.name.clone());
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    draft.tell(words::route_changed(case.plan, &from, &to));
    draft.slipway().route = (!to.is_empty()).then_some(to);
    true
}
