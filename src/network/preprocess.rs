//! The only place where pixels become a tensor.
//!
//! Training, evaluation and live use all come through [`Preprocessor::write_input`], so that what the network learned on is
//! what it sees. A region of a grey picture (in pixels of that picture, origin top left, possibly reaching over its edges)
//! becomes `size * size` values, row-major, with mean 0 and deviation 1.

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::GrayImage;
use serde::{Deserialize, Serialize};

use crate::flow::frame::FaceBox;

/// How a face becomes the network's input. Part of the model card: weights only fit the input that they were trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Width and height of the input in pixels.
    pub size: usize,
    /// Side of the crop as a multiple of the face box's longer side.
    pub crop_margin: f32,
    /// How the crop is brought to `size`.
    pub filter: Filter,
    /// What is done to the values after that.
    pub normalization: Normalization,
}

/// A resampling filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// A triangle as wide as two output pixels, so that a reduced picture does not alias.
    Bilinear,
}

/// What happens to the grey values of a crop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Each crop is brought to mean 0 and deviation 1 by its own values: light and contrast of the room drop out.
    PerCrop {
        /// The least deviation, in grey levels of 255, that is divided by: a flat crop must not become pure noise.
        least_deviation: f32,
    },
}

impl Default for InputSpec {
    fn default() -> Self {
        Self {
            size: 48,
            // A rustface box has 0.91 times the width of a FER2013 picture around the same centre.
            crop_margin: 1.1,
            filter: Filter::Bilinear,
            normalization: Normalization::PerCrop { least_deviation: 8.0 },
        }
    }
}

impl InputSpec {
    /// Refuses sizes and margins that no network of emocam can have.
    ///
    /// # Errors
    /// When a value is out of range.
    pub fn check(&self) -> Result<()> {
        let Self { size, crop_margin, .. } = self;
        let Normalization::PerCrop { least_deviation } = self.normalization;
        ensure!(
            (0.1..=255.0).contains(&least_deviation),
            "input: expected a least deviation of 0.1 to 255, found {least_deviation}"
        );
        ensure!((16..=256).contains(size), "input: expected a size of 16 to 256 pixels, found {size}");
        ensure!((0.5..=3.0).contains(crop_margin), "input: expected a crop margin of 0.5 to 3, found {crop_margin}");
        Ok(())
    }
}

/// A rectangle of a picture that becomes one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width, more than 0.
    pub width: f32,
    /// Height, more than 0.
    pub height: f32,
}

impl Region {
    /// The square around a face.
    pub fn around_face(face: &FaceBox, spec: &InputSpec) -> Self {
        let side = face.width.max(face.height).max(1.0) * spec.crop_margin;
        let (x, y) = (face.x + face.width / 2.0 - side / 2.0, face.y + face.height / 2.0 - side / 2.0);
        Self { x, y, width: side, height: side }
    }

    /// The whole picture: for pictures that are a face already, framed as in FER2013.
    pub fn whole(picture: &GrayImage) -> Self {
        Self { x: 0.0, y: 0.0, width: picture.width() as f32, height: picture.height() as f32 }
    }

    /// The smallest square around the whole picture: for faces in pictures that are not square, which must not be squeezed.
    pub fn square_around(picture: &GrayImage) -> Self {
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let side = width.max(height);
        Self { x: (width - side) / 2.0, y: (height - side) / 2.0, width: side, height: side }
    }
}

/// Grey from RGB by the weights of ITU-R BT.601 in 256ths. Grey pixels keep their value exactly.
///
/// # Errors
/// When the bytes are not as many as the size says.
pub fn gray_from_rgb(rgb: &[u8], width: u32, height: u32) -> Result<GrayImage> {
    let mut gray = GrayImage::new(width, height);
    write_gray(rgb, &mut gray)?;
    Ok(gray)
}

/// As [`gray_from_rgb`], into a picture that is there already.
///
/// # Errors
/// When the bytes are not three for each of its pixels.
pub fn write_gray(rgb: &[u8], gray: &mut GrayImage) -> Result<()> {
    let (width, height) = gray.dimensions();
    ensure!(rgb.len() == 3 * gray.len(), "{} bytes for an RGB picture of {width}x{height}", rgb.len());
    let (pixels, _) = rgb.as_chunks::<3>();
    for (gray, &[r, g, b]) in gray.iter_mut().zip(pixels) {
        *gray = ((77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b) + 128) >> 8) as u8;
    }
    Ok(())
}

/// Turns regions into inputs; keeps its buffers from one to the next.
pub struct Preprocessor {
    spec: InputSpec,
    resizer: Resizer,
    padded: Vec<u8>,
    resized: Vec<u8>,
}

impl Preprocessor {
    /// A preprocessor for one kind of input.
    pub fn new(spec: InputSpec) -> Self {
        Self { spec, resizer: Resizer::new(), padded: Vec::new(), resized: Vec::new() }
    }

    /// Values per input.
    pub fn input_len(&self) -> usize {
        self.spec.size * self.spec.size
    }

    /// Writes the input for one region of a picture into `out`, `size * size` values. Beyond the picture's edge its
    /// outermost pixels go on.
    ///
    /// # Errors
    /// When the region is empty, not finite, or many times larger than the picture.
    pub fn write_input(&mut self, picture: &GrayImage, region: Region, out: &mut [f32]) -> Result<()> {
        self.resize(picture, region)?;
        normalize(&self.resized, self.spec.normalization, out);
        Ok(())
    }

    /// The grey picture of `size * size` that the input for a region is made of, before its values are normalized. A whole
    /// picture of that size is not resampled, so what is stored as such a crop becomes the very input that the region does.
    ///
    /// # Errors
    /// As [`Self::write_input`].
    pub fn crop(&mut self, picture: &GrayImage, region: Region) -> Result<GrayImage> {
        self.resize(picture, region)?;
        let size = self.spec.size as u32;
        GrayImage::from_raw(size, size, self.resized.clone()).context("a crop of the wrong length")
    }

    /// The inputs for regions, each of its picture, `(regions, 1, size, size)`.
    ///
    /// # Errors
    /// As [`Self::write_input`], or when the device has no memory for it.
    pub fn tensor_from_regions(&mut self, regions: &[(&GrayImage, Region)], device: &Device) -> Result<Tensor> {
        let mut values = vec![0.0; regions.len() * self.input_len()];
        for ((picture, region), out) in regions.iter().zip(values.chunks_mut(self.spec.size * self.spec.size)) {
            self.write_input(picture, *region, out)?;
        }
        Ok(Tensor::from_vec(values, (regions.len(), 1, self.spec.size, self.spec.size), device)?)
    }

    fn resize(&mut self, picture: &GrayImage, region: Region) -> Result<()> {
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let Region { x, y, width: w, height: h } = region;
        ensure!(
            w > 0.0 && h > 0.0 && w <= 4.0 * width.max(48.0) && h <= 4.0 * height.max(48.0) && (x + y).is_finite(),
            "a region of {w}x{h} at {x},{y} in a picture of {width}x{height}"
        );
        let size = self.spec.size as u32;
        self.resized.resize(self.input_len(), 0);
        let mut target = TypedImage::<U8>::from_buffer(size, size, &mut self.resized)?;
        let Filter::Bilinear = self.spec.filter;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        // In doubles, as the resizer computes: rounded otherwise, a region at the very edge would count as outside there.
        let [x, y, w, h] = [x, y, w, h].map(f64::from);
        let (picture_width, picture_height) = (f64::from(picture.width()), f64::from(picture.height()));
        if x >= 0.0 && y >= 0.0 && x + w <= picture_width && y + h <= picture_height {
            let source = TypedImageRef::<U8>::from_buffer(picture.width(), picture.height(), picture)?;
            self.resizer.resize_typed(&source, &mut target, &options.crop(x, y, w, h))?;
            return Ok(());
        }
        // The smallest whole-pixel rectangle around the region, with the picture's edge repeated.
        let (left, top) = (x.floor(), y.floor());
        let (padded_width, padded_height) = ((x + w).ceil() - left, (y + h).ceil() - top);
        self.padded.clear();
        for row in 0..padded_height as u32 {
            let from_y = (top + f64::from(row)).clamp(0.0, picture_height - 1.0) as usize;
            let line = &picture.as_raw()[from_y * picture.width() as usize..][..picture.width() as usize];
            let columns = (0..padded_width as u32)
                .map(|column| (left + f64::from(column)).clamp(0.0, picture_width - 1.0) as usize);
            self.padded.extend(columns.map(|from_x| line[from_x]));
        }
        let source = TypedImageRef::<U8>::from_buffer(padded_width as u32, padded_height as u32, &self.padded)?;
        let (x, y) = (x - left, y - top);
        let options = options.crop(x, y, within(x, w, padded_width), within(y, h, padded_height));
        self.resizer.resize_typed(&source, &mut target, &options)?;
        Ok(())
    }
}

/// The length, or as much of it as there is from `start` to `end`, so that their sum does not pass `end` by rounding.
fn within(start: f64, length: f64, end: f64) -> f64 {
    let mut length = length.min(end - start);
    while start + length > end {
        length = length.next_down();
    }
    length
}

fn normalize(gray: &[u8], normalization: Normalization, out: &mut [f32]) {
    let Normalization::PerCrop { least_deviation } = normalization;
    let count = gray.len() as f32;
    // Sums of bytes are exact in integers, so the result does not depend on the order of summation.
    let sum: u64 = gray.iter().map(|&g| u64::from(g)).sum();
    let squares: u64 = gray.iter().map(|&g| u64::from(g) * u64::from(g)).sum();
    let mean = sum as f32 / count;
    let variance = (squares as f64 / f64::from(count) - f64::from(mean) * f64::from(mean)).max(0.0) as f32;
    let factor = 1.0 / variance.sqrt().max(least_deviation);
    for (out, &g) in out.iter_mut().zip(gray) {
        *out = (f32::from(g) - mean) * factor;
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    fn gradient(width: u32, height: u32) -> GrayImage {
        GrayImage::from_fn(width, height, |x, y| Luma([(x * 3 + y * 2) as u8]))
    }

    fn input(picture: &GrayImage, region: Region) -> Vec<f32> {
        let mut preprocessor = Preprocessor::new(InputSpec::default());
        let mut out = vec![0.0; preprocessor.input_len()];
        preprocessor.write_input(picture, region, &mut out).expect("input");
        out
    }

    #[test]
    fn gray_pixels_keep_their_value() {
        let rgb: Vec<u8> = (0..=255).flat_map(|g| [g, g, g]).collect();
        let gray = gray_from_rgb(&rgb, 16, 16).expect("gray");
        assert_eq!(gray.into_raw(), (0..=255).collect::<Vec<u8>>());
        assert!(gray_from_rgb(&rgb, 17, 16).is_err());
    }

    #[test]
    fn a_picture_of_the_input_size_is_not_resampled() {
        let picture = gradient(48, 48);
        let values = input(&picture, Region::whole(&picture));
        let mean = picture.iter().map(|&g| f32::from(g)).sum::<f32>() / 2304.0;
        let variance = picture.iter().map(|&g| (f32::from(g) - mean).powi(2)).sum::<f32>() / 2304.0;
        for (value, &g) in values.iter().zip(picture.iter()) {
            assert!((value - (f32::from(g) - mean) / variance.sqrt()).abs() < 1e-3);
        }
    }

    #[test]
    fn a_crop_becomes_the_same_input_as_the_region_that_it_was_cut_from() {
        let picture = gradient(100, 80);
        let mut preprocessor = Preprocessor::new(InputSpec::default());
        for region in [
            Region { x: 10.5, y: 3.25, width: 60.0, height: 60.0 },
            Region { x: -20.0, y: 30.0, width: 70.3, height: 70.3 },
            Region::square_around(&picture),
        ] {
            let crop = preprocessor.crop(&picture, region).expect("crop");
            assert_eq!(crop.dimensions(), (48, 48));
            assert_eq!(input(&crop, Region::whole(&crop)), input(&picture, region), "{region:?}");
        }
        let square = Region::square_around(&picture);
        assert_eq!((square.x, square.y, square.width, square.height), (0.0, -10.0, 100.0, 100.0));
    }

    #[test]
    fn the_result_has_mean_0_and_deviation_1_and_a_flat_picture_is_0() {
        let values = input(&gradient(100, 80), Region { x: 10.5, y: 3.25, width: 60.0, height: 60.0 });
        let mean = values.iter().sum::<f32>() / 2304.0;
        let deviation = (values.iter().map(|v| v * v).sum::<f32>() / 2304.0).sqrt();
        assert!(mean.abs() < 1e-3 && (deviation - 1.0).abs() < 1e-3, "{mean} {deviation}");
        let flat = GrayImage::from_pixel(60, 60, Luma([200]));
        assert!(input(&flat, Region::whole(&flat)).iter().all(|v| v.abs() < 1e-6));
    }

    #[test]
    fn a_region_over_the_edge_sees_the_edge_go_on() {
        let picture = GrayImage::from_fn(48, 48, |x, _| Luma([if x < 24 { 0 } else { 255 }]));
        let values = input(&picture, Region { x: 24.0, y: -30.0, width: 48.0, height: 48.0 });
        // Only the column at the left edge of the region may have taken anything from its dark neighbour.
        assert!(values.iter().all(|v| v.abs() < 1e-6), "{values:?}");
        for region in [
            Region { x: -47.9, y: -47.9, width: 48.0, height: 48.0 },
            Region { x: -500.0, y: 300.0, width: 48.0, height: 30.0 },
            Region { x: 47.0, y: 47.0, width: 0.5, height: 0.5 },
        ] {
            assert!(input(&picture, region).iter().all(|v| v.is_finite()));
        }
    }

    #[test]
    fn regions_that_end_at_the_edge_but_for_rounding_are_taken() {
        // A face found at 154,... with a side of 260 on a frame of 640x360 that was scanned at 427 pixels.
        let scale = 640.0f32 / 427.0;
        let mut preprocessor = Preprocessor::new(InputSpec::default());
        let frame = gradient(640, 360);
        for x in 0..427u16 {
            for side in (100..400u16).step_by(7).chain([260]) {
                let (x, side) = (f32::from(x) * scale, f32::from(side) * scale * 1.1);
                let region = Region { x: x - side * 0.05, y: 10.3, width: side, height: 300.0 };
                preprocessor.resize(&frame, region).expect("a region near the frame");
            }
        }
        let region = Region { x: 211.334_88, y: 0.0, width: 428.665_13, height: 360.0 };
        preprocessor.resize(&frame, region).expect("a region that ends at the edge");
    }

    #[test]
    fn impossible_regions_are_refused() {
        let mut preprocessor = Preprocessor::new(InputSpec::default());
        for (x, width) in [(0.0, 0.0), (0.0, -1.0), (f32::NAN, 10.0), (0.0, f32::INFINITY), (0.0, 1e9)] {
            let region = Region { x, y: 0.0, width, height: 10.0 };
            assert!(preprocessor.crop(&gradient(48, 48), region).is_err(), "{region:?}");
        }
    }

    #[test]
    fn one_picture_through_the_training_and_the_live_path_gives_the_same_tensor() {
        // Training: a grey picture that is a face. Live: the same pixels in the middle of a colour frame, with a face box.
        let picture = gradient(48, 48);
        let mut frame = vec![0u8; 3 * 100 * 90];
        for (x, y, pixel) in picture.enumerate_pixels() {
            let at = 3 * ((y as usize + 20) * 100 + x as usize + 30);
            frame[at..at + 3].fill(pixel.0[0]);
        }
        let spec = InputSpec { crop_margin: 1.0, ..Default::default() };
        let face = FaceBox { x: 30.0, y: 20.0, width: 48.0, height: 48.0, score: 1.0 };
        let gray = gray_from_rgb(&frame, 100, 90).expect("gray");
        let mut preprocessor = Preprocessor::new(spec.clone());
        let region = Region::around_face(&face, &spec);
        let live = preprocessor.tensor_from_regions(&[(&gray, region)], &Device::Cpu).expect("live");
        let live: Vec<f32> = live.flatten_all().and_then(|t| t.to_vec1()).expect("values");
        assert_eq!(live, input(&picture, Region::whole(&picture)));
    }
}
