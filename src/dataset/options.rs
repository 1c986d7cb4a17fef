//! What a user decides about a data set. Owns the settings and their defaults; what they come to is up to the formats, the
//! split and the reader of pictures.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::class_map::ClassMap;
use super::split::SplitRule;
use crate::network::preprocess::InputSpec;

/// Everything besides the files that decides which samples a data set has. The same options and files give the same samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataOptions {
    /// The format; `None` finds it.
    pub format: Option<Format>,
    /// How training, validation and test pictures are told apart; `None` is the data's own way, or the best there is.
    pub split: Option<SplitRule>,
    /// Names of class folders that are left aside, in any case.
    pub ignored_classes: Vec<String>,
    /// What classes count as whose names don't say it.
    #[serde(default, skip_serializing_if = "ClassMap::is_empty")]
    pub map: ClassMap,
    /// What pictures for training count as.
    #[serde(default)]
    pub labels: Labels,
    /// How far labels are trusted in training, 0 to 1: the rest of a label is spread over all emotions.
    #[serde(default = "fully")]
    pub trust: f32,
    /// Which views of a head are used where the data name them (KDEF).
    pub views: Vec<View>,
    /// Whether faces are looked for in the pictures.
    pub faces: FacesMode,
    /// Seed of the split.
    pub seed: u64,
    /// How faces are cut out: every sample is a picture of `input.size` squared.
    pub input: InputSpec,
    /// Folder for faces that were cut out, so that it is done once. It changes no sample, so it is no part of a run's record.
    #[serde(skip)]
    pub cache: Option<PathBuf>,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            format: None,
            split: None,
            ignored_classes: Vec::new(),
            map: ClassMap::default(),
            labels: Labels::default(),
            trust: fully(),
            views: vec![View::S],
            faces: FacesMode::Auto,
            seed: 0,
            input: InputSpec::default(),
            cache: None,
        }
    }
}

fn fully() -> f32 {
    1.0
}

/// What a picture for training counts as where raters disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Labels {
    /// Each emotion by its share
    #[default]
    Soft,
    /// The emotion with the largest share
    Hard,
}

/// How labelled pictures are kept in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// fer2013new.csv beside FER2013Train, FER2013Valid and FER2013Test
    Ferplus,
    /// A table with the columns emotion, pixels and mostly Usage
    Fer2013Csv,
    /// A folder per class, maybe below train, val and test
    Folders,
    /// File names such as AF01ANS.JPG, in any folders
    Kdef,
    /// manifest.csv or labels.csv, or any table with the columns path and label
    Manifest,
}

/// From where a head is seen, in the letters of KDEF's file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum View {
    /// Straight from the front
    S,
    /// Half left profile
    HL,
    /// Half right profile
    HR,
    /// Full left profile
    FL,
    /// Full right profile
    FR,
}

/// Whether faces are looked for in pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FacesMode {
    /// Square pictures of up to 64 pixels are faces already; in others the largest face is looked for
    #[default]
    Auto,
    /// The largest face of every picture
    Detect,
    /// Every picture is a face already
    Whole,
}
