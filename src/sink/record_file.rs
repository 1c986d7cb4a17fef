//! The record of what made data, in a small file beside them: their own forms have no place for it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::part::{Leftover, PartFile, part_path};
use super::record::{Record, beside};

/// The record of data that are being written.
pub(super) struct RecordFile {
    path: PathBuf,
    record: Record,
}

impl RecordFile {
    /// Writes the record of data that are about to be written.
    pub(super) fn begin(data: &Path, record: &Record) -> Result<Self> {
        let begun = Self { path: beside(data), record: record.ended(false) };
        begun.write()?;
        Ok(begun)
    }

    /// The data are whole, and have this length.
    pub(super) fn complete(&mut self, bytes: u64) -> Result<()> {
        (self.record.whole, self.record.bytes) = (true, Some(bytes));
        self.write()
    }

    fn write(&self) -> Result<()> {
        // What a killed run left of a record is one, or nothing.
        let is_record = Record::inside(&part_path(&self.path)).is_some();
        let leftover = if is_record { Leftover::Replace } else { Leftover::Keep };
        let part = PartFile::create(&self.path, true, leftover)?;
        let text = format!("{}\n", self.record.text());
        if let Err(error) = part.file().and_then(|mut file| Ok(file.write_all(text.as_bytes())?)) {
            part.discard();
            return Err(error).with_context(|| format!("{} can't be written", self.path.display()));
        }
        part.complete()
    }
}
