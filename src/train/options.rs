//! The settings of a training run as a user gives them: what is left out is chosen to suit the rest.
//!
//! Doc comments here are the text of `emocam train --help`.

use clap::Args;
use serde_json::Value;

use super::config::{ClassWeights, Recipe, Sampling, Selection};
use crate::network::calibration::Prior;
use crate::network::model::Architecture;
use crate::train::optim::ScheduleShape;

/// Everything of a [`Recipe`] that can be asked for, and the network's width.
#[derive(Clone, Debug, Default, Args)]
pub struct RecipeOptions {
    /// Passes over the training pictures [default: 40]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub epochs: Option<usize>,

    /// Pictures per step [default: 128; 32 when fine-tuning]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub batch_size: Option<usize>,

    /// Highest learning rate, that of the last layer [default: 0.003; 0.002 when fine-tuning]
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    pub learning_rate: Option<f64>,

    /// Learning rate of the layers before the last one, as a multiple of its rate; at 0 only their normalization follows
    /// the data
    /// [default: 1; 0.5 when fine-tuning]
    #[arg(long, value_name = "FACTOR", help_heading = "Training")]
    pub body_rate: Option<f64>,

    /// How the learning rate goes up and down [default: one-cycle]
    #[arg(long, value_enum, value_name = "SHAPE", help_heading = "Training")]
    pub schedule: Option<ScheduleShape>,

    /// Share of the steps in which the learning rate rises [default: 0.15]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    pub warm_up: Option<f64>,

    /// Pull of the weights towards 0, per unit of learning rate [default: 0.05]
    #[arg(long, value_name = "DECAY", help_heading = "Training")]
    pub weight_decay: Option<f64>,

    /// Share of each target that is spread over all emotions [default: 0.05]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    pub label_smoothing: Option<f64>,

    /// Share of features that are hidden from the last layer [default: 0.4]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    pub dropout: Option<f64>,

    /// Share of the averaged weights that stays at each step; 0 takes the weights themselves [default: reaches back about
    /// 2.4 epochs: 0.998 with 208 steps in an epoch]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    pub ema_decay: Option<f64>,

    /// How much more a picture of a rare emotion counts [default: inverse-sqrt]
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Training")]
    pub class_weights: Option<ClassWeights>,

    /// How often a picture of a rare emotion is shown; weights are by what is shown [default: natural]
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Training")]
    pub sampling: Option<Sampling>,

    /// Figure on validation by which the best epoch is chosen [default: accuracy]
    #[arg(long, value_enum, value_name = "FIGURE", help_heading = "Training")]
    pub select: Option<Selection>,

    /// End after N epochs without a better one [default: never]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub patience: Option<usize>,

    /// The prior that the weights' probabilities follow, in validation and afterwards [default: natural]
    #[arg(long, value_enum, value_name = "PRIOR", help_heading = "Training")]
    pub prior: Option<Prior>,

    /// Seed of weights, order, augmentation and dropout: the same seed gives the same weights [default: 0]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub seed: Option<u64>,

    /// Channels of the four stages of a network from scratch [default: 16,40,80,160]
    #[arg(long, value_name = "A,B,C,D", value_parser = counts::<4>, help_heading = "Training")]
    pub channels: Option<[usize; 4]>,

    /// Residual blocks in the last three stages of a network from scratch [default: 1,3,2]
    #[arg(long, value_name = "B,C,D", value_parser = counts::<3>, help_heading = "Training")]
    pub blocks: Option<[usize; 3]>,

    /// Chance of a mirrored picture [default: 0.5]
    #[arg(long, value_name = "CHANCE", help_heading = "Augmentation of training pictures")]
    pub flip: Option<f64>,

    /// Largest turn to either side [default: 15]
    #[arg(long, value_name = "DEGREES", help_heading = "Augmentation of training pictures")]
    pub rotation: Option<f64>,

    /// Largest change of size [default: 0.15]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation of training pictures")]
    pub scale: Option<f64>,

    /// Largest shift in each direction, in sides of the picture [default: 0.08]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation of training pictures")]
    pub shift: Option<f64>,

    /// Largest change of brightness; with contrast it shows in what becomes black or white [default: 0.1]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation of training pictures")]
    pub brightness: Option<f64>,

    /// Largest change of contrast [default: 0.2]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation of training pictures")]
    pub contrast: Option<f64>,

    /// Largest logarithm of the gamma exponent [default: 0.4]
    #[arg(long, value_name = "LOG", help_heading = "Augmentation of training pictures")]
    pub gamma: Option<f64>,

    /// Chance of a hidden rectangle [default: 0.5]
    #[arg(long, value_name = "CHANCE", help_heading = "Augmentation of training pictures")]
    pub erase: Option<f64>,

    /// Blend pictures and targets by pairs (mixup), with this parameter of the beta distribution; 0 for none
    /// [default: 0]
    #[arg(long, value_name = "ALPHA", help_heading = "Augmentation of training pictures")]
    pub mixup: Option<f64>,
}

fn counts<const N: usize>(text: &str) -> Result<[usize; N], String> {
    let counts: Option<Vec<usize>> = text.split(',').map(|count| count.trim().parse().ok()).collect();
    let counts: Option<[usize; N]> = counts.and_then(|counts| counts.try_into().ok());
    counts.ok_or_else(|| format!("expected {N} whole numbers with commas between them"))
}

impl RecipeOptions {
    /// Puts what was asked for into a recipe.
    pub fn apply(&self, recipe: &mut Recipe) {
        fn set<T: Clone>(field: &mut T, wish: &Option<T>) {
            if let Some(wish) = wish {
                field.clone_from(wish);
            }
        }
        set(&mut recipe.epochs, &self.epochs);
        set(&mut recipe.batch_size, &self.batch_size);
        set(&mut recipe.learning_rate, &self.learning_rate);
        set(&mut recipe.body_rate, &self.body_rate);
        set(&mut recipe.schedule, &self.schedule);
        set(&mut recipe.warm_up, &self.warm_up);
        set(&mut recipe.weight_decay, &self.weight_decay);
        set(&mut recipe.label_smoothing, &self.label_smoothing);
        set(&mut recipe.dropout, &self.dropout);
        set(&mut recipe.ema_decay, &self.ema_decay);
        set(&mut recipe.class_weights, &self.class_weights);
        set(&mut recipe.sampling, &self.sampling);
        set(&mut recipe.mixup, &self.mixup);
        set(&mut recipe.select, &self.select);
        recipe.patience = self.patience.or(recipe.patience);
        set(&mut recipe.prior, &self.prior);
        set(&mut recipe.seed, &self.seed);
        let augmentation = &mut recipe.augmentation;
        set(&mut augmentation.flip, &self.flip);
        set(&mut augmentation.rotation, &self.rotation);
        set(&mut augmentation.scale, &self.scale);
        set(&mut augmentation.shift, &self.shift);
        set(&mut augmentation.brightness, &self.brightness);
        set(&mut augmentation.contrast, &self.contrast);
        set(&mut augmentation.gamma, &self.gamma);
        set(&mut augmentation.erase, &self.erase);
    }

    /// The recipe that these options come to, on top of defaults, for a set of this many training pictures.
    pub(super) fn resolve(&self, mut recipe: Recipe, pictures: usize) -> Recipe {
        self.apply(&mut recipe);
        recipe.batch_size = recipe.batch_size.min(pictures).max(1);
        let steps = pictures / recipe.batch_size.max(1);
        recipe.ema_decay = self.ema_decay.unwrap_or_else(|| Recipe::suited_ema_decay(steps));
        recipe
    }

    /// The network that is asked for, on top of another.
    pub(super) fn network(&self, arch: Architecture) -> Architecture {
        let (channels, blocks) = (self.channels.unwrap_or(arch.channels), self.blocks.unwrap_or(arch.blocks));
        Architecture { channels, blocks, ..arch }
    }

    /// Whether a network of some shape is asked for.
    pub(super) fn names_network(&self) -> bool {
        self.channels.is_some() || self.blocks.is_some()
    }

    /// What is asked for here and is otherwise in a run, as `epochs 50 instead of 25`.
    pub(super) fn contradictions(&self, recipe: &Recipe, arch: &Architecture) -> Vec<String> {
        let mut wish = recipe.clone();
        self.apply(&mut wish);
        let (wish, has) = (flat(&wish), flat(recipe));
        let differ = wish.into_iter().zip(has).filter(|((_, wish), (_, has))| wish != has);
        let mut all: Vec<_> =
            differ.map(|((name, wish), (_, has))| format!("{name} {wish} instead of {has}")).collect();
        let wish = self.network(arch.clone());
        if wish.channels != arch.channels {
            all.push(format!("channels {:?} instead of {:?}", wish.channels, arch.channels));
        }
        if wish.blocks != arch.blocks {
            all.push(format!("blocks {:?} instead of {:?}", wish.blocks, arch.blocks));
        }
        all
    }
}

/// The names and values of a recipe, with those of its parts.
fn flat(recipe: &Recipe) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    // A recipe holds nothing that JSON can't.
    for (name, value) in serde_json::to_value(recipe).ok().as_ref().and_then(Value::as_object).into_iter().flatten() {
        match value {
            Value::Object(part) => all.extend(part.iter().map(|(name, value)| (name.clone(), value.clone()))),
            _ => all.push((name.clone(), value.clone())),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn options(line: &str) -> Result<RecipeOptions, clap::Error> {
        let command = RecipeOptions::augment_args(Command::new("train").no_binary_name(true));
        RecipeOptions::from_arg_matches(&command.try_get_matches_from(line.split_whitespace())?)
    }

    #[test]
    fn each_setting_has_a_flag_whose_help_names_the_default() {
        let command = RecipeOptions::augment_args(Command::new("train"));
        let (scratch, fine) = (flat(&Recipe::from_scratch()), flat(&Recipe::fine_tuning()));
        assert_eq!(
            scratch.len() + 2,
            command.get_arguments().count(),
            "all settings, and the network's width and depth"
        );
        for ((name, value), (_, fine)) in scratch.into_iter().zip(fine) {
            let argument = command.get_arguments().find(|argument| argument.get_id().as_str() == name);
            let help = argument.and_then(clap::Arg::get_help).expect(&name).to_string();
            let plain = |value: &Value| value.to_string().trim_matches('"').trim_end_matches(".0").to_owned();
            let expected = match &value {
                Value::Null => "never".into(),
                _ if name == "ema_decay" => "reaches back about 2.4 epochs: 0.998".into(),
                _ if value != fine => format!("{}; {} when fine-tuning", plain(&value), plain(&fine)),
                _ => plain(&value),
            };
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(help.contains(&format!("[default: {expected}")), "{name}: {help}");
        }
    }

    #[test]
    fn what_is_asked_for_stands_and_the_rest_suits_it() {
        let line = "--epochs 3 --flip 0 --mixup 0.2 --select macro-f1 --channels 4,4,8,8 --prior balanced";
        let options = options(line).expect("options");
        assert_eq!(options.channels, Some([4, 4, 8, 8]));
        let recipe = options.resolve(Recipe::fine_tuning(), 20);
        assert_eq!((recipe.epochs, recipe.augmentation.flip, recipe.mixup), (3, 0.0, 0.2));
        assert_eq!((recipe.select, recipe.prior), (Selection::MacroF1, Prior::Balanced));
        assert_eq!(recipe.batch_size, 20, "no larger than the set");
        assert_eq!(recipe.ema_decay, Recipe::suited_ema_decay(1));
        assert_eq!(recipe.body_rate, Recipe::fine_tuning().body_rate);
    }

    #[test]
    fn senseless_widths_are_refused() {
        for widths in ["", "16", "1,2,3", "1,2,3,4,5", "1,2,3,x", "-1,2,3,4"] {
            assert!(options(&format!("--channels {widths}")).is_err(), "{widths}");
        }
    }

    #[test]
    fn contradictions_are_named_and_agreement_is_none() {
        let recipe = Recipe::from_scratch();
        let contradictions =
            |line: &str| options(line).expect("options").contradictions(&recipe, &Architecture::default());
        assert!(contradictions("--epochs 40 --flip 0.5 --blocks 1,3,2").is_empty());
        let found = contradictions("--epochs 50 --erase 0 --schedule cosine --blocks 1,2,3");
        let expected = [
            "epochs 50 instead of 40",
            "schedule \"cosine\" instead of \"one-cycle\"",
            "erase 0.0 instead of 0.5",
            "blocks [1, 2, 3] instead of [1, 3, 2]",
        ];
        assert_eq!(found, expected);
    }
}
