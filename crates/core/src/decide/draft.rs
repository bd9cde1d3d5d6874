//! A decision in the making.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_api::{
    CanaryStatus, Note, Phase, ReleaseStatus, SLIPWAY_STATUS_VERSION, Side, SlipwayStatus,
    Transition, Waiting,
};

use super::advise;
use super::cookies;
use super::record;
use super::takeover::is_promoted;
use crate::blueprint::ApexPods;
use crate::conditions::{self, Hindrance};
use crate::decision::{Decision, Effect, Question, Wake};
use crate::observation::{Observation, ObstacleCondition};
use crate::plan::Plan;
use crate::readiness::{Readiness, is_alive, readiness};
use crate::strategy::{all_to_canary, asked_routes};
use crate::weight::{Routes, Weight};
use crate::words;

/// The inputs of one decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) status: &'a CanaryStatus,
    pub(crate) seen: &'a Observation,
    pub(crate) now: DateTime<Utc>,
}

impl Case<'_> {
    /// The running release, or the last one.
    pub(crate) fn release(&self) -> Option<&ReleaseStatus> {
        self.status
            .slipway
            .as_ref()
            .and_then(|slipway| slipway.release.as_ref())
    }

    /// Our part of the status.
    pub(crate) fn slipway(&self) -> SlipwayStatus {
        self.status.slipway.clone().unwrap_or_default()
    }

    /// The revision at the target, where it can be told.
    pub(crate) fn target_revision(&self) -> Option<String> {
        self.seen.revision()
    }

    /// Whether the target holds the revision that the primary serves.
    pub(crate) fn holds_promoted_revision(&self) -> bool {
        let slipway = self.status.slipway.as_ref();
        let promoted = slipway.and_then(|slipway| slipway.promoted_revision.as_deref());
        is_promoted(promoted, self.seen)
    }

    /// Whether the target still holds the revision that is released; what cannot be told counts as unchanged.
    pub(crate) fn holds_released_revision(&self) -> bool {
        let released = self.release().map(|release| release.revision.clone());
        self.target_revision()
            .is_none_or(|revision| Some(revision) == released)
    }

    /// The weight that is really reached where this one is asked for: what so many pods can make of it, or itself.
    pub(crate) fn reached(&self, asked: Weight) -> Weight {
        let pods = self.seen.pods.filter(|_| self.plan.weighs_by_pods());
        match pods {
            Some(pods) if asked != Weight::FULL => pods.reached(asked),
            Some(_) | None => asked,
        }
    }

    /// Whether that side can answer requests.
    pub(crate) fn is_alive(&self, side: Side) -> bool {
        match side {
            Side::Primary => is_alive(self.seen.primary.as_ref(), self.seen.endpoints.primary),
            Side::Canary => is_alive(self.seen.target.as_ref(), self.seen.endpoints.canary),
        }
    }

    /// How far that side is with its newest revision. A side whose pods are ready but not yet known to its Service is still coming.
    pub(crate) fn readiness(&self, side: Side) -> Readiness {
        let (workload, name, threshold, endpoints) = match side {
            Side::Primary => (
                &self.seen.primary,
                &self.plan.names.primary,
                self.plan.primary_ready_threshold,
                self.seen.endpoints.primary,
            ),
            Side::Canary => (
                &self.seen.target,
                &self.plan.target.name,
                self.plan.canary_ready_threshold,
                self.seen.endpoints.canary,
            ),
        };
        let Some(workload) = workload else {
            return Readiness::Waiting(format!(
                "{} {name} does not exist",
                self.plan.target.kind.as_str()
            ));
        };
        let workload = &record::with_complaint(workload, self.seen, side);
        match readiness(self.plan.target.kind, name, workload, threshold) {
            Readiness::Ready if endpoints == Some(0) => Readiness::Waiting(
                "waiting for rollout to finish: no endpoint of its Service is ready".to_owned(),
            ),
            found @ (Readiness::Ready | Readiness::Waiting(_) | Readiness::Stuck(_)) => found,
        }
    }
}

/// The next status with what belongs to it.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) case: Case<'a>,
    pub(crate) status: CanaryStatus,
    pub(crate) questions: Vec<Question>,
    pub(crate) wake: Wake,
    notes: Vec<Note>,
    before: Vec<Effect>,
    after: Vec<Effect>,
    keeps: bool,
    leaving: Option<i64>,
    hindrance: Option<Hindrance>,
    stored: &'a CanaryStatus,
}

impl<'a> Draft<'a> {
    /// Nothing changed yet: the decision to go on as before. `stored` is the status as the API server has it, which differs from
    /// the case's where a release was taken over.
    pub(crate) fn new(case: Case<'a>, stored: &'a CanaryStatus) -> Self {
        Self {
            case,
            stored,
            hindrance: None,
            status: case.status.clone(),
            questions: Vec::new(),
            wake: Wake::OnChange,
            notes: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            keeps: true,
            leaving: None,
        }
    }

    /// Takes the draft out of a borrow, leaving a fresh one of the same case.
    pub(crate) fn replace(draft: &mut Self) -> Self {
        let fresh = Self::new(draft.case, draft.stored);
        std::mem::replace(draft, fresh)
    }

    /// Our part of the next status.
    pub(crate) fn slipway(&mut self) -> &mut SlipwayStatus {
        let slipway = self
            .status
            .slipway
            .get_or_insert_with(SlipwayStatus::default);
        slipway.version = SLIPWAY_STATUS_VERSION;
        slipway
    }

    /// The running release in the next status.
    pub(crate) fn release(&mut self) -> &mut ReleaseStatus {
        self.slipway()
            .release
            .get_or_insert_with(ReleaseStatus::default)
    }

    /// Tells something with this transition.
    pub(crate) fn tell(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// Tells several things, in order.
    pub(crate) fn tell_all(&mut self, notes: impl IntoIterator<Item = Note>) {
        self.notes.extend(notes);
    }

    /// Does something before the status is written.
    pub(crate) fn before(&mut self, effect: Effect) {
        self.before.push(effect);
    }

    /// Does something after the status is written and the routes agree.
    pub(crate) fn after(&mut self, effect: Effect) {
        self.after.push(effect);
    }

    /// Leaves Services and routes as they are: they are not ours to touch now.
    pub(crate) fn touch_nothing(&mut self) {
        self.keeps = false;
    }

    /// Shows what stands in the way, and tells it once: when it is another than the one that was told last.
    pub(crate) fn show(&mut self, hindrance: Option<Hindrance>) {
        let told = self
            .status
            .slipway
            .as_ref()
            .and_then(|slipway| slipway.problem.clone());
        let message = hindrance
            .as_ref()
            .map(|hindrance| hindrance.message.clone());
        let is_told = hindrance
            .as_ref()
            .is_some_and(|hindrance| hindrance.condition == ObstacleCondition::InternalError);
        if told != message {
            let news = message.clone().filter(|_| !is_told);
            self.notes.extend(news.map(words::warning));
            self.slipway().problem = message;
        }
        self.hindrance = hindrance;
    }

    /// Shows by the conditions what holds a start; it is told with the wait.
    pub(crate) fn hinder(&mut self, condition: ObstacleCondition, message: String) {
        self.hindrance = Some(Hindrance { condition, message });
    }

    /// Whether something stands in the way.
    pub(crate) fn is_hindered(&self) -> bool {
        self.hindrance.is_some()
    }

    /// It waits for its turn only while a decision says so again.
    pub(crate) fn leave_queue(&mut self) {
        if let Some(slipway) = &mut self.status.slipway {
            slipway.queued = false;
        }
    }

    /// Looks again at that time.
    pub(crate) fn wake_at(&mut self, at: DateTime<Utc>) {
        self.wake = self.wake.or(Wake::At(at));
    }

    /// Says what is awaited; the time stands from when it was first said.
    pub(crate) fn wait_for(&mut self, what: impl Into<String>) {
        let what = what.into();
        let now = self.case.now;
        let waiting = &mut self.slipway().waiting;
        if waiting.as_ref().is_none_or(|waiting| waiting.for_ != what) {
            *waiting = Some(Waiting {
                for_: what,
                since: now,
            });
        }
    }

    /// Says what is awaited by a revision that has not started: the time stands from when it was noticed, whatever held it first.
    pub(crate) fn wait_pending(&mut self, what: String) {
        let now = self.case.now;
        let slipway = self.slipway();
        let since = slipway.pending_since.unwrap_or(now);
        slipway.waiting = Some(Waiting { for_: what, since });
    }

    /// Nothing is awaited any more.
    pub(crate) fn stop_waiting(&mut self) {
        if let Some(slipway) = &mut self.status.slipway {
            slipway.waiting = None;
        }
    }

    /// What was awaited in these words, by their end, has come.
    pub(crate) fn stop_waiting_for(&mut self, end: &str) {
        if self
            .waiting()
            .is_some_and(|waiting| waiting.for_.ends_with(end))
        {
            self.stop_waiting();
        }
    }

    /// What is awaited.
    pub(crate) fn waiting(&self) -> Option<&Waiting> {
        let slipway = self.status.slipway.as_ref();
        slipway.and_then(|slipway| slipway.waiting.as_ref())
    }

    /// Tells, once, that what is awaited has not come within an interval, in the words that `explain` makes of `why`: most waits are shorter, and
    /// what takes longer is what a person looks for.
    pub(crate) fn tell_late(&mut self, explain: fn(&Plan, &str) -> String, why: &str) {
        let plan = self.case.plan;
        let since = self
            .waiting()
            .map_or(self.case.now, |waiting| waiting.since);
        let late_at = since + plan.interval;
        if self.case.now < late_at {
            self.wake_at(late_at);
            return;
        }
        let begins = explain(plan, "");
        let last = self.case.status.slipway.as_ref();
        let last = last.and_then(|slipway| slipway.transition.as_ref());
        let mut told = last.iter().flat_map(|transition| &transition.notes);
        if !told.any(|note| note.text.starts_with(&begins)) {
            self.tell(words::warning(explain(plan, why)));
        }
    }

    /// Starts or reads the clock of the progress deadline; whether it has run out.
    pub(crate) fn deadline_is_over(&mut self) -> bool {
        let (now, deadline) = (self.case.now, self.case.plan.progress_deadline);
        if self.slipway().target_free_at.is_some() {
            // It is paused, by us: nothing can become ready, however long we were away.
            self.stop_deadline();
            return false;
        }
        let since = *self.slipway().unready_since.get_or_insert(now);
        let end = since + deadline;
        if now >= end {
            return true;
        }
        self.wake_at(end);
        false
    }

    /// Stops the clock of the progress deadline.
    pub(crate) fn stop_deadline(&mut self) {
        if let Some(slipway) = &mut self.status.slipway {
            slipway.unready_since = None;
        }
    }

    /// The routes that the next status asks for.
    pub(crate) fn asked_routes(&self) -> Option<Routes> {
        asked(self.case.plan, &self.status)
    }

    /// The routes that are safe now: never to a side without a ready pod while the other has one (P2), and never to a revision that nobody judged
    /// while the primary can answer (FC-002, FC-015).
    pub(crate) fn safe_routes(&self) -> Option<Routes> {
        let asked = self.asked_routes()?;
        let (primary, canary) = (
            self.case.is_alive(Side::Primary),
            self.case.is_alive(Side::Canary),
        );
        let judged = self.case.holds_released_revision();
        Some(match (primary, canary) {
            (true, false) => Routes::PRIMARY,
            (true, true) if !judged => Routes::PRIMARY,
            (false, true) => all_to_canary(self.case.plan),
            (true, true) | (false, false) => asked,
        })
    }

    /// Makes Services and routes agree before the status is written: what it then says was done.
    pub(crate) fn route_before(&mut self, routes: Routes) {
        let effects = routing(self.case.plan, routes);
        self.before.extend(effects);
    }

    /// Notes that traffic leaves the target with this decision. The route is written after the status, so that it may still lead there when the
    /// next decision is made: the weight that it had is noted until then ([`Draft::see_traffic_off`]).
    pub(crate) fn leave_target(&mut self) {
        let now = self.case.now;
        let slipway = self.case.status.slipway.as_ref();
        let had = slipway
            .and_then(|slipway| slipway.routed_weight)
            .or_else(|| Some(asked(self.case.plan, self.case.status)?.canary.percent()));
        self.leaving = had.filter(|weight| *weight > 0);
        self.slipway().traffic_left_at = Some(now);
        self.wake_at(if self.leaving.is_some() {
            now
        } else {
            now + self.case.plan.settle
        });
    }

    /// A route that may still lead to the target although traffic has left it (a crash before it was written, a primary that was dead meanwhile)
    /// is written before the status, and the settle time starts then.
    pub(crate) fn see_traffic_off(&mut self) {
        let slipway = self.case.slipway();
        let may_lead_there = slipway.routed_weight.is_some_and(|weight| weight > 0);
        let routes = self.safe_routes().unwrap_or_default();
        if slipway.traffic_left_at.is_some() && may_lead_there && routes.canary.is_zero() {
            self.route_before(routes);
            let now = self.case.now;
            self.slipway().traffic_left_at = Some(now);
        }
    }

    /// Holds the primary's scaler at the pods that the primary has now, if it has one: it had all the traffic with them.
    pub(crate) fn hold_primary(&mut self) {
        let primary = self.case.seen.primary.as_ref();
        let size = primary.map(|primary| primary.replicas);
        let size = size.filter(|size| *size > 0 && self.case.plan.autoscaler.is_some());
        let slipway = self.slipway();
        slipway.held_replicas = slipway.held_replicas.or(size);
    }

    /// The effect that keeps the primary's scaler held; it changes nothing where it is.
    fn held_primary(&self) -> Option<Effect> {
        let held = self.status.slipway.as_ref()?.held_replicas;
        held.filter(|_| self.keeps).map(Effect::HoldPrimaryScaler)
    }

    /// Lets the primary's scaler go, if it is held: the traffic is back.
    pub(crate) fn release_primary(&mut self) {
        if self.slipway().held_replicas.take().is_some() {
            self.before.push(Effect::ReleasePrimaryScaler);
        }
    }

    /// Whether traffic has been off the target for the settle time.
    pub(crate) fn is_settled(&mut self) -> bool {
        let now = self.case.now;
        if self
            .safe_routes()
            .is_some_and(|routes| !routes.canary.is_zero())
        {
            return false;
        }
        let left_at = self.slipway().traffic_left_at;
        let settled = due(left_at, self.case.plan.settle, now);
        if now < settled {
            self.wake_at(settled);
        }
        now >= settled
    }

    /// The decision: effects before, the status where it changed, Services and routes, effects after, and what is told.
    pub(crate) fn decide(mut self) -> Decision {
        let routes = if self.keeps { self.safe_routes() } else { None };
        self.note_routed_weight(routes);
        advise::note_unreached(&mut self, routes);
        self.note_route(routes);
        if let Some(routes) = routes {
            cookies::keep(self.case.plan, &mut self.status, routes);
        }
        let pause = self.pause_target(routes);
        let told = self.note_transition();
        if told {
            record::hooks(&mut self);
        }
        let target_kind = self.case.plan.target.kind.as_str();
        conditions::update(
            &mut self.status,
            target_kind,
            self.hindrance.as_ref(),
            self.case.now,
        );
        if self.differs() {
            self.status.last_transition_time = Some(self.case.now);
        }
        // Alone it is no transition: where it is not kept, writing it again changes nothing.
        let generation = self.case.seen.generation;
        self.status.observed_generation = generation.unwrap_or(self.status.observed_generation);
        let changed = self.status != *self.stored;
        let mut effects = std::mem::take(&mut self.before);
        if changed {
            effects.push(Effect::Record);
        }
        effects.extend(self.held_primary().into_iter().chain(pause));
        if let Some(routes) = routes {
            effects.extend(routing(self.case.plan, routes));
        }
        effects.extend(self.after);
        if told {
            effects.push(Effect::Tell);
        }
        Decision {
            status: self.status,
            effects,
            questions: self.questions,
            wake: self.wake,
        }
    }

    /// Whether the status says more than that requests were counted: that is no transition.
    fn differs(&self) -> bool {
        let mut counted = self.status.clone();
        let of = |status: &CanaryStatus| {
            let release = status.slipway.as_ref()?.release.as_ref()?;
            release.evidence.clone()
        };
        let slipway = counted.slipway.as_mut();
        if let Some(release) = slipway.and_then(|it| it.release.as_mut()) {
            release.evidence = of(self.stored);
        }
        counted != *self.stored
    }

    /// Pauses a target that gets traffic, where the plan has newer revisions wait, and lets it go one settle time after the traffic left it (FC-014).
    /// A pause stands before the route that needs it, an end before the status that says it.
    fn pause_target(&mut self, routes: Option<Routes>) -> Option<Effect> {
        let routes = routes?;
        let (now, settle) = (self.case.now, self.case.plan.settle);
        let holds = self.case.plan.hold_new_revision;
        let slipway = self.status.slipway.as_mut()?;
        if holds && !routes.canary.is_zero() {
            (slipway.target_paused, slipway.target_free_at) = (true, None);
            return Some(Effect::PauseTarget);
        }
        if !slipway.target_paused {
            return None;
        }
        let free_at = *slipway.target_free_at.get_or_insert(now);
        if holds && now < free_at + settle {
            self.wake_at(free_at + settle);
            return None;
        }
        (slipway.target_paused, slipway.target_free_at) = (false, None);
        self.before.push(Effect::ResumeTarget);
        None
    }

    fn note_routed_weight(&mut self, routes: Option<Routes>) {
        // Where nothing is touched, the routes stay as they were noted.
        let Some(routes) = routes else { return };
        let analyses = matches!(
            self.status.phase,
            Phase::Progressing | Phase::WaitingPromotion
        );
        // While the primary rolls, pods come and go: what is asked for is judged already, and each of them would be a write.
        let reached = if analyses {
            self.case.reached(routes.canary)
        } else {
            routes.canary
        };
        let differs = self.asked_routes() != Some(routes) || reached != routes.canary;
        let reached = differs.then(|| reached.percent());
        let reached = reached.or(self.leaving);
        if self
            .status
            .slipway
            .as_ref()
            .and_then(|slipway| slipway.routed_weight)
            != reached
        {
            self.slipway().routed_weight = reached;
        }
    }

    /// Remembers the kind of object that routes, from the first route on; one that takes the place of another is noted when that goes.
    fn note_route(&mut self, routes: Option<Routes>) {
        let choice = &self.case.seen.route;
        let known = self.status.slipway.as_ref().and_then(|it| it.route.clone());
        if routes.is_some() && !choice.leaves && choice.name != known {
            self.slipway().route.clone_from(&choice.name);
        }
    }

    fn note_transition(&mut self) -> bool {
        let notes = std::mem::take(&mut self.notes);
        if notes.is_empty() {
            return false;
        }
        let now = self.case.now;
        let number = self
            .slipway()
            .transition
            .as_ref()
            .map_or(0, |transition| transition.number)
            + 1;
        self.slipway().transition = Some(Transition {
            number,
            at: Some(now),
            notes,
        });
        true
    }
}

/// The routes that a status asks for; none where they are not the release's to say.
fn asked(plan: &Plan, status: &CanaryStatus) -> Option<Routes> {
    let slipway = status.slipway.as_ref();
    let pinned = slipway.and_then(|slipway| slipway.pinned_to);
    match (status.phase, pinned) {
        (Phase::Empty | Phase::Initializing | Phase::Terminating | Phase::Terminated, _) => None,
        (_, Some(Side::Canary)) => Some(all_to_canary(plan)),
        (Phase::Progressing | Phase::WaitingPromotion, None) => Some(asked_routes(plan, status)),
        (Phase::Promoting, None) if plan.splits() => {
            Some(Routes::to_canary(Weight::clamped(status.canary_weight)))
        }
        (_, Some(Side::Primary) | None) => Some(Routes::PRIMARY),
    }
}

/// Makes Services and routes agree, in the order in which nobody is sent astray: pods are labelled before the apex selects by their labels, and
/// lose them when it has ceased to.
fn routing(plan: &Plan, routes: Routes) -> [Effect; 2] {
    let apex = apex_pods(plan, routes);
    let (services, route) = (Effect::Services { apex: Some(apex) }, Effect::Route(routes));
    match apex {
        ApexPods::Of(_) => [services, route],
        ApexPods::Labelled => [route, services],
    }
}

/// Which pods the apex selects. With a mesh always the primary's: the route splits. Without one the apex follows where all traffic must go, or the
/// labels that split it.
fn apex_pods(plan: &Plan, routes: Routes) -> ApexPods {
    if plan.provider.has_mesh() || routes.canary.is_zero() {
        ApexPods::Of(Side::Primary)
    } else if routes.canary == Weight::FULL {
        ApexPods::Of(Side::Canary)
    } else if plan.weighs_by_pods() {
        ApexPods::Labelled
    } else {
        ApexPods::Of(Side::Primary)
    }
}

/// `then + span`, the time at which something is due.
pub(crate) fn due(
    then: Option<DateTime<Utc>>,
    span: TimeDelta,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    then.map_or(now, |then| then + span)
}
