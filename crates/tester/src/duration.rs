//! Durations as Go and the rest of the house write them: `30s`, `500ms`, `1m30s`, `1.5h`.

use std::time::Duration;

/// What is allowed, as a sentence part.
pub(crate) const ALLOWED: &str = "must be a duration with units, such as 500ms, 30s or 1m30s";

/// Longer than anything that is waited for here; sums of such durations cannot overflow.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// The units, longer names first: `ms` is no `m`.
const UNITS: [(&str, f64); 7] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// The duration that a text means; nothing where it means none, is negative or longer than a year.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let (unit, behind) = unit(behind)?;
        seconds += number.parse::<f64>().ok()? * unit;
        rest = behind;
    }
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (!text.is_empty() && duration <= LONGEST).then_some(duration)
}

fn unit(text: &str) -> Option<(f64, &str)> {
    UNITS
        .iter()
        .find_map(|(name, size)| Some((*size, text.strip_prefix(name)?)))
}

/// The duration for people: at most three digits behind the point, in the unit that fits.
pub(crate) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (number, unit) = if seconds >= 1.0 || duration.is_zero() {
        (seconds, "s")
    } else if seconds >= 1e-3 {
        (seconds * 1e3, "ms")
    } else {
        (seconds * 1e6, "µs")
    };
    let digits = format!("{number:.3}");
    let short = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{short}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let rows = [
            ("30s", Some(30_000)),
            ("500ms", Some(500)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            (" 2s ", Some(2_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1s2", None),
            ("1e9s", None),
            ("1..5s", None),
            ("9999999999h", None),
        ];
        for (text, millis) in rows {
            assert_eq!(
                parse_duration(text),
                millis.map(Duration::from_millis),
                "{text:?}"
            );
        }
    }

    #[test]
    fn people_read_the_unit_that_fits() {
        let rows = [
            (Duration::from_secs(90), "90s"),
            (Duration::from_millis(1500), "1.5s"),
            (Duration::from_micros(12_340), "12.34ms"),
            (Duration::from_nanos(1_500), "1.5µs"),
            (Duration::ZERO, "0s"),
        ];
        for (duration, text) in rows {
            assert_eq!(shown(duration), text);
        }
    }
}
