//! The documented forms of data: JSON lines, tables, statistics, and what a reader of them meets.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use emocam::flow::emotion::Emotion;
use emocam::flow::frame::FacePoints;
use image::RgbImage;
use serde_json::Value;

use crate::common::{
    LIMIT, assert_exit, astronaut, emocam, json_lines, parsed_lines, succeed, temporary_folder, text, wait_until,
};

/// The keys of an object, in order.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

/// All that a label can say.
fn with_unsure() -> Vec<&'static str> {
    Emotion::ALL.map(Emotion::name).into_iter().chain(["Unsure"]).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

pub(crate) fn faces(line: &Value) -> &[Value] {
    line["faces"].as_array().expect("a list of faces")
}

/// Checks a line against the documented format: keys and their order, types, ranges.
pub(crate) fn assert_schema(line: &Value) {
    assert_eq!(keys(line), ["schema", "frame", "time_s", "faces"]);
    assert_eq!(line["schema"], 1);
    assert!(line["frame"].is_u64() && line["time_s"].is_f64() && number(&line["time_s"]) >= 0.0, "{line}");
    for (position, face) in faces(line).iter().enumerate() {
        let known = ["id", "box", "score", "emotion", "confidence", "probabilities", "points", "turned", "read"];
        assert_eq!(keys(face), known);
        assert_eq!(face["id"], position);
        assert_eq!(keys(&face["box"]), ["x", "y", "width", "height"]);
        assert!(face["box"]["x"].is_i64() && face["box"]["y"].is_i64(), "{face}");
        assert!(face["box"]["width"].as_u64() > Some(0) && face["box"]["height"].as_u64() > Some(0), "{face}");
        assert!(number(&face["score"]) > 0.0, "{face}");

        let probabilities = &face["probabilities"];
        assert_eq!(keys(probabilities), Emotion::ALL.map(Emotion::name));
        let values = Emotion::ALL.map(|emotion| number(&probabilities[emotion.name()]));
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "{face}");
        // Each of the seven is rounded to four digits.
        assert!((values.iter().sum::<f64>() - 1.0).abs() <= 7.0 * 0.5e-4 + 1e-9, "{face}");
        let top = face["emotion"].as_str().expect("an emotion");
        let is_turned = face["turned"].as_bool().expect("whether it is turned away");
        assert!(if is_turned { top == "Unsure" } else { face["confidence"] == probabilities[top] }, "{face}");
        assert!(face["read"].is_boolean(), "{face}");
        if !face["points"].is_null() {
            assert_eq!(keys(&face["points"]), FacePoints::NAMES);
            let pair = |name: &&str| face["points"][name].as_array().is_some_and(|point| point.len() == 2);
            assert!(FacePoints::NAMES.iter().all(pair), "{face}");
        }
        assert_eq!(number(&face["confidence"]), values.iter().copied().fold(0.0, f64::max));
    }
}

#[test]
fn standard_output_has_nothing_but_json_lines_of_the_documented_form() {
    let output = succeed(emocam().args(["annotate", "demo", "--frames", "20", "-o", "-"]));
    let stdout = text(&output.stdout);
    let lines = parsed_lines(&stdout);
    assert_eq!(lines.len(), 20);
    for (id, (line, raw)) in lines.iter().zip(stdout.lines()).enumerate() {
        assert_schema(line);
        assert_eq!(line["frame"], id);
        // The demo has 30 frames a second.
        assert!((number(&line["time_s"]) - id as f64 / 30.0).abs() < 1e-5, "{raw}");
        assert_eq!(line.to_string(), raw, "one object without spaces");
    }
    assert!(lines.iter().all(|line| faces(line).len() == 1), "{stdout}");
    assert!(text(&output.stderr).contains("20 frames"));
}

#[test]
fn live_in_json_is_like_annotate() {
    let live = succeed(emocam().args(["live", "demo", "--headless", "--frames", "5", "-o", "-"]));
    let annotate = succeed(emocam().args(["annotate", "demo", "--frames", "5", "-o", "-"]));
    assert_eq!(text(&live.stdout), text(&annotate.stdout));
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly() {
    let mut command = emocam();
    command.args(["live", "demo", "--headless", "-o", "-"]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("emocam starts");
    let mut first = String::new();
    // The pipe is closed at the end of the statement.
    BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut first).expect("a line");
    let status = wait_until(&mut child, Instant::now() + LIMIT);
    if status.is_none() {
        child.kill().expect("a running child can be killed");
    }
    let output = child.wait_with_output().expect("a child can be waited for");
    assert_schema(&parsed_lines(&first)[0]);
    assert_exit(&output, 0, &[]);
    let stderr = text(&output.stderr);
    assert!(!stderr.contains("error") && !stderr.contains("240 frames"), "{stderr}");
}

#[test]
fn a_table_says_the_same_as_json_lines() {
    let folder = temporary_folder();
    let (json, table) = (folder.path().join("out.jsonl"), folder.path().join("out.csv"));
    succeed(emocam().args(["annotate", "demo", "--frames", "10", "-o"]).arg(&json).arg("-o").arg(&table));
    let mut table = csv::Reader::from_path(&table).expect("a table");
    let columns = "frame,time_s,id,x,y,width,height,score,emotion,confidence,probability_anger,probability_disgust,\
                   probability_fear,probability_happy,probability_neutral,probability_sad,probability_surprise,\
                   right_eye_x,right_eye_y,left_eye_x,left_eye_y,nose_x,nose_y,mouth_x,mouth_y,right_ear_x,right_ear_y,\
                   left_ear_x,left_ear_y,turned,read,time,file,event";
    assert_eq!(table.headers().expect("a header").iter().collect::<Vec<_>>().join(","), columns);
    let rows: Vec<Vec<Value>> = table
        .records()
        .map(|row| {
            let value = |cell: &str| match (cell, cell.parse::<f64>()) {
                (_, Ok(number)) => number.into(),
                ("", _) => Value::Null,
                ("true" | "false", _) => (cell == "true").into(),
                (text, _) => text.into(),
            };
            row.expect("a row").iter().map(value).collect()
        })
        .collect();

    let mut expected = Vec::new();
    for line in json_lines(&json) {
        for face in faces(&line) {
            let mut row = vec![&line["frame"], &line["time_s"], &face["id"]];
            row.extend(["x", "y", "width", "height"].map(|key| &face["box"][key]));
            row.extend([&face["score"], &face["emotion"], &face["confidence"]]);
            row.extend(Emotion::ALL.map(|emotion| &face["probabilities"][emotion.name()]));
            // Of what is null every part is null.
            row.extend(FacePoints::NAMES.iter().flat_map(|name| [0, 1].map(|axis| &face["points"][name][axis])));
            // Of a file there is no time on the wall, and of one file no name.
            row.extend([&face["turned"], &face["read"], &line["time"], &line["file"], &Value::Null]);
            let value = |value: &Value| value.as_f64().map_or_else(|| value.clone(), Value::from);
            expected.push(row.into_iter().map(value).collect::<Vec<_>>());
        }
    }
    assert!(expected.len() >= 10);
    assert_eq!(rows, expected);
}

#[test]
fn statistics_are_written_in_the_documented_form() {
    let folder = temporary_folder();
    let path = folder.path().join("stats.json");
    for force in [false, true] {
        let mut command = emocam();
        command.args(["annotate", "demo", "--frames", "12", "--stats"]).arg(&path);
        if force {
            command.arg("--force");
        }
        succeed(&mut command);
        let stats: Value = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        let counts = ["frames", "fps", "dropped", "damaged", "reconnects", "lost", "faces"];
        let left_out = ["ignored_faces", "ignored_faces_most", "turned_faces", "unread_faces", "smallest_face"];
        let machine = ["cpu_percent_of_one_core", "children_cpu_percent_of_one_core", "memory_peak_mb"];
        assert_eq!(keys(&stats), [&counts[..], &left_out, &machine, &["stages_ms", "emotions", "record"]].concat());
        // A twentieth of the demo's height.
        assert_eq!((&stats["smallest_face"], &stats["unread_faces"]), (&24.into(), &0.into()));
        assert_eq!((&stats["frames"], &stats["dropped"], &stats["lost"]), (&12.into(), &0.into(), &0.into()));
        assert_eq!(stats["faces"], 12);
        assert!(number(&stats["fps"]) > 0.0);
        let stages = &stats["stages_ms"];
        assert_eq!(keys(stages), ["capture", "detect", "classify", "render", "latency"]);
        for (stage, times) in stages.as_object().expect("an object") {
            let processor = (stage != "latency").then_some("cpu_ms");
            assert_eq!(keys(times), ["p50", "p95", "p99"].into_iter().chain(processor).collect::<Vec<_>>(), "{stage}");
            let [p50, p95, p99] = ["p50", "p95", "p99"].map(|quantile| number(&times[quantile]));
            assert!(0.0 <= p50 && p50 <= p95 && p95 <= p99, "{stage}: {times}");
        }
        // A frame is not shown before it was searched and labelled.
        assert!(number(&stages["latency"]["p95"]) >= number(&stages["detect"]["p50"]));
        assert_eq!(keys(&stats["emotions"]), with_unsure());
        let shares: f64 = with_unsure().iter().map(|label| number(&stats["emotions"][label])).sum();
        assert!((shares - 1.0).abs() < 1e-3, "{shares}");
    }
}

#[test]
fn faces_below_the_asked_for_confidence_are_unsure_in_all_outputs() {
    let folder = temporary_folder();
    let annotate = |name: &str, options: &[&str]| -> (Value, Value, RgbImage) {
        let file = |extension: &str| folder.path().join(format!("{name}.{extension}"));
        let mut command = emocam();
        command.arg("annotate").arg(astronaut()).args(["--device", "cpu"]).args(options);
        command.arg("-o").arg(file("jsonl")).arg("-o").arg(file("csv")).arg("-o").arg(file("png"));
        let summary = text(&succeed(command.arg("--stats").arg(file("json"))).stderr);
        let [line] = &json_lines(&file("jsonl"))[..] else { panic!("one picture is one line") };
        let [face] = faces(line) else { panic!("one face: {line}") };
        let emotion = face["emotion"].as_str().expect("a name");
        let table = fs::read_to_string(file("csv")).expect("a table");
        assert!(table.contains(&format!(",{emotion},{},", face["confidence"])), "{table}");
        assert!(summary.contains(&format!("{emotion} 100.0%")), "{summary}");
        let stats: Value = serde_json::from_slice(&fs::read(file("json")).expect("a file")).expect("JSON");
        let picture = image::open(file("png")).expect("a picture").to_rgb8();
        (face.clone(), stats["emotions"].clone(), picture)
    };
    let (plain, plain_shares, plain_picture) = annotate("plain", &[]);
    let (sure, sure_shares, sure_picture) = annotate("sure", &["--unsure", "0"]);
    assert_eq!(sure, plain);
    assert!(sure_picture == plain_picture, "a face that is sure enough looks different");
    assert_eq!(keys(&plain_shares), with_unsure());
    assert_eq!((&plain_shares["Unsure"], sure_shares), (&0.0.into(), plain_shares.clone()));

    let (mut unsure, unsure_shares, unsure_picture) = annotate("unsure", &["--unsure", "1"]);
    assert_eq!(unsure["emotion"], "Unsure");
    assert_eq!(unsure_shares["Unsure"], 1.0);
    assert!(unsure_picture != plain_picture, "an unsure face looks like any other");
    // Nothing else is another.
    unsure["emotion"] = plain["emotion"].clone();
    assert_eq!(unsure, plain);
}
