//! A small world in which decisions are carried out: Deployments, routes, hooks and metrics in virtual time, with faults on demand.
//!
//! A decision is made whenever the world, the status or an answer changed, and when the last one said so. Every write is judged by the
//! [`Oracle`].

pub(crate) mod shell;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_api::{CanaryStatus, Phase, PodReason, Side};
use slipway_core::action::Action;
use slipway_core::decision::{Outcome, Question, Wake};
use slipway_core::fleet::Turn;
use slipway_core::observation::{
    Answer, Answered, Configs, Observation, Obstacle, RouteChoice, SideCounts, Standing, Verdict,
    Workload,
};
use slipway_core::order::Peer;
use slipway_core::plan::Plan;
use slipway_core::pods::PodCounts;
use slipway_core::weight::{Routes, Weight};

use super::deployment::Deployment;
use super::oracle::Oracle;
use super::start;
use super::story::Story;

/// How somebody who is asked answers, a tenth of a second later.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Yes,
    No,
    Value(f64),
    NoData,
    Down,
    Never,
    /// The same, so many seconds later.
    Late(i64, Box<Self>),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    Nothing,
    /// The controller dies after so many more effects, and is back after so many seconds.
    Crash { after: usize, seconds: i64 },
    /// The effect after so many more is done, and the answer is lost: the tick ends as if it had failed.
    ResponseLost { after: usize },
    /// The effect after so many more is refused.
    Refused { after: usize },
    /// Every effect is done twice.
    Twice,
}

/// Something that happened: when, of which kind, what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: DateTime<Utc>,
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, kind, text } = self;
        let after = (*at - start()).num_milliseconds();
        write!(
            f,
            "{:>7}.{} {kind:<6} {text}",
            after / 1000,
            after % 1000 / 100
        )
    }
}

type Condition = Rc<dyn Fn(&World) -> bool>;
type Act = Rc<dyn Fn(&mut World)>;

#[derive(Clone)]
enum Step {
    When(Condition),
    After(TimeDelta),
    Do(Act),
}

/// Whether a tick went to its end.
enum Tick {
    Done,
    Failed,
    Crashed(i64),
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.story.plan().strategy.label(), self.now)
    }
}

/// The world of one Canary.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) story: Story,
    pub(crate) plan: Plan,
    pub(crate) now: DateTime<Utc>,
    pub(crate) stored: CanaryStatus,
    pub(crate) target: Option<Deployment>,
    pub(crate) primary: Option<Deployment>,
    pub(crate) configs: Configs,
    pub(crate) apex: Side,
    pub(crate) routes: Option<Routes>,
    /// The pods that weight is made of, where it is.
    pub(crate) pods: Option<PodCounts>,
    pub(crate) record: Option<String>,
    pub(crate) same_revision: Option<bool>,
    pub(crate) has_finalizer: bool,
    pub(crate) deleting: bool,
    pub(crate) restored: bool,
    pub(crate) obstacles: Vec<Obstacle>,
    /// Why pods do not run, as they say it.
    pub(crate) pod_reasons: Vec<PodReason>,
    /// What people did, as it stands on the Canary.
    pub(crate) actions: Vec<Action>,
    /// How other releases stand.
    pub(crate) peers: BTreeMap<String, Peer>,
    /// What the limits on releases at once say.
    pub(crate) turn: Turn,
    /// Seconds that the pods of a revision take to become ready; 2 where nothing is said.
    pub(crate) startup: BTreeMap<(Side, String), Option<i64>>,
    /// What hooks (by name) and metrics (`metric 0`) say; where nothing is said, all is well.
    pub(crate) replies: BTreeMap<String, Reply>,
    /// What they say before that, one answer after the other.
    pub(crate) series: BTreeMap<String, VecDeque<Reply>>,
    /// How old what is seen of the workloads is.
    pub(crate) stale: TimeDelta,
    pub(crate) fault: Fault,
    /// Effects done so far.
    pub(crate) done: usize,
    pub(crate) lines: Vec<Line>,
    pub(crate) counted: Vec<Outcome>,
    pub(crate) oracle: Oracle,
    script: VecDeque<Step>,
    script_at: Option<DateTime<Utc>>,
    answers: Vec<Answered>,
    in_flight: Vec<(DateTime<Utc>, Question, Answer)>,
    hanging: Vec<Question>,
    /// The last transition that was told in this life of the controller.
    last_told: Option<u64>,
    wake: Wake,
    snapshots: Vec<(DateTime<Utc>, Option<Workload>, Option<Workload>)>,
}

impl World {
    /// The target serves at `v1`, and nobody has looked at the Canary yet.
    pub(crate) fn new(story: Story) -> Self {
        let plan = story.plan();
        let mut target = Deployment::new("v1", 1, start() - TimeDelta::minutes(5));
        target.advance(start() - TimeDelta::minutes(4), |_| Some(TimeDelta::zero()));
        Self {
            story,
            plan,
            now: start(),
            stored: CanaryStatus::default(),
            target: Some(target),
            primary: None,
            configs: Configs::default(),
            apex: Side::Canary,
            routes: None,
            pods: None,
            record: None,
            same_revision: None,
            has_finalizer: false,
            deleting: false,
            restored: false,
            obstacles: Vec::new(),
            pod_reasons: Vec::new(),
            actions: Vec::new(),
            peers: BTreeMap::new(),
            turn: Turn::Free,
            startup: BTreeMap::new(),
            replies: BTreeMap::new(),
            series: BTreeMap::new(),
            stale: TimeDelta::zero(),
            fault: Fault::Nothing,
            done: 0,
            lines: Vec::new(),
            counted: Vec::new(),
            oracle: Oracle::default(),
            script: VecDeque::new(),
            script_at: None,
            answers: Vec::new(),
            in_flight: Vec::new(),
            hanging: Vec::new(),
            last_told: None,
            wake: Wake::OnChange,
            snapshots: Vec::new(),
        }
    }

    // What a story does.

    /// The user sets the target to a revision.
    pub(crate) fn push(&mut self, revision: &str) {
        self.say("world", format!("push {revision}"));
        let now = self.now;
        if let Some(target) = &mut self.target {
            target.change(now, |target| revision.clone_into(&mut target.template));
        }
    }

    /// The pods of a revision never become ready on that side.
    pub(crate) fn is_broken(&mut self, side: Side, revision: &str) {
        self.startup.insert((side, revision.to_owned()), None);
    }

    /// The pods of a revision are ready after so many seconds on that side.
    pub(crate) fn starts_in(&mut self, side: Side, revision: &str, seconds: i64) {
        self.startup
            .insert((side, revision.to_owned()), Some(seconds));
    }

    /// All pods of a side die, and stay dead.
    pub(crate) fn kill(&mut self, side: Side) {
        self.say("world", format!("kill {side:?}"));
        if let Some(found) = self.side(side) {
            found.kill();
        }
    }

    /// All pods of a side answer again.
    pub(crate) fn revive(&mut self, side: Side) {
        self.say("world", format!("revive {side:?}"));
        let now = self.now;
        if let Some(found) = self.side(side) {
            found.revive(now);
        }
    }

    /// A hook or metric answers so from now on.
    pub(crate) fn answers(&mut self, whom: &str, reply: Reply) {
        self.replies.insert(whom.to_owned(), reply);
    }

    /// The user edits the Canary.
    pub(crate) fn edit(&mut self, edit: impl FnOnce(Story) -> Story) {
        self.say("world", "edit".to_owned());
        self.story = edit(self.story.clone());
        self.plan = self.story.plan();
        self.oracle.spec_was_edited();
    }

    /// Goes on with the script when this holds.
    pub(crate) fn when(mut self, holds: impl Fn(&Self) -> bool + 'static) -> Self {
        self.script.push_back(Step::When(Rc::new(holds)));
        self
    }

    /// Goes on with the script after so many seconds.
    pub(crate) fn after(mut self, seconds: i64) -> Self {
        let span = TimeDelta::seconds(seconds);
        self.script.push_back(Step::After(span));
        self
    }

    /// Does this when the script comes here.
    pub(crate) fn then(mut self, act: impl Fn(&mut Self) + 'static) -> Self {
        self.script.push_back(Step::Do(Rc::new(act)));
        self
    }

    /// The shell gives up whom it asked: they said no.
    pub(crate) fn give_up_asking(&mut self) {
        let at = self.now;
        for question in std::mem::take(&mut self.hanging) {
            let answer = Answer::Hook(Verdict::Refused("timeout".into()));
            self.in_flight.push((at, question, answer));
        }
    }

    pub(crate) fn say(&mut self, kind: &'static str, text: String) {
        let at = self.now;
        self.lines.push(Line { at, kind, text });
    }

    // What a test asks.

    pub(crate) fn phase(&self) -> Phase {
        self.stored.phase
    }

    /// Whether the script came to its end.
    pub(crate) fn played(&self) -> bool {
        self.script.is_empty()
    }

    /// What happened, of some kinds, without times.
    pub(crate) fn happened(&self, kinds: &[&str]) -> Vec<String> {
        let lines = self.lines.iter().filter(|line| kinds.contains(&line.kind));
        lines
            .map(|line| format!("{} {}", line.kind, line.text))
            .collect()
    }

    /// The events, in order.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = self.lines.iter().filter(|line| line.kind == "tell");
        told.map(|line| line.text.clone()).collect()
    }

    /// Everything that happened, for a message.
    pub(crate) fn tale(&self) -> String {
        let lines = self.lines.iter().map(Line::to_string);
        let status = serde_json::to_string(&self.stored).unwrap();
        format!("{}\n{status}", lines.collect::<Vec<_>>().join("\n"))
    }

    /// The share of the traffic that really goes to the canary, in percent; in A/B testing that of those whom the match selects.
    pub(crate) fn share_of_canary(&self) -> i64 {
        match self.routes.filter(|_| self.plan.splits()) {
            Some(routes) => self.reached(routes.canary.percent()),
            None if self.apex == Side::Canary => 100,
            None => 0,
        }
    }

    /// What so many pods make of a weight.
    pub(crate) fn reached(&self, weight: i64) -> i64 {
        match self.pods.filter(|_| self.plan.weighs_by_pods()) {
            Some(pods) if weight < 100 => pods.reached(Weight::clamped(weight)).percent(),
            Some(_) | None => weight,
        }
    }

    pub(crate) fn is_alive(&self, side: Side) -> bool {
        let workload = match side {
            Side::Primary => &self.primary,
            Side::Canary => &self.target,
        };
        workload
            .as_ref()
            .is_some_and(|workload| workload.ready(self.now) > 0)
    }

    fn side(&mut self, side: Side) -> Option<&mut Deployment> {
        match side {
            Side::Primary => self.primary.as_mut(),
            Side::Canary => self.target.as_mut(),
        }
    }

    /// What the controller sees.
    pub(crate) fn observe(&self) -> Observation {
        let seen_at = self.now - self.stale;
        let old = self.snapshots.iter().rev().find(|(at, ..)| *at <= seen_at);
        let snapshot = old.or_else(|| self.snapshots.first());
        let (target, primary) = match snapshot.filter(|_| !self.stale.is_zero()) {
            Some((_, target, primary)) => (target.clone(), primary.clone()),
            None => self.workloads(),
        };
        let ready = |workload: &Option<Workload>| {
            let ready = workload.as_ref().map_or(0, |workload| workload.ready);
            u32::try_from(ready).ok()
        };
        Observation {
            endpoints: SideCounts {
                primary: ready(&primary),
                canary: ready(&target),
            },
            target,
            primary,
            recorded_revision: self.record.clone(),
            configs: self.configs.clone(),
            pods: self.pods,
            routes: self.routes.map(|routes| Routes {
                canary: Weight::clamped(self.reached(routes.canary.percent())),
                ..routes
            }),
            pod_reasons: self.pod_reasons.clone(),
            standing: Standing::Accepted,
            route: RouteChoice::default(),
            answers: self.answers.clone(),
            actions: self.actions.clone(),
            peers: self.peers.clone(),
            turn: self.turn,
            warnings: Vec::new(),
            generation: None,
            obstacles: self.obstacles.clone(),
            same_revision: self.same_revision,
            deleting: self.deleting,
            has_finalizer: self.has_finalizer,
        }
    }

    fn workloads(&self) -> (Option<Workload>, Option<Workload>) {
        let seen = |side: &Option<Deployment>| side.as_ref().map(|side| side.seen(self.now));
        (seen(&self.target), seen(&self.primary))
    }

    // Time.

    /// Goes on until nothing more happens, or for an hour.
    pub(crate) fn run(&mut self) {
        let end = self.now + TimeDelta::seconds(3600);
        self.run_until(|world| world.now >= end);
    }

    /// Lets exactly so many seconds pass, whether anything happens in them or not.
    pub(crate) fn run_for(&mut self, seconds: i64) {
        let end = self.now + TimeDelta::seconds(seconds);
        for _ in 0..20_000 {
            self.advance();
            self.look();
            match self.next().filter(|next| *next <= end) {
                Some(next) => self.now = next,
                None => return self.now = end,
            }
        }
        panic!("this world does not come to rest\n{}", self.tale());
    }

    /// Goes on until this holds, or nothing more happens.
    pub(crate) fn run_until(&mut self, stop: impl Fn(&Self) -> bool) {
        for _ in 0..20_000 {
            self.advance();
            if stop(self) {
                return;
            }
            self.look();
            if stop(self) || !self.wait() {
                return;
            }
        }
        panic!("this world does not come to rest\n{}", self.tale());
    }

    /// What happens at this time; whether anything will happen later, where the time is then.
    pub(crate) fn step(&mut self) -> bool {
        self.advance();
        self.look();
        self.wait()
    }

    fn wait(&mut self) -> bool {
        let next = self.next();
        self.now = next.unwrap_or(self.now);
        next.is_some()
    }

    /// What the world does until now.
    fn advance(&mut self) {
        let (now, startup) = (self.now, self.startup.clone());
        for (side, workload) in [
            (Side::Canary, &mut self.target),
            (Side::Primary, &mut self.primary),
        ] {
            let startup = |revision: &str| {
                let known = startup.get(&(side, revision.to_owned()));
                known.copied().unwrap_or(Some(2)).map(TimeDelta::seconds)
            };
            if let Some(workload) = workload {
                workload.advance(now, startup);
            }
        }
        let due: Vec<_> = self
            .in_flight
            .extract_if(.., |(at, ..)| *at <= now)
            .collect();
        for (at, question, answer) in due {
            self.answers
                .retain(|known| known.question.subject != question.subject);
            self.answers.push(Answered {
                question,
                at,
                answer,
            });
        }
        self.play();
        let (target, primary) = self.workloads();
        let last = self.snapshots.last();
        if last.is_none_or(|(_, before, other)| (before, other) != (&target, &primary)) {
            self.snapshots.push((now, target, primary));
        }
    }

    /// Plays the script as far as it goes.
    fn play(&mut self) {
        while let Some(step) = self.script.front().cloned() {
            match step {
                Step::When(holds) if !holds(self) => break,
                Step::When(_) => {}
                Step::After(span) => {
                    if self.now < *self.script_at.get_or_insert(self.now + span) {
                        break;
                    }
                    self.script_at = None;
                }
                Step::Do(act) => act(self),
            }
            self.script.pop_front();
        }
    }

    fn next(&self) -> Option<DateTime<Utc>> {
        let workloads = [&self.target, &self.primary].into_iter().flatten();
        let workloads = workloads.filter_map(|workload| workload.next(self.now));
        let answers = self.in_flight.iter().map(|(at, ..)| *at);
        let seen = self.snapshots.iter().map(|(at, ..)| *at + self.stale);
        let wake = match self.wake {
            Wake::At(at) => Some(at),
            Wake::OnChange => None,
        };
        let times = workloads.chain(answers).chain(seen);
        times
            .chain(wake)
            .chain(self.script_at)
            .filter(|at| *at > self.now)
            .min()
    }
}
