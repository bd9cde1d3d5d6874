//! What is behind a [`World`]: the state under its lock, the task that runs the cluster, the announcement of writes.

use crate::clock::{Chance, Clock};
use crate::faults::Faults;
use crate::mesh::{Eye, Mesh};
use crate::prometheus::PrometheusState;
use crate::receivers::Receivers;
use crate::server::Api;
use crate::server::store::Write;
use crate::users::Traffic;
use crate::workloads::Workloads;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub(crate) type Observer = Box<dyn FnMut(&World, &Write) + Send>;

/// What the handle and the connections share.
pub(crate) struct Inner {
    state: Mutex<State>,
    clock: Clock,
    wake: Arc<Notify>,
    pub(crate) latency: Mutex<Duration>,
    pub(crate) clients: Mutex<BTreeMap<String, Faults>>,
    pub(crate) observers: Mutex<Vec<Observer>>,
    announcements: Mutex<Announcements>,
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) prometheus: Arc<Mutex<PrometheusState>>,
    pub(crate) receivers: Receivers,
}

#[derive(Debug, Default)]
struct Announcements {
    waiting: VecDeque<Write>,
    is_busy: bool,
}

/// What changes under one lock: the cluster and those who live in it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) api: Api,
    pub(crate) workloads: Workloads,
    pub(crate) traffic: Traffic,
    /// Routing objects that the data plane does not obey.
    pub(crate) ignored: BTreeSet<Mesh>,
    /// When the driver will look again by itself.
    planned: Option<Instant>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked while it held the lock has failed already; what it left is still consistent between writes.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// A world at its beginning, and the task that runs it.
    pub(crate) fn start(seed: u64, clock: Clock) -> Arc<Self> {
        let chance = Chance::new(seed);
        let inner = Arc::new(Self {
            state: Mutex::new(State {
                api: Api::new(clock, chance.stream(1)),
                workloads: Workloads::new(chance.stream(2)),
                traffic: Traffic::new(clock, chance.stream(3)),
                ignored: BTreeSet::new(),
                planned: None,
            }),
            clock,
            wake: Arc::new(Notify::new()),
            latency: Mutex::new(Duration::ZERO),
            clients: Mutex::default(),
            observers: Mutex::default(),
            announcements: Mutex::default(),
            changed: watch::Sender::new(0),
            prometheus: Arc::default(),
            receivers: Receivers::new(clock),
        });
        tokio::spawn(drive(Arc::downgrade(&inner), Arc::clone(&inner.wake)));
        inner
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn latency(&self) -> Duration {
        *lock(&self.latency)
    }

    /// Changes the state, lets everybody in the cluster hear of it, then tells the observers.
    pub(crate) fn with<R>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, writes, must_wake) = {
            let mut state = lock(&self.state);
            let result = change(&mut state);
            let writes = state.settle();
            (result, writes, state.must_wake())
        };
        if must_wake {
            self.wake.notify_one();
        }
        if !writes.is_empty() {
            self.announce(writes);
        }
        result
    }

    /// Lets the cluster do what is due; the answer is when it has more to do.
    fn drive(self: &Arc<Self>) -> Option<Instant> {
        while self.with(|state| state.workloads.step(&mut state.api)) {}
        let mut state = lock(&self.state);
        state.planned = state.workloads.next();
        state.planned
    }

    /// Observers hear of writes in order, also of those that they cause themselves.
    fn announce(self: &Arc<Self>, writes: Vec<Write>) {
        {
            let mut announcements = lock(&self.announcements);
            announcements.waiting.extend(writes);
            if announcements.is_busy {
                return;
            }
            announcements.is_busy = true;
        }
        let world = World::of(Arc::clone(self));
        loop {
            let next = {
                let mut announcements = lock(&self.announcements);
                let next = announcements.waiting.pop_front();
                announcements.is_busy = next.is_some();
                next
            };
            let Some(write) = next else {
                self.changed.send_modify(|count| *count += 1);
                return;
            };
            let mut observers = std::mem::take(&mut *lock(&self.observers));
            for observer in &mut observers {
                observer(&world, &write);
            }
            let mut place = lock(&self.observers);
            observers.append(&mut place);
            *place = observers;
        }
    }
}

/// Runs the cluster until the last handle is gone.
async fn drive(world: Weak<Inner>, wake: Arc<Notify>) {
    loop {
        let Some(next) = world.upgrade().map(|inner| inner.drive()) else {
            return;
        };
        match next {
            None => wake.notified().await,
            Some(next) => tokio::select! {
                biased;
                () = wake.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            },
        }
    }
}

impl State {
    fn settle(&mut self) -> Vec<Write> {
        let writes = self.api.store.drain();
        for write in &writes {
            self.workloads.note(write, &self.api.store);
        }
        if !writes.is_empty() {
            let (traffic, eye) = self.traffic_and_eye();
            traffic.note(&writes, eye);
        }
        writes
    }

    pub(crate) fn traffic_and_eye(&mut self) -> (&mut Traffic, Eye<'_>) {
        let eye = Eye {
            store: &self.api.store,
            workloads: &self.workloads,
            ignored: &self.ignored,
        };
        (&mut self.traffic, eye)
    }

    /// Whether the driver sleeps longer than it may; it is then taken to be woken.
    fn must_wake(&mut self) -> bool {
        let next = self.workloads.next();
        let is_late = next.is_some_and(|next| self.planned.is_none_or(|planned| next < planned));
        if is_late {
            self.planned = next;
        }
        is_late
    }
}
