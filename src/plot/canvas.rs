//! A white picture and what is painted on it: strokes with smooth edges, rectangles, text.
//!
//! Owns the antialiasing of strokes. Coordinates are pixels, origin at the top left; what lies outside is left out.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use image::{GrayImage, ImageFormat, RgbImage, imageops};

use super::looks::WHITE;
use crate::draw::paint::{Color, OPAQUE, Rect, blend, fill};
use crate::draw::text::{CAPITAL_HEIGHT, REGULAR};
use crate::system::files::write_whole;

/// x and y.
pub(super) type Point = [f32; 2];

/// From one point to another.
pub(super) type Segment = [Point; 2];

/// Which part of a text its position names.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

pub(super) struct Canvas {
    picture: RgbImage,
}

impl Canvas {
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self { picture: RgbImage::from_pixel(width, height, image::Rgb(WHITE)) }
    }

    /// Fills a rectangle.
    pub(super) fn fill(&mut self, rect: Rect, color: Color) {
        fill(&mut self.picture, rect, color, OPAQUE);
    }

    /// A grey picture from its upper left corner on, each of its pixels a square of so many.
    pub(super) fn picture(&mut self, gray: &GrayImage, [left, top]: [u32; 2], factor: u32) {
        let (width, height) = gray.dimensions();
        for (x, y) in (0..height * factor).flat_map(|y| (0..width * factor).map(move |x| (x, y))) {
            if let Some(pixel) = self.picture.get_pixel_mut_checked(left + x, top + y) {
                pixel.0 = [gray.get_pixel(x / factor, y / factor).0[0]; 3];
            }
        }
    }

    /// A line of text. `y` is the middle of its capitals.
    pub(super) fn text(&mut self, text: &str, [x, y]: Point, anchor: Anchor, size: f32, color: Color) {
        let width = REGULAR.width(text, size);
        let before = match anchor {
            Anchor::Start => 0,
            Anchor::Middle => width / 2,
            Anchor::End => width,
        };
        let left = (x.round() as i32).saturating_sub(before);
        let baseline = (y + size * CAPITAL_HEIGHT / 2.0).round() as i32;
        REGULAR.draw(&mut self.picture, text, left, baseline, size, color);
    }

    /// How wide a line of text is.
    pub(super) fn width_of(text: &str, size: f32) -> f32 {
        REGULAR.width(text, size) as f32
    }

    /// A line of text that reads upwards, about its middle.
    pub(super) fn text_upwards(&mut self, text: &str, [x, y]: Point, size: f32, color: Color) {
        let (width, height) = (REGULAR.width(text, size).unsigned_abs() + 2, (1.5 * size) as u32);
        let mut line = Self::new(width, height);
        line.text(text, [width as f32 / 2.0, height as f32 / 2.0], Anchor::Middle, size, color);
        let turned = imageops::rotate270(&line.picture);
        let (left, top) = (x as i64 - i64::from(height / 2), y as i64 - i64::from(width / 2));
        imageops::overlay(&mut self.picture, &turned, left, top);
    }

    /// Strokes with round ends. They are one shape: where they meet or cross, nothing is painted twice. A segment without
    /// a length is a dot.
    pub(super) fn stroke(&mut self, segments: &[Segment], width: f32, color: Color) {
        let reach = width / 2.0 + 1.0;
        let about = |&[a, b]: &Segment| {
            let side = |axis: usize, end: u32| {
                let (low, high) = (a[axis].min(b[axis]) - reach, a[axis].max(b[axis]) + reach);
                // A cast saturates, and makes 0 of what is no number.
                (low.floor() as u32).min(end)..(high.ceil() as u32).min(end)
            };
            [side(0, self.picture.width()), side(1, self.picture.height())]
        };
        let whole = segments.iter().map(about).reduce(|a, b| std::array::from_fn(|i| united(&a[i], &b[i])));
        let Some([columns, rows]) = whole else { return };
        let stride = columns.len();
        let mut coverage = vec![0u8; stride * rows.len()];
        for segment in segments {
            let [across, down] = about(segment);
            for y in down {
                let start = (y - rows.start) as usize * stride;
                for x in across.clone() {
                    let outside = distance([x as f32 + 0.5, y as f32 + 0.5], segment) - width / 2.0;
                    let covered = ((0.5 - outside).clamp(0.0, 1.0) * 255.0).round() as u8;
                    let old = &mut coverage[start + (x - columns.start) as usize];
                    *old = covered.max(*old);
                }
            }
        }
        for (row, y) in coverage.chunks_exact(stride.max(1)).zip(rows) {
            for (covered, x) in row.iter().zip(columns.clone()).filter(|(covered, _)| **covered > 0) {
                blend(&mut self.picture.get_pixel_mut(x, y).0, color, *covered);
            }
        }
    }

    /// A disc.
    pub(super) fn marker(&mut self, center: Point, diameter: f32, color: Color) {
        self.stroke(&[[center, center]], diameter, color);
    }

    /// Writes the picture as a PNG.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        self.picture
            .write_to(&mut bytes, ImageFormat::Png)
            .with_context(|| format!("cannot encode {}", path.display()))?;
        write_whole(path, bytes.get_ref())
    }
}

/// The smallest range about both. An empty one, of a segment outside, may make it larger than needed.
fn united(a: &Range<u32>, b: &Range<u32>) -> Range<u32> {
    a.start.min(b.start)..a.end.max(b.end)
}

/// How far a point is from a segment.
fn distance([x, y]: Point, [a, b]: &Segment) -> f32 {
    let (along, across) = (b[0] - a[0], b[1] - a[1]);
    let length2 = along * along + across * across;
    let projected = ((x - a[0]) * along + (y - a[1]) * across) / length2.max(f32::MIN_POSITIVE);
    let t = projected.clamp(0.0, 1.0);
    (x - a[0] - t * along).hypot(y - a[1] - t * across)
}

/// The segments between neighbors; where one is missing, there is a gap. A point without neighbors becomes a dot.
pub(super) fn path(points: &[Option<Point>]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = points.windows(2).filter_map(|pair| Some([pair[0]?, pair[1]?])).collect();
    for (i, point) in points.iter().enumerate() {
        let neighbor = |i: Option<usize>| i.and_then(|i| points.get(i)).is_some_and(Option::is_some);
        if let Some(point) = point
            && !neighbor(i.checked_sub(1))
            && !neighbor(Some(i + 1))
        {
            segments.push([*point, *point]);
        }
    }
    segments
}

/// The same way in dashes, counted on from segment to segment.
pub(super) fn dashed(segments: &[Segment], dash: f32, gap: f32) -> Vec<Segment> {
    let (period, mut done) = (dash + gap, 0.0);
    let mut dashes = Vec::new();
    for &[a, b] in segments {
        let length = (b[0] - a[0]).hypot(b[1] - a[1]);
        let at = |distance: f32| {
            let t = if length > 0.0 { (distance / length).clamp(0.0, 1.0) } else { 0.0 };
            [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]
        };
        // The first dash may have begun before this segment.
        let mut start = -(done % period);
        while start < length {
            if start + dash > 0.0 {
                dashes.push([at(start), at(start + dash)]);
            }
            start += period;
        }
        done += length;
    }
    dashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stroke_has_its_width_smooth_edges_and_round_ends() {
        let mut canvas = Canvas::new(20, 10);
        canvas.stroke(&[[[5.0, 5.0], [15.0, 5.0]], [[15.0, 5.0], [5.0, 5.0]]], 3.0, [0; 3]);
        let column = |x: u32| (0..10).map(|y| canvas.picture.get_pixel(x, y).0[0]).collect::<Vec<_>>();
        // From 3.5 to 6.5: two whole pixels, and half of one on either side.
        assert_eq!(column(10), [255, 255, 255, 127, 0, 0, 127, 255, 255, 255]);
        // The end reaches 1.5 pixels further, and its corners are cut.
        assert_eq!(column(2), [255; 10]);
        assert!(column(3)[4] < 255 && column(3)[4] > column(4)[4] && column(3)[3] == 255, "{:?}", column(3));
    }

    #[test]
    fn strokes_outside_and_of_no_sense_do_no_harm() {
        let mut canvas = Canvas::new(8, 8);
        for far in [f32::NAN, f32::INFINITY, -1e30, 1e30] {
            canvas.stroke(&[[[far, 0.0], [far, far]]], 2.0, [0; 3]);
            canvas.text("far", [far, far], Anchor::Middle, 12.0, [0; 3]);
        }
        assert!(canvas.picture.dimensions() == (8, 8));
    }

    #[test]
    fn a_path_has_gaps_and_lonely_points() {
        let points = [Some([0.0, 0.0]), Some([1.0, 0.0]), None, Some([3.0, 0.0]), None];
        assert_eq!(path(&points), [[[0.0, 0.0], [1.0, 0.0]], [[3.0, 0.0], [3.0, 0.0]]]);
        assert!(path(&[]).is_empty());
    }

    #[test]
    fn dashes_go_on_across_corners() {
        let dashes = dashed(&[[[0.0, 0.0], [5.0, 0.0]], [[5.0, 0.0], [5.0, 4.0]]], 2.0, 2.0);
        let expected =
            [[[0.0, 0.0], [2.0, 0.0]], [[4.0, 0.0], [5.0, 0.0]], [[5.0, 0.0], [5.0, 1.0]], [[5.0, 3.0], [5.0, 4.0]]];
        assert_eq!(dashes, expected);
    }
}
