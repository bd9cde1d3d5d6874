//! One clock and one source of chance for the whole world.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use std::time::Duration;
use tokio::time::Instant;

/// Seconds since 1970 of 2026-01-01T00:00:00Z, where a world begins unless it is told otherwise.
const BEGINNING: u32 = 1_767_225_600;

/// The wall clock of a world: a fixed date plus what tokio's clock has run since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    started: Instant,
    /// Seconds since 1970.
    beginning: u32,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            beginning: BEGINNING,
        }
    }

    /// A clock that shows this time now, to the second; times before 1970 or beyond 2106 do not exist here.
    pub(crate) fn starting_at(time: DateTime<Utc>) -> Self {
        Self {
            beginning: u32::try_from(time.timestamp()).unwrap_or(BEGINNING),
            ..Self::start()
        }
    }

    /// The clock of a world that began this much earlier.
    #[cfg(test)]
    pub(crate) fn later(self, by: Duration) -> Self {
        let seconds = u32::try_from(by.as_secs()).unwrap_or(u32::MAX);
        Self {
            beginning: self.beginning.saturating_add(seconds),
            ..self
        }
    }

    /// The virtual time of day.
    pub fn now(&self) -> DateTime<Utc> {
        self.at(Instant::now())
    }

    /// How long the world has existed.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn at(&self, instant: Instant) -> DateTime<Utc> {
        let run = TimeDelta::from_std(instant.saturating_duration_since(self.started));
        DateTime::from_timestamp(i64::from(self.beginning), 0).unwrap_or_default()
            + run.unwrap_or_default()
    }

    pub(crate) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.started)
    }

    pub(crate) fn start_plus(&self, run: Duration) -> Instant {
        self.started + run
    }

    /// Seconds since 1970, as Prometheus has them.
    pub(crate) fn unix(&self) -> f64 {
        f64::from(self.beginning) + self.elapsed().as_secs_f64()
    }

    /// The second of the world that a time of Prometheus lies in.
    pub(crate) fn second_of_unix(&self, unix: f64) -> u64 {
        u64::from(whole((unix - f64::from(self.beginning)).floor()))
    }

    /// When that second of the world began, as a time of Prometheus.
    pub(crate) fn unix_of_second(&self, second: u64) -> f64 {
        f64::from(self.beginning) + f64::from(u32::try_from(second).unwrap_or(u32::MAX))
    }

    /// The time of day as Kubernetes writes it into metadata: whole seconds.
    pub(crate) fn stamp(&self) -> String {
        self.now().to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// Reads a time that [`Clock::stamp`] or a client wrote.
pub(crate) fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| time.with_timezone(&Utc))
}

/// A stream of chance: equal seeds give equal streams.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for one purpose, so that more draws for one thing do not move another.
    pub(crate) fn stream(&self, purpose: u64) -> Self {
        let mut stream = Self(self.0 ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        stream.draw();
        stream
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`, 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        let bits = u32::try_from(self.draw() >> 32).unwrap_or(u32::MAX);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    /// How many of `trials` succeed at `share`: exact for few, by the normal curve for many.
    pub(crate) fn binomial(&mut self, trials: u32, share: f64) -> u32 {
        if share <= 0.0 || trials == 0 {
            return 0;
        }
        if share >= 1.0 {
            return trials;
        }
        let spread = f64::from(trials) * share * (1.0 - share);
        if spread < 9.0 {
            let hits = (0..trials).filter(|_| self.unit() < share).count();
            return u32::try_from(hits).unwrap_or(trials);
        }
        let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        let hits = f64::from(trials) * share + normal * spread.sqrt();
        whole(hits).min(trials)
    }

    /// A suffix as Kubernetes generates it: no vowels, no digits that look like letters.
    pub(crate) fn suffix(&mut self, length: usize) -> String {
        letters(length, || self.draw())
    }

    pub(crate) fn uid(&mut self) -> String {
        let (high, low) = (self.draw(), self.draw());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        )
    }
}

/// `number` as a count: rounded, never negative.
pub(crate) fn whole(number: f64) -> u32 {
    let bounded = number.round().clamp(0.0, f64::from(u32::MAX));
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded to the range of u32 just above"
    )]
    let whole = bounded as u32;
    whole
}

/// `length` letters of the alphabet that Kubernetes generates names from.
pub(crate) fn letters(length: usize, mut draw: impl FnMut() -> u64) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..length)
        .filter_map(|_| usize::try_from(draw() % 27).ok())
        .filter_map(|at| ALPHABET.get(at))
        .map(|letter| char::from(*letter))
        .collect()
}
