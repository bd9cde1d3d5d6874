//! `autoscaling/v2` `HorizontalPodAutoscalers`.
//!
//! **Source**: Flagger `pkg/canary/hpa_reconciler.go`, dossier 01 §14. **Differs from Flagger**: every field of the spec is copied, also
//! one that is newer than this build, and labels follow the source at each promotion.

use serde_json::{Map, Value, json};
use slipway_api::names::primary_name;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Kind, Write, kinds};
use slipway_core::plan::Problem;

use super::Scaler;
use crate::metadata::{copied, may_be_copied, metadata, owner_of, refuse_foreign};

/// A HorizontalPodAutoscaler.
#[derive(Debug)]
pub(super) struct Hpa;

impl Scaler for Hpa {
    fn kind(&self) -> Kind {
        kinds::HPA
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
        let source = kinds::HPA.named(&plan.canary.namespace, &autoscaler.name);
        let key = kinds::HPA.named(&plan.canary.namespace, &primary_name(&autoscaler.name));
        refuse_foreign(blueprint, &key, live)?;
        let Some(spec) = scaler.get("spec").and_then(Value::as_object) else {
            return Err(Problem::new("spec", "", "must be there").of(source.to_string()));
        };
        let mut spec = spec.clone();
        if let Some(reference) = spec
            .get_mut("scaleTargetRef")
            .and_then(Value::as_object_mut)
        {
            reference.insert("name".to_owned(), plan.names.primary.as_str().into());
        }
        let bounds = [
            ("minReplicas", autoscaler.min_replicas),
            ("maxReplicas", autoscaler.max_replicas),
        ];
        for (field, bound) in bounds {
            spec.extend(bound.map(|bound| (field.to_owned(), bound.into())));
        }
        let labels = copied(scaler, "labels", may_be_copied);
        let object = json!({
            "apiVersion": key.api_version,
            "kind": key.kind,
            "metadata": metadata(&key, labels, Map::new(), owner_of(blueprint, live)),
            "spec": spec,
        });
        Ok(Write::Apply { key, object })
    }

    /// Nothing: a HorizontalPodAutoscaler leaves alone what is scaled to zero.
    fn pause(&self, _: &Value) -> Option<Write> {
        None
    }

    fn resume(&self, _: &Value) -> Option<Write> {
        None
    }

    fn least(&self, scaler: &Value) -> i64 {
        let least = scaler.pointer("/spec/minReplicas").and_then(Value::as_i64);
        least.unwrap_or(1).max(1)
    }

    fn bounds(&self) -> (&'static str, &'static str) {
        ("minReplicas", "maxReplicas")
    }
}
