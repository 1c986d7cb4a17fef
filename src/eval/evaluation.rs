//! The predictions of a network on labelled faces, as they came out of it, and the running of it.

use anyhow::Result;
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::metrics::Metrics;
use crate::dataset::{Sample, Target, certain};
use crate::flow::emotion::Emotion;
use crate::network::calibration::Calibration;
use crate::network::device::{GpuError, GpuFailure};
use crate::network::model::{EmotionNet, FoldedConv};
use crate::network::preprocess::{InputSpec, Preprocessor, Region};

/// Pictures per forward pass; half as many where a GPU has no room for them.
const BATCH: usize = 128;

/// All predictions on a part of a data set, as they came out of the network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Pictures without a face after all others of their part.
    pub(super) predictions: Vec<Prediction>,
}

/// What the network said of one picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prediction {
    pub(super) name: String,
    pub(super) truth: Emotion,
    /// As [`Sample::votes`].
    pub(super) votes: Option<Target>,
    /// `None` where no face was found, which counts as an error.
    pub(super) logits: Option<[f32; Emotion::COUNT]>,
}

impl Evaluation {
    /// Adds what the network said of a picture; no logits where no face was found in it, which counts as an error.
    pub fn add(&mut self, name: &str, truth: Emotion, logits: Option<[f32; Emotion::COUNT]>) {
        self.predictions.push(Prediction { name: name.to_owned(), truth, votes: None, logits });
    }

    /// Adds what was predicted on another part.
    pub fn append(&mut self, mut other: Self) {
        self.predictions.append(&mut other.predictions);
    }

    /// The figures under a calibration.
    pub fn metrics(&self, calibration: &Calibration) -> Metrics {
        let mut metrics = Metrics::default();
        for Prediction { truth, votes, logits, .. } in &self.predictions {
            let Some(logits) = logits else {
                metrics.add_missed(*truth);
                continue;
            };
            let probabilities = calibration.probabilities(logits);
            metrics.add(*truth, &probabilities);
            if let Some(votes) = votes {
                metrics.add_votes(votes, &probabilities);
            }
        }
        metrics
    }

    /// Logits under a calibration's prior, and what they should come to: the votes, or the truth where there are none. For
    /// [`crate::eval::fit_temperature`].
    pub fn logits_and_targets(&self, calibration: &Calibration) -> Vec<([f32; Emotion::COUNT], [f32; Emotion::COUNT])> {
        let pair = |of: &Prediction| {
            let target = of.votes.unwrap_or_else(|| certain(of.truth));
            Some((calibration.shifted(of.logits.as_ref()?), target))
        };
        self.predictions.iter().filter_map(pair).collect()
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
) -> Result<Evaluation> {
    let mut evaluation = Evaluation::default();
    let (mut rest, mut most) = (samples, BATCH);
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(rest.len().min(most));
        match logits(net, input, batch, device) {
            Ok(logits) => {
                let predictions = batch.iter().zip(logits).map(|(sample, logits)| Prediction {
                    name: sample.name.clone(),
                    truth: sample.label(),
                    votes: sample.votes,
                    logits: Some(logits),
                });
                evaluation.predictions.extend(predictions);
                rest = after;
            }
            Err(error) if GpuError::find(&error).is_some_and(|gpu| gpu.failure == GpuFailure::OutOfMemory) => {
                let count = batch.len();
                if most < BATCH || count == 1 {
                    return Err(error.context(format!("{count} pictures at once do not fit into the GPU's memory")));
                }
                most = count.div_ceil(2);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(evaluation)
}

fn logits(
    net: &EmotionNet<FoldedConv>,
    input: &InputSpec,
    batch: &[Sample],
    device: &Device,
) -> Result<Vec<[f32; Emotion::COUNT]>> {
    let len = input.size * input.size;
    let mut values = vec![0.0; batch.len() * len];
    values.par_chunks_mut(len).zip(batch).try_for_each_init(
        || Preprocessor::new(input.clone()),
        |preprocessor, (out, sample)| preprocessor.write_input(&sample.image, Region::whole(&sample.image), out),
    )?;
    net.logits(&Tensor::from_vec(values, (batch.len(), 1, input.size, input.size), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::calibration::{ClassPrior, Prior};

    #[test]
    fn a_calibration_changes_probabilities_and_a_prior_decisions() {
        let mut evaluation = Evaluation::default();
        // Happy is a little ahead of Fear, which is 24 times as rare.
        evaluation.add("a", Emotion::Fear, Some([0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0]));
        evaluation.add("b", Emotion::Sad, None);
        let shares = [0.0, 0.0, 0.04, 0.96, 0.0, 0.0, 0.0];
        let shares = ClassPrior { data: shares, learned: shares };

        let plain = evaluation.metrics(&Calibration::NONE);
        let soft = evaluation.metrics(&Calibration::new(2.0, Prior::NATURAL, Some(shares)));
        assert_eq!(plain.confusion, soft.confusion);
        assert!(soft.reliability.confidence() < plain.reliability.confidence());
        assert_eq!(plain.missed[Emotion::Sad.index()], 1);

        let balanced = evaluation.metrics(&Calibration::new(1.0, Prior::BALANCED, Some(shares)));
        assert_eq!((plain.accuracy(), balanced.accuracy()), (0.0, 0.5));
        let logits = [0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0];
        assert_eq!(evaluation.logits_and_targets(&Calibration::NONE), [(logits, certain(Emotion::Fear))]);
    }

    #[test]
    fn votes_are_the_target_of_the_temperature_and_not_the_truth() {
        let mut evaluation = Evaluation::default();
        let mut logits = [0.0; 7];
        (logits[2], logits[3]) = (0.25f32.ln() + 50.0, 0.75f32.ln() + 50.0);
        evaluation.add("a", Emotion::Happy, Some(logits));
        assert_eq!(evaluation.metrics(&Calibration::NONE).votes_loss(), None);
        let votes = [0.0, 0.0, 0.25, 0.75, 0.0, 0.0, 0.0];
        evaluation.predictions[0].votes = Some(votes);
        let metrics = evaluation.metrics(&Calibration::NONE);
        assert_eq!(metrics.accuracy(), 1.0);
        // -(0.25 ln 0.25 + 0.75 ln 0.75)
        assert!(metrics.votes_loss().is_some_and(|loss| (loss - 0.562_335).abs() < 1e-5), "{:?}", metrics.votes_loss());
        assert_eq!(evaluation.logits_and_targets(&Calibration::NONE), [(logits, votes)]);
    }
}
