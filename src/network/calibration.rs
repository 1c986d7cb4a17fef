//! From a network's raw outputs to probabilities that mean what they say.
//!
//! Owns the temperature, fitted on validation, and the choice of prior. Both travel in the model card.

use std::str::FromStr;
use std::{array, fmt};

use anyhow::{Context, Result, ensure};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::flow::emotion::{Emotion, Probabilities};

/// What a prior may be, for messages.
const PRIORS: &str = "natural, balanced or a number between 0 (balanced) and 1 (natural)";

/// How often each emotion is taken to occur where the network is used: the power, 0 to 1, to which shares of the training
/// data are raised. In text and JSON the ends go by their names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior(f64);

impl Prior {
    /// As often as in the training data.
    pub const NATURAL: Self = Self(1.0);
    /// All equally often, as in a posed set.
    pub const BALANCED: Self = Self(0.0);

    /// The prior between both with this power.
    ///
    /// # Errors
    /// When the power is no number from 0 (balanced) to 1 (natural).
    pub fn between(power: f64) -> Result<Self> {
        ensure!((0.0..=1.0).contains(&power), "expected {PRIORS}, found {power}");
        Ok(Self(power))
    }
}

impl Default for Prior {
    fn default() -> Self {
        Self::NATURAL
    }
}

impl FromStr for Prior {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "natural" => Ok(Self::NATURAL),
            "balanced" => Ok(Self::BALANCED),
            _ => Self::between(text.parse().ok().with_context(|| format!("expected {PRIORS}, found {text:?}"))?),
        }
    }
}

impl fmt::Display for Prior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NATURAL => f.write_str("natural"),
            Self::BALANCED => f.write_str("balanced"),
            Self(power) => power.fmt(f),
        }
    }
}

/// How a prior is written in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Name(String),
}

impl Serialize for Prior {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_name = [Self::NATURAL, Self::BALANCED].contains(self);
        if has_name { Written::Name(self.to_string()) } else { Written::Number(self.0) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Prior {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = match Written::deserialize(deserializer)? {
            Written::Number(power) => Self::between(power),
            Written::Name(name) => name.parse(),
        };
        read.map_err(D::Error::custom)
    }
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
        array::from_fn(|i| (learned[i] - prior.0 * data[i]) as f32)
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
        let soft = Calibration::new(2.0, Prior::NATURAL, None).probabilities(&logits);
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
        let half = Prior::between(0.5).expect("a prior");
        assert!((ratio(Prior::BALANCED, Emotion::Fear) - 3.0).abs() < 1e-4);
        assert!((ratio(Prior::NATURAL, Emotion::Fear) - 3.0 / 24.0).abs() < 1e-4);
        assert!((ratio(half, Emotion::Fear) - 3.0 / 24f32.sqrt()).abs() < 1e-4, "the mean of both logarithms");
        assert!((ratio(Prior::BALANCED, Emotion::Sad) - 3.0).abs() < 1e-4, "as rare as the rarest");
    }

    #[test]
    fn a_prior_is_a_name_or_a_number_and_reads_back() {
        for (text, json) in [("natural", "\"natural\""), ("balanced", "\"balanced\""), ("0.25", "0.25")] {
            let prior: Prior = text.parse().expect(text);
            assert_eq!((prior.to_string(), serde_json::to_string(&prior).expect("JSON")), (text.into(), json.into()));
            assert_eq!(serde_json::from_str::<Prior>(json).expect(json), prior);
        }
        for (text, named) in [("1", Prior::NATURAL), ("0.0", Prior::BALANCED)] {
            assert_eq!(text.parse::<Prior>().expect(text), named);
            assert_eq!(serde_json::from_str::<Prior>(text).expect(text), named);
        }
    }

    #[test]
    fn what_is_no_prior_is_refused() {
        for text in ["flat", "", "1.01", "-0.1", "NaN", "inf", "Natural"] {
            let message = text.parse::<Prior>().expect_err(text).to_string();
            assert!(message.contains("(balanced) and 1 (natural), found") && message.contains(text), "{message}");
        }
        for json in ["2", "-1", "\"flat\"", "null", "[0]"] {
            serde_json::from_str::<Prior>(json).expect_err(json);
        }
        assert!(Prior::between(f64::NAN).is_err());
    }
}
