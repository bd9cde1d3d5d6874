//! What can be seen at one moment: read from the cluster, Prometheus and the users, never from the controller.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use slipway_api::{CanaryStatus, Phase};
use slipway_sim::{Report, World};

use super::cluster::{NAMESPACE, RATE, Service, version};

/// One service and its release.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Release {
    pub(super) service: Service,
    pub(super) status: CanaryStatus,
    /// The version that the primary runs, and the one that the target asks for.
    pub(super) primary: Side,
    pub(super) canary: Side,
    pub(super) limits: Limits,
}

/// One of the two workloads of a release.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Side {
    pub(super) version: String,
    pub(super) ready: i64,
    pub(super) wanted: i64,
}

/// What the Canary demands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Limits {
    /// Percent.
    pub(super) success: f64,
    /// Milliseconds.
    pub(super) latency: f64,
    /// Failed checks until rollback.
    pub(super) threshold: i64,
    /// Checks of a blue/green or A/B release; 0 for one by weight.
    pub(super) iterations: i64,
    /// Between two checks.
    pub(super) interval: Duration,
}

/// What Prometheus says of one side, absent without requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Measured {
    /// Percent.
    pub(super) success: Option<f64>,
    /// Milliseconds.
    pub(super) latency: Option<f64>,
}

/// What users got.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Requests {
    pub(super) sent: f64,
    pub(super) failed: f64,
}

impl Release {
    pub(super) fn of(world: &World, service: Service) -> Self {
        let canary = world.get("canary", NAMESPACE, service.name());
        let canary: &Value = canary.as_deref().map_or(&Value::Null, |object| object);
        let status = canary.get("status").cloned();
        let status: Option<CanaryStatus> = status.and_then(|it| serde_json::from_value(it).ok());
        Self {
            service,
            status: status.unwrap_or_default(),
            primary: Side::of(world, &primary_of(service)),
            canary: Side::of(world, service.name()),
            limits: Limits::of(canary),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.status.phase
    }

    pub(super) fn weight(&self) -> i64 {
        self.status.canary_weight.clamp(0, 100)
    }

    /// Whether the canary gets copies of the users' requests.
    pub(super) fn is_mirrored(&self) -> bool {
        let slipway = self.status.slipway.as_ref();
        slipway.is_some_and(|it| it.release.as_ref().is_some_and(|release| release.mirrored))
    }

    /// Why the last release failed.
    pub(super) fn reason(&self) -> Option<&str> {
        self.status.slipway.as_ref()?.reason.as_deref()
    }

    /// When the next check is due.
    fn due(&self) -> Option<DateTime<Utc>> {
        let slipway = self.status.slipway.as_ref()?;
        let step_at = slipway.release.as_ref()?.step_at?;
        TimeDelta::from_std(self.limits.interval)
            .ok()
            .map(|interval| step_at + interval)
    }

    /// How long until the next check, while checks are made.
    pub(super) fn next_check(&self, now: DateTime<Utc>) -> Option<Duration> {
        let is_checked = self.phase() == Phase::Progressing;
        let due = self.due().filter(|_| is_checked)?;
        (due - now).to_std().ok()
    }

    /// Whether a release is under way.
    pub(super) fn is_busy(&self) -> bool {
        match self.phase() {
            Phase::Waiting
            | Phase::Progressing
            | Phase::WaitingPromotion
            | Phase::Promoting
            | Phase::Finalising => true,
            Phase::Empty
            | Phase::Initializing
            | Phase::Initialized
            | Phase::Succeeded
            | Phase::Failed
            | Phase::Terminating
            | Phase::Terminated => false,
        }
    }
}

/// The workload that serves.
pub(super) fn primary_of(service: Service) -> String {
    format!("{}-primary", service.name())
}

impl Side {
    fn of(world: &World, deployment: &str) -> Self {
        let Some(found) = world.get("deployment", NAMESPACE, deployment) else {
            return Self::default();
        };
        let number = |pointer: &str| found.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
        let image = found.pointer("/spec/template/spec/containers/0/image");
        Self {
            version: version(image.and_then(Value::as_str).unwrap_or_default()).to_owned(),
            ready: number("/status/readyReplicas"),
            wanted: number("/spec/replicas"),
        }
    }
}

impl Limits {
    fn of(canary: &Value) -> Self {
        let analysis = canary.pointer("/spec/analysis").unwrap_or(&Value::Null);
        let number = |field: &str| analysis.get(field).and_then(Value::as_i64).unwrap_or(0);
        let bound = |metric: &str, end: &str| {
            let metrics = analysis.get("metrics").and_then(Value::as_array);
            let check = metrics?.iter().find(|it| it["name"] == metric)?;
            check.get("thresholdRange")?.get(end)?.as_f64()
        };
        let interval = analysis.get("interval").and_then(Value::as_str);
        let interval = interval.and_then(|it| slipway_api::go::parse_duration(it).ok());
        Self {
            success: bound("request-success-rate", "min").unwrap_or(0.0),
            latency: bound("request-duration", "max").unwrap_or(0.0),
            threshold: number("threshold"),
            iterations: number("iterations"),
            interval: interval.and_then(|it| it.to_std().ok()).unwrap_or_default(),
        }
    }
}

impl Measured {
    /// Of a workload over the last minute, as the built-in checks of the mesh measure it.
    pub(super) fn of(world: &World, workload: &str) -> Self {
        let labels = format!(
            "destination_workload_namespace=\"{NAMESPACE}\",destination_workload=\"{workload}\""
        );
        let success = format!(
            "sum(rate(istio_requests_total{{{labels},response_code!~\"5.*\"}}[1m])) / sum(rate(istio_requests_total{{{labels}}}[1m])) * 100"
        );
        let latency = format!(
            "histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{{{labels}}}[1m])) by (le))"
        );
        Self {
            success: number(world, &success),
            latency: number(world, &latency),
        }
    }
}

fn number(world: &World, query: &str) -> Option<f64> {
    let answer = world.prometheus().query(query);
    let value = answer.pointer("/data/result/0/value/1")?.as_str()?;
    value.parse().ok().filter(|value: &f64| value.is_finite())
}

impl Requests {
    pub(super) fn of(report: &Report) -> Self {
        Self {
            // A sum of nothing is -0.0.
            sent: report.sent() + 0.0,
            failed: report.failed() + 0.0,
        }
    }

    /// What one workload answered.
    pub(super) fn of_workload(report: &Report, workload: &str) -> Self {
        let tally = report.of_workload(NAMESPACE, workload);
        Self {
            sent: tally.ok + tally.failed,
            failed: tally.failed,
        }
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            failed: self.failed - before.failed,
        }
    }

    /// The share that failed, from 0 to 1.
    pub(super) fn share(self) -> f64 {
        if self.sent > 0.0 {
            self.failed / self.sent
        } else {
            0.0
        }
    }

    /// As many requests at the same share of failures.
    pub(super) fn had_all_been_so(self, seconds: f64) -> f64 {
        self.share() * RATE * seconds
    }
}
