//! A labelled face, and the part of a data set that it belongs to.

use std::fmt;

use image::GrayImage;

use crate::flow::emotion::Emotion;

/// Shares of the emotions in label order, summing to 1.
pub(crate) type Target = [f32; Emotion::COUNT];

/// One labelled face.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The picture's path in its data set, or what else tells it from the others there.
    pub name: String,
    /// The face, framed as in FER2013.
    pub image: GrayImage,
    /// What it shows, as shares that sum to 1 (raters disagree).
    pub target: [f32; Emotion::COUNT],
    /// What share of its raters' votes for the seven emotions each got, where the data say so. They may be divided where the
    /// target is sure.
    pub votes: Option<[f32; Emotion::COUNT]>,
    /// Who it is, where the data say so.
    pub subject: Option<String>,
}

impl Sample {
    /// The emotion with the largest share.
    pub fn label(&self) -> Emotion {
        top(&self.target)
    }

    /// A picture of one emotion without doubt.
    #[cfg(test)]
    pub(crate) fn sure(image: GrayImage, emotion: Emotion) -> Self {
        Self { name: String::new(), image, target: certain(emotion), votes: None, subject: None }
    }
}

/// All of the share for one emotion.
pub(crate) fn certain(emotion: Emotion) -> Target {
    let mut target = [0.0; Emotion::COUNT];
    target[emotion.index()] = 1.0;
    target
}

/// The emotion with the largest share; of equal ones the first in label order.
pub(super) fn top(target: &[f32; Emotion::COUNT]) -> Emotion {
    let share = |emotion: Emotion| target[emotion.index()];
    Emotion::ALL.into_iter().fold(Emotion::Anger, |best, next| if share(next) > share(best) { next } else { best })
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the network learns from.
    Train,
    /// What choices are made on.
    Validation,
    /// What the final figure is measured on.
    Test,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name as shown to users.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
