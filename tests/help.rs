//! Help, completions and the manual page: all of the same description.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::{emocam, fail, succeed, text};

const COMMANDS: [&str; 7] = ["live", "annotate", "bench", "cameras", "train", "eval", "completions"];

fn help(command: &[&str]) -> String {
    text(&succeed(emocam().args(command).arg("--help").env("COLUMNS", "80")).stdout)
}

#[test]
fn help_fits_eighty_columns_and_has_examples() {
    for command in [&[][..]].into_iter().chain(COMMANDS.iter().map(std::slice::from_ref)) {
        let help = help(command);
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{command:?}: {line}");
        }
        assert!(help.contains("Examples:\n") || command == ["cameras"], "{help}");
    }
    let live = help(&["live"]);
    for heading in ["Camera:", "Picture:", "Outputs:", "Faces and labels:"] {
        assert!(live.contains(heading), "{heading} is not in:\n{live}");
    }
}

/// All long options of a command.
fn options(command: &str) -> Vec<String> {
    let help = help(&[command]);
    let words = help.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
    let options: Vec<String> = words
        .map(|word| word.trim_end_matches(['.', ',', ';', '`']).to_owned())
        .filter(|word| word.len() > 2)
        .collect();
    assert!(options.contains(&"--help".to_owned()));
    options
}

#[test]
fn the_manual_page_has_every_option_of_every_command() {
    let page = text(&succeed(emocam().arg("man")).stdout).replace('\\', "");
    assert!(page.contains(".TH emocam 1"), "{page}");
    for command in COMMANDS {
        assert!(page.contains(&format!(".SH \"EMOCAM {}\"", command.to_uppercase())), "{command}");
        for option in options(command) {
            assert!(page.contains(&option), "{command} {option}");
        }
    }
}

#[test]
fn completions_know_commands_and_options_and_are_scripts() {
    for (shell, check) in [("bash", &["bash", "-n"][..]), ("zsh", &["zsh", "-n"]), ("fish", &["fish", "-n"])] {
        let script = succeed(emocam().args(["completions", shell])).stdout;
        let words = text(&script);
        for word in ["annotate", "privacy", "summary", "bitrate"] {
            assert!(words.contains(word), "{shell}: {word}");
        }
        let folder = common::temporary_folder();
        let path = folder.path().join("script");
        std::fs::write(&path, &script).expect("a file");
        // Shells that are not here can't check.
        if let Ok(output) = Command::new(check[0]).args(&check[1..]).arg(&path).output() {
            assert!(output.status.success(), "{shell}: {}", text(&output.stderr));
        }
    }
    fail(emocam().args(["completions", "tcsh"]), 2, &["tcsh", "bash", "zsh", "fish"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    for arguments in [&["man"][..], &["completions", "bash"], &["--help"], &["live", "--help"]] {
        let mut command = emocam();
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("emocam starts");
        let mut line = String::new();
        // The pipe is closed at the end of the statement.
        BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut line).expect("a line");
        let output = child.wait_with_output().expect("a child can be waited for");
        let stderr = text(&output.stderr);
        assert!(!stderr.contains("panicked") && !stderr.contains("error: "), "{arguments:?}: {stderr}");
        assert!(output.status.success(), "{arguments:?}: {:?}", output.status);
    }
}
