//! Labelled faces: what a sample is, which part of a data set it belongs to, and how copies across parts are found.
//!
//! A data set is read in three steps. A format lists its pictures with what is known of them (`ferplus`, `csv`, `folders`,
//! `kdef`, `manifest`; `format` finds which it is); they are dealt out to training, validation and test (`split`); then the pictures are
//! opened, and the faces in them cut out (`pictures`, `cache`). This module owns the result and the rules that hold for every
//! format. Every picture is grey, `input.size` squared, and what `live` would make its input of.

pub(crate) mod augment;
mod cache;
mod class_map;
mod csv;
pub(crate) mod degrade;
mod ferplus;
mod folders;
mod format;
mod kdef;
mod labels;
mod listing;
mod manifest;
mod options;
mod pictures;
mod sample;
pub(crate) mod settings;
mod spec;
mod split;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use image::GrayImage;
use sha2::{Digest, Sha256};

pub use self::class_map::ClassMap;
use self::listing::{Entry, Listing, count, some_of};
pub use self::options::{DataOptions, FacesMode, Format, Labels, View};
use self::pictures::Outcome;
use self::sample::top;
pub use self::sample::{Part, Sample};
pub(crate) use self::sample::{Target, certain};
pub use self::spec::DataSpec;
pub use self::split::{SplitBy, SplitRule};
use crate::flow::emotion::Emotion;
use crate::system::files::write_whole;

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
    /// For people: how the parts were made. `own` is the data's own way.
    pub split: String,
    /// What the network learns from.
    pub train: Vec<Sample>,
    /// What choices are made on: the best epoch, the settings.
    pub validation: Vec<Sample>,
    /// What the final figure is measured on, once. Empty where neither data nor rule give a test part.
    pub test: Vec<Sample>,
    /// Pictures that are left out because no face was found in them.
    pub missed: Vec<Missed>,
    /// How many exact copies were left out.
    pub copies: usize,
    /// What a person should know before trusting the figures, a sentence each.
    pub warnings: Vec<String>,
}

impl Dataset {
    /// Reads the data set in a folder, or FER2013 in a .csv file. A part may be empty: whoever needs it complains.
    ///
    /// # Errors
    /// When the folder can't be read, is in no known format, names a class that emocam doesn't know, can't be split as asked
    /// for, or has pictures for a part of which none can be read, or none with a face in the whole set.
    pub fn load(path: &Path, options: &DataOptions) -> Result<Self> {
        options.input.check()?;
        let Listing { name, entries, mut warnings } = format::list(path, options)?;
        let (parts, how) = split::deal(&entries, options.split, options.seed, &mut warnings)?;
        // What raters agree too little on to measure with may still be trained on, and the other way round.
        let dealt = entries.into_iter().zip(parts);
        let (entries, parts): (Vec<_>, Vec<_>) = dealt.filter(|(entry, part)| entry.target(*part).is_some()).unzip();

        let outcomes = pictures::read(&entries, options, &mut warnings)?;
        let mut dataset = Self { name, split: how, warnings, ..Self::default() };
        dataset.take_in(path, entries, &parts, outcomes)?;
        dataset.warnings.extend(dataset.contradictions());
        dataset.remove_copies();
        dataset.train.iter_mut().for_each(|sample| sample.target = taught(&sample.target, options));
        for part in Part::ALL {
            dataset.warnings.extend(warning_of_part(part, dataset.part(part), parts.contains(&part)));
        }
        Ok(dataset)
    }

    /// Sorts what came of the pictures into samples, missed and unreadable ones.
    fn take_in(&mut self, path: &Path, entries: Vec<Entry>, parts: &[Part], outcomes: Vec<Outcome>) -> Result<()> {
        let total = entries.len();
        let mut unreadable: Vec<(Part, String)> = Vec::new();
        for ((entry, &part), outcome) in entries.into_iter().zip(parts).zip(outcomes) {
            let Some(target) = entry.target(part) else { continue };
            let Entry { name, subject, votes, .. } = entry;
            match outcome {
                Outcome::Face(image) => {
                    let samples = match part {
                        Part::Train => &mut self.train,
                        Part::Validation => &mut self.validation,
                        Part::Test => &mut self.test,
                    };
                    samples.push(Sample { name, image, target, votes, subject });
                }
                Outcome::NoFace => self.missed.push(Missed { part, name, label: top(&target) }),
                Outcome::Unreadable(error) => unreadable.push((part, format!("{name} ({error:#})"))),
            }
        }
        for part in Part::ALL {
            let (expected, failed) = (of_part(parts, part), unreadable.iter().filter(|(of, _)| *of == part).count());
            if let Some((_, first)) = unreadable.iter().find(|(of, _)| *of == part).filter(|_| failed == expected) {
                let path = path.display();
                bail!("{path}: no picture for {part} can be read ({failed} of {expected} failed): {first}");
            }
        }
        if !unreadable.is_empty() {
            let names: Vec<&String> = unreadable.iter().map(|(_, name)| name).collect();
            let warning = format!("could not be read and are left out: {}", some_of(&names));
            self.warnings.push(format!("{} of {total} {warning}", count(unreadable.len(), "picture")));
        }
        self.note_missed(path, total)
    }

    fn note_missed(&mut self, path: &Path, total: usize) -> Result<()> {
        let missed = self.missed.len();
        ensure!(
            missed == 0 || !(self.train.is_empty() && self.validation.is_empty() && self.test.is_empty()),
            "{}: no face was found in any picture ({missed}); if they are faces already, say --faces whole",
            path.display()
        );
        if missed > 0 {
            let parts: Vec<Part> = self.missed.iter().map(|missed| missed.part).collect();
            let per_part = Part::ALL.map(|part| format!("{part} {}", of_part(&parts, part))).join(", ");
            let names: Vec<&String> = self.missed.iter().map(|missed| &missed.name).collect();
            self.warnings.push(format!(
                "{missed} of {total} pictures left out because no face was found in them ({per_part}): {}",
                some_of(&names)
            ));
        }
        Ok(())
    }

    /// The samples of one part.
    pub fn part(&self, part: Part) -> &[Sample] {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }

    /// Lists the pictures in which no face was found, in `missed.csv` in a folder, where there are any.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write_missed(&self, folder: &Path) -> Result<()> {
        if self.missed.is_empty() {
            return Ok(());
        }
        let mut table = ::csv::Writer::from_writer(Vec::new());
        table.write_record(["name", "label", "part"])?;
        for Missed { part, name, label } in &self.missed {
            table.write_record([name, label.name(), part.name()])?;
        }
        write_whole(&folder.join("missed.csv"), &table.into_inner().context("a table in memory")?)
    }

    /// What to say of pictures that are there several times, as different emotions.
    fn contradictions(&self) -> Option<String> {
        let mut seen = HashMap::new();
        let mut names = Vec::new();
        for sample in self.test.iter().chain(&self.validation).chain(&self.train) {
            let (label, first) = *seen.entry(picture_hash(&sample.image)).or_insert((sample.label(), &sample.name));
            if label != sample.label() {
                names.push(format!("{} ({}) and {first} ({label})", sample.name, sample.label()));
            }
        }
        (!names.is_empty()).then(|| {
            let are =
                format!("{} as another emotion, too, and count as what is named second", count(names.len(), "picture"));
            format!("{are}: {}", some_of(&names))
        })
    }

    /// Leaves out of the training pictures those that are among others, and returns how many they were.
    pub(crate) fn leave_out(&mut self, others: &HashSet<[u8; 32]>) -> usize {
        let before = self.train.len();
        self.train.retain(|sample| !others.contains(&picture_hash(&sample.image)));
        before - self.train.len()
    }

    /// Leaves out each picture whose pixels stand in the test split, in validation, or earlier in its own split: a figure
    /// measured on pictures that were trained on is inflated.
    fn remove_copies(&mut self) {
        let mut seen = HashSet::new();
        for samples in [&mut self.test, &mut self.validation, &mut self.train] {
            let before = samples.len();
            samples.retain(|sample| seen.insert(picture_hash(&sample.image)));
            self.copies += before - samples.len();
        }
    }

    /// SHA-256 over pictures and targets of training and validation in their order, in hexadecimal: what decides a run.
    pub(crate) fn order_hash(&self) -> String {
        let mut hash = Sha256::new();
        for sample in self.train.iter().chain(&self.validation) {
            hash.update(picture_hash(&sample.image));
            sample.target.iter().for_each(|share| hash.update(share.to_le_bytes()));
        }
        hex::encode(hash.finalize())
    }

    /// SHA-256 over which picture is in which part, in hexadecimal. Weights were trained and measured on the very same
    /// parts where it is the one on their card.
    pub fn split_hash(&self) -> String {
        let mut hash = Sha256::new();
        for part in Part::ALL {
            let mut pictures: Vec<_> = self.part(part).iter().map(|sample| picture_hash(&sample.image)).collect();
            pictures.sort_unstable();
            hash.update(part.name());
            pictures.iter().for_each(|picture| hash.update(picture));
        }
        hex::encode(hash.finalize())
    }
}

/// What a picture for training counts as.
fn taught(target: &Target, options: &DataOptions) -> Target {
    let target = match options.labels {
        Labels::Soft => *target,
        Labels::Hard => certain(top(target)),
    };
    target.map(|share| share * options.trust + (1.0 - options.trust) / Emotion::COUNT as f32)
}

fn of_part(parts: &[Part], part: Part) -> usize {
    parts.iter().filter(|&&of| of == part).count()
}

/// What is missing in a part: all of it, though there were pictures, or whole classes.
fn warning_of_part(part: Part, samples: &[Sample], had_pictures: bool) -> Option<String> {
    if samples.is_empty() {
        return had_pictures.then(|| format!("no picture for {part} is left"));
    }
    let mut has = [false; Emotion::COUNT];
    samples.iter().for_each(|sample| has[sample.label().index()] = true);
    let missing: Vec<_> = Emotion::ALL.into_iter().filter(|emotion| !has[emotion.index()]).map(Emotion::name).collect();
    (!missing.is_empty()).then(|| format!("no picture for {part} shows {}", missing.join(" or ")))
}

/// A picture's number: the start of its hash.
pub fn picture_number(sample: &Sample) -> u32 {
    let [a, b, c, d, ..] = picture_hash(&sample.image);
    u32::from_le_bytes([a, b, c, d])
}

/// SHA-256 of a picture's size and pixels.
pub(crate) fn picture_hash(image: &GrayImage) -> [u8; 32] {
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
        Sample {
            name: gray.to_string(),
            image: GrayImage::from_pixel(4, 4, Luma([gray])),
            target: [0.0; 7],
            votes: None,
            subject: None,
        }
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
