//! The limits on releases at once, and the queue before them.
//!
//! Computed from the statuses of all Canaries alone, so that a restart and a change of the leader leave everybody at their place: first comes
//! whose revision was noticed first. A release whose own namespace is full does not hold those of other namespaces behind it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use slipway_api::{Canary, Phase};

/// How many releases may run at once; 0 is any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of all namespaces.
    pub all: usize,
    /// Of one namespace.
    pub in_namespace: usize,
}

impl Limits {
    /// Whether there is one.
    pub fn exist(self) -> bool {
        self.all > 0 || self.in_namespace > 0
    }
}

/// Whether a release may start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// It may.
    #[default]
    Free,
    /// Others run or come first.
    Behind {
        /// Its place among those that wait for the same, from 1.
        place: usize,
        /// How many wait.
        of: usize,
    },
}

/// What a release is for the limits; the later ones take more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing.
    Rests,
    /// It waits for its turn, with a revision that was noticed then.
    Queued(DateTime<Utc>),
    /// It runs.
    Runs,
}

impl Standing {
    /// What a Canary is for the limits. One that is suspended or deleted waits for no turn, and holds its place while it runs.
    pub fn of(canary: &Canary) -> Self {
        let Some(status) = &canary.status else {
            return Self::Rests;
        };
        let slipway = status.slipway.as_ref();
        let since = slipway
            .filter(|slipway| slipway.queued)
            .and_then(|slipway| slipway.pending_since);
        let waits = !canary.spec.suspend && canary.metadata.deletion_timestamp.is_none();
        match (status.phase, since) {
            (
                Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting | Phase::Finalising,
                _,
            ) => Self::Runs,
            (Phase::Waiting, Some(since)) if waits => Self::Queued(since),
            _ => Self::Rests,
        }
    }
}

/// A release: namespace and name.
pub type Id = (String, String);

/// All releases, for the limits.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    limits: Limits,
    standings: BTreeMap<Id, Standing>,
    queue: BTreeSet<(DateTime<Utc>, Id)>,
    running: BTreeMap<String, usize>,
}

/// How many places of the queue are told exactly.
const EXACT: usize = 10;

impl Fleet {
    /// Nobody yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How a release stands, as it was noted last.
    pub fn standing(&self, id: &Id) -> Standing {
        self.standings.get(id).copied().unwrap_or(Standing::Rests)
    }

    /// Notes how a release stands; who may start now, or has another place to tell.
    pub fn note(&mut self, id: &Id, standing: Standing) -> Vec<Id> {
        let before = self.standing(id);
        if before == standing {
            return Vec::new();
        }
        match before {
            Standing::Rests => {}
            Standing::Queued(since) => {
                self.queue.remove(&(since, id.clone()));
            }
            Standing::Runs => {
                let running = self.running.entry(id.0.clone()).or_default();
                *running = running.saturating_sub(1);
            }
        }
        match standing {
            Standing::Rests => {
                self.standings.remove(id);
                return self.moved();
            }
            Standing::Queued(since) => {
                self.queue.insert((since, id.clone()));
            }
            Standing::Runs => *self.running.entry(id.0.clone()).or_default() += 1,
        }
        self.standings.insert(id.clone(), standing);
        // One that comes last moves nobody.
        if before == Standing::Rests {
            Vec::new()
        } else {
            self.moved()
        }
    }

    /// Whether a release with a revision that was noticed then may start.
    pub fn turn(&self, id: &Id, since: DateTime<Utc>) -> Turn {
        if !self.limits.exist() {
            return Turn::Free;
        }
        let me = (since, id.clone());
        let mut room = Room::new(self);
        let mut ahead = 0;
        for (_, other) in self.queue.range(..&me).filter(|(_, other)| other != id) {
            room.take(&other.0);
            ahead += usize::from(self.compete(id, other));
        }
        if room.has(&id.0) {
            return Turn::Free;
        }
        let others = self.queue.iter().map(|(_, other)| other);
        let others = others.filter(|other| *other != id && self.compete(id, other));
        Turn::Behind {
            place: ahead + 1,
            of: others.count() + 1,
        }
    }

    /// Whether the two wait for the same: with a limit on all everybody does.
    fn compete(&self, one: &Id, other: &Id) -> bool {
        self.limits.all > 0 || one.0 == other.0
    }

    /// Those whose wait is over, or whose place is told and may have changed.
    fn moved(&self) -> Vec<Id> {
        let mut room = Room::new(self);
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut moved = Vec::new();
        for (_, id) in &self.queue {
            let of_whom = if self.limits.all > 0 {
                ""
            } else {
                id.0.as_str()
            };
            let place = places.entry(of_whom).or_default();
            *place += 1;
            let is_told = *place <= EXACT || place.is_multiple_of(10);
            if room.take(&id.0) || is_told {
                moved.push(id.clone());
            }
        }
        moved
    }
}

/// What the limits leave.
struct Room<'a> {
    limits: Limits,
    all: usize,
    each: BTreeMap<&'a str, usize>,
}

impl<'a> Room<'a> {
    fn new(fleet: &'a Fleet) -> Self {
        let each = fleet
            .running
            .iter()
            .map(|(name, count)| (name.as_str(), *count));
        Self {
            limits: fleet.limits,
            all: fleet.running.values().sum(),
            each: each.collect(),
        }
    }

    fn has(&self, namespace: &str) -> bool {
        let below = |count: usize, limit: usize| limit == 0 || count < limit;
        let here = self.each.get(namespace).copied().unwrap_or(0);
        below(self.all, self.limits.all) && below(here, self.limits.in_namespace)
    }

    /// Takes a place, if there is one.
    fn take(&mut self, namespace: &'a str) -> bool {
        let has = self.has(namespace);
        if has {
            self.all += 1;
            *self.each.entry(namespace).or_default() += 1;
        }
        has
    }
}
