//! FER+: the pictures of FER2013 with the votes of ten raters each (Barsoum et al. 2016,
//! <https://arxiv.org/abs/1608.01041>, labels at <https://github.com/microsoft/FERPlus>).
//!
//! The layout is the published one: `fer2013new.csv` with a vote count per class, and the folders `FER2013Train`,
//! `FER2013Valid` and `FER2013Test` with 48x48 grey PNGs. Training pictures get soft targets, pictures to measure on the one
//! label that most raters gave, and the votes beside it.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::csv::part_from_usage;
use super::listing::{Entry, Listing, Picture};
use super::sample::{Part, Target};
use crate::flow::emotion::Emotion;
use crate::system::files::read_at_most;

/// The file with the votes.
pub(super) const LABELS: &str = "fer2013new.csv";

/// The largest file of votes that is read, in bytes; the published one has 1.9 MB.
const MAX_LABELS: u64 = 64 * 1024 * 1024;

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
    neutral: u16,
    happiness: u16,
    surprise: u16,
    sadness: u16,
    anger: u16,
    disgust: u16,
    fear: u16,
    contempt: u16,
    unknown: u16,
    #[serde(rename = "NF")]
    not_a_face: u16,
}

impl Row {
    /// Votes for the seven emotions, in label order.
    fn votes(&self) -> [u32; Emotion::COUNT] {
        [self.anger, self.disgust, self.fear, self.happiness, self.neutral, self.sadness, self.surprise].map(u32::from)
    }

    /// Shares of all votes for the seven; `None` where there are none.
    fn shares(&self) -> Option<Target> {
        let votes = self.votes();
        let sum: u32 = votes.iter().sum();
        (sum > 0).then(|| votes.map(|v| v as f32 / sum as f32))
    }

    /// Shares of the votes, without single ones; `None` where most raters saw none of the seven.
    fn training_target(&self) -> Option<Target> {
        let votes = self.votes();
        let kept = votes.map(|v| if v >= LEAST_VOTES { v } else { 0 });
        let sum: u32 = kept.iter().sum();
        let usable = sum > 0
            && u32::from(self.not_a_face) < MANY_NOT_A_FACE
            && votes.iter().sum::<u32>() >= u32::from(self.contempt) + u32::from(self.unknown);
        usable.then(|| kept.map(|v| v as f32 / sum as f32))
    }

    /// All of the share for the class with the most votes; `None` where two share the top or it is none of the seven.
    fn evaluation_target(&self) -> Option<Target> {
        let votes = self.votes();
        let others = [self.contempt, self.unknown, self.not_a_face].map(u32::from);
        let top = votes.iter().chain(&others).copied().max()?;
        let unique = votes.iter().chain(&others).filter(|&&v| v == top).count() == 1;
        (unique && votes.contains(&top)).then(|| votes.map(|v| if v == top { 1.0 } else { 0.0 }))
    }
}

/// The folders of the three parts.
const FOLDERS: [(&str, Part); 3] =
    [("FER2013Train", Part::Train), ("FER2013Valid", Part::Validation), ("FER2013Test", Part::Test)];

/// Lists the pictures that are fit for their own part or another one.
pub(super) fn list(folder: &Path) -> Result<Listing> {
    let labels = folder.join(LABELS);
    for (subfolder, _) in FOLDERS {
        let path = folder.join(subfolder);
        ensure!(path.is_dir(), "{}: expected a folder of FER+, found none", path.display());
    }
    let bytes = read_at_most(&labels, MAX_LABELS).with_context(|| format!("cannot read {}", labels.display()))?;
    let rows: Vec<Row> = csv::Reader::from_reader(Cursor::new(bytes))
        .deserialize()
        .collect::<Result<_, _>>()
        .with_context(|| format!("{}: not the label file of FER+", labels.display()))?;
    let mut entries = Vec::new();
    // Rows without a picture are pictures that were taken out of FER2013.
    for row in rows.iter().filter(|row| !row.image.is_empty()) {
        let part = part_from_usage(&row.usage).with_context(|| format!("{}: {}", labels.display(), row.image))?;
        let subfolder = FOLDERS.iter().find(|(_, of)| *of == part).map_or("", |(folder, _)| folder);
        let (training, measuring) = (row.training_target(), row.evaluation_target());
        if training.is_some() || measuring.is_some() {
            let picture = Picture::FaceFile(folder.join(subfolder).join(&row.image));
            let name = format!("{subfolder}/{}", row.image);
            let votes = row.shares();
            entries.push(Entry { name, picture, training, measuring, votes, subject: None, part: Some(part) });
        }
    }
    Ok(Listing { name: "FER+".into(), entries, warnings: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seven: [u16; 7], contempt: u16, unknown: u16, not_a_face: u16) -> Row {
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

    #[test]
    fn rows_become_entries_with_a_target_for_each_use() {
        let folder = tempfile::tempdir().unwrap();
        let labels = |rows: &str| {
            let header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF";
            std::fs::write(folder.path().join(LABELS), format!("{header}\n{rows}")).unwrap();
            list(folder.path())
        };
        assert!(labels("").unwrap_err().to_string().contains("FER2013Train: expected a folder"));
        for (subfolder, _) in FOLDERS {
            std::fs::create_dir(folder.path().join(subfolder)).unwrap();
        }
        let rows = "Training,a.png,5,5,0,0,0,0,0,0,0,0\nTraining,,9,0,0,0,0,0,0,0,0,0\n\
                    PrivateTest,b.png,0,9,1,0,0,0,0,0,0,0\nPublicTest,c.png,0,0,0,0,0,0,0,0,0,10\n";
        let entries = labels(rows).unwrap().entries;
        let found: Vec<_> = entries.iter().map(|e| (&*e.name, e.part.unwrap(), e.measuring.is_some())).collect();
        assert_eq!(found, [("FER2013Train/a.png", Part::Train, false), ("FER2013Test/b.png", Part::Test, true)]);
        assert_eq!(entries[1].votes, Some([0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.1]), "single votes, too");
        assert_eq!((entries[0].label(), entries[1].label()), (Some(Emotion::Happy), Some(Emotion::Happy)));
        let error = format!("{:#}", labels("Trial,a.png,9,0,0,0,0,0,0,0,0,0\n").unwrap_err());
        assert!(error.contains("a.png: expected a Usage of Training") && error.contains("\"Trial\""), "{error}");
    }
}
