//! What a load came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Histogram;
use crate::duration::shown;
use crate::suite::expect::Failure;
use crate::wire::SendErrorKind;

/// What a load came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<SendErrorKind, u64>,
    successes: u64,
    bytes: u64,
    latency: Histogram,
    took: Duration,
}

impl Summary {
    pub(super) fn add_answer(
        &mut self,
        status: u16,
        is_success: bool,
        bytes: u64,
        latency: Duration,
    ) {
        *self.statuses.entry(status).or_default() += 1;
        self.successes += u64::from(is_success);
        self.bytes = self.bytes.saturating_add(bytes);
        self.latency.add(latency);
    }

    /// A request without an answer: users waited for it as well.
    pub(super) fn add_error(&mut self, kind: SendErrorKind, latency: Duration) {
        *self.errors.entry(kind).or_default() += 1;
        self.latency.add(latency);
    }

    pub(super) fn add_unsent(&mut self, count: u64) {
        *self.errors.entry(SendErrorKind::Unsent).or_default() += count;
    }

    pub(super) fn end(&mut self, took: Duration) {
        self.took = took;
    }

    /// How many requests were intended.
    pub fn requests(&self) -> u64 {
        let answers = self.statuses.values().chain(self.errors.values());
        answers.sum()
    }

    /// How many had an answer with a status that is a success.
    pub const fn successes(&self) -> u64 {
        self.successes
    }

    /// The latencies, from the intended time on.
    pub const fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// Requests without an answer, by kind.
    pub const fn errors(&self) -> &BTreeMap<SendErrorKind, u64> {
        &self.errors
    }

    /// Successes, in percent; 0 where nothing was sent.
    pub fn success_rate(&self) -> f64 {
        percent(self.successes, self.requests())
    }

    /// Answers a second that were reached.
    pub fn rate(&self) -> f64 {
        let answers: u64 = self.statuses.values().sum();
        float(answers) / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// What is beyond the limits; empty means passed.
    pub fn failures(&self, limits: &Limits) -> Vec<Failure> {
        let mut failures = Vec::new();
        if self.success_rate() < limits.success {
            let got = format!("{}% ({})", rounded(self.success_rate()), self.outcomes());
            let expected = format!("at least {}%", limits.success);
            failures.push(Failure::new("success", expected, got));
        }
        for (percentile, most) in &limits.latency {
            let got = percentile.of(&self.latency);
            if got > *most {
                let expected = format!("at most {}", shown(*most));
                let what = format!("latency {}", percentile.name);
                failures.push(Failure::new(what, expected, shown(got)));
            }
        }
        failures
    }

    /// `199 × 200, 1 × timeout`.
    fn outcomes(&self) -> String {
        let statuses = self.statuses.iter().map(|(it, n)| format!("{n} × {it}"));
        let errors = self.errors.iter().map(|(it, n)| format!("{n} × {it}"));
        statuses.chain(errors).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Summary {
    /// Two lines for people.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, success) = (rounded(self.rate()), rounded(self.success_rate()));
        writeln!(
            formatter,
            "{} requests in {}, {rate} answers/s, {success}% successes ({}), {} bytes",
            self.requests(),
            shown(self.took),
            self.outcomes(),
            self.bytes,
        )?;
        let percentile = |it: &Percentile| format!("{} {}", it.name, shown(it.of(&self.latency)));
        let percentiles: Vec<_> = Percentile::ALL.iter().map(percentile).collect();
        let mean = shown(self.latency.mean());
        write!(
            formatter,
            "latency: mean {mean}, {}",
            percentiles.join(", ")
        )
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let latency: BTreeMap<_, _> = Percentile::ALL
            .iter()
            .map(|it| (it.name, it.of(&self.latency).as_secs_f64()))
            .chain([("mean", self.latency.mean().as_secs_f64())])
            .collect();
        let fields = serde_json::json!({
            "requests": self.requests(),
            "successes": self.successes,
            "successRate": self.success_rate(),
            "statuses": self.statuses,
            "errors": self.errors,
            "bytes": self.bytes,
            "seconds": self.took.as_secs_f64(),
            "rate": self.rate(),
            "latencySeconds": latency,
        });
        fields.serialize(to)
    }
}

/// What a load is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Successes, in percent, at least.
    pub success: f64,
    /// Latencies at percentiles, at most.
    pub latency: Vec<(Percentile, Duration)>,
}

/// A percentile that a summary tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentile {
    /// Its word: `p99`.
    pub name: &'static str,
    of_ten_thousand: u64,
}

impl Percentile {
    /// All, from low to high.
    pub const ALL: [Self; 6] = [
        Self::new("p50", 5_000),
        Self::new("p90", 9_000),
        Self::new("p95", 9_500),
        Self::new("p99", 9_900),
        Self::new("p99.9", 9_990),
        Self::new("max", 10_000),
    ];

    const fn new(name: &'static str, of_ten_thousand: u64) -> Self {
        Self {
            name,
            of_ten_thousand,
        }
    }

    /// The percentile of that word.
    ///
    /// # Errors
    /// What is allowed.
    pub(crate) fn parse(name: &str) -> Result<Self, &'static str> {
        let found = Self::ALL.into_iter().find(|it| it.name == name);
        found.ok_or("must be one of p50, p90, p95, p99, p99.9, max")
    }

    /// The latency at that percentile.
    pub fn of(self, latency: &Histogram) -> Duration {
        latency.at(self.of_ten_thousand)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    float(part) * 100.0 / float(whole)
}

/// Counts of requests are far below what a float holds exactly.
fn float(count: u64) -> f64 {
    u32::try_from(count).map_or_else(|_| f64::from(u32::MAX), f64::from)
}

/// Two digits, rounded down: 99.999% is not 100%.
fn rounded(number: f64) -> f64 {
    (number * 100.0).floor() / 100.0
}
