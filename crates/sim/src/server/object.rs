//! One state of one object, and the record of a write.

use super::apply::{self, Manager};
use super::kinds::{Kind, KindId};
use super::request::Verb;
use crate::json::{object, set, text};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// Namespace and name; the namespace is empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// One state of one object; it reads as its JSON.
#[derive(Debug)]
pub struct Object {
    value: Value,
    version: u64,
    managers: Vec<Manager>,
    text: OnceLock<Bytes>,
}

impl Deref for Object {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl Object {
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        text(&self.value, &["metadata", "name"])
    }

    /// `metadata.namespace`, empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        text(&self.value, &["metadata", "namespace"])
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        text(&self.value, &["metadata", "uid"])
    }

    /// `metadata.resourceVersion` as a number.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether it is only waiting for its finalizers.
    pub fn is_going(&self) -> bool {
        !text(&self.value, &["metadata", "deletionTimestamp"]).is_empty()
    }

    /// An object of this content at a version of the store; 0 is that of an object that was never stored, and is not shown.
    pub(super) fn of(content: Content, version: u64) -> Self {
        let Content {
            mut value,
            managers,
        } = content;
        let metadata = object(object(&mut value).entry("metadata").or_insert(Value::Null));
        if version == 0 {
            metadata.remove("resourceVersion");
        } else {
            metadata.insert("resourceVersion".to_owned(), version.to_string().into());
        }
        if managers.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), apply::encode(&managers));
        }
        Self {
            value,
            version,
            managers,
            text: OnceLock::new(),
        }
    }

    /// The same at another version.
    pub(super) fn renumbered(&self, version: u64) -> Self {
        let mut value = self.value.clone();
        set(
            &mut value,
            &["metadata", "resourceVersion"],
            version.to_string(),
        );
        Self {
            value,
            version,
            managers: self.managers.clone(),
            text: OnceLock::new(),
        }
    }

    pub(crate) fn managers(&self) -> &[Manager] {
        &self.managers
    }

    /// Its JSON text, made once.
    pub(crate) fn text(&self) -> Bytes {
        self.text
            .get_or_init(|| serde_json::to_vec(&self.value).unwrap_or_default().into())
            .clone()
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }
}

/// One write that the API server has made, for an oracle.
#[derive(Clone, Debug)]
pub struct Write {
    /// Virtual time of day.
    pub at: DateTime<Utc>,
    /// Who wrote: the identity of a client, or the name of a controller of the world.
    pub by: Arc<str>,
    /// What the writer asked for; a finalizer that was the last one shows as `Delete` of its remover.
    pub verb: Verb,
    /// `status` or `scale`, empty for the object itself.
    pub subresource: String,
    /// The object before, `None` when it was created.
    pub before: Option<Arc<Object>>,
    /// The object after, `None` when it is gone.
    pub after: Option<Arc<Object>>,
    pub(crate) kind: Arc<Kind>,
    pub(crate) id: KindId,
    pub(crate) key: Key,
}

impl Write {
    /// The kind, `Deployment` for example.
    pub fn kind(&self) -> &str {
        &self.kind.name
    }

    /// The API group, empty for the core one.
    pub fn group(&self) -> &str {
        &self.kind.group
    }

    /// Empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// The object after the write, or what it was when it went.
    pub fn object(&self) -> Option<&Arc<Object>> {
        self.after.as_ref().or(self.before.as_ref())
    }
}

/// Who writes and why, for the record of a write.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) by: Arc<str>,
    pub(crate) verb: Verb,
    pub(crate) subresource: String,
    pub(crate) at: DateTime<Utc>,
}

/// What a write puts in an object's place.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) value: Value,
    pub(crate) managers: Vec<Manager>,
}
