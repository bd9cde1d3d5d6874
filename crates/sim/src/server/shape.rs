//! What the API server knows about the inside of a kind: which lists merge by key, what is one value, what is dropped.
//!
//! Shape: without a word about a field, maps merge field by field and lists are one value, as in a CRD without list types.

use crate::json::{dig, text};
use serde_json::Value;
use std::collections::BTreeMap;

/// How one node of an object behaves; its fields and items have shapes of their own.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    fields: BTreeMap<String, Self>,
    other: Option<Box<Self>>,
    items: Option<Box<Self>>,
    pub(crate) list: ListShape,
    /// The whole map is one value for ownership (selectors, for example).
    pub(crate) atomic: bool,
    closed: bool,
    default: Option<Value>,
}

/// How the items of a list are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListShape {
    /// The list is one value.
    Atomic,
    /// Equal items are the same item.
    Set,
    /// Items with equal keys are the same item.
    Keyed(Vec<KeyField>),
}

/// One key of a list, and what it is when an item does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyField {
    pub(crate) name: String,
    pub(crate) default: Option<Value>,
}

static ANY: Shape = Shape::any();

impl Shape {
    /// Keeps everything, merges maps, replaces lists.
    pub(crate) const fn any() -> Self {
        Self {
            fields: BTreeMap::new(),
            other: None,
            items: None,
            list: ListShape::Atomic,
            atomic: false,
            closed: false,
            default: None,
        }
    }

    pub(crate) fn one_value() -> Self {
        Self {
            atomic: true,
            ..Self::any()
        }
    }

    pub(crate) fn set() -> Self {
        Self {
            list: ListShape::Set,
            ..Self::any()
        }
    }

    /// A list whose items are told apart by `keys`; `name=value` gives a key its default.
    pub(crate) fn keyed(keys: &[&str], item: Self) -> Self {
        let keys = keys
            .iter()
            .map(|key| match key.split_once('=') {
                Some((name, default)) => KeyField {
                    name: name.to_owned(),
                    default: Some(default.into()),
                },
                None => KeyField {
                    name: (*key).to_owned(),
                    default: None,
                },
            })
            .collect();
        Self {
            list: ListShape::Keyed(keys),
            items: Some(Box::new(item)),
            ..Self::any()
        }
    }

    /// Gives the field at a dotted path its shape.
    pub(crate) fn with(mut self, path: &str, shape: Self) -> Self {
        self.place(path.split('.'), shape);
        self
    }

    fn place<'a>(&mut self, mut path: impl Iterator<Item = &'a str>, shape: Self) {
        match path.next() {
            None => *self = shape,
            Some(step) => self
                .fields
                .entry(step.to_owned())
                .or_insert_with(Self::any)
                .place(path, shape),
        }
    }

    pub(crate) fn field(&self, name: &str) -> &Self {
        self.fields
            .get(name)
            .or(self.other.as_deref())
            .unwrap_or(&ANY)
    }

    pub(crate) fn item(&self) -> &Self {
        self.items.as_deref().unwrap_or(&ANY)
    }

    /// Reads a structural schema of a `CustomResourceDefinition`.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        let mut shape = Self {
            list: list_of_schema(schema),
            atomic: text(schema, &["x-kubernetes-map-type"]) == "atomic",
            default: Some(dig(schema, &["default"]).clone()).filter(|value| !value.is_null()),
            ..Self::any()
        };
        for (name, inner) in dig(schema, &["properties"])
            .as_object()
            .into_iter()
            .flatten()
        {
            shape.fields.insert(name.clone(), Self::of_schema(inner));
        }
        let other = dig(schema, &["additionalProperties"]);
        if other.is_object() {
            shape.other = Some(Box::new(Self::of_schema(other)));
        }
        let items = dig(schema, &["items"]);
        if items.is_object() {
            shape.items = Some(Box::new(Self::of_schema(items)));
        }
        shape.closed = text(schema, &["type"]) == "object"
            && shape.other.is_none()
            && dig(schema, &["x-kubernetes-preserve-unknown-fields"]) != &Value::Bool(true);
        shape
    }

    /// Drops the fields that the schema of a custom resource does not name, as the real server does before it stores.
    pub(crate) fn prune(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                if self.closed {
                    map.retain(|name, _| self.fields.contains_key(name));
                }
                for (name, inner) in map {
                    self.field(name).prune(inner);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.item().prune(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Fills in the defaults of a custom resource's schema.
    pub(crate) fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (name, shape) in &self.fields {
                    if let (None, Some(default)) = (map.get(name), &shape.default) {
                        map.insert(name.clone(), default.clone());
                    }
                }
                for (name, inner) in map {
                    self.field(name).fill(inner);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.item().fill(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn list_of_schema(schema: &Value) -> ListShape {
    match text(schema, &["x-kubernetes-list-type"]) {
        "set" => ListShape::Set,
        "map" => ListShape::Keyed(
            crate::json::list(schema, &["x-kubernetes-list-map-keys"])
                .iter()
                .filter_map(Value::as_str)
                .map(|name| KeyField {
                    name: name.to_owned(),
                    default: Some(dig(schema, &["items", "properties", name, "default"]).clone())
                        .filter(|value| !value.is_null()),
                })
                .collect(),
        ),
        _ => ListShape::Atomic,
    }
}

/// What every object shares: labels merge, owners are told apart by uid, finalizers are a set.
pub(crate) fn object() -> Shape {
    Shape::any().with("metadata.finalizers", Shape::set()).with(
        "metadata.ownerReferences",
        Shape::keyed(&["uid"], Shape::one_value()),
    )
}

/// An object with conditions of different types in its status.
pub(crate) fn with_conditions() -> Shape {
    object().with("status.conditions", Shape::keyed(&["type"], Shape::any()))
}

/// A workload around a pod template.
pub(crate) fn workload() -> Shape {
    with_conditions()
        .with("spec.selector", Shape::one_value())
        .with("spec.template.metadata", object().field("metadata").clone())
        .with("spec.template.spec", pod_spec())
}

/// A pod's spec, here or in a template.
///
/// **Source**: the list and map types in the `OpenAPI` document of Kubernetes 1.33.
pub(crate) fn pod_spec() -> Shape {
    let container = || {
        Shape::any()
            .with("env", Shape::keyed(&["name"], env_entry()))
            .with(
                "ports",
                Shape::keyed(&["containerPort", "protocol=TCP"], Shape::any()),
            )
            .with("volumeMounts", Shape::keyed(&["mountPath"], Shape::any()))
            .with("volumeDevices", Shape::keyed(&["devicePath"], Shape::any()))
            .with("resources.claims", Shape::keyed(&["name"], Shape::any()))
    };
    Shape::any()
        .with("containers", Shape::keyed(&["name"], container()))
        .with("initContainers", Shape::keyed(&["name"], container()))
        .with("ephemeralContainers", Shape::keyed(&["name"], container()))
        .with("volumes", Shape::keyed(&["name"], Shape::any()))
        .with("imagePullSecrets", Shape::keyed(&["name"], Shape::any()))
        .with("hostAliases", Shape::keyed(&["ip"], Shape::any()))
        .with(
            "topologySpreadConstraints",
            Shape::keyed(&["topologyKey", "whenUnsatisfiable"], Shape::any()),
        )
        .with("nodeSelector", Shape::one_value())
}

fn env_entry() -> Shape {
    Shape::any()
        .with("valueFrom.configMapKeyRef", Shape::one_value())
        .with("valueFrom.secretKeyRef", Shape::one_value())
        .with("valueFrom.fieldRef", Shape::one_value())
        .with("valueFrom.resourceFieldRef", Shape::one_value())
}
