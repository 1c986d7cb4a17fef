//! The `emocam` program: parses, runs, prints one error, sets the exit code.

use std::process::ExitCode;

use emocam::cli::Cli;
use emocam::pipeline::Stop;
use emocam::run;

/// What a shell reports for a program that Ctrl-C ended.
const EXIT_INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let cli = Cli::from_arguments();
    let stop = Stop::default();
    let on_signal = stop.clone();
    // The first Ctrl-C ends the run cleanly, with all outputs complete; the second one ends the program at once.
    let handler = ctrlc::set_handler(move || {
        if on_signal.is_requested() {
            std::process::exit(EXIT_INTERRUPTED);
        }
        on_signal.request();
    });
    let outcome = handler.map_err(anyhow::Error::from).and_then(|()| run::run(&cli.command, &stop));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("emocam: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
