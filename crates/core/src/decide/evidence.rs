//! What requests say of a release, beside its checks: counted at a pace of its own, and written down before anything is done about it.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_api::{Evidence, Phase};

use super::draft::Draft;
use super::gate;
use super::rollback;
use crate::analysis::{self, Counters, JudgeMode, Seen, Stage, Verdict, conclude, learn};
use crate::decision::{Decision, Question, Round, Subject};
use crate::observation::{Answer, Answered, ObstacleCondition};
use crate::plan::Strategy;
use crate::strategy::{Move, next_move};
use crate::weight::Weight;
use crate::words;

/// How long nothing may be counted until the test is blind, besides three ticks: the longest usual time between two scrapes.
const SCRAPE: TimeDelta = TimeDelta::seconds(60);
/// How long proxies may share requests by the weight before.
const SPREAD: TimeDelta = TimeDelta::seconds(5);

/// Remembers that the canary has users from now on, so that what came before is not counted.
pub(super) fn begin(draft: &mut Draft<'_>) {
    let (now, judge) = (draft.case.now, &draft.case.plan.judge);
    if judge.mode == JudgeMode::Off {
        return;
    }
    let edges = judge.edges.clone();
    let known = draft.release().evidence.get_or_insert_with(|| since(now));
    known.edges = edges.or_else(|| known.edges.take());
}

/// Whether the traffic is still asked for that says what the first weight is.
pub(super) fn asks_for_first_weight(draft: &mut Draft<'_>) -> bool {
    if !needs_traffic(draft) {
        return false;
    }
    if newest(draft, &round(draft)).is_some() {
        return false;
    }
    ask(draft);
    true
}

fn needs_traffic(draft: &Draft<'_>) -> bool {
    let judge = &draft.case.plan.judge;
    judge.mode == JudgeMode::Full
        && judge.first_weight.is_none()
        && draft.case.status.canary_weight == 0
        && !draft.case.plan.steps().is_empty()
}

/// The first weight of a canary, in place of the plan's: as it is said, or as its traffic asks for.
pub(super) fn first_weight(draft: &Draft<'_>, planned: Weight) -> Weight {
    let judge = &draft.case.plan.judge;
    if judge.mode != JudgeMode::Full || draft.case.status.canary_weight != 0 {
        return planned;
    }
    let steps = draft.case.plan.steps();
    let raised = match (judge.first_weight, counters(draft)) {
        (Some(said), _) => Some(said),
        (None, Some(counters)) => analysis::first_weight(steps, judge, analysis::rate(counters)),
        (None, None) => None,
    };
    raised.unwrap_or(planned)
}

fn since(now: DateTime<Utc>) -> Box<Evidence> {
    Box::new(Evidence {
        until: Some(now),
        ..Evidence::default()
    })
}

/// Looks at what was counted, where the test may act: the decision, if the release goes back by it.
pub(super) fn protect(draft: &mut Draft<'_>) -> Option<Decision> {
    let settings = &draft.case.plan.judge;
    if !settings.mode.protects() || users_weight(draft).is_none() {
        return None;
    }
    ask(draft);
    match look(draft)? {
        Verdict::RollBack(cause) => Some(rollback::by_evidence(Draft::replace(draft), cause)),
        Verdict::Retreat => Some(retreat(Draft::replace(draft))),
        Verdict::Hold(_) | Verdict::Advance => None,
    }
}

/// Where the test only watches: it learns with a status that is written anyway.
pub(super) fn shadow(draft: &mut Draft<'_>) {
    if draft.case.plan.judge.mode != JudgeMode::Shadow || users_weight(draft).is_none() {
        return;
    }
    let now = draft.case.now;
    let Some((verdict, would)) = look(draft).and_then(|it| Some((it, words::would_have(it)?)))
    else {
        return;
    };
    let Some(known) = &mut draft.release().evidence else {
        return;
    };
    // A retreat is outdone by a rollback; what came first of either is kept.
    let outdone =
        |told: &String| matches!(verdict, Verdict::RollBack(_)) && !told.starts_with(would);
    if known.would.as_ref().is_none_or(outdone) {
        let says = known.says.clone().unwrap_or_default();
        known.would = Some(format!("{would} at {}: {says}", words::clock(now)));
    }
}

/// Asks for the counters of a tick that is due, where the test only watches.
pub(super) fn ask_in_shadow(draft: &mut Draft<'_>) {
    if draft.case.plan.judge.mode == JudgeMode::Shadow && users_weight(draft).is_some() {
        ask(draft);
    }
}

/// Shows that the share which arrives is not the weight, as long as that is what was counted last (FC-021).
pub(super) fn show_share(draft: &mut Draft<'_>) {
    let known = draft.case.release().and_then(|it| it.evidence.as_deref());
    let Some(known) = known.filter(|known| known.astray) else {
        return;
    };
    if let Some(weight) = users_weight(draft) {
        let message = words::astray(draft.case.plan, weight, known.shared);
        draft.hinder(ObstacleCondition::RoutingIneffective, message);
    }
}

/// The weight under which the canary has users that can be compared with the primary's.
fn users_weight(draft: &Draft<'_>) -> Option<Weight> {
    let is_weighted = matches!(draft.case.plan.strategy, Strategy::Canary { .. });
    let weight = Weight::clamped(draft.case.status.canary_weight);
    (is_weighted && !draft.case.reached(weight).is_zero()).then_some(weight)
}

/// Asks for the counters when those that came last are a tick old.
fn ask(draft: &mut Draft<'_>) {
    let (now, tick) = (draft.case.now, draft.case.plan.judge.tick);
    let round = round(draft);
    let after = newest(draft, &round).map(|answered| answered.at);
    let at = after.map_or(now, |after| next_tick(after, tick));
    if now < at {
        if draft.case.plan.judge.mode.protects() {
            draft.wake_at(at);
        }
        return;
    }
    draft.questions.push(Question {
        subject: Subject::Counters,
        round: Round { after, ..round },
    });
}

/// The tick after that time. All releases of the same pace have theirs at the same time, so that one query serves many.
fn next_tick(after: DateTime<Utc>, tick: TimeDelta) -> DateTime<Utc> {
    let seconds = tick.num_seconds().max(1);
    let whole = (after.timestamp().div_euclid(seconds) + 1) * seconds;
    DateTime::from_timestamp(whole, 0).unwrap_or(after + tick)
}

fn round(draft: &Draft<'_>) -> Round {
    let release = draft.case.release();
    gate::round(draft, release.map_or("", |it| it.revision.as_str()))
}

fn newest<'a>(draft: &Draft<'a>, round: &Round) -> Option<&'a Answered> {
    let answers = draft.case.seen.answers.iter();
    let of_release = answers.filter(|answered| {
        answered.question.subject == Subject::Counters
            && gate::is_same(&answered.question.round, round)
    });
    of_release.max_by_key(|answered| answered.at)
}

/// Learns what is new in the counters, and says what follows from all that is known.
fn look(draft: &mut Draft<'_>) -> Option<Verdict> {
    let (plan, now) = (draft.case.plan, draft.case.now);
    let weight = users_weight(draft)?;
    let before = draft.release().evidence.clone();
    let mut known = before.clone().unwrap_or_else(|| since(now));
    let begins = known.weight != weight.percent();
    if begins {
        (known.weight_since, known.earned) = (Some(now), None);
    }
    let weight_since = known.weight_since.unwrap_or(now);
    let mut seen = match counters(draft) {
        Some(counters) => analysis::count(&mut known, counters, weight_since + SPREAD),
        None => Seen::default(),
    };
    if known.accounts <= 1 && now < weight_since + plan.judge.warmup {
        seen.slow.clear();
    }
    // Users who are kept to a side, and pods that are chosen by connections, are shared otherwise by intent.
    seen.is_of_one_weight &= plan.affinity.is_none() && !plan.weighs_by_pods();
    let stage = Stage {
        steps: draft.case.plan.steps(),
        weight,
        stood: now - weight_since,
    };
    learn(&mut known, &plan.judge, stage, &seen);
    let verdict = conclude(&known, &plan.judge, stage, &seen);
    let is_marked = before.is_some_and(|before| !before.pods.is_empty());
    if seen.is_news() {
        known.measured_at = Some(now);
        known.earned = (verdict == Verdict::Advance).then(|| stage.next().percent());
        known.says = Some(words::evidence(&known, &plan.judge, stage, verdict));
    } else if is_marked && !begins {
        // The time of a scrape alone is not worth a write.
        return Some(verdict);
    }
    draft.release().evidence = Some(known);
    Some(verdict)
}

/// The counters that came last.
fn counters<'a>(draft: &Draft<'a>) -> Option<&'a Counters> {
    match &newest(draft, &round(draft))?.answer {
        Answer::Counters(counters) => counters.as_deref().ok(),
        Answer::Hook(_) | Answer::Metric(_) => None,
    }
}

/// Whether the test allows the next move, so that its checks need not wait for their time.
pub(super) fn is_due(draft: &Draft<'_>) -> bool {
    let next = next_move(draft.case.plan, draft.case.status);
    draft.case.plan.judge.mode == JudgeMode::Full
        && users_weight(draft).is_some()
        && holds(draft, next).is_none()
}

/// What a move waits for that the test has to allow.
pub(super) fn holds(draft: &Draft<'_>, next: Move) -> Option<String> {
    let judge = &draft.case.plan.judge;
    let weight = users_weight(draft)?;
    let known = draft.case.release().and_then(|it| it.evidence.as_deref());
    if judge.mode.protects() && known.is_some_and(|known| known.astray) {
        return Some(words::share_awaited(weight));
    }
    if judge.mode != JudgeMode::Full {
        return None;
    }
    let wanted = match next {
        Move::Weigh(weight) => weight,
        Move::CutOver | Move::Soak | Move::Promote => Weight::FULL,
        Move::Mirror | Move::Iterate(_) => return None,
    };
    let slipway = draft.status.slipway.as_ref();
    let release = slipway.and_then(|it| it.release.as_ref());
    let known = release.and_then(|it| it.evidence.as_deref());
    let Some(known) = known.filter(|known| !is_blind(draft, known)) else {
        return Some(words::count_awaited());
    };
    let since = known.weight_since.filter(|_| known.weight == 100);
    let soaks = since.is_none_or(|since| draft.case.now < since + judge.soak);
    if weight == Weight::FULL && judge.soaks() && soaks {
        return Some(words::soak_awaited(judge.soak));
    }
    (known.earned != Some(wanted.percent())).then(|| words::evidence_awaited(wanted))
}

/// Whether nothing has been counted for so long that what was known says nothing of now.
fn is_blind(draft: &Draft<'_>, known: &Evidence) -> bool {
    let tick = draft.case.plan.judge.tick;
    let newest = known.measured_at.map(|at| at + tick * 3 + SCRAPE);
    newest.is_none_or(|at| draft.case.now > at)
}

/// Back to the first weight: the evidence against the canary is not enough to take it back, and too much to give it so many users.
fn retreat(mut draft: Draft<'_>) -> Decision {
    let first = draft.case.plan.steps().first().copied().unwrap_or_default();
    let now = draft.case.now;
    draft.status.phase = Phase::Progressing;
    draft.status.canary_weight = first.percent();
    let release = draft.release();
    release.step_at = Some(now);
    release.tick += 1;
    let known = release.evidence.get_or_insert_with(|| since(now));
    known.braked = true;
    let says = known.says.clone().unwrap_or_default();
    draft.stop_waiting();
    draft.tell(words::retreats(draft.case.plan, first, &says));
    draft.wake_at(now);
    draft.decide()
}
