//! ConfigMaps and Secrets of the target: which are tracked, what they hold, and the copies that the primary uses.
//!
//! **Source**: Flagger `pkg/canary/config_tracker.go`, dossier 01 §15. **Differs from Flagger** (FC-085): `binaryData` is tracked and
//! copied, and so are Secrets of every type but those that belong to one workload or tool.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use slipway_api::names::{
    CONFIG_TRACKING, CONFIG_TRACKING_DISABLED, TRACKED_CONFIG_MAP, TRACKED_SECRET, primary_name,
};
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Kind, Write, kinds};
use slipway_core::plan::Problem;
use slipway_core::revision::{flagger_config_checksum, revision};

use crate::adopt::MANAGERS;
use crate::json::put;
use crate::metadata::{
    annotation_of, canary_owners, copied, is_controller, is_included, is_ours, metadata, owner,
    owners,
};

/// What a pod can be configured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl ConfigKind {
    /// The kind of the object.
    pub const fn kind(self) -> Kind {
        match self {
            Self::ConfigMap => kinds::CONFIG_MAP,
            Self::Secret => kinds::SECRET,
        }
    }

    /// What the keys of `status.trackedConfigs` begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::ConfigMap => TRACKED_CONFIG_MAP,
            Self::Secret => TRACKED_SECRET,
        }
    }
}

/// A ConfigMap or Secret that the pods of the target use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigReference {
    /// Which of the two.
    pub kind: ConfigKind,
    /// The name, in the namespace of the target.
    pub name: String,
    /// Whether the pods start without it: every place that refers to it says so.
    pub optional: bool,
}

impl ConfigReference {
    /// The object in that namespace.
    pub fn key(&self, namespace: &str) -> Key {
        self.kind.kind().named(namespace, &self.name)
    }
}

/// A ConfigMap or Secret that belongs to the revision of the target, with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedConfig {
    /// Which of the two.
    pub kind: ConfigKind,
    /// The name of the source.
    pub name: String,
    /// Flagger's checksum, over `data` alone; `None` for a Secret of a type that Flagger does not track.
    pub checksum: Option<String>,
    /// Ours: sha256 over type, `data` and `binaryData`.
    pub digest: String,
}

/// The types of Secrets that Flagger tracks.
const FLAGGER_TYPES: [&str; 4] = [
    "Opaque",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
];

/// The types of Secrets that are never copied: a token is bound to its `ServiceAccount` or node, a Helm release to Helm's own bookkeeping.
const UNTRACKED_TYPES: [&str; 3] = [
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
    "helm.sh/release.v1",
];

/// The object behind a reference as part of the revision. `None`: it is shared by both sides instead (its annotation or its type says so).
pub fn track(reference: &ConfigReference, object: &Value) -> Option<TrackedConfig> {
    let opted_out = annotation_of(object, CONFIG_TRACKING)
        .is_some_and(|value| value.starts_with(CONFIG_TRACKING_DISABLED));
    let secret_type = secret_type(reference.kind, object);
    if opted_out || secret_type.is_some_and(|named| UNTRACKED_TYPES.contains(&named)) {
        return None;
    }
    let checksum = secret_type
        .is_none_or(|named| FLAGGER_TYPES.contains(&named))
        .then(|| flagger_config_checksum(object.get("data")));
    let content = json!({
        "type": secret_type,
        "data": filled(object, "data"),
        "binaryData": filled(object, "binaryData"),
    });
    Some(TrackedConfig {
        kind: reference.kind,
        name: reference.name.clone(),
        checksum,
        digest: revision(&content),
    })
}

fn secret_type(kind: ConfigKind, object: &Value) -> Option<&str> {
    match kind {
        ConfigKind::ConfigMap => None,
        ConfigKind::Secret => Some(
            object
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or("Opaque"),
        ),
    }
}

/// A map of the object, unless it is empty: an empty one and an absent one are the same.
fn filled<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object
        .get(field)
        .filter(|value| value.as_object().is_some_and(|map| !map.is_empty()))
}

/// What Flagger would write into `status.trackedConfigs`.
pub fn flagger_checksums(tracked: &[TrackedConfig]) -> BTreeMap<String, String> {
    let known = tracked.iter().filter_map(|config| {
        let checksum = config.checksum.clone()?;
        Some((format!("{}{}", config.kind.prefix(), config.name), checksum))
    });
    known.collect()
}

/// One digest over all tracked configs; empty when there are none. The order does not matter.
pub fn digest(tracked: &[TrackedConfig]) -> String {
    if tracked.is_empty() {
        return String::new();
    }
    let all: Map<String, Value> = tracked
        .iter()
        .map(|config| {
            let name = format!("{}{}", config.kind.prefix(), config.name);
            (name, config.digest.clone().into())
        })
        .collect();
    revision(&all.into())
}

/// The writes that make the primary's copy of a tracked config hold what `source` holds. `live` is the copy as it is.
///
/// **Shape**: one server-side apply. The copy is never immutable, since the next promotion must change it; a copy that somebody made
/// immutable, or whose type (which no write may change) is another, is deleted first: pods that run keep what they have.
///
/// **Guarantees**: the Canaries that share the source keep the copy, whichever of them promotes.
///
/// # Errors
/// An object of that name is there and was not made for any Canary. **Differs from Flagger**, which overwrites what somebody else keeps in it.
pub fn copy(
    blueprint: &Blueprint<'_>,
    tracked: &TrackedConfig,
    source: &Value,
    live: Option<&Value>,
) -> Result<Vec<Write>, Problem> {
    let kind = tracked.kind.kind();
    let name = primary_name(&tracked.name);
    let key = kind.named(&blueprint.plan.canary.namespace, &name);
    if live.is_some_and(is_of_others) {
        let allowed = format!(
            "must be free: the primary's copy of {} has this name, and what is there was not made for a Canary",
            tracked.name
        );
        return Err(Problem::new("metadata.name", name, allowed).of(key.to_string()));
    }
    let replaced = live.is_some_and(|live| cannot_become(tracked.kind, live, source));
    let owners = shared_owners(blueprint, live);
    let labels = copied(source, "labels", |label| {
        is_included(blueprint.settings, label)
    });
    let mut object = json!({
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": metadata(&key, labels, Map::new(), owners),
    });
    for field in ["data", "binaryData"] {
        if let Some(content) = filled(source, field) {
            put(&mut object, &[field], content.clone());
        }
    }
    if let Some(secret_type) = secret_type(tracked.kind, source) {
        put(&mut object, &["type"], secret_type);
    }
    let delete = replaced.then(|| Write::Delete { key: key.clone() });
    let apply = Write::Apply { key, object };
    Ok(delete.into_iter().chain([apply]).collect())
}

/// Whether somebody else keeps something in an object: it belongs to no Canary, and neither we nor Flagger ever wrote it. An object that came
/// without its managedFields does not tell.
fn is_of_others(live: &Value) -> bool {
    let entries = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let mut managers = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("manager")?.as_str());
    let unwritten = entries.is_some() && !managers.any(|manager| MANAGERS.contains(&manager));
    unwritten && canary_owners(live).next().is_none()
}

fn cannot_become(kind: ConfigKind, live: &Value, source: &Value) -> bool {
    let differs = |field: &str| filled(live, field) != filled(source, field);
    let immutable = live.get("immutable").and_then(Value::as_bool) == Some(true);
    let retyped = secret_type(kind, live) != secret_type(kind, source);
    retyped || (immutable && (differs("data") || differs("binaryData")))
}

/// Our Canary and every other one that owns the copy already. All Canaries write under one field manager, so that an owner which is not
/// sent is removed; and one object has one controller, so the first to own it stays it.
fn shared_owners(blueprint: &Blueprint<'_>, live: Option<&Value>) -> Vec<Value> {
    let Some(live) = live else {
        return owner(blueprint);
    };
    let is_us = |owner: &Value| {
        owner.get("name").and_then(Value::as_str) == Some(&blueprint.plan.canary.name)
    };
    let others = canary_owners(live).filter(|owner| !is_us(owner)).cloned();
    let mut all: Vec<Value> = others.collect();
    // What was there before any Canary stays without an owner, and outlives them all.
    if all.is_empty() && !is_ours(blueprint, live) {
        return all;
    }
    let controlled = owners(live).any(|owner| is_controller(owner) && !is_us(owner));
    all.extend(owner(blueprint).into_iter().map(|mut us| {
        put(&mut us, &["controller"], !controlled);
        us
    }));
    // One order, whoever of them writes.
    all.sort_by_key(|owner| owner.get("uid").map(Value::to_string));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(kind: ConfigKind, name: &str) -> ConfigReference {
        ConfigReference {
            kind,
            name: name.into(),
            optional: false,
        }
    }

    fn config(object: &Value) -> TrackedConfig {
        track(&reference(ConfigKind::ConfigMap, "cm"), object).unwrap()
    }

    #[test]
    fn a_config_is_told_by_all_that_it_holds_and_by_nothing_else() {
        let base =
            json!({"metadata": {"name": "cm"}, "data": {"k": "1"}, "binaryData": {"b": "AAE="}});
        for (same, other) in [
            (
                true,
                json!({"data": {"k": "1"}, "binaryData": {"b": "AAE="}, "immutable": true}),
            ),
            (
                false,
                json!({"data": {"k": "2"}, "binaryData": {"b": "AAE="}}),
            ),
            (
                false,
                json!({"data": {"k": "1"}, "binaryData": {"b": "AAI="}}),
            ),
            (false, json!({"data": {"k": "1"}})),
        ] {
            assert_eq!(
                config(&base).digest == config(&other).digest,
                same,
                "{other}"
            );
        }
        // What is empty and what is absent is one.
        assert_eq!(
            config(&json!({"data": {}, "binaryData": {}})).digest,
            config(&json!({})).digest
        );
    }

    #[test]
    fn a_secret_is_tracked_unless_it_is_opted_out_or_belongs_to_one_workload() {
        for (secret_type, flaggers, ours) in [
            (None, true, true),
            (Some("Opaque"), true, true),
            (Some("kubernetes.io/basic-auth"), true, true),
            (Some("kubernetes.io/ssh-auth"), true, true),
            (Some("kubernetes.io/tls"), true, true),
            (Some("kubernetes.io/dockerconfigjson"), false, true),
            (Some("example.com/x"), false, true),
            (Some("kubernetes.io/service-account-token"), false, false),
            (Some("bootstrap.kubernetes.io/token"), false, false),
            (Some("helm.sh/release.v1"), false, false),
        ] {
            let secret = json!({"type": secret_type, "data": {"k": "dg=="}});
            let tracked = track(&reference(ConfigKind::Secret, "s"), &secret);
            assert_eq!(tracked.is_some(), ours, "{secret_type:?}");
            let checksum = tracked.and_then(|tracked| tracked.checksum);
            let expected = flaggers.then_some("55cb228b342ed33e");
            assert_eq!(checksum.as_deref(), expected, "{secret_type:?}");
        }
        for (value, tracked) in [("disabled", false), ("disable", false), ("enabled", true)] {
            let object =
                json!({"metadata": {"annotations": {"flagger.app/config-tracking": value}}});
            let found = track(&reference(ConfigKind::ConfigMap, "cm"), &object);
            assert_eq!(found.is_some(), tracked, "{value}");
        }
    }

    #[test]
    fn the_status_gets_flaggers_checksums_of_what_flagger_tracks() {
        let map = json!({"data": {"k": "1"}});
        let custom = json!({"type": "example.com/x", "data": {"k": "MQ=="}});
        let tracked: Vec<TrackedConfig> = [
            track(&reference(ConfigKind::ConfigMap, "a"), &map),
            track(&reference(ConfigKind::Secret, "a"), &custom),
        ]
        .into_iter()
        .flatten()
        .collect();
        let expected = BTreeMap::from([("configmap/a".to_owned(), "6ff656377339fd3b".to_owned())]);
        assert_eq!(flagger_checksums(&tracked), expected);
    }

    #[test]
    fn one_digest_tells_all_configs_whatever_their_order() {
        let named = |kind: ConfigKind, name: &str| {
            track(&reference(kind, name), &json!({"data": {"k": "1"}})).unwrap()
        };
        let one = named(ConfigKind::ConfigMap, "one");
        let two = named(ConfigKind::Secret, "one");
        assert_eq!(digest(&[]), "");
        assert_eq!(
            digest(&[one.clone(), two.clone()]),
            digest(&[two.clone(), one.clone()])
        );
        let alone = |config: &TrackedConfig| digest(std::slice::from_ref(config));
        assert_ne!(alone(&one), alone(&two));
        assert_ne!(alone(&one), digest(&[one.clone(), two]));
    }
}
