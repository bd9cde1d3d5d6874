//! What people did: each action is heeded once, for the revision that it names, and who did it is written down (P3).
//!
//! Heeding writes wishes into the status; what comes of them is decided where the release stands.

use chrono::{DateTime, Utc};
use slipway_api::{Approval, CanaryStatus, Heeded, Note, Phase, Said, SlipwayStatus, Wish};

use super::draft::Draft;
use super::takeover::UNKNOWN;
use crate::action::{Action, Meant, Verb};
use crate::observation::Observation;
use crate::plan::{Gate, Plan};
use crate::words;

/// The status after what people did, with what is told of it; `None` when they did nothing new.
pub(super) fn heed(
    plan: &Plan,
    status: &CanaryStatus,
    seen: &Observation,
    now: DateTime<Utc>,
) -> Option<(CanaryStatus, Vec<Note>)> {
    let mut next = status.clone();
    let mut notes = Vec::new();
    for action in &seen.actions {
        if is_heeded(&next, action) {
            continue;
        }
        let mut slipway = next.slipway.take().unwrap_or_default();
        let outcome = match &action.meant {
            Err(problem) => Err(problem.to_string()),
            Ok(meant) => {
                let subject = Subject::new(&next, &slipway, seen);
                act(plan, action.verb, meant, &subject, &mut slipway, now)
            }
        };
        let told = match outcome {
            Ok(done) => words::action_done(plan, &done),
            Err(why) => words::action_refused(plan, action.verb.as_str(), &why),
        };
        let heeded = Heeded {
            value: action.value.clone(),
            at: Some(now),
            outcome: told.text.clone(),
        };
        slipway
            .actions
            .insert(action.verb.as_str().to_owned(), heeded);
        notes.push(told);
        next.slipway = Some(slipway);
    }
    (!notes.is_empty()).then_some((next, notes))
}

fn is_heeded(status: &CanaryStatus, action: &Action) -> bool {
    let slipway = status.slipway.as_ref();
    let heeded = slipway.and_then(|slipway| slipway.actions.get(action.verb.as_str()));
    heeded.is_some_and(|heeded| heeded.value == action.value)
}

/// What an action can be about.
struct Subject {
    phase: Phase,
    /// The revision at the target that was not started.
    pending: Option<String>,
    /// The revision that is released, or was last.
    released: Option<String>,
    /// The revision at the target.
    target: Option<String>,
}

impl Subject {
    fn new(status: &CanaryStatus, slipway: &SlipwayStatus, seen: &Observation) -> Self {
        let target = seen.revision();
        let rests = matches!(
            status.phase,
            Phase::Initialized | Phase::Waiting | Phase::Succeeded | Phase::Failed
        );
        let is_new = target.is_some()
            && target != slipway.acted_revision
            && target != slipway.promoted_revision;
        Self {
            phase: status.phase,
            pending: target.clone().filter(|_| rests && is_new),
            released: slipway
                .release
                .as_ref()
                .map(|release| release.revision.clone()),
            target,
        }
    }

    fn is_pending(&self, meant: &Meant) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|revision| meant.names(revision))
    }

    fn is_released(&self, meant: &Meant) -> bool {
        self.released
            .as_ref()
            .is_some_and(|revision| meant.names(revision))
    }

    fn is_judged(&self, meant: &Meant) -> bool {
        let runs = matches!(self.phase, Phase::Progressing | Phase::WaitingPromotion);
        runs && self.is_released(meant)
    }

    fn is_promoted_now(&self, meant: &Meant) -> bool {
        let runs = matches!(self.phase, Phase::Promoting | Phase::Finalising);
        runs && self.is_released(meant)
    }

    /// The full revision that is meant, where it is one that something can still be done with.
    fn current(&self, meant: &Meant) -> Option<String> {
        let known = [&self.pending, &self.released, &self.target];
        let named = known.into_iter().flatten();
        named.into_iter().find(|known| meant.names(known)).cloned()
    }

    /// What an action that came too late is told.
    fn late(&self, meant: &Meant) -> String {
        let current = self.pending.as_ref().or(self.released.as_ref());
        let current = current.map_or("none", String::as_str);
        format!(
            "it names revision {}, but the release is {} with revision {}: nothing was done",
            words::short(&meant.revision),
            self.phase,
            words::short(current)
        )
    }
}

/// Does one action; what was done, or why nothing was.
fn act(
    plan: &Plan,
    verb: Verb,
    meant: &Meant,
    subject: &Subject,
    slipway: &mut SlipwayStatus,
    now: DateTime<Utc>,
) -> Result<String, String> {
    let said = |revision: String| Said {
        revision,
        by: meant.by.clone(),
        at: Some(now),
    };
    let late = || subject.late(meant);
    let by = format!("by {}", meant.by);
    match verb {
        Verb::Approve => approve(plan, meant, subject, slipway, said),
        Verb::Pause => {
            let revision = subject.current(meant).ok_or_else(late)?;
            let text = format!("paused at revision {} {by}", words::short(&revision));
            slipway.paused = Some(said(revision));
            Ok(text)
        }
        Verb::Resume => {
            let paused = slipway.paused.as_ref();
            let paused = paused.ok_or("it is not paused by anybody: nothing was done")?;
            if !meant.names(&paused.revision) {
                subject.current(meant).ok_or_else(late)?;
            }
            slipway.paused = None;
            Ok(format!("resumed {by}"))
        }
        Verb::Promote | Verb::Abort => {
            if subject.is_promoted_now(meant) {
                return Err("the revision is being promoted already: nothing was done".to_owned());
            }
            if !subject.is_pending(meant) && !subject.is_judged(meant) {
                return Err(late());
            }
            let revision = subject.current(meant).ok_or_else(late)?;
            let what = if verb == Verb::Promote {
                "is promoted without further analysis"
            } else {
                "is aborted"
            };
            let text = format!("revision {} {what} {by}", words::short(&revision));
            let action = verb.as_str().to_owned();
            slipway.wish = Some(Wish {
                action,
                said: said(revision),
            });
            Ok(text)
        }
        Verb::Retry => {
            let has_failed = subject.phase == Phase::Failed && subject.is_released(meant);
            let is_there = subject.target == subject.released;
            let revision = subject
                .current(meant)
                .filter(|_| has_failed && is_there)
                .ok_or_else(late)?;
            let text = format!("revision {} is tried again {by}", words::short(&revision));
            slipway.acted_revision = Some(UNKNOWN.to_owned());
            // Whoever has it tried again has said that it may start.
            slipway.approvals = vec![approval(Gate::Rollout, said(revision))];
            Ok(text)
        }
    }
}

fn approve(
    plan: &Plan,
    meant: &Meant,
    subject: &Subject,
    slipway: &mut SlipwayStatus,
    said: impl Fn(String) -> Said,
) -> Result<String, String> {
    let (pending, judged) = (subject.is_pending(meant), subject.is_judged(meant));
    let revision = subject
        .current(meant)
        .filter(|_| pending || judged)
        .ok_or_else(|| subject.late(meant))?;
    // Without a word for it the next gate on the way is meant.
    let next = if pending && plan.approve.contains(&Gate::Rollout) {
        Gate::Rollout
    } else {
        Gate::Promotion
    };
    let gate = meant.gate.unwrap_or(next);
    if !plan.approve.contains(&gate) {
        let gate = gate.as_str();
        return Err(format!(
            "no approval is asked for at the gate {gate}: nothing was done"
        ));
    }
    if judged && gate == Gate::Rollout {
        return Err("the release has started already: nothing was done".to_owned());
    }
    slipway
        .approvals
        .retain(|given| given.said.revision == revision && given.gate != gate.as_str());
    let text = format!(
        "{} of revision {} approved by {}",
        gate.as_str(),
        words::short(&revision),
        meant.by
    );
    slipway.approvals.push(approval(gate, said(revision)));
    Ok(text)
}

fn approval(gate: Gate, said: Said) -> Approval {
    Approval {
        gate: gate.as_str().to_owned(),
        said,
    }
}

/// Whether a gate that waits for a person is open for a revision: none is asked for, or somebody has approved.
pub(super) fn has_approved(draft: &Draft<'_>, gate: Gate, revision: &str) -> bool {
    if !draft.case.plan.approve.contains(&gate) {
        return true;
    }
    let approvals = draft.case.slipway().approvals;
    let mut of_gate = approvals.iter().filter(|given| given.gate == gate.as_str());
    of_gate.any(|given| given.said.revision == revision)
}

/// What a person wants done with this revision.
pub(super) fn wish(draft: &Draft<'_>, revision: &str) -> Option<(Verb, Said)> {
    let wish = draft.case.slipway().wish?;
    let verb = [Verb::Promote, Verb::Abort]
        .into_iter()
        .find(|verb| verb.as_str() == wish.action)?;
    (wish.said.revision == revision).then_some((verb, wish.said))
}

/// What a paused release waits for: whom a person, or the annotation, has to be asked.
pub(super) fn paused(draft: &Draft<'_>) -> Option<String> {
    if let Some(paused) = draft.case.slipway().paused {
        return Some(words::paused_by(&paused.by));
    }
    let plan = draft.case.plan;
    plan.paused.then(|| words::paused_by_annotation(plan))
}

/// Whether a running release waits for a person or a measurement, and says so already.
pub(super) fn is_held(draft: &Draft<'_>) -> bool {
    let Some(waiting) = draft.waiting() else {
        return false;
    };
    waiting.for_ == words::approval(Gate::Promotion)
        || words::is_measurement(&waiting.for_)
        || words::is_evidence(&waiting.for_)
        || paused(draft).as_ref() == Some(&waiting.for_)
}

/// Tells of annotations that were changed while a release runs: they apply from this decision on.
pub(super) fn note_tuning(draft: &mut Draft<'_>) {
    let runs = matches!(
        draft.status.phase,
        Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting | Phase::Finalising
    );
    let (before, now) = (
        draft.case.slipway().annotations,
        draft.case.plan.tuning.texts(),
    );
    if !runs || before == now {
        return;
    }
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for key in keys {
        let (old, new) = (before.get(key), now.get(key));
        if old != new {
            draft.tell(words::annotation_changed(draft.case.plan, key, old, new));
        }
    }
    draft.slipway().annotations = now;
}
