//! The box around a face, and the label that names what it shows.

use image::RgbImage;

use super::color::{color_of_label, text_color_on};
use super::paint::{Color, OPAQUE, Rect, fill, outline};
use super::plate::Plate;
use super::{Style, bounded, layout};
use crate::emotion::Prediction;

/// The line around a box that keeps it visible on a background of its own color.
const HALO: Color = [0, 0, 0];
const HALO_OPACITY: u8 = 130;

/// How small a label's text becomes where there is no room for more, as shares of its size.
const LABEL_SIZES: [f32; 3] = [1.0, 0.8, 0.65];

/// Text of labels that is smaller, in pixels per em, is not worth its place.
const SMALLEST_LABEL: f32 = 8.0;

/// A thin line all around; on boxes that are not small, with heavier corners.
pub(super) fn draw_box(picture: &mut RgbImage, face: Rect, color: Color, style: &Style) {
    outline(picture, face.grown(1), style.line + 2, HALO, HALO_OPACITY);
    outline(picture, face, style.line, color, OPAQUE);
    let thick = 2 * style.line;
    let arm = face.width.min(face.height) / 6;
    if arm < 4 * thick {
        return;
    }
    let (right, bottom) = (face.right(), face.bottom());
    for x in [face.x, right - arm] {
        for y in [face.y, bottom - thick] {
            fill(picture, Rect { x, y, width: arm, height: thick }, color, OPAQUE);
        }
    }
    for x in [face.x, right - thick] {
        for y in [face.y, bottom - arm] {
            fill(picture, Rect { x, y, width: thick, height: arm }, color, OPAQUE);
        }
    }
}

/// Draws "Happy 97%", or "Unsure 38%", and returns the place that it took; draws nothing where there is no room that is
/// nobody's face or label.
pub(super) fn draw_label(
    picture: &mut RgbImage,
    prediction: &Prediction,
    face: Rect,
    style: &Style,
    taken: &[Rect],
) -> Option<Rect> {
    let bounds = Rect::of_picture(picture);
    let line = format!("{} {:.0}%", prediction.label(), bounded(prediction.confidence()) * 100.0);
    let (plate, place) = LABEL_SIZES.iter().enumerate().find_map(|(index, share)| {
        let size = style.label_text * share;
        if index > 0 && size < SMALLEST_LABEL {
            return None;
        }
        let plate = Plate::of(&line, size, style, bounds)?;
        let place = layout::place_label(plate.width, plate.height, face, bounds, taken)?;
        Some((plate, place))
    })?;
    let color = color_of_label(prediction.label());
    fill(picture, place, color, OPAQUE);
    plate.write(picture, &line, place, text_color_on(color));
    Some(place)
}
