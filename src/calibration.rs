//! From a network's raw outputs to probabilities that mean what they say.
//!
//! Owns the temperature, fitted on validation, and the choice of prior. Both travel in the model card.

use std::{array, fmt};

use serde::{Deserialize, Serialize};

use crate::emotion::{Emotion, Probabilities};

/// How often each emotion is taken to occur where the network is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Prior {
    /// As the network has learned it: near the training data, with rare emotions taken for less rare than they are there.
    #[default]
    Natural,
    /// All equally often, as in a posed set.
    Balanced,
}

impl fmt::Display for Prior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Natural => "natural",
            Self::Balanced => "balanced",
        })
    }
}

/// The share of the training prior's logarithm that the balanced prior takes out of the logits. By default classes weigh the
/// inverse square root of their share in training, which is the other half already.
const BALANCED_SHARE: f64 = 0.5;

/// Turns logits into probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    inverse_temperature: f32,
    shift: [f32; Emotion::COUNT],
}

impl Calibration {
    /// Logits as they are.
    pub const NONE: Self = Self { inverse_temperature: 1.0, shift: [0.0; Emotion::COUNT] };

    /// Divides logits by a temperature (Guo et al. 2017, <https://arxiv.org/abs/1706.04599>) and, for the balanced prior,
    /// takes half the logarithm of each class's share of the training data out of them. A class without a share is taken
    /// for as rare as the rarest one.
    pub fn new(temperature: f32, prior: Prior, class_shares: Option<[f64; Emotion::COUNT]>) -> Self {
        let mut shift = [0.0; Emotion::COUNT];
        if let (Prior::Balanced, Some(shares)) = (prior, class_shares) {
            let rarest = shares.into_iter().filter(|&share| share > 0.0).fold(1.0, f64::min);
            shift = shares.map(|share| (BALANCED_SHARE * share.max(rarest).ln()) as f32);
        }
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
    fn the_balanced_prior_favours_rare_classes_and_bears_missing_ones() {
        let mut shares = [0.0; 7];
        shares[Emotion::Happy.index()] = 0.96;
        shares[Emotion::Fear.index()] = 0.04;
        let balanced = Calibration::new(1.0, Prior::Balanced, Some(shares)).probabilities(&[0.0; 7]);
        // exp(-0.5 ln(0.04)) / exp(-0.5 ln(0.96)) = sqrt(24)
        let ratio = balanced.of(Emotion::Fear) / balanced.of(Emotion::Happy);
        assert!((ratio - 24f32.sqrt()).abs() < 1e-4, "{ratio}");
        assert!((balanced.of(Emotion::Fear) - balanced.of(Emotion::Sad)).abs() < 1e-6);
    }
}
