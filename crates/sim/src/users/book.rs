//! What the users got, for oracles, and what the pods counted, for Prometheus.

use crate::mesh::{Backend, Revision};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, VecDeque};

/// How many seconds of a pod's counts are kept one by one.
const KEPT: usize = 3600;

/// Requests that were answered, well or not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Answered with success.
    pub ok: f64,
    /// Answered with an error.
    pub failed: f64,
}

/// Why a request was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// No rule wanted it, or nothing knows the host.
    NoRoute,
    /// The route named a Service without a ready pod: 503.
    NoBackend,
    /// The pod had just died: 503.
    DeadBackend,
    /// The application answered with an error: 500.
    Error,
}

/// Requests that users lost, over a time in which the reason did not change.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Virtual time of day.
    pub from: DateTime<Utc>,
    /// Virtual time of day.
    pub to: DateTime<Utc>,
    /// The host that was called.
    pub host: String,
    /// How many.
    pub requests: f64,
    /// Why.
    pub why: Why,
    /// What should have answered, or did so with an error.
    pub revision: Option<Revision>,
}

/// What users got since the world began, or since it was asked to begin anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Requests that an application answered, by what it ran.
    pub revisions: BTreeMap<Revision, Tally>,
    /// Requests lost, by reason; errors of the application are in here too.
    pub lost: BTreeMap<Why, f64>,
    /// Copies of requests that an application answered.
    pub mirrored: f64,
}

impl Report {
    /// All requests of users.
    pub fn sent(&self) -> f64 {
        let answered: f64 = self
            .revisions
            .values()
            .map(|tally| tally.ok + tally.failed)
            .sum();
        let unanswered: f64 = self
            .lost
            .iter()
            .filter(|(why, _)| **why != Why::Error)
            .map(|(_, count)| count)
            .sum();
        answered + unanswered
    }

    /// All requests that did not succeed.
    pub fn failed(&self) -> f64 {
        self.lost.values().sum()
    }

    /// Requests that no application saw: what a controller must never be the reason of.
    pub fn unanswered(&self) -> f64 {
        let others = self.lost.iter().filter(|(why, _)| **why != Why::Error);
        others.map(|(_, count)| count).sum()
    }

    /// What one workload answered, over all its revisions.
    pub fn of_workload(&self, namespace: &str, workload: &str) -> Tally {
        let all = self.revisions.iter();
        all.filter(|(it, _)| it.namespace == namespace && it.workload == workload)
            .fold(Tally::default(), |sum, (_, tally)| Tally {
                ok: sum.ok + tally.ok,
                failed: sum.failed + tally.failed,
            })
    }
}

/// The counters of one pod.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) revision: Revision,
    pub(crate) pod: String,
    pub(crate) ok: Counter,
    pub(crate) failed: Counter,
    /// The second in which the pod went.
    pub(crate) gone: Option<u64>,
}

/// One counter, second by second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter {
    pub(crate) first: Option<u64>,
    pub(crate) cells: VecDeque<Cell>,
    /// What has left the cells, by latency.
    forgotten: BTreeMap<u64, f64>,
}

/// What one counter counted in one second at one latency.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) second: u64,
    pub(crate) requests: f64,
    /// In microseconds.
    pub(crate) latency: u64,
}

impl Counter {
    fn add(&mut self, second: u64, requests: f64, latency: u64) {
        if requests <= 0.0 {
            return;
        }
        self.first.get_or_insert(second);
        match self.cells.back_mut() {
            Some(cell) if cell.second == second && cell.latency == latency => {
                cell.requests += requests;
            }
            _ => self.cells.push_back(Cell {
                second,
                requests,
                latency,
            }),
        }
        if self.cells.len() > KEPT
            && let Some(old) = self.cells.pop_front()
        {
            *self.forgotten.entry(old.latency).or_insert(0.0) += old.requests;
        }
    }

    /// The requests of the seconds in `from..=to`, each with its latency in microseconds.
    pub(crate) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, f64)> {
        let cells = self.cells.iter().rev();
        cells
            .skip_while(move |cell| cell.second > to)
            .take_while(move |cell| cell.second >= from)
            .map(|cell| (cell.latency, cell.requests))
    }

    /// All requests up to a second, each with its latency.
    pub(crate) fn until(&self, to: u64) -> impl Iterator<Item = (u64, f64)> {
        let forgotten = self
            .forgotten
            .iter()
            .map(|(latency, requests)| (*latency, *requests));
        forgotten.chain(self.between(0, to))
    }
}

/// Everything that was counted.
#[derive(Debug, Default)]
pub(crate) struct Book {
    revisions: BTreeMap<Revision, Tally>,
    lost: BTreeMap<Why, f64>,
    losses: Vec<Loss>,
    pub(crate) mirrored: f64,
    series: BTreeMap<String, Series>,
}

impl Book {
    pub(crate) fn answered(&mut self, revision: &Revision, requests: f64, failed: f64) {
        if !self.revisions.contains_key(revision) {
            self.revisions.insert(revision.clone(), Tally::default());
        }
        if let Some(tally) = self.revisions.get_mut(revision) {
            tally.ok += requests - failed;
            tally.failed += failed;
        }
    }

    pub(crate) fn count(&mut self, backend: &Backend, second: u64, ok: f64, failed: f64) {
        if !self.series.contains_key(&backend.uid) {
            self.series.insert(
                backend.uid.clone(),
                Series {
                    revision: backend.revision.clone(),
                    pod: backend.pod.clone(),
                    ok: Counter::default(),
                    failed: Counter::default(),
                    gone: None,
                },
            );
        }
        let latency = u64::try_from(backend.behaviour.latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(series) = self.series.get_mut(&backend.uid) {
            series.ok.add(second, ok, latency);
            series.failed.add(second, failed, latency);
        }
    }

    /// The pod is gone: nobody scrapes it any more.
    pub(crate) fn close(&mut self, uid: &str, second: u64) {
        if let Some(series) = self.series.get_mut(uid) {
            series.gone.get_or_insert(second);
        }
    }

    /// Losses that go on are one loss.
    pub(crate) fn lose(&mut self, loss: Loss) {
        *self.lost.entry(loss.why).or_insert(0.0) += loss.requests;
        let same = self.losses.iter_mut().rev().take(8).find(|it| {
            it.to == loss.from
                && it.host == loss.host
                && it.why == loss.why
                && it.revision == loss.revision
                || it.to == loss.to
                    && it.from <= loss.from
                    && it.host == loss.host
                    && it.why == loss.why
                    && it.revision == loss.revision
        });
        match same {
            Some(known) => {
                known.to = loss.to;
                known.requests += loss.requests;
            }
            None => self.losses.push(loss),
        }
    }

    pub(crate) fn series(&self) -> impl Iterator<Item = &Series> {
        self.series.values()
    }

    pub(crate) fn losses(&self) -> &[Loss] {
        &self.losses
    }

    pub(crate) fn report(&self) -> Report {
        Report {
            revisions: self.revisions.clone(),
            lost: self.lost.clone(),
            mirrored: self.mirrored,
        }
    }

    /// Begins to count users' requests anew; the counters of the pods go on.
    pub(crate) fn begin_anew(&mut self) {
        self.revisions.clear();
        self.lost.clear();
        self.losses.clear();
        self.mirrored = 0.0;
    }
}
