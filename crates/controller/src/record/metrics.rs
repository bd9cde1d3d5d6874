//! What `/metrics` shows: Flagger's metrics under Flagger's names, and our own under `slipway_`.
//!
//! The invariant (FC-108): a series of a release lives as long as its Canary. Labels come from closed sets or from names of living objects.
//!
//! **Source**: dossier 02 D.1, 03 D2. **Differs from Flagger**: series of deleted Canaries and of emptied namespaces vanish; text format
//! of prometheus-client (`le="1.0"`, A9).

mod labels;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use slipway_api::{Phase, names};
use slipway_core::decision::Outcome;
use slipway_core::plan::{MetricCheck, MetricSource, Strategy};
use slipway_core::weight::Weight;

use crate::error::Class;

pub use labels::{ApiLabels, DecisionKind, Delivery, ReleaseLabels};
use labels::{
    ClassLabels, InfoLabels, KindLabels, NamespaceLabels, OutcomeLabels, ReadingLabels,
    ResultLabels, WorkloadLabels,
};

/// The metrics of one process. Clones are the same metrics.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new("")
    }
}

struct Inner {
    registry: Registry,
    flagger: FlaggerMetrics,
    own: OwnMetrics,
    /// What of each release is shown, so that all of it can vanish.
    shown: Mutex<BTreeMap<ReleaseLabels, Shown>>,
}

#[derive(Default)]
struct Shown {
    metrics: BTreeSet<String>,
    successes: BTreeSet<OutcomeLabels>,
    failures: BTreeSet<OutcomeLabels>,
}

/// Seconds, as Go's default buckets.
const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

fn seconds() -> Histogram {
    Histogram::new(BUCKETS)
}

type FloatGauge = Gauge<f64, AtomicU64>;

/// Those that Flagger has.
struct FlaggerMetrics {
    info: Family<InfoLabels, Gauge>,
    total: Family<NamespaceLabels, Gauge>,
    status: Family<ReleaseLabels, Gauge>,
    weight: Family<WorkloadLabels, Gauge>,
    duration: Family<ReleaseLabels, Histogram>,
    reading: Family<ReadingLabels, FloatGauge>,
    successes: Family<OutcomeLabels, Counter>,
    failures: Family<OutcomeLabels, Counter>,
}

impl FlaggerMetrics {
    fn registered(registry: &mut Registry) -> Self {
        Self {
            info: family(
                registry,
                "flagger_info",
                "Version and default provider of the controller",
            ),
            total: family(
                registry,
                "flagger_canary_total",
                "Number of Canaries by namespace",
            ),
            status: family(
                registry,
                "flagger_canary_status",
                "State of the last release: 0 running, 1 successful or at rest, 2 failed",
            ),
            weight: family(
                registry,
                "flagger_canary_weight",
                "Share of traffic in percent",
            ),
            duration: register(
                registry,
                "flagger_canary_duration_seconds",
                "Seconds that a tick of the analysis took",
                Family::new_with_constructor(seconds),
            ),
            reading: family(
                registry,
                "flagger_canary_metric_analysis",
                "Last value of a metric check",
            ),
            successes: family(
                registry,
                "flagger_canary_successes",
                "Releases that were promoted",
            ),
            failures: family(registry, "flagger_canary_failures", "Releases that failed"),
        }
    }
}

/// Those that Flagger does not have.
struct OwnMetrics {
    leader: Gauge,
    evidence: Family<ReleaseLabels, FloatGauge>,
    would_roll_back: Family<ReleaseLabels, Gauge>,
    decisions: Family<KindLabels, Counter>,
    reconcile: Histogram,
    api_requests: Family<ApiLabels, Counter>,
    errors: Family<ClassLabels, Counter>,
    panics: Counter,
    alerts: Family<ResultLabels, Counter>,
    events: Family<ResultLabels, Counter>,
}

impl OwnMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let histogram = seconds();
        Self {
            leader: register(
                registry,
                "slipway_leader",
                "Whether this process leads",
                Gauge::default(),
            ),
            evidence: family(
                registry,
                "slipway_evidence",
                "Evidence that the canary is worse than tolerated, as its decimal logarithm: at 3 an alpha of 0.001 takes it back",
            ),
            would_roll_back: family(
                registry,
                "slipway_would_roll_back",
                "Whether the sequential test, which only watches, would have taken the last release back",
            ),
            decisions: family(
                registry,
                "slipway_decisions",
                "Decisions by what they came to",
            ),
            reconcile: register(
                registry,
                "slipway_reconcile_seconds",
                "Seconds from being woken to the last effect",
                histogram,
            ),
            api_requests: family(
                registry,
                "slipway_api_requests",
                "Requests to the API server; code 0 is no answer",
            ),
            errors: family(
                registry,
                "slipway_errors",
                "Failed decisions and effects by class",
            ),
            panics: register(
                registry,
                "slipway_panics",
                "Panics, each confined to one release",
                Counter::default(),
            ),
            alerts: family(
                registry,
                "slipway_alerts",
                "Alerts and event hooks by what became of them",
            ),
            events: family(
                registry,
                "slipway_events",
                "Kubernetes events by what became of them",
            ),
        }
    }

    /// Shows every counter of a closed set at zero: one that appears with its first event has not increased, to Prometheus, and no alert
    /// tells of that event.
    fn count_from_zero(&self) {
        for kind in DecisionKind::ALL {
            let kind = kind.as_str();
            drop(self.decisions.get_or_create(&KindLabels { kind }));
        }
        for class in Class::ALL {
            let class = class.as_str();
            drop(self.errors.get_or_create(&ClassLabels { class }));
        }
        for delivery in Delivery::ALL {
            let result = delivery.as_str();
            drop(self.alerts.get_or_create(&ResultLabels { result }));
            drop(self.events.get_or_create(&ResultLabels { result }));
        }
    }
}

fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn family<L, M>(registry: &mut Registry, name: &str, help: &str) -> Family<L, M>
where
    L: Clone + std::hash::Hash + Eq,
    M: Default,
    Family<L, M>: Metric,
{
    register(registry, name, help, Family::default())
}

impl Metrics {
    /// The metrics of a controller whose default provider is that.
    pub fn new(mesh_provider: &str) -> Self {
        let mut registry = Registry::default();
        let flagger = FlaggerMetrics::registered(&mut registry);
        let own = OwnMetrics::registered(&mut registry);
        let labels = InfoLabels {
            version: env!("CARGO_PKG_VERSION"),
            mesh_provider: mesh_provider.to_owned(),
        };
        flagger.info.get_or_create(&labels).set(1);
        own.count_from_zero();
        Self {
            inner: Arc::new(Inner {
                registry,
                flagger,
                own,
                shown: Mutex::default(),
            }),
        }
    }

    /// All of it, as text (`OpenMetrics` 1.0).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if text::encode(&mut text, &self.inner.registry).is_err() {
            tracing::error!("the metrics could not be written as text");
        }
        text
    }

    /// So many Canaries are in that namespace; without any, its series vanishes.
    pub fn canaries(&self, namespace: &str, count: usize) {
        let labels = NamespaceLabels {
            namespace: namespace.to_owned(),
        };
        if count == 0 {
            self.inner.flagger.total.remove(&labels);
            return;
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.inner.flagger.total.get_or_create(&labels).set(count);
    }

    /// The release is in that phase.
    pub fn phase(&self, release: &ReleaseLabels, phase: Phase) {
        self.show(release, |_| {});
        let status = match phase {
            Phase::Progressing => 0,
            Phase::Failed => 2,
            Phase::Empty
            | Phase::Initializing
            | Phase::Initialized
            | Phase::Waiting
            | Phase::WaitingPromotion
            | Phase::Promoting
            | Phase::Finalising
            | Phase::Succeeded
            | Phase::Terminating
            | Phase::Terminated => 1,
        };
        self.inner.flagger.status.get_or_create(release).set(status);
    }

    /// The canary has that share of the traffic, the primary the rest.
    pub fn weight(&self, release: &ReleaseLabels, canary: Weight) {
        self.show(release, |_| {});
        let [target, primary] = workloads(release);
        let weights = &self.inner.flagger.weight;
        weights.get_or_create(&target).set(canary.percent());
        weights.get_or_create(&primary).set(canary.rest().percent());
    }

    /// What the requests of its last release say: the natural logarithm of the evidence against it, and whether the test that only watches would have
    /// taken it back.
    pub fn evidence(&self, release: &ReleaseLabels, log: f64, would_roll_back: bool) {
        self.show(release, |_| {});
        let own = &self.inner.own;
        let decimal = log / std::f64::consts::LN_10;
        own.evidence.get_or_create(release).set(decimal);
        let would = own.would_roll_back.get_or_create(release);
        would.set(i64::from(would_roll_back));
    }

    /// The check read that value. The built-in duration is read in milliseconds and shown in seconds, as Flagger shows it.
    pub fn reading(&self, release: &ReleaseLabels, check: &MetricCheck, value: f64) {
        self.show(release, |shown| {
            shown.metrics.insert(check.name.clone());
        });
        let value = if check.source == MetricSource::RequestDuration {
            value / 1000.0
        } else {
            value
        };
        let labels = reading_labels(release, &check.name);
        self.inner.flagger.reading.get_or_create(&labels).set(value);
    }

    /// A tick of the analysis took that long.
    pub fn tick(&self, release: &ReleaseLabels, took: Duration) {
        self.show(release, |_| {});
        self.inner
            .flagger
            .duration
            .get_or_create(release)
            .observe(took.as_secs_f64());
    }

    /// Releases of this kind may end here: shows how many have, from zero on, so that the first that ends is an increase to Prometheus.
    ///
    /// **Differs from Flagger**: its counters appear with the first release that ends.
    pub fn expect_outcomes(&self, release: &ReleaseLabels, strategy: &Strategy) {
        let flagger = &self.inner.flagger;
        let promoted = outcome_labels(release, strategy, Outcome::Succeeded);
        let failed = outcome_labels(release, strategy, Outcome::Failed);
        drop(flagger.successes.get_or_create(&promoted));
        drop(flagger.failures.get_or_create(&failed));
        self.show(release, |shown| {
            shown.successes.insert(promoted);
            shown.failures.insert(failed);
        });
    }

    /// A release ended so.
    pub fn outcome(&self, release: &ReleaseLabels, strategy: &Strategy, outcome: Outcome) {
        let labels = outcome_labels(release, strategy, outcome);
        let flagger = &self.inner.flagger;
        match outcome {
            Outcome::Succeeded | Outcome::Skipped => {
                flagger.successes.get_or_create(&labels).inc();
                self.show(release, |shown| {
                    shown.successes.insert(labels);
                });
            }
            Outcome::Failed => {
                flagger.failures.get_or_create(&labels).inc();
                self.show(release, |shown| {
                    shown.failures.insert(labels);
                });
            }
        }
    }

    /// The Canary is gone: its series vanish.
    pub fn forget(&self, release: &ReleaseLabels) {
        let Some(Shown {
            metrics,
            successes,
            failures,
        }) = self.shown().remove(release)
        else {
            return;
        };
        let flagger = &self.inner.flagger;
        flagger.status.remove(release);
        flagger.duration.remove(release);
        self.inner.own.evidence.remove(release);
        self.inner.own.would_roll_back.remove(release);
        for workload in workloads(release) {
            flagger.weight.remove(&workload);
        }
        for metric in metrics {
            flagger.reading.remove(&reading_labels(release, &metric));
        }
        for labels in successes {
            flagger.successes.remove(&labels);
        }
        for labels in failures {
            flagger.failures.remove(&labels);
        }
    }

    /// Whether this process leads.
    pub fn leading(&self, leads: bool) {
        self.inner.own.leader.set(i64::from(leads));
    }

    /// A decision was made.
    pub fn decision(&self, kind: DecisionKind) {
        let labels = KindLabels {
            kind: kind.as_str(),
        };
        self.inner.own.decisions.get_or_create(&labels).inc();
    }

    /// From being woken to the last effect it took that long.
    pub fn reconciled(&self, took: Duration) {
        self.inner.own.reconcile.observe(took.as_secs_f64());
    }

    /// The API server was asked.
    pub fn api_request(&self, labels: &ApiLabels) {
        self.inner.own.api_requests.get_or_create(labels).inc();
    }

    /// A decision or an effect failed.
    pub fn error(&self, class: Class) {
        let labels = ClassLabels {
            class: class.as_str(),
        };
        self.inner.own.errors.get_or_create(&labels).inc();
    }

    /// A panic was caught.
    pub fn panicked(&self) {
        self.inner.own.panics.inc();
    }

    /// An alert, or the call of an event hook, ended so.
    pub fn alert(&self, delivery: Delivery) {
        let labels = ResultLabels {
            result: delivery.as_str(),
        };
        self.inner.own.alerts.get_or_create(&labels).inc();
    }

    /// A Kubernetes event ended so.
    pub fn event(&self, delivery: Delivery) {
        let labels = ResultLabels {
            result: delivery.as_str(),
        };
        self.inner.own.events.get_or_create(&labels).inc();
    }

    fn show(&self, release: &ReleaseLabels, note: impl FnOnce(&mut Shown)) {
        note(self.shown().entry(release.clone()).or_default());
    }

    fn shown(&self) -> MutexGuard<'_, BTreeMap<ReleaseLabels, Shown>> {
        self.inner
            .shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The two workloads of a release: the target and its primary.
fn workloads(release: &ReleaseLabels) -> [WorkloadLabels; 2] {
    [release.name.clone(), names::primary_name(&release.name)].map(|workload| WorkloadLabels {
        workload,
        namespace: release.namespace.clone(),
    })
}

fn outcome_labels(release: &ReleaseLabels, strategy: &Strategy, outcome: Outcome) -> OutcomeLabels {
    OutcomeLabels {
        name: release.name.clone(),
        namespace: release.namespace.clone(),
        deployment_strategy: strategy.label(),
        analysis_status: match outcome {
            Outcome::Skipped => "skipped",
            Outcome::Succeeded | Outcome::Failed => "completed",
        },
    }
}

fn reading_labels(release: &ReleaseLabels, metric: &str) -> ReadingLabels {
    ReadingLabels {
        name: release.name.clone(),
        namespace: release.namespace.clone(),
        metric: metric.to_owned(),
    }
}

#[cfg(test)]
mod tests;
