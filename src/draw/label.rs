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

/// A label that has found its place.
struct Placed {
    line: String,
    plate: Plate,
    place: Rect,
}

/// "Happy 97%", or "Unsure 38%", where there is room that is nobody's face or label, in the first of these sizes that has
/// some.
fn place(
    prediction: &Prediction,
    face: Rect,
    style: &Style,
    shares: impl IntoIterator<Item = f32>,
    bounds: Rect,
    taken: &[Rect],
) -> Option<Placed> {
    let line = format!("{} {:.0}%", prediction.label(), bounded(prediction.confidence()) * 100.0);
    let (plate, place) = shares.into_iter().enumerate().find_map(|(index, share)| {
        let size = style.label_text * share;
        if index > 0 && size < SMALLEST_LABEL {
            return None;
        }
        let plate = Plate::of(&line, size, style, bounds)?;
        let place = layout::place_label(plate.width, plate.height, face, bounds, taken)?;
        Some((plate, place))
    })?;
    Some(Placed { line, plate, place })
}

/// The style with text as large as it can be for every face that has a label in the usual size: of one size, and no face
/// loses its label to a neighbour's.
pub(super) fn without_loss(style: Style, faces: &[(&Prediction, Rect)], bounds: Rect) -> Style {
    let placed = |shares: &[f32]| {
        let mut taken: Vec<Rect> = faces.iter().map(|(_, face)| *face).collect();
        for (prediction, face) in faces {
            let label = place(prediction, *face, &style, shares.iter().copied(), bounds, &taken);
            taken.extend(label.map(|label| label.place));
        }
        taken.len()
    };
    if style.larger().next().is_none() {
        return style;
    }
    let usual = placed(&LABEL_SIZES);
    style.enlarged_by(style.larger().find(|share| placed(&[*share]) >= usual).unwrap_or(1.0))
}

/// Draws a face's label and returns the place that it took; draws nothing where there is no room.
pub(super) fn draw_label(
    picture: &mut RgbImage,
    prediction: &Prediction,
    face: Rect,
    style: &Style,
    taken: &[Rect],
) -> Option<Rect> {
    let shares = style.larger().chain(LABEL_SIZES);
    let Placed { line, plate, place } = place(prediction, face, style, shares, Rect::of_picture(picture), taken)?;
    let color = color_of_label(prediction.label());
    fill(picture, place, color, OPAQUE);
    plate.write(picture, &line, place, text_color_on(color));
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::super::tests::prediction;
    use super::*;
    use crate::flow::emotion::Emotion;

    /// How high each label's plate is, of faces in a frame of 640x480.
    fn heights(faces: &[Prediction], percent: u16) -> Vec<i32> {
        let bounds = Rect { x: 0, y: 0, width: 640, height: 480 };
        let rect = |face: &Prediction| {
            let face = face.face;
            Rect { x: face.x as i32, y: face.y as i32, width: face.width as i32, height: face.height as i32 }
        };
        let faces: Vec<(&Prediction, Rect)> = faces.iter().map(|face| (face, rect(face))).collect();
        let style = without_loss(Style::of(bounds).with_text(percent), &faces, bounds);
        let mut taken: Vec<Rect> = faces.iter().map(|(_, face)| *face).collect();
        let mut heights = Vec::new();
        for (prediction, face) in faces {
            let shares = style.larger().chain(LABEL_SIZES);
            let Some(label) = place(prediction, face, &style, shares, bounds, &taken) else { continue };
            taken.push(label.place);
            heights.push(label.place.height);
        }
        heights
    }

    #[test]
    fn text_is_as_large_as_was_asked_for_where_there_is_room() {
        let alone = [prediction(Emotion::Surprise, 300.0, 200.0, 120.0, 120.0)];
        let sizes = [50, 100, 200, 300].map(|percent| heights(&alone, percent));
        assert_eq!(sizes, [[12], [24], [48], [72]].map(Vec::from));
        // Here three times as large is wider than the frame allows; something between is found.
        let narrow = heights(&[prediction(Emotion::Surprise, 0.0, 40.0, 640.0, 400.0)], 400);
        assert!(narrow.len() == 1 && (24..=50).contains(&narrow[0]), "{narrow:?}");
    }

    #[test]
    fn in_a_crowd_no_face_loses_its_label_to_larger_text() {
        let crowd: Vec<Prediction> = (0..24u8)
            .map(|index| {
                let (column, row) = (f32::from(index % 6), f32::from(index / 6));
                prediction(Emotion::Surprise, 10.0 + 105.0 * column, 30.0 + 110.0 * row, 60.0, 60.0)
            })
            .collect();
        let usual = heights(&crowd, 100);
        assert_eq!(usual.len(), 24);
        for percent in [120, 200, 400] {
            let heights = heights(&crowd, percent);
            assert_eq!(heights.len(), 24, "{percent}");
            assert!(heights[0] >= usual[0] && heights.iter().all(|height| *height == heights[0]), "{heights:?}");
        }
    }
}
