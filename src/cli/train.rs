//! Arguments of `emocam train` and `emocam eval`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::device::DeviceSpec;

/// `emocam train`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  emocam train --data ferplus --out runs/first
  emocam eval --data ferplus --weights runs/first/best.safetensors")]
pub struct Train {
    /// Folder of the data set: FER+ in its published layout
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,

    /// Folder for the weights and the history of the run
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Passes over the training pictures
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = positive)]
    pub epochs: usize,

    /// Pictures per step
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = two_or_more)]
    pub batch_size: usize,

    /// Highest learning rate
    #[arg(long, value_name = "RATE", default_value_t = 3e-3, value_parser = positive_rate)]
    pub learning_rate: f64,

    /// Seed of weights, order, augmentation and dropout: the same seed gives the same weights
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// Where the network runs: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceSpec::Auto)]
    pub device: DeviceSpec,
}

/// `emocam eval`
#[derive(Debug, Args)]
pub struct Eval {
    /// Folder of the data set: FER+ in its published layout
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,

    /// Weights to measure instead of the ones inside the program
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,

    /// Which part of the data set
    #[arg(long, value_enum, default_value_t = SplitName::Test)]
    pub split: SplitName,

    /// Where the network runs: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceSpec::Auto)]
    pub device: DeviceSpec,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum SplitName {
    Train,
    Validation,
    Test,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "expected a whole number of at least 1".into())
}

fn two_or_more(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 1).ok_or_else(|| "expected a whole number of at least 2".into())
}

fn positive_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|&rate: &f64| rate > 0.0 && rate <= 1.0);
    rate.ok_or_else(|| "expected a number above 0 and at most 1".into())
}
