//! The three Services of a release: the apex that users call, and one before each side.
//!
//! ```text
//!  APEX ────────► pods with LABEL: VALUE-primary     (the canary's, only in an emergency without a mesh; those with our label, where pods make weight)
//!  APEX-primary ► pods with LABEL: VALUE-primary
//!  APEX-canary ─► pods with LABEL: VALUE
//! ```
//!
//! A Service that was there before us stays the user's: we own its selector, our ports and the two annotations that keep Flux away, what
//! stood there is written down once in [`ORIGINAL`](crate::ORIGINAL), and everything else in it is never touched (P8).
//!
//! **Source**: Flagger `pkg/router/kubernetes_default.go`, dossier 01 §16, 02 A.4.

mod original;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use slipway_api::names::{APEX_LABEL, TOOLKIT_ANNOTATIONS};
use slipway_api::{CustomMetadata, Side};
use slipway_core::blueprint::{ApexPods, Blueprint};
use slipway_core::object::{Key, Objects, Write, kinds};
use slipway_core::plan::{Problem, TargetKind};

use crate::json::put;
use crate::metadata::{ORIGINAL, is_ours, may_be_copied, metadata, owner, refuse_foreign};
use original::Original;

/// The Services to read before [`services`].
pub fn needs(blueprint: &Blueprint<'_>) -> Vec<Key> {
    let names = &blueprint.plan.names;
    let all = [&names.canary_service, &names.primary_service, &names.apex];
    all.into_iter().map(|name| key(blueprint, name)).collect()
}

/// The writes that keep the Services as they should be, the apex selecting those pods; with `None` the apex is left alone.
///
/// **Shape**: `seen` holds what [`needs`] named. A target that is itself a Service is the apex, and its primary is made by promotions: there is
/// only the canary's to write.
///
/// # Errors
/// A Service of one of the names belongs to another Canary.
pub fn services(
    blueprint: &Blueprint<'_>,
    apex: Option<ApexPods>,
    seen: &Objects,
) -> Result<Vec<Write>, Problem> {
    match blueprint.plan.target.kind {
        TargetKind::Deployment | TargetKind::DaemonSet => {}
        TargetKind::Service => return of_service(blueprint, seen),
        TargetKind::Knative => return Ok(Vec::new()),
    }
    let names = &blueprint.plan.names;
    let service = &blueprint.canary.spec.service;
    let wish = |name, custom, pods| Wish { name, custom, pods };
    let of = ApexPods::Of;
    let canary = wish(
        &names.canary_service,
        service.canary.as_ref(),
        of(Side::Canary),
    );
    let primary = wish(
        &names.primary_service,
        service.primary.as_ref(),
        of(Side::Primary),
    );
    let apex = apex.map(|pods| wish(&names.apex, service.apex.as_ref(), pods));
    [Some(canary), Some(primary), apex]
        .into_iter()
        .flatten()
        .map(|wish| render(blueprint, &wish, seen))
        .collect()
}

/// The writes that give the apex back as the user had it; one that was made for the Canary is left to its users, selecting the target.
///
/// **Shape**: `live` is the apex as it is, `None` when it does not exist. What the user applied last with kubectl comes first, then what was
/// written down; after Flagger there may be neither, and then the apex selects the target.
///
/// **Source**: dossier 01 §16.5. **Differs from Flagger**: ports and Flux' annotations are given back too, an apex that does not exist is
/// no error, and one that was made for the Canary does not go with it: its users would have nobody to ask any more (FC-094).
///
/// # Errors
/// What the user had is not JSON any more.
pub fn restore_apex(
    blueprint: &Blueprint<'_>,
    live: Option<&Value>,
) -> Result<Vec<Write>, Problem> {
    let is_touched = match blueprint.plan.target.kind {
        TargetKind::Deployment | TargetKind::DaemonSet => true,
        TargetKind::Service | TargetKind::Knative => false,
    };
    let Some(live) = live.filter(|_| is_touched) else {
        return Ok(Vec::new());
    };
    let key = key(blueprint, &blueprint.plan.names.apex);
    let object = if is_ours(blueprint, live) {
        Some(original::handed_over(blueprint, live))
    } else {
        original::restored(blueprint, &key, live)?
    };
    let replace = object.map(|object| Write::Replace { key, object });
    Ok(replace.into_iter().collect())
}

fn of_service(blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Vec<Write>, Problem> {
    let names = &blueprint.plan.names;
    let found = |name: &str| seen.get(&key(blueprint, name)).map(AsRef::as_ref);
    let target = found(&names.apex);
    let canary = target.map(|target| {
        crate::target::service::canary(blueprint, target, found(&names.canary_service))
    });
    canary.into_iter().collect()
}

/// What one of the three should be.
struct Wish<'a> {
    name: &'a str,
    custom: Option<&'a CustomMetadata>,
    pods: ApexPods,
}

/// Whose a Service is.
#[derive(Clone, Copy)]
enum Whose<'a> {
    /// Nobody's: it does not exist.
    Nobodys,
    /// Made for this Canary, by us or by Flagger.
    Ours(&'a Value),
    /// There before us.
    Users(&'a Value),
}

fn render(blueprint: &Blueprint<'_>, wish: &Wish<'_>, seen: &Objects) -> Result<Write, Problem> {
    let key = key(blueprint, wish.name);
    let live = seen.get(&key).map(AsRef::as_ref);
    refuse_foreign(blueprint, &key, live)?;
    let whose = match live {
        None => Whose::Nobodys,
        Some(live) if is_ours(blueprint, live) => Whose::Ours(live),
        Some(live) => Whose::Users(live),
    };
    let ports = ports(blueprint);
    let original = match whose {
        Whose::Nobodys | Whose::Ours(_) => None,
        Whose::Users(live) => Original::of(blueprint, live),
    };
    let (labels, annotations, owners) = match whose {
        Whose::Nobodys | Whose::Ours(_) => {
            let (labels, annotations) = of_our_own(blueprint, wish);
            (labels, annotations, owner(blueprint))
        }
        Whose::Users(live) => {
            let kept = Original::text(live, original.as_ref());
            let kept = kept.map(|text| (ORIGINAL.to_owned(), text.into()));
            (Map::new(), toolkit().chain(kept).collect(), Vec::new())
        }
    };
    let kept = original
        .zip(live)
        .map(|(original, live)| original.ports_to_name(&ports, live));
    let ports: Vec<Value> = ports
        .into_iter()
        .chain(kept.into_iter().flatten())
        .collect();
    let mut spec = json!({"selector": selector(blueprint, wish.pods), "ports": ports});
    own_options(blueprint, whose, &mut spec);
    let object = json!({
        "apiVersion": key.api_version,
        "kind": key.kind,
        "metadata": metadata(&key, labels, annotations, owners),
        "spec": spec,
    });
    Ok(Write::Apply { key, object })
}

fn key(blueprint: &Blueprint<'_>, name: &str) -> Key {
    kinds::SERVICE.named(&blueprint.plan.canary.namespace, name)
}

/// What a Service selects: the one label that tells the sides apart, or ours.
fn selector(blueprint: &Blueprint<'_>, pods: ApexPods) -> Value {
    let selector = blueprint.selector;
    let (label, value) = match pods {
        ApexPods::Of(Side::Primary) => (selector.label.as_str(), selector.primary_value()),
        ApexPods::Of(Side::Canary) => (selector.label.as_str(), selector.value.clone()),
        ApexPods::Labelled => (APEX_LABEL, blueprint.plan.names.apex.clone()),
    };
    Value::Object(Map::from_iter([(label.to_owned(), value.into())]))
}

/// The main port, then the discovered ones. All are TCP, as Flagger's are.
fn ports(blueprint: &Blueprint<'_>) -> Vec<Value> {
    let service = &blueprint.canary.spec.service;
    let port = blueprint.plan.port;
    let mut main = json!({
        "name": service.port_name.as_deref().unwrap_or("http"),
        "port": port,
        "protocol": "TCP",
        "targetPort": port,
    });
    if let Some(target) = &service.target_port {
        put(&mut main, &["targetPort"], json!(target));
    }
    if let Some(protocol) = &service.app_protocol {
        put(&mut main, &["appProtocol"], protocol.as_str());
    }
    let extra = blueprint.ports.iter().filter(|extra| extra.port != port);
    let extra = extra.map(|extra| {
        json!({"name": extra.name, "port": extra.port, "protocol": "TCP", "targetPort": extra.port})
    });
    std::iter::once(main).chain(extra).collect()
}

/// Labels and annotations of a Service that was made for the Canary.
///
/// Keys of `service.unmanagedMetadata` are others' to set and never in an apply. **Differs from Flagger**, which writes them once, on
/// creation, and removes every key that is in neither list.
fn of_our_own(
    blueprint: &Blueprint<'_>,
    wish: &Wish<'_>,
) -> (Map<String, Value>, Map<String, Value>) {
    let unmanaged = blueprint.canary.spec.service.unmanaged_metadata.as_ref();
    let none = BTreeMap::new();
    let (labels, annotations) = wish.custom.map_or((&none, &none), |custom| {
        (&custom.labels, &custom.annotations)
    });
    let (labels_of_others, annotations_of_others) = unmanaged.map_or((&[][..], &[][..]), |keys| {
        (keys.labels.as_slice(), keys.annotations.as_slice())
    });
    let mut labels = managed(labels, labels_of_others);
    labels.insert(blueprint.selector.label.clone(), wish.name.into());
    let mut annotations = managed(annotations, annotations_of_others);
    annotations.extend(toolkit());
    (labels, annotations)
}

fn managed(all: &BTreeMap<String, String>, others: &[String]) -> Map<String, Value> {
    all.iter()
        .filter(|(key, _)| may_be_copied(key) && !others.contains(key))
        .map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect()
}

fn toolkit() -> impl Iterator<Item = (String, Value)> {
    TOOLKIT_ANNOTATIONS
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
}

/// The options of `spec.service` that are set on a Service of our own only.
///
/// Whether a Service has an IP is decided once, when it is made: the API server refuses every later change.
fn own_options(blueprint: &Blueprint<'_>, whose: Whose<'_>, spec: &mut Value) {
    let service = &blueprint.canary.spec.service;
    let headless = match whose {
        Whose::Users(_) => return,
        Whose::Nobodys => service.headless,
        Whose::Ours(live) => {
            live.pointer("/spec/clusterIP").and_then(Value::as_str) == Some("None")
        }
    };
    if headless {
        put(spec, &["clusterIP"], "None");
    }
    if let Some(distribution) = &service.traffic_distribution {
        put(spec, &["trafficDistribution"], distribution.as_str());
    }
}
