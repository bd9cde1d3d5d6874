//! Core Services: what is released is where the Service leads to, and the primary is the Service as it was promoted last.
//!
//! ```text
//!  app (the user's, also the apex) ── copied when promoted ──► app-primary
//!                                  └─ copied at once ────────► app-canary
//! ```
//!
//! **Source**: Flagger `pkg/canary/service_controller.go`, dossier 01 §13.7. **Differs from Flagger**: a side is ready when its Service has a
//! ready endpoint, not always; the copies have no address, node port or load balancer of their own; they stay owned by the Canary.

use serde_json::{Map, Value, json};
use slipway_api::CanaryService;
use slipway_core::blueprint::{Blueprint, CodecSettings, ExtraPort, PodSelector};
use slipway_core::object::{Key, Kind, Write, kinds};
use slipway_core::observation::Workload;
use slipway_core::plan::{CanaryReplicas, Problem};
use slipway_core::revision::{flagger_service_hash, revision};

use super::{Resize, Target};
use crate::configs::{ConfigReference, TrackedConfig};
use crate::json::put;
use crate::metadata::{
    REVISION, annotation_of, copied, is_included, metadata, owner_of, refuse_foreign,
};
use crate::record;

/// A core Service.
#[derive(Debug)]
pub(super) struct Service;

/// What a Service is given for itself alone, or what only makes sense with it: a copy has none of it.
const OWN: [&str; 13] = [
    "type",
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "externalIPs",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "loadBalancerIP",
    "loadBalancerClass",
    "loadBalancerSourceRanges",
    "allocateLoadBalancerNodePorts",
    "externalName",
];

/// What a Service leads to, in which it can be copied.
fn content(service: &Value) -> Value {
    let fields = service.get("spec").and_then(Value::as_object);
    let copied = fields
        .into_iter()
        .flatten()
        .filter(|(field, value)| !OWN.contains(&field.as_str()) && !value.is_null());
    let mut content: Map<String, Value> = copied
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    // Without an address of its own it has none as a copy either.
    if service.pointer("/spec/clusterIP").and_then(Value::as_str) == Some("None") {
        content.insert("clusterIP".to_owned(), "None".into());
    }
    let ports = content.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        port.as_object_mut().map(|port| port.remove("nodePort"));
    }
    content.into()
}

/// The Service before the canary: always what the target leads to.
pub(crate) fn canary(
    blueprint: &Blueprint<'_>,
    target: &Value,
    live: Option<&Value>,
) -> Result<Write, Problem> {
    let key = key(blueprint, &blueprint.plan.names.canary_service);
    refuse_foreign(blueprint, &key, live)?;
    let mut spec = content(target);
    if let Some(distribution) = &blueprint.canary.spec.service.traffic_distribution {
        put(&mut spec, &["trafficDistribution"], distribution.as_str());
    }
    keep_address(&mut spec, live);
    let labels = copied(target, "labels", |label| {
        is_included(blueprint.settings, label)
    });
    let object = json!({
        "apiVersion": key.api_version,
        "kind": key.kind,
        "metadata": metadata(&key, labels, Map::new(), owner_of(blueprint, live)),
        "spec": spec,
    });
    Ok(Write::Apply { key, object })
}

/// Whether a Service has an address is decided once: the API server refuses every later change.
fn keep_address(spec: &mut Value, live: Option<&Value>) {
    let Some(live) = live else { return };
    let is_headless = live.pointer("/spec/clusterIP").and_then(Value::as_str) == Some("None");
    if is_headless {
        put(spec, &["clusterIP"], "None");
    } else {
        spec.as_object_mut().map(|spec| spec.remove("clusterIP"));
    }
}

fn key(blueprint: &Blueprint<'_>, name: &str) -> Key {
    kinds::SERVICE.named(&blueprint.plan.canary.namespace, name)
}

fn rendered(blueprint: &Blueprint<'_>, target: &Value, live: Option<&Value>, given: &str) -> Value {
    let key = key(blueprint, &blueprint.plan.names.primary);
    let included = |name: &str| is_included(blueprint.settings, name);
    let mut annotations = copied(target, "annotations", included);
    annotations.insert(REVISION.to_owned(), given.into());
    let labels = copied(target, "labels", included);
    let mut spec = content(target);
    keep_address(&mut spec, live);
    json!({
        "apiVersion": key.api_version,
        "kind": key.kind,
        "metadata": metadata(&key, labels, annotations, owner_of(blueprint, live)),
        "spec": spec,
    })
}

impl Target for Service {
    fn kind(&self) -> Kind {
        kinds::SERVICE
    }

    /// A Service is all there as soon as it is there; whether somebody answers behind it, its endpoints say.
    fn observe(&self, object: &Value) -> Workload {
        Workload {
            revision: revision(&content(object)),
            flagger_hash: object.get("spec").and_then(flagger_service_hash),
            given_revision: annotation_of(object, REVISION).map(str::to_owned),
            replicas: 1,
            existing: 1,
            updated: 1,
            ready: 1,
            available: 1,
            ..Workload::default()
        }
    }

    fn lives_by_endpoints(&self) -> bool {
        true
    }

    fn check(&self, object: &Value) -> Option<Problem> {
        let selector = object.pointer("/spec/selector").and_then(Value::as_object);
        if selector.is_some_and(|selector| !selector.is_empty()) {
            return None;
        }
        let allowed = "must be there: endpoints that somebody writes by hand are not copied";
        let name = |field: &str| {
            let name = object.pointer(&format!("/metadata/{field}"));
            name.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let key = kinds::SERVICE.named(&name("namespace"), &name("name"));
        Some(Problem::new("spec.selector", "", allowed).of(key.to_string()))
    }

    /// Nothing of ours selects its pods: the label only marks what is made for the Canary.
    fn selector(&self, object: &Value, settings: &CodecSettings) -> Result<PodSelector, Problem> {
        let selected = object.pointer("/spec/selector").and_then(Value::as_object);
        let mut wanted = settings.selector_labels.iter();
        let found = wanted.find_map(|label| Some((label, selected?.get(label)?.as_str()?)));
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        let (label, value) = match found {
            Some((label, value)) => (label.as_str(), value),
            None => ("app", name.unwrap_or_default()),
        };
        Ok(PodSelector {
            label: label.to_owned(),
            value: value.to_owned(),
        })
    }

    fn extra_ports(&self, _: &Value, _: &CanaryService) -> Vec<ExtraPort> {
        Vec::new()
    }

    fn config_references(&self, _: &Value) -> Vec<ConfigReference> {
        Vec::new()
    }

    fn primary(
        &self,
        blueprint: &Blueprint<'_>,
        target: &Value,
        live: Option<&Value>,
        tracked: &[TrackedConfig],
        _: &str,
    ) -> Result<Write, Problem> {
        let key = key(blueprint, &blueprint.plan.names.primary);
        refuse_foreign(blueprint, &key, live)?;
        let given = self.revision(target, tracked);
        let object = rendered(blueprint, target, live, &given);
        Ok(match live {
            None => Write::Create { key, object },
            Some(_) => Write::Apply { key, object },
        })
    }

    fn same_revision(&self, _: &Blueprint<'_>, target: &Value, primary: &Value) -> bool {
        revision(&content(target)) == revision(&content(primary))
    }

    fn scale_up(
        &self,
        _: &Value,
        _: Option<&Value>,
        _: Option<i64>,
        _: CanaryReplicas,
    ) -> Option<Resize> {
        None
    }

    fn scale_down(&self, _: &Value) -> Option<Resize> {
        None
    }

    fn resize_primary(&self, _: &Value, _: &Value, _: bool, _: CanaryReplicas) -> Option<Resize> {
        None
    }

    fn record(
        &self,
        blueprint: &Blueprint<'_>,
        target: &Value,
        _: Option<&Value>,
        tracked: &[TrackedConfig],
        seen: &[&Value],
    ) -> Result<Vec<Write>, Problem> {
        let given = self.revision(target, tracked);
        let content = rendered(blueprint, target, None, &given);
        Ok(record::writes(blueprint, &content, &given, seen))
    }

    fn primary_from_record(
        &self,
        blueprint: &Blueprint<'_>,
        record: &Value,
        _: &str,
    ) -> Result<Write, Problem> {
        let key = key(blueprint, &blueprint.plan.names.primary);
        let object = record::restored(blueprint, record, &key, "/spec/selector")?;
        Ok(Write::Create { key, object })
    }
}
