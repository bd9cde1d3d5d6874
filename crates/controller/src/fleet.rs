//! Who runs and who waits for a turn, as it is known of every Canary: the limits on releases at once hold between two looks at the same time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use slipway_api::Canary;
use slipway_core::decision::Decision;
use slipway_core::fleet::{Fleet, Id, Limits, Standing, Turn};

use crate::memory::version;
use crate::observe::store::CanaryKey;
use crate::observe::watches::lock;

/// All releases, by what is written of them and what is decided and about to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    fleet: Fleet,
    /// What stands on each Canary, by the newest version that was seen of it: watches and answers of writes overtake each other.
    known: HashMap<Id, (u64, Standing)>,
    /// Those with a decision under way: it counts until it is written.
    deciding: BTreeSet<Id>,
}

impl Ledger {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Book {
            fleet: Fleet::new(limits),
            ..Book::default()
        })))
    }

    /// Notes what stands on a Canary; who is to be woken.
    pub(crate) fn note(&self, key: &CanaryKey, canary: &Canary) -> Vec<CanaryKey> {
        let (mut book, id) = (lock(&self.0), id(key));
        if !book.fleet.limits().exist() {
            return Vec::new();
        }
        let seen = (version(canary), Standing::of(canary));
        let known = book.known.entry(id.clone()).or_insert(seen);
        if known.0 <= seen.0 {
            *known = seen;
        }
        let standing = known.1;
        if book.deciding.contains(&id) {
            return Vec::new();
        }
        keys(book.fleet.note(&id, standing))
    }

    /// Forgets a Canary that is gone; who is to be woken.
    pub(crate) fn forget(&self, key: &CanaryKey) -> Vec<CanaryKey> {
        let (mut book, id) = (lock(&self.0), id(key));
        book.deciding.remove(&id);
        book.known.remove(&id);
        keys(book.fleet.note(&id, Standing::Rests))
    }

    /// Decides with the turn of a Canary, and takes what the decision needs before anybody else decides. What it gives up is given up when it
    /// is written: [`Ledger::wrote`].
    pub(crate) fn decide(
        &self,
        key: &CanaryKey,
        canary: &Canary,
        now: DateTime<Utc>,
        decide: impl FnOnce(Turn) -> Decision,
    ) -> (Decision, Vec<CanaryKey>) {
        let mut book = lock(&self.0);
        if !book.fleet.limits().exist() {
            drop(book);
            return (decide(Turn::Free), Vec::new());
        }
        let id = id(key);
        let slipway = canary.status.as_ref().and_then(|it| it.slipway.as_ref());
        let since = slipway.and_then(|slipway| slipway.pending_since);
        let turn = book.fleet.turn(&id, since.unwrap_or(now));
        let decision = decide(turn);
        let decided = Canary {
            status: Some(decision.status.clone()),
            ..canary.clone()
        };
        let standing = Standing::of(&decided).max(book.fleet.standing(&id));
        book.deciding.insert(id.clone());
        let woken = book.fleet.note(&id, standing);
        (decision, keys(woken))
    }

    /// A decision was carried out, or was not: what stands on the Canary counts again. Who is to be woken.
    pub(crate) fn wrote(
        &self,
        key: &CanaryKey,
        newest: impl FnOnce() -> Arc<Canary>,
    ) -> Vec<CanaryKey> {
        let mut book = lock(&self.0);
        if !book.fleet.limits().exist() {
            return Vec::new();
        }
        book.deciding.remove(&id(key));
        drop(book);
        self.note(key, &newest())
    }
}

fn id(key: &CanaryKey) -> Id {
    (key.namespace.clone(), key.name.clone())
}

fn keys(ids: Vec<Id>) -> Vec<CanaryKey> {
    let key = |(namespace, name)| CanaryKey { namespace, name };
    ids.into_iter().map(key).collect()
}
