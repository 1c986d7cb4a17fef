//! Results as data: JSON lines, one object a frame, and CSV, one row a face.
//!
//! Owns the two formats, which `emocam help data` documents, and which are stable. Boxes are whole frame pixels, times seconds since
//! the source's first frame, probabilities 0 to 1. What was found is written frame by frame, so a run that breaks loses
//! nothing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::{Context, Result};
use serde::Serialize;

use super::output::Output;
use super::{Ending, Sink};
use crate::flow::emotion::{Emotion, Prediction};
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
}

#[derive(Serialize)]
struct BoxRecord {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
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

/// Writes JSON lines.
pub(super) struct Jsonl {
    out: Output,
}

impl Jsonl {
    pub(super) fn new(out: Output) -> Self {
        Self { out }
    }
}

impl Sink for Jsonl {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        let mut line = serde_json::to_vec(&FrameRecord::of(labelled)).context("a result can't be written as JSON")?;
        line.push(b'\n');
        self.out.write(&line)
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        self.out.finish(ending)
    }
}

/// Writes CSV with a header.
pub(super) struct Csv {
    out: Output,
}

impl Csv {
    /// Writes the header.
    pub(super) fn new(mut out: Output) -> Result<Self> {
        let columns = ["frame", "time_s", "id", "x", "y", "width", "height", "score", "emotion", "confidence"];
        let probabilities = Emotion::ALL.map(|emotion| format!("probability_{}", emotion.name().to_lowercase()));
        let header = columns.map(String::from).into_iter().chain(probabilities);
        // A reader that has gone already is told at the first frame.
        let _ = out.write(&rows([header])?)?;
        Ok(Self { out })
    }
}

impl Sink for Csv {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        let FrameRecord { frame, time_s, faces, .. } = FrameRecord::of(labelled);
        let row = |face: &FaceRecord| {
            let FaceRecord { id, bounds: b, score, emotion, confidence, probabilities } = face;
            let place = [b.x, b.y, b.width, b.height].map(|value| value.to_string());
            [frame.to_string(), time_s.to_string(), id.to_string()]
                .into_iter()
                .chain(place)
                .chain([score.to_string(), emotion.to_string(), confidence.to_string()])
                .chain(probabilities.values().map(f64::to_string))
                .collect::<Vec<_>>()
        };
        self.out.write(&rows(faces.iter().map(row))?)
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        self.out.finish(ending)
    }
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
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::flow::emotion::Probabilities;
    use crate::sink::tests::{labelled, prediction};

    /// A file in memory that the test can read while the sink holds it.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().expect("no panic holds it")).into_owned()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic holds it").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn to(file: &Shared) -> Output {
        Output::new(Box::new(file.clone()), "test".into())
    }

    /// Fails each write in one way.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_json_is_as_documented() {
        let file = Shared::default();
        let mut sink = Jsonl::new(to(&file));
        let face = prediction(3, [210.4, 89.6, 186.0, 186.2], 12.104, [0.0, 0.0, 0.0, 0.97, 0.02, 0.0, 0.01]);
        let flow = sink.write(&labelled(12, 400_000_000, 640, 480, vec![face])).expect("memory can be written");
        assert_eq!(flow, ControlFlow::Continue(()));
        assert_eq!(
            file.text(),
            concat!(
                r#"{"schema":1,"frame":12,"time_s":0.4,"faces":[{"id":3,"box":{"x":210,"y":90,"width":186,"height":186},"#,
                r#""score":12.1,"emotion":"Happy","confidence":0.97,"probabilities":{"Anger":0.0,"Disgust":0.0,"Fear":0.0,"#,
                r#""Happy":0.97,"Neutral":0.02,"Sad":0.0,"Surprise":0.01}}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn an_unsure_face_is_named_so_and_keeps_its_numbers() {
        let mut face = prediction(0, [1.0, 2.0, 30.0, 40.0], 5.0, [0.125, 0.375, 0.0, 0.25, 0.25, 0.0, 0.0]);
        face.unsure = true;
        let frame = labelled(0, 0, 2, 2, vec![face]);
        let (json, table) = (Shared::default(), Shared::default());
        let mut jsonl = Jsonl::new(to(&json));
        let mut csv = Csv::new(to(&table)).expect("memory can be written");
        let _ = jsonl.write(&frame).expect("memory can be written");
        let _ = csv.write(&frame).expect("memory can be written");
        let line: serde_json::Value = serde_json::from_str(&json.text()).expect("valid JSON");
        let face = &line["faces"][0];
        assert_eq!((&face["emotion"], &face["confidence"]), (&"Unsure".into(), &0.375.into()));
        assert_eq!(
            (&face["probabilities"]["Disgust"], &face["probabilities"]["Anger"]),
            (&0.375.into(), &0.125.into())
        );
        let row = table.text().lines().nth(1).map(String::from);
        assert_eq!(row.as_deref(), Some("0,0,0,1,2,30,40,5,Unsure,0.375,0.125,0.375,0,0.25,0.25,0,0"));
    }

    #[test]
    fn frames_without_faces_and_odd_times_are_written() {
        let file = Shared::default();
        let mut sink = Jsonl::new(to(&file));
        for (id, nanoseconds) in [(0, 0), (1, 33_333_333), (2, 3_600_066_666_667)] {
            let _ = sink.write(&labelled(id, nanoseconds, 2, 2, vec![])).expect("memory can be written");
        }
        sink.finish(Ending::Whole).expect("memory can be written");
        assert_eq!(
            file.text(),
            concat!(
                r#"{"schema":1,"frame":0,"time_s":0.0,"faces":[]}"#,
                "\n",
                r#"{"schema":1,"frame":1,"time_s":0.033333,"faces":[]}"#,
                "\n",
                r#"{"schema":1,"frame":2,"time_s":3600.066666,"faces":[]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn numbers_that_are_none_do_not_reach_the_file() {
        let file = Shared::default();
        let mut sink = Jsonl::new(to(&file));
        let mut face = prediction(0, [f32::NAN, -3.4, f32::INFINITY, 1.0], f32::NAN, [1.0; 7]);
        face.probabilities = Probabilities::from_logits(&[f32::NAN; 7]);
        let _ = sink.write(&labelled(0, 0, 2, 2, vec![face])).expect("memory can be written");
        let line: serde_json::Value = serde_json::from_str(&file.text()).expect("valid JSON");
        assert_eq!(line["faces"][0]["box"]["x"], 0);
        assert_eq!(line["faces"][0]["box"]["y"], -3);
        assert_eq!(line["faces"][0]["score"], 0.0);
        assert_eq!(line["faces"][0]["probabilities"]["Happy"], 0.0);
    }

    #[test]
    fn csv_has_a_header_and_one_row_a_face() {
        let file = Shared::default();
        let mut sink = Csv::new(to(&file)).expect("memory can be written");
        let face = |id| prediction(id, [1.0, 2.0, 30.0, 40.0], 5.0, [0.125, 0.0, 0.0, 0.0, 0.0, 0.875, 0.0]);
        let _ = sink.write(&labelled(0, 0, 2, 2, vec![])).expect("memory can be written");
        let _ = sink.write(&labelled(1, 40_000_000, 2, 2, vec![face(0), face(1)])).expect("memory can be written");
        assert_eq!(
            file.text(),
            "frame,time_s,id,x,y,width,height,score,emotion,confidence,probability_anger,probability_disgust,\
             probability_fear,probability_happy,probability_neutral,probability_sad,probability_surprise\n\
             1,0.04,0,1,2,30,40,5,Sad,0.875,0.125,0,0,0,0,0.875,0\n\
             1,0.04,1,1,2,30,40,5,Sad,0.875,0.125,0,0,0,0,0.875,0\n"
        );
    }

    #[test]
    fn a_reader_that_leaves_ends_the_run_without_an_error() {
        let pipe = || Box::new(Failing(io::ErrorKind::BrokenPipe));
        let frame = labelled(0, 0, 2, 2, vec![prediction(0, [0.0; 4], 1.0, [1.0; 7])]);
        let mut jsonl = Jsonl::new(Output::new(pipe(), "test".into()));
        assert_eq!(jsonl.write(&frame).expect("no error"), ControlFlow::Break(()));
        jsonl.finish(Ending::Whole).expect("no error");
        let mut csv = Csv::new(Output::new(pipe(), "test".into())).expect("no error");
        assert_eq!(csv.write(&frame).expect("no error"), ControlFlow::Break(()));
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let mut sink = Jsonl::new(Output::new(Box::new(Failing(io::ErrorKind::StorageFull)), "out.jsonl".into()));
        let error = sink.write(&labelled(0, 0, 2, 2, vec![])).expect_err("the disk is full");
        assert!(format!("{error:#}").starts_with("out.jsonl can't be written: "), "{error:#}");
    }
}
