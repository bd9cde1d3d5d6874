//! The users: requests at a rate, sent where the data plane said a lag ago, answered by pods that live now.
//!
//! Nothing runs between two looks: what happened is worked out from the changes of the plane and of the pods, second by second, when somebody asks.

mod book;

pub(crate) use book::{Book, Counter, Series};
pub use book::{Loss, Report, Tally, Why};

use crate::clock::{Chance, Clock, whole};
use crate::json::text;
use crate::mesh::{Backend, Eye, Plane, Visit, count};
use crate::server::kinds;
use crate::server::store::{Object, Write};
use crate::workloads::is_serving;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Users who call one host in one way.
#[derive(Clone, Debug, PartialEq)]
pub struct Audience {
    /// `podinfo.test`, or a name from outside that a route knows.
    pub host: String,
    /// Requests a second.
    pub rate: f64,
    /// What their requests look like.
    pub visit: Visit,
}

/// How many requests fail: the expected share, or a draw from the world's seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// Fractions of requests, without noise.
    #[default]
    Expected,
    /// Whole requests, with the noise of real ones.
    Drawn,
}

#[derive(Debug, Default)]
struct Host {
    /// What the plane was from when on, the oldest that can still matter first.
    history: VecDeque<(Instant, Arc<Plane>)>,
    /// The Services that the plane depends on.
    services: BTreeSet<String>,
}

/// The traffic of all users.
#[derive(Debug)]
pub(crate) struct Traffic {
    clock: Clock,
    chance: Chance,
    audiences: Vec<Audience>,
    carry: Vec<f64>,
    hosts: BTreeMap<String, Host>,
    /// When pods began and ceased to answer; those that never changed answer.
    lives: HashMap<String, Vec<(Instant, bool)>>,
    marks: BTreeSet<Instant>,
    cursor: Instant,
    pub(crate) lag: Duration,
    pub(crate) sampling: Sampling,
    pub(crate) book: Book,
}

/// One piece of time in which nothing changes.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: Instant,
    to: Instant,
}

impl Piece {
    fn seconds(self) -> f64 {
        self.to.duration_since(self.from).as_secs_f64()
    }
}

impl Traffic {
    pub(crate) fn new(clock: Clock, chance: Chance) -> Self {
        Self {
            clock,
            chance,
            audiences: Vec::new(),
            carry: Vec::new(),
            hosts: BTreeMap::new(),
            lives: HashMap::new(),
            marks: BTreeSet::new(),
            cursor: Instant::now(),
            lag: Duration::ZERO,
            sampling: Sampling::default(),
            book: Book::default(),
        }
    }

    /// Lets an audience in, or changes the rate of one that is there.
    pub(crate) fn admit(&mut self, audience: Audience, eye: Eye<'_>) {
        self.advance();
        self.look_at(&audience.host, eye);
        let known = self
            .audiences
            .iter_mut()
            .find(|it| it.host == audience.host && it.visit == audience.visit);
        if let Some(known) = known {
            known.rate = audience.rate;
        } else {
            self.audiences.push(audience);
            self.carry.push(0.0);
        }
    }

    pub(crate) fn set_lag(&mut self, lag: Duration) {
        self.advance();
        self.lag = lag;
        let snapshots = self
            .hosts
            .values()
            .flat_map(|host| host.history.iter().map(|(at, _)| *at + lag));
        let lives = self.lives.values().flatten().map(|(at, _)| *at);
        self.marks = snapshots
            .chain(lives)
            .filter(|at| *at > self.cursor)
            .collect();
    }

    /// Looks at all hosts again: something that is no write has changed.
    pub(crate) fn look_again(&mut self, eye: Eye<'_>) {
        self.advance();
        let hosts: Vec<String> = self.hosts.keys().cloned().collect();
        for host in hosts {
            self.look_at(&host, eye);
        }
    }

    /// Takes in what writes mean for the routes and the pods.
    pub(crate) fn note(&mut self, writes: &[Write], eye: Eye<'_>) {
        if self.hosts.is_empty() {
            return;
        }
        self.advance();
        let now = self.cursor;
        let mut concerned: BTreeSet<String> = BTreeSet::new();
        for write in writes {
            if write.id == kinds::POD {
                self.note_pod(write, now);
            } else {
                let hosts = self
                    .hosts
                    .iter()
                    .filter(|(host, known)| known.depends_on(host, write));
                concerned.extend(hosts.map(|(host, _)| host.clone()));
            }
        }
        for host in concerned {
            self.look_at(&host, eye);
        }
    }

    fn note_pod(&mut self, write: &Write, now: Instant) {
        let answers = |pod: Option<&Arc<Object>>| pod.is_some_and(|pod| is_serving(pod));
        let (before, after) = (
            answers(write.before.as_ref()),
            answers(write.after.as_ref()),
        );
        let Some(pod) = write.object() else { return };
        if before != after {
            self.lives
                .entry(pod.uid().to_owned())
                .or_default()
                .push((now, after));
            self.marks.insert(now);
        }
        if write.after.is_none() {
            self.book.close(pod.uid(), self.second_of(now));
        }
    }

    fn look_at(&mut self, host: &str, eye: Eye<'_>) {
        let plane = eye.plane(host);
        let now = self.cursor;
        let known = self.hosts.entry(host.to_owned()).or_default();
        known.services = services_of(host, &plane);
        if known
            .history
            .back()
            .is_some_and(|(_, last)| **last == plane)
        {
            return;
        }
        known.history.push_back((now, Arc::new(plane)));
        self.marks.insert(now + self.lag);
    }

    fn second_of(&self, at: Instant) -> u64 {
        self.clock.since_start(at).as_secs()
    }

    /// Works out everything that has happened up to now.
    pub(crate) fn advance(&mut self) {
        let now = Instant::now();
        while self.cursor < now {
            let piece = Piece {
                from: self.cursor,
                to: self.end_of_piece(now),
            };
            for at in 0..self.audiences.len() {
                self.serve(at, piece);
            }
            self.cursor = piece.to;
        }
        self.forget_the_past();
    }

    fn end_of_piece(&self, now: Instant) -> Instant {
        if self.audiences.is_empty() {
            return now;
        }
        let next_second = self
            .clock
            .start_plus(Duration::from_secs(self.second_of(self.cursor) + 1));
        let after = (Bound::Excluded(self.cursor), Bound::Unbounded);
        let mark = self.marks.range(after).next().copied();
        mark.into_iter().fold(now.min(next_second), Instant::min)
    }

    fn serve(&mut self, at: usize, piece: Piece) {
        let Some(audience) = self.audiences.get(at).cloned() else {
            return;
        };
        let Some(requests) = self.requests(at, audience.rate * piece.seconds()) else {
            return;
        };
        let plane = self.plane_at(&audience.host, piece.from);
        let Some(rule) = plane.as_ref().and_then(|plane| plane.rule(&audience.visit)) else {
            self.lose(&audience.host, piece, requests, Why::NoRoute, None);
            return;
        };
        let mut split = Split::of(requests);
        let all: f64 = rule.destinations.iter().map(|it| it.share).sum();
        for destination in rule.destinations.iter().filter(|it| it.share > 0.0) {
            let part = self.part(&mut split, destination.share / all);
            self.spread(&audience.host, piece, part, &destination.backends);
        }
        if all <= 0.0 {
            self.lose(&audience.host, piece, requests, Why::NoRoute, None);
        }
        if let Some(mirror) = &rule.mirror {
            self.copy(piece, requests * mirror.share, &mirror.backends);
        }
    }

    /// How many requests there are; the rest of a fraction is kept for the next piece.
    fn requests(&mut self, at: usize, expected: f64) -> Option<f64> {
        let requests = match self.sampling {
            Sampling::Expected => expected,
            Sampling::Drawn => {
                let carry = self.carry.get_mut(at)?;
                *carry += expected;
                let requests = carry.floor();
                *carry -= requests;
                requests
            }
        };
        (requests > 0.0).then_some(requests)
    }

    fn plane_at(&self, host: &str, at: Instant) -> Option<Arc<Plane>> {
        let history = &self.hosts.get(host)?.history;
        let seen = history
            .iter()
            .rev()
            .find(|(since, _)| *since + self.lag <= at);
        seen.or_else(|| history.front())
            .map(|(_, plane)| Arc::clone(plane))
    }

    fn part(&mut self, split: &mut Split, share: f64) -> f64 {
        match self.sampling {
            Sampling::Expected => split.all * share,
            Sampling::Drawn => split.draw(share, &mut self.chance),
        }
    }

    fn spread(&mut self, host: &str, piece: Piece, requests: f64, backends: &[Backend]) {
        if backends.is_empty() {
            self.lose(host, piece, requests, Why::NoBackend, None);
            return;
        }
        let mut split = Split::of(requests);
        let each = 1.0 / count(backends.len());
        for backend in backends {
            let part = self.part(&mut split, each);
            if part <= 0.0 {
                continue;
            }
            if !self.answers(backend, piece.from) {
                self.lose(host, piece, part, Why::DeadBackend, Some(backend));
                continue;
            }
            let failed = self.failed(backend, piece, part);
            self.book.answered(&backend.revision, part, failed);
            self.count(piece, backend, part, failed);
            if failed > 0.0 {
                self.lose(host, piece, failed, Why::Error, Some(backend));
            }
        }
    }

    /// Copies of requests: their answers reach nobody, but are counted where they are given.
    fn copy(&mut self, piece: Piece, requests: f64, backends: &[Backend]) {
        let each = requests / count(backends.len());
        for backend in backends {
            if self.answers(backend, piece.from) {
                let failed = self.failed(backend, piece, each);
                self.book.mirrored += each;
                self.count(piece, backend, each, failed);
            }
        }
    }

    fn failed(&mut self, backend: &Backend, piece: Piece, requests: f64) -> f64 {
        let age = piece.from.saturating_duration_since(backend.born);
        let share = backend.behaviour.errors_at(age);
        match self.sampling {
            Sampling::Expected => requests * share,
            Sampling::Drawn => f64::from(self.chance.binomial(whole(requests), share)),
        }
    }

    fn count(&mut self, piece: Piece, backend: &Backend, requests: f64, failed: f64) {
        let second = self.second_of(piece.from);
        self.book.count(backend, second, requests - failed, failed);
    }

    fn answers(&self, backend: &Backend, at: Instant) -> bool {
        let Some(life) = self.lives.get(&backend.uid) else {
            return true;
        };
        match life.iter().rev().find(|(since, _)| *since <= at) {
            Some((_, answers)) => *answers,
            // Before its first known change it was the opposite of what it became.
            None => life.first().is_none_or(|(_, answers)| !answers),
        }
    }

    fn lose(
        &mut self,
        host: &str,
        piece: Piece,
        requests: f64,
        why: Why,
        backend: Option<&Backend>,
    ) {
        if requests > 0.0 {
            self.book.lose(Loss {
                from: self.clock.at(piece.from),
                to: self.clock.at(piece.to),
                host: host.to_owned(),
                requests,
                why,
                revision: backend.map(|backend| backend.revision.clone()),
            });
        }
    }

    fn forget_the_past(&mut self) {
        let (cursor, lag) = (self.cursor, self.lag);
        for host in self.hosts.values_mut() {
            while host
                .history
                .get(1)
                .is_some_and(|(since, _)| *since + lag <= cursor)
            {
                host.history.pop_front();
            }
        }
        self.marks = self.marks.split_off(&cursor);
        if self.lives.len() > 1000 {
            let horizon = cursor.checked_sub(lag + Duration::from_mins(10));
            self.lives.retain(|_, life| {
                let ended = life
                    .last()
                    .filter(|(_, answers)| !answers)
                    .map(|(at, _)| *at);
                ended.is_none_or(|ended| horizon.is_none_or(|horizon| ended > horizon))
            });
        }
    }
}

impl Host {
    fn depends_on(&self, host: &str, write: &Write) -> bool {
        let is_near = || {
            let namespaces = self.services.iter().filter_map(|it| it.split('/').next());
            let mut namespaces = namespaces.chain(host.split('.').nth(1));
            namespaces.any(|namespace| namespace == write.namespace())
                || host.split('.').count() > 2
        };
        match write.id {
            kinds::SERVICE => {
                self.services
                    .contains(&format!("{}/{}", write.namespace(), write.name()))
            }
            kinds::ENDPOINT_SLICE => write.object().is_some_and(|slice| {
                let service = text(slice, &["metadata", "labels", "kubernetes.io/service-name"]);
                self.services
                    .contains(&format!("{}/{service}", write.namespace()))
            }),
            kinds::VIRTUAL_SERVICE
            | kinds::DESTINATION_RULE
            | kinds::TRAFFIC_SPLIT
            | kinds::HTTP_ROUTE
            | kinds::LINKERD_HTTP_ROUTE
            | kinds::GRPC_ROUTE => is_near(),
            _ => false,
        }
    }
}

fn services_of(host: &str, plane: &Plane) -> BTreeSet<String> {
    let mut services = BTreeSet::new();
    let mut parts = host.split('.');
    if let (Some(name), Some(namespace)) = (parts.next(), parts.next()) {
        services.insert(format!("{namespace}/{name}"));
    }
    for rule in &plane.rules {
        for destination in rule.destinations.iter().chain(&rule.mirror) {
            let service = destination.service.split('@').next().unwrap_or_default();
            services.insert(service.to_owned());
        }
    }
    services
}

/// The users of a world; a handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Users {
    world: World,
}

impl Users {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }

    /// Lets users call a host at a rate of requests a second; a rate of 0 ends it.
    pub fn call(&self, host: &str, rate: f64) {
        self.call_as(host, rate, Visit::default());
    }

    /// Lets users call a host with requests that look so; users who call otherwise go on beside them.
    pub fn call_as(&self, host: &str, rate: f64, visit: Visit) {
        let audience = Audience {
            host: host.to_owned(),
            rate,
            visit,
        };
        self.world.inner().with(|state| {
            let (traffic, eye) = state.traffic_and_eye();
            traffic.admit(audience, eye);
        });
    }

    /// Expected shares, or draws from the seed.
    pub fn set_sampling(&self, sampling: Sampling) {
        self.world.inner().with(|state| {
            state.traffic.advance();
            state.traffic.sampling = sampling;
        });
    }

    /// What users got up to now.
    pub fn report(&self) -> Report {
        self.world.inner().with(|state| {
            state.traffic.advance();
            state.traffic.book.report()
        })
    }

    /// What users lost up to now, and when and why.
    pub fn losses(&self) -> Vec<Loss> {
        self.world.inner().with(|state| {
            state.traffic.advance();
            state.traffic.book.losses().to_vec()
        })
    }

    /// Begins the report and the losses anew; what Prometheus counts goes on.
    pub fn begin_anew(&self) {
        self.world.inner().with(|state| {
            state.traffic.advance();
            state.traffic.book.begin_anew();
        });
    }
}

/// Requests that are dealt out to several takers, each with its share of the whole.
#[derive(Clone, Copy, Debug)]
struct Split {
    all: f64,
    left: f64,
    share_left: f64,
}

impl Split {
    fn of(requests: f64) -> Self {
        Self {
            all: requests,
            left: requests,
            share_left: 1.0,
        }
    }

    fn draw(&mut self, share: f64, chance: &mut Chance) -> f64 {
        let odds = if self.share_left <= share {
            1.0
        } else {
            share / self.share_left
        };
        let taken = f64::from(chance.binomial(whole(self.left), odds));
        self.left -= taken;
        self.share_left -= share;
        taken
    }
}
