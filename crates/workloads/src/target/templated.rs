//! Kinds that have a pod template: what Deployments and `DaemonSets` have in common.
//!
//! **Source**: Flagger `pkg/canary/deployment_controller.go`, `daemonset_controller.go`; dossier 01 §13.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use slipway_api::names::{FLAGGER_ID, LABEL_VALUE_MAX};
use slipway_api::{CanaryService, IntOrString};
use slipway_core::blueprint::{Blueprint, CodecSettings, ExtraPort, PodSelector};
use slipway_core::object::{Key, Kind, Write};
use slipway_core::observation::Workload;
use slipway_core::plan::{CanaryReplicas, Problem};
use slipway_core::revision::revision;

use super::{Resize, Target};
use crate::configs::{ConfigReference, TrackedConfig};
use crate::json::{merge_patch, put};
use crate::metadata::{
    REVISION, annotation_of, copied, is_included, metadata, owner_of, refuse_foreign,
};
use crate::record;
use crate::template::{comparable, has_repeated_keys, mentions, of_primary};

/// What kinds with a pod template differ in.
pub(super) trait Templated: Send + Sync {
    /// The kind of the object.
    fn kind(&self) -> Kind;

    /// [`Target::observe`].
    fn observe(&self, object: &Value) -> Workload;

    /// [`Target::check`].
    fn check(&self, object: &Value) -> Option<Problem>;

    /// What a primary does not take from the spec of its target: how many pods there are, whether they are held back, and which they are.
    fn not_copied(&self) -> &'static [&'static str];

    /// The pod template as the user wrote it: without what stands in it only to scale the workload.
    fn own_template<'a>(&self, template: &'a Value) -> Cow<'a, Value>;

    /// How many replicas a primary is created with; none for a kind whose pods are counted by the nodes.
    fn initial_replicas(&self, target: &Value) -> Option<i64>;

    /// [`Target::scale_up`].
    fn scale_up(
        &self,
        target: &Value,
        primary: Option<&Value>,
        scaler_least: Option<i64>,
        size: CanaryReplicas,
    ) -> Option<Resize>;

    /// [`Target::scale_down`].
    fn scale_down(&self, target: &Value) -> Option<Resize>;

    /// [`Target::resize_primary`].
    fn resize_primary(
        &self,
        target: &Value,
        primary: &Value,
        scaled: bool,
        size: CanaryReplicas,
    ) -> Option<Resize>;
}

/// Sidecars of meshes, whose ports are nobody's to call.
const SIDECARS: [&str; 2] = ["istio-proxy", "envoy"];

/// Where the pod template of a workload stands.
pub(super) const TEMPLATE: &str = "/spec/template";

impl<T: Templated> Target for T {
    fn kind(&self) -> Kind {
        Templated::kind(self)
    }

    fn observe(&self, object: &Value) -> Workload {
        Templated::observe(self, object)
    }

    fn check(&self, object: &Value) -> Option<Problem> {
        Templated::check(self, object)
    }

    fn selector(&self, object: &Value, settings: &CodecSettings) -> Result<PodSelector, Problem> {
        let empty = Map::new();
        let labels = object.pointer("/spec/selector/matchLabels");
        let labels = labels.and_then(Value::as_object).unwrap_or(&empty);
        let mut wanted = settings.selector_labels.iter();
        let problem = |field: &str, value: String, allowed: String| {
            Err(Problem::new(field, value, allowed)
                .of(key_of(Templated::kind(self), object).to_string()))
        };
        let found = wanted.find_map(|label| Some((label, labels.get(label)?.as_str()?)));
        let Some((label, value)) = found else {
            let present: Vec<&str> = labels.keys().map(String::as_str).collect();
            let allowed = format!(
                "must contain one of {} (-selector-labels)",
                settings.selector_labels.join(", ")
            );
            return problem("spec.selector.matchLabels", present.join(", "), allowed);
        };
        let selector = PodSelector {
            label: label.clone(),
            value: value.to_owned(),
        };
        if selector.primary_value().len() > LABEL_VALUE_MAX {
            let allowed = format!(
                "must leave room for the suffix -primary: at most {} letters",
                LABEL_VALUE_MAX - "-primary".len()
            );
            let field = format!("spec.selector.matchLabels[{label}]");
            return problem(&field, value.to_owned(), allowed);
        }
        Ok(selector)
    }

    fn extra_ports(&self, object: &Value, service: &CanaryService) -> Vec<ExtraPort> {
        if !service.port_discovery {
            return Vec::new();
        }
        let mut numbers = BTreeSet::new();
        let main = service.port_name.as_deref().unwrap_or("http").to_owned();
        let mut names = BTreeSet::from([main]);
        let mut ports = Vec::new();
        for (container, index, port) in container_ports(object) {
            let Some(number) = port
                .get("containerPort")
                .and_then(Value::as_u64)
                .and_then(|number| u16::try_from(number).ok())
            else {
                continue;
            };
            let name = text(Some(port), "name");
            // A Service has each number once: Flagger makes every port TCP, and the API server then refuses a second.
            if is_main(service, number, name) || !numbers.insert(number) {
                continue;
            }
            let fallback = format!("tcp-{container}-{index}");
            let name = if name.is_empty() || names.contains(name) {
                fallback
            } else {
                name.to_owned()
            };
            names.insert(name.clone());
            ports.push(ExtraPort { name, port: number });
        }
        ports
    }

    fn config_references(&self, object: &Value) -> Vec<ConfigReference> {
        let mut references: Vec<ConfigReference> = Vec::new();
        for mention in object
            .pointer("/spec/template/spec")
            .map(mentions)
            .unwrap_or_default()
        {
            let known = references
                .iter_mut()
                .find(|known| known.kind == mention.kind && known.name == mention.name);
            match known {
                Some(known) => known.optional &= mention.optional,
                None => references.push(ConfigReference {
                    kind: mention.kind,
                    name: mention.name.to_owned(),
                    optional: mention.optional,
                }),
            }
        }
        references
    }

    fn primary(
        &self,
        blueprint: &Blueprint<'_>,
        target: &Value,
        live: Option<&Value>,
        tracked: &[TrackedConfig],
        copy_id: &str,
    ) -> Result<Write, Problem> {
        let key = primary_key(Templated::kind(self), blueprint);
        refuse_foreign(blueprint, &key, live)?;
        let given = self.revision(target, tracked);
        let holds_it = |live: &&Value| match annotation_of(live, REVISION) {
            Some(last) => last == given,
            // Made by Flagger. With configs the template does not tell whether its pods have what the copies now hold.
            None => tracked.is_empty() && self.same_revision(blueprint, target, live),
        };
        let kept = live.filter(holds_it).and_then(copy_id_of);
        let copy_id = Some(kept.unwrap_or(copy_id));
        let marks = Marks {
            given: &given,
            copy_id,
        };
        let mut object = rendered(self, blueprint, target, live, tracked, marks)?;
        Ok(match live {
            // The POST makes an entry `slipway`/Update in managedFields. Before the first apply it is adopted like Flagger's, without
            // `replicas`: else what the first promotion removes would stay, and with `replicas` in it the primary would fall to 1.
            None => {
                if let Some(replicas) = self.initial_replicas(target) {
                    put(&mut object, &["spec", "replicas"], replicas);
                }
                Write::Create { key, object }
            }
            Some(live) if object.pointer(TEMPLATE).is_some_and(has_repeated_keys) => Write::Merge {
                key,
                patch: patch(live, &object),
            },
            Some(_) => Write::Apply { key, object },
        })
    }

    fn same_revision(&self, blueprint: &Blueprint<'_>, target: &Value, primary: &Value) -> bool {
        let template = |object: &Value| {
            let template = object.pointer(TEMPLATE)?;
            Some(self.own_template(template).into_owned())
        };
        let (Some(ours), Some(theirs)) = (template(target), template(primary)) else {
            return false;
        };
        let wanted = of_primary(
            blueprint,
            &ours,
            &selected(blueprint, Some(primary)),
            &[],
            None,
        );
        revision(&comparable(&wanted, &ours)) == revision(&comparable(&theirs, &ours))
    }

    fn scale_up(
        &self,
        target: &Value,
        primary: Option<&Value>,
        scaler_least: Option<i64>,
        size: CanaryReplicas,
    ) -> Option<Resize> {
        Templated::scale_up(self, target, primary, scaler_least, size)
    }

    fn scale_down(&self, target: &Value) -> Option<Resize> {
        Templated::scale_down(self, target)
    }

    fn resize_primary(
        &self,
        target: &Value,
        primary: &Value,
        scaled: bool,
        size: CanaryReplicas,
    ) -> Option<Resize> {
        Templated::resize_primary(self, target, primary, scaled, size)
    }

    fn record(
        &self,
        blueprint: &Blueprint<'_>,
        target: &Value,
        primary: Option<&Value>,
        tracked: &[TrackedConfig],
        seen: &[&Value],
    ) -> Result<Vec<Write>, Problem> {
        let given = self.revision(target, tracked);
        let marks = Marks {
            given: &given,
            copy_id: None,
        };
        let mut content = rendered(self, blueprint, target, primary, tracked, marks)?;
        if let Some(initial) = self.initial_replicas(target) {
            let replicas = primary.map_or(0, |primary| number(primary, "/spec/replicas", 1));
            put(&mut content, &["spec", "replicas"], replicas.max(initial));
        }
        Ok(record::writes(blueprint, &content, &given, seen))
    }

    fn primary_from_record(
        &self,
        blueprint: &Blueprint<'_>,
        record: &Value,
        copy_id: &str,
    ) -> Result<Write, Problem> {
        let key = primary_key(Templated::kind(self), blueprint);
        let mut object = record::restored(blueprint, record, &key, "/spec/template/spec")?;
        let annotation = ["spec", "template", "metadata", "annotations", FLAGGER_ID];
        put(&mut object, &annotation, copy_id);
        Ok(Write::Create { key, object })
    }
}

fn copy_id_of(primary: &Value) -> Option<&str> {
    let annotations = primary.pointer("/spec/template/metadata/annotations")?;
    annotations.get(FLAGGER_ID)?.as_str()
}

fn primary_key(kind: Kind, blueprint: &Blueprint<'_>) -> Key {
    let plan = blueprint.plan;
    kind.named(&plan.canary.namespace, &plan.names.primary)
}

/// What tells one copy of a target from another.
#[derive(Clone, Copy)]
struct Marks<'a> {
    /// The revision that the primary is given.
    given: &'a str,
    /// What restarts its pods; none in a record.
    copy_id: Option<&'a str>,
}

/// All that we own of a primary. Its selector can never change, so a primary that is there keeps the one it has.
///
/// Everything of the target's spec is passed on but what [`Templated::not_copied`] names, so that fields newer than this build are not lost.
fn rendered(
    codec: &dyn Templated,
    blueprint: &Blueprint<'_>,
    target: &Value,
    live: Option<&Value>,
    tracked: &[TrackedConfig],
    marks: Marks<'_>,
) -> Result<Value, Problem> {
    let key = primary_key(codec.kind(), blueprint);
    let spec = target.get("spec").and_then(Value::as_object);
    let template = spec.and_then(|spec| spec.get("template"));
    let (Some(spec), Some(template)) = (spec, template) else {
        let problem = Problem::new("spec.template", "", "must be there");
        return Err(problem.of(key_of(codec.kind(), target).to_string()));
    };
    let selected = selected(blueprint, live);
    let mut spec: Map<String, Value> = spec
        .iter()
        .filter(|(field, value)| !codec.not_copied().contains(&field.as_str()) && !value.is_null())
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    let template = of_primary(
        blueprint,
        &codec.own_template(template),
        &selected,
        tracked,
        marks.copy_id,
    );
    spec.insert("template".to_owned(), template);
    spec.insert(
        "selector".to_owned(),
        live_selector(live).unwrap_or_else(|| json!({"matchLabels": selected})),
    );
    let included = |label: &str| is_included(blueprint.settings, label);
    let mut labels = copied(target, "labels", included);
    labels.insert(
        blueprint.selector.label.clone(),
        blueprint.selector.primary_value().into(),
    );
    let mut annotations = copied(target, "annotations", included);
    annotations.insert(REVISION.to_owned(), marks.given.into());
    Ok(json!({
        "apiVersion": key.api_version,
        "kind": key.kind,
        "metadata": metadata(&key, labels, annotations, owner_of(blueprint, live)),
        "spec": spec,
    }))
}

/// The labels that the pods of the primary carry in any case: what the Services select by, and what a primary that is there selects by.
fn selected(blueprint: &Blueprint<'_>, live: Option<&Value>) -> Map<String, Value> {
    let selector = blueprint.selector;
    let mut labels = Map::new();
    labels.insert(selector.label.clone(), selector.primary_value().into());
    let theirs = live_selector(live);
    let theirs = theirs
        .as_ref()
        .and_then(|selector| selector.get("matchLabels")?.as_object());
    labels.extend(
        theirs
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    labels
}

fn live_selector(live: Option<&Value>) -> Option<Value> {
    live?.pointer("/spec/selector").cloned()
}

/// What an apply would say, as a merge patch; the template and the strategy become exactly what is wanted.
fn patch(live: &Value, wanted: &Value) -> Value {
    let mut whole = live.clone();
    for (section, values) in [
        ("/metadata/labels", copied(wanted, "labels", |_| true)),
        (
            "/metadata/annotations",
            copied(wanted, "annotations", |_| true),
        ),
    ] {
        let name = section.rsplit('/').next().unwrap_or_default();
        let mut merged = copied(&whole, name, |_| true);
        merged.extend(values);
        put(&mut whole, &["metadata", name], merged);
    }
    for (field, value) in wanted
        .get("spec")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        put(&mut whole, &["spec", field], value.clone());
    }
    merge_patch(live, &whole).unwrap_or_else(|| json!({}))
}

pub(super) fn key_of(kind: Kind, object: &Value) -> Key {
    let text = |pointer: &str| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    kind.named(&text("/metadata/namespace"), &text("/metadata/name"))
}

pub(super) fn number(object: &Value, pointer: &str, default: i64) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or(default)
}

pub(super) fn text<'a>(object: Option<&'a Value>, field: &str) -> &'a str {
    let text = object.and_then(|object| object.get(field)?.as_str());
    text.unwrap_or_default()
}

pub(super) fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| text(Some(condition), "type") == name)
}

/// Pods that cannot even be made (a quota, an admission webhook) come first, then a rollout that Kubernetes has given up.
pub(super) fn complaint(object: &Value) -> String {
    let says = |name: &str, status: &str| {
        condition(object, name).filter(|condition| text(Some(condition), "status") == status)
    };
    let condition = says("ReplicaFailure", "True").or_else(|| says("Progressing", "False"));
    text(condition, "message").to_owned()
}

/// The ports of the containers, with the name of the container and the place of the port in it.
fn container_ports(object: &Value) -> impl Iterator<Item = (&str, usize, &Value)> {
    let containers = object.pointer("/spec/template/spec/containers");
    let containers = containers.and_then(Value::as_array).into_iter().flatten();
    let named = containers.map(|container| (text(Some(container), "name"), container));
    named
        .filter(|(name, _)| !SIDECARS.contains(name))
        .flat_map(|(name, container)| {
            let ports = container.get("ports").and_then(Value::as_array);
            let ports = ports.into_iter().flatten().enumerate();
            ports.map(move |(index, port)| (name, index, port))
        })
}

/// Whether the port of a container is the one that the Services lead to anyway.
fn is_main(service: &CanaryService, number: u16, name: &str) -> bool {
    match &service.target_port {
        None => service.port == i64::from(number),
        Some(IntOrString::Int(target)) => *target == i32::from(number),
        Some(IntOrString::String(target)) => target == name,
    }
}
