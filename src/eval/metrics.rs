//! Figures of a set of predictions: confusion matrix, accuracy, precision, recall, F1, log loss, Brier score, calibration.
//!
//! Owns the counting and the definitions, which are scikit-learn's (`classification_report` with all seven labels,
//! `log_loss`); a ratio without anything to divide by counts as 0 there and here. A picture in which no face was found
//! can be counted as an error: it stands in its class's support and in no column of the matrix, and has no
//! probabilities, so it takes no part in loss, Brier score and calibration. Shares are 0 to 1.

use serde::Serialize;

use super::interval::{self, Interval};
use super::reliability::Reliability;
use crate::flow::emotion::{Emotion, Probabilities};

/// Counts by class, in label order.
type Counts = [u32; Emotion::COUNT];

/// The figures of a set of predictions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Rows: the true emotion. Columns: the predicted one. Both in label order.
    pub confusion: [Counts; Emotion::COUNT],
    /// Pictures without a face that count as errors, by true emotion.
    pub missed: Counts,
    /// Confidence against accuracy.
    pub reliability: Reliability,
    /// Sum over predictions of the negative logarithm of the true emotion's probability.
    loss: f64,
    /// Sum over predictions of the squared distance between the probabilities and the truth.
    brier: f64,
    /// How many predictions have votes.
    voted: u32,
    /// Sum over these of the negative logarithms of all probabilities, by their shares of the votes.
    votes_loss: f64,
}

/// The figures of one class, or a mean over classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// Of what was called this, how much was this.
    pub precision: f64,
    /// Of what was this, how much was called this.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// How many pictures are of this class.
    pub support: u32,
}

impl Metrics {
    /// Counts one prediction.
    pub fn add(&mut self, truth: Emotion, probabilities: &Probabilities) {
        let predicted = probabilities.top();
        self.confusion[truth.index()][predicted.index()] += 1;
        self.reliability.add(f64::from(probabilities.of(predicted)), predicted == truth);
        self.loss -= logarithm(probabilities.of(truth));
        self.brier += probabilities
            .iter()
            .map(|(emotion, p)| (f64::from(p) - f64::from(u8::from(emotion == truth))).powi(2))
            .sum::<f64>();
    }

    /// Counts what raters said of a prediction that was counted, as shares that sum to 1.
    pub fn add_votes(&mut self, votes: &[f32; Emotion::COUNT], probabilities: &Probabilities) {
        self.voted += 1;
        let shares = votes.iter().zip(probabilities.iter());
        self.votes_loss -= shares.map(|(&share, (_, p))| f64::from(share) * logarithm(p)).sum::<f64>();
    }

    /// Counts a picture without a face as an error.
    pub fn add_missed(&mut self, truth: Emotion) {
        self.missed[truth.index()] += 1;
    }

    /// How many predictions were counted.
    pub fn predictions(&self) -> u32 {
        self.confusion.iter().flatten().sum()
    }

    /// How many pictures were counted, those without a face included.
    pub fn count(&self) -> u32 {
        self.predictions() + self.missed.iter().sum::<u32>()
    }

    /// Mean negative log likelihood of the truth, over predictions.
    pub fn loss(&self) -> f64 {
        self.loss / f64::from(self.predictions().max(1))
    }

    /// Mean negative log likelihood of the raters' votes, over predictions that have them; `None` where none has.
    pub fn votes_loss(&self) -> Option<f64> {
        (self.voted > 0).then(|| self.votes_loss / f64::from(self.voted))
    }

    /// Mean squared distance between probabilities and truth, summed over the classes: 0 to 2, over predictions.
    /// Brier 1950, <https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2>.
    pub fn brier(&self) -> f64 {
        self.brier / f64::from(self.predictions().max(1))
    }

    /// Share of pictures that were labelled right.
    pub fn accuracy(&self) -> f64 {
        ratio(self.right(), self.count())
    }

    /// Where the accuracy lies with a confidence of 95%.
    pub fn accuracy_interval(&self) -> Interval {
        interval::wilson(self.right(), self.count())
    }

    /// The figures of one class.
    pub fn class(&self, emotion: Emotion) -> ClassMetrics {
        let i = emotion.index();
        let right = self.confusion[i][i];
        let support = self.confusion[i].iter().sum::<u32>() + self.missed[i];
        let predicted: u32 = self.confusion.iter().map(|row| row[i]).sum();
        ClassMetrics {
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            // 2 tp / (2 tp + fp + fn)
            f1: ratio(2 * right, support + predicted),
            support,
        }
    }

    /// Where the recall of a class lies with a confidence of 95%.
    pub fn recall_interval(&self, emotion: Emotion) -> Interval {
        let i = emotion.index();
        interval::wilson(self.confusion[i][i], self.class(emotion).support)
    }

    /// Unweighted mean of the classes' figures, over all seven.
    pub fn macro_average(&self) -> ClassMetrics {
        self.average(|_| 1.0 / Emotion::COUNT as f64)
    }

    /// Unweighted mean of the recalls of those classes that have pictures: the accuracy where all are equally frequent.
    pub fn mean_recall(&self) -> f64 {
        let recalls = Emotion::ALL.map(|emotion| self.class(emotion)).into_iter().filter(|class| class.support > 0);
        let recalls: Vec<f64> = recalls.map(|class| class.recall).collect();
        recalls.iter().sum::<f64>() / recalls.len().max(1) as f64
    }

    /// Mean of the classes' figures, each weighted by its support.
    pub fn weighted_average(&self) -> ClassMetrics {
        let count = self.count();
        self.average(|class| ratio(class.support, count))
    }

    /// Unweighted mean of the classes' F1.
    pub fn macro_f1(&self) -> f64 {
        Emotion::ALL.map(|emotion| self.class(emotion).f1).iter().sum::<f64>() / Emotion::COUNT as f64
    }

    /// Where macro F1 lies with a confidence of 95%, by the bootstrap over pictures. The same counts give the same
    /// interval.
    pub fn macro_f1_interval(&self) -> Interval {
        // A picture's class and its column, of which the one after the last is "no face".
        let cells = |truth: usize| {
            let columns = self.confusion[truth].iter().chain([&self.missed[truth]]).enumerate();
            columns.flat_map(move |(column, &count)| std::iter::repeat_n((truth, column), count as usize))
        };
        let pictures: Vec<(usize, usize)> = (0..Emotion::COUNT).flat_map(cells).collect();
        interval::bootstrap(&pictures, |drawn| {
            let mut metrics = Self::default();
            for (truth, column) in drawn {
                *metrics.confusion[truth].get_mut(column).unwrap_or(&mut metrics.missed[truth]) += 1;
            }
            metrics.macro_f1()
        })
    }

    fn right(&self) -> u32 {
        (0..Emotion::COUNT).map(|i| self.confusion[i][i]).sum()
    }

    fn average(&self, weight: impl Fn(&ClassMetrics) -> f64) -> ClassMetrics {
        let classes = Emotion::ALL.map(|emotion| self.class(emotion));
        let mean = |figure: fn(&ClassMetrics) -> f64| classes.iter().map(|c| figure(c) * weight(c)).sum();
        ClassMetrics {
            precision: mean(|c| c.precision),
            recall: mean(|c| c.recall),
            f1: mean(|c| c.f1),
            support: self.count(),
        }
    }
}

/// Bounded below as in scikit-learn, so that one sure error does not make a mean infinite.
fn logarithm(probability: f32) -> f64 {
    f64::from(probability).max(f64::EPSILON).ln()
}

/// A share; 0 of nothing.
fn ratio(part: u32, of: u32) -> f64 {
    f64::from(part) / f64::from(of.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A belief of about 1 in one emotion.
    fn sure(emotion: Emotion) -> Probabilities {
        let mut logits = [0.0; 7];
        logits[emotion.index()] = 30.0;
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
        assert_eq!(metrics.macro_average().f1, metrics.macro_f1());
        // (2 x 2/3 + 2/3 + 1) / 4
        assert!((metrics.weighted_average().f1 - 0.75).abs() < 1e-12);
        // Three sure and right, one that gave the truth e^-30.
        assert!((metrics.loss() - 30.0 / 4.0).abs() < 1e-3, "{}", metrics.loss());
        // One of four is off by 1 in two classes.
        assert!((metrics.brier() - 2.0 / 4.0).abs() < 1e-6, "{}", metrics.brier());
    }

    #[test]
    fn a_sure_error_costs_as_much_as_in_scikit_learn() {
        let mut metrics = Metrics::default();
        let mut logits = [0.0; 7];
        logits[0] = 1000.0;
        metrics.add(Emotion::Sad, &Probabilities::from_logits(&logits));
        // -log(2.220446049250313e-16)
        assert!((metrics.loss() - 36.043_653_389_117_15).abs() < 1e-9, "{}", metrics.loss());
    }

    #[test]
    fn a_missed_face_is_an_error_of_its_class_and_of_no_other() {
        let (mut metrics, before) = (metrics(), metrics());
        metrics.add_missed(Emotion::Happy);
        assert_eq!((metrics.count(), metrics.predictions()), (5, 4));
        assert_eq!(metrics.accuracy(), 0.6);
        let happy = metrics.class(Emotion::Happy);
        assert_eq!((happy.precision, happy.recall, happy.support), (1.0, 0.5, 2));
        assert!((happy.f1 - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(metrics.class(Emotion::Fear), before.class(Emotion::Fear));
        assert_eq!((metrics.loss(), metrics.brier()), (before.loss(), before.brier()));
    }

    #[test]
    fn the_interval_of_macro_f1_is_about_it_and_repeats_itself() {
        let mut metrics = Metrics::default();
        for emotion in Emotion::ALL {
            (0..40).for_each(|_| metrics.add(emotion, &sure(emotion)));
            (0..10).for_each(|_| metrics.add(emotion, &sure(Emotion::Neutral)));
        }
        (0..7).for_each(|_| metrics.add_missed(Emotion::Sad));
        let Interval { low, high } = metrics.macro_f1_interval();
        assert!(low < metrics.macro_f1() && metrics.macro_f1() < high, "{low} to {high}");
        assert!((0.05..0.15).contains(&(high - low)), "{low} to {high}");
        assert_eq!(metrics.macro_f1_interval(), Interval { low, high });
    }
}
