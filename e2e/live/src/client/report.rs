//! What a client tells: one line a response, and a summary.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{LineWriter, Write};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, Response};
use serde::Serialize;

/// The summary names at most this many different errors.
const ERRORS: usize = 10;

/// Which workload answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    Primary,
    Canary,
}

/// One response, or what came instead.
#[derive(Serialize)]
pub(super) struct Record {
    /// When it was sent, in milliseconds since the epoch.
    at: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<Side>,
    /// How long it took, in milliseconds.
    ms: f64,
}

impl Record {
    pub(super) fn answered(at: Duration, response: &Response<Bytes>, took: Duration) -> Self {
        let text = |name| header(response.headers(), name);
        Self {
            at: at.as_millis(),
            status: Some(response.status().as_u16()),
            error: None,
            revision: text("x-revision"),
            side: text("x-pod").map(|pod| Side::of(&pod)),
            ms: milliseconds(took),
        }
    }

    pub(super) fn failed(at: Duration, error: String, took: Duration) -> Self {
        Self {
            at: at.as_millis(),
            status: None,
            error: Some(error),
            revision: None,
            side: None,
            ms: milliseconds(took),
        }
    }

    fn has_failed(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }
}

fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e5).round() / 100.0
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

/// Counts of some of the responses.
#[derive(Default, Serialize)]
struct Count {
    sent: u32,
    failed: u32,
    /// Of all responses.
    share: f64,
}

/// What all responses come to.
#[derive(Default, Serialize)]
pub(super) struct Summary {
    sent: u32,
    failed: u32,
    by_revision: BTreeMap<String, Count>,
    by_side: BTreeMap<Side, Count>,
    by_status: BTreeMap<u16, u32>,
    errors: BTreeSet<String>,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// Writes records as they come, until every sender is gone.
///
/// # Errors
/// When the log cannot be written.
pub(super) fn write(log: impl Write, records: &Receiver<Record>) -> anyhow::Result<Summary> {
    let mut log = LineWriter::new(log);
    let mut summary = Summary::default();
    let mut latencies = Vec::new();
    for record in records {
        serde_json::to_writer(&mut log, &record)?;
        log.write_all(b"\n")?;
        latencies.push(record.ms);
        summary.add(record);
    }
    summary.finish(latencies);
    Ok(summary)
}

/// Prints the summary as one line of JSON.
///
/// # Errors
/// When standard output is closed.
pub(super) fn print(summary: &Summary) -> anyhow::Result<()> {
    Ok(writeln!(
        std::io::stdout(),
        "{}",
        serde_json::to_string(summary)?
    )?)
}

impl Summary {
    fn add(&mut self, record: Record) {
        let failed = u32::from(record.has_failed());
        self.sent += 1;
        self.failed += failed;
        let add = |count: &mut Count| {
            count.sent += 1;
            count.failed += failed;
        };
        add(self
            .by_revision
            .entry(record.revision.unwrap_or_else(|| "none".to_owned()))
            .or_default());
        if let Some(side) = record.side {
            add(self.by_side.entry(side).or_default());
        }
        if let Some(status) = record.status {
            *self.by_status.entry(status).or_default() += 1;
        }
        if let Some(error) = record.error.filter(|_| self.errors.len() < ERRORS) {
            self.errors.insert(error);
        }
    }

    fn finish(&mut self, mut latencies: Vec<f64>) {
        latencies.sort_by(f64::total_cmp);
        let at = |numerator: usize| {
            latencies
                .get((latencies.len() * numerator / 100).min(latencies.len().saturating_sub(1)))
                .copied()
                .unwrap_or(0.0)
        };
        (self.p50_ms, self.p99_ms, self.max_ms) = (at(50), at(99), at(100));
        for count in self
            .by_revision
            .values_mut()
            .chain(self.by_side.values_mut())
        {
            count.share = f64::from(count.sent) / f64::from(self.sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use std::sync::mpsc;

    fn answer(status: StatusCode, revision: &str, pod: &str) -> Record {
        let response = Response::builder()
            .status(status)
            .header("x-revision", revision)
            .header("x-pod", pod)
            .body(Bytes::new())
            .unwrap();
        Record::answered(Duration::ZERO, &response, Duration::from_millis(2))
    }

    #[test]
    fn a_response_of_500_and_no_response_have_failed_and_one_of_404_has_not() {
        let (sender, receiver) = mpsc::channel();
        sender
            .send(answer(StatusCode::OK, "v1", "app-primary-5d8-x"))
            .unwrap();
        sender
            .send(answer(StatusCode::NOT_FOUND, "v1", "app-primary-5d8-x"))
            .unwrap();
        sender
            .send(answer(StatusCode::INTERNAL_SERVER_ERROR, "v2", "app-77f-y"))
            .unwrap();
        sender
            .send(Record::failed(
                Duration::ZERO,
                "connect".to_owned(),
                Duration::from_millis(5),
            ))
            .unwrap();
        drop(sender);
        let mut log = Vec::new();
        let summary = write(&mut log, &receiver).unwrap();
        assert_eq!((summary.sent, summary.failed), (4, 2));
        assert_eq!(
            (
                summary.by_side[&Side::Primary].sent,
                summary.by_side[&Side::Canary].failed
            ),
            (2, 1)
        );
        assert!((summary.by_revision["v1"].share - 0.5).abs() < f64::EPSILON);
        assert!((summary.max_ms - 5.0).abs() < f64::EPSILON);
        assert_eq!(String::from_utf8(log).unwrap().lines().count(), 4);
    }
}
