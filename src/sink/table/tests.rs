use std::io::Cursor;

use super::*;
use crate::flow::emotion::Probabilities;
use crate::sink::tests::{labelled, prediction};

/// What is written of these frames.
fn written(open: impl FnOnce(Output) -> Result<Table>, frames: &[Labelled]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let out = Output::new(Box::new(file.reopen().expect("the file")), "test".into());
    let mut sink = open(out).expect("a disk with room");
    for frame in frames {
        assert_eq!(sink.write(frame).expect("a disk with room"), ControlFlow::Continue(()));
    }
    sink.finish(Ending::Whole).expect("a disk with room");
    std::fs::read_to_string(file.path()).expect("the file")
}

fn jsonl(frames: &[Labelled]) -> String {
    written(|out| Ok(Table::jsonl(out, OutputOptions::default())), frames)
}

fn csv(frames: &[Labelled]) -> String {
    written(|out| Table::csv(out, OutputOptions::default()), frames)
}

#[test]
fn a_line_of_json_is_as_documented() {
    let face = prediction(3, [210.4, 89.6, 186.0, 186.2], 12.104, [0.0, 0.0, 0.0, 0.97, 0.02, 0.0, 0.01]);
    assert_eq!(
        jsonl(&[labelled(12, 400_000_000, 640, 480, vec![face])]),
        concat!(
            r#"{"schema":1,"frame":12,"time_s":0.4,"faces":[{"id":3,"box":{"x":210,"y":90,"width":186,"height":186},"#,
            r#""score":12.1,"emotion":"Happy","confidence":0.97,"probabilities":{"Anger":0.0,"Disgust":0.0,"Fear":0.0,"#,
            r#""Happy":0.97,"Neutral":0.02,"Sad":0.0,"Surprise":0.01},"points":null,"turned":false,"read":true}]}"#,
            "\n"
        )
    );
}

#[test]
fn where_the_parts_of_a_face_are_stands_at_the_end() {
    let mut face = prediction(0, [1.0, 2.0, 30.0, 40.0], 5.0, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let points = [[8.04, 12.0], [22.06, 12.5], [-0.04, 20.0], [15.0, 30.0], [f32::NAN, 14.0], [31.0, 14.0]];
    face.points = Some(FacePoints::from_array(points));
    (face.turned, face.read) = (true, false);
    let frame = [labelled(0, 0, 2, 2, vec![face])];
    let line = jsonl(&frame);
    let end = concat!(
        r#","points":{"right_eye":[8.0,12.0],"left_eye":[22.1,12.5],"nose":[0.0,20.0],"mouth":[15.0,30.0],"#,
        r#""right_ear":[0.0,14.0],"left_ear":[31.0,14.0]},"turned":true,"read":false}]}"#,
        "\n"
    );
    assert!(line.ends_with(end), "{line}");
    let table = csv(&frame);
    let row = table.lines().nth(1).unwrap_or_default();
    assert!(row.ends_with(",0,0,8,12,22.1,12.5,0,20,15,30,0,14,31,14,true,false,,,"), "{row}");
    let columns: Vec<usize> = table.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(columns, [34, 34]);
}

#[test]
fn an_unsure_face_is_named_so_and_keeps_its_numbers() {
    let mut face = prediction(0, [1.0, 2.0, 30.0, 40.0], 5.0, [0.125, 0.375, 0.0, 0.25, 0.25, 0.0, 0.0]);
    face.unsure = true;
    let frame = [labelled(0, 0, 2, 2, vec![face])];
    let line = jsonl(&frame);
    assert!(line.contains(r#""emotion":"Unsure","confidence":0.375,"#), "{line}");
    assert!(line.contains(r#"{"Anger":0.125,"Disgust":0.375,"#), "{line}");
    let table = csv(&frame);
    assert_eq!(
        table.lines().nth(1),
        Some("0,0,0,1,2,30,40,5,Unsure,0.375,0.125,0.375,0,0.25,0.25,0,0,,,,,,,,,,,,,false,true,,,")
    );
}

#[test]
fn frames_without_faces_and_odd_times_are_written() {
    let frames = [(0, 0), (1, 33_333_333), (2, 3_600_066_666_667)];
    let text = jsonl(&frames.map(|(id, nanoseconds)| labelled(id, nanoseconds, 2, 2, vec![])));
    for (line, (id, time)) in text.lines().zip([(0, "0.0"), (1, "0.033333"), (2, "3600.066666")]) {
        assert_eq!(line, format!(r#"{{"schema":1,"frame":{id},"time_s":{time},"faces":[]}}"#));
    }
    assert_eq!(text.matches('\n').count(), 3);
}

#[test]
fn numbers_that_are_none_do_not_reach_the_file() {
    let mut face = prediction(0, [f32::NAN, -3.4, f32::INFINITY, 1.0], f32::NAN, [1.0; 7]);
    face.probabilities = Probabilities::from_logits(&[f32::NAN; 7]);
    let line = jsonl(&[labelled(0, 0, 2, 2, vec![face])]);
    let line: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
    let face = &line["faces"][0];
    assert_eq!((&face["box"]["x"], &face["box"]["y"]), (&0.into(), &(-3).into()));
    assert_eq!((&face["score"], &face["probabilities"]["Happy"]), (&0.0.into(), &0.0.into()));
}

#[test]
fn csv_has_a_header_and_one_row_a_face() {
    let face = |id| prediction(id, [1.0, 2.0, 30.0, 40.0], 5.0, [0.125, 0.0, 0.0, 0.0, 0.0, 0.875, 0.0]);
    let frames = [labelled(0, 0, 2, 2, vec![]), labelled(1, 40_000_000, 2, 2, vec![face(0), face(1)])];
    assert_eq!(
        csv(&frames),
        "frame,time_s,id,x,y,width,height,score,emotion,confidence,probability_anger,probability_disgust,\
         probability_fear,probability_happy,probability_neutral,probability_sad,probability_surprise,right_eye_x,right_eye_y,\
         left_eye_x,left_eye_y,nose_x,nose_y,mouth_x,mouth_y,right_ear_x,right_ear_y,left_ear_x,left_ear_y,turned,read,time,file,event\n\
         1,0.04,0,1,2,30,40,5,Sad,0.875,0.125,0,0,0,0,0.875,0,,,,,,,,,,,,,false,true,,,\n\
         1,0.04,1,1,2,30,40,5,Sad,0.875,0.125,0,0,0,0,0.875,0,,,,,,,,,,,,,false,true,,,\n"
    );
}

#[test]
fn a_frame_without_faces_has_a_row_where_that_is_asked_for() {
    let face = prediction(0, [1.0, 2.0, 30.0, 40.0], 5.0, [0.125, 0.0, 0.0, 0.0, 0.0, 0.875, 0.0]);
    let frames = [labelled(0, 0, 2, 2, vec![]), labelled(1, 40_000_000, 2, 2, vec![face])];
    let options = OutputOptions { empty_rows: true, ..Default::default() };
    let table = written(|out| Table::csv(out, options), &frames);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(lines[1], format!("0,0{}", ",".repeat(32)));
    assert!(lines[2].starts_with("1,0.04,0,1,2,30,40,5,Sad,"), "{table}");
}

#[test]
fn a_frame_of_several_files_names_its_own() {
    let face = prediction(0, [1.0, 2.0, 30.0, 40.0], 5.0, [0.125, 0.0, 0.0, 0.0, 0.0, 0.875, 0.0]);
    let mut frame = labelled(3, 0, 2, 2, vec![face]);
    frame.frame.file = Some("a, \"b\".jpg".into());
    let frames = [frame];
    assert!(jsonl(&frames).ends_with("\"read\":true}],\"file\":\"a, \\\"b\\\".jpg\"}\n"), "{}", jsonl(&frames));
    assert!(csv(&frames).ends_with(",false,true,,\"a, \"\"b\"\".jpg\",\n"), "{}", csv(&frames));
}

#[test]
fn a_camera_s_frames_have_the_time_on_the_wall() {
    let frames = [labelled(0, 0, 2, 2, vec![])];
    let options = OutputOptions { wall_clock: true, empty_rows: true, ..Default::default() };
    let line = written(|out| Ok(Table::jsonl(out, options)), &frames);
    let line: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
    let time: jiff::Timestamp = line["time"].as_str().and_then(|time| time.parse().ok()).expect("RFC 3339");
    assert!(jiff::Timestamp::now().duration_since(time).as_secs().abs() < 60, "{line}");
    let table = written(|out| Table::csv(out, options), &frames);
    let row: Vec<&str> = table.lines().nth(1).unwrap_or_default().split(',').collect();
    assert!(row[31].parse::<jiff::Timestamp>().is_ok() && row[32].is_empty(), "{table}");
}

#[test]
fn a_reader_that_leaves_ends_the_run_without_an_error() {
    let (_, pipe) = std::io::pipe().expect("a pipe");
    let mut jsonl = Table::jsonl(Output::new(Box::new(pipe), "test".into()), OutputOptions::default());
    assert_eq!(jsonl.write(&labelled(0, 0, 2, 2, vec![])).expect("no error"), ControlFlow::Break(()));
    jsonl.finish(Ending::Whole).expect("no error");
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    let full = Cursor::new([0; 8]);
    let mut sink = Table::jsonl(Output::new(Box::new(full), "out.jsonl".into()), OutputOptions::default());
    let error = sink.write(&labelled(0, 0, 2, 2, vec![])).expect_err("the disk is full");
    assert!(format!("{error:#}").starts_with("out.jsonl can't be written: "), "{error:#}");
}
