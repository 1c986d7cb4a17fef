//! From a region of a picture to so many pixels.
//!
//! A straight region is resampled in one step, by a triangle as wide as two output pixels, or two of the picture's where
//! those are larger. A turned one takes two: its surroundings are brought to pixels of a size that suits it, and these are
//! sampled along its own axes. Both blur as much, so that a head which tilts does not become sharper or softer.

use std::f32::consts::FRAC_1_SQRT_2;
use std::iter::repeat_n;

use anyhow::{Result, ensure};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::GrayImage;

use super::region::Region;

/// Resamples regions; keeps its buffers from one to the next.
pub(super) struct Resampler {
    resizer: Resizer,
    padded: Vec<u8>,
    reduced: GrayImage,
}

impl Resampler {
    pub(super) fn new() -> Self {
        Self { resizer: Resizer::new(), padded: Vec::new(), reduced: GrayImage::default() }
    }

    /// Makes `out` the `size * size` pixels of a region. Beyond the picture's edge its outermost pixels go on.
    pub(super) fn resample(&mut self, picture: &GrayImage, region: Region, out: &mut GrayImage) -> Result<()> {
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let Region { x, y, width: w, height: h, angle } = region;
        ensure!(
            w > 0.0
                && h > 0.0
                && w <= 4.0 * width.max(48.0)
                && h <= 4.0 * height.max(48.0)
                && (x + y + angle).is_finite(),
            "a region of {w}x{h} at {x},{y} in a picture of {width}x{height}"
        );
        if angle == 0.0 { self.straight(picture, region, out) } else { self.turned(picture, region, out) }
    }

    fn straight(&mut self, picture: &GrayImage, region: Region, out: &mut GrayImage) -> Result<()> {
        let mut target = TypedImage::<U8>::from_buffer(out.width(), out.height(), out)?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        // In doubles, as the resizer computes: rounded otherwise, a region at the very edge would count as outside there.
        let [x, y, w, h] = [region.x, region.y, region.width, region.height].map(f64::from);
        let (picture_width, picture_height) = (f64::from(picture.width()), f64::from(picture.height()));
        if x >= 0.0 && y >= 0.0 && x + w <= picture_width && y + h <= picture_height {
            let source = TypedImageRef::<U8>::from_buffer(picture.width(), picture.height(), picture)?;
            self.resizer.resize_typed(&source, &mut target, &options.crop(x, y, w, h))?;
            return Ok(());
        }
        // The smallest whole-pixel rectangle around the region, with the picture's edge repeated.
        let (left, top) = (x.floor(), y.floor());
        let (padded_width, padded_height) = ((x + w).ceil() - left, (y + h).ceil() - top);
        let before = (-left).clamp(0.0, padded_width) as usize;
        let [start, end] = [left, left + padded_width].map(|x| x.clamp(0.0, picture_width) as usize);
        self.padded.clear();
        for row in 0..padded_height as u32 {
            let from_y = (top + f64::from(row)).clamp(0.0, picture_height - 1.0) as usize;
            let line = &picture.as_raw()[from_y * picture.width() as usize..][..picture.width() as usize];
            let inside = &line[start..end];
            self.padded.extend(repeat_n(line[0], before));
            self.padded.extend_from_slice(inside);
            self.padded.extend(repeat_n(line[line.len() - 1], padded_width as usize - before - inside.len()));
        }
        let source = TypedImageRef::<U8>::from_buffer(padded_width as u32, padded_height as u32, &self.padded)?;
        let (x, y) = (x - left, y - top);
        let options = options.crop(x, y, within(x, w, padded_width), within(y, h, padded_height));
        self.resizer.resize_typed(&source, &mut target, &options)?;
        Ok(())
    }

    fn turned(&mut self, picture: &GrayImage, region: Region, out: &mut GrayImage) -> Result<()> {
        let Region { width, height, .. } = region;
        let (x, y) = (region.x + width / 2.0, region.y + height / 2.0);
        let axes = Axes::new(region, out);
        let step = axes.step.0.min(axes.step.1);
        if step <= 1.0 {
            axes.sample(picture, (x, y), 1.0, &[0.0], out);
            return Ok(());
        }
        // Two triangles, one after the other, have the deviation of one that is wider by the root of 2.
        let pitch = step * FRAC_1_SQRT_2;
        if pitch <= 1.0 {
            // Too small to be reduced first. Samples on both sides of each place add what is lacking.
            let spread = ((step * step - 1.0) / 6.0).sqrt();
            axes.sample(picture, (x, y), 1.0, &[-spread, spread], out);
            return Ok(());
        }
        // A pixel more on each side, for samples at the very edge.
        let (across, down) = axes.extent();
        let (columns, rows) = ((across / pitch).ceil() + 2.0, (down / pitch).ceil() + 2.0);
        let (width, height) = (columns * pitch, rows * pitch);
        let around = Region { x: x - width / 2.0, y: y - height / 2.0, width, height, angle: 0.0 };
        let mut reduced = std::mem::take(&mut self.reduced);
        if reduced.dimensions() != (columns as u32, rows as u32) {
            reduced = GrayImage::new(columns as u32, rows as u32);
        }
        self.straight(picture, around, &mut reduced)?;
        axes.sample(&reduced, (columns / 2.0, rows / 2.0), pitch, &[0.0], out);
        self.reduced = reduced;
        Ok(())
    }
}

/// The axes of a turned region, and its output pixels on them.
struct Axes {
    sin: f32,
    cos: f32,
    /// Width and height of the region.
    size: (f32, f32),
    /// Width and height of an output pixel.
    step: (f32, f32),
}

impl Axes {
    fn new(region: Region, out: &GrayImage) -> Self {
        let Region { width, height, angle, .. } = region;
        let (sin, cos) = angle.sin_cos();
        let step = (width / out.width() as f32, height / out.height() as f32);
        Self { sin, cos, size: (width, height), step }
    }

    /// Width and height of the upright rectangle around the region.
    fn extent(&self) -> (f32, f32) {
        let (sin, cos, (width, height)) = (self.sin.abs(), self.cos.abs(), self.size);
        (width * cos + height * sin, width * sin + height * cos)
    }

    /// Samples a picture with pixels of `pitch`, around a centre in those pixels. Each output pixel is the mean of what is at
    /// all pairs of these offsets from its place, along the axes, in the same pixels.
    fn sample(&self, picture: &GrayImage, centre: (f32, f32), pitch: f32, offsets: &[f32], out: &mut GrayImage) {
        let (sin, cos) = (self.sin, self.cos);
        let step = (self.step.0 / pitch, self.step.1 / pitch);
        let (columns, rows) = (out.width() as f32 - 1.0, out.height() as f32 - 1.0);
        // From one output pixel to the next, and where those at the start of the first row are.
        let across = (fixed(step.0 * cos), fixed(step.0 * sin));
        let down = (fixed(-step.1 * sin), fixed(step.1 * cos));
        let starts = offsets.iter().flat_map(|v| offsets.iter().map(move |u| (u, v))).map(|(u, v)| {
            let (u, v) = (u - step.0 * columns / 2.0, v - step.1 * rows / 2.0);
            (fixed(centre.0 - 0.5 + u * cos - v * sin), fixed(centre.1 - 0.5 + u * sin + v * cos))
        });
        let starts: Vec<_> = starts.collect();
        let count = starts.len() as u32;
        for (row, line) in (0..).zip(out.rows_mut()) {
            for (column, pixel) in (0..).zip(line) {
                let at = |&(x, y): &(i64, i64)| {
                    bilinear(picture, x + column * across.0 + row * down.0, y + column * across.1 + row * down.1)
                };
                let sum: u32 = starts.iter().map(at).sum();
                pixel.0[0] = ((sum + (count << 15)) / (count << 16)) as u8;
            }
        }
    }
}

/// Fractional bits of a place in a picture. In integers, so that a sample takes a few nanoseconds.
const FRACTION: u32 = 32;

fn fixed(value: f32) -> i64 {
    (f64::from(value) * f64::from(FRACTION).exp2()).round() as i64
}

/// The grey value between pixels, whose centres are at whole numbers here, in 65536ths.
fn bilinear(picture: &GrayImage, x: i64, y: i64) -> u32 {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let (column, right, to_right) = split(x, width);
    let (row, below, to_below) = split(y, height);
    let (above, below) = (&picture.as_raw()[row * width..][..width], &picture.as_raw()[below * width..][..width]);
    let between = |line: &[u8]| u32::from(line[column]) * (256 - to_right) + u32::from(line[right]) * to_right;
    between(above) * (256 - to_below) + between(below) * to_below
}

/// The pixels on both sides of a place and how far it is from the first to the second, in 256ths. Outside, the edge goes on.
fn split(place: i64, length: usize) -> (usize, usize, u32) {
    let half = 1 << (FRACTION - 9);
    let place = (place + half).clamp(0, (length as i64 - 1) << FRACTION);
    let first = (place >> FRACTION) as usize;
    (first, (first + 1).min(length - 1), ((place >> (FRACTION - 8)) & 0xff) as u32)
}

/// The length, or as much of it as there is from `start` to `end`, so that their sum does not pass `end` by rounding.
fn within(start: f64, length: f64, end: f64) -> f64 {
    let mut length = length.min(end - start);
    while start + length > end {
        length = length.next_down();
    }
    length
}

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_PI_2, PI};

    use image::Luma;
    use image::imageops::{rotate90, rotate180, rotate270};

    use super::*;

    fn astronaut() -> GrayImage {
        let picture = image::load_from_memory(include_bytes!("../../../tests/data/astronaut.jpg")).expect("a picture");
        picture.into_luma8()
    }

    /// A picture in which every pixel is another one than its neighbours.
    fn noise(side: u32) -> GrayImage {
        GrayImage::from_fn(side, side, |x, y| Luma([((x.wrapping_mul(2_654_435_761) ^ (y * (x + 7919))) >> 7) as u8]))
    }

    fn square(x: f32, y: f32, side: f32, angle: f32) -> Region {
        Region { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side, angle }
    }

    fn crop(picture: &GrayImage, region: Region) -> GrayImage {
        let mut out = GrayImage::new(48, 48);
        Resampler::new().resample(picture, region, &mut out).expect("a crop");
        out
    }

    fn mean_difference(a: &GrayImage, b: &GrayImage) -> f32 {
        a.iter().zip(b.iter()).map(|(&a, &b)| f32::from(a.abs_diff(b))).sum::<f32>() / a.len() as f32
    }

    /// How sharp a picture is: the deviation of one pixel from the next.
    fn sharpness(picture: &GrayImage) -> f32 {
        let steps = picture.rows().flat_map(|row| row.clone().zip(row.skip(1)).collect::<Vec<_>>());
        steps.map(|(a, b)| f32::from(a.0[0].abs_diff(b.0[0])).powi(2)).sum::<f32>().sqrt()
    }

    /// Weights that were trained before regions could be turned depend on it.
    #[test]
    fn a_straight_region_is_what_the_resizer_makes_of_it() {
        let picture = noise(100);
        for (x, y, side) in [(20.5, 3.25, 60.0), (-17.0, 30.5, 70.3), (-30.0, -80.0, 260.0)] {
            let padded = GrayImage::from_fn(500, 500, |x, y| {
                *picture.get_pixel(x.saturating_sub(200).min(99), y.saturating_sub(200).min(99))
            });
            let mut expected = GrayImage::new(48, 48);
            let source = TypedImageRef::<U8>::from_buffer(500, 500, &padded).expect("a source");
            let mut target = TypedImage::<U8>::from_buffer(48, 48, &mut expected).expect("a target");
            let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
            let options = options.crop(f64::from(x) + 200.0, f64::from(y) + 200.0, f64::from(side), f64::from(side));
            Resizer::new().resize_typed(&source, &mut target, &options).expect("resized");
            let region = Region { x, y, width: side, height: side, angle: 0.0 };
            assert!(crop(&picture, region) == expected, "{region:?}");
        }
    }

    #[test]
    fn a_region_on_its_side_or_head_is_the_picture_turned() {
        let picture = noise(48);
        // On its side as the head of who lies on the left ear, so that its top is at the right edge.
        for (angle, turned) in
            [(FRAC_PI_2, rotate270(&picture)), (PI, rotate180(&picture)), (-FRAC_PI_2, rotate90(&picture))]
        {
            assert!(crop(&picture, square(24.0, 24.0, 48.0, angle)) == turned, "{angle}");
        }
    }

    #[test]
    fn a_region_that_begins_to_turn_neither_moves_nor_becomes_sharper_or_softer() {
        let picture = astronaut();
        for side in [24.0, 47.9, 48.1, 55.0, 67.0, 69.0, 90.0, 130.0, 200.0, 420.0] {
            let straight = crop(&picture, square(225.3, 113.7, side, 0.0));
            let turned = crop(&picture, square(225.3, 113.7, side, 1e-4));
            // What two triangles differ from one by; a shift of half a pixel would make 5 to 15.
            let difference = mean_difference(&straight, &turned);
            assert!(difference < 1.6, "{side} pixels: {difference} grey levels");
            let ratio = sharpness(&turned) / sharpness(&straight);
            assert!((0.97..1.03).contains(&ratio), "{side} pixels: {ratio} times as sharp");
        }
    }

    #[test]
    fn what_is_finer_than_the_output_becomes_grey_and_no_pattern() {
        let picture = GrayImage::from_fn(900, 900, |x, y| Luma([if (x / 3 + y / 3) % 2 == 0 { 0 } else { 255 }]));
        for angle in [0.1, FRAC_PI_2 / 2.0, 2.0] {
            let crop = crop(&picture, square(450.0, 450.0, 600.0, angle));
            let furthest = crop.iter().map(|gray| gray.abs_diff(128)).max();
            assert!(furthest < Some(6), "{angle}: {furthest:?} from grey");
        }
    }

    #[test]
    fn a_turned_region_over_the_edge_sees_the_edge_go_on() {
        let picture = GrayImage::from_fn(200, 160, |x, y| Luma([(x + y / 2) as u8]));
        // The same picture with so much of its edge repeated that no region reaches over it.
        let padded = GrayImage::from_fn(1000, 960, |x, y| {
            *picture.get_pixel(x.saturating_sub(400).min(199), y.saturating_sub(400).min(159))
        });
        for (x, y, side) in [(10.0, 20.0, 30.0), (-60.5, 80.2, 47.0), (195.0, 150.0, 100.0), (100.0, -220.0, 180.0)] {
            for angle in [0.35, 1.6, -2.5] {
                let found = crop(&picture, square(x, y, side, angle));
                let expected = crop(&padded, square(x + 400.0, y + 400.0, side, angle));
                assert!(
                    found.iter().zip(expected.iter()).all(|(a, b)| a.abs_diff(*b) <= 1),
                    "{x},{y}, {side}, {angle}"
                );
            }
        }
    }
}
