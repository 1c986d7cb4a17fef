//! The bars beside a face, one for each emotion.

use image::RgbImage;

use super::color::{LIGHT_TEXT, color_of};
use super::paint::{Color, OPAQUE, Rect, fill};
use super::style::{DIM_TEXT, PLATE, PLATE_OPACITY, Style, baseline_in, bounded};
use super::{layout, text};
use crate::flow::emotion::{Emotion, Label, Prediction};

/// The part of a bar that is not reached.
pub const TRACK: Color = [70, 74, 80];

/// What a panel is reduced to where there is no room: smaller text, then bars with a chip of their color in place
/// of the name.
const PANEL_FORMS: [(f32, bool); 3] = [(1.0, true), (0.82, true), (0.82, false)];

/// Draws one bar per emotion beside an anchor, the face or else the face with its label, and returns the place that it took;
/// draws nothing where there is no room.
pub(super) fn draw_panel(
    picture: &mut RgbImage,
    prediction: &Prediction,
    anchors: [Rect; 2],
    style: &Style,
    taken: &[Rect],
) -> Option<Rect> {
    let bounds = Rect::of_picture(picture);
    let forms = style.larger().map(|scale| (scale, true)).chain(PANEL_FORMS);
    let (panel, place) = forms.into_iter().find_map(|(scale, with_names)| {
        let panel = Panel::of(style.panel_text * scale, with_names);
        let place = anchors
            .into_iter()
            .find_map(|anchor| layout::place_panel((panel.width, panel.height), style.gap, anchor, bounds, taken))?;
        Some((panel, place))
    })?;
    panel.draw(picture, prediction, place);
    Some(place)
}

/// The measures of a panel: one row per emotion, with its name or a chip of its color.
struct Panel {
    text: f32,
    padding: i32,
    row: i32,
    with_names: bool,
    /// The width of the column of names, or chips, and the room after it.
    names: i32,
    /// How thick a bar is.
    thickness: i32,
    bar: i32,
    width: i32,
    height: i32,
}

impl Panel {
    fn of(text: f32, with_names: bool) -> Self {
        let padding = (text * 0.55).round() as i32;
        let row = (text * 1.4).round() as i32;
        let widest = Emotion::ALL.iter().map(|emotion| text::BOLD.width(emotion.name(), text)).max().unwrap_or(0);
        let thickness = (text * 0.6).round().max(2.0) as i32;
        let (names, bar) =
            if with_names { (widest + padding, text * 4.5) } else { (thickness + padding / 2, text * 3.0) };
        let bar = bar.round() as i32;
        let height = row * Emotion::COUNT as i32 + 2 * (padding / 2);
        Self { text, padding, row, with_names, names, thickness, bar, width: names + bar + 2 * padding, height }
    }

    fn draw(&self, picture: &mut RgbImage, prediction: &Prediction, place: Rect) {
        fill(picture, place, PLATE, PLATE_OPACITY);
        // Of an unsure face no name stands out.
        let label = prediction.label();
        for (index, (emotion, probability)) in (0..).zip(prediction.probabilities.iter()) {
            let x = place.x + self.padding;
            let row = Rect { x, y: place.y + self.padding / 2 + index * self.row, width: self.names, height: self.row };
            let y = row.y + (row.height - self.thickness) / 2;
            if self.with_names {
                let color = if label == Label::Emotion(emotion) { LIGHT_TEXT } else { DIM_TEXT };
                text::BOLD.draw(picture, emotion.name(), x, baseline_in(row, self.text), self.text, color);
            } else {
                fill(
                    picture,
                    Rect { y, width: self.thickness, height: self.thickness, ..row },
                    color_of(emotion),
                    OPAQUE,
                );
            }
            let track = Rect { x: x + self.names, y, width: self.bar, height: self.thickness };
            let reached = (bounded(probability) * self.bar as f32).round() as i32;
            fill(picture, track, TRACK, OPAQUE);
            fill(picture, Rect { width: reached, ..track }, color_of(emotion), OPAQUE);
        }
    }
}
