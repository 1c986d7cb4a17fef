//! What each command does: opens sources and outputs, runs the pipeline between them, and tells how it went.
//!
//! Messages for people go to standard error; standard output belongs to data, tables and training logs.

mod annotate;
mod bench;
mod cameras;
mod eval;
mod export;
mod job;
mod live;
mod setup;
mod train;

use std::io;
use std::time::Instant;

use anyhow::Result;
use emocam::flow::stop::Stop;

use crate::cli::{Command, manual};

/// Runs a command to its end. The program started at `started`.
pub(crate) fn run(command: &Command, stop: &Stop, started: Instant) -> Result<()> {
    match command {
        Command::Live(arguments) => live::run(arguments, stop),
        Command::Annotate(arguments) => annotate::run(arguments, stop),
        Command::Bench(arguments) => bench::run(arguments, started, &mut io::stdout().lock()),
        Command::Cameras(arguments) => cameras::run(arguments, &mut io::stdout().lock()),
        Command::Train(arguments) => train::run(arguments, stop),
        Command::Eval(arguments) => eval::run(arguments, &mut io::stdout().lock()),
        Command::Export(arguments) => export::run(arguments),
        Command::Completions(arguments) => manual::completions(arguments.shell, &mut io::stdout().lock()),
        Command::Help(arguments) => manual::help(arguments.name.as_deref()),
        Command::Man => manual::page(&mut io::stdout().lock()),
    }
}
