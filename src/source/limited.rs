//! The first frames of a source, for `--frames`: what comes after them is not even decoded.

use anyhow::Result;

use super::{Next, Source, SourceInfo};
use crate::flow::frame::Frame;

/// A source that ends after a number of frames.
pub struct LimitedSource<'a> {
    inner: &'a mut dyn Source,
    left: u64,
}

impl<'a> LimitedSource<'a> {
    /// At most this many frames of a source.
    pub fn new(inner: &'a mut dyn Source, frames: u64) -> Self {
        Self { inner, left: frames }
    }
}

impl Source for LimitedSource<'_> {
    fn info(&self) -> &SourceInfo {
        self.inner.info()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.inner.next_frame()
    }

    fn poll(&mut self) -> Result<Next> {
        if self.left == 0 {
            return Ok(Next::End);
        }
        let next = self.inner.poll()?;
        self.left -= u64::from(matches!(next, Next::Frame(_)));
        Ok(next)
    }

    fn warnings(&mut self) -> Vec<String> {
        self.inner.warnings()
    }

    fn close(&mut self) {
        self.inner.close();
    }
}
