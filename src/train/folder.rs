//! The folder in which a run lives.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::system::files::TEMPORARY_PREFIX;

/// Where a run's files are.
#[derive(Clone, Debug)]
pub(super) struct RunFolder(pub(super) PathBuf);

impl RunFolder {
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint.safetensors")
    }

    pub(super) fn best(&self) -> PathBuf {
        self.0.join("best.safetensors")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.join("config.json")
    }

    pub(super) fn history(&self) -> PathBuf {
        self.0.join("history.csv")
    }

    /// Removes what a kill in the middle of writing left behind.
    pub(super) fn remove_leftovers(&self) -> Result<()> {
        for entry in fs::read_dir(&self.0)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Refuses a folder that holds a run, or a part of one.
    pub(super) fn refuse_existing(&self) -> Result<()> {
        for path in [self.checkpoint(), self.best(), self.config(), self.history()] {
            ensure!(
                !path.exists(),
                "{} exists already: choose another folder for --out, or go on with that run by --resume {}",
                path.display(),
                self.0.display()
            );
        }
        Ok(())
    }
}
