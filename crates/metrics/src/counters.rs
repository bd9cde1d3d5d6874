//! The counters of requests, pod by pod, of both sides of releases: one query for as many releases as are asked about.
//!
//! What is asked for are the samples themselves, with the times at which they were scraped: whoever counts from them counts each request once
//! (analysis.md 2.5). `rate` and `increase` would extrapolate, and not see the first failures of a pod at all.

mod edges;
mod table;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use prometheus_http_query::response::{RangeVector, Sample};
use slipway_api::Side;
use slipway_core::analysis::{CounterSeries, Counters, Counts};
use slipway_core::plan::{Plan, TargetKind};

use crate::builtin::Telemetry;
use crate::prometheus;
pub use edges::{edges, edges_query};
use table::{Source, Who};

/// How far back samples are asked for beyond those that are counted: the longest usual time between two scrapes, twice.
pub const LOOK_BACK: TimeDelta = TimeDelta::seconds(120);

/// Whose requests are asked for: the two workloads of a release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sides {
    /// The namespace of both.
    pub namespace: String,
    /// The target, which is the canary.
    pub canary: String,
    /// The primary.
    pub primary: String,
    /// Whether their pods have one random part in their names, those of a DaemonSet, or two.
    pub is_daemon_set: bool,
}

impl Sides {
    /// The two workloads of a plan.
    pub fn of(plan: &Plan) -> Self {
        Self {
            namespace: plan.canary.namespace.clone(),
            canary: plan.target.name.clone(),
            primary: plan.names.primary.clone(),
            is_daemon_set: plan.target.kind == TargetKind::DaemonSet,
        }
    }
}

/// Whether that telemetry counts the requests of each pod.
pub const fn counts(telemetry: Telemetry) -> bool {
    table::source(telemetry).is_some()
}

/// The query for the counters of those releases, as far back as `window`; none where that telemetry has no counters of pods.
pub fn query(telemetry: Telemetry, wanted: &[Sides], window: TimeDelta) -> Option<String> {
    let source = table::source(telemetry)?;
    Some(range(source, source.metric, wanted, &[], window))
}

/// The query for how many of their requests took no longer than each of these latencies, in milliseconds.
pub fn latency_query(
    telemetry: Telemetry,
    wanted: &[Sides],
    edges: &[u32],
    window: TimeDelta,
) -> Option<String> {
    let source = table::source(telemetry)?;
    let latency = &source.latency;
    let mut bounds: Vec<String> = edges.iter().map(|edge| latency.bound(*edge)).collect();
    bounds.push("[+]Inf".to_owned());
    let mut more: Vec<String> = latency.ok.iter().map(ToString::to_string).collect();
    more.push(format!(r#"le=~"{}""#, bounds.join("|")));
    Some(range(source, latency.bucket, wanted, &more, window))
}

fn range(
    source: &Source,
    metric: &str,
    wanted: &[Sides],
    more: &[String],
    window: TimeDelta,
) -> String {
    let one_of = |mut names: Vec<String>| {
        names.sort();
        names.dedup();
        names.join("|")
    };
    let namespaces = one_of(wanted.iter().map(|it| it.namespace.clone()).collect());
    let names = one_of(wanted.iter().flat_map(|it| source.names(it)).collect());
    let mut matchers = vec![
        format!(r#"{}=~"{namespaces}""#, source.namespace),
        format!(r#"{}=~"{names}""#, source.who.label()),
    ];
    matchers.extend(source.extra.iter().map(ToString::to_string));
    matchers.extend(more.iter().cloned());
    format!(
        "{metric}{{{}}}[{}s]",
        matchers.join(", "),
        window.num_seconds().max(1)
    )
}

/// The counters of each release that was asked about, in the same order.
///
/// # Errors
/// Why there are none.
pub fn read(
    telemetry: Telemetry,
    wanted: &[Sides],
    status: StatusCode,
    body: &[u8],
) -> Result<Vec<Counters>, String> {
    let source = table::source(telemetry)
        .ok_or_else(|| format!("{} has no counters of pods", telemetry.as_str()))?;
    let mut found = vec![Counters::default(); wanted.len()];
    let places = places(source, wanted);
    for one in prometheus::series(status, body)? {
        let labels: BTreeMap<&str, &str> = one
            .metric()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let label = |name: &str| labels.get(name).copied().unwrap_or_default();
        let namespace = label(source.namespace);
        let whose = source.may_name(label(source.who.label()));
        let mut places = whose.filter_map(|named| places.get(&(namespace, named)).copied());
        if let Some((place, side)) = places.next()
            && let Some(of_release) = found.get_mut(place)
            && let Some(counts) = source.counts(&labels)
        {
            of_release.series.push(CounterSeries {
                side,
                pod: pod(&labels),
                counts,
                samples: samples(&one),
            });
        }
    }
    Ok(found)
}

type Places<'a> = HashMap<(&'a str, Named<'a>), (usize, Side)>;

/// Where the series of each workload belong.
fn places<'a>(source: &Source, wanted: &'a [Sides]) -> Places<'a> {
    let both = |(place, it): (usize, &'a Sides)| {
        let name = |name| (it.namespace.as_str(), source.named(it, name));
        [
            (name(&it.canary), (place, Side::Canary)),
            (name(&it.primary), (place, Side::Primary)),
        ]
    };
    wanted.iter().enumerate().flat_map(both).collect()
}

/// The labels that name the pod, in the usual configurations of scraping.
const POD: [&str; 4] = ["pod", "kubernetes_pod_name", "pod_name", "instance"];

fn pod(labels: &BTreeMap<&str, &str>) -> String {
    let found = POD.iter().find_map(|name| labels.get(name));
    (*found.unwrap_or(&"")).to_owned()
}

fn samples(series: &RangeVector) -> Vec<(DateTime<Utc>, f64)> {
    let with_time = |sample: &Sample| Some((time(sample.timestamp())?, sample.value()));
    series.samples().iter().filter_map(with_time).collect()
}

/// Prometheus tells times in seconds, in thousandths.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and what is out of range is no time"
)]
fn time(seconds: f64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis((seconds * 1000.0).round() as i64)
}

impl Source {
    /// What a series with those labels counts; nothing that is asked for, where its bound is no latency.
    fn counts(&self, labels: &BTreeMap<&str, &str>) -> Option<Counts> {
        let Some(bound) = labels.get("le") else {
            let failed = self.failed(labels);
            return Some(if failed { Counts::Failed } else { Counts::Good });
        };
        let bound: f64 = bound.parse().ok()?;
        if bound == f64::INFINITY {
            return Some(Counts::Timed);
        }
        self.latency.milliseconds(bound).map(Counts::Within)
    }

    /// The names that its label of workloads or pods may have.
    fn names(&self, sides: &Sides) -> [String; 2] {
        let random = if sides.is_daemon_set {
            "-[0-9a-zA-Z]+"
        } else {
            "-[0-9a-zA-Z]+-[0-9a-zA-Z]+"
        };
        let name = |workload: &str| match self.who {
            Who::Workload(_) => workload.to_owned(),
            Who::Pod(_) => format!("{workload}{random}"),
        };
        [name(&sides.canary), name(&sides.primary)]
    }

    /// How that workload is named by its label.
    fn named<'a>(&self, sides: &Sides, workload: &'a str) -> Named<'a> {
        let random = match self.who {
            Who::Workload(_) => 0,
            Who::Pod(_) if sides.is_daemon_set => 1,
            Who::Pod(_) => 2,
        };
        Named { workload, random }
    }

    /// The workloads that the value of its label may name.
    fn may_name<'a>(&self, label: &'a str) -> impl Iterator<Item = Named<'a>> {
        let parts = match self.who {
            Who::Workload(_) => 0..=0,
            Who::Pod(_) => 1..=2,
        };
        parts.filter_map(move |random| {
            let mut workload = label;
            for _ in 0..random {
                (workload, _) = workload.rsplit_once('-')?;
            }
            Some(Named { workload, random })
        })
    }
}

/// A workload as a label names it: with so many random parts behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Named<'a> {
    workload: &'a str,
    random: usize,
}

#[cfg(test)]
mod tests;
