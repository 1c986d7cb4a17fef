//! FER+: the pictures of FER2013 with the votes of ten raters each (Barsoum et al. 2016,
//! <https://arxiv.org/abs/1608.01041>, labels at <https://github.com/microsoft/FERPlus>).
//!
//! The layout is the published one: `fer2013new.csv` with a vote count per class, and the folders `FER2013Train`,
//! `FER2013Valid` and `FER2013Test` with 48x48 grey PNGs.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::codecs::png::PngDecoder;
use image::{DynamicImage, GrayImage, ImageDecoder};
use rayon::prelude::*;
use serde::Deserialize;

use super::{Dataset, Sample};
use crate::emotion::Emotion;
use crate::files::read_at_most;

/// The file with the votes.
pub(super) const LABELS: &str = "fer2013new.csv";

/// Width and height of every picture.
const SIZE: u32 = 48;

/// The largest picture file that is read; they have 2 kB.
const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// A class that a single rater of ten chose is taken for a slip and gets no share in training.
const LEAST_VOTES: u32 = 2;

/// With this many votes for "not a face" a picture is not trained on.
const MANY_NOT_A_FACE: u32 = 5;

/// One line of the label file.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(rename = "Usage")]
    usage: String,
    #[serde(rename = "Image name")]
    image: String,
    neutral: u32,
    happiness: u32,
    surprise: u32,
    sadness: u32,
    anger: u32,
    disgust: u32,
    fear: u32,
    contempt: u32,
    unknown: u32,
    #[serde(rename = "NF")]
    not_a_face: u32,
}

impl Row {
    /// Votes for the seven emotions, in label order.
    fn votes(&self) -> [u32; Emotion::COUNT] {
        [self.anger, self.disgust, self.fear, self.happiness, self.neutral, self.sadness, self.surprise]
    }

    /// Shares of the votes, without single ones; `None` where most raters saw none of the seven.
    fn training_target(&self) -> Option<[f32; Emotion::COUNT]> {
        let votes = self.votes();
        let kept = votes.map(|v| if v >= LEAST_VOTES { v } else { 0 });
        let sum: u32 = kept.iter().sum();
        let usable =
            sum > 0 && self.not_a_face < MANY_NOT_A_FACE && votes.iter().sum::<u32>() >= self.contempt + self.unknown;
        usable.then(|| kept.map(|v| v as f32 / sum as f32))
    }

    /// All of the share for the class with the most votes; `None` where two share the top or it is none of the seven.
    fn evaluation_target(&self) -> Option<[f32; Emotion::COUNT]> {
        let votes = self.votes();
        let others = [self.contempt, self.unknown, self.not_a_face];
        let top = votes.iter().chain(&others).copied().max()?;
        let unique = votes.iter().chain(&others).filter(|&&v| v == top).count() == 1;
        (unique && votes.contains(&top)).then(|| votes.map(|v| if v == top { 1.0 } else { 0.0 }))
    }
}

/// Whether the folder has the layout of FER+.
pub(super) fn is_ferplus(folder: &Path) -> bool {
    folder.join(LABELS).is_file()
}

/// The three splits: as the label file calls them, and their folders.
const SPLITS: [(&str, &str); 3] =
    [("Training", "FER2013Train"), ("PublicTest", "FER2013Valid"), ("PrivateTest", "FER2013Test")];

/// Reads FER+ with its own splits. Training pictures get soft targets, the others the one label that most raters gave.
pub(super) fn load(folder: &Path) -> Result<Dataset> {
    let labels = folder.join(LABELS);
    for (_, subfolder) in SPLITS {
        let path = folder.join(subfolder);
        ensure!(path.is_dir(), "{}: expected a folder of FER+, found none", path.display());
    }
    let file = File::open(&labels).with_context(|| format!("cannot read {}", labels.display()))?;
    let rows: Vec<Row> = csv::Reader::from_reader(file)
        .deserialize()
        .collect::<Result<_, _>>()
        .with_context(|| format!("{}: not the label file of FER+", labels.display()))?;
    let [train, validation, test] = SPLITS.map(|(usage, subfolder)| {
        rows.par_iter()
            .filter(|row| row.usage == usage && !row.image.is_empty())
            .filter_map(|row| {
                let target = if usage == "Training" { row.training_target() } else { row.evaluation_target() };
                target.map(|target| sample(&folder.join(subfolder).join(&row.image), target))
            })
            .collect::<Result<Vec<_>>>()
    });
    Ok(Dataset { name: "FER+".into(), train: train?, validation: validation?, test: test?, ..Dataset::default() })
}

fn sample(path: &Path, target: [f32; Emotion::COUNT]) -> Result<Sample> {
    let image = picture(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Sample { name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(), image, target })
}

/// Reads a 48x48 picture; its size is checked before its pixels are decoded.
fn picture(path: &Path) -> Result<GrayImage> {
    let bytes = read_at_most(path, MAX_FILE_SIZE)?;
    let decoder = PngDecoder::new(Cursor::new(bytes))?;
    let (width, height) = decoder.dimensions();
    ensure!((width, height) == (SIZE, SIZE), "expected {SIZE}x{SIZE} pixels, found {width}x{height}");
    Ok(DynamicImage::from_decoder(decoder)?.into_luma8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seven: [u32; 7], contempt: u32, unknown: u32, not_a_face: u32) -> Row {
        let [anger, disgust, fear, happiness, neutral, sadness, surprise] = seven;
        let (usage, image) = (String::new(), String::new());
        Row { usage, image, neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, not_a_face }
    }

    #[test]
    fn training_targets_are_shares_without_single_votes() {
        let target = row([0, 0, 1, 6, 3, 0, 0], 0, 0, 0).training_target().expect("usable");
        assert_eq!(target, [0.0, 0.0, 0.0, 6.0 / 9.0, 3.0 / 9.0, 0.0, 0.0]);
        assert!(row([1, 1, 1, 1, 1, 1, 1], 3, 0, 0).training_target().is_none(), "single votes only");
        assert!(row([5, 0, 0, 0, 0, 0, 0], 0, 0, 5).training_target().is_none(), "not a face");
        assert!(row([4, 0, 0, 0, 0, 0, 0], 3, 3, 0).training_target().is_none(), "mostly something else");
    }

    #[test]
    fn evaluation_targets_need_a_unique_top_vote_among_the_seven() {
        let target = row([0, 0, 1, 6, 3, 0, 0], 0, 0, 0).evaluation_target().expect("usable");
        assert_eq!(target, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        assert!(row([5, 5, 0, 0, 0, 0, 0], 0, 0, 0).evaluation_target().is_none(), "a tie");
        assert!(row([5, 0, 0, 0, 0, 0, 0], 5, 0, 0).evaluation_target().is_none(), "a tie with contempt");
        assert!(row([3, 0, 0, 0, 0, 0, 0], 7, 0, 0).evaluation_target().is_none(), "contempt");
        assert!(row([0; 7], 0, 0, 0).evaluation_target().is_none(), "no votes");
    }
}
