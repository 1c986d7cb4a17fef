//! How sure a figure is: intervals with a confidence of 95%.
//!
//! Owns the two ways to get one: Wilson's score interval for a share of pictures, and the percentile bootstrap for a figure
//! that no formula covers. Both treat pictures as independent draws; several pictures of one person are not quite that.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// The 97.5% quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Bootstrap samples; enough that the ends of an interval repeat to about a thousandth from seed to seed.
pub(super) const RESAMPLES: usize = 1000;

/// Fixed, so that a report repeats itself.
const SEED: u64 = 0;

/// Where a figure lies with a confidence of 95%.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The score interval of a share (Wilson 1927, <https://doi.org/10.1080/01621459.1927.10502953>). Unlike the plain normal
/// one it stays within 0 and 1 and holds for small counts and for shares near the ends. Of nothing, all is possible.
pub(super) fn wilson(successes: u32, of: u32) -> Interval {
    if of == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (k, n) = (f64::from(successes), f64::from(of));
    let (share, z2) = (k / n, Z * Z);
    let center = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let reach = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    // Exact at the ends, where rounding would leave 1e-17.
    let low = if successes == 0 { 0.0 } else { center - reach };
    let high = if successes == of { 1.0 } else { center + reach };
    Interval { low, high }
}

/// The percentile interval (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13) of a figure over
/// `items`: its 2.5% and 97.5% quantiles over samples drawn with replacement, each as large as `items`.
pub(super) fn bootstrap<T: Copy>(items: &[T], figure: impl Fn(&mut dyn Iterator<Item = T>) -> f64) -> Interval {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut figures: Vec<f64> =
        (0..RESAMPLES).map(|_| figure(&mut items.iter().map(|_| items[rng.random_range(0..items.len())]))).collect();
    figures.sort_unstable_by(f64::total_cmp);
    Interval { low: quantile(&figures, 0.025), high: quantile(&figures, 0.975) }
}

/// A quantile of sorted values, by linear interpolation as in NumPy; 0 of nothing.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * sorted.len().saturating_sub(1) as f64;
    let at = |i: f64| sorted.get(i as usize).copied().unwrap_or(0.0);
    let (low, high) = (at(position.floor()), at(position.ceil()));
    low + (high - low) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_as_scipy_has_it() {
        // from scipy.stats import binomtest
        // [binomtest(k, n).proportion_ci(method="wilson") for k, n in [(81, 100), (3, 7), (0, 10), (10, 10)]]
        for (successes, of, low, high) in [
            (81, 100, 0.7222115462093562, 0.8748524849023126),
            (3, 7, 0.1582198552514697, 0.7495416354723428),
            (0, 10, 0.0, 0.27753279986288926),
            (10, 10, 0.7224672001371109, 1.0),
        ] {
            let found = wilson(successes, of);
            assert!(
                (found.low - low).abs() < 1e-12 && (found.high - high).abs() < 1e-12,
                "{successes}/{of}: {found:?}"
            );
        }
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn the_bootstrap_of_a_mean_is_about_its_normal_interval() {
        let items: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let mean = |drawn: &mut dyn Iterator<Item = f64>| drawn.sum::<f64>() / 400.0;
        let Interval { low, high } = bootstrap(&items, mean);
        // 0.5 -+ 1.96 sqrt(0.25 / 400)
        assert!((low - 0.451).abs() < 0.01 && (high - 0.549).abs() < 0.01, "{low} to {high}");
    }

    #[test]
    fn quantiles_as_numpy_has_them() {
        // np.quantile([1, 2, 4, 8], [0.025, 0.5, 0.975])
        let of = |share| quantile(&[1.0, 2.0, 4.0, 8.0], share);
        for (share, expected) in [(0.025, 1.075), (0.5, 3.0), (0.975, 7.7), (1.0, 8.0)] {
            assert!((of(share) - expected).abs() < 1e-12, "{share}: {}", of(share));
        }
        assert_eq!((quantile(&[], 0.5), quantile(&[3.0], 0.9)), (0.0, 3.0));
    }
}
