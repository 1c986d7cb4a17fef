//! The settings of a training run, as they are written into its folder.
//!
//! Owns what the settings mean, their defaults and their limits. What a user typed is in `options`.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::dataset::DataOptions;
use crate::dataset::augment::Augmentation;
use crate::eval::Metrics;
use crate::network::calibration::Prior;
use crate::train::optim::ScheduleShape;

/// A whole training run: `config.json` in its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Folder or file of the data set.
    pub data: PathBuf,
    /// Which samples it has.
    #[serde(default)]
    pub data_options: DataOptions,
    /// What the weights start from.
    pub init: Init,
    /// How they learn.
    pub recipe: Recipe,
}

/// What the weights start from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Random numbers.
    Scratch,
    /// The weights inside the program.
    Shipped,
    /// A weights file.
    File(PathBuf),
}

impl From<&OsStr> for Init {
    /// `none`, or the name of a file.
    fn from(text: &OsStr) -> Self {
        if text == "none" { Self::Scratch } else { Self::File(text.into()) }
    }
}

/// How weights learn. It travels in the card of what it made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training pictures.
    pub epochs: usize,
    /// Pictures per step.
    pub batch_size: usize,
    /// Highest learning rate, that of the last layer.
    pub learning_rate: f64,
    /// What the rate is multiplied by in the layers before the last one.
    pub body_rate: f64,
    /// How the rate goes up and down.
    pub schedule: ScheduleShape,
    /// Share of the steps in which the rate rises.
    pub warm_up: f64,
    /// Pull of every kernel towards 0, per unit of learning rate; scales and shifts are left alone.
    pub weight_decay: f64,
    /// Share of each target that is spread over all classes (Szegedy et al. 2015, <https://arxiv.org/abs/1512.00567>).
    pub label_smoothing: f64,
    /// Share of features that are hidden from the last layer while training.
    pub dropout: f64,
    /// Share of the averaged weights that stays at each step; 0: no average.
    pub ema_decay: f64,
    /// How much more a picture of a rare class counts.
    pub class_weights: ClassWeights,
    /// How often a picture of a rare class is shown.
    pub sampling: Sampling,
    /// Parameter of the beta distribution of mixup; 0: none.
    pub mixup: f64,
    /// Random changes to training pictures.
    pub augmentation: Augmentation,
    /// By which figure the best epoch is chosen.
    pub select: Selection,
    /// The run ends after this many epochs without a better one.
    pub patience: Option<usize>,
    /// The prior that the weights' probabilities follow.
    pub prior: Prior,
    /// Seed of weights, order, augmentation and dropout.
    pub seed: u64,
}

/// What a class's loss is multiplied by, with its share of the pictures that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// All classes alike
    None,
    /// The inverse square root of the class's share
    InverseSqrt,
    /// The inverse of the class's share
    Inverse,
}

/// Which pictures an epoch shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Every picture once
    Natural,
    /// As many pictures of each class; those of rare classes several times
    Balanced,
}

/// By which figure on validation the best epoch is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The share of right answers
    Accuracy,
    /// The mean of the classes' F1
    MacroF1,
    /// The mean negative log likelihood
    Loss,
}

impl Selection {
    /// The figure; more is better.
    pub fn score(self, validation: &Metrics) -> f64 {
        match self {
            Self::Accuracy => validation.accuracy(),
            Self::MacroF1 => validation.macro_f1(),
            Self::Loss => -validation.loss(),
        }
    }
}

/// How many epochs the average of the weights reaches back, roughly. With the 208 steps that FER+ has in an epoch this is a
/// decay of 0.998 a step; with the few steps of a small set it must be less, or the average would never arrive.
const AVERAGED_EPOCHS: f64 = 2.4;

impl Recipe {
    /// The defaults for weights that start as random numbers.
    pub fn from_scratch() -> Self {
        Self {
            epochs: 40,
            batch_size: 128,
            learning_rate: 3e-3,
            body_rate: 1.0,
            schedule: ScheduleShape::OneCycle,
            warm_up: 0.15,
            weight_decay: 0.05,
            label_smoothing: 0.05,
            dropout: 0.4,
            ema_decay: 0.998,
            class_weights: ClassWeights::InverseSqrt,
            sampling: Sampling::Natural,
            mixup: 0.0,
            augmentation: Augmentation::default(),
            select: Selection::Accuracy,
            patience: None,
            prior: Prior::Natural,
            seed: 0,
        }
    }

    /// The defaults for weights that have learned before. They are meant for some hundreds of pictures: small batches, so
    /// that there are steps enough, more epochs, and a body that moves less than the last layer.
    pub fn fine_tuning() -> Self {
        Self { epochs: 40, batch_size: 32, learning_rate: 2e-3, body_rate: 0.5, ..Self::from_scratch() }
    }

    /// The decay of the average that suits the length of an epoch, to six digits.
    pub(super) fn suited_ema_decay(steps_per_epoch: usize) -> f64 {
        let decay = 1.0 - 1.0 / (AVERAGED_EPOCHS * steps_per_epoch.max(1) as f64);
        (decay * 1e6).round() / 1e6
    }

    /// Refuses values that make no sense, by the names of their flags.
    ///
    /// # Errors
    /// When one is out of its range.
    pub fn check(&self) -> Result<()> {
        let count = |flag: &str, value: usize, range: RangeInclusive<usize>| {
            let (low, high) = (range.start(), range.end());
            ensure!(range.contains(&value), "{flag}: expected a whole number from {low} to {high}, found {value}");
            Ok(())
        };
        let share = |flag: &str, value: f64, range: RangeInclusive<f64>| {
            let (low, high) = (range.start(), range.end());
            ensure!(range.contains(&value), "{flag}: expected a number from {low} to {high}, found {value}");
            Ok(())
        };
        count("--epochs", self.epochs, 1..=100_000)?;
        count("--batch-size", self.batch_size, 1..=65_536)?;
        count("--patience", self.patience.unwrap_or(1), 1..=100_000)?;
        share("--learning-rate", self.learning_rate, 1e-9..=1.0)?;
        share("--body-rate", self.body_rate, 0.0..=10.0)?;
        share("--warm-up", self.warm_up, 0.0..=0.9)?;
        share("--weight-decay", self.weight_decay, 0.0..=1.0)?;
        share("--label-smoothing", self.label_smoothing, 0.0..=0.9)?;
        share("--dropout", self.dropout, 0.0..=0.9)?;
        share("--ema-decay", self.ema_decay, 0.0..=0.999_999)?;
        // The draw of a smaller exponent would leave what an f64 can hold.
        let mixup = if self.mixup == 0.0 { 0.05 } else { self.mixup };
        ensure!((0.05..=4.0).contains(&mixup), "--mixup: expected 0 or a number from 0.05 to 4, found {mixup}");
        let Augmentation { flip, rotation, scale, shift, brightness, contrast, gamma, erase } = self.augmentation;
        share("--flip", flip, 0.0..=1.0)?;
        share("--rotation", rotation, 0.0..=180.0)?;
        share("--scale", scale, 0.0..=0.9)?;
        share("--shift", shift, 0.0..=1.0)?;
        share("--brightness", brightness, 0.0..=1.0)?;
        share("--contrast", contrast, 0.0..=1.0)?;
        share("--gamma", gamma, 0.0..=3.0)?;
        share("--erase", erase, 0.0..=1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_values_out_of_range_are_refused_by_their_flag() {
        Recipe::from_scratch().check().expect("sound");
        Recipe::fine_tuning().check().expect("sound");
        let refused = |recipe: Recipe, flag: &str| {
            let error = recipe.check().expect_err(flag).to_string();
            assert!(error.starts_with(flag), "{error}");
        };
        let recipe = Recipe::from_scratch;
        refused(Recipe { epochs: 0, ..recipe() }, "--epochs");
        refused(Recipe { batch_size: 0, ..recipe() }, "--batch-size");
        refused(Recipe { learning_rate: f64::NAN, ..recipe() }, "--learning-rate");
        refused(Recipe { learning_rate: 0.0, ..recipe() }, "--learning-rate");
        refused(Recipe { patience: Some(0), ..recipe() }, "--patience");
        refused(Recipe { mixup: 0.01, ..recipe() }, "--mixup");
        let augmentation = Augmentation { flip: 1.5, ..Augmentation::default() };
        refused(Recipe { augmentation, ..recipe() }, "--flip");
    }

    #[test]
    fn the_average_reaches_as_many_epochs_back_whatever_their_length() {
        assert!((Recipe::suited_ema_decay(208) - 0.998).abs() < 1e-5);
        assert!((Recipe::suited_ema_decay(20) - 0.979_167).abs() < 1e-9);
        assert!(Recipe::suited_ema_decay(0) > 0.5);
    }

    #[test]
    fn a_config_comes_back_from_its_file_as_it_was() {
        let recipe = Recipe { learning_rate: 0.1 + 0.2, patience: Some(3), ..Recipe::fine_tuning() };
        for init in [Init::Scratch, Init::Shipped, Init::File("a/b".into())] {
            let config =
                TrainConfig { data: "data".into(), data_options: DataOptions::default(), init, recipe: recipe.clone() };
            let text = serde_json::to_string(&config).expect("JSON");
            assert_eq!(serde_json::from_str::<TrainConfig>(&text).expect("config"), config);
        }
    }
}
