//! One run: a scenario from its first object to its rest, with a fault on the way and the oracle looking on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_sim::{Asked, Fault, Verb, Visit, Why};
use tokio::time::{Instant, sleep};

use crate::fault::Injected;
use crate::objects::NAMESPACE;
use crate::oracle::Oracle;
use crate::scenario::{Scaler, Scenario, Story, Strategy, V1, V2, V3, settings};
use crate::stage::{SLIPWAY, Stage};
use crate::wire::Call;

/// The name of the second controller, where there is one.
pub const RIVAL: &str = "slipway-rival";

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What was played.
    pub scenario: Scenario,
    /// What went wrong on purpose.
    pub fault: Injected,
    /// The seed of the world.
    pub seed: u64,
    /// Everything that was not as promised; empty is good.
    pub complaints: Vec<String>,
    /// What the controller asked the API server.
    pub asked: Vec<Asked>,
    /// What it asked outside.
    pub called: Vec<Call>,
    /// Every write, for people.
    pub tale: Vec<String>,
    /// How long it took in virtual time.
    pub took: Duration,
}

impl Ended {
    /// The command that plays it again.
    pub fn command(&self) -> String {
        let (scenario, fault, seed) = (self.scenario, self.fault, self.seed);
        format!("slipway sandbox --scenario {scenario} --fault {fault} --seed {seed}")
    }

    /// One text with everything that is needed to understand it.
    pub fn report(&self) -> String {
        let (scenario, fault) = (self.scenario, self.fault);
        let complaints = self.complaints.join("\n  ");
        let tale = self.tale.join("\n  ");
        format!("{scenario} with {fault}:\n  {complaints}\nTale:\n  {tale}")
    }
}

/// How long a killed controller is away.
const AWAY: Duration = Duration::from_secs(1);
/// How long callers take to learn of a change: less than the settle time.
const LAG: Duration = Duration::from_secs(2);
/// How long one thing may take at most.
const PATIENCE: Duration = Duration::from_mins(15);

/// Plays a scenario with a fault, in virtual time of its own.
pub fn play(scenario: Scenario, fault: Injected, seed: u64) -> Ended {
    let run = async { Play::begin(scenario, fault, seed).run().await };
    match slipway_sim::runtime() {
        Ok(runtime) => runtime.block_on(run),
        Err(error) => Ended {
            scenario,
            fault,
            seed,
            complaints: vec![format!("no runtime: {error}")],
            asked: Vec::new(),
            called: Vec::new(),
            tale: Vec::new(),
            took: Duration::ZERO,
        },
    }
}

struct Play {
    scenario: Scenario,
    fault: Injected,
    seed: u64,
    stage: Stage,
    oracle: Arc<Mutex<Oracle>>,
    crashes: u32,
    complaints: Vec<String>,
    began: Instant,
}

impl Play {
    fn begin(scenario: Scenario, fault: Injected, seed: u64) -> Self {
        let mut flags = vec!["-metrics-server=http://prometheus:9090"];
        if fault.elects() {
            flags.push("-enable-leader-election");
        }
        let mut stage = Stage::live(seed, &flags);
        let world = stage.world.clone();
        world.set_propagation(LAG);
        for (which, behaviour) in scenario.behaviours() {
            world.script(which, behaviour);
        }
        let wanted = scenario.autoscaled();
        world.set_autoscaler(NAMESPACE, "app", wanted);
        world.set_autoscaler(NAMESPACE, "app-primary", wanted);
        stage.apply(&scenario.workload());
        let oracle = Arc::new(Mutex::new(Oracle::new(scenario, fault.patience())));
        let looking = Arc::clone(&oracle);
        world.on_write(move |world, write| {
            let mut oracle = looking.lock().unwrap_or_else(PoisonError::into_inner);
            oracle.see(world, write);
        });
        inject(&stage, fault);
        stage.start();
        if fault.has_rival() {
            stage.start_as(RIVAL);
        }
        Self {
            scenario,
            fault,
            seed,
            stage,
            oracle,
            crashes: 0,
            complaints: Vec::new(),
            began: Instant::now(),
        }
    }

    async fn run(mut self) -> Ended {
        let scene = self.act().await;
        if let Err(stuck) = scene {
            self.complaints.push(stuck);
        } else if let Err(stuck) = self.settle().await {
            self.complaints.push(stuck);
        } else {
            self.judge_end();
        }
        self.judge_users();
        self.judge_alerts();
        let mut oracle = self.oracle.lock().unwrap_or_else(PoisonError::into_inner);
        oracle.look(&self.stage.world);
        let mut complaints = oracle.complaints();
        complaints.extend(self.complaints.clone());
        Ended {
            scenario: self.scenario,
            fault: self.fault,
            seed: self.seed,
            complaints,
            asked: self.stage.world.faults(SLIPWAY).asked(),
            called: self.stage.wire.calls(),
            tale: oracle.tale(),
            took: self.began.elapsed(),
        }
    }

    /// What the user does.
    async fn act(&mut self) -> Result<(), String> {
        let world = self.stage.world.clone();
        self.call_as_users();
        self.until("the workload serves", |play| {
            play.stage
                .world
                .plane("app.test")
                .shares()
                .values()
                .sum::<f64>()
                > 0.99
        })
        .await?;
        sleep(Duration::from_secs(5)).await;
        world.users().begin_anew();
        self.stage.apply(&self.scenario.canary());
        self.until("Initialized", |play| {
            play.stage.status().phase == Phase::Initialized
        })
        .await?;
        self.wait(Duration::from_secs(30)).await;
        if self.scenario.story == Story::IsDeleted {
            return self.delete();
        }
        if self.scenario.story == Story::FailsTests {
            world.receivers().close("conformance.hooks");
        }
        if self.scenario.story == Story::WaitsAtGate {
            world.receivers().close("gate.hooks");
        }
        if self.scenario.story == Story::HasNoData {
            world.prometheus().answer("", slipway_sim::Reply::no_data());
        }
        if self.scenario.story == Story::ChangesConfig {
            self.stage.apply(&[settings("2")]);
        } else {
            self.push(V2)?;
        }
        self.turn().await
    }

    /// What the user does half-way.
    async fn turn(&mut self) -> Result<(), String> {
        let world = self.stage.world.clone();
        match self.scenario.story {
            Story::IsSuperseded => {
                self.until_midway().await?;
                self.push(V3)
            }
            Story::IsSupersededLate => {
                self.until("Promoting", |play| {
                    matches!(
                        play.stage.status().phase,
                        Phase::Promoting | Phase::Finalising | Phase::Succeeded
                    )
                })
                .await?;
                self.push(V3)
            }
            Story::IsReverted => {
                self.until_midway().await?;
                self.push(V1)
            }
            Story::IsDeletedMidway => {
                self.until_midway().await?;
                self.delete()
            }
            Story::IsScaledAway => {
                self.until_midway().await?;
                let gone = json!({"spec": {"replicas": 0}});
                let patched = world.patch("deployment", NAMESPACE, "app", &gone);
                patched.map(|_| ()).map_err(|error| error.to_string())
            }
            Story::LosesPrimary => {
                self.until_midway().await?;
                let of_primary = |pod: &slipway_sim::Object| {
                    pod.pointer("/metadata/labels/app") == Some(&json!("app-primary"))
                };
                world.break_pods(NAMESPACE, of_primary);
                self.wait(Duration::from_secs(30)).await;
                world.mend_pods();
                Ok(())
            }
            Story::IsSuspended => {
                self.until_midway().await?;
                self.suspend(true)?;
                self.wait(Duration::from_mins(5)).await;
                self.suspend(false)
            }
            Story::WaitsAtGate => {
                self.until("the gate is asked", |play| {
                    play.stage.status().phase == Phase::WaitingPromotion
                })
                .await?;
                self.wait(Duration::from_mins(5)).await;
                world.receivers().open("gate.hooks");
                Ok(())
            }
            Story::Promotes
            | Story::Breaches
            | Story::IsSlow
            | Story::NeverReady
            | Story::Dies
            | Story::IsDeleted
            | Story::FailsTests
            | Story::ChangesConfig
            | Story::BreaksPrimary
            | Story::Recreates
            | Story::RecreatesBroken
            | Story::HasNoData
            | Story::SkipsAnalysis => Ok(()),
        }
    }

    fn call_as_users(&self) {
        let users = self.stage.world.users();
        users.call("app.test", 50.0);
        if self.scenario.strategy == Strategy::AbTesting {
            users.call_as("app.test", 20.0, Visit::default().header("x-user", "beta"));
        }
        if matches!(self.scenario.strategy, Strategy::BlueGreen) {
            // The load test that a blue/green release is judged by.
            users.call("app-canary.test", 20.0);
        }
    }

    fn push(&mut self, image: &str) -> Result<(), String> {
        let pushed = self.stage.world.set_image(NAMESPACE, "app", image);
        pushed.map(|_| ()).map_err(|error| error.to_string())
    }

    fn suspend(&mut self, is_on: bool) -> Result<(), String> {
        let patch = json!({"spec": {"suspend": is_on}});
        let patched = self.stage.world.patch("canary", NAMESPACE, "app", &patch);
        patched.map(|_| ()).map_err(|error| error.to_string())
    }

    fn delete(&mut self) -> Result<(), String> {
        let deleted = self.stage.world.delete("canary", NAMESPACE, "app");
        deleted.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn until_midway(&mut self) -> Result<(), String> {
        self.until("half-way", |play| {
            let status = play.stage.status();
            status.canary_weight >= 60 || status.iterations >= 2
        })
        .await
    }

    /// Waits until something is so; a controller that was killed is started again meanwhile.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if is_so(self) {
                return Ok(());
            }
            let mut looks = 0;
            self.unless_killed(Duration::from_secs(1), |_| {
                looks += 1;
                looks > 1
            })
            .await;
        }
        let status = serde_json::to_string(&self.stage.status()).unwrap_or_default();
        Err(format!("P5: never came to: {what}; it stands at {status}"))
    }

    /// Lets time pass.
    async fn wait(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let rest = end - Instant::now();
            self.unless_killed(rest, |_| false).await;
        }
    }

    /// Waits for a write, or a while; a controller that is killed meanwhile is started again.
    async fn unless_killed(
        &mut self,
        patience: Duration,
        is_so: impl FnMut(&slipway_sim::World) -> bool,
    ) {
        let world = self.stage.world.clone();
        let faults = world.faults(SLIPWAY);
        let killed = tokio::select! {
            biased;
            () = faults.crashed() => true,
            _ = world.eventually(patience, is_so) => false,
        };
        if killed {
            self.crashes += 1;
            self.stage.kill();
            sleep(AWAY).await;
            self.stage.start();
        }
    }

    /// Waits until the release rests: its end is reached, and nothing is written for a minute.
    async fn settle(&mut self) -> Result<(), String> {
        let ending = self.scenario.ending();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            self.until("its end", |play| play.is_at(ending.phase))
                .await?;
            let before = self.writes();
            self.wait(Duration::from_mins(1)).await;
            if self.writes() == before && self.is_at(ending.phase) {
                return Ok(());
            }
        }
        Err("P5: it never rests".to_owned())
    }

    fn is_at(&self, phase: Option<Phase>) -> bool {
        match phase {
            None => self.stage.object("Canary", "app").is_none(),
            Some(Phase::Succeeded) => {
                self.stage.status().phase == Phase::Succeeded
                    && self.primary_image() == self.scenario.ending().serves
            }
            Some(phase) => self.stage.status().phase == phase,
        }
    }

    fn primary_image(&self) -> String {
        let primary = self.stage.object("Deployment", "app-primary");
        image(primary.as_ref())
    }

    /// How many writes there were so far, leases aside.
    fn writes(&self) -> usize {
        let world = &self.stage.world;
        let all = [SLIPWAY, RIVAL].map(|who| world.faults(who).asked());
        let counts = all.iter().flatten();
        counts
            .filter(|asked| asked.verb.is_write() && asked.resource != "leases")
            .count()
    }

    fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    /// At the end: who serves, at what size, and what the object says.
    fn judge_end(&mut self) {
        let ending = self.scenario.ending();
        let plane = self.stage.world.plane("app.test");
        for (revision, share) in plane.shares() {
            if revision.image != ending.serves {
                let image = &revision.image;
                self.complain(format!("P5: {share} of users are left at {image}"));
            }
        }
        let served: f64 = plane.shares().values().sum();
        if (served - 1.0).abs() > 0.001 {
            self.complain(format!("P2: at the end {served} of users are served"));
        }
        if plane.rules.iter().any(|rule| rule.mirror.is_some()) {
            self.complain("FC-008: the mirror is left".to_owned());
        }
        let target = self.stage.object("Deployment", "app");
        let replicas = target
            .as_ref()
            .and_then(|target| target.pointer("/spec/replicas"))
            .and_then(Value::as_i64);
        if ending.target_rests != (replicas == Some(0)) {
            self.complain(format!(
                "P5: at the end the target has {replicas:?} replicas"
            ));
        }
        if ending.phase == Some(Phase::Failed) {
            let slipway = self.stage.status().slipway.unwrap_or_default();
            if slipway.reason.is_none() {
                self.complain("INV-7: it failed without a reason".to_owned());
            }
        }
        if self.scenario.story == Story::ChangesConfig {
            let copy = self.stage.object("ConfigMap", "settings-primary");
            let value = copy.as_ref().and_then(|copy| copy.pointer("/data/value"));
            if value != Some(&json!("2")) {
                self.complain(format!("INV-5: the primary's config holds {value:?}"));
            }
        }
        if self.scenario.scaler == Scaler::Hpa
            && ending.phase.is_some()
            && self
                .stage
                .object("HorizontalPodAutoscaler", "app-primary")
                .is_none()
        {
            self.complain("P7: the primary has no autoscaler".to_owned());
        }
    }

    /// No request of a user was lost, unless the world took the pods away.
    fn judge_users(&mut self) {
        let losses = self.stage.world.users().losses();
        let lost: f64 = losses
            .iter()
            .filter(|loss| loss.host == "app.test" && loss.why != Why::Error)
            .map(|loss| loss.requests)
            .sum();
        if lost > 0.001 && !self.scenario.loses_pods() {
            let first = losses.iter().find(|loss| loss.host == "app.test");
            self.complain(format!("P2: users lost {lost} requests, first {first:?}"));
        }
    }

    /// Each alert came once, after a crash at most once more.
    fn judge_alerts(&mut self) {
        let received = self.stage.world.receivers().received_at("chat.hooks");
        let mut told: BTreeMap<String, u32> = BTreeMap::new();
        for alert in &received {
            let key = alert.headers.get("idempotency-key");
            let key = key.and_then(|key| key.to_str().ok()).unwrap_or_default();
            *told.entry(key.to_owned()).or_default() += 1;
        }
        let allowed = 1 + self.crashes + self.fault.second_voices();
        let most = told.values().max().copied().unwrap_or(0);
        if most > allowed || told.contains_key("") {
            self.complain(format!("INV-8: an alert came {most} times"));
        }
        if told.is_empty() && self.scenario.ending().phase.is_some() {
            self.complain("INV-8: nothing was told".to_owned());
        }
    }
}

/// The image of a workload's first container.
pub fn image(workload: Option<&Value>) -> String {
    let found = workload.and_then(|it| it.pointer("/spec/template/spec/containers/0/image"));
    found.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn is_lease(asked: &Asked) -> bool {
    asked.resource == "leases"
}

fn inject(stage: &Stage, fault: Injected) {
    let faults = stage.world.faults(SLIPWAY);
    match fault {
        Injected::Nothing | Injected::Twins => {}
        Injected::Api { call, fault } => {
            faults.at_request(call, fault);
        }
        Injected::Outside { call, reply } => stage.wire.at_call(call, reply.reply()),
        Injected::Slow { delay } => stage.world.lag_watches(SLIPWAY, delay, 0),
        Injected::Stale { call, events } => {
            let world = stage.world.clone();
            faults.at_nth(1, Fault::Delay(Duration::ZERO), move |asked| {
                if asked.number == call {
                    tokio::spawn(fall_behind(world.clone(), events));
                }
                asked.number >= call
            });
        }
        Injected::Expired { call } => {
            let world = stage.world.clone();
            faults.at_nth(1, Fault::Delay(Duration::ZERO), move |asked| {
                if asked.number == call {
                    let world = world.clone();
                    tokio::spawn(async move { world.expire_watches(SLIPWAY) });
                }
                asked.number >= call
            });
        }
        Injected::StaleLeader { write } => cut_off(&faults, write),
    }
}

async fn fall_behind(world: slipway_sim::World, events: usize) {
    world.lag_watches(SLIPWAY, Duration::ZERO, events);
    sleep(Duration::from_secs(20)).await;
    world.lag_watches(SLIPWAY, Duration::ZERO, 0);
}

/// The `n`th write comes long after the lease of its writer has ended, and the writer never hears of the lease again.
fn cut_off(faults: &slipway_sim::Faults, n: u64) {
    let writes = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&writes);
    faults.always(Fault::Delay(Duration::from_secs(40)), move |asked| {
        let counts = asked.verb.is_write() && !is_lease(asked);
        counts && seen.fetch_add(1, Ordering::Relaxed) + 1 == n
    });
    faults.always(Fault::Unreachable, move |asked| {
        is_lease(asked) && writes.load(Ordering::Relaxed) >= n && asked.verb != Verb::Watch
    });
}
