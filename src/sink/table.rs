//! Results as data: JSON lines, one object a frame, the same objects as one JSON array, and CSV, one row a face.
//!
//! Owns these formats, which `emocam help data` documents, and which are stable. Boxes are whole frame pixels, points tenths
//! of one, times seconds since the source's first frame, probabilities 0 to 1. What was found is written frame by frame, so a
//! run that breaks loses nothing. What is new in a format comes last, so that what old readers know stays where it is.

use std::collections::BTreeMap;
use std::iter;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::ZonedDateTime;
use serde::Serialize;

use super::options::OutputOptions;
use super::output::Output;
use super::{Ending, Sink};
use crate::flow::emotion::{Emotion, Prediction};
use crate::flow::frame::FacePoints;
use crate::flow::labelled::{Labelled, Mark};

/// The version of the JSON format. It changes only when a reader of the old format would misread the new one.
const SCHEMA: u32 = 1;

/// One line of JSON. The order of the fields is the order in the file.
#[derive(Serialize)]
struct FrameRecord<'a> {
    schema: u32,
    /// None where there is only what was marked after the last frame.
    frame: Option<u64>,
    time_s: f64,
    faces: Vec<FaceRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventRecord<'a>>,
}

#[derive(Serialize)]
struct EventRecord<'a> {
    event: &'a str,
    time_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
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

impl<'a> FrameRecord<'a> {
    fn of(labelled: &'a Labelled, options: Options) -> Self {
        let frame = &labelled.frame;
        Self {
            schema: SCHEMA,
            frame: Some(frame.id),
            time_s: seconds(frame.pts),
            faces: labelled.predictions.iter().map(FaceRecord::of).collect(),
            time: options.time_of(frame.captured_at),
            file: frame.file.as_deref(),
            events: labelled.events.iter().map(|mark| EventRecord::of(mark, options)).collect(),
        }
    }

    /// What was marked after the last frame: at the time of the first of it.
    fn without_frame(marks: &'a [Mark], options: Options) -> Self {
        Self {
            schema: SCHEMA,
            frame: None,
            time_s: marks.first().map_or(0.0, |mark| seconds(mark.time)),
            faces: Vec::new(),
            time: marks.first().and_then(|mark| options.time_of(mark.at)),
            file: None,
            events: marks.iter().map(|mark| EventRecord::of(mark, options)).collect(),
        }
    }
}

impl<'a> EventRecord<'a> {
    fn of(mark: &'a Mark, options: Options) -> Self {
        Self { event: &mark.text, time_s: seconds(mark.time), time: options.time_of(mark.at) }
    }
}

/// In microseconds: finer than any camera's clock, and a double prints them without noise.
pub(super) fn seconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}

/// What the clock on the wall showed so long ago, as RFC 3339 has it, to the millisecond.
fn wall_clock(now: ZonedDateTime, ago: Duration) -> String {
    (now - ago).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
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

    /// As columns, so many as [`FACE_CELLS`].
    fn cells(&self) -> Vec<String> {
        let Self { id, bounds: b, score, emotion, confidence, probabilities, points, turned, read } = self;
        iter::once(id.to_string())
            .chain([b.x, b.y, b.width, b.height].map(|value| value.to_string()))
            .chain([score.to_string(), emotion.to_string(), confidence.to_string()])
            .chain(probabilities.values().map(f64::to_string))
            .chain(points.as_ref().map(PointsRecord::cells).unwrap_or_default())
            .chain([turned.to_string(), read.to_string()])
            .collect()
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

/// What is written of a frame besides its faces.
#[derive(Clone, Copy)]
struct Options {
    wall_clock: bool,
    empty_rows: bool,
}

impl From<OutputOptions<'_>> for Options {
    fn from(OutputOptions { wall_clock, empty_rows, .. }: OutputOptions<'_>) -> Self {
        Self { wall_clock, empty_rows }
    }
}

impl Options {
    /// What the clock on the wall showed at a moment, where data have that.
    fn time_of(self, at: Instant) -> Option<String> {
        self.wall_clock.then(|| wall_clock(ZonedDateTime::now(), at.elapsed()))
    }
}

/// Writes each frame in one of the formats.
pub(super) struct Table {
    out: Output,
    options: Options,
    lines_of: fn(&FrameRecord<'_>, Options) -> Result<Vec<u8>>,
    frame: Separators,
    has_frames: bool,
}

/// What stands before the first frame, between two, after the last one, and where there is none.
#[derive(Default)]
struct Separators {
    before: &'static [u8],
    between: &'static [u8],
    after: &'static [u8],
    nothing: &'static [u8],
}

/// Of an array; each line of it has a frame.
const ARRAY: Separators = Separators { before: b"[\n", between: b",\n", after: b"\n]\n", nothing: b"[]\n" };

impl Table {
    fn new(
        out: Output,
        options: OutputOptions<'_>,
        lines_of: fn(&FrameRecord<'_>, Options) -> Result<Vec<u8>>,
    ) -> Self {
        Self { out, options: options.into(), lines_of, frame: Separators::default(), has_frames: false }
    }

    pub(super) fn jsonl(out: Output, options: OutputOptions<'_>) -> Self {
        Self::new(out, options, |record, _| {
            let mut line = json(record)?;
            line.push(b'\n');
            Ok(line)
        })
    }

    /// An array, which is one only when it is finished.
    pub(super) fn json(out: Output, options: OutputOptions<'_>) -> Self {
        Self { frame: ARRAY, ..Self::new(out, options, |record, _| json(record)) }
    }

    /// Writes the header.
    pub(super) fn csv(mut out: Output, options: OutputOptions<'_>) -> Result<Self> {
        let columns = ["frame", "time_s", "id", "x", "y", "width", "height", "score", "emotion", "confidence"];
        let probabilities = Emotion::ALL.map(|emotion| format!("probability_{}", emotion.name().to_lowercase()));
        let points = FacePoints::NAMES.iter().flat_map(|name| ["x", "y"].map(|axis| format!("{name}_{axis}")));
        let header = columns.map(String::from).into_iter().chain(probabilities).chain(points);
        let header = header.chain(["turned", "read", "time", "file", "event"].map(String::from));
        // A reader that has gone already is told at the first frame.
        let _ = out.write(&rows([header])?)?;
        Ok(Self::new(out, options, csv_rows))
    }

    /// Writes what belongs together.
    fn put(&mut self, lines: &[u8]) -> Result<ControlFlow<()>> {
        let before = if self.has_frames { self.frame.between } else { self.frame.before };
        self.has_frames = true;
        self.out.write(&[before, lines].concat())
    }
}

impl Sink for Table {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        let lines = (self.lines_of)(&FrameRecord::of(labelled, self.options), self.options)?;
        self.put(&lines)
    }

    /// A line of its own, or rows: no frame takes them along.
    fn mark(&mut self, marks: &[Mark]) -> Result<()> {
        let record = FrameRecord::without_frame(marks, self.options);
        // Nothing comes after it that a reader who has gone would miss.
        let lines = (self.lines_of)(&record, Options { empty_rows: false, ..self.options })?;
        let _ = self.put(&lines)?;
        Ok(())
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        // What was cut off is closed, too. Where it can't be, the run is over all the same.
        let end = if self.has_frames { self.frame.after } else { self.frame.nothing };
        let closed = self.out.write(end).map(|_| ());
        closed.and(self.out.finish(ending))
    }
}

fn json(record: &FrameRecord<'_>) -> Result<Vec<u8>> {
    serde_json::to_vec(record).context("a result can't be written as JSON")
}

/// Cells of a face: id, place, score, label, probabilities, points, and whether it is turned and was read.
const FACE_CELLS: usize = 8 + Emotion::COUNT + 2 * FacePoints::NAMES.len() + 2;

fn csv_rows(record: &FrameRecord<'_>, options: Options) -> Result<Vec<u8>> {
    let FrameRecord { frame, time_s, faces, time, file, events, .. } = record;
    let frame = frame.map(|frame| frame.to_string()).unwrap_or_default();
    let row = |time_s: &f64, face: Vec<String>, time: &Option<String>, event: &str| {
        let last = [time.clone().unwrap_or_default(), file.unwrap_or_default().to_owned(), event.to_owned()];
        [frame.clone(), time_s.to_string()].into_iter().chain(face).chain(last)
    };
    let nobody = || vec![String::new(); FACE_CELLS];
    let empty = (faces.is_empty() && options.empty_rows).then(nobody);
    let faces = faces.iter().map(FaceRecord::cells).chain(empty).map(|face| row(time_s, face, time, ""));
    rows(faces.chain(events.iter().map(|event| row(&event.time_s, nobody(), &event.time, event.event))))
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
        let now: ZonedDateTime = "2026-11-24T13:05:00.25+01:00[Europe/Berlin]".parse().expect("a time");
        assert_eq!(wall_clock(now, Duration::from_millis(350)), "2026-11-24T13:04:59.900+01:00");
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
}
