//! From two weights, in whatever unit an object has them, to the canary's share.

use slipway_core::weight::Weight;

/// The canary's share of the traffic of two destinations, rounded to whole percent; `None` when both weights are 0.
///
/// Somebody's hand may have made the weights sum to 1000; what they mean is still a share.
pub(crate) fn share(primary: i64, canary: i64) -> Option<Weight> {
    let (primary, canary) = (i128::from(primary.max(0)), i128::from(canary.max(0)));
    let total = primary + canary;
    if total == 0 {
        return None;
    }
    let percent = (canary * 200 + total) / (total * 2);
    i64::try_from(percent).ok().map(Weight::clamped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_to_whole_percent() {
        let rows = [
            ((100, 0), Some(0)),
            ((0, 100), Some(100)),
            ((80, 20), Some(20)),
            ((900, 100), Some(10)),
            ((2, 1), Some(33)),
            ((1, 2), Some(67)),
            ((1, 1), Some(50)),
            ((0, i64::MAX), Some(100)),
            ((i64::MAX, i64::MAX), Some(50)),
            ((-5, 5), Some(100)),
            ((0, 0), None),
        ];
        for ((primary, canary), expected) in rows {
            let got = share(primary, canary).map(Weight::percent);
            assert_eq!(got, expected, "{primary} to {canary}");
        }
    }
}
