//! The fault matrix: every scenario, with every fault at every call.
//!
//! A scenario is played once without a fault to count its calls; then it is played again for each call and each fault.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use slipway_sim::Fault;

use crate::fault::{Injected, OddReply};
use crate::play::{Ended, play};
use crate::scenario::{Scaler, Scenario, Story};

/// One run: what is played with which fault and seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// What is played.
    pub scenario: Scenario,
    /// What goes wrong.
    pub fault: Injected,
    /// The seed of the world.
    pub seed: u64,
}

/// What happens to an API call that writes.
const OF_WRITES: [Fault; 5] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::Refuse(409),
    Fault::Refuse(500),
    Fault::LoseAnswer,
];
/// What happens to an API call that reads.
const OF_READS: [Fault; 3] = [Fault::CrashBefore, Fault::Refuse(500), Fault::Unreachable];

/// Every fault of a scenario, from a run of it without one.
pub fn faults(ended: &Ended) -> Vec<Injected> {
    let mut all = vec![
        Injected::Twins,
        Injected::Slow {
            delay: Duration::from_millis(500),
        },
    ];
    for asked in &ended.asked {
        let call = asked.number;
        let kinds: &[Fault] = if asked.write.is_some() {
            &OF_WRITES
        } else {
            &OF_READS
        };
        all.extend(kinds.iter().map(|fault| Injected::Api {
            call,
            fault: *fault,
        }));
        if let Some(write) = asked.write {
            all.extend([1, 3].map(|events| Injected::Stale { call, events }));
            all.push(Injected::Expired { call });
            all.push(Injected::StaleLeader { write });
        }
    }
    for called in &ended.called {
        let fitting = OddReply::ALL
            .into_iter()
            .filter(|reply| called.is_query || !reply.is_reading());
        all.extend(fitting.map(|reply| Injected::Outside {
            call: called.number,
            reply,
        }));
    }
    all
}

/// Plays runs on all processors; those that were not as promised, in the order of the runs.
pub fn play_all(runs: &[Run]) -> Vec<Ended> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((at, run)) = take(&next, runs) {
                    let ended = play(run.scenario, run.fault, run.seed);
                    if !ended.complaints.is_empty() {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push((at, ended));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_by_key(|(at, _)| *at);
    failed.into_iter().map(|(_, ended)| ended).collect()
}

fn take<'a>(next: &AtomicUsize, runs: &'a [Run]) -> Option<(usize, &'a Run)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    runs.get(at).map(|run| (at, run))
}

/// Every run of these scenarios, for one seed.
pub fn runs(scenarios: &[Scenario], seed: u64) -> Vec<Run> {
    let of = |scenario: &Scenario| {
        let ended = play(*scenario, Injected::Nothing, seed);
        let faults = faults(&ended).into_iter();
        let runs = faults.map(|fault| Run {
            scenario: *scenario,
            fault,
            seed,
        });
        runs.collect::<Vec<_>>()
    };
    scenarios.iter().flat_map(of).collect()
}

/// So many of them, drawn by the seed; each at most once.
pub fn sample(runs: &[Run], count: usize, seed: u64) -> Vec<Run> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut drawn = BTreeSet::new();
    let many = u64::try_from(runs.len()).unwrap_or(1).max(1);
    while drawn.len() < count.min(runs.len()) {
        // xorshift64*: even enough for a choice.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let number = state.wrapping_mul(0x2545_F491_4F6C_DD1D) % many;
        drawn.insert(usize::try_from(number).unwrap_or(0));
    }
    let chosen = drawn.into_iter();
    chosen.filter_map(|at| runs.get(at).copied()).collect()
}

/// The scenarios that the default run enumerates: the shortest of each backend.
pub fn short() -> Vec<Scenario> {
    let ways = Scenario::ways().into_iter();
    let stories = [Story::Promotes, Story::Breaches];
    let all = ways.flat_map(|(backend, strategy)| {
        stories.map(|story| Scenario {
            backend,
            strategy,
            story,
            scaler: Scaler::Fixed,
        })
    });
    all.collect()
}
