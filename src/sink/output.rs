//! Where lines of data go: a file or a pipe, whose reader may leave.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;

use anyhow::{Context, Result};

use super::Ending;
use super::part::PartFile;
use super::record_file::RecordFile;

/// A file or a pipe.
pub(super) struct Output {
    out: Box<dyn Write + Send>,
    /// What errors call it.
    name: String,
    state: State,
    /// The file, where it takes its name only when it is whole.
    part: Option<PartFile>,
    /// What made the file, beside it, and the file.
    record: Option<(RecordFile, File)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The reader has what it wanted.
    Left,
    /// A line may be missing or broken: what is there is not whole.
    Broken,
}

impl Output {
    pub(super) fn new(out: Box<dyn Write + Send>, name: String) -> Self {
        Self { out, name, state: State::Open, part: None, record: None }
    }

    pub(super) fn part(part: PartFile) -> Result<Self> {
        Ok(Self::new(Box::new(part.file()?), part.part().display().to_string()).with_part(part))
    }

    fn with_part(self, part: PartFile) -> Self {
        Self { part: Some(part), ..self }
    }

    /// Keeps the record of what is written to this file.
    pub(super) fn with_record(self, record: RecordFile, file: File) -> Self {
        Self { record: Some((record, file)), ..self }
    }

    /// Writes whole lines and hands them on at once, so that a reader sees each frame as it comes and nothing is lost with
    /// the process. After a failure or when the reader has gone nothing more is written.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<ControlFlow<()>> {
        if self.state != State::Open {
            return Ok(ControlFlow::Break(()));
        }
        let written = self.out.write_all(lines).and_then(|()| self.out.flush());
        match written {
            Ok(()) => Ok(ControlFlow::Continue(())),
            // `emocam ... | head`: the reader has what it wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.state = State::Left;
                Ok(ControlFlow::Break(()))
            }
            Err(error) => {
                self.state = State::Broken;
                Err(error).with_context(|| format!("{} can't be written", self.name))
            }
        }
    }

    /// Gives the file its name, if all that was to be written is in it. A failure to write was told when it came.
    pub(super) fn finish(&mut self, ending: Ending) -> Result<()> {
        let _ = self.write(&[])?;
        let (part, record) = (self.part.take(), self.record.take());
        if ending == Ending::CutOff || self.state == State::Broken {
            return Ok(());
        }
        // The record first: a file under its own name without one would pass for somebody else's.
        if let Some((mut record, file)) = record {
            let length = file.metadata().with_context(|| format!("{} can't be looked at", self.name))?.len();
            record.complete(length)?;
        }
        part.map_or(Ok(()), PartFile::complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::part::Leftover;

    /// Takes so many bytes.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn data_with_a_line_missing_do_not_get_the_name_of_whole_ones() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.jsonl");
        let part = PartFile::create(&path, false, Leftover::Keep).expect("an empty folder");
        let mut output = Output::new(Box::new(Disk(7)), "a.part.jsonl".to_owned()).with_part(part);
        assert!(output.write(b"12345\n").expect("there is room").is_continue());
        let error = output.write(b"12345\n").expect_err("the disk is full").to_string();
        assert!(error.contains("a.part.jsonl"), "{error}");
        // What comes later would stand behind half a line, and is not told a second time.
        assert!(output.write(b"1\n").expect("told already").is_break());
        output.finish(Ending::Whole).expect("told already");
        assert!(!path.exists() && folder.path().join("a.part.jsonl").exists());
    }
}
