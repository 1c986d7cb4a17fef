//! Options that every command with a pipeline has: how faces are looked for and labelled.

use std::path::PathBuf;

use clap::{Args, value_parser};

use emocam::network::calibration::Prior;
use emocam::network::device::DeviceSpec;

/// The help of `--device`.
pub(super) const DEVICE: &str = "Where the network runs: auto (a GPU where this program was built for one and it works, \
                                 else the CPU), cpu, cuda or cuda:N";

/// Options of `live`, `annotate` and `bench`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Faces and labels")]
pub(crate) struct Dials {
    /// Width of the smallest face to be found, in pixels; larger is faster [default: a twentieth of the frame's shorter
    /// side, in pictures a thirtieth, but not less than 16]
    #[arg(long, value_name = "PIXELS", value_parser = value_parser!(u32).range(1..))]
    pub(crate) min_face: Option<u32>,

    /// Sweep the frame for new small faces in this many frames, while near ones and known ones are looked for in each; 1
    /// scans every frame whole, which takes several times as long [default: as many as there are in 0.9 s]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1000))]
    pub(crate) detect_every: Option<u32>,

    /// How long a clear change of expression takes to show, in milliseconds: flicker that is shorter does not. 0 is off;
    /// pictures are never smoothed
    #[arg(long, value_name = "MS", default_value_t = 110, allow_negative_numbers = true, value_parser = value_parser!(u16).range(0..=10_000))]
    pub(crate) smoothing: u16,

    /// Threads that the network computes on, where a frame has several faces; the results do not depend on it [default:
    /// half of the processors, since the other stages need some, too; `annotate` takes all]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,

    /// Weights to use instead of the ones inside the program
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,

    /// How often each emotion is taken to occur: natural (as in the training data), balanced (all equally often, as in a
    /// posed set) or a number between 0 (balanced) and 1 (natural) [default: what the weights say]
    #[arg(long, value_name = "PRIOR", allow_negative_numbers = true)]
    pub(crate) prior: Option<Prior>,

    #[arg(long, value_name = "DEVICE", default_value_t = DeviceSpec::Auto, help = DEVICE)]
    pub(crate) device: DeviceSpec,
}

/// Reads a number of threads.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "expected a whole number of at least 1".into())
}
