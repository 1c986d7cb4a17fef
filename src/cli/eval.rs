//! Arguments of `emocam eval`.

use std::path::PathBuf;

use clap::Args;

use super::data::{DATA, DataArgs};
use super::dials::DEVICE;
use emocam::network::calibration::Prior;
use emocam::network::device::DeviceSpec;

/// `emocam eval`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam eval --data ferplus                       the weights inside emocam
  emocam eval --data faces --weights mine.safetensors --part all
  emocam eval --data ferplus --out report          pictures and tables, too
  emocam eval --data faces --robust                also as poor cameras see them")]
pub(crate) struct Eval {
    #[arg(long, value_name = "DIR", help = DATA)]
    pub(crate) data: PathBuf,

    /// Weights to measure instead of the ones inside the program
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,

    /// Folder for the report: text, JSON, predictions as CSV, confusion matrix, reliability diagram, sheets of
    /// the surest mistakes and the least sure predictions
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Which part of the data set [default: test, or validation where there is no test part]
    #[arg(long, value_parser = ["train", "validation", "test", "all"])]
    pub(crate) part: Option<String>,

    /// How often each emotion is taken to occur: natural, balanced or a number between 0 (balanced) and 1 (natural)
    /// [default: what the weights say]
    #[arg(long, value_name = "PRIOR", allow_negative_numbers = true)]
    pub(crate) prior: Option<Prior>,

    /// Count pictures in which no face was found as errors, instead of leaving them out
    #[arg(long)]
    pub(crate) count_missed: bool,

    /// Measure also on degraded copies of the pictures: blurred, with few pixels, noise or traces of JPEG, in half the light,
    /// tilted, with a covered mouth; takes twelve times as long
    #[arg(long)]
    pub(crate) robust: bool,

    #[arg(long, value_name = "DEVICE", default_value_t = DeviceSpec::Auto, help = DEVICE)]
    pub(crate) device: DeviceSpec,

    /// Which pictures there are
    #[command(flatten)]
    pub(crate) data_options: DataArgs,
}
