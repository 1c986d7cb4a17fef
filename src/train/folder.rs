//! The files of the folder in which a run lives.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::system::files::TEMPORARY_PREFIX;

pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";
pub(super) const BEST: &str = "best.safetensors";
pub(super) const CONFIG: &str = "config.json";
pub(super) const HISTORY: &str = "history.csv";
/// The folder of reports on watched sets.
pub(super) const WATCHED: &str = "watched";

/// Removes what a kill in the middle of writing left behind.
pub(super) fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Refuses a folder that holds a run, or a part of one.
pub(super) fn refuse_existing(folder: &Path) -> Result<()> {
    for path in [CHECKPOINT, BEST, CONFIG, HISTORY].map(|name| folder.join(name)) {
        ensure!(
            !path.exists(),
            "{} exists already: choose another folder for --out, or go on with that run by --resume {}",
            path.display(),
            folder.display()
        );
    }
    Ok(())
}
