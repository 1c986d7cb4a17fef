//! Confidence against accuracy: of the faces that got 0.8, are 80% right?
//!
//! Owns the bins of the reliability diagram and the expected calibration error over them (Guo et al. 2017,
//! <https://arxiv.org/abs/1706.04599>, section 2): 15 bins of equal width, the confidence being the largest probability.

use serde::Serialize;

use super::interval::{self, Interval};

/// Bins of equal width between 0 and 1, as many as in the paper.
const BINS: usize = 15;

/// Predictions by confidence. Bin `i` holds confidences above `i / 15` and up to `(i + 1) / 15`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reliability {
    bins: [Bin; BINS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    count: u32,
    right: u32,
    confidence: f64,
}

/// One bin's figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BinFigures {
    /// The bin holds confidences above this.
    pub above: f64,
    /// How many predictions are in it.
    pub count: u32,
    /// Their mean confidence; 0 in an empty bin.
    pub confidence: f64,
    /// The share of them that is right; 0 in an empty bin.
    pub accuracy: f64,
    /// Where the accuracy lies with a confidence of 95%.
    pub interval: Interval,
}

impl Reliability {
    /// Counts one prediction.
    pub(super) fn add(&mut self, confidence: f64, right: bool) {
        // A cast saturates: 0 stays 0.
        let index = ((confidence * BINS as f64).ceil() as usize).saturating_sub(1).min(BINS - 1);
        let bin = &mut self.bins[index];
        bin.count += 1;
        bin.right += u32::from(right);
        bin.confidence += confidence;
    }

    /// How many predictions were counted.
    pub fn count(&self) -> u32 {
        self.bins.iter().map(|bin| bin.count).sum()
    }

    /// Figures of each bin, from the least confident to the most.
    pub fn bins(&self) -> [BinFigures; BINS] {
        std::array::from_fn(|i| {
            let bin = self.bins[i];
            let count = f64::from(bin.count.max(1));
            BinFigures {
                above: i as f64 / BINS as f64,
                count: bin.count,
                confidence: bin.confidence / count,
                accuracy: f64::from(bin.right) / count,
                interval: interval::wilson(bin.right, bin.count),
            }
        })
    }

    /// The expected calibration error: the distance between confidence and accuracy, averaged over bins by their counts.
    pub fn error(&self) -> f64 {
        let distance: f64 = self.bins.iter().map(|bin| (bin.confidence - f64::from(bin.right)).abs()).sum();
        distance / f64::from(self.count().max(1))
    }

    /// Mean confidence.
    pub fn confidence(&self) -> f64 {
        self.bins.iter().map(|bin| bin.confidence).sum::<f64>() / f64::from(self.count().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_the_mean_distance_by_counts() {
        let mut reliability = Reliability::default();
        // Ten at 0.95 of which six are right: 0.35 off. Thirty at 0.5 of which 18 are right: 0.1 off.
        (0..10).for_each(|i| reliability.add(0.95, i < 6));
        (0..30).for_each(|i| reliability.add(0.5, i < 18));
        assert!((reliability.error() - (10.0 * 0.35 + 30.0 * 0.1) / 40.0).abs() < 1e-12, "{}", reliability.error());
        assert!((reliability.confidence() - 24.5 / 40.0).abs() < 1e-12);
        let bin = reliability.bins()[14];
        assert_eq!((bin.count, bin.accuracy), (10, 0.6));
        assert!((bin.above - 14.0 / 15.0).abs() < 1e-12 && (bin.confidence - 0.95).abs() < 1e-12);
    }

    #[test]
    fn the_upper_edge_belongs_to_a_bin_and_the_ends_to_the_outer_ones() {
        let mut reliability = Reliability::default();
        for confidence in [0.0, 0.2, 0.200_001, 1.0] {
            reliability.add(confidence, true);
        }
        let counts = reliability.bins().map(|bin| bin.count);
        assert_eq!((counts[0], counts[2], counts[3], counts[14]), (1, 1, 1, 1));
    }
}
