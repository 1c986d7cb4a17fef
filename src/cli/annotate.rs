//! Arguments of `emocam annotate`.

use anyhow::{Result, bail, ensure};
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
  emocam annotate -r study/ -o study.csv               all in one table
  emocam annotate *.mp4 -o 'out/{name}.csv'            a table for each
  emocam annotate long.mp4 --rate 2 -o out.csv         two frames a second
  emocam annotate *.mp4 -o results/                    many files:
      results/NAME.mp4 and results/NAME.jsonl; the same command again does
      what is not done yet

Variables in names of outputs: {name} of the input, without its ending;
{folder}, below the folder that all inputs share; {extension}.")]
pub(crate) struct Annotate {
    /// Videos, pictures or folders of pictures; - reads a video from standard input, rtsp:// and http:// from the network
    /// (with ffmpeg); `demo` is the clip inside the program
    #[arg(value_name = "INPUT", required = true, value_parser = source_parser())]
    pub(crate) inputs: Vec<SourceSpec>,

    /// Look for videos and pictures in folders and in those below them, each an input of its own; a folder of results has
    /// the same folders
    #[arg(short, long)]
    pub(crate) recursive: bool,

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
    /// Whether there may be several inputs.
    pub(crate) fn takes_many(&self) -> bool {
        self.inputs.len() > 1 || self.recursive
    }

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
        for output in self.common.all_outputs().iter().filter(|_| self.takes_many()) {
            ensure!(
                output.is_folder() || output.names_input() || output.may_be_shared(),
                "{output} would be one file of several inputs: put {{name}} in it, such as 'out/{{name}}.mp4', or name a \
                 folder with a slash at its end; only data hold them all (.csv, .jsonl, .json)"
            );
        }
        self.common.check(|| self.inputs.iter().all(SourceSpec::is_one_picture))
    }
}
