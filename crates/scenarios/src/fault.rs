//! What goes wrong on purpose in one run.

use std::fmt;
use std::str::FromStr;
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

    /// How often the same may be told once more: by the rival, or because the answer to the first time was odd.
    pub fn second_voices(self) -> u32 {
        u32::from(self.has_rival() || matches!(self, Self::Outside { .. }))
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

/// The words of the faults of API calls.
const OF_CALLS: [(Fault, &str); 8] = [
    (Fault::CrashBefore, "crash-before"),
    (Fault::CrashAfter, "crash-after"),
    (Fault::Refuse(409), "409"),
    (Fault::Refuse(500), "500"),
    (Fault::Refuse(403), "403"),
    (Fault::LoseAnswer, "lose-answer"),
    (Fault::Unreachable, "unreachable"),
    (Fault::Hang, "hang"),
];
/// The words of odd answers.
const OF_REPLIES: [(OddReply, &str); 8] = [
    (OddReply::Hang, "hang"),
    (OddReply::Drip, "drip"),
    (OddReply::Huge, "huge"),
    (OddReply::Reset, "reset"),
    (OddReply::Error, "error"),
    (OddReply::NotANumber, "nan"),
    (OddReply::NoSeries, "none"),
    (OddReply::TwoSeries, "two"),
];

/// One word, by which a run is played again: `api:57:crash-before`, `outside:6:hang`, `stale:31:3`.
impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Twins => f.write_str("twins"),
            Self::Slow { delay } => write!(f, "slow:{}", delay.as_millis()),
            Self::Api { call, fault } => {
                let known = OF_CALLS.iter().find(|(it, _)| it == fault);
                write!(f, "api:{call}:{}", known.map_or("other", |(_, word)| word))
            }
            Self::Outside { call, reply } => {
                let known = OF_REPLIES.iter().find(|(it, _)| it == reply);
                write!(f, "outside:{call}:{}", known.map_or("", |(_, word)| word))
            }
            Self::Stale { call, events } => write!(f, "stale:{call}:{events}"),
            Self::Expired { call } => write!(f, "expired:{call}"),
            Self::StaleLeader { write } => write!(f, "stale-leader:{write}"),
        }
    }
}

impl FromStr for Injected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(':').collect();
        let number = |word: &str| word.parse::<u64>().ok();
        let read = || match *words.as_slice() {
            ["nothing"] => Some(Self::Nothing),
            ["twins"] => Some(Self::Twins),
            ["slow", millis] => Some(Self::Slow {
                delay: Duration::from_millis(number(millis)?),
            }),
            ["api", call, word] => Some(Self::Api {
                call: number(call)?,
                fault: OF_CALLS.iter().find(|(_, it)| *it == word)?.0,
            }),
            ["outside", call, word] => Some(Self::Outside {
                call: number(call)?,
                reply: OF_REPLIES.iter().find(|(_, it)| *it == word)?.0,
            }),
            ["stale", call, events] => Some(Self::Stale {
                call: number(call)?,
                events: events.parse().ok()?,
            }),
            ["expired", call] => Some(Self::Expired {
                call: number(call)?,
            }),
            ["stale-leader", write] => Some(Self::StaleLeader {
                write: number(write)?,
            }),
            _ => None,
        };
        read().ok_or_else(|| format!("{text}: no fault has this name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_found_by_its_name() {
        let names = [
            "nothing",
            "twins",
            "slow:500",
            "api:57:crash-before",
            "outside:6:two",
            "stale:31:3",
            "expired:9",
            "stale-leader:20",
        ];
        for name in names {
            let fault: Injected = name.parse().unwrap();
            assert_eq!(fault.to_string(), name);
        }
    }
}
