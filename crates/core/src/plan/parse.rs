//! From a Canary and the defaults to a plan, with every mistake named.

mod analysis;
mod checks;

use chrono::TimeDelta;
use slipway_api::{AutoscalerReference, Canary, CanarySpec, GoInt, names};

use super::{
    Autoscaler, AutoscalerKind, CanaryId, Names, Plan, Problem, Provider, TargetKind, TargetRef,
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
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            provider: "istio".to_owned(),
            minimum_interval: TimeDelta::seconds(10),
            settle: TimeDelta::seconds(5),
            cross_namespace_references: true,
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
    /// Every mistake in the spec, each with field, value and what is allowed; never an empty list.
    pub fn parse(canary: &Canary, defaults: &Defaults) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let spec = &canary.spec;
        let id = identity(canary);
        let provider = spec.provider.as_ref().map_or_else(
            || Provider::parse("the controller's -mesh-provider", &defaults.provider),
            |name| Provider::parse("spec.provider", name),
        );
        let provider = provider.unwrap_or_else(|problem| {
            problems.0.push(problem);
            // Only to read on: with a mesh every weight is looked at, so that all mistakes are named at once.
            Provider::Istio
        });
        let target = target(spec, &mut problems);
        let names = workload_names(spec, &mut problems);
        let (analysis, warnings) = analysis::parse(spec, &provider, defaults, &mut problems);
        let metrics = checks::metrics(spec, &id, defaults, &mut problems);
        let hooks = checks::hooks(spec, &mut problems);
        let alerts = checks::alerts(spec, &id, defaults, &mut problems);
        let plan = Self {
            canary: id,
            target,
            names,
            provider,
            strategy: analysis.strategy,
            interval: analysis.interval,
            threshold: analysis.threshold,
            progress_deadline: progress_deadline(spec, &mut problems),
            settle: defaults.settle,
            promotion_step: analysis.promotion_step,
            primary_ready_threshold: analysis.primary_ready_threshold,
            canary_ready_threshold: analysis.canary_ready_threshold,
            metrics,
            hooks,
            alerts,
            skip_analysis: spec.skip_analysis || spec.analysis_in_force().is_none(),
            suspend: spec.suspend,
            revert_on_deletion: spec.revert_on_deletion,
            metrics_server: spec.metrics_server.clone(),
            autoscaler: spec
                .autoscaler_ref
                .as_ref()
                .and_then(|reference| autoscaler(reference, &mut problems)),
            port: port(spec, &mut problems),
            warnings,
        };
        if problems.0.is_empty() {
            Ok(plan)
        } else {
            Err(problems.0)
        }
    }
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
    let kind = match reference.kind.as_str() {
        "Deployment" => TargetKind::Deployment,
        "DaemonSet" => TargetKind::DaemonSet,
        "Service" if reference.api_version.starts_with("serving.knative.dev/") => {
            TargetKind::Knative
        }
        "Service" => TargetKind::Service,
        other => {
            problems.add(
                "spec.targetRef.kind",
                other,
                "must be Deployment, DaemonSet or Service",
            );
            TargetKind::Deployment
        }
    };
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
