//! What an SRE tunes by annotations, over what the Canary says: built-in defaults < spec < annotations of the Canary < annotations of the target.
//!
//! Annotations have a grammar of their own, stricter than the spec's: what is read here is right, or a [`Problem`] that names the annotation.
//! Their values are then laid over a copy of the spec, which is parsed as ever, so that a value means the same wherever it was written.

mod judge;
mod overlay;
mod policy;
mod value;

use std::collections::BTreeMap;

use slipway_api::names::{action, annotation};
use slipway_api::{Canary, CanarySpec};

use super::{CanaryReplicas, Problem, Silence};
use crate::analysis::JudgeSettings;
pub(super) use policy::weaker;
pub use value::Gate;
use value::Value;

/// Whose annotations are heeded (`--annotations`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnnotationScope {
    /// Those of the target and of the Canary.
    #[default]
    All,
    /// Those of the Canary.
    Canary,
    /// Nobody's.
    None,
}

/// Whether an annotation may be weaker than what stands below it (`--policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnnotationPolicy {
    /// It may.
    #[default]
    Free,
    /// It is refused.
    Strict,
}

/// The object that an annotation stands on. Those of the target win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The Canary.
    Canary,
    /// The workload that it names.
    Target,
}

/// One annotation that is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// Its value, as it was written.
    pub text: String,
    /// Where it stands.
    pub place: Place,
    value: Value,
}

/// What the weights of a release become where nothing can split traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WithoutMesh {
    /// Iterations behind the canary's own Service, as in Flagger.
    BlueGreen,
    /// Shares of the pods that the apex selects.
    Pods,
}

/// The annotations in force, by key: those that are right, each from the place that wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning(BTreeMap<&'static str, Tuned>);

/// The keys that tune a release, in the order of the reference.
pub const KEYS: [&str; 39] = [
    annotation::INTERVAL,
    annotation::THRESHOLD,
    annotation::MAX_WEIGHT,
    annotation::STEP_WEIGHT,
    annotation::STEP_WEIGHTS,
    annotation::ITERATIONS,
    annotation::SUCCESS_RATE,
    annotation::LATENCY,
    annotation::MIRROR,
    annotation::SKIP_ANALYSIS,
    annotation::PAUSED,
    annotation::SETTLE,
    annotation::CANARY_REPLICAS,
    annotation::HOLD_NEW_REVISION,
    annotation::ON_DELETE,
    annotation::ON_NO_DATA,
    annotation::ON_PROVIDER_ERROR,
    annotation::APPROVE,
    annotation::AFTER,
    annotation::METRICS_SERVER_SECRET,
    annotation::ANALYSIS_MODE,
    annotation::ALPHA,
    annotation::BETA,
    annotation::MAX_IMPACT,
    annotation::TOLERANCE,
    annotation::ERROR_FLOOR,
    annotation::TICK,
    annotation::WARMUP,
    annotation::MIN_STEP,
    annotation::MAX_STEP,
    annotation::SOAK,
    annotation::FIRST_WEIGHT,
    annotation::EVIDENCE,
    annotation::BRAKE,
    annotation::CLIFF,
    annotation::LATENCY_EDGES,
    annotation::METRIC_WEIGHTS,
    annotation::ON_INSUFFICIENT_DATA,
    annotation::ON_SHARED_INCIDENT,
];

/// The keys by which a workload without a Canary gets one.
const OPT_IN: [&str; 3] = [annotation::RELEASE, annotation::PORT, annotation::MATCH];

/// Whether a Canary was made for its target: it is owned by it.
fn is_made(canary: &Canary) -> bool {
    let target = &canary.spec.target_ref;
    let mut owners = canary.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.kind == target.kind && owner.name == target.name)
}

impl Tuning {
    /// The annotations of a Canary and of its target.
    pub(super) fn read(
        canary: &Canary,
        target: &BTreeMap<String, String>,
        scope: AnnotationScope,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let empty = BTreeMap::new();
        let of_canary = canary.metadata.annotations.as_ref().unwrap_or(&empty);
        let layers = match scope {
            AnnotationScope::All => vec![(Place::Canary, of_canary), (Place::Target, target)],
            AnnotationScope::Canary => vec![(Place::Canary, of_canary)],
            AnnotationScope::None => Vec::new(),
        };
        let mut tuning = Self::default();
        for (place, annotations) in layers {
            for key in KEYS {
                let Some(text) = annotations.get(key) else {
                    continue;
                };
                if key == annotation::METRICS_SERVER_SECRET && place == Place::Target {
                    // Whoever ships a workload does not decide where credentials go.
                    let allowed = "must stand on the Canary";
                    problems.push(refused(canary, key, text, place, allowed));
                    continue;
                }
                match Value::parse(key, text) {
                    Ok(value) => {
                        let (text, value) = (text.clone(), value);
                        tuning.0.insert(key, Tuned { text, place, value });
                    }
                    Err(allowed) => {
                        problems.push(refused(canary, key, text, place, allowed));
                    }
                }
            }
        }
        tuning
    }

    /// Annotations of ours that change nothing: unknown ones, which may be misspelt, and those that this version does not heed.
    pub(super) fn unheeded(canary: &Canary, target: &BTreeMap<String, String>) -> Vec<Problem> {
        let of_canary = canary.metadata.annotations.iter().flatten();
        let all = of_canary
            .map(|pair| (Place::Canary, pair))
            .chain(target.iter().map(|pair| (Place::Target, pair)));
        let is_made = is_made(canary);
        let odd = all.filter(|(place, (key, _))| {
            let made_it = is_made && *place == Place::Target && OPT_IN.contains(&key.as_str());
            let is_heeded = made_it || KEYS.contains(&key.as_str());
            key.starts_with(annotation::PREFIX) && !key.starts_with(action::PREFIX) && !is_heeded
        });
        odd.map(|(place, (key, text))| {
            let allowed = if OPT_IN.contains(&key.as_str()) {
                "is heeded only on a workload that nobody wrote a Canary for"
            } else if annotation::ALL.contains(&key.as_str()) {
                "is not heeded by this version"
            } else {
                "is not known: is it misspelt?"
            };
            refused(canary, key, text, place, allowed)
        })
        .collect()
    }

    /// The annotations in force that stand on the Canary alone.
    pub(super) fn of_canary(canary: &Canary) -> Self {
        // What is wrong with them is told where all of them are read.
        Self::read(
            canary,
            &BTreeMap::new(),
            AnnotationScope::Canary,
            &mut Vec::new(),
        )
    }

    /// The annotation of that key, if it is in force.
    pub fn get(&self, key: &str) -> Option<&Tuned> {
        self.0.get(key)
    }

    /// Every annotation in force, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Tuned)> {
        self.0.iter().map(|(key, tuned)| (*key, tuned))
    }

    /// Keys and values alone, as the status remembers them.
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.iter()
            .map(|(key, tuned)| (key.to_owned(), tuned.text.clone()))
            .collect()
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).map(|tuned| &tuned.value)
    }

    /// What weights become without a mesh: only annotations ask for weights that are made by pods.
    pub(super) fn without_mesh(&self) -> WithoutMesh {
        if overlay::STEPS.iter().any(|key| self.get(key).is_some()) {
            WithoutMesh::Pods
        } else {
            WithoutMesh::BlueGreen
        }
    }

    /// The gates that a person opens.
    pub(super) fn gates(&self) -> Vec<Gate> {
        match self.value(annotation::APPROVE) {
            Some(Value::Gates(gates)) => gates.clone(),
            _ => Vec::new(),
        }
    }

    /// The releases that go first.
    pub(super) fn after(&self) -> Vec<String> {
        match self.value(annotation::AFTER) {
            Some(Value::Names(names)) => names.clone(),
            _ => Vec::new(),
        }
    }

    /// The Secret of the Canary's own server of metrics, which the Canary must name.
    pub(super) fn metrics_server_secret(
        &self,
        canary: &Canary,
        problems: &mut Vec<Problem>,
    ) -> Option<String> {
        let tuned = self.get(annotation::METRICS_SERVER_SECRET)?;
        if canary.spec.metrics_server.is_none() {
            let allowed = "needs spec.metricsServer beside it: the controller's own server has the controller's credentials";
            let key = annotation::METRICS_SERVER_SECRET;
            problems.push(problem(canary, key, tuned, allowed));
        }
        let Value::Names(names) = &tuned.value else {
            return None;
        };
        names.first().cloned()
    }

    /// What a metric that was not measured means, by one of the two annotations, else by what is usual.
    pub(super) fn silence(&self, key: &str, usual: Silence) -> Silence {
        match self.value(key) {
            Some(Value::Silence(silence)) => *silence,
            _ => usual,
        }
    }

    /// How many pods the canary has before it gets traffic.
    pub(super) fn canary_replicas(&self) -> CanaryReplicas {
        match self.value(annotation::CANARY_REPLICAS) {
            Some(Value::Size(size)) => *size,
            _ => CanaryReplicas::default(),
        }
    }

    /// How a release is judged by evidence; `objective` is the share of failures that its checks leave, 0 to 1.
    pub(super) fn judge(
        &self,
        canary: &Canary,
        objective: Option<f64>,
        problems: &mut Vec<Problem>,
    ) -> JudgeSettings {
        judge::settings(self, objective).unwrap_or_else(|allowed| {
            let key = annotation::ERROR_FLOOR;
            problems.extend(self.get(key).map(|it| problem(canary, key, it, allowed)));
            JudgeSettings::default()
        })
    }

    /// Whether deleting the Canary leaves everything as it is.
    pub(super) fn orphans(&self) -> bool {
        self.value(annotation::ON_DELETE) == Some(&Value::Orphan(true))
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, key: &str) -> bool {
        self.value(key) == Some(&Value::Switch(true))
    }

    /// How long a side that lost its traffic stays up.
    pub(super) fn settle(&self) -> Option<chrono::TimeDelta> {
        match self.value(annotation::SETTLE) {
            Some(Value::Span(span)) => Some(*span),
            _ => None,
        }
    }

    /// Names the annotation in problems of fields that were laid over by one.
    pub(super) fn rename(&self, canary: &Canary, problems: &mut [Problem]) {
        for found in problems {
            let laid = self.iter().find(|(key, _)| {
                overlay::field(key).is_some_and(|field| is_within(&found.field, field))
            });
            if let Some((key, tuned)) = laid {
                let allowed = found.allowed.clone();
                *found = problem(canary, key, tuned, allowed);
            }
        }
    }

    /// The spec with the annotations laid over it.
    pub(super) fn over(&self, canary: &Canary, problems: &mut Vec<Problem>) -> CanarySpec {
        overlay::over(self, canary, problems)
    }
}

/// The releases that go before this one, as its annotations and those of its target say it; what is wrong with them is told where it is planned.
pub fn order_of(
    canary: &Canary,
    target: &BTreeMap<String, String>,
    scope: AnnotationScope,
) -> Vec<String> {
    Tuning::read(canary, target, scope, &mut Vec::new()).after()
}

/// Whether `spec.analysis.stepWeights[1]` is `spec.analysis.stepWeights` or a part of it.
fn is_within(field: &str, of: &str) -> bool {
    field
        .strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
}

/// What is wrong with an annotation: object, annotation, value and what is allowed (P10).
pub(super) fn problem(
    canary: &Canary,
    key: &str,
    tuned: &Tuned,
    allowed: impl Into<String>,
) -> Problem {
    refused(canary, key, &tuned.text, tuned.place, allowed)
}

fn refused(
    canary: &Canary,
    key: &str,
    text: &str,
    place: Place,
    allowed: impl Into<String>,
) -> Problem {
    let found = Problem::new(format!("annotation {key}"), text, allowed);
    match place {
        Place::Canary => found,
        Place::Target => {
            let namespace = canary.metadata.namespace.as_deref().unwrap_or_default();
            let (kind, name) = (&canary.spec.target_ref.kind, &canary.spec.target_ref.name);
            found.of(format!("{kind} {namespace}/{name}"))
        }
    }
}
