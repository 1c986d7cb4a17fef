//! The window, on a display without a screen: every way to end a run, each with a complete recording.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use emocam::source::SourceSpec;

use crate::common::{
    self, Display, LIMIT, Running, assert_exit, demo_clip, emocam, json_lines, skip, start, temporary_folder,
};

/// Longer than any frame takes.
const PAUSE: Duration = Duration::from_secs(5);

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
    // Shows faces for a moment, so before the recording: a frame that is on its way comes also in a pause.
    for key in ["p", "p", "r"] {
        display.press(window, key);
    }
    running.wait_for("a recording has begun", || find(&named("emocam-2", ".part.mp4")));
    for key in ["h", "b", "t", "m", "f", "h", "space", "space", "s"] {
        display.press(window, key);
    }
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

/// What keys mark comes into the data, in a pause of a file, too; of a recording its start and its end.
#[test]
fn keys_mark_moments_in_the_data() {
    let display = match Display::start() {
        Ok(display) => display,
        Err(reason) => return skip("keys_mark_moments_in_the_data", &reason),
    };
    let folder = temporary_folder();
    let lines = folder.path().join("lines.jsonl");
    let mut command = emocam();
    command.env("DISPLAY", display.name()).current_dir(folder.path());
    let mut running = start(command.args("live demo -o lines.jsonl -o table.csv --summary s.json".split(' ')));
    let window = running.wait_for("its window is open", || display.window("emocam"));
    running.wait_for("it has labelled some frames", || (line_count(&lines) >= 5).then_some(()));
    let has = |words: &str| fs::read_to_string(&lines).unwrap_or_default().contains(words).then_some(());
    display.press(window, "3");
    running.wait_for("the mark is written", || has(r#""events":[{"event":"3","#));
    display.press(window, "r");
    running.wait_for("a recording has begun", || has(r#"{"event":"recording started: emocam-2"#));
    display.press(window, "r");
    running.wait_for("it has ended", || has(r#"{"event":"recording ended: emocam-2"#));
    for key in ["space", "9", "space", "c", "1"] {
        display.press(window, key);
    }
    running.wait_for("all marks are written", || has(r#"{"event":"1","#));
    display.press(window, "q");
    let output = running.finish(LIMIT);
    assert_exit(&output, 0, &["mark 3 at ", "mark 9 at ", "key c is for cameras"]);

    let lines = json_lines(&lines);
    let events = |line: &serde_json::Value| line["events"].as_array().cloned().unwrap_or_default();
    let of = |text: &str| {
        let line = lines.iter().find(|line| events(line).iter().any(|event| event["event"] == text));
        let line = line.unwrap_or_else(|| panic!("no event {text}"));
        (line["time_s"].as_f64().expect("a time"), events(line))
    };
    let texts: Vec<_> = lines.iter().flat_map(events).map(|event| event["event"].as_str().map(str::to_owned)).collect();
    let texts: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
    let [three, started, ended, nine, one] = &texts[..] else { panic!("{texts:?}") };
    assert_eq!((*three, *nine, *one), ("3", "9", "1"));
    let video = started.strip_prefix("recording started: ").expect("a start");
    assert_eq!(ended.strip_prefix("recording ended: "), Some(video));
    assert!(frames_of(&folder.path().join(video)) >= 1);
    // The clock of a file stands still in a pause, so the mark is near its frame.
    let (time, nine) = of("9");
    assert!((nine[0]["time_s"].as_f64().expect("a time") - time).abs() < 1.0, "{nine:?} {time}");
    let summary = fs::read(folder.path().join("s.json")).expect("a summary");
    let summary: serde_json::Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["events"].as_array().map(Vec::len), Some(5));
}

/// Every key acts on a picture that stands still: in a pause of a file, and after its last frame.
#[test]
fn keys_act_in_a_pause_and_after_the_end() {
    let display = match Display::start() {
        Ok(display) => display,
        Err(reason) => return skip("keys_act_in_a_pause_and_after_the_end", &reason),
    };
    let folder = temporary_folder();
    let path = |name: &str| folder.path().join(name);
    let mut command = emocam();
    command.env("DISPLAY", display.name()).current_dir(folder.path()).arg("live").arg(demo_clip());
    command.args("--frames 60 -o lines.jsonl --stats stats.json".split(' '));
    let mut running = start(&mut command);
    let window = running.wait_for("its window is open", || display.window("emocam"));
    let files = |extension: &str| {
        let names = common::names_in(folder.path());
        let own = |name: &String| name.starts_with("emocam-2") && name.ends_with(extension) && !name.contains(".part.");
        names.into_iter().filter(own).collect::<Vec<_>>()
    };
    display.press(window, "space");
    let paused = Instant::now();
    display.press(window, "s");
    running.wait_for("a picture is saved in the pause", || (files(".png").len() == 1).then_some(()));
    thread::sleep(PAUSE);
    let paused = paused.elapsed();
    display.press(window, "space");
    running.wait_for("it has labelled all frames", || (line_count(&path("lines.jsonl")) == 60).then_some(()));

    for (key, count) in [("s", 2), ("b", 2), ("s", 3), ("m", 3), ("s", 4), ("p", 4), ("s", 5)] {
        display.press(window, key);
        running.wait_for("a picture is saved at the end", || (files(".png").len() == count).then_some(()));
    }
    for key in ["t", "f", "h", "r"] {
        display.press(window, key);
    }
    running.wait_for("a recording has begun", || {
        common::names_in(folder.path()).iter().any(|name| name.ends_with(".part.mp4")).then_some(())
    });
    display.press(window, "r");
    let video = running.wait_for("the recording is complete", || files(".mp4").pop());
    display.press(window, "plus");
    let window = running.wait_for("there is another window", || display.window("emocam").filter(|new| *new != window));
    display.press(window, "q");
    assert_exit(&running.finish(LIMIT), 0, &["60 frames", "saved emocam-2"]);

    assert!(frames_of(&path(&video)) >= 1);
    let picture = |name: &String| fs::read(path(name)).expect("a picture");
    let mut names = files(".png");
    // By time; those of one second by number, of which the first has none.
    names.sort_by_key(|name| fs::metadata(path(name)).expect("a picture").modified().expect("a time"));
    let [_, plain, without_bars, mirrored, hidden] = &names[..] else { panic!("{names:?}") };
    assert_ne!(picture(plain), picture(without_bars), "b had no effect");
    assert_eq!(picture(without_bars), picture(mirrored), "m is for the window alone");
    for (name, faces) in [(mirrored, 1), (hidden, 0)] {
        let output = common::succeed(emocam().arg("annotate").arg(path(name)).args(["-o", "-"]));
        let lines = common::parsed_lines(&common::text(&output.stdout));
        assert_eq!(lines[0]["faces"].as_array().map(Vec::len), Some(faces), "{name}");
    }
    let stats: serde_json::Value =
        serde_json::from_slice(&fs::read(path("stats.json")).expect("a file")).expect("JSON");
    let latency = stats["stages_ms"]["latency"]["p99"].as_f64().expect("a number");
    assert!(latency < paused.as_secs_f64() * 1e3, "the pause of {paused:?} counts as latency: {latency} ms");
}

#[test]
fn a_display_that_cannot_be_reached_is_told_and_the_run_goes_on() {
    let mut command = emocam();
    // No server has this number.
    command.env("DISPLAY", ":59999").args(["live", "demo", "--frames", "3"]);
    assert_exit(&start(&mut command).finish(LIMIT), 0, &["running without a window", "3 frames"]);
}

/// Data and a recording by key go on, and the exit code tells that the window did not.
#[test]
fn a_display_that_goes_away_ends_the_window_and_not_the_run() {
    let mut display = match Display::start() {
        Ok(display) => display,
        Err(reason) => return skip("a_display_that_goes_away_ends_the_window_and_not_the_run", &reason),
    };
    let folder = temporary_folder();
    let (video, lines) = (folder.path().join("out.mp4"), folder.path().join("out.jsonl"));
    let mut command = emocam();
    command.env("DISPLAY", display.name()).args(["live", "demo", "-o"]).arg(&video).arg("-o").arg(&lines);
    let mut running = start(&mut command);
    running.wait_for("its window is open", || display.window("emocam"));
    running.wait_for("it has labelled some frames", || (line_count(&lines) >= 5).then_some(()));
    display.vanish();
    let before = line_count(&lines);
    running.wait_for("it goes on", || (line_count(&lines) >= before + 20).then_some(()));
    running.interrupt();
    assert_exit(&running.finish(LIMIT), 1, &["was taken away", "frames a second"]);
    assert_eq!(frames_of(&video), json_lines(&lines).len());
}

/// As xkill does.
#[test]
fn a_window_that_is_destroyed_ends_alone() {
    let display = match Display::start() {
        Ok(display) => display,
        Err(reason) => return skip("a_window_that_is_destroyed_ends_alone", &reason),
    };
    let folder = temporary_folder();
    let lines = folder.path().join("out.jsonl");
    let mut command = emocam();
    command.env("DISPLAY", display.name()).args(["live", "demo", "-o"]).arg(&lines);
    let mut running = start(&mut command);
    let window = running.wait_for("its window is open", || display.window("emocam"));
    running.wait_for("it has labelled some frames", || (line_count(&lines) >= 5).then_some(()));
    display.destroy(window);
    let before = line_count(&lines);
    running.wait_for("it goes on", || (line_count(&lines) >= before + 20).then_some(()));
    running.interrupt();
    assert_exit(&running.finish(LIMIT), 1, &["was taken away", "frames a second"]);
}

/// Nobody could end a run that nobody sees and that writes nothing.
#[test]
fn a_run_that_is_only_watched_ends_with_its_display() {
    let mut display = match Display::start() {
        Ok(display) => display,
        Err(reason) => return skip("a_run_that_is_only_watched_ends_with_its_display", &reason),
    };
    let mut command = emocam();
    let mut running = start(command.env("DISPLAY", display.name()).args(["live", "demo"]));
    running.wait_for("its window is open", || display.window("emocam"));
    display.vanish();
    assert_exit(&running.finish(LIMIT), 1, &["was taken away"]);
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
