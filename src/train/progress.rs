//! A bar for people who watch a run: pictures a second, and the time left of the whole run.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error where that is a terminal, else nothing.
pub(super) struct Progress {
    bar: ProgressBar,
    epochs: usize,
}

impl Progress {
    /// A bar over this many pictures, `done` of which are.
    pub(super) fn new(pictures: usize, done: usize, epochs: usize) -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {per_sec} (images), {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(pictures as u64).with_style(style).with_position(done as u64);
        // What an earlier process did says nothing about the speed of this one.
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_secs(1));
        Self { bar, epochs }
    }

    /// Names the epoch at hand, counted from 1.
    pub(super) fn epoch(&self, epoch: usize) {
        self.bar.set_prefix(format!("[{epoch}/{}]", self.epochs));
    }

    /// Counts pictures.
    pub(super) fn add(&self, pictures: usize) {
        self.bar.inc(pictures as u64);
    }

    /// Writes a line without the bar in its way.
    pub(super) fn say(&self, log: &mut dyn Write, line: &str) -> Result<()> {
        self.bar.suspend(|| writeln!(log, "{line}"))?;
        Ok(log.flush()?)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
