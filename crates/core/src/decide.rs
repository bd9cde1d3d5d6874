//! The one function that owns all judgement.

mod advise;
mod block;
mod check;
mod cookies;
mod draft;
mod evidence;
mod finalise;
mod gate;
mod hooks;
mod initialise;
mod migrate;
mod order;
mod people;
mod progress;
mod promote;
mod record;
mod rest;
mod rollback;
mod standing;
mod start;
mod suspend;
mod takeover;
mod terminate;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_api::{CanaryStatus, Phase};

pub use block::refuse;
use draft::{Case, Draft};
pub(crate) use order::is_at_newest;
pub use takeover::is_foreign;

use crate::decision::{Decision, Effect};
use crate::observation::Observation;
use crate::plan::Plan;

/// What to do about one release now.
///
/// Pure, and the same for the same inputs: being called is not being due. The shell calls it whenever anything changed, and at the time that
/// the last decision named.
pub fn decide(
    plan: &Plan,
    status: &CanaryStatus,
    seen: &Observation,
    now: DateTime<Utc>,
) -> Decision {
    let taken_over = takeover::take_over(plan, status, seen);
    // What was taken over, and what people did, is looked at like any other status from here on.
    let known = taken_over.as_ref().unwrap_or(status);
    let may_act = !seen.deleting && !plan.suspend && !is_foreign(known);
    let heeded = may_act
        .then(|| people::heed(plan, known, seen, now))
        .flatten();
    let (known, notes) = match &heeded {
        Some((heeded, notes)) => (heeded, notes.clone()),
        None => (known, Vec::new()),
    };
    let case = Case {
        plan,
        status: known,
        seen,
        now,
    };
    let mut draft = Draft::new(case, status);
    draft.tell_all(notes);
    route(draft)
}

fn route(mut draft: Draft<'_>) -> Decision {
    let case = draft.case;
    draft.leave_queue();
    if case.seen.configs.unknown {
        // Nothing in the world need change for them to be readable again.
        draft.wake_at(case.now + case.plan.interval.min(TimeDelta::minutes(1)));
    }
    if case.seen.deleting {
        return terminate::terminate(draft);
    }
    if is_foreign(case.status) {
        draft.touch_nothing();
        if !block::block(&mut draft) {
            draft.wait_for("the target and the primary to be read, to take over from Flagger");
        }
        return draft.decide();
    }
    if case.plan.suspend {
        return suspend::suspend(draft);
    }
    if block::block(&mut draft) {
        draft.touch_nothing();
        return draft.decide();
    }
    suspend::resume(&mut draft);
    match (case.plan.orphans, case.seen.has_finalizer) {
        (false, false) => draft.before(Effect::AddFinalizer),
        (true, true) => draft.after(Effect::RemoveFinalizer),
        (false, true) | (true, false) => {}
    }
    advise::advise(&mut draft);
    people::note_tuning(&mut draft);
    hooks::pending(&mut draft);
    by_phase(draft)
}

fn by_phase(mut draft: Draft<'_>) -> Decision {
    match draft.status.phase {
        Phase::Empty | Phase::Initializing => return initialise::initialise(draft),
        Phase::Terminating | Phase::Terminated => return terminate::terminate(draft),
        Phase::Initialized
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Succeeded
        | Phase::Failed => {
            rest::mend_primary(&mut draft);
            draft.see_traffic_off();
            record::pods(&mut draft);
        }
    }
    match draft.status.phase {
        Phase::Empty
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Succeeded
        | Phase::Failed => rest::rest(draft),
        Phase::Waiting => start::waiting(draft),
        Phase::Progressing | Phase::WaitingPromotion => progress::progress(draft),
        Phase::Promoting => promote::promoting(draft),
        Phase::Finalising | Phase::Terminating | Phase::Terminated => finalise::finalise(draft),
    }
}
