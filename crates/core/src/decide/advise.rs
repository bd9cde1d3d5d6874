//! What works but was probably meant otherwise: shown by a condition, told once, and in nobody's way (P10).

use slipway_api::Phase;

use super::draft::Draft;
use crate::conditions;
use crate::weight::Routes;
use crate::words;

/// Shows the warnings of the plan and of what is around it; a condition that says so already is left alone, so that nothing is told twice.
pub(super) fn advise(draft: &mut Draft<'_>) {
    let case = draft.case;
    let all = case.plan.warnings.iter().chain(&case.seen.warnings);
    let warnings = all.map(ToString::to_string);
    let message = warnings.collect::<Vec<_>>().join("; ");
    say(draft, conditions::NOT_HEEDED, message);
    say_route(draft);
}

/// Shows that a weight without a mesh is out of reach: one pod of the canary would already be more than it allows. Its step is not judged.
pub(super) fn note_unreached(draft: &mut Draft<'_>, routes: Option<Routes>) {
    if !draft.case.plan.weighs_by_pods() {
        return;
    }
    let analyses = matches!(
        draft.status.phase,
        Phase::Progressing | Phase::WaitingPromotion
    );
    let asked = routes.map(|routes| routes.canary).filter(|_| analyses);
    let missed = asked.filter(|asked| !asked.is_zero() && draft.case.reached(*asked).is_zero());
    let message = missed
        .zip(draft.case.seen.pods)
        .map(|(asked, pods)| words::weight_not_reached(draft.case.plan, asked, pods));
    say(draft, conditions::NOT_REACHED, message.unwrap_or_default());
}

fn say(draft: &mut Draft<'_>, type_: &str, message: String) {
    let now = draft.case.now;
    let is_news = conditions::say(&mut draft.status, type_, &message, now);
    if is_news && !message.is_empty() {
        draft.tell(words::warning(message));
    }
}

/// Says by which kind of object traffic is routed, where that is not the kind that the provider usually has.
fn say_route(draft: &mut Draft<'_>) {
    let (case, now) = (draft.case, draft.case.now);
    let instead = case.seen.route.instead.as_ref();
    let note = instead.map(|instead| words::routed_by(case.plan, &instead.by, &instead.missing));
    let message = note.as_ref().map_or("", |note| note.text.as_str());
    let is_news = conditions::say(&mut draft.status, conditions::ROUTED_BY, message, now);
    if is_news {
        draft.tell_all(note);
    }
}
