//! Objects of the cluster as codecs see them: keys, what was found, and what is to be written.
//!
//! Objects of others are [`serde_json::Value`]: fields newer than our types must survive.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// What names one object.
///
/// **Shape**: `api_version` is `group/version`, or `v1` for the core group; `plural` is the resource name of the API
/// (`virtualservices`); `namespace` is never empty for the kinds that we use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `group/version`, or `v1`.
    pub api_version: &'static str,
    /// The kind, `VirtualService`.
    pub kind: &'static str,
    /// The resource name in URLs, `virtualservices`.
    pub plural: &'static str,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The kind of an object, without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// `group/version`, or `v1`.
    pub api_version: &'static str,
    /// The kind, `VirtualService`.
    pub kind: &'static str,
    /// The resource name in URLs, `virtualservices`.
    pub plural: &'static str,
}

impl Kind {
    /// The key of the object of this kind with that name.
    pub fn named(self, namespace: &str, name: &str) -> Key {
        let Self {
            api_version,
            kind,
            plural,
        } = self;
        Key {
            api_version,
            kind,
            plural,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl Key {
    /// The kind of the object.
    pub const fn kind(&self) -> Kind {
        Kind {
            api_version: self.api_version,
            kind: self.kind,
            plural: self.plural,
        }
    }
}

/// The kinds that every release deals with.
pub mod kinds {
    use super::Kind;

    /// `Deployment`.
    pub const DEPLOYMENT: Kind = Kind {
        api_version: "apps/v1",
        kind: "Deployment",
        plural: "deployments",
    };
    /// `DaemonSet`.
    pub const DAEMON_SET: Kind = Kind {
        api_version: "apps/v1",
        kind: "DaemonSet",
        plural: "daemonsets",
    };
    /// `Service`.
    pub const SERVICE: Kind = Kind {
        api_version: "v1",
        kind: "Service",
        plural: "services",
    };
    /// `Pod`.
    pub const POD: Kind = Kind {
        api_version: "v1",
        kind: "Pod",
        plural: "pods",
    };
    /// `ConfigMap`.
    pub const CONFIG_MAP: Kind = Kind {
        api_version: "v1",
        kind: "ConfigMap",
        plural: "configmaps",
    };
    /// `Secret`.
    pub const SECRET: Kind = Kind {
        api_version: "v1",
        kind: "Secret",
        plural: "secrets",
    };
    /// `HorizontalPodAutoscaler`.
    pub const HPA: Kind = Kind {
        api_version: "autoscaling/v2",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
    };
    /// `ScaledObject` of KEDA.
    pub const SCALED_OBJECT: Kind = Kind {
        api_version: "keda.sh/v1alpha1",
        kind: "ScaledObject",
        plural: "scaledobjects",
    };
    /// `ControllerRevision`: the record of what was promoted last.
    pub const CONTROLLER_REVISION: Kind = Kind {
        api_version: "apps/v1",
        kind: "ControllerRevision",
        plural: "controllerrevisions",
    };
}

/// The objects that were found, by key. A key that is absent was looked for and does not exist, or was not looked for:
/// codecs say first what they [need](crate::object::Key).
pub type Objects = BTreeMap<Key, Arc<Value>>;

/// One write. Doing it twice is doing it once.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Server-side apply of the fields that we own, all of them: a field that is absent is given up and removed.
    /// `replicas` of a workload is never among them.
    Apply {
        /// The object.
        key: Key,
        /// `apiVersion`, `kind`, `metadata` and the owned fields.
        object: Value,
    },
    /// Creates the object if there is none, and never touches one that is there.
    Create {
        /// The object.
        key: Key,
        /// The whole object.
        object: Value,
    },
    /// JSON merge patch of a few fields of an object that is not ours (an annotation of a scaler).
    Merge {
        /// The object.
        key: Key,
        /// The patch.
        patch: Value,
    },
    /// Replaces the object as a whole: the way back to what the user had. Guarded by the resourceVersion in it.
    Replace {
        /// The object.
        key: Key,
        /// The whole object with its `metadata.resourceVersion`.
        object: Value,
    },
    /// Deletes the object; absent is fine.
    Delete {
        /// The object.
        key: Key,
    },
}

impl Write {
    /// The object that is written.
    pub const fn key(&self) -> &Key {
        match self {
            Self::Apply { key, .. }
            | Self::Create { key, .. }
            | Self::Merge { key, .. }
            | Self::Replace { key, .. }
            | Self::Delete { key } => key,
        }
    }
}
