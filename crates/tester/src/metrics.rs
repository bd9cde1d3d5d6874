//! What the tester counts of itself.
//!
//! Flagger's load tester has metrics of its process only (and of Go's runtime): `process_*` keep their names, the rest is ours.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::load::Summary;
use crate::task::TaskType;

/// The metrics. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    tasks: Family<TaskLabels, Counter>,
    running: Family<TypeLabels, Gauge>,
    checks: Family<OutcomeLabels, Counter>,
    requests: Family<OutcomeLabels, Counter>,
    process: Process,
}

/// How a task, a check or a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    NotMet,
    Refused,
    Skipped,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let word = match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotMet => "not-met",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
        };
        word.encode(encoder)
    }
}

impl EncodeLabelValue for TaskType {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    r#type: TaskType,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabels {
    r#type: TaskType,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Outcome,
}

/// A task that is counted as running until it ends, whatever way.
pub(crate) struct Running<'a> {
    metrics: &'a Metrics,
    kind: TaskType,
}

impl Running<'_> {
    pub(crate) fn end(self, outcome: Outcome) {
        self.metrics.ended(self.kind, outcome);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let labels = TypeLabels { r#type: self.kind };
        self.metrics.running.get_or_create(&labels).dec();
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = Self {
            registry: Arc::default(),
            tasks: Family::default(),
            running: Family::default(),
            checks: Family::default(),
            requests: Family::default(),
            process: Process::register(&mut registry),
        };
        let ours = registry.sub_registry_with_prefix("slipway_tester");
        ours.register("tasks", "Tasks that ended", metrics.tasks.clone());
        ours.register("tasks_running", "Tasks that run", metrics.running.clone());
        ours.register("checks", "Checks of suites", metrics.checks.clone());
        let help = "Requests of loads";
        ours.register("load_requests", help, metrics.requests.clone());
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }

    pub(crate) fn begin(&self, kind: TaskType) -> Running<'_> {
        let labels = TypeLabels { r#type: kind };
        self.running.get_or_create(&labels).inc();
        Running {
            metrics: self,
            kind,
        }
    }

    pub(crate) fn ended(&self, kind: TaskType, outcome: Outcome) {
        let labels = TaskLabels {
            r#type: kind,
            outcome,
        };
        self.tasks.get_or_create(&labels).inc();
    }

    pub(crate) fn checked(&self, has_passed: bool) {
        let outcome = if has_passed {
            Outcome::Passed
        } else {
            Outcome::NotMet
        };
        self.checks.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(crate) fn loaded(&self, summary: &Summary) {
        let add = |outcome, count| {
            let labels = OutcomeLabels { outcome };
            self.requests.get_or_create(&labels).inc_by(count);
        };
        add(Outcome::Passed, summary.successes());
        let rest = summary.requests().saturating_sub(summary.successes());
        add(Outcome::Failed, rest);
    }

    /// The text for a scrape.
    pub(crate) fn encode(&self) -> String {
        self.process.look();
        let mut text = String::new();
        // Writing to a string does not fail.
        encode(&mut text, &self.registry).unwrap_or_default();
        text
    }
}

type Float = Gauge<f64, AtomicU64>;

/// The metrics that every Prometheus client tells of its process.
#[derive(Clone, Debug, Default)]
struct Process {
    cpu: Counter<f64, AtomicU64>,
    memory: Float,
    files: Float,
}

impl Process {
    fn register(registry: &mut Registry) -> Self {
        let process = Self::default();
        let rows = [
            ("process_resident_memory_bytes", "Memory", &process.memory),
            ("process_open_fds", "Open files", &process.files),
        ];
        registry.register("process_cpu_seconds", "CPU time", process.cpu.clone());
        for (name, help, gauge) in rows {
            registry.register(name, help, gauge.clone());
        }
        process
    }

    /// Reads the kernel's files; where there are none, nothing changes.
    fn look(&self) {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field may hold anything, in brackets.
        let fields: Vec<u32> = stat.rsplit_once(") ").map_or_else(Vec::new, |(_, rest)| {
            let fields = rest.split_whitespace();
            fields.map(|it| it.parse().unwrap_or_default()).collect()
        });
        let field = |at: usize| fields.get(at).copied().map_or(0.0, f64::from);
        let number = |it: u64| u32::try_from(it).map_or(1.0, f64::from);
        let ticks = number(rustix::param::clock_ticks_per_second());
        let used = (field(11) + field(12)) / ticks;
        self.cpu.inc_by((used - self.cpu.get()).max(0.0));
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        self.memory.set(field(21) * number(page));
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.files.set(u32::try_from(files).map_or(0.0, f64::from));
    }
}
