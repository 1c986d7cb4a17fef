//! A summary of a run, and its timeline as a picture beside it: both are written when the run ends.

mod account;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::flow::labelled::{Labelled, Mark};
use crate::plot;
use crate::sink::options::OutputOptions;
use crate::sink::part::PartFile;
use crate::sink::record::Record;
use crate::sink::{Ending, Sink};
pub use account::{Account, Seen};

/// Where the picture is, of a summary in `path`.
pub(super) fn picture_path(path: &Path) -> PathBuf {
    path.with_extension("png")
}

/// Writes a summary and its timeline.
pub(super) struct SummarySink {
    files: Option<(PartFile, PartFile)>,
    source: String,
    record: Option<Record>,
    faces: Account,
}

impl SummarySink {
    pub(super) fn create(path: &Path, options: OutputOptions<'_>) -> Result<Self> {
        // What is left of the picture belongs to what is left of the summary.
        let leftover = options.leftover(path);
        let file = |path: &Path| PartFile::create(path, options.force, leftover);
        let files = Some((file(path)?, file(&picture_path(path))?));
        let (source, record) = (options.source.unwrap_or_default().to_owned(), options.record.cloned());
        Ok(Self { files, source, record, faces: Account::default() })
    }
}

impl Sink for SummarySink {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        self.faces.add(labelled.frame.pts, &labelled.predictions, labelled.frame.duration);
        self.faces.mark(&labelled.events);
        Ok(ControlFlow::Continue(()))
    }

    fn mark(&mut self, marks: &[Mark]) -> Result<()> {
        self.faces.mark(marks);
        Ok(())
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        let Some((data, picture)) = self.files.take() else { return Ok(()) };
        self.faces.finish();
        let mut json = self.faces.to_json(&self.source);
        if let (Some(record), Some(fields)) = (&self.record, json.as_object_mut()) {
            fields.insert("record".to_owned(), serde_json::to_value(record.ended(ending == Ending::Whole))?);
        }
        let text = format!("{json:#}\n");
        let written = data.file().and_then(|mut file| Ok(file.write_all(text.as_bytes())?));
        written.with_context(|| format!("{} can't be written", data.part().display()))?;
        if ending == Ending::Whole {
            // First the figures: of the picture they are independent, should it fail.
            data.complete()?;
        }
        plot::timeline(picture.part(), &self.source, self.faces.end(), self.faces.rows(), &self.faces.events())?;
        if ending == Ending::Whole { picture.complete() } else { Ok(()) }
    }
}
