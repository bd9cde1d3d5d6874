//! What is to be done when: each task once, at its earliest time.

use super::Task;
use std::collections::{BTreeMap, HashMap};
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Queue {
    due: BTreeMap<(Instant, u64), Task>,
    known: HashMap<Task, (Instant, u64)>,
    count: u64,
}

impl Queue {
    pub(super) fn put(&mut self, task: Task, at: Instant) {
        if let Some(known) = self.known.get(&task) {
            if known.0 <= at {
                return;
            }
            self.due.remove(known);
        }
        self.count += 1;
        let place = (at, self.count);
        self.known.insert(task.clone(), place);
        self.due.insert(place, task);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn take(&mut self, now: Instant) -> Option<Task> {
        let first = self.due.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let task = first.remove();
        self.known.remove(&task);
        Some(task)
    }
}
