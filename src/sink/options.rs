//! How outputs are written: what a user may say of all of them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::part::{self, Leftover};
use super::record::{self, Record};

/// How outputs are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputOptions<'a> {
    /// Overwrites what exists.
    pub force: bool,
    /// Overwrites what an earlier run of this very job completed; its record tells.
    pub again: bool,
    /// The source is shown as it comes, and what is lost can't be had again. Then data have their name from the start, so
    /// that others can follow them, and a recording that an earlier run left is kept. Else each file takes its name when
    /// it is whole, and replaces what an earlier run of the same job left of it.
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
    /// What makes the outputs; they keep it.
    pub record: Option<&'a Record>,
}

impl OutputOptions<'_> {
    /// Whether what is there under the name of an output is replaced, which was found to be its own where that matters.
    pub(super) fn overwrites(self, path: &Path) -> bool {
        self.force || (self.again && fs::symlink_metadata(path).is_ok())
    }

    /// What is to be done with what lies where a file is in the making: only what this very job left is replaced unasked.
    pub(super) fn leftover(self, path: &Path) -> Leftover {
        if self.force || (!self.live && self.is_own_leftover(path)) { Leftover::Replace } else { Leftover::Keep }
    }

    fn is_own_leftover(self, path: &Path) -> bool {
        let part = part::part_path(path);
        let Some(length) = self.record.and(fs::metadata(&part).ok()).map(|file| file.len()) else { return false };
        // Data that were whole, but did not get their name, have a length that is known.
        let of_data = Record::inside(&record::beside(path)).filter(|record| record.bytes.is_none_or(|it| it == length));
        let found = Record::inside(&part).or(of_data);
        found.is_some_and(|found| self.record.is_some_and(|record| record.is_same_job(&found)))
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
    /// How much of what is shown lies before the first picture that is recorded.
    pub skipped: Duration,
}
