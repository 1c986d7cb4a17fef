//! The settings of a training run, as they are written into its folder.
//!
//! Owns what the settings mean, their defaults and their limits. What a user typed is in `options`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::augment::Augmentation;
use crate::dataset::settings::settings;
use crate::network::calibration::Prior;
use crate::train::optim::ScheduleShape;
use crate::train::selection::Selection;
use crate::train::source::Source;

/// A whole training run: `config.json` in its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TrainConfig {
    /// The data sets that are learned from; the first decides.
    pub(super) sources: Vec<Source>,
    /// Those that are only measured.
    pub(super) watched: Vec<Source>,
    /// What the weights start from.
    pub(super) init: Init,
    /// How they learn.
    pub(super) recipe: Recipe,
    /// What was asked for where the recipe has another value, which suits the data; by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) adjusted: BTreeMap<String, Value>,
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

impl From<OsString> for Init {
    /// `none`, or the name of a file.
    fn from(text: OsString) -> Self {
        if text == "none" { Self::Scratch } else { Self::File(text.into()) }
    }
}

settings! {
    /// How weights learn. It travels in the card of what it made. The defaults are those for weights that start as random
    /// numbers.
    Recipe, "Training";
    /// Passes over the training pictures
    epochs: usize = 40, "N", 1..=100_000;
    /// Pictures per step [default: 128; when fine-tuning 32, or 16 with fewer than 2000 pictures]
    batch_size: usize = 128, "N", 1..=65_536;
    /// Highest learning rate, that of the last layer
    learning_rate: f64 = 3e-3, "RATE", 1e-9..=1.0;
    /// Learning rate of the layers before the last one, as a multiple of its rate; at 0 only their normalization follows the
    /// data
    body_rate: f64 = 1.0, "FACTOR", 0.0..=10.0;
    /// Only the last layer learns: the layers before it stay as they are, bit for bit, with their normalization
    #[arg(conflicts_with = "body_rate")]
    freeze: bool = false, "";
    /// How the learning rate goes up and down
    schedule: ScheduleShape = ScheduleShape::OneCycle, "SHAPE";
    /// Share of the steps in which the learning rate rises
    warm_up: f64 = 0.15, "SHARE", 0.0..=0.9;
    /// Pull of the weights towards 0, per unit of learning rate
    weight_decay: f64 = 0.05, "DECAY", 0.0..=1.0;
    // Szegedy et al. 2015, <https://arxiv.org/abs/1512.00567>
    /// Share of each target that is spread over all emotions
    label_smoothing: f64 = 0.05, "SHARE", 0.0..=0.9;
    /// Share of features that are hidden from the last layer
    dropout: f64 = 0.4, "SHARE", 0.0..=0.9;
    /// Share of the averaged weights that stays at each step; 0 takes the weights themselves [default: reaches back about
    /// 2.4 epochs: 0.998 with 208 steps in an epoch]
    ema_decay: f64 = 0.998, "SHARE", 0.0..=0.999_999;
    /// How much more a picture of a rare emotion counts
    class_weights: ClassWeights = ClassWeights::InverseSqrt, "RULE";
    /// How often a picture of a rare emotion is shown; weights are by what is shown
    sampling: Sampling = Sampling::Natural, "RULE";
    /// Blend pictures and targets by pairs (mixup), with this parameter of the beta distribution; 0 for none
    #[arg(help_heading = "Augmentation of training pictures", display_order = 100)]
    mixup: f64 = 0.0, "ALPHA";
    /// Figure on validation by which the best epoch is chosen: accuracy, macro-f1, mean-recall or loss; its mean over several
    /// sets as in mean-recall:ferplus,web, by the names of data and watched sets
    select: Selection = Selection::default(), "FIGURE";
    /// End after N epochs without a better one
    patience: Option<usize> = None, "N", 1..=100_000;
    /// The prior that the weights' probabilities follow, in validation and afterwards: natural, balanced or a number between
    /// 0 (balanced) and 1 (natural)
    prior: Prior = Prior::NATURAL, "PRIOR";
    /// Seed of weights, order, augmentation and dropout: the same seed gives the same weights
    seed: u64 = 0, "N";
    ..
    /// Random changes to training pictures
    augmentation: Augmentation;
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

/// How many epochs the average of the weights reaches back, roughly. With the 208 steps that FER+ has in an epoch this is a
/// decay of 0.998 a step; with the few steps of a small set it must be less, or the average would never arrive.
const AVERAGED_EPOCHS: f64 = 2.4;

impl Recipe {
    /// Below so many training pictures fine-tuning takes this many a step, so that there are steps enough. On 783 pictures
    /// of 70 people it came to 93.9% on validation, with 32 a step to 92.9%.
    pub(super) const FEW_PICTURES: usize = 2000;
    pub(super) const BATCH_OF_FEW: usize = 16;

    /// The defaults for weights that have learned before. They are meant for some hundreds or thousands of pictures: small
    /// batches, a body that moves less than the last layer, and few epochs, because the best one comes early (on 783
    /// pictures the 15th of 40, after which two points were lost again).
    pub fn fine_tuning() -> Self {
        Self { epochs: 20, batch_size: 32, learning_rate: 2e-3, body_rate: 0.5, ..Self::default() }
    }

    /// The defaults for what the weights start from.
    pub(super) fn of(init: &Init) -> Self {
        if *init == Init::Scratch { Self::default() } else { Self::fine_tuning() }
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
        self.check_ranges()?;
        // Of a smaller parameter almost all shares are 0 or 1, which is no mixture.
        let (mixup, range) = (self.mixup, 0.05..=4.0);
        ensure!(
            mixup == 0.0 || range.contains(&mixup),
            "--mixup: expected 0 or a number from 0.05 to 4, found {mixup}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_values_out_of_range_are_refused_by_their_flag() {
        Recipe::default().check().expect("sound");
        Recipe::fine_tuning().check().expect("sound");
        let refused = |recipe: Recipe, flag: &str| {
            let error = recipe.check().expect_err(flag).to_string();
            assert!(error.starts_with(flag), "{error}");
        };
        let recipe = Recipe::default;
        refused(Recipe { epochs: 0, ..recipe() }, "--epochs: expected a whole number from 1 to 100000, found 0");
        refused(Recipe { batch_size: 0, ..recipe() }, "--batch-size");
        refused(Recipe { learning_rate: f64::NAN, ..recipe() }, "--learning-rate");
        refused(Recipe { learning_rate: 0.0, ..recipe() }, "--learning-rate");
        refused(Recipe { patience: Some(0), ..recipe() }, "--patience");
        refused(Recipe { mixup: 0.01, ..recipe() }, "--mixup");
        let augmentation = Augmentation { flip: 1.5, ..Augmentation::default() };
        refused(Recipe { augmentation, ..recipe() }, "--flip: expected a number from 0 to 1, found 1.5");
    }

    #[test]
    fn the_average_reaches_as_many_epochs_back_whatever_their_length() {
        assert!((Recipe::suited_ema_decay(208) - 0.998).abs() < 1e-5);
        assert!((Recipe::suited_ema_decay(20) - 0.979_167).abs() < 1e-9);
        assert!(Recipe::suited_ema_decay(0) > 0.5);
    }
}
