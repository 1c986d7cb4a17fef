//! Which emotion each face showed when: a row a face, time from left to right.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::canvas::{Anchor, Canvas};
use super::looks::{GRAY, GRID, HAIRLINE, INK, SMALL, TEXT, TITLE};
use crate::draw::color_of_label;
use crate::draw::paint::Rect;
use crate::flow::emotion::{Emotion, Label};

const WIDTH: u32 = 1600;

/// Where time begins and ends, and where the rows begin, in pixels.
const LEFT: i32 = 210;
const RIGHT: i32 = 1540;
const TOP: i32 = 130;

/// A row's height, and that of its bar.
const ROW: i32 = 84;
const BAR: i32 = 52;

/// The room for ticks and legend below the rows.
const BELOW: i32 = 220;

/// The most faces that get a row: those that were seen longest.
const MOST_ROWS: usize = 12;

/// The most letters of an event's text.
const MOST_LETTERS: usize = 24;

/// The most ticks of time.
const MOST_TICKS: f64 = 9.0;

/// Round times, in seconds.
const STEPS: [f64; 19] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0,
];

/// A time in which a face was shown as one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spell {
    /// What it was shown as.
    pub label: Label,
    /// When it began.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
}

impl Spell {
    /// How long it lasted.
    pub fn length(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// What one face showed.
#[derive(Clone, Debug)]
pub struct Row {
    /// The face's number.
    pub id: u64,
    /// For how long it was seen.
    pub seen: Duration,
    /// In order; between them it was not seen.
    pub spells: Vec<Spell>,
}

/// A moment that somebody marked.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When it was.
    pub time: Duration,
    /// What it is called.
    pub text: &'a str,
}

/// Writes the picture as a PNG: a row a face, of those that were seen longest, from time 0 to `end`, and a line through all
/// of them for each event. `title` says what it is of.
///
/// # Errors
/// When the file can't be written.
pub fn timeline(path: &Path, title: &str, end: Duration, mut faces: Vec<Row>, events: &[Event<'_>]) -> Result<()> {
    faces.sort_by_key(|face| std::cmp::Reverse(face.seen));
    let more = faces.len().saturating_sub(MOST_ROWS);
    faces.truncate(MOST_ROWS);
    let rows = faces.len().max(1) as i32;
    let mut canvas = Canvas::new(WIDTH, (TOP + rows * ROW + BELOW) as u32);
    let title = shortened(title);
    canvas.text(&title, [LEFT as f32, 56.0], Anchor::Start, TITLE, INK);
    let time = Time { end: end.as_secs_f64().max(1e-3) };
    let bottom = TOP + rows * ROW;
    time.draw(&mut canvas, bottom);
    if faces.is_empty() {
        let middle = [(LEFT + RIGHT) as f32 / 2.0, (TOP + ROW / 2) as f32];
        canvas.text("no face was seen", middle, Anchor::Middle, TEXT, GRAY);
    }
    for (row, face) in (0..).zip(&faces) {
        let y = TOP + row * ROW;
        canvas.text(&format!("face {}", face.id), [LEFT as f32 - 24.0, (y + 28) as f32], Anchor::End, SMALL, INK);
        let seen = clock(face.seen.as_secs_f64(), 0.1);
        canvas.text(&seen, [LEFT as f32 - 24.0, (y + 60) as f32], Anchor::End, SMALL * 0.8, GRAY);
        for spell in &face.spells {
            let (left, right) = (time.x(spell.start), time.x(spell.end));
            let width = (right - left).round().max(1.0) as i32;
            let rect = Rect { x: left.round() as i32, y: y + (ROW - BAR) / 2, width, height: BAR };
            canvas.fill(rect, color_of_label(spell.label));
        }
    }
    time.mark(&mut canvas, bottom, events);
    legend(&mut canvas, bottom + 150, &faces);
    if more > 0 {
        let text = format!("and {more} more {}, seen for a shorter time", if more == 1 { "face" } else { "faces" });
        canvas.text(&text, [RIGHT as f32, 60.0], Anchor::End, SMALL, GRAY);
    }
    canvas.save(path)
}

/// Of a path its name, and the end of one that is too long.
fn shortened(title: &str) -> String {
    const MOST: usize = 48;
    let title = Path::new(title).file_name().map_or(title.into(), |name| name.to_string_lossy());
    let length = title.chars().count();
    if length <= MOST {
        title.into_owned()
    } else {
        format!("…{}", title.chars().skip(length - MOST).collect::<String>())
    }
}

/// The axis of time.
struct Time {
    end: f64,
}

impl Time {
    fn x(&self, time: Duration) -> f32 {
        LEFT as f32 + ((time.as_secs_f64() / self.end).min(1.0) * f64::from(RIGHT - LEFT)) as f32
    }

    fn draw(&self, canvas: &mut Canvas, bottom: i32) {
        let hours = (self.end / MOST_TICKS / 3600.0).ceil() * 3600.0;
        let step = STEPS.into_iter().find(|step| self.end / step <= MOST_TICKS).unwrap_or(hours);
        let mut lines = Vec::new();
        for tick in 0..=(self.end / step) as u32 {
            let time = f64::from(tick) * step;
            let x = self.x(Duration::from_secs_f64(time));
            lines.push([[x, TOP as f32], [x, bottom as f32 + 10.0]]);
            canvas.text(&clock(time, step), [x, bottom as f32 + 40.0], Anchor::Middle, SMALL, INK);
        }
        canvas.stroke(&lines, HAIRLINE, GRID);
        canvas.stroke(&[[[LEFT as f32, bottom as f32], [RIGHT as f32, bottom as f32]]], HAIRLINE, INK);
    }
}

impl Time {
    /// A line for each event, and its text above it where that hides no other's.
    fn mark(&self, canvas: &mut Canvas, bottom: i32, events: &[Event<'_>]) {
        let mut events = events.to_vec();
        events.sort_by_key(|event| event.time);
        let top = TOP as f32 - 6.0;
        let lines: Vec<_> =
            events.iter().map(|event| self.x(event.time)).map(|x| [[x, top], [x, bottom as f32]]).collect();
        canvas.stroke(&lines, HAIRLINE, INK);
        let mut free_from = 0.0f32;
        for event in events {
            let x = self.x(event.time);
            let mut text: String = event.text.chars().take(MOST_LETTERS).collect();
            if text.len() < event.text.len() {
                text.push('…');
            }
            let half = Canvas::width_of(&text, SMALL) / 2.0;
            // Text at the end of the time stays in the picture.
            let middle = x.min(WIDTH as f32 - half - 8.0);
            if middle - half >= free_from {
                canvas.text(&text, [middle, top - 16.0], Anchor::Middle, SMALL, INK);
                free_from = middle + half + SMALL / 2.0;
            }
        }
    }
}

/// A time as people write it: `12.5 s`, `2:05`, `1:02:05`; with as many digits as the step needs.
fn clock(seconds: f64, step: f64) -> String {
    if seconds < 120.0 {
        let digits = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
        return format!("{seconds:.digits$} s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// All emotions, and Unsure where it occurs.
fn legend(canvas: &mut Canvas, y: i32, faces: &[Row]) {
    let occurs = faces.iter().flat_map(|face| &face.spells).any(|spell| spell.label == Label::Unsure);
    let labels: Vec<Label> =
        Emotion::ALL.map(Label::Emotion).into_iter().chain(occurs.then_some(Label::Unsure)).collect();
    let column = (RIGHT - LEFT) / labels.len() as i32;
    for (index, label) in (0..).zip(labels) {
        let x = LEFT + index * column;
        canvas.fill(Rect { x, y: y - 14, width: 28, height: 28 }, color_of_label(label));
        canvas.text(label.name(), [(x + 40) as f32, y as f32], Anchor::Start, SMALL, INK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_do() {
        let written = [(0.0, 1.0), (0.05, 0.05), (2.5, 0.5), (119.0, 20.0), (120.0, 20.0), (3725.0, 600.0)];
        let written = written.map(|(seconds, step)| clock(seconds, step));
        assert_eq!(written, ["0 s", "0.05 s", "2.5 s", "119 s", "2:00", "1:02:05"]);
    }

    /// The lines are where the events are, and texts that have no room are left out.
    #[test]
    fn events_are_lines_through_all_rows() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let picture = |events: &[Event<'_>]| {
            let path = folder.path().join("timeline.png");
            let spell =
                Spell { label: Label::Emotion(Emotion::Sad), start: Duration::ZERO, end: Duration::from_secs(10) };
            let row = Row { id: 0, seen: spell.length(), spells: vec![spell] };
            timeline(&path, "clip", Duration::from_secs(10), vec![row], events).expect("a disk with room");
            image::open(&path).expect("a PNG").to_rgb8()
        };
        let event = |seconds, text| Event { time: Duration::from_secs(seconds), text };
        let (without, with) = (picture(&[]), picture(&[event(5, "start"), event(20, "a long text behind the end")]));
        let changed = |x: i32| {
            (TOP..TOP + ROW - 2).all(|y| with.get_pixel(x as u32, y as u32) != without.get_pixel(x as u32, y as u32))
        };
        assert!(changed((LEFT + RIGHT) / 2) && changed(RIGHT) && !changed(LEFT + 100));
        let crowded: Vec<_> = (0..5000).map(|_| event(5, "again")).collect();
        assert!(picture(&crowded) == picture(&[event(5, "again")]));
    }

    #[test]
    fn nobody_and_many_for_ever_are_drawn() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("timeline.png");
        timeline(&path, "nothing", Duration::ZERO, Vec::new(), &[]).expect("a disk with room");
        let empty = image::open(&path).expect("a PNG").height();
        let row = |id: u64| {
            let label = if id.is_multiple_of(2) { Label::Unsure } else { Label::Emotion(Emotion::Sad) };
            let (start, seen) = (Duration::from_secs(1000 * id), Duration::from_secs(1));
            Row { id, seen, spells: vec![Spell { label, start, end: start + seen }] }
        };
        let (title, end) = ("a/very/long/path/".repeat(20), Duration::from_secs(40_000));
        timeline(&path, &title, end, (0..40).map(row).collect(), &[]).expect("a disk with room");
        assert_eq!(image::open(&path).expect("a PNG").height(), empty + (MOST_ROWS as u32 - 1) * ROW as u32);
    }
}
