//! What each face showed in the last seconds: a strip in which time goes from left to right.
//!
//! A column has the color of what the face was shown as, and its height is the confidence. Time is the frames' own.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use image::RgbImage;

use super::color::color_of_label;
use super::layout;
use super::paint::{OPAQUE, Rect, fill};
use super::style::{PLATE, PLATE_OPACITY, Style, bounded};
use crate::flow::emotion::{Label, Prediction};

/// How far a trail reaches back.
const LENGTH: Duration = Duration::from_secs(10);

/// Moments that are closer to each other than this make one column: more can't be seen.
const STEP: Duration = Duration::from_millis(50);

/// After a longer time without the face, the strip has a gap.
const GAP: Duration = Duration::from_millis(300);

/// The most faces that are remembered at a time.
const MOST_TRAILS: usize = 64;

/// What a face was shown as for a moment.
#[derive(Clone, Copy)]
struct Column {
    pts: Duration,
    label: Label,
    confidence: f32,
}

/// The last seconds of each face.
#[derive(Default)]
pub struct Trails {
    now: Duration,
    faces: HashMap<u64, VecDeque<Column>>,
}

impl Trails {
    /// Takes note of a frame's faces. What is too long ago is forgotten.
    pub fn push(&mut self, pts: Duration, predictions: &[Prediction]) {
        if pts < self.now {
            // Time went back: another pass of the same film.
            self.faces.clear();
        }
        self.now = pts;
        for prediction in predictions {
            if self.faces.len() >= MOST_TRAILS && !self.faces.contains_key(&prediction.id) {
                continue;
            }
            let columns = self.faces.entry(prediction.id).or_default();
            if columns.back().is_none_or(|last| pts.saturating_sub(last.pts) >= STEP) {
                let (label, confidence) = (prediction.label(), bounded(prediction.confidence()));
                columns.push_back(Column { pts, label, confidence });
            }
        }
        self.faces.retain(|_, columns| {
            while columns.front().is_some_and(|column| column.pts + LENGTH < pts) {
                columns.pop_front();
            }
            !columns.is_empty()
        });
    }

    /// Draws a face's strip near one of its anchors and returns the place that it took; draws nothing where there is no room.
    pub(super) fn draw(
        &self,
        picture: &mut RgbImage,
        id: u64,
        anchors: [Rect; 2],
        style: &Style,
        taken: &[Rect],
    ) -> Option<Rect> {
        let columns = self.faces.get(&id)?;
        let bounds = Rect::of_picture(picture);
        let (least, most) = ((style.label_text * 5.0) as i32, (style.label_text * 12.0) as i32);
        let width = anchors[0].width.clamp(least, most).min(bounds.width);
        let height = (style.label_text * 1.5).round() as i32;
        let place = anchors
            .into_iter()
            .find_map(|anchor| layout::place_strip((width, height), style.gap, anchor, bounds, taken))?;
        fill(picture, place, PLATE, PLATE_OPACITY);
        let inside = place.grown(-(style.padding / 2).max(1));
        for (index, column) in columns.iter().enumerate() {
            let until = columns.get(index + 1).map_or(self.now, |next| next.pts);
            let until = until.min(column.pts + GAP).max(column.pts + STEP);
            let x = |time: Duration| {
                let ago = self.now.saturating_sub(time).as_secs_f32() / LENGTH.as_secs_f32();
                inside.right() - (ago * inside.width as f32).round() as i32
            };
            let (left, right) = (x(column.pts).max(inside.x), x(until.min(self.now)).max(x(column.pts) + 1));
            let high = (column.confidence * inside.height as f32).round().max(1.0) as i32;
            let bar =
                Rect { x: left, y: inside.bottom() - high, width: right.min(inside.right()) - left, height: high };
            fill(picture, bar, color_of_label(column.label), OPAQUE);
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::prediction;
    use super::*;
    use crate::flow::emotion::Emotion;

    #[test]
    fn a_trail_is_ten_seconds_long_and_needs_little_memory() {
        let mut trails = Trails::default();
        let face = prediction(Emotion::Happy, 0.0, 0.0, 9.0, 9.0);
        for i in 0..60_000 {
            let others = (0..3).map(|k| Prediction { id: 1 + i + k, ..face.clone() });
            let faces: Vec<Prediction> = std::iter::once(face.clone()).chain(others).collect();
            trails.push(Duration::from_millis(i), &faces);
        }
        let columns = &trails.faces[&0];
        assert!((200..=201).contains(&columns.len()), "{}", columns.len());
        assert_eq!(trails.faces.len(), MOST_TRAILS);
        trails.push(Duration::from_secs(100), &[]);
        assert!(trails.faces.is_empty());
        trails.push(Duration::from_secs(1), &[face]);
        assert_eq!(trails.faces.len(), 1, "time may go back");
    }
}
