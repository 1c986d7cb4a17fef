//! A progress bar for a source, where standard error is a terminal.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;

use emocam::source::SourceInfo;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// The most letters of a file's name beside the bar, which needs the rest of the line.
const NAME_LENGTH: usize = 24;

/// A bar that counts frames.
pub(crate) struct ProgressView(ProgressBar);

impl ProgressView {
    /// A bar for a source, whose length may be unknown. `number` says which of several it is.
    pub(crate) fn new(info: &SourceInfo, number: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let template = match info.frames {
            Some(_) => "{prefix} {wide_bar} {pos}/{len} frames  {fps} fps  {eta} left",
            None => "{prefix} {spinner} {pos} frames  {fps} fps",
        };
        let fps = |state: &ProgressState, out: &mut dyn Write| _ = write!(out, "{:.0}", state.per_sec());
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(info.frames, ProgressDrawTarget::stderr());
        Self(bar.with_style(style.with_key("fps", fps)).with_prefix(format!("{number}{}", short_name(&info.name))))
    }

    pub(super) fn count(&self) {
        self.0.inc(1);
    }

    /// Says something without the bar in its way.
    pub(super) fn aside(&self, say: impl FnOnce()) {
        self.0.suspend(say);
    }
}

impl Drop for ProgressView {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A file's name without its folders, cut where it is long.
fn short_name(name: &str) -> String {
    let name = Path::new(name).file_name().map_or(name.into(), |name| name.to_string_lossy());
    if name.chars().count() <= NAME_LENGTH {
        return name.into_owned();
    }
    name.chars().take(NAME_LENGTH - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beside_the_bar_are_short() {
        assert_eq!(short_name("demo"), "demo");
        assert_eq!(short_name("/a/folder/with/many/levels/clip.mp4"), "clip.mp4");
        assert_eq!(short_name("/a/crying_to_smiling_640x360.mp4"), "crying_to_smiling_640...");
    }
}
