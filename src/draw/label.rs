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
    fill_corners(picture, face, (arm, thick), color, OPAQUE);
    fill_corners(picture, face, (thick, arm), color, OPAQUE);
}

/// Continues the halo of the line around the heavier corners: between `from`, where that of the line ends, and `to`, as far
/// as `end`, all of them distances from the box's edge. Each pixel is mixed once.
fn draw_corner_halos(picture: &mut RgbImage, face: Rect, [from, to, end]: [i32; 3]) {
    let inside = face.grown(-from);
    fill_corners(picture, inside, (end - from, to - from), HALO, HALO_OPACITY);
    let lower = Rect { y: face.y + to, height: face.height - 2 * to, ..inside };
    fill_corners(picture, lower, (to - from, end - to), HALO, HALO_OPACITY);
}

/// Fills a rectangle of this size in each corner of a larger one.
fn fill_corners(picture: &mut RgbImage, rect: Rect, (width, height): (i32, i32), color: Color, opacity: u8) {
    for x in [rect.x, rect.right() - width] {
        for y in [rect.y, rect.bottom() - height] {
            fill(picture, Rect { x, y, width, height }, color, opacity);
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
    let shares = style.larger().chain(LABEL_SIZES);
    let (plate, place) = shares.enumerate().find_map(|(index, share)| {
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
