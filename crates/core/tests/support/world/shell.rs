//! The shell of this world: asks, acts and records as a controller does.

use chrono::TimeDelta;
use slipway_api::{CanaryStatus, NoteType, Side};
use slipway_core::blueprint::ApexPods;
use slipway_core::decide;
use slipway_core::decision::{Decision, Effect, Question, Subject, Wake};
use slipway_core::observation::{Answer, Observation, Reading, Verdict};
use slipway_core::plan::HookKind;
use slipway_core::weight::Routes;

use super::{Fault, Reply, Tick, VecDeque, World};
use crate::support::deployment::Deployment;
use crate::support::oracle::Oracle;
use crate::support::{keeps, slipway};

impl World {
    /// Decides and acts until nothing changes at this time.
    pub(super) fn look(&mut self) {
        for _ in 0..50 {
            // The shell tells what was not told before a crash or a failed write.
            self.tell();
            let before = (self.stored.clone(), self.observe());
            let decision = self.decide();
            self.ask(&decision);
            self.wake = decision.wake;
            match self.act(&decision) {
                Tick::Crashed(seconds) => return self.restart(seconds),
                Tick::Failed => {
                    self.wake = Wake::At(self.now + TimeDelta::seconds(1));
                    return;
                }
                Tick::Done => {}
            }
            self.play();
            let again = matches!(self.wake, Wake::At(at) if at <= self.now);
            if before == (self.stored.clone(), self.observe()) && !again {
                self.oracle.quiet(self, &decision);
                return self.look_early();
            }
        }
        panic!("one look after another changes something\n{}", self.tale());
    }

    /// Being called is not being due: between now and what comes next nothing changes (P6).
    fn look_early(&self) {
        let Some(next) = self.next() else { return };
        let early = next - TimeDelta::milliseconds(1);
        let decision = decide(&self.plan, &self.stored, &self.observe(), early);
        let tale = || self.tale();
        assert_eq!(
            decision.status,
            self.stored,
            "P6: a change between two dues\n{}",
            tale()
        );
        self.oracle.quiet(self, &decision);
    }

    pub(crate) fn decide(&mut self) -> Decision {
        let seen = self.observe();
        let decision = decide(&self.plan, &self.stored, &seen, self.now);
        Oracle::decided(self, &seen, &decision);
        decision
    }

    fn ask(&mut self, decision: &Decision) {
        for question in &decision.questions {
            let asked = self.in_flight.iter().map(|(_, asked, _)| asked);
            if asked.chain(&self.hanging).any(|asked| asked == question) {
                continue;
            }
            if question.subject == Subject::Counters {
                // This world has no requests: what is counted is tried where there are some.
                continue;
            }
            let name = name_of(question);
            let phase = match &question.subject {
                Subject::Hook { phase, .. } => format!(" ({phase})"),
                Subject::Metric { .. } | Subject::Counters => String::new(),
            };
            self.say("ask", format!("{name}{phase}"));
            match self.reply(question) {
                Some((after, answer)) => {
                    let at = self.now + after;
                    self.in_flight.push((at, question.clone(), answer));
                }
                None => self.hanging.push(question.clone()),
            }
        }
    }

    fn reply(&mut self, question: &Question) -> Option<(TimeDelta, Answer)> {
        let (whom, usual) = match &question.subject {
            Subject::Hook { name, kind, .. } => (
                name.clone(),
                if *kind == HookKind::Rollback {
                    Reply::No
                } else {
                    Reply::Yes
                },
            ),
            Subject::Metric { index } => {
                let check = &self.plan.metrics[*index];
                let good = check.min.or(check.max).unwrap_or_default();
                (format!("metric {index}"), Reply::Value(good))
            }
            Subject::Counters => (String::new(), Reply::Never),
        };
        let series = self.series.get_mut(&whom);
        let next = series.and_then(VecDeque::pop_front);
        let reply = next.or_else(|| self.replies.get(&whom).cloned());
        let is_metric = matches!(question.subject, Subject::Metric { .. });
        reply.unwrap_or(usual).answer(is_metric)
    }

    fn act(&mut self, decision: &Decision) -> Tick {
        for effect in &decision.effects {
            let times = if self.fault == Fault::Twice { 2 } else { 1 };
            if self.fault == (Fault::Refused { after: 0 }) {
                self.fault = Fault::Nothing;
                return Tick::Failed;
            }
            for _ in 0..times {
                if !self.apply(effect, decision) {
                    return Tick::Failed;
                }
            }
            self.done += 1;
            match &mut self.fault {
                Fault::Nothing | Fault::Twice => {}
                Fault::Crash { after: 0, seconds } => {
                    let seconds = *seconds;
                    return Tick::Crashed(seconds);
                }
                Fault::ResponseLost { after: 0 } => {
                    self.fault = Fault::Nothing;
                    return Tick::Failed;
                }
                Fault::Crash { after, .. }
                | Fault::ResponseLost { after }
                | Fault::Refused { after } => *after -= 1,
            }
        }
        Tick::Done
    }

    /// A new controller: what the old one had in its memory is gone.
    fn restart(&mut self, seconds: i64) {
        self.say("world", format!("crash, back after {seconds} s"));
        self.fault = Fault::Nothing;
        self.answers.clear();
        self.in_flight.clear();
        self.hanging.clear();
        self.last_told = None;
        let back = self.now + TimeDelta::seconds(seconds);
        self.wake = Wake::OnChange;
        while let Some(next) = self.next().filter(|next| *next < back) {
            self.now = next;
            self.advance();
        }
        self.now = back;
        self.wake = Wake::At(back + TimeDelta::milliseconds(1));
    }

    /// Does one effect; whether it could be done.
    fn apply(&mut self, effect: &Effect, decision: &Decision) -> bool {
        self.oracle.before(self, effect);
        let now = self.now;
        let held = self.observed_revision();
        if !keeps(effect) && *effect != Effect::Record && *effect != Effect::Tell {
            self.say("effect", format!("{effect:?}"));
        }
        match effect {
            Effect::Record => self.store(decision.status.clone()),
            Effect::Services { apex } => match apex {
                Some(ApexPods::Of(side)) => self.apex = *side,
                Some(ApexPods::Labelled) => self.apex = Side::Primary,
                None => {}
            },
            Effect::CreatePrimary { revision } => {
                if held.as_ref() != Some(revision) {
                    return false;
                }
                if self.primary.is_none() {
                    self.make_primary(revision);
                }
            }
            Effect::RestorePrimary => {
                let record = self.record.clone();
                if self.primary.is_none()
                    && let Some(record) = record
                {
                    self.make_primary(&record);
                }
            }
            Effect::Promote { revision } => {
                if held.as_ref() != Some(revision) {
                    return false;
                }
                self.promote(revision);
            }
            Effect::Route(routes) => self.route(*routes),
            Effect::ScaleUpTarget(_) => {
                if let Some(target) = self.target.as_mut().filter(|target| target.replicas == 0) {
                    target.change(now, |target| target.replicas = 1);
                }
            }
            Effect::ScaleDownTarget => {
                if let Some(target) = self.target.as_mut().filter(|target| target.replicas > 0) {
                    target.change(now, |target| target.replicas = 0);
                }
            }
            Effect::RestoreRoutes => {
                (self.routes, self.apex, self.restored) = (None, Side::Canary, true);
            }
            Effect::AddFinalizer => self.has_finalizer = true,
            Effect::RemoveFinalizer => self.has_finalizer = false,
            Effect::Tell => self.tell(),
            Effect::Count(outcome) => self.counted.push(*outcome),
            Effect::RetireRoute
            | Effect::PauseTarget
            | Effect::ResumeTarget
            | Effect::HoldPrimaryScaler(_)
            | Effect::ReleasePrimaryScaler
            | Effect::CreatePrimaryScaler
            | Effect::PauseScaler
            | Effect::ResumeScaler => {}
        }
        self.advance();
        let share = self.share_of_canary();
        self.oracle.routed(share, now);
        true
    }

    /// The revision that the target holds, with its configs.
    fn observed_revision(&self) -> Option<String> {
        let (target, _) = self.workloads();
        let seen = Observation {
            target,
            configs: self.configs.clone(),
            ..Observation::default()
        };
        seen.revision()
    }

    fn make_primary(&mut self, revision: &str) {
        let target = self.target.as_ref();
        let replicas = target.map_or(1, |target| target.replicas.max(1));
        let template = target.map_or(revision, |target| target.template.as_str());
        let template = if self.record.as_deref() == Some(revision) {
            revision
        } else {
            template
        };
        let mut primary = Deployment::new(template, replicas, self.now);
        primary.given = Some(revision.to_owned());
        primary.recreates = target.is_some_and(|target| target.recreates);
        self.primary = Some(primary);
        self.record.get_or_insert_with(|| revision.to_owned());
    }

    fn promote(&mut self, revision: &str) {
        let (now, target) = (self.now, self.target.clone());
        self.record = Some(revision.to_owned());
        let (Some(primary), Some(target)) = (&mut self.primary, target) else {
            return;
        };
        let is_new = primary.template != target.template;
        primary.given = Some(revision.to_owned());
        if is_new {
            primary.change(now, |primary| {
                primary.template = target.template;
                primary.recreates = target.recreates;
            });
        }
    }

    fn route(&mut self, routes: Routes) {
        if self.routes != Some(routes) {
            let copies = if routes.mirrored { ", mirrored" } else { "" };
            self.say("route", format!("{}{copies}", routes.canary));
        }
        self.routes = Some(routes);
    }

    fn store(&mut self, status: CanaryStatus) {
        let line = |status: &CanaryStatus| {
            format!(
                "{} {}/{} failed {}",
                status.phase, status.canary_weight, status.iterations, status.failed_checks
            )
        };
        self.oracle
            .recorded(&self.plan, &self.stored, &status, self.now);
        if line(&status) != line(&self.stored) {
            self.say("status", line(&status));
        }
        self.stored = status;
    }

    fn tell(&mut self) {
        let transition = slipway(&self.stored).transition.unwrap_or_default();
        if self.last_told.unwrap_or_default() == transition.number {
            return;
        }
        self.last_told = Some(transition.number);
        for note in transition.notes {
            let mark = match note.type_ {
                NoteType::Normal => "",
                NoteType::Warning => "! ",
            };
            self.say("tell", format!("{mark}{}", note.text));
            if let Some(alert) = note.alert {
                let severity = format!("{:?}", alert.severity).to_lowercase();
                self.say("alert", format!("{severity}: {}", alert.text));
            }
        }
    }
}

/// `confirm-rollout gate`, `metric 0`.
pub(crate) fn name_of(question: &Question) -> String {
    match &question.subject {
        Subject::Hook { name, kind, .. } => format!("{kind:?} {name}"),
        Subject::Metric { index } => format!("metric {index}"),
        Subject::Counters => "counters".to_owned(),
    }
}

impl Reply {
    fn answer(&self, is_metric: bool) -> Option<(TimeDelta, Answer)> {
        let soon = TimeDelta::milliseconds(100);
        let answer = match self {
            Self::Never => return None,
            Self::Late(seconds, reply) => {
                let (after, answer) = reply.answer(is_metric)?;
                return Some((after + TimeDelta::seconds(*seconds), answer));
            }
            Self::Yes => Answer::Hook(Verdict::Passed),
            Self::No => Answer::Hook(Verdict::Refused("no".into())),
            Self::Value(value) => Answer::Metric(Reading::Value(*value)),
            Self::NoData => Answer::Metric(Reading::NoData("no samples".into())),
            Self::Down if is_metric => Answer::Metric(Reading::Failed("503".into())),
            Self::Down => Answer::Hook(Verdict::Refused("503".into())),
        };
        Some((soon, answer))
    }
}
