//! Objects as rows of a table: what kubectl asks for, so that a server can show kinds that no client knows.
//!
//! Ages are told in the time of the world. The columns of custom kinds are those of their definition, by plain paths (`.status.phase`);
//! a few built-in kinds have the columns that people know, every other has its name and age.

use super::kinds::{self, KindId};
use crate::clock::{Clock, parse_time};
use crate::json::{dig, list, text};
use serde_json::{Value, json};

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    name: String,
    /// `string`, `integer`, `boolean`, `date`.
    type_: String,
    /// Above 0 it is shown to those who want it wide.
    priority: i64,
    cell: Cell,
}

/// What of a value is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Keys,
    Items,
}

/// Where the content of a column comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    /// The value there.
    At(Vec<String>),
    /// The number there, 0 where there is none.
    Number(Vec<String>),
    /// How long ago the time there is.
    Since(Vec<String>),
    /// The two numbers there, as `1/2`.
    Of(Vec<String>, Vec<String>),
    /// How many there are.
    Count(Counted, Vec<String>),
    /// A pod's state in a word.
    PodState,
    /// What an event is about.
    Regarding,
    /// A Service's ports.
    Ports,
}

fn path(dotted: &str) -> Vec<String> {
    dotted
        .split('.')
        .filter(|step| !step.is_empty())
        .map(str::to_owned)
        .collect()
}

fn column(name: &str, type_: &str, cell: Cell) -> Column {
    Column {
        name: name.to_owned(),
        type_: type_.to_owned(),
        priority: 0,
        cell,
    }
}

fn at(name: &str, dotted: &str) -> Column {
    column(name, "string", Cell::At(path(dotted)))
}

fn name() -> Column {
    at("Name", "metadata.name")
}

fn age() -> Column {
    column(
        "Age",
        "string",
        Cell::Since(path("metadata.creationTimestamp")),
    )
}

fn count(name: &str, dotted: &str) -> Column {
    column(name, "integer", Cell::Number(path(dotted)))
}

fn of(name: &str, part: &str, whole: &str) -> Column {
    column(name, "string", Cell::Of(path(part), path(whole)))
}

/// The columns of a kind, where nothing else was defined for it.
pub(crate) fn columns(id: KindId) -> Vec<Column> {
    let mut between = match id {
        kinds::EVENT | kinds::NEW_EVENT => {
            return vec![
                column("Last Seen", "string", Cell::Since(path("lastTimestamp"))),
                at("Type", "type"),
                at("Reason", "reason"),
                column("Object", "string", Cell::Regarding),
                at("Message", "message"),
            ];
        }
        kinds::POD => vec![
            of("Ready", "status.containerStatuses", "spec.containers"),
            column("Status", "string", Cell::PodState),
        ],
        kinds::DEPLOYMENT => vec![
            of("Ready", "status.readyReplicas", "spec.replicas"),
            count("Up-to-date", "status.updatedReplicas"),
            count("Available", "status.availableReplicas"),
        ],
        kinds::REPLICA_SET => vec![
            count("Desired", "spec.replicas"),
            count("Current", "status.replicas"),
            count("Ready", "status.readyReplicas"),
        ],
        kinds::SERVICE => vec![
            at("Type", "spec.type"),
            at("Cluster-IP", "spec.clusterIP"),
            column("Port(s)", "string", Cell::Ports),
        ],
        kinds::CONFIG_MAP | kinds::SECRET => {
            vec![column(
                "Data",
                "integer",
                Cell::Count(Counted::Keys, path("data")),
            )]
        }
        kinds::ENDPOINT_SLICE => {
            vec![column(
                "Endpoints",
                "integer",
                Cell::Count(Counted::Items, path("endpoints")),
            )]
        }
        kinds::NAMESPACE => vec![at("Status", "status.phase")],
        kinds::LEASE => vec![at("Holder", "spec.holderIdentity")],
        _ => Vec::new(),
    };
    between.insert(0, name());
    between.push(age());
    between
}

/// The columns that a version of a `CustomResourceDefinition` defines; its name comes first, its age where nothing is defined.
pub(crate) fn defined(version: &Value) -> Vec<Column> {
    let mut all = vec![name()];
    let defined = list(version, &["additionalPrinterColumns"]);
    all.extend(defined.iter().map(|it| {
        let (type_, from) = (text(it, &["type"]), path(text(it, &["jsonPath"])));
        let cell = if type_ == "date" {
            Cell::Since(from)
        } else {
            Cell::At(from)
        };
        Column {
            priority: dig(it, &["priority"]).as_i64().unwrap_or(0),
            ..column(text(it, &["name"]), type_, cell)
        }
    }));
    if defined.is_empty() {
        all.push(age());
    }
    all
}

/// A table of these objects.
pub(crate) fn table<'a>(
    columns: &[Column],
    clock: Clock,
    metadata: &Value,
    objects: impl Iterator<Item = &'a Value>,
) -> Value {
    let definitions: Vec<Value> = columns
        .iter()
        .map(|it| {
            json!({
                "name": it.name, "type": it.type_, "priority": it.priority, "description": "",
                "format": if it.name == "Name" { "name" } else { "" },
            })
        })
        .collect();
    let rows: Vec<Value> = objects
        .map(|object| {
            let cells: Vec<Value> = columns.iter().map(|it| it.cell.shown(object, clock)).collect();
            let about = json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": dig(object, &["metadata"]),
            });
            json!({"cells": cells, "object": about})
        })
        .collect();
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "Table", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

impl Cell {
    fn shown(&self, object: &Value, clock: Clock) -> Value {
        match self {
            Self::At(path) => found(object, path).clone(),
            Self::Number(path) => number(found(object, path)).into(),
            Self::Since(path) => since(text_at(object, path), clock).into(),
            Self::Of(part, whole) => format!(
                "{}/{}",
                number(found(object, part)),
                number(found(object, whole))
            )
            .into(),
            Self::Count(Counted::Keys, path) => found(object, path)
                .as_object()
                .map_or(0, serde_json::Map::len)
                .into(),
            Self::Count(Counted::Items, path) => {
                found(object, path).as_array().map_or(0, Vec::len).into()
            }
            Self::PodState => pod_state(object).into(),
            Self::Regarding => {
                let about = dig(object, &["involvedObject"]);
                format!(
                    "{}/{}",
                    text(about, &["kind"]).to_lowercase(),
                    text(about, &["name"])
                )
                .into()
            }
            Self::Ports => ports(object).into(),
        }
    }
}

fn found<'a>(object: &'a Value, path: &[String]) -> &'a Value {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    dig(object, &path)
}

fn text_at<'a>(object: &'a Value, path: &[String]) -> &'a str {
    found(object, path).as_str().unwrap_or_default()
}

/// A number, or how many there are; of containers those that are ready.
fn number(value: &Value) -> u64 {
    let Some(items) = value.as_array() else {
        return value.as_u64().unwrap_or(0);
    };
    let counts = |item: &&Value| item.get("ready").is_none_or(|ready| ready == true);
    u64::try_from(items.iter().filter(counts).count()).unwrap_or(0)
}

fn pod_state(pod: &Value) -> String {
    if !dig(pod, &["metadata", "deletionTimestamp"]).is_null() {
        return "Terminating".to_owned();
    }
    let waiting = list(pod, &["status", "containerStatuses"])
        .iter()
        .map(|it| text(it, &["state", "waiting", "reason"]))
        .find(|reason| !reason.is_empty());
    waiting
        .unwrap_or_else(|| text(pod, &["status", "phase"]))
        .to_owned()
}

fn ports(service: &Value) -> String {
    let ports = list(service, &["spec", "ports"]).iter().map(|port| {
        let protocol = match text(port, &["protocol"]) {
            "" => "TCP",
            protocol => protocol,
        };
        format!("{}/{protocol}", dig(port, &["port"]))
    });
    ports.collect::<Vec<_>>().join(",")
}

/// How long ago, as kubectl tells it: two units at most.
fn since(stamp: &str, clock: Clock) -> String {
    let Some(then) = parse_time(stamp) else {
        return "<unknown>".to_owned();
    };
    let seconds = (clock.now() - then).num_seconds().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ages_are_told_in_the_time_of_the_world() {
        let clock = Clock::start();
        let stamp = clock.stamp();
        for (later, shown) in [
            (0, "0s"),
            (119, "119s"),
            (125, "2m5s"),
            (660, "11m"),
            (36_000, "10h"),
            (864_000, "10d"),
        ] {
            let clock = clock.later(std::time::Duration::from_secs(later));
            assert_eq!(since(&stamp, clock), shown, "after {later} s");
        }
        assert_eq!(since("", clock), "<unknown>");
    }

    #[tokio::test(start_paused = true)]
    async fn a_custom_kind_has_the_columns_of_its_definition() {
        let version = json!({"additionalPrinterColumns": [
            {"name": "Status", "type": "string", "jsonPath": ".status.phase"},
            {"name": "Suspended", "type": "boolean", "jsonPath": ".spec.suspend", "priority": 1},
        ]});
        let object = json!({"metadata": {"name": "podinfo"}, "status": {"phase": "Progressing"}});
        let table = table(
            &defined(&version),
            Clock::start(),
            &json!({}),
            std::iter::once(&object),
        );
        assert_eq!(
            table["rows"][0]["cells"],
            json!(["podinfo", "Progressing", null])
        );
        assert_eq!(table["columnDefinitions"][2]["priority"], 1);
        assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "podinfo");
    }
}
