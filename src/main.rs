//! The `emocam` program: parses, runs, prints one error, sets the exit code.
//!
//! | module | what it owns |
//! |---|---|
//! | `view` | how a person watches a run: window, status line, progress bar; what its keys do |
//! | `cli` | arguments as typed, and what is wrong with them; manual page and completions |
//! | `commands` | what each command does |
//!
//! All else is the library, `lib.rs`.

mod cli;
mod commands;
mod view;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use cli::{Cli, Command};
use emocam::flow::stop::Stop;
use view::tell::notice;

/// A training step frees and takes hundreds of megabytes. This allocator keeps them, where the system's gives them back to the
/// kernel and has every page cleared anew, which took a third of a step's time. Its `no_thp` keeps the kernel from rounding
/// what it takes up to pages of 2 MB: that was half of the memory of `live`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a shell reports for a program that Ctrl-C ended.
const EXIT_INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let started = Instant::now();
    let cli = Cli::from_arguments();
    let stop = Stop::default();
    let outcome = hear_signals(&cli, &stop).and_then(|()| commands::run(&cli.command, &stop, started));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // `emocam ... | head`: the reader has what it wanted.
        Err(error) if only_prints(&cli) && is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            notice(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether all that the command gives goes to standard output. What others write is not done when a pipe breaks; they look
/// after their own standard output.
const fn only_prints(cli: &Cli) -> bool {
    !matches!(cli.command, Command::Live(_) | Command::Annotate(_) | Command::Train(_))
}

/// Whether the reader of a pipe has gone.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    error.chain().filter_map(kind).any(|kind| kind == std::io::ErrorKind::BrokenPipe)
}

/// The first Ctrl-C ends a run cleanly, with all outputs complete; the second one ends the program at once. Commands that
/// have nothing to complete end as any program does.
fn hear_signals(cli: &Cli, stop: &Stop) -> anyhow::Result<()> {
    if only_prints(cli) {
        return Ok(());
    }
    let stop = stop.clone();
    let handler = move || {
        if stop.is_requested() {
            std::process::exit(EXIT_INTERRUPTED);
        }
        stop.request();
    };
    ctrlc::set_handler(handler).context("signals can't be heard")
}
