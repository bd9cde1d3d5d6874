//! What goes wrong on purpose in one run.

use std::fmt;
use std::time::Duration;

use slipway_sim::{Fault, Reply};

/// One fault, by which a run is played again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injected {
    /// Nothing goes wrong.
    Nothing,
    /// One API call.
    Api {
        /// Which, from 1.
        call: u64,
        /// What happens to it.
        fault: Fault,
    },
    /// One call to a hook, a chat or Prometheus.
    Outside {
        /// Which, from 1.
        call: u64,
        /// What it is answered.
        reply: OddReply,
    },
    /// Every watch event comes late.
    Slow {
        /// How late.
        delay: Duration,
    },
    /// From this call on, for 20 seconds, the newest events do not come.
    Stale {
        /// Which, from 1.
        call: u64,
        /// How many events are missing.
        events: usize,
    },
    /// At this call all watches end with `410 Gone`.
    Expired {
        /// Which, from 1.
        call: u64,
    },
    /// Two controllers work all the time and each believes that it is alone.
    Twins,
    /// A write of the leader arrives long after its lease has ended, while another leads.
    StaleLeader {
        /// Which of its writes, from 1.
        write: u64,
    },
}

/// An answer that nobody should give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OddReply {
    /// No answer, ever.
    Hang,
    /// A byte every second.
    Drip,
    /// A hundred megabytes.
    Huge,
    /// The connection breaks.
    Reset,
    /// Status 500.
    Error,
    /// Not a number.
    NotANumber,
    /// No series.
    NoSeries,
    /// Two series.
    TwoSeries,
}

impl OddReply {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Hang,
        Self::Drip,
        Self::Huge,
        Self::Reset,
        Self::Error,
        Self::NotANumber,
        Self::NoSeries,
        Self::TwoSeries,
    ];

    /// Whether it only makes sense from Prometheus.
    pub fn is_reading(self) -> bool {
        matches!(self, Self::NotANumber | Self::NoSeries | Self::TwoSeries)
    }

    /// What the world answers.
    pub fn reply(self) -> Reply {
        match self {
            Self::Hang => Reply::Hang,
            Self::Drip => Reply::Drip(Duration::from_secs(1), "x".repeat(120).into()),
            Self::Huge => Reply::Huge(100 << 20),
            Self::Reset => Reply::Reset,
            Self::Error => Reply::status(500),
            Self::NotANumber => Reply::value(f64::NAN),
            Self::NoSeries => Reply::no_data(),
            Self::TwoSeries => Reply::Samples(vec![100.0, 100.0]),
        }
    }
}

impl Injected {
    /// Whether the controllers elect a leader.
    pub fn elects(self) -> bool {
        matches!(self, Self::StaleLeader { .. })
    }

    /// Whether there is a second controller.
    pub fn has_rival(self) -> bool {
        matches!(self, Self::StaleLeader { .. } | Self::Twins)
    }

    /// How often others may tell the same once more.
    pub fn second_voices(self) -> u32 {
        u32::from(self.has_rival())
    }

    /// How much longer than a watch delivery a correction may take because of it.
    pub fn patience(self) -> Duration {
        match self {
            Self::Nothing | Self::Outside { .. } => Duration::ZERO,
            Self::Twins => Duration::from_secs(1),
            Self::Api {
                fault: Fault::CrashBefore | Fault::CrashAfter,
                ..
            } => Duration::from_secs(3),
            Self::Api { .. } => Duration::from_secs(15),
            Self::Slow { delay } => delay * 2,
            Self::Stale { .. } => Duration::from_secs(21),
            Self::Expired { .. } => Duration::from_secs(5),
            Self::StaleLeader { .. } => Duration::from_secs(25),
        }
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
