//! The oracle: after every write of the simulated API server it checks the promises and the invariants of the failure catalogue on what users
//! would meet, never on what the controller believes.
//!
//! ```text
//!  write ──► plane (routes + endpoints) ──► shares of each revision, dead destinations ──► P1 P2 P3 P4 P6 INV-1 INV-2
//!      └───► before and after           ──► P7 P8 INV-5 INV-10
//! ```
//!
//! What the world does (pods die, somebody pushes) may break P2 and INV-2 for as long as a watch delivery takes; what we write may not, ever,
//! unless what we write was decided before the world changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use slipway_api::names::APEX_LABEL;
use slipway_sim::{Destination, Plane, Rule, Visit, World, Write};
use tokio::time::Instant;

use crate::objects::NAMESPACE;
use crate::play::{RIVAL, image};
use crate::scenario::{INTERVAL, Scenario, Story, Strategy, V1};
use crate::stage::SLIPWAY;

/// How long a side that lost its traffic stays up.
const SETTLE: Duration = Duration::from_secs(5);
/// What a watch delivery and the writes after it take at most.
const DELIVERY: Duration = Duration::from_secs(1);
/// Between two things that are one in time: virtual time passes in milliseconds.
const INSTANT: Duration = Duration::from_millis(50);
/// The application, by its names.
const TARGET: &str = "app";
const PRIMARY: &str = "app-primary";

/// What users would meet after one write.
#[derive(Clone, Debug, Default)]
struct Sight {
    /// The shares of each image among the users without anything special.
    shares: BTreeMap<String, f64>,
    /// And among those who send the header of A/B tests.
    beta: BTreeMap<String, f64>,
    /// The share of each workload among all who could be told apart, the largest of them.
    of_target: f64,
    of_primary: f64,
    /// Where requests go to nothing although somebody could answer.
    dead: Option<String>,
    /// Which Services have no ready pod.
    empty: BTreeSet<String>,
}

/// One revision that nobody has judged yet.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// When it was first at the target.
    pushed: Instant,
    /// The largest share that it has earned so far.
    reached: f64,
    /// When it got it.
    at: Instant,
}

/// The judge of one run.
#[derive(Debug)]
pub struct Oracle {
    scenario: Scenario,
    patience: Duration,
    last: Sight,
    dead_since: Option<Instant>,
    unearned_since: Option<Instant>,
    empty_since: BTreeMap<String, Instant>,
    left_target_at: Option<Instant>,
    paces: BTreeMap<String, Pace>,
    judged: BTreeSet<String>,
    stepped_at: Option<Instant>,
    is_going: bool,
    complaints: Vec<String>,
    tale: Vec<String>,
    began: Instant,
}

impl Oracle {
    /// A judge who allows corrections so much more time than a watch delivery.
    pub fn new(scenario: Scenario, patience: Duration) -> Self {
        Self {
            scenario,
            patience,
            last: Sight::default(),
            dead_since: None,
            unearned_since: None,
            empty_since: BTreeMap::new(),
            left_target_at: None,
            paces: BTreeMap::new(),
            judged: BTreeSet::from([V1.to_owned()]),
            stepped_at: None,
            is_going: false,
            complaints: Vec::new(),
            tale: Vec::new(),
            began: Instant::now(),
        }
    }

    /// What was not as promised.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.clone()
    }

    /// Every write that matters, for people.
    pub fn tale(&self) -> Vec<String> {
        self.tale.clone()
    }

    fn complain(&mut self, complaint: &str) {
        let at = self.began.elapsed().as_secs_f64();
        // The first of a kind tells it all.
        let kind: String = complaint.chars().take_while(|it| *it != ':').collect();
        let known = self.complaints.iter().filter(|it| it.contains(&kind));
        if known.count() < 3 {
            self.tale.push(format!("{at:.3} !!! {complaint}"));
            self.complaints.push(format!("{at:.3} {complaint}"));
        }
    }

    /// Looks at one write.
    pub fn see(&mut self, world: &World, write: &Write) {
        if matters(write) || is_label(write) {
            self.judge(world, write);
        }
    }

    /// Looks at the world without a write: what has been wrong since the last one, and lasts, is seen by nobody else.
    pub fn look(&mut self, world: &World) {
        self.alive(&Sight::of(world), false, Instant::now());
    }

    fn judge(&mut self, world: &World, write: &Write) {
        let now = Instant::now();
        let sight = Sight::of(world);
        let is_ours = write.by.as_ref() == SLIPWAY || write.by.as_ref() == RIVAL;
        self.note(write, &sight, is_ours);
        self.note_canary(write);
        self.alive(&sight, is_ours, now);
        self.earned(world, write, &sight, is_ours, now);
        if is_ours {
            self.conserved(write);
            self.labelled(world, write);
            self.ordered(world, write, &sight, now);
            self.capacity(write);
            self.manners(write);
        }
        self.paced(write, now);
        if sight.of_target > 0.0 {
            self.left_target_at = None;
        } else if self.last.of_target > 0.0 {
            self.left_target_at = Some(now);
        }
        self.last = sight;
    }

    fn note(&mut self, write: &Write, sight: &Sight, is_ours: bool) {
        let what = summary(write);
        if !is_ours && what.is_empty() {
            return;
        }
        let at = self.began.elapsed().as_secs_f64();
        let shares: Vec<String> = sight
            .shares
            .iter()
            .map(|(image, share)| format!("{image} {:.0}%", share * 100.0))
            .collect();
        let (kind, name) = (write.kind(), write.name());
        let line = format!(
            "{at:.3} {} {:?} {kind} {name}{} {what} [{}]",
            write.by,
            write.verb,
            if write.subresource.is_empty() {
                String::new()
            } else {
                format!("/{}", write.subresource)
            },
            shares.join(", "),
        );
        self.tale.push(line);
    }

    fn note_canary(&mut self, write: &Write) {
        if write.kind() == "Canary"
            && write
                .object()
                .is_some_and(|canary| canary.is_going() || write.after.is_none())
        {
            self.is_going = true;
        }
    }

    /// P2, INV-1: nobody is sent to nothing while somebody could answer.
    fn alive(&mut self, sight: &Sight, is_ours: bool, now: Instant) {
        for service in &sight.empty {
            self.empty_since.entry(service.clone()).or_insert(now);
        }
        self.empty_since
            .retain(|service, _| sight.empty.contains(service));
        match (&sight.dead, self.dead_since) {
            (Some(dead), None) => {
                self.dead_since = Some(now);
                let known = self.empty_since.get(dead).copied().unwrap_or(now);
                let stale = now.duration_since(known) <= INSTANT + self.patience;
                if is_ours && !stale {
                    self.complain(&format!(
                        "P2: our write sends users to {dead}, which has no ready pod"
                    ));
                }
            }
            (Some(dead), Some(since)) if now.duration_since(since) > DELIVERY + self.patience => {
                self.complain(&format!(
                    "P2: users are still sent to {dead}, which has no ready pod"
                ));
                self.dead_since = Some(now);
            }
            (None, Some(since)) => {
                if now.duration_since(since) > DELIVERY + self.patience {
                    let long = now.duration_since(since).as_secs_f64();
                    self.complain(&format!("P2: users were sent to nothing for {long:.1} s"));
                }
                self.dead_since = None;
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// P3, INV-2, INV-5: no revision gets more users than it has earned, and none becomes the primary that has not passed.
    fn earned(&mut self, world: &World, write: &Write, sight: &Sight, is_ours: bool, now: Instant) {
        self.note_pushed(world, now);
        self.pass(sight, now);
        if is_ours && write.kind() == "Deployment" && write.name() == PRIMARY {
            let given = image(write.after.as_deref().map(std::ops::Deref::deref));
            if !given.is_empty() && !self.judged.contains(&given) {
                self.complain(&format!(
                    "P3: {given} becomes the primary and has not passed"
                ));
            }
        }
        if self.is_going {
            return;
        }
        let worst = self.unearned(sight, now);
        match (worst, self.unearned_since) {
            (Some((image, what)), None) => {
                // Pods of a revision that has been replaced may still be on their way out.
                let is_held = self.paces.contains_key(&image);
                self.unearned_since = Some(now);
                if is_ours && is_held {
                    self.complain(&format!("INV-2: our write gives {what}"));
                }
            }
            (Some((_, what)), Some(since))
                if now.duration_since(since) > DELIVERY + self.patience =>
            {
                self.complain(&format!("INV-2: still {what}"));
                self.unearned_since = Some(now);
            }
            (None, _) => self.unearned_since = None,
            (Some(_), Some(_)) => {}
        }
    }

    /// A revision that is new at the target begins from nothing; one that was superseded and comes back, too.
    fn note_pushed(&mut self, world: &World, now: Instant) {
        let target = world.get("Deployment", NAMESPACE, TARGET);
        let held = image(target.as_deref().map(std::ops::Deref::deref));
        self.paces.retain(|image, _| *image == held);
        if !held.is_empty() && !self.judged.contains(&held) {
            self.paces.entry(held).or_insert(Pace {
                pushed: now,
                reached: 0.0,
                at: now,
            });
        }
    }

    /// Notes what has been earned: the next step after an interval at the one before, everything after all of them.
    fn pass(&mut self, sight: &Sight, now: Instant) {
        let (scenario, steps) = (self.scenario, self.scenario.steps());
        let mut passed = Vec::new();
        for (image, pace) in &mut self.paces {
            let share = sight.shares.get(image).copied().unwrap_or(0.0);
            if share <= 0.001 {
                // Whoever lost its traffic begins again.
                if pace.reached > 0.0 {
                    (pace.reached, pace.at) = (0.0, now);
                }
            }
            let ripe = now.duration_since(pace.pushed) + INSTANT >= scenario.analysis_time();
            let next = steps.iter().find(|step| **step > pace.reached + 0.001);
            let waited = now.duration_since(pace.at) + INSTANT >= INTERVAL;
            let has_waited = waited || pace.reached <= 0.0;
            if let Some(next) = next
                && share > pace.reached + 0.001
                // Whoever answers for a primary that cannot has met more users than its step.
                && (share <= next + 0.001 || sight.empty.contains(PRIMARY))
                && (*next < 1.0 && has_waited || *next >= 1.0 && ripe)
                && scenario.may_have_users(image)
            {
                (pace.reached, pace.at) = (*next, now);
            }
            let last = steps.last().copied().unwrap_or(0.0);
            let waited = now.duration_since(pace.at) + INSTANT >= INTERVAL;
            let whole = pace.reached + 0.001 >= last && (waited || last <= 0.0 || last >= 1.0);
            let skips = scenario.story == Story::SkipsAnalysis;
            if skips || whole && ripe && scenario.is_good(image) {
                passed.push(image.clone());
            }
        }
        for image in passed {
            self.paces.remove(&image);
            self.judged.insert(image);
        }
    }

    /// Who has more users than it has earned.
    fn unearned(&self, sight: &Sight, now: Instant) -> Option<(String, String)> {
        // While the primary cannot answer, whoever can does.
        let nobody_else = sight.empty.contains(PRIMARY);
        if nobody_else {
            return None;
        }
        let over = |image: &String, share: f64| {
            let earned = self.paces.get(image).map_or(0.0, |pace| pace.reached);
            !self.judged.contains(image) && share > earned + 0.001
        };
        let told = |image: &str, share: f64| {
            (
                image.to_owned(),
                format!("{image} {:.0}% of users", share * 100.0),
            )
        };
        let users = sight
            .shares
            .iter()
            .find(|(image, share)| over(image, **share));
        if let Some((image, share)) = users {
            return Some(told(image, *share));
        }
        // Those who asked for it get it, from the first iteration on.
        let ripe = |image: &String| {
            let pace = self.paces.get(image);
            self.scenario.strategy == Strategy::AbTesting
                && self.scenario.may_have_users(image)
                && pace.is_some_and(|pace| now >= pace.pushed)
        };
        let beta = sight.beta.iter();
        beta.filter(|(image, share)| over(image, **share) && !ripe(image))
            .map(|(image, share)| told(image, *share))
            .next()
    }

    /// P1: the weights of a route sum to 100.
    fn conserved(&mut self, write: &Write) {
        let Some(after) = write.after.as_deref() else {
            return;
        };
        let routes: Vec<i64> = match write.kind() {
            "VirtualService" => {
                let http = after.pointer("/spec/http").and_then(Value::as_array);
                let routes = http.into_iter().flatten().map(|http| http.get("route"));
                routes.flatten().map(sum_of_weights).collect()
            }
            "TrafficSplit" => after
                .pointer("/spec/backends")
                .map(sum_of_weights)
                .into_iter()
                .collect(),
            "HTTPRoute" => {
                let rules = after.pointer("/spec/rules").and_then(Value::as_array);
                let rules = rules.into_iter().flatten();
                let backends = rules.filter_map(|rule| rule.get("backendRefs"));
                backends.map(sum_of_weights).collect()
            }
            _ => return,
        };
        if routes.iter().any(|sum| *sum != 100) {
            self.complain(&format!(
                "P1: weights of {} sum to {routes:?}",
                write.kind()
            ));
        }
    }

    /// INV-2 where weight is made by pods: no label of ours on a pod makes the share of a revision that nobody judged larger than its step, whatever
    /// the endpoints say yet.
    fn labelled(&mut self, world: &World, write: &Write) {
        let apex = world.get("Service", NAMESPACE, "app");
        let selects = apex.is_some_and(|apex| {
            apex.pointer("/spec/selector")
                .is_some_and(|it| it.get(APEX_LABEL).is_some())
        });
        if write.kind() != "Pod" || !selects {
            return;
        }
        let pods = world.list("Pod", NAMESPACE);
        let carriers = pods
            .iter()
            .filter(|pod| carries_label(pod) && is_ready(pod));
        let (mut of, mut all) = (BTreeMap::new(), 0_u32);
        for pod in carriers {
            *of.entry(container_image(pod)).or_insert(0_u32) += 1;
            all += 1;
        }
        for (image, count) in of {
            let share = f64::from(count) / f64::from(all);
            let next = self
                .scenario
                .steps()
                .iter()
                .find(|step| **step + 0.001 >= share);
            let earned = self.paces.get(&image).map(|pace| pace.reached);
            let is_step = next.is_some_and(|next| {
                earned.is_some_and(|earned| {
                    let before = self.scenario.steps().iter().rfind(|step| **step < *next);
                    earned + 0.001 >= before.copied().unwrap_or(0.0)
                })
            });
            if !self.judged.contains(&image) && !is_step && !self.is_going {
                self.complain(&format!(
                    "INV-2: our labels give {image} {count} of {all} pods"
                ));
            }
        }
    }

    /// P4: traffic leaves a side before it is scaled down, and comes to a side only when it is ready.
    fn ordered(&mut self, world: &World, write: &Write, sight: &Sight, now: Instant) {
        let shrinks = write.kind() == "Deployment"
            && write.name() == TARGET
            && count(write.after.as_deref().map(std::ops::Deref::deref))
                < count(write.before.as_deref().map(std::ops::Deref::deref));
        if shrinks {
            if sight.of_target > 0.0 {
                self.complain("P4: the target is scaled down under traffic");
            }
            let settled = self
                .left_target_at
                .is_none_or(|at| now.duration_since(at) + INSTANT >= SETTLE);
            if !settled {
                self.complain("P4: the target is scaled down before traffic has settled");
            }
            if sight.empty.contains(PRIMARY) {
                self.complain("FC-010: the only side that answers is scaled down");
            }
        }
        let returns = sight.of_primary > self.last.of_primary + 0.001;
        let judged = {
            let target = world.get("Deployment", NAMESPACE, TARGET);
            let held = image(target.as_deref().map(std::ops::Deref::deref));
            self.judged.contains(&held) && self.scenario.is_good(&held)
        };
        if returns && judged && !sight.empty.contains("app-canary") && !self.is_going {
            let primary = world.get("Deployment", NAMESPACE, PRIMARY);
            if let Some(why) = primary.as_deref().and_then(|it| unready(it)) {
                self.complain(&format!(
                    "P4: traffic returns to a primary that is not ready: {why}"
                ));
            }
        }
    }

    /// P7: the primary is never made smaller by us.
    fn capacity(&mut self, write: &Write) {
        if write.kind() != "Deployment" || write.name() != PRIMARY {
            return;
        }
        if let (Some(before), Some(after)) = (&write.before, &write.after) {
            let (had, has) = (count(Some(before)), count(Some(after)));
            if has < had {
                self.complain(&format!(
                    "P7: our write shrinks the primary from {had} to {has}"
                ));
            }
        }
    }

    /// P8, INV-10: what is the user's stays, and of the target only the number of pods is ours.
    fn manners(&mut self, write: &Write) {
        let (Some(before), Some(after)) = (write.before.as_deref(), write.after.as_deref()) else {
            return;
        };
        for place in ["/metadata/annotations", "/metadata/labels"] {
            let kept = |object: &Value| {
                let all = object.pointer(place);
                all.and_then(|all| all.get("example.com/keep")).cloned()
            };
            let had = kept(before);
            if had.is_some() && had != kept(after) {
                self.complain(&format!(
                    "P8: {} of {} {} is gone",
                    place,
                    write.kind(),
                    write.name()
                ));
            }
        }
        if write.kind() == "Deployment" && write.name() == TARGET {
            let rest = |object: &Value| {
                let mut spec = object.get("spec").cloned().unwrap_or_default();
                if let Some(spec) = spec.as_object_mut() {
                    spec.remove("replicas");
                }
                spec
            };
            if rest(before) != rest(after) {
                self.complain("P8: our write changes the target beyond its replicas");
            }
        }
    }

    /// P6: two steps of one release are an interval apart, by the status that people read.
    fn paced(&mut self, write: &Write, now: Instant) {
        if write.kind() != "Canary" {
            return;
        }
        let (Some(before), Some(after)) = (write.before.as_deref(), write.after.as_deref()) else {
            return;
        };
        let started = |object: &Value| object.pointer("/status/slipway/release/startedAt").cloned();
        if started(before) != started(after) {
            self.stepped_at = None;
        }
        let number = |object: &Value, field: &str| {
            let found = object.pointer(&format!("/status/{field}"));
            found.and_then(Value::as_i64).unwrap_or(0)
        };
        let grew = |field: &str| number(after, field) > number(before, field);
        let phase = |object: &Value| object.pointer("/status/phase").cloned();
        let analysed = phase(before) == Some("Progressing".into());
        if analysed && (grew("canaryWeight") || grew("iterations")) {
            let early = self
                .stepped_at
                .is_some_and(|at| now.duration_since(at) + INSTANT < INTERVAL);
            if early {
                self.complain("P6: a step is taken early");
            }
            self.stepped_at = Some(now);
        }
    }
}

impl Scenario {
    /// Whether this revision may ever get a user before it has passed.
    fn may_have_users(self, image: &str) -> bool {
        let never = matches!(self.story, Story::FailsTests | Story::NeverReady);
        !(never && image == crate::scenario::V2)
    }
}

impl Sight {
    fn of(world: &World) -> Self {
        let apex = world.plane("app.test");
        let beta = Visit::default().header("x-user", "beta");
        let mut sight = Self::default();
        let services = [PRIMARY, "app-canary"].map(|name| world.plane(&format!("{name}.test")));
        for (name, plane) in [PRIMARY, "app-canary"].into_iter().zip(&services) {
            if !answers(plane) {
                sight.empty.insert(name.to_owned());
            }
        }
        let somebody = services.iter().any(answers) || answers(&apex);
        for (visit, is_beta) in [(Visit::default(), false), (beta, true)] {
            let Some(rule) = apex.rule(&visit) else {
                continue;
            };
            sight.meet(rule, is_beta);
            if somebody && sight.dead.is_none() {
                sight.dead = dead(rule);
            }
        }
        sight
    }

    fn meet(&mut self, rule: &Rule, is_beta: bool) {
        let mut of = BTreeMap::from([(TARGET, 0.0), (PRIMARY, 0.0)]);
        let shares = if is_beta {
            &mut self.beta
        } else {
            &mut self.shares
        };
        for (revision, share) in rule.shares() {
            *shares.entry(revision.image).or_insert(0.0) += share;
            if let Some(sum) = of.get_mut(revision.workload.as_str()) {
                *sum += share;
            }
        }
        self.of_target = self.of_target.max(of.get(TARGET).copied().unwrap_or(0.0));
        if !is_beta {
            self.of_primary = of.get(PRIMARY).copied().unwrap_or(0.0);
        }
    }
}

fn answers(plane: &Plane) -> bool {
    let destinations = plane.rules.iter().flat_map(|rule| &rule.destinations);
    destinations.into_iter().any(|it| !it.backends.is_empty())
}

/// The Service without a ready pod that a rule sends somebody to.
fn dead(rule: &Rule) -> Option<String> {
    let is_dead = |it: &&Destination| it.share > 0.0 && it.backends.is_empty();
    let mut all = rule.destinations.iter().chain(&rule.mirror);
    let found = all.find(is_dead);
    found.map(|it| it.service.rsplit('/').next().unwrap_or_default().to_owned())
}

/// Whether a write can change what is judged.
fn matters(write: &Write) -> bool {
    matches!(
        write.kind(),
        "Deployment"
            | "Service"
            | "EndpointSlice"
            | "VirtualService"
            | "DestinationRule"
            | "TrafficSplit"
            | "HTTPRoute"
            | "Canary"
            | "ConfigMap"
            | "HorizontalPodAutoscaler"
    )
}

/// Whether a write is a label of ours on a pod.
fn is_label(write: &Write) -> bool {
    write.kind() == "Pod" && [SLIPWAY, RIVAL].contains(&write.by.as_ref())
}

/// What a write changed, for people; empty where nobody wants to know.
fn summary(write: &Write) -> String {
    let Some(after) = write.after.as_deref() else {
        return "gone".to_owned();
    };
    let text = |place: &str| {
        after
            .pointer(place)
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    match write.kind() {
        "Canary" => format!(
            "{} weight {} iterations {} failed {} waits {}",
            text("/status/phase"),
            text("/status/canaryWeight"),
            text("/status/iterations"),
            text("/status/failedChecks"),
            text("/status/slipway/waiting/for"),
        ),
        "Deployment" if write.subresource != "status" => {
            format!("{} x{}", image(Some(after)), text("/spec/replicas"))
        }
        "Deployment" => format!(
            "ready {} updated {} of {}",
            text("/status/readyReplicas"),
            text("/status/updatedReplicas"),
            text("/spec/replicas"),
        ),
        "Service" => text("/spec/selector"),
        "Pod" if carries_label(after) => "is labelled".to_owned(),
        "Pod" => "is let go".to_owned(),
        "VirtualService" | "TrafficSplit" | "HTTPRoute" => "routes".to_owned(),
        _ => String::new(),
    }
}

fn sum_of_weights(route: &Value) -> i64 {
    let all = route.as_array().into_iter().flatten();
    let weights: Vec<Option<i64>> = all
        .map(|it| {
            let weight = it.get("weight")?;
            // A quantity may be written as a text.
            let text = weight.as_str().and_then(|text| text.parse().ok());
            weight.as_i64().or(text)
        })
        .collect();
    match weights.as_slice() {
        // One destination without a weight has everything.
        [None] => 100,
        weights => weights.iter().flatten().sum(),
    }
}

fn carries_label(pod: &Value) -> bool {
    let labels = pod.pointer("/metadata/labels");
    let is_going = pod.pointer("/metadata/deletionTimestamp").is_some();
    !is_going && labels.is_some_and(|labels| labels.get(APEX_LABEL).is_some())
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|it| {
        it.get("type") == Some(&"Ready".into()) && it.get("status") == Some(&"True".into())
    })
}

fn container_image(pod: &Value) -> String {
    let found = pod.pointer("/spec/containers/0/image");
    found.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn count(workload: Option<&Value>) -> i64 {
    let found = workload.and_then(|it| it.pointer("/spec/replicas"));
    found.and_then(Value::as_i64).unwrap_or(1)
}

/// Why a Deployment is not whole, as `kubectl rollout status` sees it.
fn unready(workload: &Value) -> Option<String> {
    let number = |place: &str| workload.pointer(place).and_then(Value::as_i64).unwrap_or(0);
    let wanted = count(Some(workload));
    let observed = number("/status/observedGeneration") >= number("/metadata/generation");
    let (updated, available) = (
        number("/status/updatedReplicas"),
        number("/status/availableReplicas"),
    );
    let whole = observed && updated >= wanted && available >= 1;
    (!whole).then(|| format!("{updated} updated and {available} available of {wanted}"))
}
