//! Scaling pictures to the place where they are shown, in pixels; the aspect ratio stays.

use anyhow::{Context, Result};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// The largest size with the aspect ratio of `width` by `height` that fits into a frame of at least 1x1.
pub fn fitted_size((width, height): (u32, u32), (frame_width, frame_height): (u32, u32)) -> (u32, u32) {
    let [width, height, frame_width, frame_height] =
        [width, height, frame_width, frame_height].map(|length| u64::from(length.max(1)));
    // Rounded division; a quotient of at most the frame's side, so it fits 32 bits.
    let share = |a: u64, b: u64, whole: u64| ((a * b + whole / 2) / whole).max(1) as u32;
    if width * frame_height >= height * frame_width {
        (frame_width as u32, share(height, frame_width, width))
    } else {
        (share(width, frame_height, height), frame_height as u32)
    }
}

/// Scales to exactly this size; averages where it shrinks, so that fine lines and text survive.
///
/// # Errors
/// When one of the sizes is 0.
pub fn resized(resizer: &mut Resizer, picture: &RgbImage, (width, height): (u32, u32)) -> Result<RgbImage> {
    let source = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.as_raw())?;
    let mut pixels = RgbImage::new(width, height);
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut pixels)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    resizer.resize_typed(&source, &mut target, &options).with_context(|| {
        format!("a picture of {}x{} can't be scaled to {width}x{height}", picture.width(), picture.height())
    })?;
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fitted_size_touches_two_edges_and_keeps_the_ratio() {
        assert_eq!(fitted_size((640, 480), (1280, 720)), (960, 720));
        assert_eq!(fitted_size((3840, 2160), (1280, 720)), (1280, 720));
        assert_eq!(fitted_size((100, 1000), (640, 480)), (48, 480));
        assert_eq!(fitted_size((1_000_000, 1), (640, 480)), (640, 1));
        assert_eq!(fitted_size((0, 0), (640, 480)), (480, 480));
    }

    #[test]
    fn shrinking_averages() {
        // A board of black and white pixels becomes grey, not black or white.
        let board = RgbImage::from_fn(64, 64, |x, y| image::Rgb([if (x + y) % 2 == 0 { 255 } else { 0 }; 3]));
        let small = resized(&mut Resizer::new(), &board, (16, 16)).expect("valid sizes");
        assert!(small.pixels().all(|pixel| (125..=130).contains(&pixel.0[0])));
    }
}
