//! A line of text on a plate.

use image::RgbImage;

use super::paint::{Color, Rect};
use super::style::{SMALLEST_TEXT, Style, baseline_in};
use super::text;

/// A line of text with room around it, made small enough for the frame.
pub(super) struct Plate {
    text: f32,
    padding: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Plate {
    pub(super) fn of(line: &str, text: f32, style: &Style, frame: Rect) -> Option<Self> {
        // Around large letters there is more room.
        let padding = (style.padding as f32 * (text / style.label_text).max(1.0)).round();
        let wanted = text::BOLD.width(line, text) + 2 * padding as i32;
        let shrink = (frame.width as f32 / wanted as f32).min(1.0);
        let (text, padding) = (text * shrink, (padding * shrink) as i32);
        let plate = Self {
            text,
            padding,
            width: (text::BOLD.width(line, text) + 2 * padding).min(frame.width),
            height: (text * 1.5).round() as i32,
        };
        (text >= SMALLEST_TEXT && plate.height <= frame.height).then_some(plate)
    }

    pub(super) fn write(&self, picture: &mut RgbImage, line: &str, place: Rect, color: Color) {
        let baseline = baseline_in(place, self.text);
        text::BOLD.draw(picture, line, place.x + self.padding, baseline, self.text, color);
    }
}
