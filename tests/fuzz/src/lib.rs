//! What the targets have in common: first inputs, and a folder to lay data sets into.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use emocam::dataset::{DataOptions, Dataset, FacesMode};

/// The folder of inputs, set by scripts/fuzz. libFuzzer reads it after a target's `init`.
const CORPUS: &str = "EMOCAM_FUZZ_CORPUS";

/// Puts first inputs into the folder of inputs, where there is one.
///
/// # Panics
/// If they can't be written.
pub fn seed(inputs: &[&[u8]]) {
    let Some(folder) = env::var_os(CORPUS).map(PathBuf::from) else { return };
    for (number, input) in inputs.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), input).expect("the folder of inputs can be written to");
    }
}

/// Reads what lies there as a data set whose pictures are faces. An error is as good as a data set; a panic is not.
pub fn load(path: &Path) -> bool {
    let options = DataOptions { faces: FacesMode::Whole, ..DataOptions::default() };
    Dataset::load(path, &options).is_ok()
}

/// A place for one input; scripts/fuzz sets the folder and removes it.
pub fn place(name: &str) -> PathBuf {
    env::temp_dir().join(format!("emocam-fuzz-{name}"))
}

/// A picture of 2x2 pixels.
pub const PICTURE: &[u8] = b"P5 2 2 255\n\x10\x80\xF0\x40";
