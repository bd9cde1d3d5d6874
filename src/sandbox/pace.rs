//! How fast virtual time passes for the audience.

use std::str::FromStr;
use std::time::{Duration, Instant};

use super::show::TICK;

/// The speeds that + and - go through, in virtual seconds a second.
const SPEEDS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];

/// Virtual seconds in one second of the audience.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Speed {
    Times(f64),
    /// As fast as it goes.
    Max,
}

impl Default for Speed {
    fn default() -> Self {
        Self::Times(5.0)
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(0.0) => Ok(Self::Max),
            Ok(times) if (0.01..=10_000.0).contains(&times) => Ok(Self::Times(times)),
            _ => Err(
                "must be a number from 0.01 to 10000, or 0 or max for as fast as it goes"
                    .to_owned(),
            ),
        }
    }
}

/// The pace of a show: its speed, and whether it stands still.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    speed: Speed,
    pub(super) is_paused: bool,
    /// When the next tick is due.
    due: Instant,
}

impl Pace {
    pub(super) fn new(speed: Speed) -> Self {
        Self {
            speed,
            is_paused: false,
            due: Instant::now(),
        }
    }

    /// How long until the next tick is due; zero when it is.
    pub(super) fn rest(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// A tick has passed: the next is due one later. What was missed, by a slow machine or in a pause, is not made up for.
    pub(super) fn ticked(&mut self) {
        let length = match self.speed {
            Speed::Max => Duration::ZERO,
            Speed::Times(times) => TICK.div_f64(times),
        };
        self.due = (self.due + length).max(Instant::now());
    }

    pub(super) fn faster(&mut self) {
        if let Speed::Times(now) = self.speed {
            let next = SPEEDS.iter().copied().find(|speed| *speed > now);
            self.speed = next.map_or(Speed::Max, Speed::Times);
        }
    }

    pub(super) fn slower(&mut self) {
        self.speed = match self.speed {
            Speed::Max => Speed::Times(SPEEDS.iter().copied().fold(1.0, f64::max)),
            Speed::Times(now) => {
                let next = SPEEDS.iter().rev().copied().find(|speed| *speed < now);
                Speed::Times(next.unwrap_or(now))
            }
        };
    }

    /// In real time, as when the show is over and the cluster stays.
    pub(super) fn settle(&mut self) {
        self.speed = Speed::Times(1.0);
    }

    /// For the audience.
    pub(super) fn shown(&self) -> String {
        match self.speed {
            _ if self.is_paused => "paused".to_owned(),
            Speed::Max => "as fast as it goes".to_owned(),
            Speed::Times(times) => format!("{times}x"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_number_or_as_fast_as_it_goes() {
        let rows = [
            ("5", Some(Speed::Times(5.0))),
            ("0.5", Some(Speed::Times(0.5))),
            ("0", Some(Speed::Max)),
            ("max", Some(Speed::Max)),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("fast", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse::<Speed>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn faster_and_slower_end_at_the_ends() {
        let mut pace = Pace::new(Speed::default());
        for _ in 0..20 {
            pace.faster();
        }
        assert_eq!(pace.speed, Speed::Max);
        for _ in 0..20 {
            pace.slower();
        }
        assert_eq!(pace.speed, Speed::Times(1.0));
    }
}
