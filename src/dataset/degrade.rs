//! What poor cameras do to a picture: blur, few pixels, noise, JPEG, uneven light; and what covers a face.
//!
//! Each is a function of its strength alone, or of a generator that the caller seeds, so that training, which draws the
//! strengths, and `eval --robust`, which names them, share them.

use std::io::Cursor;

use anyhow::Result;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// How the noise of a picture is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noise {
    /// Alike and independent in each pixel, as of the electronics of a camera.
    White,
    /// More in brighter pixels, as of the light itself: by the square root of the light.
    Shot,
    /// Blotches of about two pixels, which cameras leave in the dark when they smooth noise away.
    Blotches,
}

/// A part of an upright face that something hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Covered {
    /// From below the nose to the chin.
    Mouth,
    /// Both eyes and the brows.
    Eyes,
}

/// Blurred by a Gaussian of this many pixels.
pub(crate) fn blur(picture: &GrayImage, sigma: f32) -> GrayImage {
    imageops::blur(picture, sigma)
}

/// Scaled so that the longer side has `side` pixels.
pub(crate) fn shrink(picture: &GrayImage, side: u32, filter: FilterType) -> GrayImage {
    let (width, height) = picture.dimensions();
    let longer = width.max(height).max(1);
    let scaled = |length: u32| ((length * side + longer / 2) / longer).max(1);
    imageops::resize(picture, scaled(width), scaled(height), filter)
}

/// Scaled to the size of another picture.
pub(crate) fn stretch(picture: &GrayImage, (width, height): (u32, u32), filter: FilterType) -> GrayImage {
    imageops::resize(picture, width, height, filter)
}

/// With noise of this deviation, in grey levels.
pub(crate) fn add_noise(picture: &mut GrayImage, sigma: f32, kind: Noise, rng: &mut impl Rng) {
    let (width, height) = picture.dimensions();
    let normal = |rng: &mut _| -> f32 { StandardNormal.sample(rng) };
    match kind {
        Noise::White => picture.iter_mut().for_each(|gray| *gray = grey(f32::from(*gray) + sigma * normal(rng))),
        Noise::Shot => picture.iter_mut().for_each(|gray| {
            let strength = sigma * (f32::from(*gray) / 128.0).sqrt();
            *gray = grey(f32::from(*gray) + strength * normal(rng));
        }),
        Noise::Blotches => {
            let (columns, rows) = (width.div_ceil(2) + 1, height.div_ceil(2) + 1);
            let coarse: Vec<f32> = (0..columns * rows).map(|_| normal(rng)).collect();
            for (x, y, pixel) in picture.enumerate_pixels_mut() {
                let at = |x: u32, y: u32| coarse[(y * columns + x) as usize];
                let (left, top, u, v) = (x / 2, y / 2, (x % 2) as f32 / 2.0, (y % 2) as f32 / 2.0);
                let upper = at(left, top) * (1.0 - u) + at(left + 1, top) * u;
                let lower = at(left, top + 1) * (1.0 - u) + at(left + 1, top + 1) * u;
                let value = f32::from(pixel.0[0]) + sigma * (upper * (1.0 - v) + lower * v);
                *pixel = Luma([grey(value)]);
            }
        }
    }
}

/// After a turn through JPEG at this quality, 1 to 100.
///
/// # Errors
/// When the picture has no pixels.
pub(crate) fn jpeg(picture: &GrayImage, quality: u8) -> Result<GrayImage> {
    let mut bytes = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality))?;
    let read = image::ImageReader::with_format(Cursor::new(&bytes), ImageFormat::Jpeg).decode()?;
    Ok(match read {
        DynamicImage::ImageLuma8(picture) => picture,
        other => other.into_luma8(),
    })
}

/// In light that falls off to one side: what is multiplied goes from 1 - `depth` to 1 in the direction of `angle`, in
/// radians.
pub(crate) fn shade(picture: &mut GrayImage, angle: f32, depth: f32) {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let (x_by, y_by) = (angle.cos(), angle.sin());
    let reach = x_by.abs() + y_by.abs();
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let (right, down) = ((x as f32 + 0.5) / width - 0.5, (y as f32 + 0.5) / height - 0.5);
        let along = 0.5 + (right * x_by + down * y_by) / reach.max(f32::MIN_POSITIVE);
        *pixel = Luma([grey(f32::from(pixel.0[0]) * (1.0 - depth * (1.0 - along)))]);
    }
}

/// In light of which this share is left.
pub(crate) fn dim(picture: &mut GrayImage, left: f32) {
    picture.iter_mut().for_each(|gray| *gray = grey(f32::from(*gray) * left));
}

/// With a part of the face behind something of one grey. Where eyes and mouth are in a crop is said in `network::preprocess`.
pub(crate) fn cover(picture: &mut GrayImage, part: Covered, gray: u8) {
    let (across, down) = match part {
        Covered::Mouth => (0.15..0.85, 0.62..1.0),
        Covered::Eyes => (0.05..0.95, 0.28..0.5),
    };
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let place = ((x as f32 + 0.5) / width, (y as f32 + 0.5) / height);
        if across.contains(&place.0) && down.contains(&place.1) {
            *pixel = Luma([gray]);
        }
    }
}

fn grey(value: f32) -> u8 {
    // The conversion itself holds the bounds.
    value.round() as u8
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn even() -> GrayImage {
        GrayImage::from_pixel(48, 48, Luma([128]))
    }

    fn edge() -> GrayImage {
        GrayImage::from_fn(48, 48, |x, _| Luma([if x < 24 { 60 } else { 200 }]))
    }

    fn deviation(picture: &GrayImage) -> f32 {
        let values: Vec<f32> = picture.iter().map(|&gray| f32::from(gray)).collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
    }

    #[test]
    fn noise_has_the_deviation_that_it_claims() {
        for (kind, expected) in [(Noise::White, 8.0), (Noise::Shot, 8.0), (Noise::Blotches, 6.0)] {
            let mut picture = even();
            add_noise(&mut picture, 8.0, kind, &mut ChaCha8Rng::seed_from_u64(1));
            let found = deviation(&picture);
            assert!((found - expected).abs() < 0.8, "{kind:?}: {found}");
        }
        let mut dark = GrayImage::from_pixel(48, 48, Luma([32]));
        add_noise(&mut dark, 8.0, Noise::Shot, &mut ChaCha8Rng::seed_from_u64(1));
        assert!((deviation(&dark) - 4.0).abs() < 0.4, "a quarter of the light has half of the noise");
    }

    #[test]
    fn what_softens_softens_an_edge_and_keeps_the_size() {
        let step =
            |picture: &GrayImage| i32::from(picture.get_pixel(24, 9).0[0]) - i32::from(picture.get_pixel(23, 9).0[0]);
        let small = shrink(&edge(), 24, FilterType::Triangle);
        assert_eq!(small.dimensions(), (24, 24));
        let back = stretch(&small, (48, 48), FilterType::Triangle);
        for soft in [&blur(&edge(), 1.0), &back] {
            assert_eq!(soft.dimensions(), (48, 48));
            assert!((20..120).contains(&step(soft)), "{}", step(soft));
        }
        let diagonal = GrayImage::from_fn(48, 48, |x, y| Luma([if x < y { 60 } else { 200 }]));
        assert!(jpeg(&diagonal, 25).expect("a picture") != diagonal);
        assert_eq!(jpeg(&even(), 90).expect("a picture"), even());
        assert_eq!(shrink(&GrayImage::new(40, 10), 20, FilterType::Triangle).dimensions(), (20, 5));
    }

    #[test]
    fn light_falls_off_to_one_side_and_covers_hide_their_part_only() {
        let mut picture = even();
        shade(&mut picture, 0.0, 0.5);
        assert!(picture.get_pixel(0, 5).0[0] < 70 && picture.get_pixel(47, 5).0[0] > 120);
        dim(&mut picture, 0.0);
        assert!(picture.iter().all(|&gray| gray == 0));
        for (part, hidden, seen) in [(Covered::Mouth, (24, 38), (24, 18)), (Covered::Eyes, (15, 18), (24, 38))] {
            let mut picture = even();
            cover(&mut picture, part, 0);
            assert_eq!(picture.get_pixel(hidden.0, hidden.1).0[0], 0, "{part:?}");
            assert_eq!(picture.get_pixel(seen.0, seen.1).0[0], 128, "{part:?}");
        }
    }
}
