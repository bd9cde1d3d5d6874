//! From a Canary and the defaults to a plan, with every mistake named.

mod analysis;
mod checks;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use slipway_api::names::annotation;
use slipway_api::{AutoscalerReference, Canary, CanarySpec, GoInt, names};

use crate::analysis::{Bets, JudgeSettings};

use super::annotations::{self, Place, Tuning, WithoutMesh};
use super::{
    AnnotationPolicy, AnnotationScope, Autoscaler, AutoscalerKind, CanaryId, CanaryReplicas, Names,
    Plan, Problem, Provider, Silence, TargetKind, TargetRef,
};

/// The controller's defaults for what a Canary leaves open.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// `-mesh-provider`.
    pub provider: String,
    /// The shortest interval that is honoured (`--minimum-interval`; Flagger's floor is 10 s).
    pub minimum_interval: TimeDelta,
    /// How long a side that lost its traffic stays up and selected.
    pub settle: TimeDelta,
    /// Whether objects of other namespaces may be named (not with `-no-cross-namespace-refs`).
    pub cross_namespace_references: bool,
    /// Whose annotations are heeded (`--annotations`).
    pub annotations: AnnotationScope,
    /// Whether an annotation may be weaker than what stands below it (`--policy`).
    pub policy: AnnotationPolicy,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            provider: "istio".to_owned(),
            minimum_interval: TimeDelta::seconds(10),
            settle: TimeDelta::seconds(5),
            cross_namespace_references: true,
            annotations: AnnotationScope::All,
            policy: AnnotationPolicy::Free,
        }
    }
}

/// Collects mistakes: all of them at once, never the first only.
#[derive(Debug, Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(
        &mut self,
        field: impl Into<String>,
        value: impl std::fmt::Display,
        allowed: impl Into<String>,
    ) {
        self.0.push(Problem::new(field, value, allowed));
    }

    /// A whole number within bounds, or `fallback` with the mistake noted.
    fn integer(
        &mut self,
        field: &str,
        value: GoInt,
        allowed: std::ops::RangeInclusive<i64>,
        fallback: i64,
    ) -> i64 {
        match value.value() {
            Some(value) if allowed.contains(&value) => value,
            Some(_) | None => {
                let text = format!(
                    "must be a whole number from {} to {}",
                    allowed.start(),
                    allowed.end()
                );
                self.add(field, value, text);
                fallback
            }
        }
    }
}

impl Plan {
    /// What a Canary means, with the controller's defaults.
    ///
    /// # Errors
    /// Every mistake in spec and annotations, each with field, value and what is allowed; never an empty list.
    pub fn parse(canary: &Canary, defaults: &Defaults) -> Result<Self, Vec<Problem>> {
        Self::tuned(canary, &BTreeMap::new(), defaults)
    }

    /// What a Canary means for a target that carries these annotations: they win over the Canary's own, and those over the spec.
    ///
    /// # Errors
    /// As [`Plan::parse`]; with the strict policy also every annotation that is weaker than what stands below it.
    pub fn tuned(
        canary: &Canary,
        target: &BTreeMap<String, String>,
        defaults: &Defaults,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let tuning = Tuning::read(canary, target, defaults.annotations, &mut problems);
        let mut plan = Self::with(canary, tuning, defaults, &mut problems);
        plan.warnings.extend(Tuning::unheeded(canary, target));
        if defaults.policy == AnnotationPolicy::Strict && problems.is_empty() {
            problems = weak_annotations(canary, &plan, defaults);
        }
        if problems.is_empty() {
            Ok(plan)
        } else {
            Err(problems)
        }
    }

    /// What a Canary means with those annotations that were in force last: what is wrong on it now is left aside (P10).
    ///
    /// # Errors
    /// The mistakes in the spec itself.
    pub fn remembered(
        canary: &Canary,
        annotations: &BTreeMap<String, String>,
        defaults: &Defaults,
    ) -> Result<Self, Vec<Problem>> {
        let mut canary = canary.clone();
        canary.metadata.annotations = Some(annotations.clone());
        let (policy, annotations) = (AnnotationPolicy::Free, AnnotationScope::Canary);
        let defaults = Defaults {
            annotations,
            policy,
            ..defaults.clone()
        };
        Self::parse(&canary, &defaults)
    }

    fn with(
        canary: &Canary,
        tuning: Tuning,
        defaults: &Defaults,
        found: &mut Vec<Problem>,
    ) -> Self {
        let spec = tuning.over(canary, found);
        let mut problems = Problems::default();
        let weights = tuning.without_mesh();
        let mut plan = Self::of_spec(&spec, weights, identity(canary), defaults, &mut problems);
        tuning.rename(canary, &mut problems.0);
        tuning.rename(canary, &mut plan.warnings);
        found.append(&mut problems.0);
        plan.settle = tuning.settle().unwrap_or(plan.settle);
        plan.canary_replicas = tuning.canary_replicas();
        plan.hold_new_revision = tuning.is_on(annotation::HOLD_NEW_REVISION);
        plan.paused = tuning.is_on(annotation::PAUSED);
        plan.approve = tuning.gates();
        plan.after = tuning.after();
        plan.metrics_server_secret = tuning.metrics_server_secret(canary, found);
        plan.judge = tuning.judge(canary, plan.objective(), found);
        if plan.affinity.is_some() && plan.judge.bets == Bets::Auto {
            // Users who are kept to a side fail together.
            plan.judge.bets = Bets::Tick;
        }
        let usual = plan.judge.mode.silence();
        plan.on_no_data = tuning.silence(annotation::ON_NO_DATA, usual);
        plan.on_provider_error = tuning.silence(annotation::ON_PROVIDER_ERROR, usual);
        plan.orphans = tuning.orphans();
        plan.tuning = tuning;
        plan
    }

    fn of_spec(
        spec: &CanarySpec,
        weights: WithoutMesh,
        id: CanaryId,
        defaults: &Defaults,
        problems: &mut Problems,
    ) -> Self {
        let provider = spec.provider.as_ref().map_or_else(
            || Provider::parse("the controller's -mesh-provider", &defaults.provider),
            |name| Provider::parse("spec.provider", name),
        );
        let provider = provider.unwrap_or_else(|problem| {
            problems.0.push(problem);
            // Only to read on: with a mesh every weight is looked at, so that all mistakes are named at once.
            Provider::Istio
        });
        let target = target(spec, problems);
        let names = workload_names(spec, problems);
        let (analysis, warnings) = analysis::parse(spec, weights, &provider, defaults, problems);
        let metrics = checks::metrics(spec, &id, defaults, problems);
        let hooks = checks::hooks(spec, problems);
        let alerts = checks::alerts(spec, &id, defaults, problems);
        Self {
            canary: id,
            target,
            names,
            provider,
            strategy: analysis.strategy,
            interval: analysis.interval,
            threshold: analysis.threshold,
            progress_deadline: progress_deadline(spec, problems),
            settle: defaults.settle,
            canary_replicas: CanaryReplicas::Minimum,
            hold_new_revision: false,
            promotion_step: analysis.promotion_step,
            affinity: analysis.affinity,
            primary_ready_threshold: analysis.primary_ready_threshold,
            canary_ready_threshold: analysis.canary_ready_threshold,
            metrics,
            hooks,
            alerts,
            skip_analysis: spec.skip_analysis || spec.analysis_in_force().is_none(),
            suspend: spec.suspend,
            paused: false,
            approve: Vec::new(),
            after: Vec::new(),
            on_no_data: Silence::Fail,
            on_provider_error: Silence::Fail,
            judge: JudgeSettings::default(),
            orphans: false,
            revert_on_deletion: spec.revert_on_deletion,
            metrics_server: spec.metrics_server.clone(),
            metrics_server_secret: None,
            autoscaler: spec
                .autoscaler_ref
                .as_ref()
                .and_then(|reference| autoscaler(reference, problems)),
            port: port(spec, problems),
            tuning: Tuning::default(),
            warnings,
        }
    }
}

/// Annotations that are weaker than what stands below them: those of the Canary than its spec, those of the target than the Canary.
fn weak_annotations(canary: &Canary, plan: &Plan, defaults: &Defaults) -> Vec<Problem> {
    // A lower layer that is no plan on its own (no steps yet) bounds nothing.
    let below = |tuning: Tuning| {
        let mut problems = Vec::new();
        let plan = Plan::with(canary, tuning, defaults, &mut problems);
        problems.is_empty().then_some(plan)
    };
    let of_spec = below(Tuning::default());
    let of_canary = below(Tuning::of_canary(canary));
    let mut problems = Vec::new();
    for (key, tuned) in plan.tuning.iter() {
        let (layer, name) = match tuned.place {
            Place::Canary => (&of_spec, "the spec's"),
            Place::Target => (&of_canary, "the Canary's"),
        };
        let limit = layer
            .as_ref()
            .and_then(|layer| annotations::weaker(key, plan, layer));
        if let Some(limit) = limit {
            let allowed = format!(
                "must not be weaker than {name} {limit}: the controller's policy is strict"
            );
            problems.push(annotations::problem(canary, key, tuned, allowed));
        }
    }
    problems
}

fn identity(canary: &Canary) -> CanaryId {
    CanaryId {
        namespace: canary.metadata.namespace.clone().unwrap_or_default(),
        name: canary.metadata.name.clone().unwrap_or_default(),
        uid: canary.metadata.uid.clone().unwrap_or_default(),
    }
}

fn target(spec: &CanarySpec, problems: &mut Problems) -> TargetRef {
    let reference = &spec.target_ref;
    if reference.name.is_empty() {
        problems.add("spec.targetRef.name", "", "must name the workload");
    }
    let kind = TargetKind::of(reference).unwrap_or_else(|| {
        problems.add(
            "spec.targetRef.kind",
            &reference.kind,
            "must be Deployment, DaemonSet or Service",
        );
        TargetKind::Deployment
    });
    TargetRef {
        kind,
        name: reference.name.clone(),
    }
}

/// The names of everything, none longer than its kind allows once the suffix is on it (FC-028).
fn workload_names(spec: &CanarySpec, problems: &mut Problems) -> Names {
    let target = spec.target_ref.name.as_str();
    let (field, apex) = match spec.service.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => ("spec.service.name", name),
        None => ("spec.targetRef.name", target),
    };
    let longest = names::SERVICE_NAME_MAX - "-primary".len();
    if apex.len() > longest || !is_service_name(apex) {
        let text = format!(
            "must be a DNS label (a-z, 0-9 and -, starting with a letter) of at most {longest} characters, since {apex}-primary names a Service"
        );
        problems.add(field, apex, text);
    }
    if spec.target_ref.kind == "Service" && apex != target {
        let text =
            format!("must be absent or {target}: a Service that is the target is the apex itself");
        problems.add(field, apex, text);
    }
    let longest = names::SUBDOMAIN_NAME_MAX - "-primary".len();
    if target.len() > longest {
        problems.add(
            "spec.targetRef.name",
            target,
            format!(
                "must be at most {longest} characters, since {target}-primary names a workload"
            ),
        );
    }
    if spec.service.name.as_deref() == Some(&names::primary_name(target)) {
        problems.add(
            "spec.service.name",
            names::primary_name(target),
            "must not be the name of the primary",
        );
    }
    Names {
        apex: apex.to_owned(),
        primary_service: names::primary_name(apex),
        canary_service: names::canary_name(apex),
        primary: names::primary_name(target),
    }
}

fn is_service_name(name: &str) -> bool {
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(plain)
}

fn progress_deadline(spec: &CanarySpec, problems: &mut Problems) -> TimeDelta {
    let seconds = spec.progress_deadline_seconds.map_or(600, |seconds| {
        problems.integer(
            "spec.progressDeadlineSeconds",
            seconds,
            1..=i64::from(i32::MAX),
            600,
        )
    });
    TimeDelta::seconds(seconds)
}

fn port(spec: &CanarySpec, problems: &mut Problems) -> u16 {
    let port = problems.integer("spec.service.port", spec.service.port, 1..=65535, 80);
    u16::try_from(port).unwrap_or(80)
}

fn autoscaler(reference: &AutoscalerReference, problems: &mut Problems) -> Option<Autoscaler> {
    let kind = match reference.kind.as_str() {
        "HorizontalPodAutoscaler" => AutoscalerKind::Hpa,
        "ScaledObject" => AutoscalerKind::Keda,
        other => {
            problems.add(
                "spec.autoscalerRef.kind",
                other,
                "must be HorizontalPodAutoscaler or ScaledObject",
            );
            return None;
        }
    };
    if names::primary_name(&reference.name).len() > names::SUBDOMAIN_NAME_MAX {
        problems.add(
            "spec.autoscalerRef.name",
            &reference.name,
            "is too long: with -primary it must be at most 253 characters",
        );
    }
    let replicas = reference
        .primary_scaler_replicas
        .clone()
        .unwrap_or_default();
    let mut bound = |name: &str, value: Option<GoInt>| {
        let field = format!("spec.autoscalerRef.primaryScalerReplicas.{name}");
        value.map(|value| problems.integer(&field, value, 1..=i64::from(i32::MAX), 1))
    };
    let (min_replicas, max_replicas) = (
        bound("minReplicas", replicas.min_replicas),
        bound("maxReplicas", replicas.max_replicas),
    );
    if let (Some(min), Some(max)) = (min_replicas, max_replicas)
        && min > max
    {
        let field = "spec.autoscalerRef.primaryScalerReplicas.minReplicas";
        problems.add(
            field,
            min,
            format!("must not be greater than maxReplicas, which is {max}"),
        );
    }
    let queries = reference.primary_scaler_queries.clone();
    Some(Autoscaler {
        kind,
        name: reference.name.clone(),
        min_replicas,
        max_replicas,
        queries,
    })
}
