//! Arguments as typed, and what is wrong with them.
//!
//! What they come to is in `run.rs`. Doc comments here are the text of `--help`.

mod bench;
mod data;
mod dials;
pub(crate) mod manual;
mod train;

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, value_parser};

use crate::view::keys::Mirror;
pub(crate) use bench::Bench;
pub(crate) use dials::Dials;
use emocam::draw::Privacy;
use emocam::sink::{self, BitsPerSecond, Quality, SinkSpec};
use emocam::source::{SourceSpec, WantedFormat};
pub(crate) use train::{Eval, Train};

/// Recognizes facial expressions in real time: camera, video or pictures in; labelled boxes, video and data out
///
/// Everything runs on this machine: nothing is downloaded and nothing leaves it.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 80, subcommand_value_name = "COMMAND")]
#[command(after_help = "Examples:
  emocam live                              the first camera, in a window
  emocam annotate clip.mp4 -o out.mp4      a video with labels
  emocam annotate photos/ -o faces.csv     a folder of pictures as a table
  emocam train --data faces --out mine     weights for faces of your own

`emocam COMMAND --help` has each command's options and more examples.")]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The arguments of this process. Ends it, with exit code 2 and a message, where they are wrong.
    pub(crate) fn from_arguments() -> Self {
        let cli = Self::parse();
        if let Err(error) = cli.check() {
            Self::command().error(ErrorKind::ValueValidation, error).exit();
        }
        cli
    }

    /// Refuses what is wrong only in combination.
    fn check(&self) -> Result<()> {
        let common = match &self.command {
            Command::Live(live) => &live.common,
            Command::Annotate(annotate) => {
                annotate.check()?;
                &annotate.common
            }
            Command::Bench(bench) => return bench.check(),
            Command::Train(train) => return train.check(),
            Command::Cameras(_) | Command::Eval(_) | Command::Completions(_) | Command::Man => return Ok(()),
        };
        // The statistics are one more file that is written.
        let stats = common.stats.iter().cloned().map(SinkSpec::Jsonl);
        // The timeline is, too.
        let stats = stats.chain(common.summary.iter().filter_map(SinkSpec::timeline));
        sink::check_distinct(&common.all_outputs().into_iter().chain(stats).collect::<Vec<_>>())
    }
}

/// What emocam can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Label faces as a camera sees them, in a window
    Live(Live),
    /// Label every frame of files, as fast as the machine goes
    Annotate(Annotate),
    /// Measure how fast this machine labels faces
    Bench(Bench),
    /// List the cameras that can be opened
    Cameras(Cameras),
    /// Train weights on labelled faces
    Train(Box<Train>),
    /// Measure weights on labelled faces
    Eval(Eval),
    /// Write completions for a shell to standard output
    Completions(Completions),
    /// Write the manual page to standard output
    #[command(after_help = "Examples:
  emocam man | man -l -                                    read it
  emocam man > ~/.local/share/man/man1/emocam.1            for `man emocam`")]
    Man,
}

/// `emocam completions`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam completions bash > ~/.local/share/bash-completion/completions/emocam
  emocam completions zsh > ~/.zfunc/_emocam
  emocam completions fish > ~/.config/fish/completions/emocam.fish")]
pub(crate) struct Completions {
    /// bash, zsh or fish
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"], hide_possible_values = true)]
    pub(crate) shell: String,
}

/// `emocam live`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam live                            the first camera, else the demo
  emocam live 1 -o today.mp4             camera 1, and a recording
  emocam live C920                       the camera with this in its name
  emocam live demo                       a short clip inside the program
  emocam live --privacy blur             nobody can be recognized
  emocam live --headless -o - | jq .     no window, JSON lines

Keys in the window: h shows them all, q or Esc ends the run, r records,
s saves the picture, p hides faces. Ctrl-C in the terminal ends it, too.")]
pub(crate) struct Live {
    /// Camera index, part of a camera's name, /dev/video path, video, picture, folder of pictures, or demo
    #[arg(value_name = "SOURCE", value_parser = source_parser())]
    pub(crate) source: Option<SourceSpec>,

    /// Run without a window; show one line of status in the terminal
    #[arg(long)]
    pub(crate) headless: bool,

    /// Ask a camera for a size, a frame rate and a pixel format (mjpeg, yuyv, nv12 or grey), such as 1280x720,
    /// 1280x720@30 or 1280x720@30:mjpeg [default: what is nearest to 640x480 at 25 fps or more]
    #[arg(long, value_name = "FORMAT", help_heading = "Camera")]
    pub(crate) camera_format: Option<WantedFormat>,

    /// End with an error when the camera is unplugged or stops, instead of waiting for it
    #[arg(long, help_heading = "Camera")]
    pub(crate) no_reconnect: bool,

    /// Where to mirror the picture: off, auto (in the window, for cameras), window or all (recordings, too). Data keep the
    /// camera's own sides
    #[arg(
        long,
        value_enum,
        value_name = "WHERE",
        default_value_t,
        hide_possible_values = true,
        help_heading = "Picture"
    )]
    pub(crate) mirror: Mirror,

    /// Options that `annotate` has too
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `emocam cameras`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam cameras                       names, sizes and frame rates
  emocam cameras --json | jq '.[0]'    the first one, as data")]
pub(crate) struct Cameras {
    /// Print the list as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `emocam annotate`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam annotate clip.mp4 -o out.mp4 -o out.jsonl     video and data
  emocam annotate photos/ -o faces.csv                 pictures as a table
  emocam annotate clip.mp4 -o frames/%06d.png          each frame as a PNG
  emocam annotate clip.mp4 --summary clip.json         each face's time
  emocam annotate *.mp4 -o results/                    many files:
      results/NAME.mp4 and results/NAME.jsonl; the same command again does
      what is not done yet")]
pub(crate) struct Annotate {
    /// Videos, pictures or folders of pictures; `demo` is the clip inside the program
    #[arg(value_name = "INPUT", required = true, value_parser = source_parser())]
    pub(crate) inputs: Vec<SourceSpec>,

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

    /// Options that `live` has too
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Annotate {
    fn check(&self) -> Result<()> {
        for input in &self.inputs {
            if let SourceSpec::CameraIndex(_) | SourceSpec::CameraPath(_) = input {
                bail!("`annotate` takes files; for {input} use `emocam live`");
            }
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
        Ok(())
    }
}

/// Options of `live` and `annotate`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Outputs")]
pub(crate) struct Common {
    /// Write results here; may be given several times. FILE ends in .mp4 (annotated video), .jsonl or .csv (data) or
    /// .png (one picture; with %06d in its name, one a frame), or is a folder; - writes JSON lines to standard output
    #[arg(short, long = "output", value_name = "FILE", value_parser = sink_parser())]
    pub(crate) outputs: Vec<SinkSpec>,

    /// Record the picture without boxes and labels, too; FILE ends in .mp4
    #[arg(long, value_name = "FILE", value_parser = clean_parser())]
    pub(crate) clean: Option<SinkSpec>,

    /// Write what each face showed over the whole run: time seen, share of each emotion, changes, longest spell. FILE ends
    /// in .json; a timeline of the same name, but .png, lies beside it
    #[arg(long, value_name = "FILE", value_parser = summary_parser())]
    pub(crate) summary: Option<SinkSpec>,

    /// How well recordings show what was seen, from 0 (best) to 51, as x264's option of this name; larger is smaller
    /// [default: 22]
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(0..=51), conflicts_with = "bitrate")]
    pub(crate) crf: Option<u8>,

    /// Record with so many bits a second instead, such as 800k or 4M
    #[arg(long, value_name = "BITS")]
    pub(crate) bitrate: Option<BitsPerSecond>,

    /// Hide faces in the window, in recordings and in pictures: blur, pixelate or box. Labels and data stay
    #[arg(long, value_enum, value_name = "HOW", hide_possible_values = true, help_heading = "Picture")]
    pub(crate) privacy: Option<Privacy>,

    /// Overwrite outputs that exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Stop after this many frames
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) frames: Option<u64>,

    /// How faces are looked for and labelled
    #[command(flatten)]
    pub(crate) dials: Dials,

    /// Say "Unsure" of a face whose likeliest emotion has a probability below this, from 0 to 1, such as 0.45
    #[arg(long, value_name = "CONFIDENCE", value_parser = confidence, help_heading = "Faces and labels")]
    pub(crate) unsure: Option<f32>,

    /// Write frame rate, times and processor time per stage, memory and dropped frames as JSON
    #[arg(long, value_name = "FILE", help_heading = "Outputs")]
    pub(crate) stats: Option<PathBuf>,
}

impl Common {
    /// What `--crf` and `--bitrate` say.
    pub(crate) fn quality(&self) -> Quality {
        match (self.bitrate, self.crf) {
            (Some(BitsPerSecond(bits)), _) => Quality::Bitrate(bits),
            (None, Some(crf)) => Quality::Constant(crf),
            (None, None) => Quality::default(),
        }
    }

    /// What `-o`, `--clean` and `--summary` name.
    pub(crate) fn all_outputs(&self) -> Vec<SinkSpec> {
        self.outputs.iter().chain(&self.clean).chain(&self.summary).cloned().collect()
    }
}

fn confidence(text: &str) -> Result<f32, String> {
    let confidence = text.parse().ok().filter(|confidence| (0.0..=1.0).contains(confidence));
    confidence.ok_or_else(|| "expected a number from 0 to 1".into())
}

fn source_parser() -> impl TypedValueParser<Value = SourceSpec> {
    OsStringValueParser::new().map(|name| SourceSpec::from(name.as_os_str()))
}

fn sink_parser() -> impl TypedValueParser<Value = SinkSpec> {
    OsStringValueParser::new().try_map(|name| SinkSpec::try_from(name.as_os_str()))
}

fn summary_parser() -> impl TypedValueParser<Value = SinkSpec> {
    OsStringValueParser::new().try_map(|name| {
        let path = PathBuf::from(name);
        let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        if is_json { Ok(SinkSpec::Summary(path)) } else { Err(anyhow!("name a file that ends in .json")) }
    })
}

fn clean_parser() -> impl TypedValueParser<Value = SinkSpec> {
    sink_parser().try_map(|output| match output {
        SinkSpec::Video(path) => Ok(SinkSpec::CleanVideo(path)),
        other => Err(anyhow!("{other} is no video: name a file that ends in .mp4")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_defined() {
        Cli::command().debug_assert();
    }

    #[test]
    fn senseless_values_are_refused() {
        for arguments in [
            &["live", "--frames", "0"][..],
            &["live", "--camera-format", "640"],
            &["live", "--camera-format", "640x480@30:h264"],
            &["live", "-o", "out.xyz"],
            &["live", "--device", "tpu"],
            &["live", "--min-face", "0"],
            &["live", "--detect-every", "0"],
            &["live", "--smoothing", "-5"],
            &["live", "--smoothing", "1e9"],
            &["live", "--unsure", "1.01"],
            &["live", "--unsure", "-0.1"],
            &["live", "--unsure", "NaN"],
            &["live", "--unsure", "45%"],
            &["live", "--prior", "flat"],
            &["live", "--device", "cuda:x"],
            &["live", "--batch", "2"],
            &["annotate"],
            &["annotate", "a.mp4", "--batch", "0"],
            &["annotate", "a.mp4", "--batch", "257"],
            &["annotate", "a.mp4", "--batch", "many"],
            &["bench", "--seconds", "0"],
            &["bench", "--seconds", "-1"],
            &["bench", "--seconds", "NaN"],
            &["bench", "--seconds", "1e9"],
            &["bench", "demo", "-o", "out.mp4"],
            &["train", "--data", "a"],
            &["train", "--out", "b"],
            &["train", "--resume", "a", "--out", "b"],
            &["train", "--resume", "a", "--init", "none"],
            &["train", "--data", "a", "--out", "b", "--channels", "1,2,3"],
        ] {
            assert!(Cli::try_parse_from([&["emocam"], arguments].concat()).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn help_fits_eighty_columns_and_its_examples_are_commands_that_are_understood() {
        for command in [&Cli::command()].into_iter().chain(Cli::command().get_subcommands()) {
            let below = command.get_after_help().expect(command.get_name()).to_string();
            assert!(below.starts_with("Examples:\n  emocam ") && below.lines().all(|line| line.len() <= 80), "{below}");
            let lines =
                below.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| line.starts_with("emocam ")));
            for example in lines.filter_map(|line| line.split("  ").next()) {
                let words = example.split(['|', '>']).next().into_iter().flat_map(str::split_whitespace);
                Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }

    #[test]
    fn combinations_that_make_no_sense_are_refused() {
        let check = |line: &str| Cli::try_parse_from(line.split(' ')).expect("well-formed").check();
        for line in [
            "emocam annotate a.mp4 b.mp4 -o out.mp4",
            "emocam annotate a.mp4 b.mp4 -o -",
            "emocam annotate 0",
            "emocam annotate /dev/video0",
            "emocam bench 0",
            "emocam annotate a.mp4 -o out.csv -o ./out.csv",
            "emocam live -o out.jsonl --stats out.jsonl",
            "emocam train --data a --out b --epochs 0",
            "emocam train --data a --out b --batch-size 0",
            "emocam train --data a --out b --learning-rate NaN",
            "emocam train --resume a --flip 2",
        ] {
            assert!(check(line).is_err(), "{line}");
        }
        for line in [
            "emocam annotate a.mp4 b.mp4 -o out/",
            "emocam annotate a.mp4 b.mp4",
            "emocam annotate a.mp4 --batch 256 --device cuda:1",
            "emocam live -o a.mp4 -o b.csv",
            "emocam bench",
            "emocam bench clip.mp4 --json --seconds 0.5 --min-face 40",
            "emocam train --resume a --data b",
        ] {
            check(line).expect(line);
        }
    }
}
