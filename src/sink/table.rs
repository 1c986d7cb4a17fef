//! Results as data: JSON lines, one object a frame, and CSV, one row a face.
//!
//! Owns the two formats, which `emocam help data` documents, and which are stable. Boxes are whole frame pixels, points tenths
//! of one, times seconds since the source's first frame, probabilities 0 to 1. What was found is written frame by frame, so a
//! run that breaks loses nothing. What is new in a format comes last, so that what old readers know stays where it is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::{Context, Result};
use serde::Serialize;

use super::output::Output;
use super::{Ending, Sink};
use crate::flow::emotion::{Emotion, Prediction};
use crate::flow::frame::FacePoints;
use crate::flow::labelled::Labelled;

/// The version of the JSON format. It changes only when a reader of the old format would misread the new one.
const SCHEMA: u32 = 1;

/// One line of JSON. The order of the fields is the order in the file.
#[derive(Serialize)]
struct FrameRecord {
    schema: u32,
    frame: u64,
    time_s: f64,
    faces: Vec<FaceRecord>,
}

#[derive(Serialize)]
struct FaceRecord {
    id: u64,
    #[serde(rename = "box")]
    bounds: BoxRecord,
    score: f64,
    emotion: &'static str,
    confidence: f64,
    /// By name, whose order is that of the labels, too.
    probabilities: BTreeMap<&'static str, f64>,
    points: Option<PointsRecord>,
    turned: bool,
    read: bool,
}

#[derive(Serialize)]
struct BoxRecord {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
}

/// The points of [`FacePoints::NAMES`], each as x and y.
#[derive(Serialize)]
struct PointsRecord {
    right_eye: [f64; 2],
    left_eye: [f64; 2],
    nose: [f64; 2],
    mouth: [f64; 2],
    right_ear: [f64; 2],
    left_ear: [f64; 2],
}

impl From<FacePoints> for PointsRecord {
    fn from(points: FacePoints) -> Self {
        let tenths = |point: [f32; 2]| point.map(|value| rounded(value.into(), 1));
        let [right_eye, left_eye, nose, mouth, right_ear, left_ear] = points.to_array().map(tenths);
        Self { right_eye, left_eye, nose, mouth, right_ear, left_ear }
    }
}

impl PointsRecord {
    /// As columns: x and y of each, in the order of their names.
    fn cells(&self) -> [String; 12] {
        let Self { right_eye, left_eye, nose, mouth, right_ear, left_ear } = self;
        let all = [right_eye, left_eye, nose, mouth, right_ear, left_ear];
        std::array::from_fn(|i| all[i / 2][i % 2].to_string())
    }
}

impl FrameRecord {
    fn of(labelled: &Labelled) -> Self {
        Self {
            schema: SCHEMA,
            frame: labelled.frame.id,
            // Microseconds: finer than any camera's clock, and a double prints them without noise.
            time_s: labelled.frame.pts.as_micros() as f64 / 1e6,
            faces: labelled.predictions.iter().map(FaceRecord::of).collect(),
        }
    }
}

impl FaceRecord {
    fn of(prediction: &Prediction) -> Self {
        let (face, probabilities) = (prediction.face, prediction.probabilities.iter());
        // A cast saturates, and makes 0 of what is no number.
        let whole = |value: f32| value.round() as i64;
        Self {
            id: prediction.id,
            bounds: BoxRecord {
                x: whole(face.x),
                y: whole(face.y),
                width: whole(face.width),
                height: whole(face.height),
            },
            score: rounded(face.score.into(), 2),
            emotion: prediction.label().name(),
            confidence: rounded(prediction.confidence().into(), 4),
            probabilities: probabilities.map(|(emotion, share)| (emotion.name(), rounded(share.into(), 4))).collect(),
            points: prediction.points.map(PointsRecord::from),
            turned: prediction.turned,
            read: prediction.read,
        }
    }
}

/// A number with no more digits after the point than a reader can use. What is no finite number becomes 0: JSON has no word
/// for it.
pub fn rounded(value: f64, digits: i32) -> f64 {
    let steps = 10f64.powi(digits);
    let rounded = (value * steps).round() / steps;
    // Adding 0 makes the zero of a small negative number a plain one.
    if rounded.is_finite() { rounded + 0.0 } else { 0.0 }
}

/// Writes each frame in one of the two formats.
pub(super) struct Table {
    out: Output,
    lines_of: fn(&Labelled) -> Result<Vec<u8>>,
}

impl Table {
    pub(super) fn jsonl(out: Output) -> Self {
        Self { out, lines_of: json_line }
    }

    /// Writes the header.
    pub(super) fn csv(mut out: Output) -> Result<Self> {
        let columns = ["frame", "time_s", "id", "x", "y", "width", "height", "score", "emotion", "confidence"];
        let probabilities = Emotion::ALL.map(|emotion| format!("probability_{}", emotion.name().to_lowercase()));
        let points = FacePoints::NAMES.iter().flat_map(|name| ["x", "y"].map(|axis| format!("{name}_{axis}")));
        let header = columns.map(String::from).into_iter().chain(probabilities).chain(points);
        let header = header.chain(["turned", "read"].map(String::from));
        // A reader that has gone already is told at the first frame.
        let _ = out.write(&rows([header])?)?;
        Ok(Self { out, lines_of: csv_rows })
    }
}

impl Sink for Table {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        self.out.write(&(self.lines_of)(labelled)?)
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        self.out.finish(ending)
    }
}

fn json_line(labelled: &Labelled) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&FrameRecord::of(labelled)).context("a result can't be written as JSON")?;
    line.push(b'\n');
    Ok(line)
}

fn csv_rows(labelled: &Labelled) -> Result<Vec<u8>> {
    let FrameRecord { frame, time_s, faces, .. } = FrameRecord::of(labelled);
    let row = |face: &FaceRecord| {
        let FaceRecord { id, bounds: b, score, emotion, confidence, probabilities, points, turned, read } = face;
        let place = [b.x, b.y, b.width, b.height].map(|value| value.to_string());
        [frame.to_string(), time_s.to_string(), id.to_string()]
            .into_iter()
            .chain(place)
            .chain([score.to_string(), emotion.to_string(), confidence.to_string()])
            .chain(probabilities.values().map(f64::to_string))
            .chain(points.as_ref().map(PointsRecord::cells).unwrap_or_default())
            .chain([turned.to_string(), read.to_string()])
            .collect::<Vec<_>>()
    };
    rows(faces.iter().map(row))
}

/// Rows as bytes.
fn rows(rows: impl IntoIterator<Item = impl IntoIterator<Item = String>>) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).context("a result can't be written as CSV")?;
    }
    writer.into_inner().context("a result can't be written as CSV")
}

#[cfg(test)]
mod tests {
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
        written(|out| Ok(Table::jsonl(out)), frames)
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
        let table = written(Table::csv, &frame);
        let row = table.lines().nth(1).unwrap_or_default();
        assert!(row.ends_with(",0,0,8,12,22.1,12.5,0,20,15,30,0,14,31,14,true,false"), "{row}");
        let columns: Vec<usize> = table.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [31, 31]);
    }

    #[test]
    fn an_unsure_face_is_named_so_and_keeps_its_numbers() {
        let mut face = prediction(0, [1.0, 2.0, 30.0, 40.0], 5.0, [0.125, 0.375, 0.0, 0.25, 0.25, 0.0, 0.0]);
        face.unsure = true;
        let frame = [labelled(0, 0, 2, 2, vec![face])];
        let line = jsonl(&frame);
        assert!(line.contains(r#""emotion":"Unsure","confidence":0.375,"#), "{line}");
        assert!(line.contains(r#"{"Anger":0.125,"Disgust":0.375,"#), "{line}");
        let table = written(Table::csv, &frame);
        assert_eq!(
            table.lines().nth(1),
            Some("0,0,0,1,2,30,40,5,Unsure,0.375,0.125,0.375,0,0.25,0.25,0,0,,,,,,,,,,,,,false,true")
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
            written(Table::csv, &frames),
            "frame,time_s,id,x,y,width,height,score,emotion,confidence,probability_anger,probability_disgust,\
             probability_fear,probability_happy,probability_neutral,probability_sad,probability_surprise,right_eye_x,right_eye_y,\
             left_eye_x,left_eye_y,nose_x,nose_y,mouth_x,mouth_y,right_ear_x,right_ear_y,left_ear_x,left_ear_y,turned,read\n\
             1,0.04,0,1,2,30,40,5,Sad,0.875,0.125,0,0,0,0,0.875,0,,,,,,,,,,,,,false,true\n\
             1,0.04,1,1,2,30,40,5,Sad,0.875,0.125,0,0,0,0,0.875,0,,,,,,,,,,,,,false,true\n"
        );
    }

    #[test]
    fn a_reader_that_leaves_ends_the_run_without_an_error() {
        let (_, pipe) = std::io::pipe().expect("a pipe");
        let mut jsonl = Table::jsonl(Output::new(Box::new(pipe), "test".into()));
        assert_eq!(jsonl.write(&labelled(0, 0, 2, 2, vec![])).expect("no error"), ControlFlow::Break(()));
        jsonl.finish(Ending::Whole).expect("no error");
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let full = Cursor::new([0; 8]);
        let mut sink = Table::jsonl(Output::new(Box::new(full), "out.jsonl".into()));
        let error = sink.write(&labelled(0, 0, 2, 2, vec![])).expect_err("the disk is full");
        assert!(format!("{error:#}").starts_with("out.jsonl can't be written: "), "{error:#}");
    }
}
