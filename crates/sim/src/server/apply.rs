//! Server-side apply, and who owns what after any write.
//!
//! **Source**: structured-merge-diff as the API server uses it. A manager owns the fields it last applied or changed; another manager's change
//! takes them away; a field that an applier stops sending goes, unless somebody else owns it too.

use super::fields::{self, Fields, Step};
use super::shape::{ListShape, Shape};
use crate::json::{dig, list, object, text};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// One entry of `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    pub(crate) version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: Arc<Fields>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who writes now, and through which door.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) manager: &'a str,
    pub(crate) version: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) time: &'a str,
}

impl Manager {
    fn is(&self, writer: &Writer<'_>, operation: Operation) -> bool {
        self.operation == operation
            && self.name == writer.manager
            && self.subresource == writer.subresource
            && (operation == Operation::Apply || self.version == writer.version)
    }

    fn of(writer: &Writer<'_>, operation: Operation, fields: Fields) -> Self {
        Self {
            name: writer.manager.to_owned(),
            operation,
            version: writer.version.to_owned(),
            subresource: writer.subresource.to_owned(),
            time: writer.time.to_owned(),
            fields: Arc::new(fields),
        }
    }

    /// How a conflict names it.
    fn label(&self) -> String {
        let through = if self.subresource.is_empty() {
            String::new()
        } else {
            format!(" with subresource \"{}\"", self.subresource)
        };
        match self.operation {
            Operation::Apply => format!("\"{}\"{through}", self.name),
            Operation::Update => format!("\"{}\"{through} using {}", self.name, self.version),
        }
    }
}

/// Reads `metadata.managedFields`; entries that are no entries are dropped.
pub(crate) fn decode(entries: &[Value]) -> Vec<Manager> {
    entries
        .iter()
        .filter_map(|entry| {
            let operation = match text(entry, &["operation"]) {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            Some(Manager {
                name: text(entry, &["manager"]).to_owned(),
                operation,
                version: text(entry, &["apiVersion"]).to_owned(),
                subresource: text(entry, &["subresource"]).to_owned(),
                time: text(entry, &["time"]).to_owned(),
                fields: Arc::new(Fields::of_json(dig(entry, &["fieldsV1"]))),
            })
        })
        .collect()
}

pub(crate) fn encode(managers: &[Manager]) -> Value {
    let mut sorted: Vec<&Manager> = managers.iter().collect();
    sorted.sort_by_key(|it| {
        (
            it.operation,
            &it.time,
            &it.name,
            &it.version,
            &it.subresource,
        )
    });
    sorted
        .into_iter()
        .map(|it| {
            let mut entry = json!({
                "manager": it.name, "operation": it.operation.name(), "apiVersion": it.version,
                "time": it.time, "fieldsType": "FieldsV1", "fieldsV1": it.fields.to_json(),
            });
            if it.time.is_empty() {
                object(&mut entry).remove("time");
            }
            if !it.subresource.is_empty() {
                object(&mut entry).insert("subresource".to_owned(), it.subresource.as_str().into());
            }
            entry
        })
        .collect()
}

/// The managers of an object that a request carries, or of the live one where the request says nothing.
pub(crate) fn managers_of_request(live: &[Manager], new: &Value) -> Vec<Manager> {
    let entries = list(new, &["metadata", "managedFields"]);
    if let [Value::Object(only)] = entries
        && only.is_empty()
    {
        return Vec::new();
    }
    let sent = decode(entries);
    if sent.is_empty() { live.to_vec() } else { sent }
}

/// The managers after a create, update or patch that is no apply.
pub(crate) fn after_update(
    shape: &Shape,
    mut managers: Vec<Manager>,
    old: &Value,
    new: &Value,
    writer: &Writer<'_>,
) -> Vec<Manager> {
    let mut change = fields::difference(shape, Some(old), Some(new));
    strip(&mut change.changed);
    strip(&mut change.removed);
    if change.changed.is_empty() && change.removed.is_empty() {
        return managers;
    }
    for manager in &mut managers {
        take_away(manager, &change.changed);
        take_away(manager, &change.removed);
    }
    if !change.changed.is_empty() {
        give(&mut managers, writer, Operation::Update, change.changed);
    }
    managers.retain(|it| !it.fields.is_empty());
    managers
}

fn take_away(manager: &mut Manager, fields: &Fields) {
    if !manager.fields.common(fields).is_empty() {
        Arc::make_mut(&mut manager.fields).subtract(fields);
    }
}

fn give(managers: &mut Vec<Manager>, writer: &Writer<'_>, operation: Operation, fields: Fields) {
    match managers.iter_mut().find(|it| it.is(writer, operation)) {
        None => managers.push(Manager::of(writer, operation, fields)),
        Some(manager) => {
            Arc::make_mut(&mut manager.fields).add(&fields);
            writer.time.clone_into(&mut manager.time);
        }
    }
}

/// What an apply makes of an object.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) value: Value,
    pub(crate) managers: Vec<Manager>,
}

/// Whether an apply may take fields from other managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    No,
    Yes,
}

/// Applies `config` to `live`.
///
/// # Errors
/// The conflicts, each as manager and field, when others own what would change and force is not given.
pub(crate) fn apply(
    shape: &Shape,
    live: &Value,
    mut managers: Vec<Manager>,
    config: &Value,
    writer: &Writer<'_>,
    force: Force,
) -> Result<Applied, Vec<(String, String)>> {
    let config = without_nulls(config);
    let mut owned = fields::of_value(shape, &config);
    strip(&mut owned);
    let mut value = merge(shape, live, &config);

    let mine = managers
        .iter()
        .position(|it| it.is(writer, Operation::Apply));
    let before = mine.map(|at| managers.swap_remove(at));
    if let Some(last) = &before {
        let mut managed = owned.clone();
        for manager in &managers {
            managed.add(&manager.fields);
        }
        prune(shape, &mut value, &last.fields, &managed);
    }

    let mut change = fields::difference(shape, Some(live), Some(&value));
    strip(&mut change.changed);
    strip(&mut change.removed);
    let mut conflicts = Vec::new();
    for manager in &mut managers {
        let theirs = manager.fields.common(&change.changed);
        if theirs.is_empty() {
            continue;
        }
        if force == Force::No {
            let label = manager.label();
            conflicts.extend(theirs.paths().into_iter().map(|path| (label.clone(), path)));
        }
        Arc::make_mut(&mut manager.fields).subtract(&theirs);
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    for manager in &mut managers {
        take_away(manager, &change.removed);
    }
    managers.retain(|it| !it.fields.is_empty());
    let mut entry = Manager::of(writer, Operation::Apply, owned);
    if let Some(before) = before.filter(|it| it.fields == entry.fields && live == &value) {
        // Nothing changed, so the time does not either: an apply of the same is no write.
        entry.time = before.time;
    }
    managers.push(entry);
    Ok(Applied { value, managers })
}

/// Metadata that nobody owns.
fn strip(fields: &mut Fields) {
    const NOBODYS: [&[&str]; 10] = [
        &["apiVersion"],
        &["kind"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ];
    for path in NOBODYS {
        fields.drop_at(path);
    }
    fields.disown(&["metadata"]);
    fields.disown(&[]);
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, inner)| !inner.is_null())
            .map(|(name, inner)| (name.clone(), without_nulls(inner)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// `config` laid over `live`: maps and keyed lists merge, everything else is replaced.
fn merge(shape: &Shape, live: &Value, config: &Value) -> Value {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) if !shape.atomic => {
            let mut merged: Map<String, Value> = live.clone();
            for (name, new) in config {
                let old = live.get(name).unwrap_or(&Value::Null);
                merged.insert(name.clone(), merge(shape.field(name), old, new));
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(config)) if shape.list != ListShape::Atomic => {
            Value::Array(merge_items(shape, live, config))
        }
        (_, config) => config.clone(),
    }
}

/// The applied order rules; items that only the live list has keep their place before the next shared one.
fn merge_items(shape: &Shape, live: &[Value], config: &[Value]) -> Vec<Value> {
    let keyed = |items: &[Value]| -> Vec<Option<Step>> {
        items
            .iter()
            .map(|item| fields::step_of(&shape.list, item))
            .collect()
    };
    let (olds, news) = (keyed(live), keyed(config));
    let mut left = olds.iter().zip(live).peekable();
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    for (at, (step, item)) in news.iter().zip(config).enumerate() {
        let wanted = news.iter().skip(at).find(|it| olds.contains(it));
        while let Some((known, only)) = left.next_if(|(it, _)| Some(*it) != wanted) {
            if !news.contains(known) {
                merged.push(only.clone());
            }
        }
        let old = olds.iter().zip(live).find(|(it, _)| *it == step);
        merged.push(old.map_or_else(|| item.clone(), |(_, old)| merge(shape.item(), old, item)));
        left.next_if(|(it, _)| *it == step);
    }
    merged.extend(
        left.filter(|(it, _)| !news.contains(it))
            .map(|(_, value)| value.clone()),
    );
    merged
}

/// Takes away what `last` owned and nobody in `managed` owns now.
fn prune(shape: &Shape, value: &mut Value, last: &Fields, managed: &Fields) {
    let nothing = Fields::default();
    let goes = |step: &Step, below: &Fields| {
        let others = managed.at(step).unwrap_or(&nothing);
        below.holds_named(Some(step)) && !others.holds_named(Some(step))
    };
    match value {
        Value::Object(map) if !shape.atomic => {
            for (step, below) in last.children() {
                let Step::Field(name) = step else { continue };
                if goes(step, below) {
                    map.remove(name);
                } else if let Some(inner) = map.get_mut(name) {
                    prune(
                        shape.field(name),
                        inner,
                        below,
                        managed.at(step).unwrap_or(&nothing),
                    );
                }
            }
        }
        Value::Array(items) if shape.list != ListShape::Atomic => {
            items.retain_mut(|item| {
                let Some(step) = fields::step_of(&shape.list, item) else {
                    return true;
                };
                let Some(below) = last.at(&step) else {
                    return true;
                };
                if goes(&step, below) {
                    return false;
                }
                prune(
                    shape.item(),
                    item,
                    below,
                    managed.at(&step).unwrap_or(&nothing),
                );
                true
            });
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {}
    }
}
