//! The window, on a display without a screen: every way to end a run, each with a complete recording.

use std::fs;
use std::path::Path;

use emocam::source::SourceSpec;

use crate::common::{self, Display, LIMIT, Running, assert_exit, emocam, json_lines, skip, start, temporary_folder};

/// What ends a run.
type End = fn(&Display, &Running, u32);

#[test]
fn the_key_q_ends_the_run() {
    ends_cleanly("the_key_q_ends_the_run", |display, _, window| display.press(window, "q"));
}

#[test]
fn the_key_escape_ends_the_run() {
    ends_cleanly("the_key_escape_ends_the_run", |display, _, window| display.press(window, "Escape"));
}

#[test]
fn closing_the_window_ends_the_run() {
    ends_cleanly("closing_the_window_ends_the_run", |display, _, window| display.close(window));
}

#[test]
fn an_interrupt_ends_the_run() {
    ends_cleanly("an_interrupt_ends_the_run", |_, running, _| running.interrupt());
}

/// The demo in a window, which would play for ever, recorded until `end`.
fn ends_cleanly(test: &str, end: End) {
    let display = match Display::start() {
        Ok(display) => display,
        Err(reason) => return skip(test, &reason),
    };
    let folder = temporary_folder();
    let (video, lines) = (folder.path().join("out.mp4"), folder.path().join("out.jsonl"));
    let mut command = emocam();
    command.env("DISPLAY", display.name()).args(["live", "demo", "-o"]).arg(&video).arg("-o").arg(&lines);
    let mut running = start(&mut command);
    let window = running.wait_for("its window is open", || display.window("emocam"));
    running.wait_for("it has labelled some frames", || (line_count(&lines) >= 5).then_some(()));
    assert!(!video.exists(), "a video takes its name when it is complete");

    end(&display, &running, window);
    assert_exit(&running.finish(LIMIT), 0, &["demo", "frames a second"]);
    let frames = frames_of(&video);
    assert!(frames >= 5);
    assert_eq!(frames, json_lines(&lines).len());
}

/// A recording and a picture by key, with faces hidden; and every other key, which must do no harm.
#[test]
fn keys_record_save_hide_and_switch() {
    let display = match Display::start() {
        Ok(display) => display,
        Err(reason) => return skip("keys_record_save_hide_and_switch", &reason),
    };
    let folder = temporary_folder();
    let mut command = emocam();
    command.env("DISPLAY", display.name()).current_dir(folder.path());
    command.args(["live", "demo", "--privacy", "box", "--mirror", "window"]);
    let mut running = start(&mut command);
    let window = running.wait_for("its window is open", || display.window("emocam"));
    let named =
        |start: &'static str, end: &'static str| move |name: &String| name.starts_with(start) && name.ends_with(end);
    let find = |wanted: &dyn Fn(&String) -> bool| common::names_in(folder.path()).into_iter().find(|name| wanted(name));
    display.press(window, "r");
    running.wait_for("a recording has begun", || find(&named("emocam-2", ".part.mp4")));
    for key in ["h", "b", "t", "m", "f", "h", "space", "p", "p", "space"] {
        display.press(window, key);
    }
    display.press(window, "s");
    let picture = running
        .wait_for("a picture is saved", || find(&|name: &String| name.ends_with(".png") && !name.contains(".part.")));
    display.press(window, "r");
    let video = running.wait_for("the recording is complete", || {
        find(&|name: &String| name.ends_with(".mp4") && !name.contains(".part."))
    });
    display.press(window, "plus");
    let window = running.wait_for("there is another window", || display.window("emocam").filter(|new| *new != window));
    display.press(window, "minus");
    running.wait_for("there is a third one", || display.window("emocam").filter(|new| *new != window));
    let window = running.wait_for("its window is open", || display.window("emocam"));
    display.press(window, "q");
    let output = running.finish(LIMIT);
    assert_exit(&output, 0, &["saved emocam-2", ".mp4", ".png"]);
    assert!(frames_of(&folder.path().join(&video)) >= 2);
    // What was written shows no face.
    for name in [video, picture] {
        let output = common::succeed(
            emocam().args(["annotate", &name, "--detect-every", "1", "-o", "-"]).current_dir(folder.path()),
        );
        for line in common::parsed_lines(&common::text(&output.stdout)) {
            assert_eq!(line["faces"], serde_json::json!([]), "{name}");
        }
    }
}

#[test]
fn a_display_that_cannot_be_reached_is_told_and_the_run_goes_on() {
    let mut command = emocam();
    // No server has this number.
    command.env("DISPLAY", ":59999").args(["live", "demo", "--frames", "3"]);
    assert_exit(&start(&mut command).finish(LIMIT), 0, &["running without a window", "3 frames"]);
}

/// How many lines there are so far; none while the file is not there.
fn line_count(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count())
}

/// How many frames a video has, all of them decoded.
fn frames_of(path: &Path) -> usize {
    let mut source = SourceSpec::Path(path.to_path_buf()).open().expect("a video that can be played");
    let mut frames = 0;
    while source.next_frame().expect("a video without damage").is_some() {
        frames += 1;
    }
    frames
}
