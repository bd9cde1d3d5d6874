//! Numbers of the tests: in the log domain, and rounded so that a stored stake is never more than the true one.

/// A count as a number; those of a release are far below 2^53.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts of requests are below 2^53"
)]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

/// A counter as a whole number; what is none counts nothing.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and makes 0 of what is no number"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}

/// How many, as a number.
pub(super) fn length(count: usize) -> f64 {
    real(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Rounded down to four decimals.
pub(super) fn down(log: f64) -> f64 {
    (log * 10_000.0).floor() / 10_000.0
}

/// The logarithm of the mean of numbers that are given by their logarithms; that of nothing is 0.
pub(super) fn log_mean(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let greatest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    if greatest == f64::NEG_INFINITY {
        return 0.0;
    }
    let (mut sum, mut count) = (0.0, 0.0);
    for log in logs {
        sum += (log - greatest).exp();
        count += 1.0;
    }
    greatest + f64::ln(sum / count)
}

/// The logarithm of the gamma function, for arguments above 0.
///
/// **Source**: Stirling's series with five terms, from 8 on; smaller arguments are lifted by its recurrence. The error is below 1e-10.
pub(super) fn ln_gamma(argument: f64) -> f64 {
    let (mut lifted, mut shift) = (argument, 0.0);
    while lifted < 8.0 {
        shift += lifted.ln();
        lifted += 1.0;
    }
    let inverse = 1.0 / (lifted * lifted);
    let series = 1.0 / 12.0
        - inverse
            * (1.0 / 360.0
                - inverse * (1.0 / 1260.0 - inverse * (1.0 / 1680.0 - inverse / 1188.0)));
    (lifted - 0.5) * lifted.ln() - lifted + 0.5 * std::f64::consts::TAU.ln() + series / lifted
        - shift
}

/// The logarithm of the beta function.
pub(super) fn ln_beta(left: f64, right: f64) -> f64 {
    ln_gamma(left) + ln_gamma(right) - ln_gamma(left + right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_of_whole_numbers_is_the_factorial() {
        let mut factorial: f64 = 1.0;
        for number in 1..60 {
            let (got, expected) = (ln_gamma(f64::from(number)), factorial.ln());
            assert!((got - expected).abs() < 1e-9, "{number}: {got} {expected}");
            factorial *= f64::from(number);
        }
        let half = ln_gamma(0.5) - 0.5 * std::f64::consts::PI.ln();
        assert!(half.abs() < 1e-9);
    }

    #[test]
    fn the_mean_of_stakes_is_taken_where_none_overflows() {
        let mean = log_mean([2000.0, 2000.0 + 3.0_f64.ln()].into_iter());
        assert!((mean - (2000.0 + 2.0_f64.ln())).abs() < 1e-9);
        assert!(log_mean([].into_iter()).abs() < 1e-12);
        assert!(down(-1.000_01) < -1.0);
    }
}
