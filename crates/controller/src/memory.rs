//! What the controller remembers of each Canary in this life, and may forget at any time: answers, the last good plan, its own last write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use slipway_api::Canary;
use slipway_core::decision::Question;
use slipway_core::observation::{Answer, Answered};
use slipway_core::plan::Plan;

use crate::observe::store::CanaryKey;
use crate::observe::watches::lock;

/// What is remembered of one Canary.
#[derive(Debug, Default)]
struct Remembered {
    /// The plan of the last spec without mistakes: it stays in force while a newer spec has some (P10).
    good_plan: Option<Arc<Plan>>,
    /// The Canary as our last write left it, while the watch has not shown it yet.
    written: Option<Arc<Canary>>,
    answers: Vec<Answered>,
    asked: Vec<Question>,
    /// The number of the last transition that was told.
    told: Option<u64>,
    /// How many looks in a row failed.
    failures: u32,
    /// What stands on an object that cannot be looked at.
    shown: Option<String>,
    /// What the last look panicked with.
    panic: Option<String>,
}

/// What is remembered of every Canary.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<HashMap<CanaryKey, Remembered>>>);

impl Memory {
    fn with<T>(&self, canary: &CanaryKey, work: impl FnOnce(&mut Remembered) -> T) -> T {
        work(lock(&self.0).entry(canary.clone()).or_default())
    }

    /// Forgets a Canary that is gone.
    pub(crate) fn forget(&self, canary: &CanaryKey) {
        lock(&self.0).remove(canary);
    }

    pub(crate) fn remember_plan(&self, canary: &CanaryKey, plan: &Arc<Plan>) {
        self.with(canary, |remembered| {
            remembered.good_plan = Some(Arc::clone(plan));
        });
    }

    pub(crate) fn good_plan(&self, canary: &CanaryKey) -> Option<Arc<Plan>> {
        self.with(canary, |remembered| remembered.good_plan.clone())
    }

    /// Remembers the answer of our own write until the watch has caught up.
    pub(crate) fn remember_written(&self, key: &CanaryKey, canary: Canary) {
        self.with(key, |remembered| {
            remembered.written = Some(Arc::new(canary));
        });
    }

    /// The newer of the Canary that the watch shows and the one that we wrote last.
    pub(crate) fn newest(&self, key: &CanaryKey, watched: &Canary) -> Arc<Canary> {
        self.with(key, |remembered| {
            let same = |written: &Canary| written.metadata.uid == watched.metadata.uid;
            match &remembered.written {
                Some(written) if same(written) && version(written) > version(watched) => {
                    Arc::clone(written)
                }
                Some(_) | None => {
                    remembered.written = None;
                    Arc::new(watched.clone())
                }
            }
        })
    }

    pub(crate) fn answers(&self, canary: &CanaryKey) -> Vec<Answered> {
        self.with(canary, |remembered| remembered.answers.clone())
    }

    /// Notes that this is asked now; `false` when it is under way already.
    pub(crate) fn begin_asking(&self, canary: &CanaryKey, question: &Question) -> bool {
        self.with(canary, |remembered| {
            let is_new = !remembered.asked.contains(question);
            if is_new {
                remembered.asked.push(question.clone());
            }
            is_new
        })
    }

    /// Notes an answer: the only one that is kept about its subject, unless a newer question about it is under way.
    pub(crate) fn answer(&self, canary: &CanaryKey, answered: Answered) {
        self.with(canary, |remembered| {
            remembered.asked.retain(|asked| *asked != answered.question);
            let is_old = remembered
                .asked
                .iter()
                .any(|asked| asked.subject == answered.question.subject);
            if !is_old {
                remembered
                    .answers
                    .retain(|known| known.question.subject != answered.question.subject);
                remembered.answers.push(answered);
            }
        });
    }

    /// Forgets the counters of a release that is over: they are by far the largest of its answers.
    pub(crate) fn forget_counters(&self, canary: &CanaryKey) {
        self.with(canary, |remembered| {
            let are_counters = |known: &Answered| matches!(known.answer, Answer::Counters(_));
            remembered.answers.retain(|known| !are_counters(known));
        });
    }

    /// Counts a look that failed; how many in a row did before.
    pub(crate) fn fail(&self, canary: &CanaryKey) -> u32 {
        self.with(canary, |remembered| {
            let before = remembered.failures;
            remembered.failures = before.saturating_add(1);
            before
        })
    }

    /// A look came to its end; whether the one before panicked.
    pub(crate) fn succeed(&self, canary: &CanaryKey) -> bool {
        self.with(canary, |remembered| {
            (remembered.failures, remembered.shown) = (0, None);
            remembered.panic.take().is_some()
        })
    }

    /// Notes what a look panicked with.
    pub(crate) fn remember_panic(&self, canary: &CanaryKey, text: &str) {
        self.with(canary, |remembered| {
            remembered.panic = Some(text.to_owned());
        });
    }

    /// What the last look panicked with, if it did.
    pub(crate) fn panic(&self, canary: &CanaryKey) -> Option<String> {
        self.with(canary, |remembered| remembered.panic.clone())
    }

    /// Whether this stands already on an object that cannot be looked at: writing it again would wake us to write it again.
    pub(crate) fn is_shown(&self, canary: &CanaryKey, message: &str) -> bool {
        self.with(canary, |remembered| {
            remembered.shown.as_deref() == Some(message)
        })
    }

    /// Notes what stands on an object that cannot be looked at.
    pub(crate) fn remember_shown(&self, canary: &CanaryKey, message: &str) {
        self.with(canary, |remembered| {
            remembered.shown = Some(message.to_owned());
        });
    }

    /// Whether this transition has not been told in this life; from now on it has.
    pub(crate) fn tell(&self, canary: &CanaryKey, number: u64) -> bool {
        self.with(canary, |remembered| {
            remembered.told.replace(number) != Some(number)
        })
    }

    /// Whether anything was ever told about this Canary in this life.
    pub(crate) fn has_told(&self, canary: &CanaryKey) -> bool {
        self.with(canary, |remembered| remembered.told.is_some())
    }
}

pub(crate) fn version(canary: &Canary) -> u64 {
    let version = canary.metadata.resource_version.as_deref();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}
