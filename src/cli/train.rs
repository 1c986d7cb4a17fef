//! Arguments of `emocam train` and `emocam eval`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::data::DataArgs;
use emocam::network::calibration::Prior;
use emocam::network::device::DeviceSpec;
use emocam::train::{Init, Recipe, RecipeOptions};

/// `emocam train`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam train --data faces --out runs/mine                fine-tune
  emocam train --data ferplus --out runs/new --init none   from scratch
  emocam train --resume runs/mine                          go on with a run
  emocam eval --data faces --weights runs/mine/best.safetensors

A run's folder holds best.safetensors (the weights to use), config.json,
history.csv and the checkpoint from which --resume goes on. Ctrl-C ends a run
after a checkpoint.")]
pub(crate) struct Train {
    /// Data set: the folder of FER+, of KDEF, or with a folder for each class (maybe below train, val and test); or
    /// FER2013 as a .csv file
    #[arg(long, value_name = "DIR", required_unless_present = "resume")]
    pub(crate) data: Option<PathBuf>,

    /// Folder for what the run writes
    #[arg(long, value_name = "RUN", required_unless_present = "resume", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,

    /// Go on with the run in this folder, as if it had never been interrupted
    #[arg(long, value_name = "RUN")]
    pub(crate) resume: Option<PathBuf>,

    /// Weights to start from (fine-tuning), or `none` for a network from scratch [default: the weights inside the program]
    #[arg(long, value_name = "FILE|none", conflicts_with = "resume")]
    pub(crate) init: Option<Init>,

    /// Where the network runs: auto (a GPU where this program was built for one and it works, else the CPU), cpu, cuda or
    /// cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceSpec::Auto)]
    pub(crate) device: DeviceSpec,

    /// Threads that compute [default: one for each processor]; the results do not depend on it
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,

    /// Which pictures there are
    #[command(flatten)]
    pub(crate) data_options: DataArgs,

    /// How the weights learn
    #[command(flatten)]
    pub(crate) recipe: RecipeOptions,
}

impl Train {
    /// Refuses settings that make no sense.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.resume.is_none() || !self.data_options.decides(),
            "a run goes on with the pictures that it was started with: beside --resume, only --data and --cache say where \
             they are now"
        );
        self.recipe.applied_to(Recipe::default())?.check()
    }
}

/// `emocam eval`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam eval --data ferplus                       the weights inside emocam
  emocam eval --data faces --weights mine.safetensors --part all
  emocam eval --data ferplus --out report          pictures and tables, too")]
pub(crate) struct Eval {
    /// Data set: the folder of FER+, of KDEF, or with a folder for each class (maybe below train, val and test); or
    /// FER2013 as a .csv file
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// Weights to measure instead of the ones inside the program
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,

    /// Which pictures there are
    #[command(flatten)]
    pub(crate) data_options: DataArgs,

    /// Which part of the data set [default: test, or validation where there is no test part]
    #[arg(long, value_parser = ["train", "validation", "test", "all"])]
    pub(crate) part: Option<String>,

    /// How often each emotion is taken to occur; without this, what the weights say [possible values: natural, balanced]
    #[arg(long, value_enum, value_name = "PRIOR", hide_possible_values = true)]
    pub(crate) prior: Option<Prior>,

    /// Count pictures in which no face was found as errors, instead of leaving them out
    #[arg(long)]
    pub(crate) count_missed: bool,

    /// Folder for the report: text, JSON, predictions as CSV, confusion matrix and reliability diagram
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Where the network runs: auto (a GPU where this program was built for one and it works, else the CPU), cpu, cuda or
    /// cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceSpec::Auto)]
    pub(crate) device: DeviceSpec,
}

pub(super) fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "expected a whole number of at least 1".into())
}
