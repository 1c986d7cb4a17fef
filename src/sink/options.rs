//! How outputs are written: what a user may say of all of them.

use std::path::Path;
use std::time::Duration;

use super::part::Leftover;

/// How outputs are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputOptions<'a> {
    /// Overwrites what exists.
    pub force: bool,
    /// The source is shown as it comes, and what is lost can't be had again. Then data have their name from the start, so
    /// that others can follow them, and a recording that an earlier run left is kept. Else each file takes its name when
    /// it is whole, and replaces what an earlier run left of it.
    pub live: bool,
    /// The source is a camera: data say of each frame what the clock on the wall showed.
    pub wall_clock: bool,
    /// A table has a row for a frame without faces, too.
    pub empty_rows: bool,
    /// What the source is called.
    pub source: Option<&'a str>,
    /// How well a video shows what was seen.
    pub quality: Quality,
    /// Whose sound a video gets.
    pub sound: Option<Sound<'a>>,
}

impl OutputOptions<'_> {
    pub(super) fn leftover(self) -> Leftover {
        if self.live && !self.force { Leftover::Keep } else { Leftover::Replace }
    }
}

/// How well a recording shows what was seen: how coarsely detail is coded, 0 (not at all) to 51, as x264's `crf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality(pub u8);

impl Default for Quality {
    /// Small letters stay sharp; at 26 they get a fringe.
    fn default() -> Self {
        Self(22)
    }
}

/// Where sound is to come from.
#[derive(Clone, Copy, Debug)]
pub struct Sound<'a> {
    /// The video file.
    pub file: &'a Path,
    /// When its first picture is shown, in its own time.
    pub start: Duration,
}
