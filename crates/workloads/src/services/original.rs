//! What stood in a user's Service before us, and the way back.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use slipway_api::Side;
use slipway_api::names::TOOLKIT_ANNOTATIONS;
use slipway_core::blueprint::{ApexPods, Blueprint};
use slipway_core::object::Key;
use slipway_core::plan::Problem;

use super::{ports, selector};
use crate::json::put;
use crate::metadata::{LAST_APPLIED, ORIGINAL, annotation_of, canary_owners, copied, owners};

/// The fields of a user's Service that we write, as they were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Original {
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<Value>,
    /// Flux' annotations, where the user had them.
    #[serde(skip_serializing_if = "Map::is_empty")]
    annotations: Map<String, Value>,
}

impl Original {
    /// What was written down; else what stands there now, unless that is ours already: then Flagger took the Service over, and nobody
    /// knows what was before.
    pub(super) fn of(blueprint: &Blueprint<'_>, live: &Value) -> Option<Self> {
        if let Some(text) = annotation_of(live, ORIGINAL) {
            return serde_json::from_str(text).ok();
        }
        let current = live.pointer("/spec/selector");
        (!is_led_by_us(blueprint, current)).then(|| Self {
            selector: current.cloned(),
            ports: list(live.pointer("/spec/ports")),
            annotations: copied(live, "annotations", is_toolkit),
        })
    }

    /// The text to keep: as it is when there is one, so that it never changes again.
    pub(super) fn text(live: &Value, original: Option<&Self>) -> Option<String> {
        let kept = annotation_of(live, ORIGINAL).map(str::to_owned);
        kept.or_else(|| serde_json::to_string(original?).ok())
    }

    /// The user's ports that get a name of ours beside our own ports: of several ports each must have a name, and another one.
    ///
    /// **Shape**: the name and what tells which port it is; the rest of the port stays the user's. A port that is gone is not made again.
    ///
    /// **Differs from Flagger**, which removes every port but its own.
    pub(super) fn ports_to_name(&self, ours: &[Value], live: &Value) -> Vec<Value> {
        let taken: BTreeSet<PortKey> = ours.iter().map(port_key).collect();
        let there: BTreeSet<PortKey> = list(live.pointer("/spec/ports"))
            .iter()
            .map(port_key)
            .collect();
        let mut names: BTreeSet<String> = ours.iter().filter_map(name_of).collect();
        let mut renamed = Vec::new();
        for port in &self.ports {
            let key = port_key(port);
            if taken.contains(&key) || !there.contains(&key) {
                continue;
            }
            if name_of(port).is_none_or(|name| !names.insert(name)) {
                let (number, protocol) = key;
                let name = format!("{}-{number}", protocol.to_lowercase());
                renamed.push(json!({"name": name, "port": number, "protocol": protocol}));
            }
        }
        renamed
    }
}

/// Whether a selector is one that only a release writes.
fn is_led_by_us(blueprint: &Blueprint<'_>, current: Option<&Value>) -> bool {
    let ours = [ApexPods::Of(Side::Primary), ApexPods::Labelled];
    ours.iter()
        .any(|pods| current == Some(&selector(blueprint, *pods)))
}

/// What tells the ports of a Service apart.
type PortKey = (i64, String);

fn port_key(port: &Value) -> PortKey {
    let protocol = port
        .get("protocol")
        .and_then(Value::as_str)
        .unwrap_or("TCP");
    let number = port.get("port").and_then(Value::as_i64).unwrap_or(0);
    (number, protocol.to_owned())
}

fn name_of(port: &Value) -> Option<String> {
    let name = port.get("name").and_then(Value::as_str);
    name.filter(|name| !name.is_empty()).map(str::to_owned)
}

fn list(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn is_toolkit(key: &str) -> bool {
    TOOLKIT_ANNOTATIONS
        .iter()
        .any(|(toolkit, _)| *toolkit == key)
}

/// The Service as the user had it; `None` when it is that already.
pub(super) fn restored(
    blueprint: &Blueprint<'_>,
    key: &Key,
    live: &Value,
) -> Result<Option<Value>, Problem> {
    let applied: Option<Value> = recorded(key, live, LAST_APPLIED)?;
    let written: Option<Original> = recorded(key, live, ORIGINAL)?;
    let applied_selector = applied
        .as_ref()
        .and_then(|applied| applied.pointer("/spec/selector"));
    let written_selector = written
        .as_ref()
        .and_then(|written| written.selector.as_ref());
    let home = selector(blueprint, ApexPods::Of(Side::Canary));
    let wanted = applied_selector.or(written_selector).unwrap_or(&home);
    // Without a record of ours, the selector alone tells whether Flagger led the Service to a side.
    let current = live.pointer("/spec/selector");
    let is_led = current == Some(&home) || is_led_by_us(blueprint, current);
    if written.is_none() && (!is_led || current == Some(wanted)) {
        return Ok(None);
    }
    let mut object = live.clone();
    put(&mut object, &["spec", "selector"], wanted.clone());
    let applied_ports = applied
        .as_ref()
        .map(|applied| list(applied.pointer("/spec/ports")))
        .filter(|ports| !ports.is_empty());
    let ports_before =
        applied_ports.or_else(|| written.as_ref().map(|written| written.ports.clone()));
    if let Some(before) = ports_before {
        let ports = put_ports_back(before, &ports(blueprint), live);
        put(&mut object, &["spec", "ports"], ports);
    }
    let annotations = written.map_or_else(
        || applied.map(|applied| copied(&applied, "annotations", is_toolkit)),
        |written| Some(written.annotations),
    );
    put_annotations_back(&mut object, annotations.unwrap_or_default());
    Ok(Some(object))
}

/// A Service that was made for the Canary, as the user's from now on: it selects the target, and no Canary takes it along when it goes.
pub(super) fn handed_over(blueprint: &Blueprint<'_>, live: &Value) -> Value {
    let mut object = live.clone();
    put(
        &mut object,
        &["spec", "selector"],
        selector(blueprint, ApexPods::Of(Side::Canary)),
    );
    put_annotations_back(&mut object, Map::new());
    let canaries: Vec<&Value> = canary_owners(live).collect();
    let others: Vec<Value> = owners(live)
        .filter(|owner| !canaries.contains(owner))
        .cloned()
        .collect();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("ownerReferences".to_owned(), others.into());
    }
    object
}

/// The user's ports, those that came meanwhile from others than us, and the node ports that were allocated.
fn put_ports_back(wanted: Vec<Value>, ours: &[Value], live: &Value) -> Vec<Value> {
    let live = list(live.pointer("/spec/ports"));
    let node_port = |port: &Value| {
        let same = live.iter().find(|other| port_key(other) == port_key(port));
        same.and_then(|same| same.get("nodePort").cloned())
    };
    let known: BTreeSet<PortKey> = wanted.iter().chain(ours).map(port_key).collect();
    let later = live.iter().filter(|port| !known.contains(&port_key(port)));
    let later = later.cloned().collect::<Vec<_>>();
    let mut ports = wanted;
    for port in &mut ports {
        if let (None, Some(allocated)) = (port.get("nodePort"), node_port(port)) {
            put(port, &["nodePort"], allocated);
        }
    }
    ports.into_iter().chain(later).collect()
}

fn put_annotations_back(object: &mut Value, theirs: Map<String, Value>) {
    let mut annotations = copied(object, "annotations", |key| {
        !is_toolkit(key) && key != ORIGINAL
    });
    annotations.extend(theirs);
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if annotations.is_empty() {
        metadata.remove("annotations");
    } else {
        metadata.insert("annotations".to_owned(), annotations.into());
    }
}

fn recorded<T: serde::de::DeserializeOwned>(
    key: &Key,
    live: &Value,
    annotation: &str,
) -> Result<Option<T>, Problem> {
    let Some(text) = annotation_of(live, annotation) else {
        return Ok(None);
    };
    serde_json::from_str(text).map(Some).map_err(|error| {
        let beginning: String = text.chars().take(80).collect();
        let allowed =
            format!("must be JSON ({error}): what the user had cannot be given back without it");
        Problem::new(
            format!("metadata.annotations[{annotation}]"),
            beginning,
            allowed,
        )
        .of(key.to_string())
    })
}
