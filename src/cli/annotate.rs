//! Arguments of `emocam annotate`.

use anyhow::{Result, bail};
use clap::{Args, value_parser};

use super::common::{Common, source_parser};
use emocam::sink::SinkSpec;
use emocam::source::SourceSpec;

/// `emocam annotate`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam annotate clip.mp4 -o out.mp4 -o out.jsonl     video and data
  emocam annotate photos/ -o faces.csv                 pictures as a table
  emocam annotate clip.mp4 -o frames/%06d.png          each frame as a PNG
  emocam annotate clip.mp4 -o faces/{frame}_{id}.jpg   each face as a JPEG
  emocam annotate clip.mp4 --summary clip.json         each face's time
  emocam annotate *.mp4 -o results/                    many files:
      results/NAME.mp4 and results/NAME.jsonl; the same command again does
      what is not done yet")]
pub(crate) struct Annotate {
    /// Videos, pictures or folders of pictures; - reads a video from standard input, rtsp:// and http:// from the network
    /// (with ffmpeg); `demo` is the clip inside the program
    #[arg(value_name = "INPUT", required = true, value_parser = source_parser())]
    pub(crate) inputs: Vec<SourceSpec>,

    /// Options that `live` has too
    #[command(flatten)]
    pub(crate) common: Common,

    /// Label so many frames at once, 1 to 256: a GPU does more that way; the results are the same, and so many frames
    /// are in memory [default: 1 on the CPU, 8 on a GPU]
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = value_parser!(u16).range(1..=256),
        help_heading = "Faces and labels"
    )]
    pub(crate) batch: Option<u16>,
}

impl Annotate {
    /// Refuses cameras, and outputs that can't hold all of the inputs.
    pub(super) fn check(&self) -> Result<()> {
        for input in &self.inputs {
            if input.is_camera() {
                bail!("`annotate` takes files; for {input} use `emocam live`");
            }
        }
        if let Some(camera) = self.common.outputs.iter().find(|output| matches!(output, SinkSpec::VirtualCamera(_))) {
            bail!(
                "`annotate` goes as fast as the machine does, too fast for {camera} to be watched: \
                 use `emocam live FILE -o {camera}`"
            );
        }
        let is_folder = |output: &SinkSpec| matches!(output, SinkSpec::Stills(_));
        if self.inputs.len() > 1
            && let Some(output) = self.common.outputs.iter().find(|output| !is_folder(output))
        {
            bail!("with several inputs an output must be a folder, whose name ends in a slash; {output} is none");
        }
        for (option, output) in [("--clean", &self.common.clean), ("--summary", &self.common.summary)] {
            if self.inputs.len() > 1 && output.is_some() {
                bail!(
                    "{option} names one file, and there are {} inputs: give it with one at a time",
                    self.inputs.len()
                );
            }
        }
        self.common.check(|| self.inputs.iter().all(SourceSpec::is_one_picture))
    }
}
