//! Help, completions and the manual page: all of the same description.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common::{self, assert_exit, emocam, fail, names_in, succeed, temporary_folder, text};

const COMMANDS: [&str; 10] =
    ["live", "annotate", "bench", "cameras", "train", "eval", "export", "completions", "man", "help"];

/// What there is help on besides commands, and some words of each.
const TOPICS: [(&str, [&str; 3]); 5] = [
    ("data", ["probabilities", "unstack(fill_value=0)", "fer2013new.csv"]),
    ("cameras", ["YUYV", "unplugged", "usermod -aG video"]),
    ("training", ["--resume", "best.safetensors", "temperature"]),
    ("python", ["subprocess", "camera.close()", "--headless"]),
    ("export", ["logits", "InferenceSession", "48x48"]),
];

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
    }
    for (command, last) in [("live", "Camera:"), ("annotate", "Faces and labels:")] {
        let help = help(&[command]);
        let place = |heading| help.find(heading).unwrap_or_else(|| panic!("{heading} is not in:\n{help}"));
        let places = ["Arguments:", "Outputs:", "Picture:", "Faces and labels:", last, "Help:", "Examples:"].map(place);
        assert!(places.is_sorted(), "{help}");
    }
}

#[test]
fn help_has_topics_besides_commands_and_the_manual_has_them_too() {
    let asked = |name: &str| text(&succeed(emocam().args(["help", name]).env("COLUMNS", "80")).stdout);
    let program = text(&succeed(emocam().arg("help").env("COLUMNS", "80")).stdout);
    assert_eq!(program, help(&[]));
    let manual = page();
    for (topic, words) in TOPICS {
        assert!(program.contains(&format!("emocam help {topic}")), "{program}");
        let text = asked(topic);
        for word in words {
            assert!(text.contains(word) && manual.contains(word), "{topic}: {word}");
        }
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{topic}: {line}");
            if let Some(heading) = line.strip_prefix("## ") {
                let mut sections = manual.lines().filter_map(|line| line.strip_prefix(".SS "));
                assert!(sections.any(|section| section.trim_matches('"') == heading), "{topic}: {heading}");
            }
        }
    }
    for command in COMMANDS {
        assert!(asked(command).starts_with(&help(&[command])), "{command}");
    }
    fail(emocam().args(["help", "juggling"]), 2, &["juggling", "annotate", "training"]);
}

/// The source of the manual page, without the signs that keep letters from being read as commands.
fn page() -> String {
    text(&succeed(emocam().arg("man")).stdout).replace("\\*(Aq", "'").replace('\\', "")
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

/// The commands among a help's examples, without what they mean.
fn examples(command: &[&str]) -> Vec<String> {
    let help = help(command);
    let (_, below) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{command:?} has no examples"));
    let lines = below.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with("emocam "));
    lines.map(|line| line.split("  ").next().expect("a first part").to_owned()).collect()
}

#[test]
fn the_manual_page_has_every_option_of_every_command() {
    let page = page();
    assert!(page.contains(".TH emocam 1"), "{page}");
    for command in COMMANDS {
        assert!(page.contains(&format!(".SH \"EMOCAM {}\"", command.to_uppercase())), "{command}");
        for option in options(command) {
            assert!(page.contains(&option), "{command} {option}");
        }
    }
    for command in [&[][..]].into_iter().chain(COMMANDS.iter().map(std::slice::from_ref)) {
        for example in examples(command) {
            let line = format!(".TP\nfB{example}fR\n");
            assert!(page.contains(&line), "{command:?}: {example} is not in bold on a line of its own");
        }
    }
}

#[test]
fn completions_know_commands_and_options_and_are_scripts() {
    for (shell, check) in [("bash", &["bash", "-n"][..]), ("zsh", &["zsh", "-n"]), ("fish", &["fish", "-n"])] {
        let script = succeed(emocam().args(["completions", shell])).stdout;
        let words = text(&script);
        for word in ["annotate", "privacy", "summary", "training"] {
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

/// Runs a command whose reader has gone before there is anything to read.
fn run_unread(command: &mut Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("emocam starts");
    drop(child.stdout.take());
    child.wait_with_output().expect("a child can be waited for")
}

/// Two folders of pictures from the demo, named as classes. What they show is of no interest.
fn data_set(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    for class in ["happy", "sad"] {
        std::fs::create_dir_all(data.join(class)).expect("a folder");
    }
    succeed(emocam().args(["annotate", "demo", "--frames", "60", "-o"]).arg(data.join("happy/%06d.png")));
    for name in names_in(&data.join("happy")).iter().step_by(3) {
        std::fs::rename(data.join("happy").join(name), data.join("sad").join(name)).expect("a file can be moved");
    }
    data
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = temporary_folder();
    let data = data_set(folder.path());
    let data = data.to_str().expect("a path in UTF-8");
    for line in [
        "man",
        "completions bash",
        "completions zsh",
        "completions fish",
        "--help",
        "live --help",
        "help annotate",
        "help data",
        "help cameras",
        "--version",
        "bench --seconds 0.1",
        "bench --seconds 0.1 --json",
        &format!("eval --no-cache --device cpu --data {data}"),
    ] {
        let output = run_unread(emocam().args(line.split(' ')));
        assert_exit(&output, 0, &[]);
        assert!(!text(&output.stderr).contains("error"), "{line}: {}", text(&output.stderr));
    }
    // Without a camera it is an error, but never that of the pipe.
    for line in ["cameras", "cameras --json"] {
        let output = run_unread(emocam().args(line.split(' ')));
        let stderr = text(&output.stderr);
        assert!(output.status.success() || stderr.contains("camera"), "{line}: {stderr}");
        assert!(!stderr.contains("pipe") && !stderr.contains("panicked"), "{line}: {stderr}");
    }
}

#[test]
fn training_goes_on_when_nobody_reads_its_log() {
    let folder = temporary_folder();
    let (data, run) = (data_set(folder.path()), folder.path().join("run"));
    let mut command = emocam();
    command.args("train --device cpu --init none --channels 4,4,8,8 --blocks 1,1,1 --no-cache".split(' '));
    command.args("--epochs 2 --batch-size 16 --split random:0.3 --data".split(' ')).arg(data).arg("--out").arg(&run);
    let output = run_unread(&mut command);
    assert_exit(&output, 0, &[]);
    let history = std::fs::read_to_string(run.join("history.csv")).expect("a history");
    assert_eq!(history.lines().count(), 3, "{history}");
    assert!(run.join("best.safetensors").is_file() && run.join("report.txt").is_file());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    for line in ["man", "completions bash", "help data", "help live"] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let mut command = emocam();
        let child = command.args(line.split(' ')).stdout(full).stderr(Stdio::piped()).spawn().expect("emocam starts");
        let output = child.wait_with_output().expect("a child can be waited for");
        assert_exit(&output, 1, &["standard output", "No space left"]);
    }
}
