//! Arguments of `emocam train`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, value_parser};

use super::data::{DataArgs, SOURCES};
use super::dials::{DEVICE, positive};
use emocam::dataset::DataSpec;
use emocam::network::device::DeviceSpec;
use emocam::train::{Init, Recipe, RecipeOptions};

/// `emocam train`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam train --data faces --out runs/mine                fine-tune
  emocam train --data ferplus --out runs/new --init none   from scratch
  emocam train --data faces --out runs/head --freeze       only the last layer
  emocam train --data faces --show-batch sheet.png         look at the pictures
  emocam train --resume runs/mine                          go on with a run
  emocam train --resume runs/mine --epochs 60              to another end
  emocam eval --data faces --weights runs/mine/best.safetensors

A run's folder holds best.safetensors (the weights to use), config.json,
history.csv and the checkpoint from which --resume goes on. Ctrl-C ends a run
after a checkpoint.")]
pub(crate) struct Train {
    #[arg(long, value_name = "DIR", required_unless_present = "resume", help = SOURCES)]
    pub(crate) data: Vec<DataSpec>,

    /// Set that is only measured after each epoch, with all of its parts, as NAME=DIR; may be given several times
    #[arg(long = "watch", value_name = "NAME=DIR", value_parser = watched)]
    pub(crate) watched: Vec<DataSpec>,

    /// Folder for what the run writes
    #[arg(long, value_name = "RUN", required_unless_present_any = ["resume", "show_batch"], conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,

    /// Go on with the run in this folder, as if it had never been interrupted; with --epochs, to another end
    #[arg(long, value_name = "RUN")]
    pub(crate) resume: Option<PathBuf>,

    /// Weights to start from (fine-tuning), or `none` for a network from scratch [default: the weights inside the program]
    #[arg(long, value_name = "FILE|none", conflicts_with = "resume")]
    pub(crate) init: Option<Init>,

    /// Write what the network is shown in the first step as a PNG, and end; nothing is trained
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) show_batch: Option<PathBuf>,

    /// Cross-validation: N runs, each with another Nth of the people for validation, and a report of all; by pictures with
    /// --split random:0.2
    #[arg(long, value_name = "N", conflicts_with_all = ["resume", "show_batch"], value_parser = value_parser!(u32).range(2..=100))]
    pub(crate) folds: Option<u32>,

    #[arg(long, value_name = "DEVICE", default_value_t = DeviceSpec::Auto, help = DEVICE)]
    pub(crate) device: DeviceSpec,

    /// Threads that compute; the results do not depend on it [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,

    /// Which pictures there are
    #[command(flatten)]
    pub(crate) data_options: DataArgs,

    /// How the weights learn
    #[command(flatten)]
    pub(crate) recipe: RecipeOptions,
}

/// A watched set: its name before its place.
fn watched(text: &str) -> Result<DataSpec> {
    let (name, place) = text.split_once('=').context("expected NAME=DIR")?;
    ensure!(!name.is_empty() && !name.contains(['/', ',']), "expected NAME=DIR, found no name before the =");
    let mut spec: DataSpec = place.parse()?;
    spec.name = Some(name.into());
    Ok(spec)
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
