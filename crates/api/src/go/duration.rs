//! Durations as Go reads and writes them.

use chrono::TimeDelta;

/// Units in nanoseconds; `µ` has two code points, and Go takes both.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", MINUTE),
    ("h", HOUR),
];
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is not a sequence of numbers with units.
    #[error("invalid duration {0:?}: allowed are numbers with a unit, such as 1m30s or 500ms")]
    Malformed(String),
    /// A number has no unit.
    #[error("missing unit in duration {0:?}: allowed are h, m, s, ms, us, ns")]
    MissingUnit(String),
    /// A unit is unknown.
    #[error("unknown unit {unit:?} in duration {text:?}: allowed are h, m, s, ms, us, ns")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The unit.
        unit: String,
    },
    /// It is longer than Go can count (292 years).
    #[error("duration {0:?} is too long: at most 2562047h47m16s are allowed")]
    TooLong(String),
}

/// The duration that a text means to Go's `time.ParseDuration`: `1m30s`, `500ms`, `1h`, `-1.5h`, `0`.
///
/// # Errors
/// When Go refuses the text, with the unit or the form that is allowed.
pub fn parse_duration(text: &str) -> Result<TimeDelta, DurationError> {
    let malformed = || DurationError::Malformed(text.to_owned());
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if unsigned == "0" {
        return Ok(TimeDelta::zero());
    }
    if unsigned.is_empty() {
        return Err(malformed());
    }
    let mut total: u128 = 0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit() && c != '.');
        let (unit, after) = split_where(after, |c| c.is_ascii_digit() || c == '.');
        total += nanoseconds(text, number, unit)?;
        rest = after;
    }
    signed(total, negative)
        .map(TimeDelta::nanoseconds)
        .ok_or_else(|| DurationError::TooLong(text.to_owned()))
}

fn split_where(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// Nanoseconds of one number with its unit, rounded down.
fn nanoseconds(text: &str, number: &str, unit: &str) -> Result<u128, DurationError> {
    let malformed = || DurationError::Malformed(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return Err(malformed());
    }
    let factor = factor_of(text, unit)?;
    let whole: u64 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| too_long())?,
    };
    Ok(u128::from(whole) * u128::from(factor) + part_of(fraction, factor))
}

fn factor_of(text: &str, unit: &str) -> Result<u64, DurationError> {
    if unit.is_empty() {
        return Err(DurationError::MissingUnit(text.to_owned()));
    }
    UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
        .ok_or_else(|| DurationError::UnknownUnit {
            text: text.to_owned(),
            unit: unit.to_owned(),
        })
}

/// The digits behind the point, times the unit. Beyond 18 digits nothing is left of a nanosecond, and Go ignores them as well.
fn part_of(digits: &str, factor: u64) -> u128 {
    let (value, scale) = digits
        .chars()
        .take(18)
        .filter_map(|digit| digit.to_digit(10))
        .fold((0_u128, 1_u128), |(value, scale), digit| {
            (value * 10 + u128::from(digit), scale * 10)
        });
    value * u128::from(factor) / scale
}

fn signed(total: u128, negative: bool) -> Option<i64> {
    let total = i128::try_from(total).ok()?;
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A duration as Go prints it: `500ms`, `1.5s`, `1m0s`, `1h0m0s`, `0s`.
pub fn format_duration(duration: TimeDelta) -> String {
    let sign = if duration < TimeDelta::zero() {
        "-"
    } else {
        ""
    };
    let seconds = u128::from(duration.num_seconds().unsigned_abs());
    let total = seconds * u128::from(SECOND) + u128::from(duration.subsec_nanos().unsigned_abs());
    format!("{sign}{}", format_nanoseconds(total))
}

fn format_nanoseconds(total: u128) -> String {
    if total == 0 {
        return "0s".to_owned();
    }
    // Below a second one smaller unit carries the whole value.
    let small = [
        (1_000, 1, "ns"),
        (1_000_000, 1_000, "\u{b5}s"),
        (u128::from(SECOND), 1_000_000, "ms"),
    ];
    if let Some((_, factor, unit)) = small.into_iter().find(|(end, ..)| total < *end) {
        return format!("{}{unit}", decimal(total, factor));
    }
    let (hours, rest) = (total / u128::from(HOUR), total % u128::from(HOUR));
    let (minutes, rest) = (rest / u128::from(MINUTE), rest % u128::from(MINUTE));
    let seconds = decimal(rest, u128::from(SECOND));
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / factor` with as many digits behind the point as it needs.
fn decimal(value: u128, factor: u128) -> String {
    let (whole, part) = (value / factor, value % factor);
    if part == 0 {
        return whole.to_string();
    }
    let width = factor.ilog10();
    let digits = format!(
        "{part:0width$}",
        width = usize::try_from(width).unwrap_or(0)
    );
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests;
