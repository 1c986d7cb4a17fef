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

/// By how much text that is larger than usual shrinks at a time until it finds a place.
const SHRINK: f32 = 0.9;

/// Sizes in pixels; text in pixels per em.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) label_text: f32,
    pub(super) panel_text: f32,
    /// How thick a box's line is.
    pub(super) line: i32,
    /// The room around text in a plate.
    pub(super) padding: i32,
    /// The distance between a box and its panel, and of a panel from the frame's edge.
    pub(super) gap: i32,
    /// How much larger than that text is to be where there is room, 1 or more.
    enlarged: f32,
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
            enlarged: 1.0,
        }
    }

    /// The same with text of so many percent. What is larger gives way to what is usual, and what is smaller stays.
    pub(super) fn with_text(self, percent: u16) -> Self {
        let share = f32::from(percent) / 100.0;
        let smaller = share.min(1.0);
        Self {
            label_text: self.label_text * smaller,
            panel_text: self.panel_text * smaller,
            padding: (self.padding as f32 * smaller).round() as i32,
            enlarged: share.max(1.0),
            ..self
        }
    }

    /// The same with text that is at most so much larger where there is room.
    pub(super) fn enlarged_by(self, share: f32) -> Self {
        Self { enlarged: share, ..self }
    }

    /// The shares of its usual size that larger text is tried in before, the largest first.
    pub(super) fn larger(&self) -> impl Iterator<Item = f32> {
        std::iter::successors(Some(self.enlarged), |share| Some(share * SHRINK)).take_while(|share| *share > 1.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_text_shrinks_to_the_usual_one_and_smaller_text_stays() {
        let style = |percent| Style::of(Rect { x: 0, y: 0, width: 640, height: 480 }).with_text(percent);
        assert_eq!((style(100).label_text, style(100).panel_text, style(100).padding), (16.0, 12.0, 5));
        assert_eq!((style(100).larger().count(), style(50).larger().count()), (0, 0));
        assert_eq!((style(50).label_text, style(50).padding), (8.0, 3));
        assert_eq!(style(200).label_text, 16.0);
        let sizes: Vec<f32> = style(200).larger().collect();
        assert!(sizes[0] == 2.0 && sizes.len() == 7 && sizes.iter().all(|share| *share > 1.0), "{sizes:?}");
    }
}
