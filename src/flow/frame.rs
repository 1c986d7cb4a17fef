//! A picture on its way through the pipeline, and where a face is in it.
//!
//! Coordinates everywhere: pixels, origin at the top left corner of the frame, x to the right, y down.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most pixels of one picture that emocam takes in: 64 megapixels, twice an 8K video frame.
///
/// A frame of this size takes 192 MB, and the pipeline holds a handful of frames at a time.
pub const MAX_PIXELS: u64 = 64 * 1024 * 1024;

/// One picture of a source. It is never changed: what is drawn goes onto a copy.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Position in the source, counted from 0; frames that were dropped leave gaps.
    pub id: u64,
    /// Presentation time, counted from the source's first frame.
    pub pts: Duration,
    /// How long it is shown, where the source says so; else until the next one.
    pub duration: Option<Duration>,
    /// When the frame was captured, where a camera's driver says so, else when it was handed to the program; latency is
    /// counted from here.
    pub captured_at: Instant,
    /// Counts how often a camera was away before it. Faces of different scenes have nothing to do with each other.
    pub scene: u32,
    /// The file that it comes from, as people know it, where the source is made of several.
    pub file: Option<Arc<str>>,
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// RGB8, row-major, `3 * width * height` bytes.
    pub rgb: Arc<[u8]>,
}

impl Frame {
    /// A frame that has just come, of which no more is known.
    pub fn new(id: u64, pts: Duration, (width, height): (u32, u32), rgb: Arc<[u8]>) -> Self {
        Self { id, pts, duration: None, captured_at: Instant::now(), scene: 0, file: None, width, height, rgb }
    }
}

/// A face as it was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// Where it is.
    pub bounds: FaceBox,
    /// Where its parts are, where that is known.
    pub points: Option<FacePoints>,
}

impl From<FaceBox> for Face {
    /// A face of which only the place is known.
    fn from(bounds: FaceBox) -> Self {
        Self { bounds, points: None }
    }
}

/// Where the parts of a face are: x and y, in frame pixels. Right and left are the person's own.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct FacePoints {
    pub right_eye: [f32; 2],
    pub left_eye: [f32; 2],
    pub nose: [f32; 2],
    pub mouth: [f32; 2],
    pub right_ear: [f32; 2],
    pub left_ear: [f32; 2],
}

impl FacePoints {
    /// The points' names, in the order in which data have them.
    pub const NAMES: [&str; 6] = ["right_eye", "left_eye", "nose", "mouth", "right_ear", "left_ear"];

    /// In the order of the names.
    pub fn to_array(self) -> [[f32; 2]; 6] {
        [self.right_eye, self.left_eye, self.nose, self.mouth, self.right_ear, self.left_ear]
    }

    /// From points in the order of the names.
    pub fn from_array([right_eye, left_eye, nose, mouth, right_ear, left_ear]: [[f32; 2]; 6]) -> Self {
        Self { right_eye, left_eye, nose, mouth, right_ear, left_ear }
    }
}

/// A rectangle around a face, in frame pixels. It may reach over the frame's edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceBox {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
    /// How sure the detector is that this is a face; it has no upper bound and is no probability.
    pub score: f32,
}
