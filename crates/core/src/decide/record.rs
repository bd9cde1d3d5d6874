//! The record of a release: what its hooks answered, why its pods did not run, and what each tick measured. It is bounded, and rides on a status that
//! is written anyway, but for a new reason of pods: that one is worth a write, since it is gone once the pods are (FC-105).

use std::borrow::Cow;
use std::collections::BTreeMap;

use slipway_api::{
    HookAnswer, Phase, PodReason, RECORDED_HOOKS, RECORDED_REASONS, RECORDED_TEXT, ReleaseStatus,
    Side,
};

use super::draft::Draft;
use crate::decision::{Round, Subject};
use crate::observation::{Answer, Answered, Observation, Verdict, Workload};
use crate::plan::HookKind;
use crate::words;

/// A workload with what its pods say in place of what its conditions do: they know better.
pub(super) fn with_complaint<'a>(
    workload: &'a Workload,
    seen: &Observation,
    side: Side,
) -> Cow<'a, Workload> {
    let given = seen.pod_reasons.iter().filter(|given| given.side == side);
    let told: Vec<String> = given.take(2).map(words::pod_reason).collect();
    if told.is_empty() || !has_pods(workload) {
        return Cow::Borrowed(workload);
    }
    Cow::Owned(Workload {
        complaint: told.join("; "),
        ..workload.clone()
    })
}

/// Whether its newest revision has pods: as long as it has none, the pods that are seen are of the one before.
fn has_pods(workload: &Workload) -> bool {
    workload.updated > 0 && workload.generation <= workload.observed_generation
}

/// Records and tells the reasons that pods give, each once in a release, before anything is scaled down.
pub(super) fn pods(draft: &mut Draft<'_>) {
    let case = draft.case;
    let Some(release) = case.release() else {
        return;
    };
    let seen = case.seen.pod_reasons.iter();
    let sides = sides(draft);
    let speaks = |side: Side| {
        let workload = match side {
            Side::Primary => &case.seen.primary,
            Side::Canary => &case.seen.target,
        };
        sides.contains(&side) && workload.as_ref().is_some_and(has_pods)
    };
    let news = seen.filter(|given| speaks(given.side) && !is_known(release, given));
    let mut news: Vec<PodReason> = news.cloned().collect();
    news.truncate(RECORDED_REASONS.saturating_sub(release.pods.len()));
    for given in news {
        if is_known(draft.release(), &given) {
            continue;
        }
        draft.tell(words::pods_fail(case.plan, &given));
        let at = Some(case.now);
        draft.release().pods.push(PodReason { at, ..given });
    }
}

/// Whose pods tell something of the release: those that hold its revision and are not scaled down yet.
fn sides(draft: &Draft<'_>) -> &'static [Side] {
    let slipway = draft.case.status.slipway.as_ref();
    let rescued = slipway.is_some_and(|slipway| slipway.pinned_to == Some(Side::Canary));
    let stands = slipway.is_some_and(|slipway| slipway.traffic_left_at.is_some());
    match draft.case.status.phase {
        Phase::Progressing | Phase::WaitingPromotion => &[Side::Canary],
        Phase::Promoting | Phase::Finalising => &[Side::Primary, Side::Canary],
        Phase::Failed if rescued => &[Side::Primary, Side::Canary],
        Phase::Failed if stands && draft.case.holds_released_revision() => &[Side::Canary],
        Phase::Empty
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Waiting
        | Phase::Succeeded
        | Phase::Failed
        | Phase::Terminating
        | Phase::Terminated => &[],
    }
}

fn is_known(release: &ReleaseStatus, given: &PodReason) -> bool {
    let mut known = release.pods.iter();
    known.any(|known| {
        (known.side, &known.reason, &known.container, known.exit_code)
            == (given.side, &given.reason, &given.container, given.exit_code)
    })
}

/// Records what the hooks that stand outside of ticks have answered.
pub(super) fn hooks(draft: &mut Draft<'_>) {
    let Some(release) = draft
        .status
        .slipway
        .as_ref()
        .and_then(|it| it.release.clone())
    else {
        return;
    };
    let answers = draft.case.seen.answers.iter();
    let mut known = release.hooks.clone();
    for given in answers.filter_map(|answered| outside_of_ticks(&release, answered)) {
        let same = |it: &HookAnswer| it.name == given.name && it.type_ == given.type_;
        let has_room = known.len() < RECORDED_HOOKS;
        match known.iter_mut().find(|it| same(it)) {
            Some(old) if old.at < given.at => *old = given,
            None if has_room => known.push(given),
            Some(_) | None => {}
        }
    }
    if known != release.hooks {
        draft.release().hooks = known;
    }
}

fn outside_of_ticks(release: &ReleaseStatus, answered: &Answered) -> Option<HookAnswer> {
    let Subject::Hook { name, kind, .. } = &answered.question.subject else {
        return None;
    };
    let Answer::Hook(verdict) = &answered.answer else {
        return None;
    };
    let round = &answered.question.round;
    let is_of_release = match kind {
        HookKind::Rollout | HookKind::Event => false,
        HookKind::PostRollout => round.epoch >= release.started_at,
        // It is asked before the release has begun.
        HookKind::ConfirmRollout => round.revision == release.revision,
        HookKind::PreRollout
        | HookKind::ConfirmTrafficIncrease
        | HookKind::ConfirmPromotion
        | HookKind::Rollback => {
            round.revision == release.revision && round.epoch == release.started_at
        }
    };
    is_of_release.then(|| HookAnswer {
        name: name.clone(),
        type_: kind.as_str().to_owned(),
        at: Some(answered.at),
        passed: *verdict == Verdict::Passed,
        text: match verdict {
            Verdict::Passed => String::new(),
            Verdict::Refused(why) => words::bounded(why, RECORDED_TEXT),
        },
    })
}

/// What the hooks of one tick answered, by their names.
pub(super) fn hooks_of_tick(draft: &Draft<'_>, tick: &Round) -> BTreeMap<String, String> {
    let answers = draft.case.seen.answers.iter();
    let of_tick = answers.filter(|answered| answered.question.round == *tick);
    let told = of_tick.filter_map(|answered| {
        let Subject::Hook { name, .. } = &answered.question.subject else {
            return None;
        };
        let said = match &answered.answer {
            Answer::Hook(Verdict::Passed) => "passed".to_owned(),
            Answer::Hook(Verdict::Refused(why)) => {
                words::bounded(&format!("refused: {why}"), RECORDED_TEXT)
            }
            Answer::Metric(_) | Answer::Counters(_) => return None,
        };
        Some((name.clone(), said))
    });
    told.take(RECORDED_HOOKS).collect()
}
