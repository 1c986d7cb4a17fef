//! What is written of a frame, and of each of its faces: the fields, their order and their digits.

use std::collections::BTreeMap;
use std::iter;
use std::time::{Duration, Instant};

use jiff::ZonedDateTime;
use serde::Serialize;

use crate::flow::emotion::{Emotion, Prediction};
use crate::flow::frame::FacePoints;
use crate::flow::labelled::{Labelled, Mark};
use crate::sink::options::OutputOptions;

/// The version of the JSON format. It changes only when a reader of the old format would misread the new one.
const SCHEMA: u32 = 1;

/// One line of JSON. The order of the fields is the order in the file.
#[derive(Serialize)]
pub(super) struct FrameRecord<'a> {
    schema: u32,
    /// None where there is only what was marked after the last frame.
    pub(super) frame: Option<u64>,
    pub(super) time_s: f64,
    pub(super) faces: Vec<FaceRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) events: Vec<EventRecord<'a>>,
}

#[derive(Serialize)]
pub(super) struct EventRecord<'a> {
    pub(super) event: &'a str,
    pub(super) time_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
}

#[derive(Serialize)]
pub(super) struct FaceRecord {
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
    pub(super) fn of(labelled: &'a Labelled, options: Options) -> Self {
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
    pub(super) fn without_frame(marks: &'a [Mark], options: Options) -> Self {
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
pub(in crate::sink) fn seconds(time: Duration) -> f64 {
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
    pub(super) fn cells(&self) -> Vec<String> {
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
pub(super) struct Options {
    pub(super) wall_clock: bool,
    pub(super) empty_rows: bool,
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

/// Cells of a face: id, place, score, label, probabilities, points, and whether it is turned and was read.
pub(super) const FACE_CELLS: usize = 8 + Emotion::COUNT + 2 * FacePoints::NAMES.len() + 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_on_the_wall_is_written_with_its_zone() {
        let now: ZonedDateTime = "2026-11-24T13:05:00.25+01:00[Europe/Berlin]".parse().expect("a time");
        assert_eq!(wall_clock(now, Duration::from_millis(350)), "2026-11-24T13:04:59.900+01:00");
    }
}
