//! Quantiles, means and shares of a sample, each with its 95 % interval.

/// The 97.5th percentile of the standard normal distribution: 95 % are within as many deviations.
const Z95: f64 = 1.959_963_984_540_054;

/// A measured number, and the ends of the interval that covers the true one in 95 of 100 samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// As measured.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end: infinite where the sample does not tell.
    pub high: f64,
}

/// The quantile of `sorted` values among `total`, of which those that are not there are larger than all; `None` if it is
/// one of them, or there are none.
///
/// By nearest rank: the least value that at least this share of all does not exceed. The interval is between two order
/// statistics, by the normal approximation of the binomial distribution: no assumption about the values.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ranks, clamped to the sample")]
pub fn quantile(sorted: &[f64], total: u64, share: f64) -> Option<Estimate> {
    if total == 0 {
        return None;
    }
    let trials = total as f64;
    let middle = trials * share;
    let spread = Z95 * libm::sqrt(middle * (1.0 - share));
    let value = |rank: f64| sorted.get(rank.clamp(1.0, trials) as usize - 1).copied();
    // What is not quite a whole number for being the product of two floats must not count for the next.
    let value_at = value(libm::ceil(middle - 1e-9))?;
    let low = value(libm::floor(middle - spread))?;
    let high = if middle + spread > trials { None } else { value(libm::ceil(middle + spread) + 1.0) };
    Some(Estimate { value: value_at, low, high: high.unwrap_or(f64::INFINITY) })
}

/// The mean of values, with the interval of the normal approximation; `None` without values.
pub fn mean(values: &[f64]) -> Option<Estimate> {
    let n = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let half = if values.len() == 1 { f64::INFINITY } else { Z95 * libm::sqrt(squares / (n - 1.0) / n) };
    Some(Estimate { value: mean, low: mean - half, high: mean + half })
}

/// The share of trials in which something happened, with Wilson's score interval (1927); `None` without trials.
pub fn share(happened: u64, trials: u64) -> Option<Estimate> {
    if trials == 0 {
        return None;
    }
    let (n, z2) = (trials as f64, Z95 * Z95);
    let p = happened as f64 / n;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z95 / (1.0 + z2 / n) * libm::sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n));
    // At its ends the interval is exact, and rounding must not make it otherwise.
    let low = if happened == 0 { 0.0 } else { centre - half };
    let high = if happened == trials { 1.0 } else { centre + half };
    Some(Estimate { value: p, low, high })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared is taken over, not computed")]
mod tests {
    use super::*;

    fn hundred() -> Vec<f64> {
        (1..=100).map(f64::from).collect()
    }

    #[test]
    fn quantiles_are_by_nearest_rank_between_order_statistics() {
        // 95 % of binomial(100, 0.5) are within 50 +- 9.8.
        let median = Estimate { value: 50.0, low: 40.0, high: 61.0 };
        assert_eq!(quantile(&hundred(), 100, 0.5), Some(median));
        let values = [0.1, 0.9, 0.99].map(|share| quantile(&hundred(), 100, share).unwrap().value);
        assert_eq!(values, [10.0, 90.0, 99.0]);
        let most = quantile(&hundred(), 100, 0.99).unwrap();
        assert_eq!((most.low, most.high), (97.0, f64::INFINITY));
        assert_eq!(quantile(&[7.0], 1, 0.5).unwrap().value, 7.0);
        assert_eq!(quantile(&[], 0, 0.5), None);
    }

    #[test]
    fn values_that_never_came_are_the_largest() {
        let median = quantile(&hundred(), 200, 0.5).unwrap();
        assert_eq!((median.value, median.high), (100.0, f64::INFINITY));
        assert_eq!(quantile(&hundred(), 200, 0.51), None);
        assert_eq!(quantile(&[], 10, 0.1), None);
    }

    #[test]
    fn the_interval_of_a_mean_is_two_standard_errors_wide() {
        let estimate = mean(&hundred()).unwrap();
        assert!((estimate.value - 50.5).abs() < 1e-9);
        assert!((estimate.high - 50.5 - Z95 * 2.901_149_2).abs() < 1e-6, "{estimate:?}");
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[3.0]).unwrap().high, f64::INFINITY);
    }

    #[test]
    fn wilsons_interval_is_the_published_one() {
        // Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        for (happened, trials, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let estimate = share(happened, trials).unwrap();
            let close = (estimate.low - low).abs() < 1e-4 && (estimate.high - high).abs() < 1e-4;
            assert!(close, "{happened} of {trials}: {estimate:?}");
        }
        assert_eq!(share(0, 0), None);
        assert_eq!(share(5, 5).unwrap().high, 1.0);
    }
}
