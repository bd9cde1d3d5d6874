//! What keeps a release from being carried out, found outside of its spec. Each names object, field, value and what is allowed (P10).

use serde_json::Value;
use slipway_core::object::{Key, Kind, Objects};
use slipway_core::observation::{Obstacle, ObstacleCondition, Standing};
use slipway_core::plan::{MetricSource, Plan, Problem};
use slipway_metrics::{Variables, template};
use slipway_workloads::Scaler;

use super::Codecs;
use super::configs::Config;
use super::store::CanaryKey;
use super::watches::lock;
use crate::shell::Shell;
use slipway_core::object::kinds;

/// The codecs of a plan, or which of them this build lacks.
pub(super) fn codecs(plan: &Plan) -> Result<Codecs, Obstacle> {
    let router = slipway_traffic::backend(&plan.provider).map_err(|unsupported| {
        let problem = Problem::new("spec.provider", &plan.provider, unsupported.to_string());
        Obstacle {
            condition: ObstacleCondition::UnsupportedProvider,
            problem,
        }
    })?;
    let unsupported = |field: &str, value: &str, why: String| Obstacle {
        condition: ObstacleCondition::UnsupportedProvider,
        problem: Problem::new(field, value, why),
    };
    let target = slipway_workloads::target(plan.target.kind).map_err(|error| {
        unsupported(
            "spec.targetRef.kind",
            plan.target.kind.as_str(),
            error.to_string(),
        )
    })?;
    let scaler = plan
        .autoscaler
        .as_ref()
        .map(|autoscaler| slipway_workloads::scaler(autoscaler.kind));
    Ok(Codecs {
        router,
        former: None,
        target,
        scaler,
    })
}

/// Who asks for a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// Every release needs it.
    Release,
    /// `spec.provider`.
    Provider,
    /// `spec.autoscalerRef`.
    Scaler,
}

/// A kind that cannot be watched.
pub(super) fn unavailable(plan: &Plan, kind: Kind, asker: Asker, why: &str) -> Obstacle {
    let Kind {
        plural,
        api_version,
        kind,
    } = kind;
    let missing = format!("but {plural} of {api_version} cannot be had: {why}");
    let (condition, problem) = match asker {
        Asker::Provider => (
            ObstacleCondition::ProviderUnavailable,
            Problem::new("spec.provider", &plan.provider, missing),
        ),
        Asker::Scaler => (
            ObstacleCondition::Stalled,
            Problem::new("spec.autoscalerRef.kind", kind, missing),
        ),
        Asker::Release => (
            ObstacleCondition::Stalled,
            Problem::new(
                "the controller's rights",
                "",
                format!("must allow to list and watch {plural} of {api_version}: {why}"),
            ),
        ),
    };
    Obstacle { condition, problem }
}

/// A mistake of the user's that no schema can say.
pub(super) fn invalid(problem: Problem) -> Obstacle {
    Obstacle {
        condition: ObstacleCondition::InvalidSpec,
        problem,
    }
}

/// A look that panicked: our own mistake, confined to its Canary (FC-117).
pub(crate) fn panicked(text: &str) -> Obstacle {
    let held = format!("{text}; the release is held, please report this");
    Obstacle {
        condition: ObstacleCondition::InternalError,
        problem: Problem::new("internal error:", "", held),
    }
}

/// A route that those who carry traffic have refused.
pub(super) fn of_route(standing: &Standing) -> Option<Obstacle> {
    match standing {
        Standing::Accepted | Standing::Pending(_) => None,
        Standing::Refused(problem) => Some(Obstacle {
            condition: ObstacleCondition::RoutingIneffective,
            problem: problem.clone(),
        }),
    }
}

pub(super) fn missing_target(plan: &Plan) -> Obstacle {
    let kind = plan.target.kind.as_str();
    let allowed = format!(
        "but there is no {kind} {}/{}",
        plan.canary.namespace, plan.target.name
    );
    invalid(Problem::new(
        "spec.targetRef.name",
        &plan.target.name,
        allowed,
    ))
}

pub(super) fn missing_config(target: &Value, config: &Key) -> Obstacle {
    let text = |pointer: &str| {
        target
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let object = format!(
        "{} {}/{}",
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name")
    );
    let allowed = format!("but there is no {config}; create it, or mark the reference as optional");
    invalid(Problem::new("spec.template.spec", &config.name, allowed).of(object))
}

pub(super) fn missing_scaler(
    plan: &Plan,
    scaler: Option<&'static dyn Scaler>,
    objects: &Objects,
) -> Option<Obstacle> {
    let (scaler, autoscaler) = (scaler?, plan.autoscaler.as_ref()?);
    let key = scaler
        .kind()
        .named(&plan.canary.namespace, &autoscaler.name);
    if objects.contains_key(&key) {
        return None;
    }
    let problem = Problem::new(
        "spec.autoscalerRef.name",
        &autoscaler.name,
        format!("but there is no {key}"),
    );
    Some(invalid(problem))
}

impl Shell {
    /// Another Canary with the same target; metric templates that do not exist or do not render; Secrets that are missing.
    pub(super) fn other_obstacles(&self, key: &CanaryKey, plan: &Plan) -> Vec<Obstacle> {
        let mut found = Vec::new();
        if let Some(older) = self.targets.older(key) {
            let allowed = format!(
                "but the older Canary {}/{} has this target; a target has one Canary",
                older.namespace, older.name
            );
            let problem = Problem::new("spec.targetRef.name", &plan.target.name, allowed);
            found.push(Obstacle {
                condition: ObstacleCondition::Stalled,
                problem,
            });
        }
        for (index, check) in plan.metrics.iter().enumerate() {
            let field = format!("spec.analysis.metrics[{index}]");
            let problem = match &check.source {
                MetricSource::Template {
                    namespace, name, ..
                } => self.check_template(key, plan, index, namespace, name, &field),
                MetricSource::Query(text) => {
                    let spec = slipway_api::CanarySpec::default();
                    let variables = Variables::new(plan, &spec, check);
                    let error = template::render(text, &variables).err();
                    error.map(|error| {
                        Problem::new(
                            format!("{field}.query"),
                            "",
                            format!("does not render: {error}"),
                        )
                    })
                }
                MetricSource::SuccessRate | MetricSource::RequestDuration => None,
            };
            found.extend(problem.map(invalid));
        }
        found
    }

    fn check_template(
        &self,
        key: &CanaryKey,
        plan: &Plan,
        index: usize,
        namespace: &str,
        name: &str,
        field: &str,
    ) -> Option<Problem> {
        let object = format!("MetricTemplate {namespace}/{name}");
        let found = match self.template(namespace, name) {
            Ok(found) => found,
            Err(why) => {
                return Some(Problem::new(
                    format!("{field}.templateRef.name"),
                    name,
                    format!("but {why}"),
                ));
            }
        };
        let spec = slipway_api::CanarySpec::default();
        let variables = Variables::new(plan, &spec, plan.metrics.get(index)?);
        if let Err(error) = template::render(&found.spec.query, &variables) {
            return Some(
                Problem::new("spec.query", "", format!("does not render: {error}")).of(object),
            );
        }
        if let Err(unsupported) = slipway_metrics::provider(&found.spec.provider.type_) {
            return Some(unsupported.problem().of(object));
        }
        let secret = found.spec.provider.secret_ref.as_ref()?;
        // Only known where Secrets are watched; elsewhere the check itself says it.
        let secret_key = kinds::SECRET.named(namespace, &secret.name);
        let absent = self.tracks_configs
            && namespace == key.namespace
            && matches!(
                lock(&self.watches.configs).get(&secret_key, key),
                Config::Absent
            );
        absent.then(|| {
            Problem::new(
                "spec.provider.secretRef.name",
                &secret.name,
                format!("but there is no {secret_key}"),
            )
            .of(object)
        })
    }
}
