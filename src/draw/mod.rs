//! Boxes, labels and bars, drawn on a copy of a frame.
//!
//! Owns how results look: what is drawn, and in which order. Pure functions on pixels; the same input gives the same
//! picture. All sizes follow the frame, so that a label has the same share of a small picture as of a large one.
//! Coordinates are frame pixels. Boxes that reach over the frame are clipped, and nothing else leaves the frame.
//! Colors and sizes are in `color` and `style`. Where things go is for `layout`, how pixels are mixed for `paint`, letters for `text`, what a window adds for `overlay`.

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
mod style;
pub(crate) mod text;
mod trail;

use image::RgbImage;

use crate::flow::emotion::Prediction;
use crate::flow::frame::{FaceBox, Frame};
pub use color::{color_of_label, text_color_on};
pub use mirror::mirrored;
pub use notice::notice;
pub use overlay::{help, hud, paused, recording, toast};
use paint::Rect;
pub use panel::TRACK;
pub use privacy::{Privacy, hide};
use style::Style;
pub use trail::Trails;

/// What is drawn beside each face's box and label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// A bar for each emotion.
    pub bars: bool,
    /// What the face showed in the last seconds.
    pub trail: bool,
    /// The size of text, in percent of the usual one. Where larger text has no room it is smaller, down to that.
    pub text_percent: u16,
}

impl Default for Look {
    fn default() -> Self {
        Self { bars: true, trail: false, text_percent: 100 }
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
    let faces: Vec<(&Prediction, Rect)> = predictions
        .iter()
        .filter_map(|prediction| Some((prediction, visible_rect(prediction.face, bounds)?)))
        .collect();
    let style = label::without_loss(Style::of(bounds).with_text(look.text_percent), &faces, bounds);
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

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
