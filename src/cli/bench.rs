//! Arguments of `emocam bench`.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use super::common::source_parser;
use super::dials::Dials;
use emocam::source::SourceSpec;

/// The longest that a source is played, in seconds: a day.
const LONGEST: f64 = 86_400.0;

/// `emocam bench`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam bench                                 the clip inside the program
  emocam bench clip.mp4 --seconds 60           a minute of a video of your own
  emocam bench photos/ --json > figures.json   figures as data

Needs neither a camera nor a display. Figures are also given as multiples of
one scan of a whole frame on the same machine in the same minute, because such
ratios can be compared between machines and times can't.")]
pub(crate) struct Bench {
    /// Video, picture, folder of pictures, or demo
    #[arg(value_name = "SOURCE", default_value = "demo", value_parser = source_parser())]
    pub(crate) source: SourceSpec,

    /// Write the figures as one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// How long the source is played as if from a camera; half as long, it is read as fast as it goes
    #[arg(long, value_name = "SECONDS", default_value = "10", allow_negative_numbers = true, value_parser = duration)]
    pub(crate) seconds: Duration,

    /// How faces are looked for and labelled
    #[command(flatten)]
    pub(crate) dials: Dials,
}

impl Bench {
    /// Refuses sources that set the pace themselves.
    pub(super) fn check(&self) -> Result<()> {
        if let SourceSpec::CameraIndex(_) | SourceSpec::CameraPath(_) = self.source {
            bail!("`bench` takes files, which it plays at a known rate; for {} use `emocam live --stats`", self.source);
        }
        Ok(())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=LONGEST).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("expected seconds, from 0.1 to {LONGEST}"))
}
