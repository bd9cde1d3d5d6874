//! The kinds that the API server serves, and which of them are there at the moment.

use super::shape::{self, Shape};
use super::table::{self, Column};
use crate::json::{dig, is_true, list, text};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// A kind's place in the registry; it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KindId(pub(crate) usize);

/// One kind of object.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) group: String,
    /// Served versions, the preferred one first.
    pub(crate) versions: Vec<String>,
    pub(crate) name: String,
    pub(crate) plural: String,
    pub(crate) short: Vec<String>,
    pub(crate) scope: Scope,
    pub(crate) origin: Origin,
    /// Has the subresource `status`.
    pub(crate) status: bool,
    /// Has the subresource `scale`.
    pub(crate) scale: bool,
    pub(crate) generation: Generation,
    pub(crate) shape: Shape,
    /// Whether `kubectl get all` lists it.
    pub(crate) is_in_all: bool,
    /// How it is shown as a table, where its definition says so.
    pub(crate) columns: Option<Arc<[Column]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Namespaced,
    Cluster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Native,
    /// From a `CustomResourceDefinition` without a schema: everything is kept.
    Custom,
    /// From a `CustomResourceDefinition` with a schema: unknown fields are dropped.
    Structural,
}

/// When `metadata.generation` grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    Never,
    /// With the spec.
    Spec,
    /// With the spec and the annotations, as Deployments do.
    SpecAndAnnotations,
    /// With everything outside of metadata (and status, if that is a subresource).
    All,
}

impl Kind {
    /// `deployments.apps`, `pods`: how messages name it.
    pub(crate) fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    pub(crate) fn is_native(&self) -> bool {
        self.origin == Origin::Native
    }

    pub(crate) fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// `apps/v1`, `v1`.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    /// The version that objects are kept in.
    pub(crate) fn stored_version(&self) -> String {
        self.api_version(self.versions.first().map_or("v1", String::as_str))
    }
}

macro_rules! places {
    ($($name:ident = $at:literal),* $(,)?) => { $(pub(crate) const $name: KindId = KindId($at);)* };
}

places! {
    NAMESPACE = 0, POD = 1, SERVICE = 2, CONFIG_MAP = 3, SECRET = 4, EVENT = 5, NODE = 6, ENDPOINTS = 7,
    DEPLOYMENT = 8, REPLICA_SET = 9, DAEMON_SET = 10, AUTOSCALER = 11, ENDPOINT_SLICE = 12, LEASE = 13,
    CRD = 14, NEW_EVENT = 15,
    VIRTUAL_SERVICE = 17, DESTINATION_RULE = 18, TRAFFIC_SPLIT = 19, HTTP_ROUTE = 20,
    SCALED_OBJECT = 21, GATEWAY = 22, LINKERD_HTTP_ROUTE = 23, GRPC_ROUTE = 24,
}

/// The kinds by id and by path.
#[derive(Debug)]
pub(crate) struct Registry {
    kinds: Vec<Slot>,
    by_plural: HashMap<String, HashMap<String, KindId>>,
}

#[derive(Debug)]
struct Slot {
    kind: Arc<Kind>,
    installed: bool,
}

impl Registry {
    /// The built-in kinds, and the custom ones that are known by name but not installed.
    pub(crate) fn new() -> Self {
        let mut registry = Self {
            kinds: Vec::new(),
            by_plural: HashMap::new(),
        };
        for kind in native() {
            registry.add(kind, true);
        }
        for kind in heeded() {
            registry.add(kind, false);
        }
        registry.add(
            kind("apps", &["v1"], "ControllerRevision", "controllerrevisions"),
            true,
        );
        registry
    }

    fn add(&mut self, kind: Kind, installed: bool) -> KindId {
        let id = KindId(self.kinds.len());
        self.by_plural
            .entry(kind.group.clone())
            .or_default()
            .insert(kind.plural.clone(), id);
        self.kinds.push(Slot {
            kind: Arc::new(kind),
            installed,
        });
        id
    }

    /// Serves a custom kind from now on; known ones keep their id.
    pub(crate) fn install(&mut self, kind: Kind) -> KindId {
        match self.known(&kind.group, &kind.plural) {
            None => self.add(kind, true),
            Some(id) => {
                if let Some(slot) = self.kinds.get_mut(id.0) {
                    slot.kind = Arc::new(kind);
                    slot.installed = true;
                }
                id
            }
        }
    }

    pub(crate) fn uninstall(&mut self, id: KindId) {
        if let Some(slot) = self.kinds.get_mut(id.0) {
            slot.installed = slot.kind.is_native();
        }
    }

    pub(crate) fn get(&self, id: KindId) -> &Arc<Kind> {
        #[expect(
            clippy::indexing_slicing,
            reason = "ids are only made by this registry, and kinds are never taken out"
        )]
        &self.kinds[id.0].kind
    }

    fn known(&self, group: &str, plural: &str) -> Option<KindId> {
        self.by_plural.get(group)?.get(plural).copied()
    }

    fn is_installed(&self, id: KindId) -> bool {
        self.kinds.get(id.0).is_some_and(|slot| slot.installed)
    }

    /// The kind at `/apis/GROUP/VERSION/PLURAL`, if it is served now.
    pub(crate) fn at(&self, group: &str, version: &str, plural: &str) -> Option<KindId> {
        let id = self.known(group, plural)?;
        let served = self.get(id).versions.iter().any(|it| it == version);
        (served && self.is_installed(id)).then_some(id)
    }

    /// The kind with this `apiVersion` and `kind`, if it is served now.
    pub(crate) fn of(&self, api_version: &str, kind: &str) -> Option<KindId> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.served()
            .find(|(_, it)| {
                it.group == group && it.name == kind && it.versions.iter().any(|v| v == version)
            })
            .map(|(id, _)| id)
    }

    /// The kind that a person means by `deployment`, `vs` or `canaries.flagger.app`.
    pub(crate) fn named(&self, name: &str) -> Option<KindId> {
        let wanted = name.to_lowercase();
        self.served()
            .find(|(_, kind)| {
                kind.name.to_lowercase() == wanted
                    || kind.plural == wanted
                    || kind.resource() == wanted
                    || kind.short.contains(&wanted)
            })
            .map(|(id, _)| id)
    }

    /// Everything that is served now.
    pub(crate) fn served(&self) -> impl Iterator<Item = (KindId, &Arc<Kind>)> {
        self.kinds
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.installed)
            .map(|(at, slot)| (KindId(at), &slot.kind))
    }
}

fn kind(group: &str, versions: &[&str], name: &str, plural: &str) -> Kind {
    Kind {
        group: group.to_owned(),
        versions: versions.iter().map(|it| (*it).to_owned()).collect(),
        name: name.to_owned(),
        plural: plural.to_owned(),
        short: Vec::new(),
        scope: Scope::Namespaced,
        origin: Origin::Native,
        status: false,
        scale: false,
        generation: Generation::Never,
        shape: shape::object(),
        is_in_all: matches!(
            plural,
            "pods"
                | "services"
                | "deployments"
                | "daemonsets"
                | "replicasets"
                | "horizontalpodautoscalers"
        ),
        columns: None,
    }
}

fn short(kind: Kind, names: &[&str]) -> Kind {
    Kind {
        short: names.iter().map(|it| (*it).to_owned()).collect(),
        ..kind
    }
}

/// In the order of the constants above.
fn native() -> Vec<Kind> {
    let v1 = &["v1"];
    vec![
        Kind {
            scope: Scope::Cluster,
            status: true,
            ..short(kind("", v1, "Namespace", "namespaces"), &["ns"])
        },
        Kind {
            status: true,
            generation: Generation::Spec,
            shape: shape::with_conditions().with("spec", shape::pod_spec()),
            ..short(kind("", v1, "Pod", "pods"), &["po"])
        },
        Kind {
            status: true,
            shape: shape::with_conditions()
                .with(
                    "spec.ports",
                    Shape::keyed(&["port", "protocol=TCP"], Shape::any()),
                )
                .with("spec.selector", Shape::one_value()),
            ..short(kind("", v1, "Service", "services"), &["svc"])
        },
        short(kind("", v1, "ConfigMap", "configmaps"), &["cm"]),
        kind("", v1, "Secret", "secrets"),
        short(kind("", v1, "Event", "events"), &["ev"]),
        Kind {
            scope: Scope::Cluster,
            status: true,
            shape: shape::with_conditions(),
            ..short(kind("", v1, "Node", "nodes"), &["no"])
        },
        short(kind("", v1, "Endpoints", "endpoints"), &["ep"]),
        Kind {
            status: true,
            scale: true,
            generation: Generation::SpecAndAnnotations,
            shape: shape::workload(),
            ..short(kind("apps", v1, "Deployment", "deployments"), &["deploy"])
        },
        Kind {
            status: true,
            scale: true,
            generation: Generation::Spec,
            shape: shape::workload(),
            ..short(kind("apps", v1, "ReplicaSet", "replicasets"), &["rs"])
        },
        Kind {
            status: true,
            generation: Generation::Spec,
            shape: shape::workload(),
            ..short(kind("apps", v1, "DaemonSet", "daemonsets"), &["ds"])
        },
        Kind {
            status: true,
            shape: shape::with_conditions(),
            ..short(
                kind(
                    "autoscaling",
                    &["v2"],
                    "HorizontalPodAutoscaler",
                    "horizontalpodautoscalers",
                ),
                &["hpa"],
            )
        },
        Kind {
            generation: Generation::All,
            ..kind("discovery.k8s.io", v1, "EndpointSlice", "endpointslices")
        },
        kind("coordination.k8s.io", v1, "Lease", "leases"),
        Kind {
            scope: Scope::Cluster,
            status: true,
            generation: Generation::Spec,
            shape: shape::with_conditions(),
            ..short(
                kind(
                    "apiextensions.k8s.io",
                    v1,
                    "CustomResourceDefinition",
                    "customresourcedefinitions",
                ),
                &["crd", "crds"],
            )
        },
        kind("events.k8s.io", v1, "Event", "events"),
        short(kind("", v1, "ServiceAccount", "serviceaccounts"), &["sa"]),
    ]
}

/// Custom kinds that the world itself heeds, so that they have constants too: what routes in the meshes, and what KEDA scales by.
fn heeded() -> Vec<Kind> {
    let istio = &["v1beta1", "v1", "v1alpha3"];
    [
        short(
            kind(
                "networking.istio.io",
                istio,
                "VirtualService",
                "virtualservices",
            ),
            &["vs"],
        ),
        short(
            kind(
                "networking.istio.io",
                istio,
                "DestinationRule",
                "destinationrules",
            ),
            &["dr"],
        ),
        short(
            kind(
                "split.smi-spec.io",
                &["v1alpha2", "v1alpha1", "v1alpha3"],
                "TrafficSplit",
                "trafficsplits",
            ),
            &["ts"],
        ),
        kind(
            "gateway.networking.k8s.io",
            &["v1", "v1beta1"],
            "HTTPRoute",
            "httproutes",
        ),
        short(
            kind("keda.sh", &["v1alpha1"], "ScaledObject", "scaledobjects"),
            &["so"],
        ),
        short(
            kind(
                "gateway.networking.k8s.io",
                &["v1", "v1beta1"],
                "Gateway",
                "gateways",
            ),
            &["gtw"],
        ),
        kind("policy.linkerd.io", &["v1beta3"], "HTTPRoute", "httproutes"),
        kind(
            "gateway.networking.k8s.io",
            &["v1"],
            "GRPCRoute",
            "grpcroutes",
        ),
    ]
    .into_iter()
    .map(custom)
    .collect()
}

fn custom(kind: Kind) -> Kind {
    // TrafficSplit has no status; the others have it as a subresource.
    let status = kind.name != "TrafficSplit";
    Kind {
        origin: Origin::Custom,
        status,
        generation: Generation::All,
        ..kind
    }
}

/// The custom kinds that a world can install by name, as `plural.group`.
fn by_name(name: &str) -> Option<Kind> {
    let flagger = |kind_name, plural, names: &[&str]| {
        let versions = &["v1beta1", "v1alpha3"];
        custom(short(
            kind("flagger.app", versions, kind_name, plural),
            names,
        ))
    };
    match name {
        "canaries.flagger.app" => Some(flagger("Canary", "canaries", &[])),
        "metrictemplates.flagger.app" => Some(flagger("MetricTemplate", "metrictemplates", &[])),
        "alertproviders.flagger.app" => Some(flagger("AlertProvider", "alertproviders", &[])),
        _ => heeded().into_iter().find(|kind| kind.resource() == name),
    }
}

/// A `CustomResourceDefinition` for a kind that is known by name: it keeps every field.
pub(crate) fn definition(name: &str) -> Option<Value> {
    let kind = by_name(name)?;
    let subresources = if kind.status {
        json!({"status": {}})
    } else {
        json!({})
    };
    let versions: Vec<Value> = kind
        .versions
        .iter()
        .enumerate()
        .map(|(at, version)| {
            json!({
                "name": version, "served": true, "storage": at == 0, "subresources": subresources,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true
                }},
            })
        })
        .collect();
    Some(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name, "plural": kind.plural, "shortNames": kind.short,
                "singular": kind.name.to_lowercase(), "listKind": format!("{}List", kind.name),
            },
            "versions": versions,
        },
    }))
}

/// The kind that a `CustomResourceDefinition` defines.
pub(crate) fn defined_by(definition: &Value) -> Option<Kind> {
    let spec = dig(definition, &["spec"]);
    let mut versions: Vec<&Value> = list(spec, &["versions"])
        .iter()
        .filter(|version| is_true(version, &["served"]))
        .collect();
    versions.sort_by_key(|version| !is_true(version, &["storage"]));
    let stored = *versions.first()?;
    let schema = dig(stored, &["schema", "openAPIV3Schema"]);
    let keeps_all = is_true(schema, &["x-kubernetes-preserve-unknown-fields"])
        && dig(schema, &["properties"]).is_null();
    let (origin, shape) = if keeps_all {
        (Origin::Custom, shape::object())
    } else {
        let metadata = shape::object().field("metadata").clone();
        let shape = Shape::of_schema(schema)
            .with("apiVersion", Shape::any())
            .with("kind", Shape::any())
            .with("metadata", metadata);
        (Origin::Structural, shape)
    };
    Some(Kind {
        group: text(spec, &["group"]).to_owned(),
        versions: versions
            .iter()
            .map(|version| text(version, &["name"]).to_owned())
            .collect(),
        name: text(spec, &["names", "kind"]).to_owned(),
        plural: text(spec, &["names", "plural"]).to_owned(),
        short: list(spec, &["names", "shortNames"])
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        scope: match text(spec, &["scope"]) {
            "Cluster" => Scope::Cluster,
            _ => Scope::Namespaced,
        },
        origin,
        status: dig(stored, &["subresources", "status"]).is_object(),
        scale: false,
        generation: Generation::All,
        shape,
        is_in_all: list(spec, &["names", "categories"])
            .iter()
            .any(|category| category == "all"),
        columns: Some(table::defined(stored).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_name_the_kinds_they_say() {
        let registry = Registry::new();
        let name = |id: KindId| registry.get(id).resource();
        assert_eq!(name(NAMESPACE), "namespaces");
        assert_eq!(name(ENDPOINTS), "endpoints");
        assert_eq!(name(DEPLOYMENT), "deployments.apps");
        assert_eq!(name(AUTOSCALER), "horizontalpodautoscalers.autoscaling");
        assert_eq!(name(NEW_EVENT), "events.events.k8s.io");
        assert_eq!(name(VIRTUAL_SERVICE), "virtualservices.networking.istio.io");
        assert_eq!(name(HTTP_ROUTE), "httproutes.gateway.networking.k8s.io");
        assert_eq!(name(SCALED_OBJECT), "scaledobjects.keda.sh");
    }

    #[test]
    fn a_known_definition_defines_its_kind_again() {
        let kind = definition("canaries.flagger.app")
            .as_ref()
            .and_then(defined_by)
            .unwrap();
        assert_eq!(kind.versions, ["v1beta1", "v1alpha3"]);
        assert!(kind.status);
        assert_eq!(kind.origin, Origin::Custom);
    }
}
