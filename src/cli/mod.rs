//! Arguments as typed, and what is wrong with them: a file for each command. Doc comments here are the text of `--help`.
//!
//! | file | what it owns |
//! |---|---|
//! | `common` | options of `live` and `annotate`: outputs, privacy, where it ends |
//! | `dials` | options of these and `bench`: how faces are looked for and labelled |
//! | `data` | options of `train` and `eval`: which labelled pictures there are |
//! | `implied` | the command that is meant where none is named |
//! | `help` | the topics of `emocam help`, whose texts are in `help/` |
//! | `manual` | what is made of all this: help, completions, manual page |

mod annotate;
mod bench;
mod cameras;
mod common;
mod completions;
mod data;
mod dials;
mod eval;
mod export;
mod help;
mod implied;
mod live;
pub(crate) mod manual;
mod train;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, CommandFactory, Parser, Subcommand};

pub(crate) use annotate::Annotate;
pub(crate) use bench::Bench;
pub(crate) use cameras::Cameras;
pub(crate) use common::Common;
pub(crate) use completions::Completions;
pub(crate) use dials::Dials;
pub(crate) use eval::Eval;
pub(crate) use export::Export;
pub(crate) use help::Help;
pub(crate) use live::Live;
pub(crate) use train::Train;

/// Recognizes facial expressions in real time: camera, video or pictures in; labelled boxes, video and data out
///
/// Everything runs on this machine: nothing is downloaded, and nothing leaves it but what `live --osc` sends. Without a
/// command, a camera or a demo is watched as by `live`, and files are labelled as by `annotate`.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 80, subcommand_value_name = "COMMAND")]
#[command(disable_help_subcommand = true, disable_help_flag = true, disable_version_flag = true, args = help_flags())]
#[command(override_usage = "emocam [SOURCE] [OPTIONS]
       emocam FILE... [OPTIONS]
       emocam COMMAND")]
#[command(after_help = "Examples:
  emocam                                   the first camera, in a window
  emocam photo.jpg clip.mp4                what each face shows, as text
  emocam clip.mp4 -o out.mp4               a video with labels
  emocam -r study/ -o study.csv            all of a study in one table
  emocam train --data faces --out mine     weights for faces of your own

Topics:
  emocam help data       what is written: formats, fields, and how to read it
  emocam help cameras    formats, permissions, and what may happen to a camera
  emocam help training   data sets, settings, and what a run leaves
  emocam help python     frames and faces in a program of yours
  emocam help export     the network in a browser or on a phone

`emocam COMMAND --help` has each command's options and more examples.")]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The arguments of this process. Ends it, with exit code 2 and a message, where they are wrong.
    pub(crate) fn from_arguments() -> Self {
        let cli = Self::parse_from(implied::with_command(std::env::args_os()));
        if let Err(error) = cli.check() {
            Self::command().error(ErrorKind::ValueValidation, error).exit();
        }
        cli
    }

    /// Refuses what is wrong only in combination.
    fn check(&self) -> Result<()> {
        match &self.command {
            Command::Live(live) => live.check(),
            Command::Annotate(annotate) => annotate.check(),
            Command::Bench(bench) => bench.check(),
            Command::Train(train) => train.check(),
            Command::Cameras(_)
            | Command::Eval(_)
            | Command::Export(_)
            | Command::Completions(_)
            | Command::Man
            | Command::Help(_) => Ok(()),
        }
    }
}

/// Behind all other options, in the manual's synopsis.
const LAST: usize = 1000;

/// The flags that every command has, below a heading of their own: so they come last.
fn help_flags() -> [Arg; 2] {
    let flag = |name: &'static str| Arg::new(name).long(name).global(true).help_heading("Help").display_order(LAST);
    [
        flag("help").short('h').action(ArgAction::Help).help("Print help"),
        flag("version").short('V').action(ArgAction::Version).help("Print version"),
    ]
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
    /// Write the network as ONNX, for a browser, a phone or another program
    Export(Export),
    /// Write completions for a shell to standard output
    Completions(Completions),
    /// Write the manual page to standard output
    #[command(after_help = "Examples:
  emocam man | man -l -                                    read it
  emocam man > ~/.local/share/man/man1/emocam.1            for `man emocam`")]
    Man,
    /// Print help on a command or a topic
    Help(Help),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_defined() {
        Cli::command().debug_assert();
    }

    #[test]
    fn there_is_help_on_every_command_and_topic() {
        let program = Cli::command();
        let commands = program.get_subcommands().map(clap::Command::get_name);
        let names: Vec<&str> = commands.chain(help::TOPICS.iter().map(|topic| topic.name)).collect();
        assert!(help::NAMES.iter().all(|name| names.contains(name)), "{names:?}");
        assert!(names.iter().all(|name| help::NAMES.contains(name)), "{names:?}");
    }

    #[test]
    fn help_fits_eighty_columns_and_its_examples_are_commands_that_are_understood() {
        for command in [&Cli::command()].into_iter().chain(Cli::command().get_subcommands()) {
            let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                below.starts_with("Examples:\n  emocam ") && below.lines().all(|line| line.len() <= 80),
                "{command}: {below}"
            );
            let lines =
                below.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| line.starts_with("emocam ")));
            for example in lines.filter_map(|line| line.split("  ").next()) {
                let words = example.split(['|', '>']).next().into_iter().flat_map(str::split_whitespace);
                let words = words.map(|word| word.trim_matches('\'').into());
                Cli::try_parse_from(implied::with_command(words)).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }

    #[test]
    fn senseless_values_and_combinations_are_refused() {
        let check = |line: &str| Cli::try_parse_from(line.split(' '))?.check();
        for line in [
            "emocam live --frames 0",
            "emocam live --camera-format 640",
            "emocam live -o out.xyz",
            "emocam live --device tpu",
            "emocam live --min-face 0",
            "emocam live --detect-every 0",
            "emocam live --smoothing -5",
            "emocam live --smoothing 1e9",
            "emocam live --unsure 1.01",
            "emocam live --unsure -0.1",
            "emocam live --unsure NaN",
            "emocam live --unsure 45%",
            "emocam live --prior flat",
            "emocam live --prior 1.1",
            "emocam live --prior -0.1",
            "emocam eval --data a --prior NaN",
            "emocam live --batch 2",
            "emocam annotate",
            "emocam annotate a.mp4 --batch 0",
            "emocam annotate a.mp4 --batch 257",
            "emocam annotate a.mp4 --batch many",
            "emocam bench --seconds 0",
            "emocam bench --seconds -1",
            "emocam bench --seconds NaN",
            "emocam bench --seconds 1e9",
            "emocam bench demo -o out.mp4",
            "emocam train --data a",
            "emocam train --out b",
            "emocam train --resume a --out b",
            "emocam train --resume a --init none",
            "emocam train --data a --out b --channels 1,2,3",
            "emocam annotate a.mp4 b.mp4 -o out.mp4",
            "emocam annotate a.mp4 b.mp4 -o %06d.png",
            "emocam annotate -r study -o out.mp4",
            "emocam annotate a.mp4 --start 2 --end 1",
            "emocam annotate a.mp4 -o {nmae}.csv",
            "emocam annotate a.mp4 -o {id}.png",
            "emocam annotate a.mp4 -o {frame}{id}.png",
            "emocam live -o {id}.png",
            "emocam annotate a.mp4 -o /dev/video10",
            "emocam annotate 0",
            "emocam annotate /dev/video0",
            "emocam bench 0",
            "emocam annotate a.mp4 -o out.csv -o ./out.csv",
            "emocam annotate a.mp4 -o out.jsonl --empty-rows",
            "emocam live -o out.jsonl --stats out.jsonl",
            "emocam train --data a --out b --epochs 0",
            "emocam train --data a --out b --batch-size 0",
            "emocam train --data a --out b --learning-rate NaN",
            "emocam train --resume a --flip 2",
            "emocam export",
            "emocam export net.tflite",
            "emocam export a.onnx --prior 2",
        ] {
            assert!(check(line).is_err(), "{line}");
        }
        for line in [
            "emocam annotate a.mp4 b.mp4 -o out/",
            "emocam annotate a.mp4 b.mp4",
            "emocam annotate a.mp4 b.mp4 -o - -o all.csv -o {name}.mp4 --summary {name}.json",
            "emocam annotate a.mp4 -o {frame}_{id}.jpg -o %d.png",
            "emocam annotate tests/data/astronaut.jpg -o {id}.png",
            "emocam annotate a.mp4 --batch 256 --device cuda:1",
            "emocam live -o a.mp4 -o b.csv -o /dev/video10",
            "emocam live --prior 0.25",
            "emocam bench",
            "emocam bench clip.mp4 --json --seconds 0.5 --min-face 40",
            "emocam train --resume a --data b",
            "emocam export net.onnx --weights a.safetensors --prior natural --force",
        ] {
            check(line).expect(line);
        }
    }
}
