//! The show: plays the acts of a scenario in virtual time, and writes down what happens.
//!
//! It moves in ticks of fixed length and looks at the world between two, so that what is seen is a function of the seed, whatever the pace.

use std::time::Duration;

use serde_json::Value;
use slipway_api::Phase;
use slipway_sim::{Reply, Report, Which, World};

use super::acts::{AWAY, Act, Nature, Scenario, Twist};
use super::cluster::{Cluster, FIRST_VERSION, NAMESPACE, Service, image};
use super::picture::{Release, Requests, primary_of};
use super::words;

/// The length of a tick.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// How long the audience has to read what comes next.
const READING: Duration = Duration::from_secs(20);
/// How long an outcome stands before the next act.
const APPLAUSE: Duration = Duration::from_secs(20);
/// How long a release may take before the show goes on without it.
const PATIENCE: Duration = Duration::from_hours(1);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Since the beginning of the world.
    pub(super) at: Duration,
    pub(super) voice: Voice,
    pub(super) text: String,
}

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// The show itself: a new act, an accident.
    Story,
    /// An event of the cluster.
    Event,
    /// An event of the cluster that warns.
    Warning,
    /// A hook was called.
    Hook,
    /// A hook was called and said no.
    Refusal,
    /// How a release ended.
    Outcome,
}

/// Where the show is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The services are installed one after the other.
    Opening { installed: usize },
    /// An act is announced.
    Lead { until: Duration },
    /// A release runs.
    Playing {
        since: Duration,
        begun: bool,
        twist: Accident,
    },
    /// It has ended.
    Ended { until: Duration },
    /// All acts are over.
    Over,
}

/// What became of the twist of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accident {
    Ahead,
    /// The controller is away until then.
    Away {
        until: Duration,
    },
    Past,
}

/// How one act ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) act: Act,
    /// What everybody had before.
    pub(super) from: String,
    pub(super) phase: Phase,
    pub(super) took: Duration,
    /// What users of all services got meanwhile.
    pub(super) users: Requests,
    /// What the new version answered while it was judged.
    pub(super) canary: Requests,
    /// How many requests would have failed, had the new version gone to everybody at once.
    pub(super) at_once: f64,
    pub(super) reason: String,
}

/// What was counted when an act began, and how long users met the new version since.
#[derive(Clone, Debug, Default)]
struct Ledger {
    from: String,
    users: Requests,
    canary: Requests,
    exposed: Duration,
}

/// The show.
pub(super) struct Show {
    cluster: Cluster,
    pub(super) scenario: &'static Scenario,
    pub(super) stage: Stage,
    /// The act that plays, or the last one.
    pub(super) at: usize,
    pub(super) log: Vec<Line>,
    pub(super) outcomes: Vec<Outcome>,
    ledger: Ledger,
    last_event: u64,
    calls_seen: usize,
    /// The hooks of this act, and what each said last.
    hooks: [(&'static str, Option<bool>); 2],
}

/// The hooks of every Canary here, before anything was said.
const SILENT: [(&str, Option<bool>); 2] = [(words::ACCEPTANCE, None), (words::LOAD, None)];

impl Show {
    /// Must be called inside of a runtime whose clock is paused.
    pub(super) fn new(world: World, scenario: &'static Scenario) -> anyhow::Result<Self> {
        let mut show = Self {
            cluster: Cluster::new(world)?,
            scenario,
            stage: Stage::Opening { installed: 0 },
            at: 0,
            log: Vec::new(),
            outcomes: Vec::new(),
            ledger: Ledger::default(),
            last_event: 0,
            calls_seen: 0,
            hooks: SILENT,
        };
        show.say(Voice::Story, words::opening());
        Ok(show)
    }

    pub(super) fn world(&self) -> &World {
        &self.cluster.world
    }

    /// Since the beginning of the world.
    pub(super) fn now(&self) -> Duration {
        self.world().clock().elapsed()
    }

    /// The act that plays, or the one that comes first.
    pub(super) fn act(&self) -> Act {
        // Scenarios without an act do not exist; see the test.
        let acts = self.scenario.acts;
        acts.get(self.at)
            .or_else(|| acts.last())
            .copied()
            .unwrap_or(super::acts::GOOD)
    }

    /// The service that everybody looks at.
    pub(super) fn focus(&self) -> Service {
        match self.stage {
            Stage::Opening { installed } => {
                let at = installed.saturating_sub(1);
                Service::ALL.get(at).copied().unwrap_or(Service::Frontend)
            }
            Stage::Lead { .. } | Stage::Playing { .. } | Stage::Ended { .. } | Stage::Over => {
                self.act().service
            }
        }
    }

    pub(super) fn release(&self, service: Service) -> Release {
        Release::of(self.world(), service)
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Lets one tick pass.
    ///
    /// # Errors
    /// When the cluster refuses what the show does to it.
    pub(super) async fn tick(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(TICK).await;
        // What chance does to requests depends on when somebody looks: everybody looks at every tick, whoever shows it.
        self.users();
        self.listen();
        self.step()
    }

    fn say(&mut self, voice: Voice, text: impl Into<String>) {
        let at = self.now();
        let text = text.into();
        self.log.push(Line { at, voice, text });
    }

    fn step(&mut self) -> anyhow::Result<()> {
        let now = self.now();
        match self.stage {
            Stage::Opening { installed } => self.open(installed),
            Stage::Lead { until } if now >= until => self.push(),
            Stage::Playing {
                since,
                begun,
                twist,
            } => self.play(since, begun, twist),
            Stage::Ended { until } if now >= until => {
                self.go_on();
                Ok(())
            }
            Stage::Lead { .. } | Stage::Ended { .. } | Stage::Over => Ok(()),
        }
    }

    /// Installs the next service once the one before has its primary: one by one, so that nothing depends on who is quicker.
    fn open(&mut self, installed: usize) -> anyhow::Result<()> {
        let last = installed.checked_sub(1).and_then(|at| Service::ALL.get(at));
        let is_up = last.is_none_or(|last| self.release(*last).phase() == Phase::Initialized);
        if !is_up {
            return Ok(());
        }
        if let Some(next) = Service::ALL.get(installed) {
            self.cluster.install(*next)?;
            self.stage = Stage::Opening {
                installed: installed + 1,
            };
        } else {
            self.cluster.open();
            self.say(Voice::Story, words::opened());
            self.lead();
        }
        Ok(())
    }

    fn lead(&mut self) {
        let act = self.act();
        let title = words::title(self.at, self.scenario.acts.len(), &act);
        self.say(Voice::Story, title);
        self.say(Voice::Story, act.lead);
        self.stage = Stage::Lead {
            until: self.now() + READING,
        };
    }

    /// A developer pushes the new version.
    fn push(&mut self) -> anyhow::Result<()> {
        let act = self.act();
        let world = self.world().clone();
        world.script(Which::image(image(act.version)), act.nature.behaviour());
        if act.nature == Nature::Untested {
            let refusal = Reply::Http(500, "no token in the answer".into());
            world.receivers().answer("tester.app", refusal);
        }
        let report = world.users().report();
        self.ledger = Ledger {
            from: self.release(act.service).primary.version,
            users: Requests::of(&report),
            canary: Requests::of_workload(&report, act.service.name()),
            exposed: Duration::ZERO,
        };
        self.hooks = SILENT;
        self.cluster.push(act.service, act.version)?;
        self.say(Voice::Story, words::pushed(&act));
        self.stage = Stage::Playing {
            since: self.now(),
            begun: false,
            twist: Accident::Ahead,
        };
        Ok(())
    }

    fn play(&mut self, since: Duration, begun: bool, twist: Accident) -> anyhow::Result<()> {
        let release = self.release(self.act().service);
        if release.weight() > 0 || release.is_mirrored() {
            self.ledger.exposed += TICK;
        }
        let begun = begun || release.is_busy();
        let ended = begun && matches!(release.phase(), Phase::Succeeded | Phase::Failed);
        if ended || self.now() > since + PATIENCE {
            self.end(since, &release);
            return Ok(());
        }
        let twist = self.twist(twist, &release)?;
        self.stage = Stage::Playing {
            since,
            begun,
            twist,
        };
        Ok(())
    }

    fn twist(&mut self, twist: Accident, release: &Release) -> anyhow::Result<Accident> {
        match (twist, self.act().twist) {
            (Accident::Ahead, Twist::PodsDie { at_weight }) if release.weight() >= at_weight => {
                let name = release.service.name();
                let killed = self.world().kill_pods(NAMESPACE, |pod| {
                    pod.pointer("/metadata/labels/app").and_then(Value::as_str) == Some(name)
                });
                self.say(Voice::Story, words::pods_died(release, killed));
                Ok(Accident::Past)
            }
            (Accident::Ahead, Twist::ControllerDies { at_weight })
                if release.weight() >= at_weight =>
            {
                self.cluster.kill_controller();
                self.say(Voice::Story, words::controller_died());
                Ok(Accident::Away {
                    until: self.now() + AWAY,
                })
            }
            (Accident::Away { until }, _) if self.now() >= until => {
                self.cluster.start_controller()?;
                self.say(Voice::Story, words::controller_is_back(release));
                Ok(Accident::Past)
            }
            (Accident::Ahead | Accident::Away { .. } | Accident::Past, _) => Ok(twist),
        }
    }

    fn end(&mut self, since: Duration, release: &Release) {
        let act = self.act();
        self.world().receivers().open("tester.app");
        let report: Report = self.world().users().report();
        let canary = Requests::of_workload(&report, act.service.name()).since(self.ledger.canary);
        let outcome = Outcome {
            act,
            from: std::mem::take(&mut self.ledger.from),
            phase: release.phase(),
            took: self.now().saturating_sub(since),
            users: Requests::of(&report).since(self.ledger.users),
            canary,
            at_once: canary.had_all_been_so(self.ledger.exposed.as_secs_f64()),
            reason: release.reason().unwrap_or_default().to_owned(),
        };
        self.say(Voice::Outcome, words::outcome(&outcome));
        self.outcomes.push(outcome);
        self.stage = Stage::Ended {
            until: self.now() + APPLAUSE,
        };
    }

    fn go_on(&mut self) {
        if self.at + 1 < self.scenario.acts.len() {
            self.at += 1;
            self.lead();
        } else {
            self.stage = Stage::Over;
        }
    }

    /// Writes down what was called and told since the last tick: hooks first, since events tell what follows from them.
    fn listen(&mut self) {
        let received = self.world().receivers().received();
        for call in received.iter().skip(self.calls_seen) {
            let passed = !matches!(&call.answer, Reply::Http(code, _) if *code >= 300);
            self.hear(&call.json(), passed);
        }
        self.calls_seen = received.len();
        let mut events: Vec<(u64, Voice, String)> = self
            .world()
            .list("event", NAMESPACE)
            .iter()
            .filter_map(|event| told(event))
            .filter(|(version, _, _)| *version > self.last_event)
            .collect();
        events.sort_by_key(|(version, _, _)| *version);
        for (version, voice, text) in events {
            self.last_event = version;
            self.say(voice, text);
        }
    }

    /// Notes what a hook said, and tells it when that is new: a load test is called at every check.
    fn hear(&mut self, payload: &Value, passed: bool) {
        let name = words::hook_name(payload);
        let Some(known) = self.hooks.iter_mut().find(|(known, _)| *known == name) else {
            return;
        };
        let before = known.1.replace(passed);
        if before != Some(passed) {
            let voice = if passed { Voice::Hook } else { Voice::Refusal };
            self.say(voice, words::hook(payload, passed));
        }
    }

    /// The hooks of this act, and what each said last.
    pub(super) fn hooks(&self) -> [(&'static str, Option<bool>); 2] {
        self.hooks
    }

    /// Everything that users got so far.
    pub(super) fn users(&self) -> Requests {
        Requests::of(&self.world().users().report())
    }

    /// The workload that serves the focus.
    pub(super) fn primary(&self) -> String {
        primary_of(self.focus())
    }

    /// What a service ran when the act began.
    pub(super) fn from(&self) -> &str {
        if self.ledger.from.is_empty() {
            FIRST_VERSION
        } else {
            &self.ledger.from
        }
    }
}

/// An event of a Canary, with its place in the order of writes.
fn told(event: &Value) -> Option<(u64, Voice, String)> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let is_ours = text("/involvedObject/kind") == Some("Canary");
    let version = text("/metadata/resourceVersion")?.parse().ok()?;
    let voice = match text("/type") {
        Some("Warning") => Voice::Warning,
        _ => Voice::Event,
    };
    is_ours.then(|| {
        (
            version,
            voice,
            text("/message").unwrap_or_default().to_owned(),
        )
    })
}
