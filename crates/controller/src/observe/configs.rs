//! Which ConfigMaps and Secrets exist, in which version, and the checksums of those that releases track. Their contents are never stored.

use std::collections::{BTreeSet, HashMap, HashSet};

use kube::core::ObjectMeta;
use slipway_core::object::{Key, Kind};
use slipway_workloads::configs::TrackedConfig;

use super::store::CanaryKey;

/// A checksum that was computed from one version of an object.
#[derive(Clone, Debug)]
struct Known {
    version: String,
    /// `None`: the object opted out, or is of a type that is not tracked.
    tracked: Option<TrackedConfig>,
}

/// Versions and checksums of configs.
#[derive(Debug, Default)]
pub(crate) struct ConfigVersions {
    versions: HashMap<Key, String>,
    known: HashMap<Key, Known>,
    listed: HashMap<(Kind, Option<String>), HashSet<Key>>,
    interest: HashMap<Key, BTreeSet<CanaryKey>>,
}

/// What is known of one config.
#[derive(Clone, Debug)]
pub(crate) enum Config {
    /// It does not exist.
    Absent,
    /// Its checksum is that of its newest version; `None` where it is not tracked.
    Known(Option<TrackedConfig>),
    /// It exists, and has to be read.
    Changed,
}

impl ConfigVersions {
    /// What is known of it; from now on its changes wake that Canary.
    pub(crate) fn get(&mut self, key: &Key, canary: &CanaryKey) -> Config {
        self.interest
            .entry(key.clone())
            .or_default()
            .insert(canary.clone());
        let Some(version) = self.versions.get(key) else {
            return Config::Absent;
        };
        match self.known.get(key) {
            Some(known) if known.version == *version => Config::Known(known.tracked.clone()),
            Some(_) | None => Config::Changed,
        }
    }

    /// Keeps what was computed from that version.
    pub(crate) fn learn(&mut self, key: &Key, version: String, tracked: Option<TrackedConfig>) {
        self.versions.insert(key.clone(), version.clone());
        self.known.insert(key.clone(), Known { version, tracked });
    }

    pub(crate) fn list_begins(&mut self, kind: Kind, scope: Option<&str>) {
        self.listed
            .insert((kind, scope.map(str::to_owned)), HashSet::new());
    }

    /// It came or changed; who is to be woken.
    pub(crate) fn put(&mut self, kind: Kind, metadata: &ObjectMeta) -> Vec<CanaryKey> {
        let Some(key) = key_of(kind, metadata) else {
            return Vec::new();
        };
        for ((listed_kind, _), listed) in &mut self.listed {
            if *listed_kind == kind {
                listed.insert(key.clone());
            }
        }
        let version = metadata.resource_version.clone().unwrap_or_default();
        let before = self.versions.insert(key.clone(), version.clone());
        if before == Some(version) {
            Vec::new()
        } else {
            self.interested(&key)
        }
    }

    /// It is gone; who is to be woken.
    pub(crate) fn remove(&mut self, kind: Kind, metadata: &ObjectMeta) -> Vec<CanaryKey> {
        let Some(key) = key_of(kind, metadata) else {
            return Vec::new();
        };
        self.versions.remove(&key);
        self.known.remove(&key);
        self.interested(&key)
    }

    /// A list is complete: what it did not name is gone.
    pub(crate) fn list_ends(&mut self, kind: Kind, scope: Option<&str>) -> Vec<CanaryKey> {
        let listed = self
            .listed
            .remove(&(kind, scope.map(str::to_owned)))
            .unwrap_or_default();
        let in_scope =
            |key: &Key| key.kind() == kind && scope.is_none_or(|scope| scope == key.namespace);
        let lost: Vec<Key> = self
            .versions
            .keys()
            .filter(|key| in_scope(key) && !listed.contains(*key))
            .cloned()
            .collect();
        let mut woken = BTreeSet::new();
        for key in lost {
            self.versions.remove(&key);
            self.known.remove(&key);
            woken.extend(self.interested(&key));
        }
        woken.into_iter().collect()
    }

    /// Forgets a Canary that is gone, and the checksums that only it needed.
    pub(crate) fn forget(&mut self, canary: &CanaryKey) {
        self.interest.values_mut().for_each(|interested| {
            interested.remove(canary);
        });
        self.interest.retain(|_, interested| !interested.is_empty());
        let interest = &self.interest;
        self.known.retain(|key, _| interest.contains_key(key));
    }

    fn interested(&self, key: &Key) -> Vec<CanaryKey> {
        self.interest
            .get(key)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

fn key_of(kind: Kind, metadata: &ObjectMeta) -> Option<Key> {
    Some(kind.named(metadata.namespace.as_deref()?, metadata.name.as_deref()?))
}
