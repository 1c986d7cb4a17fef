//! Sizes and shades that all drawings share.

use super::paint::{Color, Rect};
use super::text;

/// The plate under light text, and how much it hides of what is below it: white text keeps a contrast of 7 to 1 (WCAG's
/// AAA) even on a white background.
pub(super) const PLATE: Color = [14, 16, 20];
pub(super) const PLATE_OPACITY: u8 = 200;

pub(super) const DIM_TEXT: Color = [196, 200, 206];

/// Below this size, in pixels per em, letters can't be read and are left out.
pub(super) const SMALLEST_TEXT: f32 = 6.0;

/// Sizes in pixels; text in pixels per em.
pub(super) struct Style {
    pub(super) label_text: f32,
    pub(super) panel_text: f32,
    /// How thick a box's line is.
    pub(super) line: i32,
    /// The room around text in a plate.
    pub(super) padding: i32,
    /// The distance between a box and its panel, and of a panel from the frame's edge.
    pub(super) gap: i32,
}

impl Style {
    /// Sizes were chosen on 640x480; 1.0 there. Small frames keep letters that can be read.
    pub(super) fn of(frame: Rect) -> Self {
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

/// Where letters stand so that capitals are in the middle of the row.
pub(super) fn baseline_in(row: Rect, text: f32) -> i32 {
    row.y + ((row.height as f32 + text * text::CAPITAL_HEIGHT) / 2.0).round() as i32
}

/// A probability as it can be drawn: 0 to 1, also where the network gave no number.
pub(super) fn bounded(probability: f32) -> f32 {
    if probability.is_nan() { 0.0 } else { probability.clamp(0.0, 1.0) }
}
