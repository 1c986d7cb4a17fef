//! What a set of predictions is worth: confusion matrix, accuracy, precision, recall, F1, and the report.
//!
//! Definitions as in scikit-learn's `classification_report`; a ratio without anything to divide by counts as 0 there and
//! here.

use std::fmt::Write;

use anyhow::Result;
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::dataset::Sample;
use crate::emotion::{Emotion, Probabilities};
use crate::model::{EmotionNet, FoldedConv};
use crate::preprocess::{InputSpec, Preprocessor, Region};

/// Pictures per forward pass.
const BATCH: usize = 128;

/// Counts of what was predicted, by what was true.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Rows: the true emotion. Columns: the predicted one. Both in label order.
    pub confusion: [[u32; Emotion::COUNT]; Emotion::COUNT],
    /// Sum over samples of the negative logarithm of the true emotion's probability.
    loss: f64,
}

/// One class's figures, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassMetrics {
    /// Of what was called this, how much was this.
    pub precision: f64,
    /// Of what was this, how much was called this.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// How many samples are of this class.
    pub support: u32,
}

impl Metrics {
    /// Counts one prediction.
    pub fn add(&mut self, truth: Emotion, probabilities: &Probabilities) {
        self.confusion[truth.index()][probabilities.top().index()] += 1;
        self.loss -= f64::from(probabilities.of(truth).max(f32::MIN_POSITIVE)).ln();
    }

    /// How many predictions were counted.
    pub fn count(&self) -> u32 {
        self.confusion.iter().flatten().sum()
    }

    /// Mean negative log likelihood of the truth.
    pub fn loss(&self) -> f64 {
        self.loss / f64::from(self.count().max(1))
    }

    /// Share of right predictions.
    pub fn accuracy(&self) -> f64 {
        let right: u32 = (0..Emotion::COUNT).map(|i| self.confusion[i][i]).sum();
        f64::from(right) / f64::from(self.count().max(1))
    }

    /// Figures of one class.
    pub fn class(&self, emotion: Emotion) -> ClassMetrics {
        let i = emotion.index();
        let support: u32 = self.confusion[i].iter().sum();
        let predicted: u32 = self.confusion.iter().map(|row| row[i]).sum();
        let ratio = |of: u32| f64::from(self.confusion[i][i]) / f64::from(of.max(1));
        let (precision, recall) = (ratio(predicted), ratio(support));
        let f1 = if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
        ClassMetrics { precision, recall, f1, support }
    }

    /// Unweighted mean of the classes' F1.
    pub fn macro_f1(&self) -> f64 {
        Emotion::ALL.iter().map(|&emotion| self.class(emotion).f1).sum::<f64>() / Emotion::COUNT as f64
    }

    /// The classification report and the confusion matrix as text.
    pub fn report(&self) -> String {
        let mut text = format!("{:<14}{:>10}{:>10}{:>10}{:>10}\n", "", "precision", "recall", "f1-score", "support");
        let mut line = |name: &str, m: ClassMetrics| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<14}{:>10.4}{:>10.4}{:>10.4}{:>10}", m.precision, m.recall, m.f1, m.support);
        };
        let classes = Emotion::ALL.map(|emotion| self.class(emotion));
        for (emotion, class) in Emotion::ALL.into_iter().zip(classes) {
            line(emotion.name(), class);
        }
        let count = self.count();
        let mean = |weight: &dyn Fn(&ClassMetrics) -> f64| ClassMetrics {
            precision: classes.iter().map(|c| c.precision * weight(c)).sum(),
            recall: classes.iter().map(|c| c.recall * weight(c)).sum(),
            f1: classes.iter().map(|c| c.f1 * weight(c)).sum(),
            support: count,
        };
        line("macro avg", mean(&|_| 1.0 / Emotion::COUNT as f64));
        line("weighted avg", mean(&|c| f64::from(c.support) / f64::from(count.max(1))));
        let _ = writeln!(text, "{:<14}{:>30.4}{count:>10}\n", "accuracy", self.accuracy());

        let _ = write!(text, "{:<14}", "true\\predicted");
        Emotion::ALL.iter().for_each(|emotion| _ = write!(text, "{emotion:>10}"));
        for (emotion, row) in Emotion::ALL.iter().zip(self.confusion) {
            let _ = write!(text, "\n{emotion:<14}");
            row.iter().for_each(|count| _ = write!(text, "{count:>10}"));
        }
        text.push('\n');
        text
    }
}

/// Runs a network over samples, each of which is a whole picture of a face.
///
/// # Errors
/// When a sample can't become an input, or the device fails.
pub fn evaluate(
    net: &EmotionNet<FoldedConv>,
    input: &InputSpec,
    samples: &[Sample],
    device: &Device,
) -> Result<Metrics> {
    let mut metrics = Metrics::default();
    for batch in samples.chunks(BATCH) {
        let mut values = vec![0.0; batch.len() * input.size * input.size];
        values.par_chunks_mut(input.size * input.size).zip(batch).try_for_each_init(
            || Preprocessor::new(input.clone()),
            |preprocessor, (out, sample)| preprocessor.write_input(&sample.image, Region::whole(&sample.image), out),
        )?;
        let inputs = Tensor::from_vec(values, (batch.len(), 1, input.size, input.size), device)?;
        for (sample, logits) in batch.iter().zip(net.logits(&inputs)?) {
            metrics.add(sample.label(), &Probabilities::from_logits(&logits));
        }
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A belief of about 1 in one emotion.
    fn sure(emotion: Emotion) -> Probabilities {
        let mut logits = [0.0; 7];
        logits[emotion.index()] = 50.0;
        Probabilities::from_logits(&logits)
    }

    fn metrics() -> Metrics {
        let mut metrics = Metrics::default();
        for (truth, predicted) in [
            (Emotion::Anger, Emotion::Anger),
            (Emotion::Anger, Emotion::Fear),
            (Emotion::Fear, Emotion::Fear),
            (Emotion::Happy, Emotion::Happy),
        ] {
            metrics.add(truth, &sure(predicted));
        }
        metrics
    }

    #[test]
    fn figures_of_a_case_counted_by_hand() {
        let metrics = metrics();
        assert_eq!(metrics.accuracy(), 0.75);
        let anger = metrics.class(Emotion::Anger);
        assert_eq!((anger.precision, anger.recall, anger.support), (1.0, 0.5, 2));
        let fear = metrics.class(Emotion::Fear);
        assert_eq!((fear.precision, fear.recall, fear.support), (0.5, 1.0, 1));
        // F1: anger 2/3, fear 2/3, happy 1, four classes without samples 0.
        assert!((metrics.macro_f1() - (2.0 / 3.0 + 2.0 / 3.0 + 1.0) / 7.0).abs() < 1e-12);
        // Three sure and right, one that gave the truth e^-50.
        assert!((metrics.loss() - 50.0 / 4.0).abs() < 1e-3, "{}", metrics.loss());
    }

    #[test]
    fn nothing_counted_is_no_division_by_zero() {
        let metrics = Metrics::default();
        assert_eq!((metrics.accuracy(), metrics.macro_f1(), metrics.loss()), (0.0, 0.0, 0.0));
    }

    #[test]
    fn the_report_has_a_line_for_each_class() {
        let report = metrics().report();
        assert!(report.contains("Anger             1.0000    0.5000    0.6667         2"), "{report}");
        assert!(report.contains("accuracy                              0.7500         4"), "{report}");
    }
}
