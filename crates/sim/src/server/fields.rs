//! Sets of fields: who owns what, in the form of `managedFields[].fieldsV1`.
//!
//! **Source**: the `FieldsV1` format of Kubernetes: `f:` a field, `k:` a list item by its keys, `v:` an item of a set, `.` the node itself.

use super::shape::{KeyField, ListShape, Shape};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;

/// One step of a path into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Field(String),
    /// The keys of a list item as JSON, sorted by name.
    Key(String),
    /// A member of a set as JSON.
    Member(String),
}

/// A set of paths: this node is in it or not, and so for what lies below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    owned: bool,
    below: BTreeMap<Step, Self>,
}

impl Fields {
    pub(crate) fn one() -> Self {
        Self {
            owned: true,
            below: BTreeMap::new(),
        }
    }

    /// No path is in it.
    pub(crate) fn is_empty(&self) -> bool {
        !self.owned && self.below.values().all(Self::is_empty)
    }

    pub(crate) fn at(&self, step: &Step) -> Option<&Self> {
        self.below.get(step)
    }

    pub(crate) fn put(&mut self, step: Step, fields: Self) {
        if !fields.owned && fields.below.is_empty() {
            return;
        }
        match self.below.entry(step) {
            Entry::Vacant(place) => {
                place.insert(fields);
            }
            Entry::Occupied(mut known) => known.get_mut().add(&fields),
        }
    }

    pub(crate) fn own_this(&mut self) {
        self.owned = true;
    }

    /// Union.
    pub(crate) fn add(&mut self, other: &Self) {
        self.owned |= other.owned;
        for (step, theirs) in &other.below {
            match self.below.get_mut(step) {
                Some(ours) => ours.add(theirs),
                None => {
                    self.below.insert(step.clone(), theirs.clone());
                }
            }
        }
    }

    /// Difference.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.owned &= !other.owned;
        self.below.retain(|step, ours| {
            if let Some(theirs) = other.below.get(step) {
                ours.subtract(theirs);
            }
            !ours.is_empty()
        });
    }

    /// What is in both.
    pub(crate) fn common(&self, other: &Self) -> Self {
        Self {
            owned: self.owned && other.owned,
            below: self
                .below
                .iter()
                .filter_map(|(step, ours)| {
                    let common = ours.common(other.below.get(step)?);
                    (!common.is_empty()).then(|| (step.clone(), common))
                })
                .collect(),
        }
    }

    /// Takes out the node at a path and everything below it.
    pub(crate) fn drop_at(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else {
            self.owned = false;
            self.below.clear();
            return;
        };
        let step = Step::Field((*first).to_owned());
        if let Some(inner) = self.below.get_mut(&step) {
            inner.drop_at(rest);
            if inner.is_empty() {
                self.below.remove(&step);
            }
        }
    }

    /// Takes the node at a path out, but nothing below it.
    pub(crate) fn disown(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else {
            self.owned = false;
            return;
        };
        let step = Step::Field((*first).to_owned());
        if let Some(inner) = self.below.get_mut(&step) {
            inner.disown(rest);
            if inner.is_empty() {
                self.below.remove(&step);
            }
        }
    }

    /// Whether `self`, with every named field above an owned one taken as owned too, holds this node.
    ///
    /// An applier that owned only `resources.limits.cpu` takes `resources` along when it stops sending it.
    pub(crate) fn holds_named(&self, last: Option<&Step>) -> bool {
        self.owned || (matches!(last, Some(Step::Field(_))) && !self.is_empty())
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = (&Step, &Self)> {
        self.below.iter()
    }

    /// The paths in it, as messages spell them: `.spec.template.spec.containers[name="app"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.spell(&mut String::new(), &mut found);
        found
    }

    fn spell(&self, prefix: &mut String, found: &mut Vec<String>) {
        if self.owned && !prefix.is_empty() {
            found.push(prefix.clone());
        }
        for (step, below) in &self.below {
            let length = prefix.len();
            spell_step(step, prefix);
            below.spell(prefix, found);
            prefix.truncate(length);
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.owned && !self.below.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, below) in &self.below {
            let name = match step {
                Step::Field(name) => format!("f:{name}"),
                Step::Key(keys) => format!("k:{keys}"),
                Step::Member(value) => format!("v:{value}"),
            };
            map.insert(name, below.to_json());
        }
        Value::Object(map)
    }

    pub(crate) fn of_json(json: &Value) -> Self {
        let Some(map) = json.as_object() else {
            return Self::default();
        };
        let below: BTreeMap<Step, Self> = map
            .iter()
            .filter_map(|(name, inner)| {
                let (class, rest) = name.split_once(':')?;
                let step = match class {
                    "f" => Step::Field(rest.to_owned()),
                    "k" => Step::Key(canonical(rest)),
                    "v" => Step::Member(rest.to_owned()),
                    _ => return None,
                };
                Some((step, Self::of_json(inner)))
            })
            .collect();
        Self {
            owned: below.is_empty() || map.contains_key("."),
            below,
        }
    }
}

fn spell_step(step: &Step, out: &mut String) {
    let written = match step {
        Step::Field(name) => write!(out, ".{name}"),
        Step::Member(value) => write!(out, "[={value}]"),
        Step::Key(keys) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            write!(out, "[{}]", keys.join(","))
        }
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

/// Keys with sorted names, however a client ordered them.
fn canonical(keys: &str) -> String {
    let sorted: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap_or_default();
    serde_json::to_string(&sorted).unwrap_or_default()
}

/// The step that leads to one item of a list, `None` in an atomic one.
pub(crate) fn step_of(list: &ListShape, item: &Value) -> Option<Step> {
    match list {
        ListShape::Atomic => None,
        ListShape::Set => Some(Step::Member(item.to_string())),
        ListShape::Keyed(keys) => Some(Step::Key(key_text(keys, item))),
    }
}

fn key_text(keys: &[KeyField], item: &Value) -> String {
    let found: BTreeMap<&str, &Value> = keys
        .iter()
        .filter_map(|key| {
            let value = item.get(&key.name).or(key.default.as_ref())?;
            Some((key.name.as_str(), value))
        })
        .collect();
    serde_json::to_string(&found).unwrap_or_default()
}

/// The fields that an applied configuration names.
pub(crate) fn of_value(shape: &Shape, value: &Value) -> Fields {
    match value {
        Value::Object(map) if !shape.atomic && !map.is_empty() => {
            let mut fields = Fields::default();
            for (name, inner) in map {
                fields.put(
                    Step::Field(name.clone()),
                    of_value(shape.field(name), inner),
                );
            }
            fields
        }
        Value::Array(items) if shape.list != ListShape::Atomic => {
            let mut fields = Fields::default();
            for item in items {
                if let Some(step) = step_of(&shape.list, item) {
                    let mut below = of_value(shape.item(), item);
                    below.own_this();
                    fields.put(step, below);
                }
            }
            fields
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => Fields::one(),
    }
}

/// What differs between two forms of an object.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Added or changed.
    pub(crate) changed: Fields,
    pub(crate) removed: Fields,
}

pub(crate) fn difference(shape: &Shape, old: Option<&Value>, new: Option<&Value>) -> Difference {
    let mut found = Difference::default();
    if old == new {
        return found;
    }
    if let (Some(Value::Object(olds)), Some(Value::Object(news))) = (old, new)
        && !shape.atomic
        && !(olds.is_empty() || news.is_empty())
    {
        // The common case, and the one where most children are equal: no step is made for those.
        for (name, value) in olds {
            found.absorb_field(name, shape, Some(value), news.get(name));
        }
        for (name, value) in news.iter().filter(|(name, _)| !olds.contains_key(*name)) {
            found.absorb_field(name, shape, None, Some(value));
        }
        return found;
    }
    match (branches(shape, old), branches(shape, new)) {
        (Some(olds), Some(news)) => {
            for (step, inner, value) in &olds {
                let other = news.iter().find(|(it, _, _)| it == step).map(|it| it.2);
                found.absorb(step, difference(inner, Some(value), other));
            }
            for (step, inner, value) in &news {
                if !olds.iter().any(|(it, _, _)| it == step) {
                    found.absorb(step, difference(inner, None, Some(value)));
                }
            }
        }
        // A branch on one side only: all its leaves came or went.
        (Some(olds), None) => {
            for (step, inner, value) in &olds {
                found.absorb(step, difference(inner, Some(value), None));
            }
            found.end(new.is_some());
        }
        (None, Some(news)) => {
            for (step, inner, value) in &news {
                found.absorb(step, difference(inner, None, Some(value)));
            }
        }
        (None, None) => found.end(new.is_some()),
    }
    if old.is_none() {
        found.changed.own_this();
    } else if new.is_none() {
        found.removed.own_this();
    }
    found
}

impl Difference {
    fn absorb_field(
        &mut self,
        name: &str,
        shape: &Shape,
        old: Option<&Value>,
        new: Option<&Value>,
    ) {
        if old != new {
            let below = difference(shape.field(name), old, new);
            self.absorb(&Step::Field(name.to_owned()), below);
        }
    }

    fn absorb(&mut self, step: &Step, below: Self) {
        self.changed.put(step.clone(), below.changed);
        self.removed.put(step.clone(), below.removed);
    }

    fn end(&mut self, is_there: bool) {
        if is_there {
            self.changed.own_this();
        } else {
            self.removed.own_this();
        }
    }
}

/// The children of a node that merges, `None` for one that is a single value.
fn branches<'a>(
    shape: &'a Shape,
    value: Option<&'a Value>,
) -> Option<Vec<(Step, &'a Shape, &'a Value)>> {
    match value? {
        Value::Object(map) if !shape.atomic && !map.is_empty() => Some(
            map.iter()
                .map(|(name, inner)| (Step::Field(name.clone()), shape.field(name), inner))
                .collect(),
        ),
        Value::Array(items) if shape.list != ListShape::Atomic && !items.is_empty() => Some(
            items
                .iter()
                .filter_map(|item| Some((step_of(&shape.list, item)?, shape.item(), item)))
                .collect(),
        ),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}
