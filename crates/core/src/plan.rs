//! The plan: a Canary, its annotations and the defaults, parsed into what is meant, with every mistake named.

pub mod annotations;
mod canary_replicas;
pub mod origin;
mod parse;
mod problem;
mod provider;
mod silence;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use slipway_api::{CanaryAlert, ObjectReference};

pub use annotations::{AnnotationPolicy, AnnotationScope, Gate, Place, Tuning};
pub use canary_replicas::CanaryReplicas;
pub use parse::Defaults;
pub use problem::Problem;
pub use provider::{Provider, SmiVersion};
pub use silence::Silence;

use crate::analysis::JudgeSettings;
use crate::weight::Weight;

/// What is meant by a Canary: validated, with defaults filled in. Only a `Plan` is ever acted on.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word of the spec or an annotation by its name"
)]
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which Canary this is.
    pub canary: CanaryId,
    /// The workload that the user deploys.
    pub target: TargetRef,
    /// The names of everything that belongs to the release.
    pub names: Names,
    /// The traffic router.
    pub provider: Provider,
    /// How a revision is tried out.
    pub strategy: Strategy,
    /// The pace of the analysis: time between two steps.
    pub interval: TimeDelta,
    /// How many failed checks end a release, at least 1.
    pub threshold: i64,
    /// How long a side may take to become ready.
    pub progress_deadline: TimeDelta,
    /// How long a side that lost its traffic stays up and selected: proxies learn late.
    pub settle: TimeDelta,
    /// How many pods the canary has before it gets traffic.
    pub canary_replicas: CanaryReplicas,
    /// Whether the target is paused while it has traffic, so that a newer revision waits for the traffic to leave.
    pub hold_new_revision: bool,
    /// How much weight goes back to the primary at a time on promotion; `None`: all at once.
    pub promotion_step: Option<Weight>,
    /// The cookies that keep a user on the side that was met first; `None`: nobody is kept.
    pub affinity: Option<Affinity>,
    /// Percent of the primary's pods that must be available for it to be ready.
    pub primary_ready_threshold: i64,
    /// The same for the canary.
    pub canary_ready_threshold: i64,
    /// The metric checks, in order.
    pub metrics: Vec<MetricCheck>,
    /// The hooks, in order.
    pub hooks: Vec<Hook>,
    /// The alert rules of this Canary; empty: the global notifier.
    pub alerts: Vec<CanaryAlert>,
    /// Promote without analysis.
    pub skip_analysis: bool,
    /// Do nothing at all.
    pub suspend: bool,
    /// Stay at the step that is reached, and start nothing, until this is false again; what protects users goes on.
    pub paused: bool,
    /// The gates that a person opens, in the order of a release.
    pub approve: Vec<Gate>,
    /// The releases of the same namespace that go first: none starts while one of them does not rest at its newest revision.
    pub after: Vec<String>,
    /// What a metric without data means.
    pub on_no_data: Silence,
    /// What a provider of metrics that does not answer means.
    pub on_provider_error: Silence,
    /// How a release is judged by evidence, beside its checks.
    pub judge: JudgeSettings,
    /// Whether a Canary that is deleted leaves everything as it is, the target without pods too: Flagger's way.
    pub orphans: bool,
    /// Give back what the user had when the Canary is deleted.
    pub revert_on_deletion: bool,
    /// The Prometheus of this Canary instead of the controller's.
    pub metrics_server: Option<String>,
    /// The Secret of that Prometheus, in the Canary's namespace.
    pub metrics_server_secret: Option<String>,
    /// The scaler of the target.
    pub autoscaler: Option<Autoscaler>,
    /// The main port of the Services.
    pub port: u16,
    /// The annotations in force.
    pub tuning: Tuning,
    /// Things that work but were probably meant otherwise.
    pub warnings: Vec<Problem>,
}

/// Which Canary this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanaryId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty in tests and tools without a cluster.
    pub uid: String,
}

impl CanaryId {
    /// `name.namespace`, as Flagger's events and alerts write it.
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }
}

/// The workload that the user deploys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRef {
    /// Its kind.
    pub kind: TargetKind,
    /// Its name.
    pub name: String,
}

/// The kinds of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// A core Service.
    Service,
    /// A Knative Service.
    Knative,
}

impl TargetKind {
    /// The kind that a Canary names, if it can be a target.
    pub fn of(reference: &ObjectReference) -> Option<Self> {
        match reference.kind.as_str() {
            "Deployment" => Some(Self::Deployment),
            "DaemonSet" => Some(Self::DaemonSet),
            "Service" if reference.api_version.starts_with("serving.knative.dev/") => {
                Some(Self::Knative)
            }
            "Service" => Some(Self::Service),
            _ => None,
        }
    }

    /// The kind as objects write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::DaemonSet => "DaemonSet",
            Self::Service | Self::Knative => "Service",
        }
    }
}

/// The names of everything that belongs to a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The Service that users call, also the name of the routing objects.
    pub apex: String,
    /// The Service of the primary.
    pub primary_service: String,
    /// The Service of the canary.
    pub canary_service: String,
    /// The primary workload.
    pub primary: String,
}

/// How a revision is tried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// A growing share of live traffic.
    Canary {
        /// The weights in order, strictly growing, each more than 0; never empty.
        steps: Vec<Weight>,
        /// Whether one interval of mirrored traffic comes before the first step.
        mirror: bool,
    },
    /// The canary is judged beside live traffic for so many iterations, then takes all of it (with a mesh), then is promoted.
    BlueGreen {
        /// How many ticks.
        iterations: i64,
        /// Whether live traffic is mirrored to the canary meanwhile.
        mirror: bool,
    },
    /// Those whom the match selects meet the canary for so many iterations.
    AbTesting {
        /// How many ticks.
        iterations: i64,
    },
}

impl Strategy {
    /// Flagger's name of it, a label of the metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Canary { .. } => "canary",
            Self::BlueGreen { .. } => "blue-green",
            Self::AbTesting { .. } => "ab-testing",
        }
    }
}

/// The names of the cookies that keep a user on the side that was met first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// Of the canary's cookie.
    pub cookie: String,
    /// Of the primary's; `None`: users of the primary are dealt out anew with each request, as in Flagger.
    pub primary_cookie: Option<String>,
}

/// One metric check.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricCheck {
    /// Its name, as events and metrics call it.
    pub name: String,
    /// Where the number comes from.
    pub source: MetricSource,
    /// The window of the query, as it was written (`1m`); empty where a template metric names none.
    pub interval: String,
    /// The least good value.
    pub min: Option<f64>,
    /// The greatest good value.
    pub max: Option<f64>,
}

/// Where the number of a check comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricSource {
    /// The built-in success rate of the provider, in percent.
    SuccessRate,
    /// The built-in request duration of the provider, in milliseconds.
    RequestDuration,
    /// PromQL in the Canary itself.
    Query(String),
    /// A MetricTemplate.
    Template {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The values of `variables` in its query.
        variables: BTreeMap<String, String>,
    },
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name, as events call it.
    pub name: String,
    /// When it is called.
    pub kind: HookKind,
    /// Where it is.
    pub url: String,
    /// The limit of each attempt.
    pub timeout: TimeDelta,
    /// How many more attempts.
    pub retries: u32,
    /// Whether waiting for it is not alerted.
    pub mute_alert: bool,
    /// Whether the certificate of its server is not verified.
    pub disable_tls: bool,
    /// What is passed on in the payload.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// When a hook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// A gate before a release starts.
    ConfirmRollout,
    /// A check before any traffic.
    PreRollout,
    /// A check at each tick.
    Rollout,
    /// A gate before the weight grows.
    ConfirmTrafficIncrease,
    /// A gate before a promotion.
    ConfirmPromotion,
    /// Told after the end of a release.
    PostRollout,
    /// Told of every event.
    Event,
    /// A gate that, open, causes a rollback.
    Rollback,
}

impl HookKind {
    /// The word as a Canary spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfirmRollout => "confirm-rollout",
            Self::PreRollout => "pre-rollout",
            Self::Rollout => "rollout",
            Self::ConfirmTrafficIncrease => "confirm-traffic-increase",
            Self::ConfirmPromotion => "confirm-promotion",
            Self::PostRollout => "post-rollout",
            Self::Event => "event",
            Self::Rollback => "rollback",
        }
    }
}

/// The scaler of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autoscaler {
    /// Its kind.
    pub kind: AutoscalerKind,
    /// Its name.
    pub name: String,
    /// Replicas of the primary's scaler, instead of the same as the target's.
    pub min_replicas: Option<i64>,
    /// The same, the upper bound.
    pub max_replicas: Option<i64>,
    /// Queries of the primary's KEDA triggers, by trigger name.
    pub queries: BTreeMap<String, String>,
}

/// The kinds of scaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoscalerKind {
    /// `autoscaling/v2` HorizontalPodAutoscaler.
    Hpa,
    /// KEDA's `ScaledObject`.
    Keda,
}

impl Plan {
    /// The weights of a release by weight, in order; none of another.
    pub fn steps(&self) -> &[Weight] {
        match &self.strategy {
            Strategy::Canary { steps, .. } => steps,
            Strategy::BlueGreen { .. } | Strategy::AbTesting { .. } => &[],
        }
    }

    /// The share of failures that the checks leave, 0 to 1, where they bound the success rate.
    pub fn objective(&self) -> Option<f64> {
        let mut checks = self.metrics.iter();
        let least = checks
            .find(|check| check.source == MetricSource::SuccessRate)?
            .min?;
        Some((100.0 - least) / 100.0)
    }

    /// The hooks of that type, in order.
    pub fn hooks_of(&self, kind: HookKind) -> impl Iterator<Item = &Hook> {
        self.hooks.iter().filter(move |hook| hook.kind == kind)
    }
}
