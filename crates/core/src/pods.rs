//! Weight without a mesh: a share of the pods that the apex selects.
//!
//! ```text
//!  apex ──► LABEL: APEX ──► every pod of the primary, and n pods of the canary        n / (primary + n) ≤ weight
//! ```
//!
//! The weight that is asked for is an upper bound: what so many pods can reach lies below it, down to nothing where one pod would be too many.

use crate::plan::{Plan, Strategy};
use crate::weight::Weight;

/// The ready pods of both sides, as the apex can select them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodCounts {
    /// Of the primary.
    pub primary: u32,
    /// Of the canary: those of one revision, none while there are several.
    pub canary: u32,
}

impl PodCounts {
    /// How many pods of the canary may be selected beside those of the primary.
    pub fn allowed(self, weight: Weight) -> u32 {
        if weight == Weight::FULL {
            return self.canary;
        }
        let most = i64::from(self.primary) * weight.percent() / weight.rest().percent();
        u32::try_from(most).unwrap_or(u32::MAX).min(self.canary)
    }

    /// The weight that so many pods reach, in whole percent: never more than was asked for, and nothing only where nobody meets the canary.
    pub fn reached(self, weight: Weight) -> Weight {
        share(self.primary, self.allowed(weight))
    }

    /// How many ready pods of the primary one pod of the canary needs beside it at this weight.
    pub fn needed(weight: Weight) -> i64 {
        let percent = weight.percent().max(1);
        (100 - percent + percent - 1) / percent
    }
}

/// The share of these pods of the canary among those of both, rounded up.
pub fn share(primary: u32, canary: u32) -> Weight {
    let (canary, all) = (i64::from(canary), i64::from(primary) + i64::from(canary));
    Weight::clamped((canary * 100 + all - 1).checked_div(all).unwrap_or(0))
}

impl Plan {
    /// Whether weight is made by pods: a weighted release without a mesh, which only annotations ask for.
    pub fn weighs_by_pods(&self) -> bool {
        !self.provider.has_mesh() && matches!(self.strategy, Strategy::Canary { .. })
    }

    /// Whether traffic can be split between the sides.
    pub fn splits(&self) -> bool {
        self.provider.has_mesh() || self.weighs_by_pods()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_pods_as_the_weight_allows_and_never_one_more() {
        // Primary, canary, weight: how many are allowed, what they reach, how many pods of the primary one needs.
        let rows = [
            ((2, 2, 0), (0, 0, 99)),
            ((2, 2, 5), (0, 0, 19)),
            ((2, 2, 20), (0, 0, 4)),
            ((4, 4, 20), (1, 20, 4)),
            ((19, 9, 5), (1, 5, 19)),
            ((2, 2, 33), (0, 0, 3)),
            ((2, 2, 34), (1, 34, 2)),
            ((2, 2, 50), (2, 50, 1)),
            ((4, 4, 60), (4, 50, 1)),
            ((300, 1, 50), (1, 1, 1)),
            ((2, 2, 99), (2, 50, 1)),
            ((2, 3, 100), (3, 60, 0)),
            ((0, 3, 60), (0, 0, 1)),
            ((3, 0, 60), (0, 0, 1)),
        ];
        for ((primary, canary, percent), (allowed, reached, needed)) in rows {
            let (pods, weight) = (PodCounts { primary, canary }, Weight::clamped(percent));
            let got = (
                pods.allowed(weight),
                pods.reached(weight).percent(),
                PodCounts::needed(weight),
            );
            assert_eq!(
                got,
                (allowed, reached, needed),
                "{pods:?} at {weight} percent"
            );
        }
    }

    #[test]
    fn no_number_of_pods_reaches_more_than_the_weight_or_could_reach_more_within_it() {
        for primary in 0..40 {
            for canary in 0..12 {
                for percent in 0..100 {
                    let (pods, weight) = (PodCounts { primary, canary }, Weight::clamped(percent));
                    let allowed = pods.allowed(weight);
                    let within = |n: u32| {
                        i64::from(n) * 100 <= percent * (i64::from(primary) + i64::from(n))
                    };
                    assert!(allowed == 0 || within(allowed), "{pods:?} at {percent}");
                    assert!(
                        allowed == canary || !within(allowed + 1),
                        "{pods:?} at {percent}"
                    );
                    assert!(pods.reached(weight) <= weight);
                }
            }
        }
    }
}
