//! KEDA's `keda.sh/v1alpha1` `ScaledObjects`.
//!
//! **Source**: Flagger `pkg/canary/scaled_object_reconciler.go`, dossier 01 §14. **Differs from Flagger**: annotations that steer KEDA are
//! not copied, so that a primary is never made paused (FC-076); in queries the name of the target is replaced where it stands alone, not
//! within other names; every further field of the spec is copied.

use serde_json::{Map, Value, json};
use slipway_api::names::primary_name;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Kind, Write, kinds};
use slipway_core::plan::{Autoscaler, Problem};

use super::{Scaler, key_of};
use crate::metadata::{LAST_APPLIED, copied, may_be_copied, metadata, owner_of, refuse_foreign};

/// A `ScaledObject`.
#[derive(Debug)]
pub(super) struct Keda;

/// While it stands, KEDA holds the workload at this number of replicas.
const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";

/// Annotations that steer KEDA: wishes about one object, which its copy does not share.
const CONTROLS: [&str; 2] = ["autoscaling.keda.sh/", "scaledobject.keda.sh/"];

impl Scaler for Keda {
    fn kind(&self) -> Kind {
        kinds::SCALED_OBJECT
    }

    fn primary(
        &self,
        blueprint: &Blueprint<'_>,
        scaler: &Value,
        live: Option<&Value>,
    ) -> Result<Write, Problem> {
        let plan = blueprint.plan;
        let Some(autoscaler) = &plan.autoscaler else {
            return Err(Problem::new("spec.autoscalerRef", "", "must be there"));
        };
        let named = |name: &str| kinds::SCALED_OBJECT.named(&plan.canary.namespace, name);
        let key = named(&primary_name(&autoscaler.name));
        refuse_foreign(blueprint, &key, live)?;
        let Some(spec) = scaler.get("spec").and_then(Value::as_object) else {
            let source = named(&autoscaler.name).to_string();
            return Err(Problem::new("spec", "", "must be there").of(source));
        };
        let may_stand = |annotation: &str| {
            may_be_copied(annotation)
                && annotation != LAST_APPLIED
                && !CONTROLS
                    .iter()
                    .any(|control| annotation.starts_with(control))
        };
        let labels = copied(scaler, "labels", may_be_copied);
        let annotations = copied(scaler, "annotations", may_stand);
        let object = json!({
            "apiVersion": key.api_version,
            "kind": key.kind,
            "metadata": metadata(&key, labels, annotations, owner_of(blueprint, live)),
            "spec": spec_of_primary(blueprint, autoscaler, spec),
        });
        Ok(Write::Apply { key, object })
    }

    fn pause(&self, scaler: &Value) -> Option<Write> {
        Some(set_paused(scaler, &"0".into()))
    }

    fn resume(&self, scaler: &Value) -> Option<Write> {
        Some(set_paused(scaler, &Value::Null))
    }

    /// KEDA itself goes to zero when nothing triggers; a canary is never judged there.
    fn least(&self, scaler: &Value) -> i64 {
        let least = scaler.pointer("/spec/minReplicaCount");
        least.and_then(Value::as_i64).unwrap_or(1).max(1)
    }

    fn bounds(&self) -> (&'static str, &'static str) {
        ("minReplicaCount", "maxReplicaCount")
    }
}

fn set_paused(scaler: &Value, value: &Value) -> Write {
    let patch = json!({"metadata": {"annotations": {PAUSED: value}}});
    Write::Merge {
        key: key_of(kinds::SCALED_OBJECT, scaler),
        patch,
    }
}

fn spec_of_primary(
    blueprint: &Blueprint<'_>,
    autoscaler: &Autoscaler,
    spec: &Map<String, Value>,
) -> Value {
    let names = &blueprint.plan.names;
    let mut spec = Value::Object(spec.clone());
    if let Some(name) = spec.pointer_mut("/scaleTargetRef/name") {
        *name = names.primary.as_str().into();
    }
    // Two scalers cannot have one HorizontalPodAutoscaler.
    if let Some(name) = spec.pointer_mut("/advanced/horizontalPodAutoscalerConfig/name")
        && let Some(own) = name.as_str()
    {
        *name = primary_name(own).into();
    }
    let bounds = [
        ("minReplicaCount", autoscaler.min_replicas),
        ("maxReplicaCount", autoscaler.max_replicas),
    ];
    if let Some(fields) = spec.as_object_mut() {
        for (field, bound) in bounds {
            fields.extend(bound.map(|bound| (field.to_owned(), bound.into())));
        }
    }
    let triggers = spec.get_mut("triggers").and_then(Value::as_array_mut);
    for trigger in triggers.into_iter().flatten() {
        let name = trigger.get("name").and_then(Value::as_str);
        let given = name.and_then(|name| autoscaler.queries.get(name)).cloned();
        let Some(query) = trigger.pointer_mut("/metadata/query") else {
            continue;
        };
        // With queries of its own the Canary says all of them: a trigger that it does not name stays as it is.
        let rewritten = match (given, autoscaler.queries.is_empty()) {
            (Some(given), _) => Some(given),
            (None, true) => query
                .as_str()
                .map(|query| about_primary(query, &blueprint.plan.target.name)),
            (None, false) => None,
        };
        if let Some(rewritten) = rewritten {
            *query = rewritten.into();
        }
    }
    spec
}

/// A query about the target, or about its canary Service, as one about the primary.
///
/// **Shape**: the name is replaced where it stands alone: `app`, `app-canary`, `app.*` and `app-[a-z0-9]+`, but not `my-app`, `app-api`,
/// `app_requests` or `app-primary`.
fn about_primary(query: &str, target: &str) -> String {
    let mut rewritten = String::with_capacity(query.len());
    let mut rest = query;
    while let Some((before, after)) = rest.split_once(target) {
        rewritten.push_str(before);
        let after_canary = after.strip_prefix("-canary");
        let end = after_canary.unwrap_or(after);
        if goes_on(rewritten.chars().next_back()) || is_longer(end) {
            rewritten.push_str(target);
            rest = after;
        } else {
            rewritten.push_str(&primary_name(target));
            rest = end;
        }
    }
    rewritten.push_str(rest);
    rewritten
}

/// Whether a character is one of names.
fn goes_on(character: Option<char>) -> bool {
    character.is_some_and(|character| character.is_ascii_alphanumeric() || "-_".contains(character))
}

/// Whether a name goes on with this text: by a letter, or by a hyphen and a letter.
fn is_longer(text: &str) -> bool {
    let mut characters = text.chars();
    match characters.next() {
        Some('-') => goes_on(characters.next()),
        first => goes_on(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_target_is_replaced_where_it_stands_alone() {
        for (query, expected) in [
            (
                r#"rate(x{app="app"}[1m])"#,
                r#"rate(x{app="app-primary"}[1m])"#,
            ),
            (r#"{svc="app-canary"}"#, r#"{svc="app-primary"}"#),
            (r#"{svc="app-canary-api"}"#, r#"{svc="app-canary-api"}"#),
            (r#"{svc="app-primary"}"#, r#"{svc="app-primary"}"#),
            (
                r#"{pod=~"app-[0-9a-z]+-.*"}"#,
                r#"{pod=~"app-primary-[0-9a-z]+-.*"}"#,
            ),
            (r#"{pod=~"app-.+"}"#, r#"{pod=~"app-primary-.+"}"#),
            (r#"{host="my-app"}"#, r#"{host="my-app"}"#),
            (r#"{svc="app-api"}"#, r#"{svc="app-api"}"#),
            ("app_requests_total", "app_requests_total"),
            (
                r#"{a="app", b="app"}"#,
                r#"{a="app-primary", b="app-primary"}"#,
            ),
        ] {
            // The label itself is called `app` in the first row: what is a name and what a label cannot be told apart.
            let expected = expected.replace("{app=", "{app-primary=");
            assert_eq!(about_primary(query, "app"), expected, "{query}");
        }
    }
}
