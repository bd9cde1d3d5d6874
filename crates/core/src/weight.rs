//! Weights of routes.

use std::fmt;

/// A share of traffic in whole percent, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u8);

impl Weight {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// All traffic.
    pub const FULL: Self = Self(100);

    /// A weight of so many percent.
    ///
    /// # Errors
    /// The value, when it is not 0 to 100.
    pub fn try_new(percent: i64) -> Result<Self, i64> {
        u8::try_from(percent)
            .ok()
            .filter(|percent| *percent <= 100)
            .map(Self)
            .ok_or(percent)
    }

    /// The weight nearest to so many percent.
    pub fn clamped(percent: i64) -> Self {
        Self(u8::try_from(percent.clamp(0, 100)).unwrap_or(100))
    }

    /// In percent, 0 to 100.
    pub fn percent(self) -> i64 {
        i64::from(self.0)
    }

    /// What is left for the other side.
    pub fn rest(self) -> Self {
        Self(100 - self.0)
    }

    /// Whether it is nothing at all.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How the traffic of one apex is routed. The primary has what the canary has not, so that a route always sums to 100 (P1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// The canary's share; in A/B testing, of those whom the match selects.
    pub canary: Weight,
    /// Whether requests to the primary are copied to the canary as well.
    pub mirrored: bool,
    /// In A/B testing: whether the canary has those whom the match does not select as well, because nobody else could answer them.
    pub everyone: bool,
}

impl Routes {
    /// All traffic on the primary, nothing mirrored.
    pub const PRIMARY: Self = Self {
        canary: Weight::ZERO,
        mirrored: false,
        everyone: false,
    };

    /// So much to the canary, nothing mirrored.
    pub const fn to_canary(canary: Weight) -> Self {
        Self {
            canary,
            mirrored: false,
            everyone: false,
        }
    }

    /// The primary's share.
    pub fn primary(self) -> Weight {
        self.canary.rest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_0_to_100_and_both_sides_sum_to_100() {
        for percent in -5..=105 {
            match Weight::try_new(percent) {
                Ok(weight) => assert_eq!(weight.percent() + weight.rest().percent(), 100),
                Err(refused) => assert!(!(0..=100).contains(&refused)),
            }
        }
    }
}
