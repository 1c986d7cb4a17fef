//! The command that is meant where none is named: without arguments the first camera is watched, and so is one that is named;
//! of files there is a result.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{CommandFactory, Parser};

use super::{Cli, Command};
use emocam::source::SourceSpec;

/// The arguments of a process, its name first, with a command.
pub(super) fn with_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(command) = implied(&arguments) {
        arguments.insert(arguments.len().min(1), command.into());
    }
    arguments
}

/// `None` where a command or help is named, or something that no command knows: that is then an error of its own.
fn implied(arguments: &[OsString]) -> Option<&'static str> {
    let Some(first) = arguments.get(1) else { return Some("live") };
    let is_option = first.as_encoded_bytes().starts_with(b"-") && first != "-";
    if is_option {
        return implied_by_options(arguments);
    }
    let is_command = first.to_str().is_some_and(|name| Cli::command().find_subcommand(name).is_some());
    (!is_command).then(|| of_source(first)).flatten()
}

/// What is done with a source of its own accord. A word that is no file's may be a slip in a command's name.
fn of_source(name: &OsStr) -> Option<&'static str> {
    match SourceSpec::from(name) {
        SourceSpec::Demo | SourceSpec::Address(_) => Some("live"),
        spec if spec.is_camera() => Some("live"),
        SourceSpec::Path(path) if !path.exists() && !is_written_as_path(&path) => None,
        _ => Some("annotate"),
    }
}

fn is_written_as_path(path: &Path) -> bool {
    path.extension().is_some() || path.to_string_lossy().contains(std::path::is_separator)
}

/// Options alone are those of `live`; with a file behind them, of `annotate`.
fn implied_by_options(arguments: &[OsString]) -> Option<&'static str> {
    if matches!(arguments.get(1).and_then(|first| first.to_str()), Some("-h" | "--help" | "-V" | "--version")) {
        return None;
    }
    let mut with_annotate = arguments.to_vec();
    with_annotate.insert(1, "annotate".into());
    match Cli::try_parse_from(with_annotate).map(|cli| cli.command) {
        Ok(Command::Annotate(annotate)) if annotate.inputs.iter().all(|input| !is_watched(input)) => Some("annotate"),
        _ => Some("live"),
    }
}

fn is_watched(input: &SourceSpec) -> bool {
    input.is_camera() || matches!(input, SourceSpec::Demo | SourceSpec::Address(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> String {
        let arguments = with_command(line.split(' ').map(OsString::from));
        arguments.iter().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_camera_is_watched_and_a_file_labelled() {
        for (typed, meant) in [
            ("emocam", "emocam live"),
            ("emocam 1 -o today.mp4", "emocam live 1 -o today.mp4"),
            ("emocam /dev/video2", "emocam live /dev/video2"),
            ("emocam rtsp://host/1", "emocam live rtsp://host/1"),
            ("emocam demo", "emocam live demo"),
            ("emocam --privacy blur", "emocam live --privacy blur"),
            ("emocam --headless demo", "emocam live --headless demo"),
            ("emocam a.mp4 b.mp4", "emocam annotate a.mp4 b.mp4"),
            ("emocam photos/", "emocam annotate photos/"),
            ("emocam src", "emocam annotate src"),
            ("emocam -", "emocam annotate -"),
            ("emocam -o out.csv a.mp4", "emocam annotate -o out.csv a.mp4"),
            ("emocam -o out.csv", "emocam live -o out.csv"),
        ] {
            assert_eq!(completed(typed), meant);
        }
    }

    #[test]
    fn a_command_is_left_as_it_is_and_so_is_what_may_be_a_slip_in_one() {
        for line in
            ["emocam live", "emocam annotate a.mp4", "emocam man", "emocam --help", "emocam -V", "emocam anotate"]
        {
            assert_eq!(completed(line), line);
        }
    }
}
