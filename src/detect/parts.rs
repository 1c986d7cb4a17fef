//! Which parts of a frame BlazeFace looks at: all of it at once for near faces, and bands of it, closer, for small ones.
//!
//! Pure arithmetic on sizes, in frame pixels.

use super::blaze::{Part, STEP, STRAIGHT};
use crate::flow::frame::FaceBox;

/// Pixels of the long-range form's input on the longer side, for a whole frame.
const WHOLE: f32 = 256.0;

/// The border around a whole frame, as a share of its shorter side: faces that the edge cuts are found with it.
const BORDER: f32 = 0.25;

/// The width in pixels of the input from which the short-range form finds nearly every face: 99 of 100 at 24, up to 120.
const SMALLEST: f32 = 24.0;

/// The width in pixels of a whole frame's input from which the long-range form finds nearly every face.
const FOUND_IN_WHOLE: f32 = 18.0;

/// Rows of a band, in pixels of the input.
const ROWS: u32 = 160;

/// Rows that neighbouring bands share, in pixels of the input: a little more than the largest face that a band is for.
const SHARED: u32 = 64;

/// Faces are looked for at another scale beyond this many times the smallest.
const RANGE: f32 = 2.6;

/// A square around a place, as the input of 128 pixels.
pub(super) fn around(center: [f32; 2], side: f32) -> Part {
    let scale = side / 128.0;
    Part { x: center[0] - side / 2.0, y: center[1] - side / 2.0, scale, width: 128, height: 128, turn: STRAIGHT }
}

/// The width of a face in the input of a look at several faces at once, and the margin around each, in its widths.
const AMONG_OTHERS: f32 = 25.0;
const MARGIN: f32 = 0.4;

/// Squares that show so many places at once as they can, each place well inside of one and large enough to be seen; with
/// each the places that it shows. A place alone is shown in a square of `side` boxes.
pub(super) fn squares(mut places: Vec<FaceBox>, side: f32) -> Vec<(Part, Vec<FaceBox>)> {
    let mut squares = Vec::new();
    while let Some(first) = places.pop() {
        // Left, top, right, bottom with a margin around each face, and the smallest width.
        let edges = |face: &FaceBox| {
            let margin = MARGIN * face.width;
            [face.x - margin, face.y - margin, face.x + face.width + margin, face.y + face.height + margin]
        };
        let (mut all, mut smallest, mut shown) = (edges(&first), first.width.max(1.0), vec![first]);
        places.retain(|place| {
            let [left, top, right, bottom] = edges(place);
            let joined = [all[0].min(left), all[1].min(top), all[2].max(right), all[3].max(bottom)];
            let least = smallest.min(place.width.max(1.0));
            let fits = (joined[2] - joined[0]).max(joined[3] - joined[1]) <= 128.0 / AMONG_OTHERS * least;
            if fits {
                (all, smallest) = (joined, least);
                shown.push(*place);
            }
            !fits
        });
        let [left, top, right, bottom] = all;
        let alone = side * smallest * f32::from(u8::from(shown.len() == 1));
        let side = (right - left).max(bottom - top).max(alone);
        squares.push((around([(left + right) / 2.0, (top + bottom) / 2.0], side), shown));
    }
    squares
}

/// All of a frame, with a border.
pub(super) fn whole(width: u32, height: u32) -> Part {
    let (width, height) = (width as f32, height as f32);
    let border = 2.0 * BORDER * width.min(height);
    let scale = (width + border).max(height + border) / WHOLE;
    let side = |length: f32| ((length + border) / scale).ceil() as u32;
    centered(width, height, scale, side(width), side(height))
}

/// The width from which faces are found in the whole of a frame, in frame pixels.
pub(super) fn found_in_whole(width: u32, height: u32) -> f32 {
    FOUND_IN_WHOLE * whole(width, height).scale
}

/// A part around the middle of a frame, of at least so many pixels.
fn centered(width: f32, height: f32, scale: f32, columns: u32, rows: u32) -> Part {
    let (columns, rows) = (columns.max(1).next_multiple_of(STEP), rows.max(1).next_multiple_of(STEP));
    let start = |length: f32, count: u32| (length - count as f32 * scale) / 2.0;
    Part { x: start(width, columns), y: start(height, rows), scale, width: columns, height: rows, turn: STRAIGHT }
}

/// The bands of a frame that together show every face from `smallest` frame pixels on that is too small to be found in the
/// whole. None where there are no such faces.
pub(super) fn bands(width: u32, height: u32, smallest: f32) -> Vec<Part> {
    let (mut bands, mut smallest) = (Vec::new(), smallest.max(1.0));
    while smallest < found_in_whole(width, height) {
        let scale = smallest / SMALLEST;
        let pixels = |length: u32| (length as f32 / scale).ceil() as u32;
        let (columns, rows) = (pixels(width), pixels(height));
        if rows <= ROWS {
            bands.push(centered(width as f32, height as f32, scale, columns, rows));
        } else {
            let count = (rows - SHARED).div_ceil(ROWS - SHARED);
            // Evenly, so that the last one ends where the frame does.
            let step = (rows - ROWS) as f32 / (count - 1).max(1) as f32;
            let band = centered(width as f32, height as f32, scale, columns, ROWS);
            bands.extend((0..count).map(|i| Part { y: i as f32 * step * scale, ..band }));
        }
        smallest *= RANGE;
    }
    bands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_frame_lies_in_its_part_with_a_border_all_around() {
        for (width, height) in [(640, 480), (1280, 720), (720, 1280), (20, 4000), (1, 1), (10_000, 10_000)] {
            let Part { x, y, scale, width: columns, height: rows, .. } = whole(width, height);
            assert!(columns <= 288 && rows <= 288 && columns % STEP == 0 && rows % STEP == 0, "{columns}x{rows}");
            let border = 0.249 * width.min(height) as f32;
            assert!(x <= -border && y <= -border, "{x} {y}");
            assert!(x + columns as f32 * scale >= width as f32 + border);
            assert!(y + rows as f32 * scale >= height as f32 + border);
        }
    }

    #[test]
    fn every_small_face_lies_whole_in_a_band_where_it_is_large_enough() {
        for (width, height, smallest) in
            [(640, 480, 16), (640, 480, 24), (1280, 720, 36), (300, 2000, 16), (4000, 300, 20)]
        {
            let bands = bands(width, height, smallest as f32);
            let largest = found_in_whole(width, height) as u32;
            for size in (smallest..largest).step_by(5) {
                for top in (0..height - size).step_by(7) {
                    let holds = |band: &Part| {
                        let (size, top) = (size as f32, top as f32);
                        (23.9..=120.0).contains(&(size / band.scale))
                            && band.y <= top + 0.1
                            && top + size <= band.y + band.height as f32 * band.scale + 0.1
                    };
                    assert!(bands.iter().any(holds), "{size} pixels at row {top} of {width}x{height}: {bands:?}");
                }
            }
            for band in bands {
                assert!(band.x <= 0.1 && band.x + band.width as f32 * band.scale >= width as f32 - 0.1, "{band:?}");
            }
        }
    }

    #[test]
    fn neighbours_share_a_square_and_each_place_is_shown_once() {
        let face = |x: f32, y: f32, width: f32| FaceBox { x, y, width, height: width, score: 1.0 };
        let places = vec![face(0.0, 0.0, 30.0), face(50.0, 10.0, 28.0), face(500.0, 0.0, 30.0), face(40.0, 0.0, 90.0)];
        let squares = squares(places, 2.15);
        let mut counts: Vec<usize> = squares.iter().map(|(_, shown)| shown.len()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 1, 2], "{squares:?}");
        for (part, shown) in squares {
            for FaceBox { x, y, width, .. } in shown {
                let side = 128.0 * part.scale;
                assert!(x >= part.x && y >= part.y && x + width <= part.x + side && y + width <= part.y + side);
                assert!(width / part.scale >= AMONG_OTHERS - 0.1, "{width} in {part:?}");
            }
        }
    }

    #[test]
    fn where_small_faces_are_not_asked_for_there_are_no_bands() {
        assert!(bands(640, 480, 200.0).is_empty());
        assert!(bands(1, 1, 16.0).is_empty());
    }
}
