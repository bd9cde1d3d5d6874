//! Latencies in bounded memory: buckets that are at most one part in 64 wide.

use std::time::Duration;

/// Buckets for each doubling.
const PARTS: u64 = 64;
/// Bits of [`PARTS`].
const BITS: u32 = 6;

/// How often which latency came, in microseconds.
///
/// **Guarantees**: a percentile is at least the true one and less than 1/64 above it; 30 KiB at most, however many values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum_micros: u128,
    longest: u64,
}

impl Histogram {
    /// One more.
    pub fn add(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket(micros);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.total += 1;
        self.sum_micros += u128::from(micros);
        self.longest = self.longest.max(micros);
    }

    /// How many there are.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The latency that this many of 10,000 do not exceed; zero where there are none.
    pub fn at(&self, of_ten_thousand: u64) -> Duration {
        let rank = u128::from(self.total) * u128::from(of_ten_thousand);
        let rank = rank.div_ceil(10_000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return Duration::from_micros(highest(bucket).min(self.longest));
            }
        }
        Duration::ZERO
    }

    /// The mean; zero where there are none.
    pub fn mean(&self) -> Duration {
        let mean = self.sum_micros.checked_div(u128::from(self.total));
        Duration::from_micros(u64::try_from(mean.unwrap_or_default()).unwrap_or(u64::MAX))
    }

    /// The longest.
    pub const fn longest(&self) -> Duration {
        Duration::from_micros(self.longest)
    }
}

/// Below `PARTS` each value has its own bucket; above, each doubling has `PARTS` of them.
fn bucket(value: u64) -> usize {
    let Some(doublings) = value.checked_ilog2().and_then(|log| log.checked_sub(BITS)) else {
        return usize::try_from(value).unwrap_or_default();
    };
    let within = (value >> doublings) - PARTS;
    let index = PARTS + u64::from(doublings) * PARTS + within;
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The highest value of a bucket.
fn highest(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let Some(above) = bucket.checked_sub(PARTS) else {
        return bucket;
    };
    let (doublings, within) = (above / PARTS, above % PARTS);
    let width = 1_u128 << doublings;
    let end = u128::from(PARTS + within + 1) * width - 1;
    u64::try_from(end).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_values_are_exact() {
        let mut histogram = Histogram::default();
        for micros in 1..=60 {
            histogram.add(Duration::from_micros(micros));
        }
        assert_eq!(histogram.at(5_000), Duration::from_micros(30));
        assert_eq!(histogram.at(10_000), Duration::from_micros(60));
        assert_eq!(histogram.mean(), Duration::from_micros(30));
        assert_eq!(Histogram::default().at(9_900), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_percentile_is_at_most_one_part_in_64_above_the_true_one(
            mut values in proptest::collection::vec(0_u64..10_000_000_000, 1..200),
            share in 1_u64..=10_000,
        ) {
            let mut histogram = Histogram::default();
            for micros in &values {
                histogram.add(Duration::from_micros(*micros));
            }
            values.sort_unstable();
            let rank = (u64::try_from(values.len()).unwrap() * share).div_ceil(10_000).max(1);
            let truth = values[usize::try_from(rank).unwrap() - 1];
            let told = u64::try_from(histogram.at(share).as_micros()).unwrap();
            prop_assert!(told >= truth, "{} < {}", told, truth);
            prop_assert!(told <= truth + truth / 64 + 1, "{} is too far above {}", told, truth);
        }

        #[test]
        fn every_value_has_a_bucket(value in any::<u64>()) {
            prop_assert!(bucket(value) < 4096);
            prop_assert!(highest(bucket(value)) >= value);
        }
    }
}
