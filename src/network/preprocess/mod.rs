//! The only place where pixels become a tensor.
//!
//! Training, evaluation and live use all come through [`Preprocessor::write_input`], so that what the network learned on is
//! what it sees. A [`Region`] of a grey picture (in pixels of that picture, origin top left, possibly turned, possibly
//! reaching over its edges) becomes `size * size` values, row-major, with mean 0 and deviation 1. Where the region of a face
//! is, [`Region::of_face`] alone says (`region`); `resample` has the pixels, `spec` the settings.

mod region;
mod resample;
mod spec;

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use image::GrayImage;

pub use region::Region;
pub use spec::{Alignment, Filter, InputSpec, Normalization};

use resample::Resampler;

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
    resampler: Resampler,
    crop: GrayImage,
}

impl Preprocessor {
    /// A preprocessor for one kind of input.
    pub fn new(spec: InputSpec) -> Self {
        let size = spec.size as u32;
        Self { spec, resampler: Resampler::new(), crop: GrayImage::new(size, size) }
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
        normalize(&self.crop, self.spec.normalization, out);
        Ok(())
    }

    /// The grey picture of `size * size` that the input for a region is made of, before its values are normalized. A whole
    /// picture of that size is not resampled, so what is stored as such a crop becomes the very input that the region does.
    ///
    /// # Errors
    /// As [`Self::write_input`].
    pub fn crop(&mut self, picture: &GrayImage, region: Region) -> Result<GrayImage> {
        self.resize(picture, region)?;
        Ok(self.crop.clone())
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
        let Filter::Bilinear = self.spec.filter;
        self.resampler.resample(picture, region, &mut self.crop)
    }
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

    use crate::flow::frame::FaceBox;

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
            Region { x: 10.5, y: 3.25, width: 60.0, height: 60.0, angle: 0.0 },
            Region { x: -20.0, y: 30.0, width: 70.3, height: 70.3, angle: 0.0 },
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
        let values = input(&gradient(100, 80), Region { x: 10.5, y: 3.25, width: 60.0, height: 60.0, angle: 0.0 });
        let mean = values.iter().sum::<f32>() / 2304.0;
        let deviation = (values.iter().map(|v| v * v).sum::<f32>() / 2304.0).sqrt();
        assert!(mean.abs() < 1e-3 && (deviation - 1.0).abs() < 1e-3, "{mean} {deviation}");
        let flat = GrayImage::from_pixel(60, 60, Luma([200]));
        assert!(input(&flat, Region::whole(&flat)).iter().all(|v| v.abs() < 1e-6));
    }

    #[test]
    fn a_region_over_the_edge_sees_the_edge_go_on() {
        let picture = GrayImage::from_fn(48, 48, |x, _| Luma([if x < 24 { 0 } else { 255 }]));
        let values = input(&picture, Region { x: 24.0, y: -30.0, width: 48.0, height: 48.0, angle: 0.0 });
        // Only the column at the left edge of the region may have taken anything from its dark neighbour.
        assert!(values.iter().all(|v| v.abs() < 1e-6), "{values:?}");
        for region in [
            Region { x: -47.9, y: -47.9, width: 48.0, height: 48.0, angle: 0.0 },
            Region { x: -500.0, y: 300.0, width: 48.0, height: 30.0, angle: 0.0 },
            Region { x: 47.0, y: 47.0, width: 0.5, height: 0.5, angle: 0.0 },
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
                let region = Region { x: x - side * 0.05, y: 10.3, width: side, height: 300.0, angle: 0.0 };
                preprocessor.resize(&frame, region).expect("a region near the frame");
            }
        }
        let region = Region { x: 211.334_88, y: 0.0, width: 428.665_13, height: 360.0, angle: 0.0 };
        preprocessor.resize(&frame, region).expect("a region that ends at the edge");
    }

    #[test]
    fn impossible_regions_are_refused() {
        let mut preprocessor = Preprocessor::new(InputSpec::default());
        for (x, width) in [(0.0, 0.0), (0.0, -1.0), (f32::NAN, 10.0), (0.0, f32::INFINITY), (0.0, 1e9)] {
            let region = Region { x, y: 0.0, width, height: 10.0, angle: 0.0 };
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
        let region = Region::of_face(&face.into(), &spec);
        let live = preprocessor.tensor_from_regions(&[(&gray, region)], &Device::Cpu).expect("live");
        let live: Vec<f32> = live.flatten_all().and_then(|t| t.to_vec1()).expect("values");
        assert_eq!(live, input(&picture, Region::whole(&picture)));
    }
}
