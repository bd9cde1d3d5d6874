//! The counters of requests: releases that ask at about the same time are asked about in one query.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use slipway_core::analysis::Counters;
use slipway_metrics::builtin::Telemetry;
use slipway_metrics::counters::{self, LOOK_BACK, Sides};
use tokio::sync::oneshot;

use super::server::{Server, Unanswered};
use crate::observe::watches::lock;
use crate::shell::Shell;

/// How long others are waited for that ask as well.
const GATHERED: TimeDelta = TimeDelta::milliseconds(100);
/// How many releases one query asks about: the names of so many fit into its URL, and their samples into an answer.
const MOST: usize = 100;
/// The longest window: what was counted longer ago is counted on from what is seen.
const LONGEST: TimeDelta = TimeDelta::hours(1);

/// Who asks for what.
pub(super) struct Wanted {
    pub(super) sides: Sides,
    /// What has been counted until then.
    pub(super) since: DateTime<Utc>,
    /// The latencies that are counted, in milliseconds.
    pub(super) edges: Vec<u32>,
}

type Counted = Result<Counters, String>;
type Gathered = Vec<(Wanted, oneshot::Sender<Counted>)>;

/// Those who are about to be asked about, by the server that is asked and the telemetry that it has.
#[derive(Clone, Default)]
pub(crate) struct Counting(Arc<Mutex<HashMap<(Server, Telemetry), Gathered>>>);

impl Shell {
    /// The counters of a release.
    pub(super) async fn count(
        &self,
        server: Server,
        telemetry: Telemetry,
        wanted: Wanted,
    ) -> Counted {
        if !counters::counts(telemetry) {
            let name = telemetry.as_str();
            return Err(format!("{name} does not count the requests of each pod"));
        }
        let (answer, answered) = oneshot::channel();
        let key = (server, telemetry);
        let is_first = {
            let mut gathering = lock(&self.counting.0);
            let gathered = gathering.entry(key.clone()).or_default();
            gathered.push((wanted, answer));
            gathered.len() == 1
        };
        if is_first {
            let shell = self.clone();
            self.watches
                .spawn(async move { shell.count_gathered(key).await });
        }
        let ended = || Err("internal error: the query ended without an answer".to_owned());
        answered.await.unwrap_or_else(|_| ended())
    }

    /// Waits for others, and asks about all of them.
    async fn count_gathered(&self, key: (Server, Telemetry)) {
        self.clock.sleep_until(self.clock.now() + GATHERED).await;
        let mut gathered = lock(&self.counting.0).remove(&key).unwrap_or_default();
        let (server, telemetry) = key;
        while !gathered.is_empty() {
            let rest = gathered.split_off(gathered.len().min(MOST));
            self.count_all(&server, telemetry, gathered).await;
            gathered = rest;
        }
    }

    async fn count_all(&self, server: &Server, telemetry: Telemetry, gathered: Gathered) {
        match self.ask_counters(server, telemetry, &gathered).await {
            Ok(found) => {
                for ((_, answer), counters) in gathered.into_iter().zip(found) {
                    // Who has gone has no use for it.
                    drop(answer.send(Ok(counters)));
                }
            }
            Err(why) => {
                for (_, answer) in gathered {
                    drop(answer.send(Err(why.clone())));
                }
            }
        }
    }

    async fn ask_counters(
        &self,
        server: &Server,
        telemetry: Telemetry,
        gathered: &Gathered,
    ) -> Result<Vec<Counters>, String> {
        let wanted = || gathered.iter().map(|(wanted, _)| wanted);
        let (now, since) = (self.clock.now(), wanted().map(|it| it.since).min());
        let window = (now - since.unwrap_or(now)).clamp(TimeDelta::zero(), LONGEST) + LOOK_BACK;
        let sides: Vec<Sides> = wanted().map(|it| it.sides.clone()).collect();
        let mut edges: Vec<u32> = wanted().flat_map(|it| it.edges.clone()).collect();
        edges.sort_unstable();
        edges.dedup();
        let query = counters::query(telemetry, &sides, window);
        let read = |status, body: &[u8]| counters::read(telemetry, &sides, status, body);
        let mut found = self.ask_once(server, query, read).await?;
        if !edges.is_empty() {
            let query = counters::latency_query(telemetry, &sides, &edges, window);
            let timed = self.ask_once(server, query, read).await?;
            for (counters, timed) in found.iter_mut().zip(timed) {
                counters.series.extend(timed.series);
            }
        }
        Ok(found)
    }

    /// The latencies that are worth counting for a release.
    pub(super) async fn edges(
        &self,
        server: &Server,
        telemetry: Telemetry,
        sides: &Sides,
    ) -> Result<Vec<u32>, String> {
        let query = counters::edges_query(telemetry, sides);
        let read = |status, body: &[u8]| counters::edges(telemetry, status, body);
        self.ask_once(server, query, read).await
    }

    async fn ask_once<T>(
        &self,
        server: &Server,
        query: Option<String>,
        read: impl Fn(StatusCode, &[u8]) -> Result<T, String>,
    ) -> Result<T, String> {
        let query = query.unwrap_or_default();
        match self.exchange(server, &query).await {
            Ok((status, body)) => read(status, &body),
            Err(Unanswered::Secret(missing)) => Err(missing.of_server()),
            Err(Unanswered::Unusable(why) | Unanswered::Failed(why)) => Err(why),
        }
    }
}
