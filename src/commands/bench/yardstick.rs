//! What other figures are measured by: one search of a whole frame of 640x480 for faces of 40 pixels and more, by both
//! detectors.
//!
//! It is what any program would spend on each frame that runs the same detectors without a thought. Frames of other sizes
//! are scaled to that one, so the yardstick has the same length for all sources of like content.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use image::RgbImage;
use image::imageops::{FilterType, resize};

use super::playback::frame_rate;
use emocam::detect::{FaceDetector, Picture, SmallestFace};
use emocam::network::preprocess::gray_from_rgb;
use emocam::source::SourceSpec;

/// What is scanned, in pixels.
const SIZE: (u32, u32) = (640, 480);

/// The funnel's own window, in pixels: nothing is scaled.
const SMALLEST_FACE: SmallestFace = SmallestFace::Pixels(40);

/// How many scans are timed in one go: enough for a median of all that bears an interruption or two.
const SCANS: usize = 3;

/// Scans the first frame of a source.
pub(super) struct Yardstick {
    frame: RgbImage,
    /// Width and height of the source's frames.
    pub(super) source_size: (u32, u32),
    /// Frames a second at which the source is played.
    pub(super) source_fps: f64,
    times: Vec<Duration>,
}

impl Yardstick {
    pub(super) fn new(source: &SourceSpec) -> Result<Self> {
        let mut opened = source.open()?;
        let source_fps = frame_rate(opened.info());
        let frame = opened.next_frame()?.with_context(|| format!("{source} has no frames"))?;
        let source_size = (frame.width, frame.height);
        let frame =
            RgbImage::from_raw(frame.width, frame.height, frame.rgb.to_vec()).context("a frame of another size")?;
        let frame = resize(&frame, SIZE.0, SIZE.1, FilterType::Triangle);
        Ok(Self { frame, source_size, source_fps, times: Vec::new() })
    }

    /// Times some scans: one, and more as long as `patience` lasts.
    pub(super) fn scan(&mut self, patience: Duration) -> Result<()> {
        // Made anew each time, so that it keeps no memory while others are measured.
        let mut detector = FaceDetector::new(SMALLEST_FACE)?;
        let gray = gray_from_rgb(&self.frame, self.frame.width(), self.frame.height())?;
        let begun = Instant::now();
        for done in 0..SCANS {
            if done > 0 && begun.elapsed() >= patience {
                break;
            }
            let start = Instant::now();
            detector.detect(Picture { rgb: &self.frame, gray: &gray })?;
            self.times.push(start.elapsed());
        }
        Ok(())
    }

    /// The median of all scans so far; 0 without any.
    pub(super) fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_all_scans_counts() {
        let mut yardstick = Yardstick::new(&SourceSpec::Demo).expect("demo");
        assert_eq!((yardstick.source_size, yardstick.source_fps), ((640, 480), 30.0));
        assert_eq!(yardstick.median(), Duration::ZERO);
        // Blank and tiny, because a scan of a real frame takes seconds in a build for tests.
        yardstick.frame = RgbImage::new(40, 40);
        yardstick.scan(Duration::ZERO).expect("a scan");
        assert_eq!(yardstick.times.len(), 1);
        yardstick.scan(Duration::MAX).expect("scans");
        assert_eq!(yardstick.times.len(), 1 + SCANS);
        yardstick.times = [5, 1, 9].map(Duration::from_millis).to_vec();
        assert_eq!(yardstick.median(), Duration::from_millis(5));
    }
}
