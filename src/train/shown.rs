//! How often the training pictures of a source are shown.

use std::ops::Range;

use super::config::Sampling;

/// How often pictures of one source are shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    /// Which of the training pictures they are.
    pub(super) range: Range<usize>,
    /// How often each is shown in an epoch, on average.
    pub(super) weight: f64,
    /// How often a picture of a rare emotion is shown.
    pub(super) sampling: Sampling,
}

impl Shown {
    /// How many pictures of it an epoch shows.
    pub(super) fn pictures(&self) -> usize {
        (self.range.len() as f64 * self.weight).round() as usize
    }
}
