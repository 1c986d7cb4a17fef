//! Arguments of `emocam eval`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::data::{DATA, DataArgs};
use super::dials::DEVICE;
use emocam::dataset::Part;
use emocam::network::calibration::Prior;
use emocam::network::device::DeviceSpec;

/// `emocam eval`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam eval --data ferplus                       the weights inside emocam
  emocam eval --data faces --weights mine.safetensors --part all
  emocam eval --data ferplus --out report          pictures and tables, too")]
pub(crate) struct Eval {
    #[arg(long, value_name = "DIR", help = DATA)]
    pub(crate) data: PathBuf,

    /// Weights to measure instead of the ones inside the program
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,

    /// Folder for the report: text, JSON, predictions as CSV, confusion matrix and reliability diagram
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Which part of the data set [default: test, or validation where there is no test part]
    #[arg(long, value_enum)]
    pub(crate) part: Option<Parts>,

    /// How often each emotion is taken to occur; without this, what the weights say [possible values: natural, balanced]
    #[arg(long, value_enum, value_name = "PRIOR", hide_possible_values = true)]
    pub(crate) prior: Option<Prior>,

    /// Count pictures in which no face was found as errors, instead of leaving them out
    #[arg(long)]
    pub(crate) count_missed: bool,

    #[arg(long, value_name = "DEVICE", default_value_t = DeviceSpec::Auto, help = DEVICE)]
    pub(crate) device: DeviceSpec,

    /// Which pictures there are
    #[command(flatten)]
    pub(crate) data_options: DataArgs,
}

/// What of a data set is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub(crate) enum Parts {
    Train,
    Validation,
    Test,
    All,
}

impl Parts {
    /// The name as shown to users.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
            Self::All => "all",
        }
    }

    /// The parts that are meant.
    pub(crate) const fn parts(self) -> &'static [Part] {
        match self {
            Self::Train => &[Part::Train],
            Self::Validation => &[Part::Validation],
            Self::Test => &[Part::Test],
            Self::All => &Part::ALL,
        }
    }
}
