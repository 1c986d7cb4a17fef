//! The funnel: rustface over a grey frame.
//!
//! SeetaFace's frontal detector (Liu et al. 2016, <https://github.com/seetaface/SeetaFaceEngine>) finds faces of 40 pixels and
//! more; to find smaller or only larger ones, the frame is scaled first. Boxes come out in frame pixels, scores as the sum
//! over all windows that agree on a face, each up to 1.

use anyhow::{Context, Result, ensure};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::GrayImage;
use rustface::{Detector, ImageData};

use super::overlap;
use crate::flow::frame::FaceBox;

/// The detector's model, from the rustface crate.
const MODEL: &[u8] = include_bytes!("../../weights/seeta_fd_frontal_v1.0.bin");

/// The side of the detector's window in pixels: the smallest face that it finds.
const WINDOW: u32 = 40;

/// The most pixels of a scaled frame: ten seconds of search.
const MOST_PIXELS: f64 = 16.0 * 1024.0 * 1024.0;

/// Near a place a square of so many boxes is searched, scaled so that a face is that wide: as many windows look as in a scan
/// of a whole frame, so scores compare with its.
const REACH: f32 = 1.7;
const FACE_WIDTH: f32 = 64.0;

/// A face that overlaps a place more than this is there.
const SAME_PLACE: f32 = 0.3;

/// Each step of the image pyramid is this much smaller than the one before.
const PYRAMID_FACTOR: f32 = 0.8;

/// How far the window moves at a time, in pixels.
const WINDOW_STEP: u32 = 4;

/// Below this score there are false boxes on textured backgrounds; rustface's own example uses the same.
const LEAST_SCORE: f64 = 2.0;

/// Finds frontal faces. It can't be sent to another thread: make it where it is used.
pub(super) struct Funnel {
    detector: Box<dyn Detector>,
    resizer: Resizer,
    scaled: Vec<u8>,
}

impl Funnel {
    /// # Errors
    /// When the embedded model can't be read.
    pub(super) fn new() -> Result<Self> {
        let model = rustface::read_model(MODEL).context("the embedded face detector")?;
        let mut detector = rustface::create_detector_with_model(model);
        detector.set_pyramid_scale_factor(PYRAMID_FACTOR);
        detector.set_slide_window_step(WINDOW_STEP, WINDOW_STEP);
        detector.set_score_thresh(LEAST_SCORE);
        Ok(Self { detector, resizer: Resizer::new(), scaled: Vec::new() })
    }

    /// All that decides which boxes are found, as text.
    pub(super) fn settings() -> String {
        format!("seeta {WINDOW} {LEAST_SCORE} {PYRAMID_FACTOR} {WINDOW_STEP}")
    }

    /// The faces of at least this width, in frame pixels. A frame that is smaller than a face has none.
    ///
    /// # Errors
    /// When the frame would have to be blown up to more than 16 megapixels.
    pub(super) fn detect(&mut self, frame: &GrayImage, smallest: f32) -> Result<Vec<FaceBox>> {
        let (width, height) = frame.dimensions();
        let scale = WINDOW as f32 / smallest;
        let pixels = f64::from(width) * f64::from(height) * f64::from(scale).powi(2);
        ensure!(
            pixels <= MOST_PIXELS,
            "faces of {smallest:.0} pixels can't be searched for in a frame of {width}x{height}: ask for larger ones \
             (--min-face)"
        );
        self.search(frame, [0, 0, width, height], scale)
    }

    /// How sure the funnel is of a face at a place, 0 where it sees none.
    ///
    /// # Errors
    /// When the frame can't be scaled.
    pub(super) fn score_at(&mut self, frame: &GrayImage, place: &FaceBox) -> Result<f32> {
        let side = place.width * REACH;
        let (x, y) = (place.x + (place.width - side) / 2.0, place.y + (place.height - side) / 2.0);
        let edge = |at: f32, length: u32| at.clamp(0.0, length as f32) as u32;
        let (left, top) = (edge(x.floor(), frame.width()), edge(y.floor(), frame.height()));
        let (right, bottom) = (edge((x + side).ceil(), frame.width()), edge((y + side).ceil(), frame.height()));
        let area = [left, top, right - left, bottom - top];
        let faces = self.search(frame, area, FACE_WIDTH / place.width.max(1.0))?;
        let here = faces.iter().filter(|face| overlap(face, place) > SAME_PLACE);
        Ok(here.map(|face| face.score).fold(0.0, f32::max))
    }

    /// Scales an area (left, top, width, height) and runs the detector over it.
    fn search(&mut self, frame: &GrayImage, [left, top, width, height]: [u32; 4], scale: f32) -> Result<Vec<FaceBox>> {
        let side = |length: u32| (length as f32 * scale).round() as u32;
        let (columns, rows) = (side(width), side(height));
        if columns < WINDOW || rows < WINDOW {
            return Ok(Vec::new());
        }
        self.scaled.resize(columns as usize * rows as usize, 0);
        let source = TypedImageRef::<U8>::from_buffer(frame.width(), frame.height(), frame)?;
        let mut target = TypedImage::<U8>::from_buffer(columns, rows, &mut self.scaled)?;
        let [x, y, w, h] = [left, top, width, height].map(f64::from);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(x, y, w, h);
        self.resizer.resize_typed(&source, &mut target, &options)?;
        let found = self.detector.detect(&ImageData::new(&self.scaled, columns, rows));
        let (scale_x, scale_y) = (width as f32 / columns as f32, height as f32 / rows as f32);
        let faces = found.iter().map(|face| FaceBox {
            x: left as f32 + face.bbox().x() as f32 * scale_x,
            y: top as f32 + face.bbox().y() as f32 * scale_y,
            width: face.bbox().width() as f32 * scale_x,
            height: face.bbox().height() as f32 * scale_y,
            score: face.score() as f32,
        });
        Ok(faces.filter(|face| face.width >= 1.0 && face.height >= 1.0).collect())
    }
}
