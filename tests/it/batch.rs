//! `annotate` over many files: what is done is left alone, what fails is named, and an engine that runs it many times at
//! once may be killed at any moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::common::{
    self, assert_exit, demo_clip, emocam, fail, frames_of, json_lines, names_in, run, run_within, skip, start, succeed,
    temporary_folder, text,
};

/// A clip of so many frames, without sound.
fn clip(path: &Path, frames: u32) {
    succeed(emocam().args(["annotate", "demo", "--frames", &frames.to_string(), "-o"]).arg(path));
}

#[test]
fn a_folder_gets_a_video_and_data_for_each_input_also_for_a_single_one() {
    let folder = temporary_folder();
    let results = folder.path().join("results");
    clip(&folder.path().join("a.mp4"), 4);
    fs::copy(folder.path().join("a.mp4"), folder.path().join("b.mp4")).expect("a copy");
    let annotate = |names: &[&str], more: &[&str]| {
        let mut command = emocam();
        command.arg("annotate").args(names.iter().map(|name| folder.path().join(name)));
        command.args(more).arg("-o").arg(format!("{}/", results.display()));
        command
    };
    let names = |inputs: &[&str]| -> Vec<String> {
        let endings = ["jsonl", "jsonl.record.json", "mp4"];
        inputs.iter().flat_map(|input| endings.map(|ending| format!("{input}.{ending}"))).collect()
    };
    succeed(&mut annotate(&["a.mp4"], &[]));
    assert_eq!(names_in(&results), names(&["a"]));
    assert_eq!((frames_of(&results.join("a.mp4")), json_lines(&results.join("a.jsonl")).len()), (4, 4));

    // What is done is left as it is; an output that is missing is made, with the other one.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let mark = |name: &str| {
        let file = fs::File::options().append(true).open(results.join(name)).expect("a file");
        file.set_modified(long_ago).expect("a file of ours");
    };
    let is_marked =
        |name: &str| fs::metadata(results.join(name)).and_then(|file| file.modified()).expect("a file") == long_ago;
    mark("a.mp4");
    let output = succeed(&mut annotate(&["a.mp4", "b.mp4"], &[]));
    assert!(text(&output.stderr).contains("1 of 2 inputs are done already"), "{}", text(&output.stderr));
    assert!(is_marked("a.mp4"));
    assert_eq!(names_in(&results), names(&["a", "b"]));
    succeed(&mut annotate(&["a.mp4", "b.mp4"], &[]));
    assert!(is_marked("a.mp4"));
    succeed(&mut annotate(&["a.mp4"], &["--force"]));
    assert!(!is_marked("a.mp4"));
    mark("b.mp4");
    fs::remove_file(results.join("b.jsonl")).expect("a file");
    succeed(&mut annotate(&["b.mp4"], &[]));
    assert!(!is_marked("b.mp4"));

    // What a run left that was killed between the two is its own: both are made again.
    mark("b.mp4");
    fs::rename(results.join("b.jsonl"), results.join("b.part.jsonl")).expect("a file");
    succeed(&mut annotate(&["b.mp4"], &[]));
    assert!(!is_marked("b.mp4"));
    assert_eq!(names_in(&results), names(&["a", "b"]));

    // The half of a result that somebody made is not overwritten, nor what somebody changed.
    fs::write(results.join("b.mp4"), "mine").expect("a file");
    fail(&mut annotate(&["b.mp4"], &[]), 1, &["b.mp4", "exists already", "no record", "--force"]);
    assert_eq!(fs::read(results.join("b.mp4")).expect("a file"), b"mine");
    fs::remove_file(results.join("b.mp4")).expect("a file");
    fs::write(results.join("b.jsonl"), "mine").expect("a file");
    fail(&mut annotate(&["b.mp4"], &[]), 1, &["b.jsonl", "exists already", "not what its record tells of", "--force"]);
    assert_eq!(fs::read(results.join("b.jsonl")).expect("a file"), b"mine");
}

#[test]
fn inputs_of_one_name_keep_their_folders_and_those_of_one_folder_are_told() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    for place in ["one", "two"] {
        fs::create_dir(file(place)).expect("a folder");
        clip(&file(place).join("clip.mp4"), 3);
    }
    let results = file("results");
    let annotate = |inputs: &[&str]| {
        let mut command = emocam();
        command.arg("annotate").args(inputs.iter().map(|name| file(name))).arg("-o");
        command.arg(format!("{}/", results.display()));
        command
    };
    succeed(&mut annotate(&["one/clip.mp4", "two/clip.mp4"]));
    for place in ["one", "two"] {
        assert_eq!(names_in(&results.join(place)), ["clip.jsonl", "clip.jsonl.record.json", "clip.mp4"]);
    }
    let output = succeed(&mut annotate(&["one/clip.mp4", "two/clip.mp4"]));
    assert!(text(&output.stderr).contains("2 of 2 inputs are done already"), "{}", text(&output.stderr));

    fs::copy(file("one/clip.mp4"), file("one/clip.mkv")).expect("a copy");
    let words = ["would be one file", "one/clip.mp4", "one/clip.mkv", "{extension}"];
    fail(&mut annotate(&["one/clip.mp4", "one/clip.mkv"]), 1, &words);
}

#[test]
fn damaged_inputs_are_listed_at_the_end_and_are_done_again_the_next_time() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    clip(&file("whole.mp4"), 3);
    let bytes = fs::read(demo_clip()).expect("the demo's file");
    fs::write(file("cut.mp4"), &bytes[..bytes.len() / 10]).expect("a file");
    fs::write(file("text.mp4"), "no video").expect("a file");
    let mut command = emocam();
    command.arg("annotate").args(["cut.mp4", "text.mp4", "whole.mp4"].map(file)).arg("-o").arg(file("results/"));
    for _ in 0..2 {
        let message = fail(&mut command, 1, &["2 of", "inputs failed", "what was done is in"]);
        let list: Vec<&str> = message.lines().rev().take(2).collect();
        assert!(list[0].ends_with("text.mp4") && list[1].ends_with("cut.mp4"), "{message}");
        // What is not whole does not pass for it.
        assert_eq!(
            names_in(&file("results")),
            [
                "cut.jsonl.record.json",
                "cut.part.jsonl",
                "cut.part.mp4",
                "whole.jsonl",
                "whole.jsonl.record.json",
                "whole.mp4"
            ],
            "{message}"
        );
    }
}

/// The processes of emocam that work for this test: those that have its folder among their arguments.
fn workers(folder: &Path) -> Vec<u32> {
    let name = folder.to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").expect("a system with /proc").flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_string_lossy().parse().ok());
    numbers
        .filter(|number| {
            let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
            let mut arguments =
                line.split(|&byte| byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned());
            arguments.next().is_some_and(|program| program.ends_with("/emocam"))
                && arguments.next().is_some_and(|argument| argument == "annotate")
                && arguments.any(|argument| argument.starts_with(&name))
        })
        .collect()
}

#[cfg(target_os = "linux")]
#[test]
fn workers_that_are_killed_lose_nothing_and_a_second_run_does_the_rest() {
    const CLIPS: usize = 40;
    let test = "workers_that_are_killed_lose_nothing_and_a_second_run_does_the_rest";
    if Command::new("parallel").arg("--version").output().is_err() {
        return skip(test, "GNU parallel is not installed");
    }
    let folder = temporary_folder();
    let (clips, results) = (folder.path().join("clips"), folder.path().join("results"));
    fs::create_dir(&clips).expect("a folder");
    fs::create_dir(&results).expect("a folder");
    clip(&clips.join("clip00.mp4"), 12);
    let paths: Vec<PathBuf> = (0..CLIPS).map(|number| clips.join(format!("clip{number:02}.mp4"))).collect();
    for path in &paths[1..] {
        fs::copy(&paths[0], path).expect("a copy");
    }
    // As `emocam help data` has it.
    let spread = || {
        let mut command = Command::new("parallel");
        command.args(["--will-cite", "-j2", env!("CARGO_BIN_EXE_emocam"), "annotate", "{}", "-o"]);
        command.arg(format!("{}/", results.display())).arg(":::").args(&paths);
        command
    };
    let mut running = start(&mut spread());
    let done = || {
        let is_result = |name: &String| !name.contains(".part.") && !name.ends_with(".json");
        names_in(&results).into_iter().filter(is_result).count()
    };
    running.wait_for("some clips are done", || (done() >= 6).then_some(()));
    let mut killed = Vec::new();
    running.wait_for("two workers could be killed", || {
        let victim = workers(folder.path()).into_iter().find(|worker| !killed.contains(worker))?;
        // It may have ended by itself in between; then kill fails.
        let kill = Command::new("sh").args(["-c", "kill -KILL \"$0\"", &victim.to_string()]).output();
        killed.extend(kill.is_ok_and(|output| output.status.success()).then_some(victim));
        (killed.len() >= 2).then_some(())
    });
    let output = running.finish(common::LIMIT);
    assert_ne!(output.status.code(), Some(0), "parallel tells of the jobs that were killed");

    assert_exit(&run_within(&mut spread(), common::LIMIT), 0, &[]);
    let endings = ["jsonl", "jsonl.record.json", "mp4"];
    let names: Vec<String> =
        (0..CLIPS).flat_map(|number| endings.map(|ending| format!("clip{number:02}.{ending}"))).collect();
    assert_eq!(names_in(&results), names, "every output once, and nothing else");
    for name in names.iter().filter(|name| !name.ends_with(".json")) {
        let path = results.join(name);
        let frames = if name.ends_with(".mp4") { frames_of(&path) } else { json_lines(&path).len() };
        assert_eq!(frames, 12, "{name}");
    }
    // There is nothing left to do.
    let output = run(&mut spread());
    assert!(text(&output.stderr).matches("done already").count() == CLIPS, "{}", text(&output.stderr));
}
