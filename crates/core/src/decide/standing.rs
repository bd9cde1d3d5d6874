//! A step counts once those who carry traffic have taken its route over (FC-026).
//!
//! Writing a route is asking for it. Gateways and meshes that say whether they have accepted it are waited for: before a step is judged, before
//! the side that lost its traffic is scaled down, before the primary is emptied. A refusal is shown by a condition; it holds the step as well, and
//! keeps nobody from going back.

use slipway_api::Side;

use super::draft::Draft;
use crate::decision::Decision;
use crate::observation::Standing;

/// What every wait for a parent of a route has in it.
const ACCEPTED: &str = " to be accepted by ";

/// Whether the route is awaited, after the time it was given; what is awaited is named. From the moment it stands, time counts anew: `Some(true)`
/// says that it stands since now.
fn awaited(draft: &mut Draft<'_>) -> Wait {
    let case = draft.case;
    let waited = draft
        .waiting()
        .is_some_and(|waiting| waiting.for_.contains(ACCEPTED));
    match &case.seen.standing {
        Standing::Accepted if waited => {
            draft.stop_waiting();
            Wait::Over
        }
        Standing::Accepted => Wait::None,
        Standing::Pending(what) => {
            draft.wait_for(what.clone());
            Wait::Pending
        }
        Standing::Refused(problem) => {
            let route = problem.object.as_deref().unwrap_or("the route");
            draft.wait_for(format!("{route}{ACCEPTED}its parents"));
            Wait::Refused
        }
    }
}

/// How it is with the wait for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// There was none.
    None,
    /// It ends with this look.
    Over,
    /// Somebody has not answered.
    Pending,
    /// Somebody has said no.
    Refused,
}

/// Holds a step that is due to be judged while its route does not stand; one that has come to stand late counts from now.
pub(super) fn hold(draft: &mut Draft<'_>) -> Option<Decision> {
    match awaited(draft) {
        Wait::None => None,
        Wait::Over if !meets_users(draft) => None,
        Wait::Over => {
            let (now, interval) = (draft.case.now, draft.case.plan.interval);
            draft.release().step_at = Some(now);
            draft.wake_at(now + interval);
            Some(Draft::replace(draft).decide())
        }
        Wait::Pending | Wait::Refused => Some(Draft::replace(draft).decide()),
    }
}

/// Whether traffic that was asked away at `traffic_left_at`, one settle time ago, is known to be away. Where that took longer, it settles from now.
pub(super) fn is_away(draft: &mut Draft<'_>) -> bool {
    if matches!(draft.case.seen.standing, Standing::Refused(_)) {
        return true;
    }
    match awaited(draft) {
        Wait::None | Wait::Refused => true,
        Wait::Pending => false,
        Wait::Over => {
            let (now, settle) = (draft.case.now, draft.case.plan.settle);
            draft.slipway().traffic_left_at = Some(now);
            draft.wake_at(now + settle);
            false
        }
    }
}

/// Whether the route that an initialisation or an emptied primary waits for stands.
pub(super) fn stands(draft: &mut Draft<'_>) -> bool {
    matches!(awaited(draft), Wait::None | Wait::Over)
}

/// Whether the canary meets requests at this step.
fn meets_users(draft: &Draft<'_>) -> bool {
    let routes = draft.asked_routes().unwrap_or_default();
    (!routes.canary.is_zero() || routes.mirrored) && draft.case.is_alive(Side::Canary)
}
