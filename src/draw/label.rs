//! The box around a face, and the label that names what it shows.

use image::RgbImage;

use super::color::{color_of_label, text_color_on};
use super::layout;
use super::paint::{Color, OPAQUE, Rect, fill, outline};
use super::plate::Plate;
use super::style::{Style, bounded};
use crate::flow::emotion::Prediction;

/// The line around a box that keeps it visible on a background of its own color.
const HALO: Color = [0, 0, 0];
const HALO_OPACITY: u8 = 130;

/// How small a label's text becomes where there is no room for more, as shares of its size.
const LABEL_SIZES: [f32; 3] = [1.0, 0.8, 0.65];

/// Text of labels that is smaller, in pixels per em, is not worth its place.
const SMALLEST_LABEL: f32 = 8.0;

/// A thin line all around; on boxes that are not small, with heavier corners.
pub(super) fn draw_box(picture: &mut RgbImage, face: Rect, color: Color, style: &Style) {
    let halo = (style.line / 2).max(1);
    let thick = 2 * style.line;
    let arm = face.width.min(face.height) / 6;
    let has_corners = arm >= 4 * thick;
    outline(picture, face.grown(halo), style.line + 2 * halo, HALO, HALO_OPACITY);
    if has_corners {
        draw_corner_halos(picture, face, [style.line + halo, thick + halo, arm + halo]);
    }
    outline(picture, face, style.line, color, OPAQUE);
    if !has_corners {
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

/// Continues the halo of the line around the heavier corners: between `from`, where that of the line ends, and `to`, as far
/// as `end`, all of them distances from the box's edge. Each pixel is mixed once.
fn draw_corner_halos(picture: &mut RgbImage, face: Rect, [from, to, end]: [i32; 3]) {
    let (depth, length) = (to - from, end - from);
    for x in [face.x + from, face.right() - from - length] {
        for y in [face.y + from, face.bottom() - to] {
            fill(picture, Rect { x, y, width: length, height: depth }, HALO, HALO_OPACITY);
        }
    }
    let length = end - to;
    for x in [face.x + from, face.right() - to] {
        for y in [face.y + to, face.bottom() - end] {
            fill(picture, Rect { x, y, width: depth, height: length }, HALO, HALO_OPACITY);
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
