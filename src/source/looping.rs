//! A source that begins again when it ends: for the demo in a window, and for measurements that outlast a file.

use std::time::Duration;

use anyhow::Result;

use super::spec::SourceSpec;
use super::{Source, SourceInfo};
use crate::flow::frame::Frame;

/// The pause between the last frame and the first where the source names no rate.
const DEFAULT_FPS: f64 = 30.0;

/// Opens a source anew each time it ends; ids and times go on.
pub struct LoopingSource {
    spec: SourceSpec,
    inner: Box<dyn Source>,
    info: SourceInfo,
    next_id: u64,
    passes: u64,
    /// Time of the current pass's start, and of the end of the frame shown last.
    offset: Duration,
    end: Duration,
}

impl LoopingSource {
    /// Opens the source for its first pass.
    ///
    /// # Errors
    /// As [`SourceSpec::open`].
    pub fn open(spec: SourceSpec) -> Result<Self> {
        let inner = spec.open()?;
        let info = SourceInfo { frames: None, ..inner.info().clone() };
        Ok(Self { spec, inner, info, next_id: 0, passes: 1, offset: Duration::ZERO, end: Duration::ZERO })
    }

    /// How many times the source was opened.
    pub fn passes(&self) -> u64 {
        self.passes
    }
}

impl Source for LoopingSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let mut frame = self.inner.next_frame()?;
        if frame.is_none() {
            self.inner = self.spec.open()?;
            self.passes += 1;
            self.offset = self.end;
            // A source without a single frame ends here, instead of being opened for ever.
            frame = self.inner.next_frame()?;
        }
        Ok(frame.map(|frame| {
            let pts = self.offset + frame.pts;
            let id = self.next_id;
            self.next_id += 1;
            self.end = pts + Duration::from_secs_f64(1.0 / self.info.fps.unwrap_or(DEFAULT_FPS).max(1.0));
            Frame { id, pts, ..frame }
        }))
    }

    fn close(&mut self) {
        self.inner.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_go_on_over_the_joint() {
        let mut once = SourceSpec::Demo.open().expect("demo");
        let length = std::iter::from_fn(|| once.next_frame().expect("frame")).count() as u64;
        let mut source = LoopingSource::open(SourceSpec::Demo).expect("demo");
        let mut last = None;
        for id in 0..length + 3 {
            let frame = source.next_frame().expect("frame").expect("no end");
            assert_eq!(frame.id, id);
            assert!(last.is_none_or(|last| frame.pts > last), "time goes on");
            last = Some(frame.pts);
        }
        assert_eq!(source.passes(), 2);
    }
}
