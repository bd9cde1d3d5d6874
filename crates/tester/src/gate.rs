//! Gates that people open and close, and that the `confirm-*` and `rollback` hooks check.
//!
//! In memory only, as Flagger's: a restart closes every gate, and replicas do not share them.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The two gates of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// One for all `confirm-*` hooks.
    Confirm,
    /// The one of `rollback` hooks.
    Rollback,
}

/// A canary: namespace and name.
type Canary = (String, String);

/// The gates that are open. Whatever nobody opened is closed.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    open: Mutex<BTreeSet<(Kind, Canary)>>,
}

/// The most gates that are open at once: whoever can open gates cannot fill the memory with them.
const OPEN_MAX: usize = 100_000;

/// There are too many open gates.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {OPEN_MAX} open gates, which is the most: close some")]
pub(crate) struct TooMany;

impl Gates {
    pub(crate) fn open(&self, kind: Kind, canary: Canary) -> Result<(), TooMany> {
        let mut open = self.lock();
        if open.len() >= OPEN_MAX {
            return Err(TooMany);
        }
        open.insert((kind, canary));
        Ok(())
    }

    pub(crate) fn close(&self, kind: Kind, canary: Canary) {
        self.lock().remove(&(kind, canary));
    }

    pub(crate) fn is_open(&self, kind: Kind, canary: Canary) -> bool {
        self.lock().contains(&(kind, canary))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Kind, Canary)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
