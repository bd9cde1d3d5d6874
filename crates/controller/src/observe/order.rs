//! The releases that go before another one: how each stands, from what the watches have seen of its Canary, its target and the configs of that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use kube::runtime::reflector::ObjectRef;
use slipway_api::Canary;
use slipway_core::order::{Peer, Standing};
use slipway_core::plan::{Plan, TargetKind, annotations};

use super::View;
use super::store::{CanaryKey, Sync};
use super::watches::lock;
use crate::shell::Shell;

/// Who waits for whom: a change of a Canary wakes those that it goes before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dependents(Arc<Mutex<Index>>);

#[derive(Debug, Default)]
struct Index {
    by_peer: HashMap<CanaryKey, BTreeSet<CanaryKey>>,
    peers_of: HashMap<CanaryKey, BTreeSet<CanaryKey>>,
}

impl Dependents {
    /// From now on a change of one of these wakes that Canary; those that it named before no longer do.
    pub(crate) fn note(&self, canary: &CanaryKey, peers: BTreeSet<CanaryKey>) {
        let mut index = lock(&self.0);
        if index
            .peers_of
            .get(canary)
            .map_or(peers.is_empty(), |known| *known == peers)
        {
            return;
        }
        for peer in index.peers_of.remove(canary).unwrap_or_default() {
            if let Some(dependents) = index.by_peer.get_mut(&peer) {
                dependents.remove(canary);
                if dependents.is_empty() {
                    index.by_peer.remove(&peer);
                }
            }
        }
        for peer in &peers {
            let dependents = index.by_peer.entry(peer.clone()).or_default();
            dependents.insert(canary.clone());
        }
        if !peers.is_empty() {
            index.peers_of.insert(canary.clone(), peers);
        }
    }

    /// Who is woken by a change of that Canary.
    pub(crate) fn of(&self, peer: &CanaryKey) -> Vec<CanaryKey> {
        let index = lock(&self.0);
        let dependents = index.by_peer.get(peer).into_iter().flatten();
        dependents.cloned().collect()
    }
}

impl Shell {
    /// How those stand that go before this release, and before those; `None` while their targets have not been listed.
    pub(super) async fn peers(
        &self,
        key: &CanaryKey,
        plan: &Plan,
    ) -> Option<BTreeMap<String, Peer>> {
        let named = |name: &String| CanaryKey {
            namespace: key.namespace.clone(),
            name: name.clone(),
        };
        let mut seen: BTreeSet<CanaryKey> = BTreeSet::new();
        let mut next: Vec<CanaryKey> = plan.after.iter().map(named).collect();
        let (mut peers, mut are_known) = (BTreeMap::new(), true);
        while let Some(peer) = next.pop() {
            if !seen.insert(peer.clone()) {
                continue;
            }
            let reference = ObjectRef::new(&peer.name).within(&peer.namespace);
            let Some(found) = self.canaries.get(&reference) else {
                continue;
            };
            let found = match &found.0 {
                Ok(watched) => self.peer(key, &self.memory.newest(&peer, watched)).await,
                // What cannot be read may be anything.
                Err(_) => Some(Peer {
                    standing: Standing::Moves,
                    after: Vec::new(),
                }),
            };
            match found {
                Some(found) => {
                    next.extend(found.after.iter().map(named));
                    peers.insert(peer.name, found);
                }
                None => are_known = false,
            }
        }
        // Also one that does not exist yet wakes when it comes.
        self.dependents.note(key, seen);
        are_known.then_some(peers)
    }

    /// How one of them stands; `None` while targets of its kind have not been listed.
    async fn peer(&self, key: &CanaryKey, canary: &Canary) -> Option<Peer> {
        let reference = &canary.spec.target_ref;
        let codec = TargetKind::of(reference).map(slipway_workloads::target);
        let Some(Ok(codec)) = codec else {
            return Some(Peer {
                standing: Standing::Moves,
                after: Vec::new(),
            });
        };
        match self.watches.ensure(codec.kind(), &key.namespace, key) {
            Sync::Coming => return None,
            Sync::Done | Sync::Unavailable(_) => {}
        }
        let target = codec.kind().named(&key.namespace, &reference.name);
        let stored = lock(&self.watches.store).get(&target, key);
        let mut view = View::default();
        let mut tuning = BTreeMap::new();
        if let Some(stored) = stored {
            tuning.clone_from(stored.tuning());
            let object = stored.value();
            let workload = stored.workload().cloned();
            view.observation.target = Some(workload.unwrap_or_else(|| codec.observe(&object)));
            // What is missing there is told by its own Canary.
            self.look_at_configs(key, codec, &object, &mut view, &mut Vec::new())
                .await;
        }
        let status = canary.status.clone().unwrap_or_default();
        Some(Peer {
            standing: Standing::of(&status, &view.observation),
            after: annotations::order_of(canary, &tuning, self.defaults.annotations),
        })
    }
}
