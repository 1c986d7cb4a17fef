//! Where lines of data go: a file or a pipe, whose reader may leave.

use std::io::{self, Write};
use std::ops::ControlFlow;

use anyhow::{Context, Result};

use super::Ending;
use super::part::PartFile;

/// A file or a pipe.
pub(super) struct Output {
    out: Box<dyn Write + Send>,
    /// What errors call it.
    name: String,
    /// The file, where it takes its name only when it is whole.
    part: Option<PartFile>,
}

impl Output {
    pub(super) fn new(out: Box<dyn Write + Send>, name: String) -> Self {
        Self { out, name, part: None }
    }

    pub(super) fn part(part: PartFile) -> Result<Self> {
        Ok(Self { out: Box::new(part.file()?), name: part.part().display().to_string(), part: Some(part) })
    }

    /// Writes whole lines and hands them on at once, so that a reader sees each frame as it comes and nothing is lost with
    /// the process.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<ControlFlow<()>> {
        let written = self.out.write_all(lines).and_then(|()| self.out.flush());
        match written {
            Ok(()) => Ok(ControlFlow::Continue(())),
            // `emocam ... | head`: the reader has what it wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(error) => Err(error).with_context(|| format!("{} can't be written", self.name)),
        }
    }

    pub(super) fn finish(&mut self, ending: Ending) -> Result<()> {
        let _ = self.write(&[])?;
        match self.part.take() {
            Some(part) if ending == Ending::Whole => part.complete(),
            _ => Ok(()),
        }
    }
}
