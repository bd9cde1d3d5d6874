//! The pod template of a target, rewritten for the primary: labels, the rules that place pods, and the names of tracked configs.
//!
//! Everything else is passed on as it is.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use slipway_api::names::{APEX_LABEL, FLAGGER_ID, PRIMARY_SUFFIX, primary_name};
use slipway_core::blueprint::Blueprint;
use slipway_core::plan::TargetKind;

use crate::configs::{ConfigKind, TrackedConfig};
use crate::metadata::{copied, may_be_copied};

/// The annotation that `kubectl rollout restart` leaves on a template.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// The template of the primary.
///
/// **Shape**: `selected` is what the primary selects its pods by, which its template must carry; `copy_id` becomes the annotation
/// `flagger-id`, and with `None` there is none.
///
/// **Source**: Flagger `pkg/canary/deployment_controller.go`, dossier 01 §13.1 and §13.2.
pub(crate) fn of_primary(
    blueprint: &Blueprint<'_>,
    template: &Value,
    selected: &Map<String, Value>,
    tracked: &[TrackedConfig],
    copy_id: Option<&str>,
) -> Value {
    let mut template = template.clone();
    let mut labels = copied(&template, "labels", may_be_copied);
    labels.extend(selected.clone());
    labels.extend(apex_label(blueprint));
    let mut annotations = copied(&template, "annotations", may_be_copied);
    annotations.extend(copy_id.map(|id| (FLAGGER_ID.to_owned(), id.into())));
    set_section(&mut template, "labels", labels);
    set_section(&mut template, "annotations", annotations);
    // A null is no value of a time, and the API server would count it as a field of ours.
    if template
        .pointer("/metadata/creationTimestamp")
        .is_some_and(Value::is_null)
    {
        remove(&mut template, "creationTimestamp");
    }
    if let Some(spec) = template.get_mut("spec") {
        // The pods of a DaemonSet are placed by the nodes: Flagger leaves its rules as they are.
        if blueprint.plan.target.kind != TargetKind::DaemonSet {
            rewrite_placement(blueprint, spec);
        }
        rewrite_configs(spec, tracked);
    }
    template
}

/// The label by which the apex selects where weight is made by pods: those of the primary carry it from birth.
fn apex_label(blueprint: &Blueprint<'_>) -> Option<(String, Value)> {
    let apex = blueprint.plan.names.apex.as_str();
    let weighs = blueprint.plan.weighs_by_pods();
    weighs.then(|| (APEX_LABEL.to_owned(), apex.into()))
}

fn remove(template: &mut Value, field: &str) {
    let metadata = template.get_mut("metadata").and_then(Value::as_object_mut);
    metadata.and_then(|metadata| metadata.remove(field));
}

fn set_section(template: &mut Value, section: &str, values: Map<String, Value>) {
    let Some(template) = template.as_object_mut() else {
        return;
    };
    let metadata = template
        .entry("metadata")
        .or_insert_with(|| Map::new().into());
    if let Some(metadata) = metadata.as_object_mut() {
        if values.is_empty() {
            metadata.remove(section);
        } else {
            metadata.insert(section.to_owned(), values.into());
        }
    }
}

/// Makes the spread and anti-affinity rules of the target's pods rules of the primary's.
///
/// **Source**: dossier 01 §13.1. Only values that equal the **name** of the target are rewritten, as Flagger does it, although the label
/// may have another value: a primary that differs from Flagger's in this would be rolled by taking over.
fn rewrite_placement(blueprint: &Blueprint<'_>, spec: &mut Value) {
    for constraint in items(spec, "/topologySpreadConstraints") {
        rewrite_selector(blueprint, constraint.pointer_mut("/labelSelector"));
    }
    let rules = "/affinity/podAntiAffinity";
    for term in items(
        spec,
        &format!("{rules}/requiredDuringSchedulingIgnoredDuringExecution"),
    ) {
        rewrite_selector(blueprint, term.pointer_mut("/labelSelector"));
    }
    for term in items(
        spec,
        &format!("{rules}/preferredDuringSchedulingIgnoredDuringExecution"),
    ) {
        rewrite_selector(
            blueprint,
            term.pointer_mut("/podAffinityTerm/labelSelector"),
        );
    }
}

fn items<'a>(value: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    let items = value.pointer_mut(pointer).and_then(Value::as_array_mut);
    items.into_iter().flatten()
}

fn rewrite_selector(blueprint: &Blueprint<'_>, selector: Option<&mut Value>) {
    let Some(selector) = selector else { return };
    let target = blueprint.plan.target.name.as_str();
    let is_ours = |key: &str| {
        blueprint
            .settings
            .selector_labels
            .iter()
            .any(|ours| ours == key)
    };
    let labels = selector
        .pointer_mut("/matchLabels")
        .and_then(Value::as_object_mut);
    for (key, value) in labels.into_iter().flatten() {
        if is_ours(key) && value.as_str() == Some(target) {
            *value = primary_name(target).into();
        }
    }
    for expression in items(selector, "/matchExpressions") {
        if !expression
            .get("key")
            .and_then(Value::as_str)
            .is_some_and(is_ours)
        {
            continue;
        }
        // Only the first value, as Flagger does it.
        let mut values = items(expression, "/values");
        if let Some(value) = values.find(|value| value.as_str() == Some(target)) {
            *value = primary_name(target).into();
        }
    }
}

fn rewrite_configs(spec: &mut Value, tracked: &[TrackedConfig]) {
    let is_tracked = |kind: ConfigKind, name: &str| {
        tracked
            .iter()
            .any(|config| config.kind == kind && config.name == name)
    };
    rename(spec, |kind, name| {
        is_tracked(kind, name).then(|| primary_name(name))
    });
}

/// Gives ConfigMaps and Secrets another name wherever the pod refers to them.
fn rename(spec: &mut Value, new_name: impl Fn(ConfigKind, &str) -> Option<String>) {
    let renamed: Vec<(String, String)> = mentions(spec)
        .into_iter()
        .filter_map(|mention| Some((mention.pointer, new_name(mention.kind, mention.name)?)))
        .collect();
    for (pointer, name) in renamed {
        if let Some(value) = spec.pointer_mut(&pointer) {
            *value = name.into();
        }
    }
}

/// One place where a pod refers to a ConfigMap or a Secret.
pub(crate) struct Mention<'a> {
    pub(crate) kind: ConfigKind,
    pub(crate) name: &'a str,
    pub(crate) optional: bool,
    /// Where the name stands, from the spec of the pod.
    pointer: String,
}

/// Every place where a pod refers to a ConfigMap or a Secret by name: volumes, then containers, then init containers.
///
/// Secrets that the kubelet or a driver uses and the pod never sees (`imagePullSecrets`, those of CSI and other volumes) are none.
///
/// **Source**: dossier 01 §15.1, FC-085.
pub(crate) fn mentions(spec: &Value) -> Vec<Mention<'_>> {
    let mut found = Vec::new();
    for (at, volume) in list("", spec, "/volumes") {
        collect(&at, volume, &IN_VOLUME, &mut found);
        for (at, source) in list(&at, volume, "/projected/sources") {
            collect(&at, source, &IN_PROJECTION, &mut found);
        }
    }
    for containers in ["/containers", "/initContainers", "/ephemeralContainers"] {
        for (at, container) in list("", spec, containers) {
            for (at, variable) in list(&at, container, "/env") {
                collect(&at, variable, &IN_ENV, &mut found);
            }
            for (at, source) in list(&at, container, "/envFrom") {
                collect(&at, source, &IN_ENV_FROM, &mut found);
            }
        }
    }
    found
}

/// Where a reference stands in its holder, and how the field with the name is called there.
type Place = (ConfigKind, &'static str, &'static str);

const IN_VOLUME: [Place; 2] = [
    (ConfigKind::ConfigMap, "/configMap", "name"),
    (ConfigKind::Secret, "/secret", "secretName"),
];
const IN_PROJECTION: [Place; 2] = [
    (ConfigKind::ConfigMap, "/configMap", "name"),
    (ConfigKind::Secret, "/secret", "name"),
];
const IN_ENV: [Place; 2] = [
    (ConfigKind::ConfigMap, "/valueFrom/configMapKeyRef", "name"),
    (ConfigKind::Secret, "/valueFrom/secretKeyRef", "name"),
];
const IN_ENV_FROM: [Place; 2] = [
    (ConfigKind::ConfigMap, "/configMapRef", "name"),
    (ConfigKind::Secret, "/secretRef", "name"),
];

fn collect<'a>(at: &str, holder: &'a Value, places: &[Place], found: &mut Vec<Mention<'a>>) {
    for (kind, place, field) in places {
        let Some(reference) = holder.pointer(place) else {
            continue;
        };
        let name = reference.get(field).and_then(Value::as_str);
        found.extend(name.filter(|name| !name.is_empty()).map(|name| Mention {
            kind: *kind,
            name,
            optional: reference.get("optional").and_then(Value::as_bool) == Some(true),
            pointer: format!("{at}{place}/{field}"),
        }));
    }
}

/// The items of a list with the pointer to each.
fn list<'a>(at: &str, value: &'a Value, pointer: &str) -> Vec<(String, &'a Value)> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    let items = items.into_iter().flatten().enumerate();
    items
        .map(|(index, item)| (format!("{at}{pointer}/{index}"), item))
        .collect()
}

/// A template of the primary with the names of config copies turned back to those that the target uses, and without what stands on
/// a primary only: the form in which it is compared with the target's.
pub(crate) fn comparable(template: &Value, target: &Value) -> Value {
    let mut template = template.clone();
    let restarted = target
        .pointer("/metadata/annotations")
        .is_some_and(|all| all.get(RESTARTED).is_some());
    let annotations = copied(&template, "annotations", |key| {
        may_be_copied(key) && key != FLAGGER_ID && (restarted || key != RESTARTED)
    });
    let labels = copied(&template, "labels", may_be_copied);
    set_section(&mut template, "annotations", annotations);
    set_section(&mut template, "labels", labels);
    let used: BTreeSet<(ConfigKind, &str)> = target
        .get("spec")
        .map(mentions)
        .unwrap_or_default()
        .into_iter()
        .map(|mention| (mention.kind, mention.name))
        .collect();
    if let Some(spec) = template.get_mut("spec") {
        rename(spec, |kind, name| {
            let base = name.strip_suffix(PRIMARY_SUFFIX)?;
            let is_copy = used.contains(&(kind, base)) && !used.contains(&(kind, name));
            is_copy.then(|| base.to_owned())
        });
    }
    template
}

/// Whether a list of the template names one key twice, which the API server takes in a manifest and refuses in a server-side apply.
///
/// **Source**: the keys of the list types in Kubernetes' schema; lists whose keys its validation keeps apart anyway are left out.
pub(crate) fn has_repeated_keys(template: &Value) -> bool {
    let Some(spec) = template.get("spec") else {
        return false;
    };
    let containers =
        ["/containers", "/initContainers"].map(|containers| list("", spec, containers));
    let lists = containers.iter().flatten().flat_map(|(_, container)| {
        [
            repeats(container.get("ports"), &["containerPort", "protocol"]),
            repeats(container.get("env"), &["name"]),
        ]
    });
    lists
        .chain([
            repeats(spec.get("imagePullSecrets"), &["name"]),
            repeats(spec.get("hostAliases"), &["ip"]),
        ])
        .any(|repeated| repeated)
}

fn repeats(list: Option<&Value>, keys: &[&str]) -> bool {
    let items = list.and_then(Value::as_array);
    let mut seen = BTreeSet::new();
    items.into_iter().flatten().any(|item| {
        let key: Vec<String> = keys
            .iter()
            .map(|key| {
                item.get(key)
                    .map_or_else(|| default_of(key), Value::to_string)
            })
            .collect();
        !seen.insert(key)
    })
}

fn default_of(key: &str) -> String {
    let default = if key == "protocol" { "TCP" } else { "" };
    Value::from(default).to_string()
}
