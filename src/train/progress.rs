//! A bar for people who watch a run: pictures a second, and the time left of the whole run.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A bar over this many pictures, `done` of which are: on standard error where that is a terminal, else nothing. It goes
/// when it is dropped.
pub(super) fn bar(pictures: usize, done: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {per_sec} (images), {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(pictures as u64).with_style(style).with_position(done as u64);
    // What an earlier process did says nothing about the speed of this one.
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_secs(1));
    bar.with_finish(ProgressFinish::AndClear)
}

/// Writes a line without the bar in its way.
pub(super) fn say(bar: &ProgressBar, log: &mut dyn Write, line: &str) -> Result<()> {
    bar.suspend(|| writeln!(log, "{line}"))?;
    Ok(log.flush()?)
}
