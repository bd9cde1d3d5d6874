//! Which Canaries have which target: the oldest has it, the others are told (FC-055).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use slipway_api::Canary;

use super::store::CanaryKey;
use super::watches::lock;

/// A target: namespace, kind, name.
type TargetKey = (String, String, String);

/// A Canary by age: the oldest comes first, of two of one age the one whose name comes first.
type ByAge = (Option<DateTime<Utc>>, CanaryKey);

/// Who has which target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets(Arc<Mutex<Index>>);

#[derive(Debug, Default)]
struct Index {
    claims: HashMap<TargetKey, BTreeSet<ByAge>>,
    by_canary: HashMap<CanaryKey, (TargetKey, ByAge)>,
    counts: HashMap<String, usize>,
}

impl Targets {
    /// Notes a Canary; the others with its target, and those of the target that it had before, which may be the oldest now.
    pub(crate) fn note(&self, canary: &Canary) -> Vec<CanaryKey> {
        let key = canary_key(canary);
        let target = (
            key.namespace.clone(),
            canary.spec.target_ref.kind.clone(),
            canary.spec.target_ref.name.clone(),
        );
        let created = canary
            .metadata
            .creation_timestamp
            .as_ref()
            .and_then(slipway_api::time::from_kubernetes);
        let age = (created, key.clone());
        let mut index = lock(&self.0);
        if index
            .by_canary
            .get(&key)
            .is_some_and(|(known, known_age)| *known == target && *known_age == age)
        {
            return Vec::new();
        }
        let mut woken = index.remove(&key);
        let claims = index.claims.entry(target.clone()).or_default();
        woken.extend(claims.iter().map(|(_, other)| other.clone()));
        claims.insert(age.clone());
        *index.counts.entry(key.namespace.clone()).or_default() += 1;
        index.by_canary.insert(key, (target, age));
        woken
    }

    /// Forgets a Canary; the others with its target.
    pub(crate) fn forget(&self, canary: &CanaryKey) -> Vec<CanaryKey> {
        lock(&self.0).remove(canary)
    }

    /// The Canary that has this one's target instead, if an older one has it.
    pub(crate) fn older(&self, canary: &CanaryKey) -> Option<CanaryKey> {
        let index = lock(&self.0);
        let (target, _) = index.by_canary.get(canary)?;
        let (_, oldest) = index.claims.get(target)?.first()?;
        (oldest != canary).then(|| oldest.clone())
    }

    /// Every Canary with that target, the oldest first.
    pub(crate) fn claimants(&self, namespace: &str, kind: &str, name: &str) -> Vec<CanaryKey> {
        let target = (namespace.to_owned(), kind.to_owned(), name.to_owned());
        let index = lock(&self.0);
        let claims = index.claims.get(&target).into_iter().flatten();
        claims.map(|(_, canary)| canary.clone()).collect()
    }

    /// Every Canary that is known.
    pub(crate) fn all(&self) -> Vec<CanaryKey> {
        lock(&self.0).by_canary.keys().cloned().collect()
    }

    /// The name of a Canary's target.
    pub(crate) fn target_of(&self, canary: &CanaryKey) -> Option<String> {
        lock(&self.0)
            .by_canary
            .get(canary)
            .map(|((_, _, name), _)| name.clone())
    }

    /// How many Canaries a namespace has.
    pub(crate) fn count(&self, namespace: &str) -> usize {
        lock(&self.0).counts.get(namespace).copied().unwrap_or(0)
    }
}

impl Index {
    fn remove(&mut self, canary: &CanaryKey) -> Vec<CanaryKey> {
        let Some((target, age)) = self.by_canary.remove(canary) else {
            return Vec::new();
        };
        if let Some(count) = self.counts.get_mut(&canary.namespace) {
            *count = count.saturating_sub(1);
        }
        let Some(claims) = self.claims.get_mut(&target) else {
            return Vec::new();
        };
        claims.remove(&age);
        let others = claims.iter().map(|(_, other)| other.clone()).collect();
        if claims.is_empty() {
            self.claims.remove(&target);
        }
        others
    }
}

/// Namespace and name of a Canary.
pub(crate) fn canary_key(canary: &Canary) -> CanaryKey {
    CanaryKey {
        namespace: canary.metadata.namespace.clone().unwrap_or_default(),
        name: canary.metadata.name.clone().unwrap_or_default(),
    }
}
