//! Boxes, labels and bars, drawn on a copy of a frame.
//!
//! Owns how results look: colors, sizes, what is written. Pure functions on pixels; the same input gives the same
//! picture. All sizes follow the frame, so that a label has the same share of a small picture as of a large one.
//! Coordinates are frame pixels. Boxes that reach over the frame are clipped, and nothing else leaves the frame.
//! Where things go is for `layout`, how pixels are mixed for `paint`, letters for `text`, what a window adds for `overlay`.

mod color;
pub mod fit;
mod label;
mod layout;
mod mirror;
mod notice;
mod overlay;
pub(crate) mod paint;
mod panel;
mod plate;
mod privacy;
pub(crate) mod text;
mod trail;

use image::RgbImage;

use crate::flow::emotion::Prediction;
use crate::flow::frame::{FaceBox, Frame};
pub use color::{color_of_label, text_color_on};
pub use mirror::mirrored;
pub use notice::notice;
pub use overlay::{help, hud, paused, recording, toast};
use paint::{Color, Rect};
pub use panel::TRACK;
pub use privacy::{Privacy, hide};
pub use trail::Trails;

/// The plate under light text, and how much it hides of what is below it: white text keeps a contrast of 7 to 1 (WCAG's
/// AAA) even on a white background.
const PLATE: Color = [14, 16, 20];
const PLATE_OPACITY: u8 = 200;

const DIM_TEXT: Color = [196, 200, 206];

/// Below this size, in pixels per em, letters can't be read and are left out.
const SMALLEST_TEXT: f32 = 6.0;

/// What is drawn beside each face's box and label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// A bar for each emotion.
    pub bars: bool,
    /// What the face showed in the last seconds.
    pub trail: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { bars: true, trail: false }
    }
}

/// A copy of the frame with each face's box, label and panel of bars.
pub fn annotated_picture(frame: &Frame, predictions: &[Prediction]) -> RgbImage {
    let mut picture = RgbImage::new(frame.width, frame.height);
    annotate(frame, predictions, Look::default(), None, &mut picture);
    picture
}

/// Draws a frame, with what was found in it as `look` says, into a picture of its size.
pub fn annotate(
    frame: &Frame,
    predictions: &[Prediction],
    look: Look,
    trails: Option<&Trails>,
    picture: &mut RgbImage,
) {
    // A frame holds as many bytes as its size says; one that doesn't shows as much as it has.
    let bytes: &mut [u8] = picture;
    let shared = bytes.len().min(frame.rgb.len());
    bytes[..shared].copy_from_slice(&frame.rgb[..shared]);
    let bounds = Rect::of_picture(picture);
    let style = Style::of(bounds);
    let faces: Vec<(&Prediction, Rect)> = predictions
        .iter()
        .filter_map(|prediction| Some((prediction, visible_rect(prediction.face, bounds)?)))
        .collect();
    for (prediction, face) in &faces {
        label::draw_box(picture, *face, color_of_label(prediction.label()), &style);
    }
    // Labels before all else: a face can do without its panel, not without its label.
    let mut taken: Vec<Rect> = faces.iter().map(|(_, face)| *face).collect();
    let mut labelled = Vec::with_capacity(faces.len());
    for (prediction, face) in faces {
        let label = label::draw_label(picture, prediction, face, &style, &taken);
        taken.extend(label);
        labelled.push((prediction, [face, label.map_or(face, |label| face.united(label))]));
    }
    if let Some(trails) = trails.filter(|_| look.trail) {
        for (prediction, [face, anchor]) in &labelled {
            taken.extend(trails.draw(picture, prediction.id, [*face, *anchor], &style, &taken));
        }
    }
    if look.bars {
        for (prediction, anchors) in labelled {
            taken.extend(panel::draw_panel(picture, prediction, anchors, &style, &taken));
        }
    }
}

/// Sizes in pixels; text in pixels per em.
struct Style {
    label_text: f32,
    panel_text: f32,
    /// How thick a box's line is.
    line: i32,
    /// The room around text in a plate.
    padding: i32,
    /// The distance between a box and its panel, and of a panel from the frame's edge.
    gap: i32,
}

impl Style {
    /// Sizes were chosen on 640x480; 1.0 there. Small frames keep letters that can be read.
    fn of(frame: Rect) -> Self {
        let unit = (frame.width.min(frame.height) as f32 / 480.0).max(0.6);
        Self {
            label_text: 16.0 * unit,
            panel_text: (12.0 * unit).max(9.0),
            line: (2.0 * unit).round().max(1.0) as i32,
            padding: (5.0 * unit).round() as i32,
            gap: (6.0 * unit).round() as i32,
        }
    }
}

/// The part of a face that the frame shows; `None` if it shows nothing or the box is no box.
fn visible_rect(face: FaceBox, frame: Rect) -> Option<Rect> {
    let FaceBox { x, y, width, height, .. } = face;
    if [x, y, width, height].iter().any(|value| value.is_nan()) {
        return None;
    }
    // Bounded first: a huge box must not overflow whole numbers.
    let edge = |value: f32, end: i32| value.round().clamp(0.0, end as f32) as i32;
    let (left, top) = (edge(x, frame.width), edge(y, frame.height));
    let (right, bottom) = (edge(x + width, frame.width), edge(y + height, frame.height));
    Rect { x: left, y: top, width: right - left, height: bottom - top }.intersection(frame)
}

/// Where letters stand so that capitals are in the middle of the row.
fn baseline_in(row: Rect, text: f32) -> i32 {
    row.y + ((row.height as f32 + text * text::CAPITAL_HEIGHT) / 2.0).round() as i32
}

/// A probability as it can be drawn: 0 to 1, also where the network gave no number.
fn bounded(probability: f32) -> f32 {
    if probability.is_nan() { 0.0 } else { probability.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
