//! Results as data: JSON lines, one object a frame, the same objects as one JSON array, and CSV, one row a face.
//!
//! Owns these formats, which `emocam help data` documents, and which are stable. Boxes are whole frame pixels, points tenths
//! of one, times seconds since the source's first frame, probabilities 0 to 1. What was found is written frame by frame, so a
//! run that breaks loses nothing. What is new in a format comes last, so that what old readers know stays where it is.

mod fields;

use std::ops::ControlFlow;

use anyhow::{Context, Result};

pub use self::fields::rounded;
pub(super) use self::fields::seconds;
use self::fields::{FACE_CELLS, FaceRecord, FrameRecord, Options};
use super::options::OutputOptions;
use super::output::Output;
use super::{Ending, Sink};
use crate::flow::emotion::Emotion;
use crate::flow::frame::FacePoints;
use crate::flow::labelled::{Labelled, Mark};

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
mod tests;
