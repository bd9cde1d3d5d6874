//! The seam of time: what it is now, and waiting until it is later.
//!
//! Durations inside the process (deadlines of requests, the lease) run on tokio's clock, which cannot jump.
//! Moments that are stored and compared with stored ones come from here.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

/// The time of day and waiting for it.
pub trait Clock: fmt::Debug + Send + Sync {
    /// What time it is.
    fn now(&self) -> DateTime<Utc>;

    /// Waits until it is that time by this clock; at once, when it is already.
    fn sleep_until(&self, at: DateTime<Utc>) -> BoxFuture<'static, ()>;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// How long [`SystemClock`] sleeps before it looks at the time of day again: a clock that is set forward, or a machine that
/// was suspended, is noticed this late.
const LONGEST_NAP: Duration = Duration::from_mins(1);

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn sleep_until(&self, at: DateTime<Utc>) -> BoxFuture<'static, ()> {
        async move {
            while let Some(rest) = ahead(at, Utc::now()) {
                sleep(rest.min(LONGEST_NAP)).await;
            }
        }
        .boxed()
    }
}

/// A clock that starts at a given time and runs with tokio's: under a paused runtime it is virtual.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: DateTime<Utc>,
    origin: Instant,
}

impl TokioClock {
    /// A clock that shows `start` now.
    pub fn starting_at(start: DateTime<Utc>) -> Self {
        Self {
            start,
            origin: Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> DateTime<Utc> {
        let run = TimeDelta::from_std(self.origin.elapsed()).unwrap_or(TimeDelta::MAX);
        self.start.checked_add_signed(run).unwrap_or(self.start)
    }

    fn sleep_until(&self, at: DateTime<Utc>) -> BoxFuture<'static, ()> {
        let clock = *self;
        async move {
            // tokio's timer counts whole milliseconds: it may wake a moment early.
            while let Some(rest) = ahead(at, clock.now()) {
                sleep(rest).await;
            }
        }
        .boxed()
    }
}

/// How far `at` is ahead of `now`; `None` when it is not.
fn ahead(at: DateTime<Utc>, now: DateTime<Utc>) -> Option<Duration> {
    at.signed_duration_since(now)
        .to_std()
        .ok()
        .filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_of_virtual_time_passes_on_the_clock_of_tokio() {
        let clock = TokioClock::starting_at(noon());
        clock.sleep_until(noon() + TimeDelta::hours(1)).await;
        assert_eq!(clock.now(), noon() + TimeDelta::hours(1));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_past_ends_at_once() {
        let clock = TokioClock::starting_at(noon());
        clock.sleep_until(noon() - TimeDelta::hours(1)).await;
        assert_eq!(clock.now(), noon());
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_does_not_wait_for_the_past() {
        let before = Instant::now();
        SystemClock
            .sleep_until(Utc::now() - TimeDelta::seconds(1))
            .await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}
