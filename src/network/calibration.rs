//! From a network's raw outputs to probabilities that mean what they say.
//!
//! Owns the temperature, fitted on validation, and the choice of prior. Both travel in the model card.

use std::{array, fmt};

use serde::{Deserialize, Serialize};

use crate::flow::emotion::{Emotion, Probabilities};

/// How often each emotion is taken to occur where the network is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Prior {
    /// As often as in the training data.
    #[default]
    Natural,
    /// All equally often, as in a posed set.
    Balanced,
}

/// How often emotions occur in the training data, and how often the network has come to expect them: less unevenly, where
/// pictures of rare ones weigh more or are shown more often. In label order; each sums to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassPrior {
    /// Shares of the data.
    pub data: [f64; Emotion::COUNT],
    /// Shares of what was shown, times the weights of the classes in the loss.
    pub learned: [f64; Emotion::COUNT],
}

impl ClassPrior {
    /// What to take out of the logits, so that their probabilities follow a prior: the logarithm of the learned prior over
    /// the wanted one (Saerens et al. 2002, <https://doi.org/10.1162/089976602753284446>). A class that never occurred is
    /// taken for as rare as the rarest one.
    fn shift(&self, prior: Prior) -> [f32; Emotion::COUNT] {
        let logarithms = |shares: [f64; Emotion::COUNT]| {
            let rarest = shares.into_iter().filter(|&share| share > 0.0).fold(1.0, f64::min);
            shares.map(|share| share.max(rarest).ln())
        };
        let (data, learned) = (logarithms(self.data), logarithms(self.learned));
        array::from_fn(|i| match prior {
            Prior::Natural => (learned[i] - data[i]) as f32,
            Prior::Balanced => learned[i] as f32,
        })
    }
}

impl fmt::Display for Prior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Natural => "natural",
            Self::Balanced => "balanced",
        })
    }
}

/// Turns logits into probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    inverse_temperature: f32,
    shift: [f32; Emotion::COUNT],
}

impl Calibration {
    /// Logits as they are.
    pub const NONE: Self = Self { inverse_temperature: 1.0, shift: [0.0; Emotion::COUNT] };

    /// Brings logits to a prior and divides them by a temperature (Guo et al. 2017, <https://arxiv.org/abs/1706.04599>).
    /// Without knowledge of what the network has learned to expect, its own prior stays.
    pub fn new(temperature: f32, prior: Prior, of_training: Option<ClassPrior>) -> Self {
        let shift = of_training.map_or([0.0; Emotion::COUNT], |of_training| of_training.shift(prior));
        Self { inverse_temperature: 1.0 / temperature, shift }
    }

    /// Logits with the prior taken into account, not yet divided by the temperature.
    pub fn shifted(&self, logits: &[f32; Emotion::COUNT]) -> [f32; Emotion::COUNT] {
        array::from_fn(|i| logits[i] - self.shift[i])
    }

    /// The probabilities of one face.
    pub fn probabilities(&self, logits: &[f32; Emotion::COUNT]) -> Probabilities {
        Probabilities::from_logits(&self.shifted(logits).map(|logit| logit * self.inverse_temperature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_softens_and_keeps_the_order() {
        let logits = [2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let plain = Calibration::NONE.probabilities(&logits);
        let soft = Calibration::new(2.0, Prior::Natural, None).probabilities(&logits);
        assert_eq!(plain, Probabilities::from_logits(&logits));
        assert_eq!(soft.top(), Emotion::Anger);
        assert!(soft.of(Emotion::Anger) < plain.of(Emotion::Anger));
    }

    #[test]
    fn a_prior_replaces_the_learned_one_and_bears_missing_classes() {
        let shares = |happy: f64, fear: f64| {
            let mut shares = [0.0; 7];
            shares[Emotion::Happy.index()] = happy;
            shares[Emotion::Fear.index()] = fear;
            shares
        };
        let of_training = ClassPrior { data: shares(0.96, 0.04), learned: shares(0.75, 0.25) };
        let ratio = |prior, of: Emotion| {
            let probabilities = Calibration::new(1.0, prior, Some(of_training)).probabilities(&[0.0; 7]);
            probabilities.of(of) / probabilities.of(Emotion::Happy)
        };
        // What says nothing about a face has learned 1 : 3. Balanced, 3 times as much for fear; natural, 3 / 24.
        assert!((ratio(Prior::Balanced, Emotion::Fear) - 3.0).abs() < 1e-4);
        assert!((ratio(Prior::Natural, Emotion::Fear) - 3.0 / 24.0).abs() < 1e-4);
        assert!((ratio(Prior::Balanced, Emotion::Sad) - 3.0).abs() < 1e-4, "as rare as the rarest");
    }
}
