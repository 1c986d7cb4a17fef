//! A source that is played for a while, over and over, at a camera's pace or at none.
//!
//! At a pace, a frame is taken to be captured when it is due. One that comes out of this source late, because the machine was
//! busy, is as old as it would be had a camera taken it: the delay counts as latency.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Extent;
use emocam::flow::frame::Frame;
use emocam::source::{LoopingSource, Source, SourceInfo};

/// The rate of a source that names none, in frames a second: that of most webcams.
const CAMERA_RATE: f64 = 30.0;

/// Rates that a camera may have; of a file that claims another, the nearest is taken.
const RATES: (f64, f64) = (1.0, 240.0);

/// Frames a second of a source when it is played as if from a camera.
pub(super) fn frame_rate(source: &SourceInfo) -> f64 {
    source.fps.unwrap_or(CAMERA_RATE).clamp(RATES.0, RATES.1)
}

/// A source in a loop, for a while.
pub(super) struct Playback {
    inner: LoopingSource,
    extent: Extent,
    begun: Option<Instant>,
    given: u64,
    /// The time between two frames, where there is a pace.
    interval: Option<Duration>,
    due: Instant,
    passes: u64,
}

impl Playback {
    /// `rate` is in frames a second.
    pub(super) fn new(inner: LoopingSource, extent: Extent, rate: Option<f64>) -> Self {
        let interval = rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        Self { inner, extent, begun: None, given: 0, interval, due: Instant::now(), passes: 0 }
    }

    /// Waits until the frame is due.
    fn wait(&mut self, frame: &mut Frame, interval: Duration) {
        // No camera opens a file anew: that time is nobody's delay.
        if self.inner.passes() != self.passes {
            self.passes = self.inner.passes();
            self.due = self.due.max(Instant::now());
        }
        thread::sleep(self.due.saturating_duration_since(Instant::now()));
        frame.captured_at = self.due;
        self.due += interval;
    }
}

impl Source for Playback {
    fn info(&self) -> &SourceInfo {
        self.inner.info()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        // One frame at least: without any there is nothing to measure.
        if self.given >= self.extent.frames || (self.given > 0 && begun.elapsed() >= self.extent.length) {
            return Ok(None);
        }
        let Some(mut frame) = self.inner.next_frame()? else { return Ok(None) };
        self.given += 1;
        if let Some(interval) = self.interval {
            self.wait(&mut frame, interval);
        }
        Ok(Some(frame))
    }

    fn close(&mut self) {
        self.inner.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emocam::source::SourceSpec;

    fn demo(length: Duration, frames: u64, rate: Option<f64>) -> Vec<Frame> {
        let source = LoopingSource::open(SourceSpec::Demo).expect("demo");
        let mut source = Playback::new(source, Extent { length, frames }, rate);
        std::iter::from_fn(|| source.next_frame().expect("frame")).collect()
    }

    #[test]
    fn it_ends_with_its_frames_or_its_time_and_gives_one_at_least() {
        assert_eq!(demo(Duration::MAX, 3, None).len(), 3);
        assert_eq!(demo(Duration::ZERO, 3, None).len(), 1);
    }

    #[test]
    fn frames_are_captured_when_they_are_due() {
        let begun = Instant::now();
        let frames = demo(Duration::MAX, 4, Some(20.0));
        assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
        for pair in frames.windows(2) {
            assert_eq!(pair[1].captured_at - pair[0].captured_at, Duration::from_millis(50));
        }
    }

    #[test]
    fn impossible_rates_become_possible_ones() {
        let rate = |fps| frame_rate(&SourceInfo { fps, ..Default::default() });
        assert_eq!([None, Some(25.0), Some(0.0), Some(1e9)].map(rate), [30.0, 25.0, 1.0, 240.0]);
    }
}
