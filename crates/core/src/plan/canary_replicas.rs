//! How many pods the canary has before it gets traffic.

use std::fmt;

/// The size that a canary is brought to when its release starts, the smallest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CanaryReplicas {
    /// Flagger's way: what the scaler of the target goes down to; without a scaler as many as the primary.
    #[default]
    Minimum,
    /// At least this share of the primary's pods in percent, 1 to 100: at the peak of a day the least of a scaler would be too few (FC-080).
    Share(i64),
}

impl CanaryReplicas {
    /// As many as the primary has.
    pub const MATCH_PRIMARY: Self = Self::Share(100);

    /// The size of those words: `min`, `match-primary`, or a whole percentage.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "min" => Some(Self::Minimum),
            "match-primary" => Some(Self::MATCH_PRIMARY),
            _ => {
                let share = text.strip_suffix('%').unwrap_or(text).parse().ok()?;
                (1..=100).contains(&share).then_some(Self::Share(share))
            }
        }
    }

    /// The number of pods that a target is brought to.
    ///
    /// **Shape**: `scaler_least` is what its scaler goes down to, `primary` the pods that the primary is asked for; at least 1.
    pub fn wanted(self, scaler_least: Option<i64>, primary: Option<i64>) -> i64 {
        let least = match self {
            Self::Minimum => scaler_least.or(primary).unwrap_or(1),
            Self::Share(percent) => {
                let share = (primary.unwrap_or(1).max(0) * percent + 99) / 100;
                share.max(scaler_least.unwrap_or(1))
            }
        };
        least.max(1)
    }
}

impl fmt::Display for CanaryReplicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Minimum => f.write_str("min"),
            Self::MATCH_PRIMARY => f.write_str("match-primary"),
            Self::Share(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_and_never_below_the_scaler_or_one_pod() {
        // What is asked for, the scaler's least, the primary's pods: how many the canary gets.
        let rows = [
            ("min", None, Some(40), 40),
            ("min", Some(3), Some(40), 3),
            ("min", None, None, 1),
            ("min", Some(0), Some(40), 1),
            ("match-primary", Some(3), Some(40), 40),
            ("match-primary", None, Some(40), 40),
            ("match-primary", Some(3), Some(2), 3),
            ("100%", Some(3), Some(40), 40),
            ("25", Some(3), Some(41), 11),
            ("1%", None, Some(40), 1),
            ("50%", None, Some(0), 1),
            ("50%", Some(6), Some(4), 6),
        ];
        for (text, least, primary, expected) in rows {
            let size = CanaryReplicas::parse(text).unwrap();
            assert_eq!(
                size.wanted(least, primary),
                expected,
                "{text} {least:?} {primary:?}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for size in [
            CanaryReplicas::Minimum,
            CanaryReplicas::MATCH_PRIMARY,
            CanaryReplicas::Share(7),
        ] {
            assert_eq!(CanaryReplicas::parse(&size.to_string()), Some(size));
        }
        for text in ["", "0%", "101", "-1", "max", "50%%"] {
            assert_eq!(CanaryReplicas::parse(text), None, "{text}");
        }
    }
}
