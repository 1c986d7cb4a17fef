//! Finding faces: rustface over a grey frame.
//!
//! Owns the detector, its settings and the scale at which a frame is scanned. Boxes come out in frame pixels. The detector
//! is SeetaFace's frontal one (Liu et al. 2016, <https://github.com/seetaface/SeetaFaceEngine>), which finds faces of 40
//! pixels and more; to find smaller or only larger ones, the frame is scaled first. What a face expresses is not known here.

use anyhow::{Context, Result, ensure};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::GrayImage;
use rustface::{Detector, ImageData};

use crate::frame::FaceBox;

/// The detector's model, from the rustface crate.
const MODEL: &[u8] = include_bytes!("../weights/seeta_fd_frontal_v1.0.bin");

/// The side of the detector's window in pixels: the smallest face that it finds.
const WINDOW: u32 = 40;

/// The most pixels of a scaled frame: ten seconds of search.
const MAX_SCANNED_PIXELS: u64 = 16 * 1024 * 1024;

/// Below this score there are false boxes on textured backgrounds; rustface's own example uses the same.
const SCORE_THRESHOLD: f64 = 2.0;

/// Each step of the image pyramid is this much smaller than the one before.
const PYRAMID_FACTOR: f32 = 0.8;

/// How far the window moves at a time, in pixels.
const WINDOW_STEP: u32 = 4;

/// The smallest face to be found, as a width. The smaller, the longer a search takes: it grows with the square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SmallestFace {
    /// In pixels, at least 1.
    Pixels(u32),
    /// As a share of the frame's shorter side.
    Share(f32),
}

impl SmallestFace {
    /// For cameras and videos: someone a metre away from a webcam. A whole frame takes about half of the time between two
    /// frames of a camera then.
    pub const IN_MOTION: Self = Self::Share(1.0 / 6.0);

    /// For pictures, where nothing is in a hurry and people stand in groups.
    pub const IN_PICTURES: Self = Self::Share(1.0 / 10.0);

    fn pixels(self, frame: &GrayImage) -> f32 {
        match self {
            Self::Pixels(pixels) => pixels as f32,
            Self::Share(share) => frame.width().min(frame.height()) as f32 * share,
        }
    }
}

/// Finds faces. It can't be sent to another thread: make it where it is used.
pub struct FaceDetector {
    detector: Box<dyn Detector>,
    smallest_face: SmallestFace,
    resizer: Resizer,
    scaled: Vec<u8>,
}

impl FaceDetector {
    /// A detector of faces that are at least this wide.
    ///
    /// # Errors
    /// When the width is 0, or the embedded model can't be read.
    pub fn new(smallest_face: SmallestFace) -> Result<Self> {
        ensure!(smallest_face != SmallestFace::Pixels(0), "the smallest face must be at least 1 pixel");
        let model = rustface::read_model(MODEL).context("the embedded face detector")?;
        let mut detector = rustface::create_detector_with_model(model);
        detector.set_score_thresh(SCORE_THRESHOLD);
        detector.set_pyramid_scale_factor(PYRAMID_FACTOR);
        detector.set_slide_window_step(WINDOW_STEP, WINDOW_STEP);
        Ok(Self { detector, smallest_face, resizer: Resizer::new(), scaled: Vec::new() })
    }

    /// All that decides which boxes a detector like this finds, as text: what was found with other settings is outdated.
    pub(crate) fn settings(smallest_face: SmallestFace) -> String {
        format!("seeta {WINDOW} {SCORE_THRESHOLD} {PYRAMID_FACTOR} {WINDOW_STEP} {smallest_face:?}")
    }

    /// All faces in a frame, largest first. A frame that is smaller than a face has none.
    ///
    /// # Errors
    /// When the smallest face is so small that the frame would have to be blown up to more than 16 megapixels.
    pub fn detect(&mut self, frame: &GrayImage) -> Result<Vec<FaceBox>> {
        let (width, height) = frame.dimensions();
        let smallest = self.smallest_face.pixels(frame);
        let scale = WINDOW as f32 / smallest.max(1.0);
        let side = |length: u32| (length as f32 * scale).round() as u32;
        let (scaled_width, scaled_height) = (side(width), side(height));
        if scaled_width < WINDOW || scaled_height < WINDOW {
            return Ok(Vec::new());
        }
        ensure!(
            u64::from(scaled_width) * u64::from(scaled_height) <= MAX_SCANNED_PIXELS,
            "faces of {smallest:.0} pixels can't be searched for in a frame of {width}x{height}: ask for larger ones"
        );
        self.scale(frame, scaled_width, scaled_height)?;
        let found = self.detector.detect(&ImageData::new(&self.scaled, scaled_width, scaled_height));
        let (scale_x, scale_y) = (width as f32 / scaled_width as f32, height as f32 / scaled_height as f32);
        let mut faces: Vec<FaceBox> = found
            .iter()
            .map(|face| FaceBox {
                x: face.bbox().x() as f32 * scale_x,
                y: face.bbox().y() as f32 * scale_y,
                width: face.bbox().width() as f32 * scale_x,
                height: face.bbox().height() as f32 * scale_y,
                score: face.score() as f32,
            })
            .filter(|face| face.width >= 1.0 && face.height >= 1.0)
            .collect();
        faces.sort_by(|a, b| (b.width * b.height).total_cmp(&(a.width * a.height)));
        Ok(faces)
    }

    fn scale(&mut self, frame: &GrayImage, width: u32, height: u32) -> Result<()> {
        self.scaled.resize(width as usize * height as usize, 0);
        let source = TypedImageRef::<U8>::from_buffer(frame.width(), frame.height(), frame)?;
        let mut target = TypedImage::<U8>::from_buffer(width, height, &mut self.scaled)?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        Ok(self.resizer.resize_typed(&source, &mut target, &options)?)
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn frames_without_room_for_a_face_have_none() {
        let mut detector = FaceDetector::new(SmallestFace::IN_MOTION).expect("detector");
        for (width, height) in [(1, 1), (1, 400), (3000, 2), (39, 39)] {
            let frame = GrayImage::from_pixel(width, height, Luma([128]));
            assert!(detector.detect(&frame).expect("no failure").is_empty());
        }
        let frame = GrayImage::from_pixel(100, 100, Luma([128]));
        assert!(
            FaceDetector::new(SmallestFace::Pixels(400))
                .and_then(|mut d| d.detect(&frame))
                .expect("no failure")
                .is_empty()
        );
    }

    #[test]
    fn impossible_wishes_are_refused() {
        assert!(FaceDetector::new(SmallestFace::Pixels(0)).is_err());
        let frame = GrayImage::from_pixel(640, 480, Luma([128]));
        let error =
            FaceDetector::new(SmallestFace::Pixels(1)).and_then(|mut d| d.detect(&frame)).expect_err("too many pixels");
        assert!(error.to_string().contains("ask for larger ones"), "{error}");
    }

    #[test]
    fn noise_is_no_face() {
        let mut value = 1u32;
        let frame = GrayImage::from_fn(320, 240, |_, _| {
            value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Luma([(value >> 24) as u8])
        });
        assert!(
            FaceDetector::new(SmallestFace::IN_MOTION)
                .and_then(|mut d| d.detect(&frame))
                .expect("no failure")
                .is_empty()
        );
    }
}
