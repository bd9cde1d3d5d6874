//! Load at a rate, open loop: requests have their intended times, and a latency is measured from the intended time, not from when a
//! slow server let the next request out. So a server that stops for a second shows a second of slow requests, not one.
//!
//! **Source**: "coordinated omission", G. Tene, How NOT to Measure Latency; wrk2.

mod histogram;
mod summary;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::suite::expect::Statuses;
use crate::wire::{Answer, Request, SendError, SendErrorKind, Wire};

pub use histogram::Histogram;
pub use summary::{Limits, Percentile, Summary};

/// The highest rate, in requests a second.
pub(crate) const RATE_MAX: f64 = 20_000.0;
/// The longest load.
pub(crate) const DURATION_MAX: Duration = Duration::from_hours(24);
/// The most requests under way at once.
pub(crate) const CONCURRENCY_MAX: usize = 5_000;

/// A load, ready to be put on a server.
#[derive(Clone, Debug)]
pub struct Load {
    /// The request, sent again and again.
    pub request: Request,
    /// Requests a second.
    pub rate: f64,
    /// For how long requests are sent.
    pub duration: Duration,
    /// How many may be under way at once; more wait, and their waiting counts.
    pub concurrency: usize,
    /// Which statuses are successes.
    pub status: Statuses,
}

impl Load {
    /// When request `n` is to be sent, from the start on; nothing behind the end.
    ///
    /// Computed from `n`, not added up: after a million requests it is as exact as after one.
    pub fn intended(&self, n: u64) -> Option<Duration> {
        let nth = f64::from(u32::try_from(n).ok()?);
        let offset = Duration::try_from_secs_f64(nth / self.rate).ok()?;
        (offset < self.duration).then_some(offset)
    }

    /// How many requests are intended: the first that is not, found by halving.
    fn requests(&self) -> u64 {
        let (mut low, mut high) = (0, u64::from(u32::MAX));
        while low < high {
            let middle = low.midpoint(high);
            if self.intended(middle).is_some() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Puts the load on and sums up.
///
/// **Guarantees**: it ends within its duration and one timeout of a request; no more than `concurrency` requests are under way; each
/// intended request is in the summary, also one for which there was no time left (`unsent`). Dropped, it stops at once.
pub async fn run<W: Wire + 'static>(load: &Load, wire: &Arc<W>) -> Summary {
    let start = Instant::now();
    let end = start + load.duration + load.request.timeout;
    let slots = Arc::new(Semaphore::new(load.concurrency));
    let mut running = JoinSet::new();
    let mut summary = Summary::default();
    for n in 0.. {
        let Some(intended) = load.intended(n).map(|offset| start + offset) else {
            break;
        };
        sleep_until(intended).await;
        // Closed never: it is ours.
        let Ok(Ok(slot)) = timeout_at(end, Arc::clone(&slots).acquire_owned()).await else {
            summary.add_unsent(load.requests().saturating_sub(n));
            break;
        };
        let (wire, request) = (Arc::clone(wire), load.request.clone());
        running.spawn(async move {
            let answer = wire.send(request).await;
            drop(slot);
            (answer, intended.elapsed())
        });
        while let Some(Ok(done)) = running.try_join_next() {
            add(&mut summary, load, done);
        }
    }
    while let Some(done) = running.join_next().await {
        // A request that panicked is one that broke.
        let broken = || SendError::new(SendErrorKind::Broken, "the request was given up");
        add(
            &mut summary,
            load,
            done.unwrap_or_else(|_| (Err(broken()), start.elapsed())),
        );
    }
    summary.end(start.elapsed());
    summary
}

fn add(
    summary: &mut Summary,
    load: &Load,
    (answer, latency): (Result<Answer, SendError>, Duration),
) {
    match answer {
        Ok(answer) => summary.add_answer(
            answer.status,
            load.status.contain(answer.status),
            answer.length,
            latency,
        ),
        Err(error) => summary.add_error(error.kind, latency),
    }
}

#[cfg(test)]
mod tests;
