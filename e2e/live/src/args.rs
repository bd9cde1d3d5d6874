//! How values are written on the command line, in the environment and in files.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// Reads a duration: a whole number and a unit, `ms`, `s` or `m`.
pub(crate) fn duration(text: &str) -> anyhow::Result<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .with_context(|| format!("{text}: not a whole number with a unit"))?;
    match text.strip_prefix(digits) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s") => Ok(Duration::from_secs(number)),
        Some("m") => Ok(Duration::from_secs(number * 60)),
        _ => bail!("{text}: the unit is ms, s or m"),
    }
}

/// Reads a rate: a share from 0 to 1.
pub(crate) fn share(text: &str) -> anyhow::Result<f64> {
    let share: f64 = text
        .trim()
        .parse()
        .with_context(|| format!("{text}: not a number"))?;
    ensure!((0.0..=1.0).contains(&share), "{text}: not from 0 to 1");
    Ok(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("3s\n").unwrap(), Duration::from_secs(3));
        assert_eq!(duration("2m").unwrap(), Duration::from_mins(2));
        for refused in ["3", "s", "3h"] {
            assert!(duration(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_share_is_from_0_to_1() {
        assert!((share("0.2").unwrap() - 0.2).abs() < f64::EPSILON);
        for refused in ["20", "-1", "NaN"] {
            assert!(share(refused).is_err(), "{refused}");
        }
    }
}
