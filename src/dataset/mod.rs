//! Labelled faces: what a sample is, which split it belongs to, and how copies across splits are found.
//!
//! Owns the types and the rules that hold for every format. Each format lives in a file of its own.

pub mod augment;
mod ferplus;

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Result, bail};
use image::GrayImage;
use sha2::{Digest, Sha256};

use crate::emotion::Emotion;

/// One labelled face.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The file's name in its data set.
    pub name: String,
    /// The face, framed as in FER2013.
    pub image: GrayImage,
    /// What it shows, as shares that sum to 1 (raters disagree).
    pub target: [f32; Emotion::COUNT],
}

impl Sample {
    /// The emotion with the largest share.
    pub fn label(&self) -> Emotion {
        let mut best = Emotion::Anger;
        for emotion in Emotion::ALL {
            if self.target[emotion.index()] > self.target[best.index()] {
                best = emotion;
            }
        }
        best
    }
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
}

/// A picture in which no face was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The part that it would be in.
    pub part: Part,
    /// As [`Sample::name`].
    pub name: String,
    /// What it shows.
    pub label: Emotion,
}

/// Labelled faces in three parts that share no picture.
#[derive(Debug, Default)]
pub struct Dataset {
    /// For people: what this is.
    pub name: String,
    /// What the network learns from.
    pub train: Vec<Sample>,
    /// What choices are made on: the best epoch, the settings.
    pub validation: Vec<Sample>,
    /// What the final figure is measured on, once.
    pub test: Vec<Sample>,
    /// Pictures that are left out because no face was found in them.
    pub missed: Vec<Missed>,
    /// How many exact copies were left out.
    pub copies: usize,
}

impl Dataset {
    /// Reads a data set.
    ///
    /// # Errors
    /// When the folder can't be read, is in no known format, or has a split without pictures.
    pub fn load(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            bail!("{}: no such folder", folder.display());
        }
        let mut dataset = if ferplus::is_ferplus(folder) {
            ferplus::load(folder)?
        } else {
            bail!(
                "{}: expected FER+ (a file {} beside the folders FER2013Train, FER2013Valid and FER2013Test), \
                 found no data set in this format",
                folder.display(),
                ferplus::LABELS
            );
        };
        dataset.remove_copies();
        for (split, samples) in dataset.splits() {
            if samples.is_empty() {
                bail!("{}: no usable pictures for {split}", folder.display());
            }
        }
        Ok(dataset)
    }

    /// The splits with their names.
    pub fn splits(&self) -> [(&'static str, &[Sample]); 3] {
        [("train", &self.train), ("validation", &self.validation), ("test", &self.test)]
    }

    /// The samples of a part.
    pub fn part(&self, part: Part) -> &[Sample] {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }

    /// Leaves out each picture whose pixels stand in the test split, in validation, or earlier in its own split: a figure
    /// measured on pictures that were trained on is inflated.
    fn remove_copies(&mut self) {
        let mut seen = HashSet::new();
        let before = self.train.len() + self.validation.len() + self.test.len();
        for samples in [&mut self.test, &mut self.validation, &mut self.train] {
            samples.retain(|sample| seen.insert(picture_hash(&sample.image)));
        }
        self.copies += before - self.train.len() - self.validation.len() - self.test.len();
    }

    /// SHA-256 over which picture is in which split, in hexadecimal.
    pub fn split_hash(&self) -> String {
        let mut hash = Sha256::new();
        for (split, samples) in self.splits() {
            let mut pictures: Vec<_> = samples.iter().map(|sample| picture_hash(&sample.image)).collect();
            pictures.sort_unstable();
            hash.update(split.as_bytes());
            pictures.iter().for_each(|picture| hash.update(picture));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// SHA-256 of a picture's size and pixels.
fn picture_hash(image: &GrayImage) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(image.width().to_le_bytes());
    hash.update(image.as_raw());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    fn sample(gray: u8) -> Sample {
        Sample { name: gray.to_string(), image: GrayImage::from_pixel(4, 4, Luma([gray])), target: [0.0; 7] }
    }

    #[test]
    fn copies_stay_in_test_then_validation_then_train() {
        let mut dataset = Dataset {
            train: [1, 2, 3, 4, 4].map(sample).into(),
            validation: [2, 3, 5].map(sample).into(),
            test: [3, 6].map(sample).into(),
            ..Default::default()
        };
        dataset.remove_copies();
        let names = |samples: &[Sample]| samples.iter().map(|s| s.name.clone()).collect::<Vec<_>>().join(" ");
        assert_eq!(names(&dataset.train), "1 4");
        assert_eq!(names(&dataset.validation), "2 5");
        assert_eq!(names(&dataset.test), "3 6");
        assert_eq!(dataset.copies, 4);
    }

    #[test]
    fn the_split_hash_depends_on_the_split_and_not_on_the_order() {
        let dataset = |train: &[u8], test: &[u8]| Dataset {
            train: train.iter().map(|&g| sample(g)).collect(),
            test: test.iter().map(|&g| sample(g)).collect(),
            ..Default::default()
        };
        assert_eq!(dataset(&[1, 2], &[3]).split_hash(), dataset(&[2, 1], &[3]).split_hash());
        assert_ne!(dataset(&[1, 2], &[3]).split_hash(), dataset(&[1, 3], &[2]).split_hash());
    }
}
