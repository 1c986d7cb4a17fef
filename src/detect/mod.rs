//! Finding faces: rustface over a grey frame, or over a part of it.
//!
//! Owns the detector, its settings and the scale at which a frame is scanned. Boxes come out in frame pixels. The detector
//! is SeetaFace's frontal one (Liu et al. 2016, <https://github.com/seetaface/SeetaFaceEngine>), which finds faces of 40
//! pixels and more; to find smaller or only larger ones, the frame is scaled first. There are three ways to look: a scan
//! of the whole frame, a search near a place where a face is expected, and a glance at one part of a frame, of which a
//! `sweep` consists. When to do which is decided in `track`. What a face expresses is not known here.

pub(crate) mod sweep;

use anyhow::{Context, Result, ensure};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::GrayImage;
use rustface::{Detector, ImageData};

use crate::flow::frame::FaceBox;
use sweep::Part;

/// The detector's model, from the rustface crate.
const MODEL: &[u8] = include_bytes!("../../weights/seeta_fd_frontal_v1.0.bin");

/// The side of the detector's window in pixels: the smallest face that it finds.
const WINDOW: u32 = 40;

/// The most pixels of a scaled frame: ten seconds of search.
const MAX_SCANNED_PIXELS: u64 = 16 * 1024 * 1024;

/// How thoroughly a picture is searched.
#[derive(Clone, Copy, Debug)]
struct Thoroughness {
    /// Each step of the image pyramid is this much smaller than the one before.
    pyramid_factor: f32,
    /// How far the window moves at a time, in pixels.
    window_step: u32,
    /// Boxes with a lower score are left out. A score is the sum over all windows that agree on a face, each up to 1.
    least_score: f64,
}

/// Whole frames. Below this score there are false boxes on textured backgrounds; rustface's own example uses the same.
const WHOLE_FRAME: Thoroughness = Thoroughness { pyramid_factor: 0.8, window_step: 4, least_score: 2.0 };

/// Parts of a sweep: they only say where to look closer, so a single window that takes something for a face is enough.
/// They hold one size of faces, so there is no pyramid.
const GLANCE: Thoroughness = Thoroughness { pyramid_factor: 0.8, window_step: 6, least_score: 0.3 };

/// A search near a place where a face is expected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nearby {
    /// Side of the square that is searched, as a multiple of the box's.
    reach: f32,
    /// Width in pixels that a face of the expected size is scaled to.
    face_width: f32,
    /// Faces wider than this, in the same pixels, are not looked for.
    largest: u32,
    thoroughness: Thoroughness,
}

impl Nearby {
    /// For a known face, in every frame. On clips of people before a camera it found 99.7% of the boxes that a scan of the
    /// whole frame finds, in a seventh of its time. Fewer windows look, so scores are lower than those of a scan.
    pub(crate) const FOLLOW: Self = Self {
        reach: 1.8,
        face_width: 56.0,
        largest: 80,
        thoroughness: Thoroughness { pyramid_factor: 0.7, window_step: 6, least_score: 0.01 },
    };

    /// To make sure of a new face, once: as many windows look as in a scan of the whole frame, so scores compare with its.
    pub(crate) const VERIFY: Self = Self {
        reach: 1.7,
        face_width: 64.0,
        largest: 96,
        thoroughness: Thoroughness { pyramid_factor: 0.8, window_step: 4, least_score: 0.01 },
    };
}

/// A rectangle of a frame, in its pixels, that lies within it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

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

    /// Refuses a size that no face in such a frame can have.
    ///
    /// # Errors
    /// When it is larger than the frame.
    pub(crate) fn check(self, frame: &GrayImage) -> Result<()> {
        let (width, height) = frame.dimensions();
        if let Self::Pixels(pixels) = self {
            ensure!(
                pixels <= width.min(height),
                "no face of {pixels} pixels and more fits into a frame of {width}x{height}: ask for smaller ones (--min-face)"
            );
        }
        Ok(())
    }

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
        let detector = rustface::create_detector_with_model(model);
        Ok(Self { detector, smallest_face, resizer: Resizer::new(), scaled: Vec::new() })
    }

    /// All that decides which boxes a detector like this finds, as text: what was found with other settings is outdated.
    pub(crate) fn settings(smallest_face: SmallestFace) -> String {
        let Thoroughness { pyramid_factor, window_step, least_score } = WHOLE_FRAME;
        format!("seeta {WINDOW} {least_score} {pyramid_factor} {window_step} {smallest_face:?}")
    }

    /// All faces in a frame, largest first. A frame that is smaller than a face has none.
    ///
    /// # Errors
    /// When the smallest face is so small that the frame would have to be blown up to more than 16 megapixels.
    pub fn detect(&mut self, frame: &GrayImage) -> Result<Vec<FaceBox>> {
        let (width, height) = frame.dimensions();
        let scale = self.scale(frame)?;
        let mut faces = self.search(frame, Area { x: 0, y: 0, width, height }, scale, None, WHOLE_FRAME)?;
        faces.sort_by(|a, b| (b.width * b.height).total_cmp(&(a.width * a.height)));
        Ok(faces)
    }

    /// The parts of a frame that together show every face in it.
    ///
    /// # Errors
    /// As [`Self::detect`].
    pub(crate) fn sweep_of(&self, frame: &GrayImage) -> Result<Vec<Part>> {
        Ok(sweep::parts(frame.width(), frame.height(), self.scale(frame)?))
    }

    /// Where in one part of a frame a face may be. The boxes are rough, and some are none.
    ///
    /// # Errors
    /// When the part lies outside the frame.
    pub(crate) fn glance(&mut self, frame: &GrayImage, part: &Part) -> Result<Vec<FaceBox>> {
        let area = Area { x: 0, y: part.top, width: frame.width(), height: part.height };
        self.search(frame, area, part.scale, Some(WINDOW), GLANCE)
    }

    /// The faces of about the expected size near an expected place, likeliest first.
    ///
    /// # Errors
    /// When the frame can't be scaled.
    pub(crate) fn search_near(&mut self, frame: &GrayImage, expected: &FaceBox, how: Nearby) -> Result<Vec<FaceBox>> {
        let side = expected.width * how.reach;
        let (x, y) = (expected.x + (expected.width - side) / 2.0, expected.y + (expected.height - side) / 2.0);
        let edge = |at: f32, length: u32| at.clamp(0.0, length as f32) as u32;
        let (left, top) = (edge(x.floor(), frame.width()), edge(y.floor(), frame.height()));
        let (right, bottom) = (edge((x + side).ceil(), frame.width()), edge((y + side).ceil(), frame.height()));
        let area = Area { x: left, y: top, width: right - left, height: bottom - top };
        let scale = how.face_width / expected.width.max(1.0);
        let mut faces = self.search(frame, area, scale, Some(how.largest), how.thoroughness)?;
        faces.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(faces)
    }

    /// The scale at which the smallest face is as large as the detector's window.
    fn scale(&self, frame: &GrayImage) -> Result<f32> {
        let smallest = self.smallest_face.pixels(frame).max(1.0);
        let scale = WINDOW as f32 / smallest;
        let pixels = f64::from(frame.width()) * f64::from(frame.height()) * f64::from(scale).powi(2);
        ensure!(
            pixels <= MAX_SCANNED_PIXELS as f64,
            "faces of {smallest:.0} pixels can't be searched for in a frame of {}x{}: ask for larger ones",
            frame.width(),
            frame.height()
        );
        Ok(scale)
    }

    /// Scales an area and runs the detector over it. `largest` bounds the width of faces, in scaled pixels.
    fn search(
        &mut self,
        frame: &GrayImage,
        area: Area,
        scale: f32,
        largest: Option<u32>,
        how: Thoroughness,
    ) -> Result<Vec<FaceBox>> {
        let side = |length: u32| (length as f32 * scale).round() as u32;
        let (width, height) = (side(area.width), side(area.height));
        if width < WINDOW || height < WINDOW {
            return Ok(Vec::new());
        }
        self.scaled.resize(width as usize * height as usize, 0);
        let source = TypedImageRef::<U8>::from_buffer(frame.width(), frame.height(), frame)?;
        let mut target = TypedImage::<U8>::from_buffer(width, height, &mut self.scaled)?;
        let [x, y, w, h] = [area.x, area.y, area.width, area.height].map(f64::from);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(x, y, w, h);
        self.resizer.resize_typed(&source, &mut target, &options)?;
        self.detector.set_pyramid_scale_factor(how.pyramid_factor);
        self.detector.set_slide_window_step(how.window_step, how.window_step);
        self.detector.set_score_thresh(how.least_score);
        self.detector.set_max_face_size(largest.unwrap_or(u32::from(u16::MAX)));
        let found = self.detector.detect(&ImageData::new(&self.scaled, width, height));
        let (scale_x, scale_y) = (area.width as f32 / width as f32, area.height as f32 / height as f32);
        let faces = found.iter().map(|face| FaceBox {
            x: area.x as f32 + face.bbox().x() as f32 * scale_x,
            y: area.y as f32 + face.bbox().y() as f32 * scale_y,
            width: face.bbox().width() as f32 * scale_x,
            height: face.bbox().height() as f32 * scale_y,
            score: face.score() as f32,
        });
        Ok(faces.filter(|face| face.width >= 1.0 && face.height >= 1.0).collect())
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
        let mut detector = FaceDetector::new(SmallestFace::Pixels(400)).expect("detector");
        assert!(detector.detect(&GrayImage::new(100, 100)).expect("no failure").is_empty());
        assert!(FaceDetector::new(SmallestFace::Pixels(0)).is_err(), "a face without a size");
    }
}
