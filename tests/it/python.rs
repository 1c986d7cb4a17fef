//! The examples of `emocam help python`, as they stand there: frames of a file and of a camera, for which the demo stands in.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{
    LIMIT, assert_exit, demo_clip, emocam, examples, json_lines, python_with, skip, start, succeed, temporary_folder,
    text,
};

/// Runs a program of Python in a folder, with the program under test on the PATH.
fn run(python: &Path, program: &str, folder: &Path) -> Output {
    let own = Path::new(env!("CARGO_BIN_EXE_emocam")).parent().expect("a folder");
    let path = std::env::join_paths(
        [own.to_path_buf()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut command = Command::new(python);
    command.args(["-c", program]).current_dir(folder).env("PATH", path.expect("a PATH"));
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    // It has to end, and with it all that it started: that would hold its standard error.
    start(&mut command).finish(LIMIT)
}

/// The function, the loop over a file and the one over a camera.
fn blocks() -> [String; 3] {
    examples("python", "python").try_into().expect("three blocks")
}

#[test]
fn python_gets_the_frames_of_a_file_as_the_help_says() {
    let Some(python) = python_with("json") else {
        return skip("python_gets_the_frames_of_a_file_as_the_help_says", "Python is not installed");
    };
    let folder = temporary_folder();
    fs::copy(demo_clip(), folder.path().join("clip.mp4")).expect("a file");
    let [function, file, _] = blocks();
    let output = run(&python, &format!("{function}\n{file}"), folder.path());
    assert_exit(&output, 0, &[]);
    succeed(emocam().args(["annotate", "clip.mp4", "-o", "out.jsonl"]).current_dir(&folder));
    let mut expected = Vec::new();
    for frame in json_lines(&folder.path().join("out.jsonl")) {
        for face in frame["faces"].as_array().expect("faces") {
            let emotion = face["emotion"].as_str().expect("a text");
            expected.push((frame["time_s"].as_f64(), face["id"].as_f64(), emotion.to_owned()));
        }
    }
    let printed = text(&output.stdout);
    let found: Vec<_> = printed.lines().map(|line| line.split(' ').collect::<Vec<_>>()).collect();
    let found: Vec<_> =
        found.iter().map(|words| (words[0].parse().ok(), words[1].parse().ok(), words[2].to_owned())).collect();
    assert!(expected.len() > 100);
    assert_eq!(found, expected);
}

#[test]
fn python_ends_a_camera_when_it_has_seen_enough() {
    let Some(python) = python_with("json") else {
        return skip("python_ends_a_camera_when_it_has_seen_enough", "Python is not installed");
    };
    let folder = temporary_folder();
    let [function, _, camera] = blocks();
    let camera = camera.replace("\"0\"", "\"demo\"");
    // The other way to leave a loop: the generator goes, and its program with it.
    let dropped = "for number, frame in enumerate(frames('live', 'demo', '--headless')):\n    if number == 5: break";
    let output = run(&python, &format!("{function}\n{camera}\n{dropped}\nprint(number)"), folder.path());
    assert_exit(&output, 0, &[]);
    assert_eq!(text(&output.stdout), "somebody is happy\n5\n");
}

#[test]
fn python_hears_of_a_failure() {
    let Some(python) = python_with("json") else {
        return skip("python_hears_of_a_failure", "Python is not installed");
    };
    let folder = temporary_folder();
    let [function, file, _] = blocks();
    let output = run(&python, &format!("{function}\n{file}"), folder.path());
    assert_exit(&output, 1, &["clip.mp4", "CalledProcessError", "exit status 1"]);
    assert_eq!(text(&output.stdout), "");
}
