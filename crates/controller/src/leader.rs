//! Who works and who stands by: one Lease, and a claim that ends before anybody else can have it.
//!
//! ```text
//!  t0          renew_deadline                 duration
//!  ├── we may write ──┤── nobody writes ────────┤── others may take the lease
//!  renewed            claim void by itself      (counted from when they saw the renewal, which is later than t0)
//! ```
//!
//! The invariant: [`Leadership::is_leader`] is false before another candidate can become leader, also when our own task hangs, our
//! process was frozen, or our clock is wrong. No token fences writes in Kubernetes; a write that was on its way can at most repeat
//! what the current status says, since every write is guarded by a resourceVersion or computed from the status (A17).
//!
//! **Source**: client-go's `leaderelection` for the timing rules; the Lease is judged by when *we* saw it change, never by its own clock.

mod candidate;
mod flagger;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;

pub use candidate::Candidate;
pub use flagger::{Doubt, Presence, find_flagger, live_flagger};

/// Our own Lease, unless a flag names Flagger's.
pub const LEASE_NAME: &str = "slipway-leader-election";
/// Flagger's Lease: taken instead of ours, a mixed roll-over has one leader.
pub const FLAGGER_LEASE_NAME: &str = "flagger-leader-election";

/// The times of the election.
///
/// **Shape**: `duration > renew_deadline > retry`, with room for a retry between each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    duration: Duration,
    renew_deadline: Duration,
    retry: Duration,
}

/// Why times do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// The lease would be taken over while we still write.
    #[error(
        "lease duration {0:?} must be longer than the renew deadline {1:?}, by at least a second"
    )]
    DurationTooShort(Duration, Duration),
    /// The first failed renewal would end the claim.
    #[error("renew deadline {0:?} must be at least twice the retry period {1:?}")]
    DeadlineTooShort(Duration, Duration),
    /// The API server would be asked without pause.
    #[error("retry period {0:?} must be at least 100ms")]
    RetryTooShort(Duration),
}

/// The shortest pause between two requests.
const RETRY_MIN: Duration = Duration::from_millis(100);

impl Timings {
    /// Times that fit together.
    ///
    /// # Errors
    /// When the lease could be taken over while we still write, or one failed renewal would lose it.
    pub fn try_new(
        duration: Duration,
        renew_deadline: Duration,
        retry: Duration,
    ) -> Result<Self, TimingError> {
        if duration < renew_deadline.saturating_add(Duration::from_secs(1)) {
            return Err(TimingError::DurationTooShort(duration, renew_deadline));
        }
        if renew_deadline < retry.saturating_mul(2) {
            return Err(TimingError::DeadlineTooShort(renew_deadline, retry));
        }
        if retry < RETRY_MIN {
            return Err(TimingError::RetryTooShort(retry));
        }
        Ok(Self {
            duration,
            renew_deadline,
            retry,
        })
    }

    /// How long the lease is ours after a renewal, for others.
    pub const fn duration(self) -> Duration {
        self.duration
    }

    /// How long it is ours after a renewal, for us.
    pub const fn renew_deadline(self) -> Duration {
        self.renew_deadline
    }

    /// The time between two renewals, and between two looks of a standby.
    pub const fn retry(self) -> Duration {
        self.retry
    }
}

impl Default for Timings {
    /// 15 s, 10 s, 2 s: a killed leader is replaced within 18 s.
    ///
    /// **Differs from Flagger**: 60 s, 15 s, 5 s, which leaves releases alone for over a minute.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What a Lease says about who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The holder; never empty.
    pub holder: String,
    /// How long after a renewal it is the holder's.
    pub duration: Duration,
}

impl Holding {
    /// Who has that Lease; `None` when nobody does. A Lease that names no duration is held for `fallback`.
    pub fn of(lease: &Lease, fallback: Duration) -> Option<Self> {
        let spec = lease.spec.as_ref()?;
        let holder = spec
            .holder_identity
            .clone()
            .filter(|holder| !holder.is_empty())?;
        let seconds = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds
            .filter(|seconds| *seconds > 0)
            .map_or(fallback, Duration::from_secs);
        Some(Self { holder, duration })
    }
}

/// What to do about the Lease now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nobody has it, or its holder has let it expire: take it.
    Acquire,
    /// It is ours: renew it.
    Renew,
    /// Somebody has it, until then at least.
    Wait(Instant),
}

/// What `me` does about a Lease that was seen to change last at `seen_at`.
///
/// The holder's clock plays no part: the lease runs from when we saw it change.
pub fn judge(holding: Option<&Holding>, seen_at: Instant, me: &str, now: Instant) -> Judgement {
    let Some(holding) = holding else {
        return Judgement::Acquire;
    };
    if holding.holder == me {
        return Judgement::Renew;
    }
    match seen_at.checked_add(holding.duration) {
        Some(end) if end <= now => Judgement::Acquire,
        Some(end) => Judgement::Wait(end),
        // Beyond what a clock can count: as good as for ever.
        None => Judgement::Wait(now + Duration::from_hours(1)),
    }
}

/// Whether we lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Another candidate leads, or nobody yet.
    Standby {
        /// Who leads, as far as we know.
        holder: Option<String>,
    },
    /// We lead until then, unless we renew.
    Leader(Term),
}

/// When a claim ends by itself.
///
/// By two clocks, and the earlier counts: the monotonic one may stand still while a machine is suspended, the time of day may be set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    end: Instant,
    end_of_day: DateTime<Utc>,
}

impl Term {
    fn starting(now: Instant, time: DateTime<Utc>, length: Duration) -> Self {
        let delta = TimeDelta::from_std(length).unwrap_or_default();
        Self {
            end: now + length,
            end_of_day: time.checked_add_signed(delta).unwrap_or(time),
        }
    }

    /// What is left of it.
    fn left(self, clock: &dyn Clock) -> Duration {
        let by_day = self.end_of_day.signed_duration_since(clock.now());
        self.end
            .saturating_duration_since(Instant::now())
            .min(by_day.to_std().unwrap_or_default())
    }
}

/// Our claim, for whoever must know it: read before every write, awaited by whoever works only as leader.
#[derive(Clone, Debug)]
pub struct Leadership {
    claim: watch::Receiver<Claim>,
    clock: Arc<dyn Clock>,
    /// Without election nobody sends, and the claim has no end.
    always: bool,
}

impl Leadership {
    fn new(claim: watch::Receiver<Claim>, clock: Arc<dyn Clock>) -> Self {
        Self {
            claim,
            clock,
            always: false,
        }
    }

    /// The leadership of a process that has no rival (`-enable-leader-election=false`).
    pub fn always(clock: Arc<dyn Clock>) -> Self {
        let (_, claim) = watch::channel(Claim::Standby { holder: None });
        Self {
            claim,
            clock,
            always: true,
        }
    }

    /// Whether we may write now.
    pub fn is_leader(&self) -> bool {
        !self.time_left().is_zero()
    }

    /// For how long we may write without another renewal; zero for a standby.
    pub fn time_left(&self) -> Duration {
        if self.always {
            return Duration::MAX;
        }
        match &*self.claim.borrow() {
            Claim::Leader(term) => term.left(self.clock.as_ref()),
            Claim::Standby { .. } => Duration::ZERO,
        }
    }

    /// Who leads, when it is not us and we know.
    pub fn other_holder(&self) -> Option<String> {
        match &*self.claim.borrow() {
            Claim::Standby { holder } => holder.clone(),
            Claim::Leader(_) => None,
        }
    }

    /// Waits until we lead; for ever, when that never comes.
    pub async fn acquired(&mut self) {
        while !self.is_leader() {
            if self.claim.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until we do not lead any more; for ever without election.
    ///
    /// Also ends when the claim runs out because its task hangs or is gone.
    pub async fn lost(&mut self) {
        if self.always {
            std::future::pending::<()>().await;
        }
        loop {
            let left = self.time_left();
            if left.is_zero() {
                return;
            }
            tokio::select! {
                changed = self.claim.changed() => if changed.is_err() { return },
                () = sleep_until(Instant::now() + left) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TokioClock;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_taken_only_when_nobody_has_it_or_it_ran_out_before_our_eyes() {
        let seen = Instant::now();
        let held = |holder: &str| {
            Some(Holding {
                holder: holder.to_owned(),
                duration: seconds(15),
            })
        };
        let rows = [
            (None, 0, Judgement::Acquire),
            (held("me"), 0, Judgement::Renew),
            (held("me"), 99, Judgement::Renew),
            (held("other"), 0, Judgement::Wait(seen + seconds(15))),
            (held("other"), 14, Judgement::Wait(seen + seconds(15))),
            (held("other"), 15, Judgement::Acquire),
            (held("other"), 99, Judgement::Acquire),
        ];
        for (holding, later, expected) in rows {
            let judged = judge(holding.as_ref(), seen, "me", seen + seconds(later));
            assert_eq!(judged, expected, "{holding:?} after {later} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_without_end_is_waited_for() {
        let now = Instant::now();
        let holding = Holding {
            holder: "other".to_owned(),
            duration: Duration::MAX,
        };
        assert!(matches!(
            judge(Some(&holding), now, "me", now),
            Judgement::Wait(_)
        ));
    }

    #[test]
    fn a_released_lease_is_nobodys() {
        let text = r#"{"metadata":{},"spec":{"holderIdentity":"","leaseDurationSeconds":1}}"#;
        let lease: Lease = serde_json::from_str(text).unwrap();
        assert_eq!(Holding::of(&lease, seconds(15)), None);
        assert_eq!(Holding::of(&Lease::default(), seconds(15)), None);
    }

    #[test]
    fn a_lease_without_duration_is_held_as_long_as_ours() {
        let text = r#"{"metadata":{},"spec":{"holderIdentity":"a"}}"#;
        let lease: Lease = serde_json::from_str(text).unwrap();
        let held = Holding::of(&lease, seconds(15)).unwrap();
        assert_eq!(held.duration, seconds(15));
    }

    #[test]
    fn times_that_would_let_two_write_are_refused() {
        let rows = [
            (15, 10, 2, true),
            (60, 15, 5, true),
            (10, 10, 2, false),
            (15, 3, 2, false),
        ];
        for (duration, deadline, retry, allowed) in rows {
            let timings = Timings::try_new(seconds(duration), seconds(deadline), seconds(retry));
            assert_eq!(timings.is_ok(), allowed, "{duration} {deadline} {retry}");
        }
        assert!(Timings::try_new(seconds(2), seconds(1), Duration::ZERO).is_err());
        let own = Timings::default();
        assert_eq!(
            Timings::try_new(own.duration, own.renew_deadline, own.retry),
            Ok(own)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_ends_by_itself_when_nobody_renews_it() {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(noon()));
        let term = Term::starting(Instant::now(), noon(), seconds(10));
        let (sender, receiver) = watch::channel(Claim::Leader(term));
        let mut leadership = Leadership::new(receiver, clock);
        assert!(leadership.is_leader());
        let begin = Instant::now();
        leadership.lost().await;
        assert_eq!(begin.elapsed().as_secs(), 10);
        assert!(!leadership.is_leader());
        drop(sender);
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_ends_when_the_time_of_day_has_passed_it_though_the_monotonic_clock_stood_still()
     {
        let start = Instant::now();
        let clock: Arc<dyn Clock> =
            Arc::new(TokioClock::starting_at(noon() + TimeDelta::seconds(11)));
        let term = Term::starting(start, noon(), seconds(10));
        let (_sender, receiver) = watch::channel(Claim::Leader(term));
        assert!(!Leadership::new(receiver, clock).is_leader());
    }

    #[tokio::test(start_paused = true)]
    async fn without_election_we_always_lead() {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(noon()));
        let mut leadership = Leadership::always(clock);
        leadership.acquired().await;
        assert!(leadership.is_leader());
        let lost = tokio::time::timeout(seconds(3600), leadership.lost()).await;
        assert!(lost.is_err());
    }
}
