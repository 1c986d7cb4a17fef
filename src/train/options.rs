//! The settings of a training run as a user gives them: what is left out is chosen to suit the rest.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use serde_json::Value;

use super::config::{Init, Recipe, TrainConfig};
use crate::network::model::Architecture;

/// What of a [`Recipe`], and of the network's shape, is asked for.
#[derive(Clone, Debug)]
pub struct RecipeOptions {
    recipe: ArgMatches,
    shape: ShapeOptions,
}

#[derive(Clone, Debug, Args)]
struct ShapeOptions {
    /// Channels of the four stages of a network from scratch [default: 16,40,80,160]
    #[arg(long, value_name = "A,B,C,D", value_parser = counts::<4>, help_heading = "Training")]
    channels: Option<[usize; 4]>,

    /// Residual blocks in the last three stages of a network from scratch [default: 1,3,2]
    #[arg(long, value_name = "B,C,D", value_parser = counts::<3>, help_heading = "Training")]
    blocks: Option<[usize; 3]>,
}

impl Args for RecipeOptions {
    fn augment_args(command: Command) -> Command {
        let (scratch, fine) = (flat(&Recipe::default()), flat(&Recipe::fine_tuning()));
        let with_default = |argument: Arg| {
            let at = scratch.iter().position(|(name, _)| argument.get_id() == name.as_str());
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            match at {
                // A switch needs no word on what it is without being given.
                Some(at) if !scratch[at].1.is_boolean() && !help.contains("[default: ") => {
                    let default = default_in_words(&scratch[at].1, &fine[at].1);
                    argument.help(format!("{help} [default: {default}]"))
                }
                _ => argument,
            }
        };
        // For an update nothing is required, and what is left out stays.
        ShapeOptions::augment_args(Recipe::augment_args_for_update(command)).mut_args(with_default)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RecipeOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self { recipe: matches.clone(), shape: ShapeOptions::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// `128; 32 when fine-tuning`.
fn default_in_words(scratch: &Value, fine: &Value) -> String {
    let plain = |value: &Value| match value {
        Value::Null => "never".to_owned(),
        value => value.to_string().trim_matches('"').trim_end_matches(".0").to_owned(),
    };
    if scratch == fine { plain(scratch) } else { format!("{}; {} when fine-tuning", plain(scratch), plain(fine)) }
}

fn counts<const N: usize>(text: &str) -> Result<[usize; N], String> {
    let counts: Option<Vec<usize>> = text.split(',').map(|count| count.trim().parse().ok()).collect();
    let counts: Option<[usize; N]> = counts.and_then(|counts| counts.try_into().ok());
    counts.ok_or_else(|| format!("expected {N} whole numbers with commas between them"))
}

impl RecipeOptions {
    /// A recipe with what is asked for in it.
    ///
    /// # Errors
    /// Never for what was parsed as these options.
    pub fn applied_to(&self, mut recipe: Recipe) -> Result<Recipe> {
        // A switch that is not given says nothing; clap takes it for a no.
        let freeze = recipe.freeze;
        recipe.update_from_arg_matches(&self.recipe)?;
        recipe.freeze |= freeze;
        Ok(recipe)
    }

    /// The recipe, with what is asked for in it, for a set of this many training pictures.
    pub(super) fn suited(&self, mut recipe: Recipe, init: &Init, pictures: usize) -> Recipe {
        if *init != Init::Scratch && pictures < Recipe::FEW_PICTURES && !self.recipe.contains_id("batch_size") {
            recipe.batch_size = Recipe::BATCH_OF_FEW;
        }
        recipe.batch_size = recipe.batch_size.min(pictures).max(1);
        if !self.recipe.contains_id("ema_decay") {
            recipe.ema_decay = Recipe::suited_ema_decay(pictures / recipe.batch_size);
        }
        recipe
    }

    /// The network that is asked for, on top of another.
    pub(super) fn network(&self, arch: Architecture) -> Architecture {
        let ShapeOptions { channels, blocks } = self.shape;
        Architecture { channels: channels.unwrap_or(arch.channels), blocks: blocks.unwrap_or(arch.blocks), ..arch }
    }

    /// Whether a network of some shape is asked for.
    pub(super) fn names_network(&self) -> bool {
        self.shape.channels.is_some() || self.shape.blocks.is_some()
    }

    /// What is asked for and has become another value in the recipe of a run, by name.
    pub(super) fn adjusted(&self, recipe: &Recipe) -> Result<BTreeMap<String, Value>> {
        let (wish, has) = (flat(&self.applied_to(recipe.clone())?), flat(recipe));
        Ok(wish.into_iter().zip(has).filter(|(wish, has)| wish != has).map(|(wish, _)| wish).collect())
    }

    /// How many epochs are asked for.
    pub(super) fn epochs(&self) -> Option<usize> {
        self.recipe.get_one("epochs").copied()
    }

    /// What is asked for here and is otherwise in a run, as `flip 0.5 instead of 0.2`. What was asked for when the run was
    /// started may be asked for again, also where it has become another value; and a run may get other epochs.
    pub(super) fn contradictions(&self, config: &TrainConfig, arch: &Architecture) -> Result<Vec<String>> {
        let TrainConfig { recipe, adjusted, .. } = config;
        let (wish, has) = (flat(&self.applied_to(recipe.clone())?), flat(recipe));
        let differ = wish
            .into_iter()
            .zip(has)
            .filter(|((name, wish), (_, has))| wish != has && adjusted.get(name) != Some(wish) && name != "epochs");
        let mut all: Vec<_> =
            differ.map(|((name, wish), (_, has))| format!("{name} {wish} instead of {has}")).collect();
        let wish = self.network(arch.clone());
        if wish.channels != arch.channels {
            all.push(format!("channels {:?} instead of {:?}", wish.channels, arch.channels));
        }
        if wish.blocks != arch.blocks {
            all.push(format!("blocks {:?} instead of {:?}", wish.blocks, arch.blocks));
        }
        Ok(all)
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
pub(super) mod tests {
    use super::*;
    use crate::dataset::augment::Augmentation;
    use crate::network::calibration::Prior;

    pub(in super::super) fn options(line: &str) -> Result<RecipeOptions, Error> {
        let command = RecipeOptions::augment_args(Command::new("train").no_binary_name(true));
        RecipeOptions::from_arg_matches(&command.try_get_matches_from(line.split_whitespace())?)
    }

    #[test]
    fn help_names_the_defaults() {
        let command = RecipeOptions::augment_args(Command::new("train"));
        for (name, default) in [
            ("epochs", "40; 20 when fine-tuning"),
            ("batch_size", "128; when fine-tuning 32, or 16 with fewer than 2000 pictures"),
            ("body_rate", "1; 0.5 when fine-tuning"),
            ("schedule", "one-cycle"),
            ("ema_decay", "reaches back about 2.4 epochs: 0.998 with 208 steps in an epoch"),
            ("patience", "never"),
            ("rotation", "15"),
        ] {
            let argument = command.get_arguments().find(|argument| argument.get_id() == name).expect(name);
            let help = argument.get_help().expect(name).to_string();
            assert!(help.ends_with(&format!(" [default: {default}]")), "{name}: {help}");
        }
    }

    #[test]
    fn what_is_asked_for_stands_and_the_rest_suits_it() {
        let line = "--epochs 3 --flip 0 --mixup 0.2 --select macro-f1 --channels 4,4,8,8 --prior balanced --patience 2";
        let options = options(line).expect("options");
        assert_eq!(options.network(Architecture::default()).channels, [4, 4, 8, 8]);
        let recipe = options.applied_to(Recipe::fine_tuning()).expect("a recipe");
        let recipe = options.suited(recipe, &Init::Shipped, 14);
        let expected = Recipe {
            epochs: 3,
            mixup: 0.2,
            select: "macro-f1".parse().expect("a selection"),
            prior: Prior::BALANCED,
            patience: Some(2),
            // No larger than the set.
            batch_size: 14,
            ema_decay: Recipe::suited_ema_decay(1),
            augmentation: Augmentation { flip: 0.0, ..Default::default() },
            ..Recipe::fine_tuning()
        };
        assert_eq!(recipe, expected);
    }

    #[test]
    fn a_small_set_is_fine_tuned_in_small_batches_unless_others_are_asked_for() {
        let size = |line: &str, init: &Init, pictures: usize| {
            let options = options(line).expect("options");
            options.suited(options.applied_to(Recipe::of(init)).expect("a recipe"), init, pictures).batch_size
        };
        assert_eq!([1999, 2000].map(|pictures| size("", &Init::Shipped, pictures)), [16, 32]);
        assert_eq!(size("", &Init::Scratch, 1999), 128);
        assert_eq!(["--batch-size 32", "--batch-size 64"].map(|line| size(line, &Init::Shipped, 40)), [32, 40]);
    }

    #[test]
    fn senseless_widths_are_refused() {
        for widths in ["", "16", "1,2,3", "1,2,3,4,5", "1,2,3,x", "-1,2,3,4"] {
            assert!(options(&format!("--channels {widths}")).is_err(), "{widths}");
        }
    }

    #[test]
    fn a_prior_is_a_setting_by_name_or_number() {
        let contradictions = |recipe: &Recipe, line: &str| {
            let (sources, watched, adjusted) = (Vec::new(), Vec::new(), BTreeMap::new());
            let config = TrainConfig { sources, watched, init: Init::Scratch, recipe: recipe.clone(), adjusted };
            options(line).expect("options").contradictions(&config, &Architecture::default()).expect("contradictions")
        };
        let quarter = Recipe { prior: "0.25".parse().expect("a prior"), ..Recipe::default() };
        assert!(contradictions(&Recipe::default(), "--prior 1").is_empty(), "natural by its number");
        assert!(contradictions(&quarter, "--prior 0.25").is_empty());
        assert_eq!(contradictions(&quarter, "--prior balanced"), ["prior \"balanced\" instead of 0.25"]);
        assert!(options("--prior 1.5").is_err());
    }

    #[test]
    fn contradictions_are_named_and_agreement_is_none() {
        let asked = options("--batch-size 200 --seed 3").expect("options");
        let recipe = asked.applied_to(Recipe::default()).expect("a recipe");
        let recipe = asked.suited(recipe, &Init::Scratch, 90);
        let adjusted = asked.adjusted(&recipe).expect("values");
        assert_eq!(adjusted, BTreeMap::from([("batch_size".to_owned(), 200.into())]));
        let (sources, watched) = (Vec::new(), Vec::new());
        let config = TrainConfig { sources, watched, init: Init::Scratch, recipe, adjusted };
        let contradictions = |line: &str| {
            let options = options(line).expect("options");
            options.contradictions(&config, &Architecture::default()).expect("contradictions")
        };
        for same in ["--batch-size 200 --seed 3", "--batch-size 90", "--epochs 50 --flip 0.5 --blocks 1,3,2"] {
            assert!(contradictions(same).is_empty(), "{same}");
        }
        let found = contradictions("--batch-size 128 --freeze --erase 0 --schedule cosine --blocks 1,2,3");
        let expected = [
            "batch_size 128 instead of 90",
            "freeze true instead of false",
            "schedule \"cosine\" instead of \"one-cycle\"",
            "erase 0.0 instead of 0.5",
            "blocks [1, 2, 3] instead of [1, 3, 2]",
        ];
        assert_eq!(found, expected);
    }
}
