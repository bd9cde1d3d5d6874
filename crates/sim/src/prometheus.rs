//! Prometheus: it counts what the users' requests did to the pods, and answers queries about it.
//!
//! ```text
//!  query ──► script? ──► the scripted reply
//!              └──► parse ──► families (Istio, Linkerd, plain HTTP) over the pods' counters ──► evaluate ──► JSON
//! ```
//!
//! A series is there when its pod had a request of its class before and was alive within the window, so a query about a revision without
//! traffic has no data or is 0/0, as with a real one. A bare range selector tells what was scraped, every five seconds. Not here: scrape intervals in
//! other queries and the extrapolation of `rate`; their windows hold the whole seconds that they cover.

mod evaluate;
mod families;
mod parse;

use crate::reply::{Reply, ReplyBody, Script, spell};
use crate::server::request::Query;
use crate::service::Broken;
use crate::users::Series;
use crate::world::World;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use evaluate::{Moment, Outcome};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A query that Prometheus got.
#[derive(Clone, Debug, PartialEq)]
pub struct Queried {
    /// Virtual time of day.
    pub at: DateTime<Utc>,
    /// The query's text.
    pub query: String,
    /// The answer's text, empty where a script answered.
    pub answer: String,
}

#[derive(Debug, Default)]
pub(crate) struct PrometheusState {
    script: Script,
    queried: Vec<Queried>,
}

/// The Prometheus of a world; a handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Prometheus {
    world: World,
    state: Arc<Mutex<PrometheusState>>,
}

impl Prometheus {
    pub(crate) fn new(world: World, state: Arc<Mutex<PrometheusState>>) -> Self {
        Self { world, state }
    }

    fn state(&self) -> MutexGuard<'_, PrometheusState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, queries with this part get this reply.
    pub fn answer(&self, part: &str, reply: Reply) {
        self.state().script.always(part, reply);
    }

    /// The next query with this part gets this reply; more of them queue up.
    pub fn answer_once(&self, part: &str, reply: Reply) {
        self.state().script.once(part, reply);
    }

    /// Forgets the reply that was set for this part.
    pub fn forget(&self, part: &str) {
        self.state().script.forget(part);
    }

    /// Answers from the users' requests alone again.
    pub fn clear(&self) {
        self.state().script.clear();
    }

    /// Every query so far, in order.
    pub fn queried(&self) -> Vec<Queried> {
        self.state().queried.clone()
    }

    /// The answer to an instant query now, from the users' requests; scripts are not asked.
    pub fn query(&self, query: &str) -> Value {
        self.instant(query, self.world.clock().unix()).1
    }

    /// The answer to a range query, times in seconds since 1970; scripts are not asked.
    pub fn query_range(&self, query: &str, start: f64, end: f64, step: f64) -> Value {
        self.range(query, start, end, step).1
    }

    /// Answers a request to the HTTP API: `/api/v1/query` and `/api/v1/query_range`, by GET or with a form; other paths are healthy.
    ///
    /// # Errors
    /// [`Broken`] where the script says so.
    pub async fn respond(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<ReplyBody>, Broken> {
        let (parts, body) = request.into_parts();
        let mut asked = parts.uri.query().unwrap_or_default().to_owned();
        if parts.method == http::Method::POST {
            asked.push('&');
            asked.push_str(&String::from_utf8_lossy(&body));
        }
        let asked = Query::parse(&asked);
        let text = asked.get("query").to_owned();
        let now = self.world.clock().unix();
        let scripted = self.state().script.answer(&text);
        if let Some(reply) = scripted {
            self.note(text, String::new());
            return reply.give(now).await;
        }
        let (code, answer) = match parts.uri.path() {
            path if path.ends_with("/api/v1/query") => {
                self.instant(&text, asked.get("time").parse().unwrap_or(now))
            }
            path if path.ends_with("/api/v1/query_range") => {
                let number = |name: &str, other: f64| asked.get(name).parse().unwrap_or(other);
                self.range(
                    &text,
                    number("start", now),
                    number("end", now),
                    number("step", 15.0),
                )
            }
            _ => (200, json!({"status": "success"})),
        };
        self.note(text, answer.to_string());
        Reply::Http(code, answer.to_string().into()).give(now).await
    }

    fn note(&self, query: String, answer: String) {
        let at = self.world.now();
        self.state().queried.push(Queried { at, query, answer });
    }

    fn with_series<R>(&self, look: impl FnOnce(&[&Series]) -> R) -> R {
        self.world.inner().with(|state| {
            state.traffic.advance();
            let series: Vec<&Series> = state.traffic.book.series().collect();
            look(&series)
        })
    }

    fn instant(&self, query: &str, time: f64) -> (u16, Value) {
        let second = self.world.clock().second_of_unix(time);
        let parsed = match parse::parse(query) {
            Ok(parsed) => parsed,
            Err(why) => return refused(&why),
        };
        match self.with_series(|series| evaluate::evaluate(&parsed, Moment { series, second })) {
            Err(why) => refused(&why),
            Ok(Outcome::Scalar(number)) => (200, success("scalar", &json!([time, spell(number)]))),
            Ok(Outcome::Matrix(series)) => {
                let result = series.iter().map(|one| self.row(one));
                (200, success("matrix", &result.collect()))
            }
            Ok(Outcome::Vector(samples)) => {
                let result: Vec<Value> = samples
                    .iter()
                    .map(|sample| json!({"metric": sample.labels, "value": [time, spell(sample.value)]}))
                    .collect();
                (200, success("vector", &Value::Array(result)))
            }
        }
    }

    /// A series with its samples, as the API spells it.
    fn row(&self, series: &evaluate::Scraped) -> Value {
        let clock = self.world.clock();
        let values: Vec<Value> = series
            .samples
            .iter()
            .map(|(second, value)| json!([clock.unix_of_second(*second), spell(*value)]))
            .collect();
        json!({"metric": series.labels, "values": values})
    }

    fn range(&self, query: &str, start: f64, end: f64, step: f64) -> (u16, Value) {
        let parsed = match parse::parse(query) {
            Ok(parsed) => parsed,
            Err(why) => return refused(&why),
        };
        let mut rows: BTreeMap<BTreeMap<String, String>, Vec<Value>> = BTreeMap::new();
        let mut time = start;
        while step > 0.0 && time <= end {
            let second = self.world.clock().second_of_unix(time);
            let samples = match self
                .with_series(|series| evaluate::evaluate(&parsed, Moment { series, second }))
            {
                Err(why) => return refused(&why),
                Ok(Outcome::Scalar(value)) => vec![evaluate::Sample {
                    labels: BTreeMap::new(),
                    value,
                }],
                Ok(Outcome::Vector(samples)) => samples,
                Ok(Outcome::Matrix(_)) => {
                    return refused(
                        "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
                    );
                }
            };
            for sample in samples {
                let row = rows.entry(sample.labels).or_default();
                row.push(json!([time, spell(sample.value)]));
            }
            time += step;
        }
        let result: Vec<Value> = rows
            .into_iter()
            .map(|(labels, values)| json!({"metric": labels, "values": values}))
            .collect();
        (200, success("matrix", &Value::Array(result)))
    }
}

fn success(kind: &str, result: &Value) -> Value {
    json!({"status": "success", "data": {"resultType": kind, "result": result}})
}

fn refused(why: &str) -> (u16, Value) {
    (
        400,
        json!({"status": "error", "errorType": "bad_data", "error": why}),
    )
}
