//! Moments that are marked while a run goes on: by lines on standard input. Those by keys are in `window.rs`.

use std::fs::{self, File};
use std::io::{Seek, Write, pipe};
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use crate::common::{LIMIT, Running, assert_exit, emocam, json_lines, start_with_input, temporary_folder, text};

/// Each event of a table, and the number of the frame that took it along.
fn events(lines: &[Value]) -> Vec<(Value, Value)> {
    let of = |line: &Value| {
        let (frame, events) = (line["frame"].clone(), line["events"].as_array().cloned().unwrap_or_default());
        events.into_iter().map(move |event| (frame.clone(), event))
    };
    lines.iter().flat_map(of).collect()
}

/// Waits until the table has so many events.
fn wait_for_events(running: &mut Running, table: &Path, count: usize) {
    running.wait_for("the events are written", || {
        let text = fs::read_to_string(table).unwrap_or_default();
        (text.matches("{\"event\":").count() >= count).then_some(())
    });
}

#[test]
fn each_line_on_standard_input_is_an_event_in_all_data() {
    let folder = temporary_folder();
    let path = |name: &str| folder.path().join(name);
    let (input, mut writer) = pipe().expect("a pipe");
    let mut command = emocam();
    command.current_dir(folder.path()).args("live demo --headless --frames 100 --summary s.json".split(' '));
    let mut running = start_with_input(command.args(["-o", "out.jsonl", "-o", "out.csv"]), input);
    running.wait_for("there are frames", || fs::metadata(path("out.jsonl")).ok().filter(|file| file.len() > 0));
    writer.write_all(b"trial \"7\", left\n\n\x1b\x07\n").expect("somebody reads");
    wait_for_events(&mut running, &path("out.jsonl"), 1);
    writer.write_all(("x".repeat(5000) + "\nlast").as_bytes()).expect("somebody reads");
    wait_for_events(&mut running, &path("out.jsonl"), 2);
    // The pipe stays open, and keeps nothing from ending.
    let output = running.finish(LIMIT);
    assert_exit(&output, 0, &["mark trial \"7\", left at ", "more than 1000 letters", "100 frames"]);

    let lines = json_lines(&path("out.jsonl"));
    assert_eq!(lines.iter().filter(|line| line["frame"].is_u64()).count(), 100);
    let events = events(&lines);
    let texts: Vec<&Value> = events.iter().map(|(_, event)| &event["event"]).collect();
    assert_eq!(texts, [&json!("trial \"7\", left"), &json!("x".repeat(1000))], "the third line has no end");
    for (frame, event) in &events {
        // On the frames' clock, in the moments between two frames; a busy machine takes its time.
        let frame_time = lines.iter().find(|line| line["frame"] == *frame).expect("a frame")["time_s"].as_f64();
        let (frame_time, time) = (frame_time.expect("a time"), event["time_s"].as_f64().expect("a time"));
        assert!(time > 0.0 && (frame_time - time).abs() < 5.0, "{frame}: {event}");
        assert!(event.get("time").is_none(), "a file has no clock on a wall");
    }

    let mut table = csv::Reader::from_path(path("out.csv")).expect("a table");
    let rows: Vec<csv::StringRecord> = table.records().map(|row| row.expect("a row")).collect();
    let event_rows: Vec<_> = rows.iter().filter(|row| !row[33].is_empty()).collect();
    assert_eq!(event_rows.len(), 2);
    for (row, (frame, event)) in event_rows.iter().zip(&events) {
        assert_eq!(
            [&row[0], &row[1], &row[33]].map(str::to_owned),
            [frame.to_string(), event["time_s"].to_string(), event["event"].as_str().expect("a text").to_owned()]
        );
        assert!(row.iter().skip(2).take(31).all(str::is_empty), "{row:?}");
    }

    let summary: Value = serde_json::from_str(&fs::read_to_string(path("s.json")).expect("a summary")).expect("JSON");
    let listed = summary["events"].as_array().expect("a list");
    assert_eq!(listed.iter().map(|event| &event["event"]).collect::<Vec<_>>(), texts);
}

/// As in `while read clip; do emocam live "$clip"; done < list`.
#[test]
fn a_file_on_standard_input_stays_unread() {
    let folder = temporary_folder();
    let path = folder.path().join("list");
    fs::write(&path, "one\ntwo\n").expect("a file");
    let mut file = File::open(&path).expect("a file");
    let mut command = emocam();
    command.args("live demo --headless --frames 30 -o -".split(' '));
    // Both have one place in the file.
    let output = start_with_input(&mut command, file.try_clone().expect("a file")).finish(LIMIT);
    assert_exit(&output, 0, &["30 frames"]);
    assert_eq!(file.stream_position().expect("a place"), 0);
    assert!(!text(&output.stdout).contains("events"));
}

#[test]
fn a_flood_of_lines_neither_fills_the_memory_nor_hides_the_frames() {
    let (input, mut writer) = pipe().expect("a pipe");
    let flood = thread::spawn(move || while writer.write_all(&b"y\n".repeat(1000)).is_ok() {});
    let mut command = emocam();
    command.args("live demo --headless --frames 30 -o -".split(' '));
    let output = start_with_input(&mut command, input).finish(LIMIT);
    // It holds an end of the pipe, too.
    drop(command);
    assert_exit(&output, 0, &["mark y at ", "emocam: and ", "30 frames"]);
    flood.join().expect("it ends with its reader");
    let stdout = text(&output.stdout);
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.iter().filter(|line| line["frame"].is_u64()).count(), 30);
    // Bounded by what may wait for a frame.
    assert!(lines.iter().all(|line| line["events"].as_array().is_none_or(|events| events.len() <= 1000)));
}
