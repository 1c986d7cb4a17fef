//! A summary of a run, and its timeline as a picture beside it: both are written when the run ends.

mod account;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::flow::labelled::Labelled;
use crate::plot;
use crate::sink::options::OutputOptions;
use crate::sink::part::{Leftover, PartFile};
use crate::sink::{Ending, Sink};
use account::Account;

/// Where the picture is, of a summary in `path`.
pub(super) fn picture_path(path: &Path) -> PathBuf {
    path.with_extension("png")
}

/// Writes a summary and its timeline.
pub(super) struct SummarySink {
    files: Option<(PartFile, PartFile)>,
    source: String,
    faces: Account,
}

impl SummarySink {
    pub(super) fn create(path: &Path, options: OutputOptions<'_>) -> Result<Self> {
        // Nothing is written before the end, so a run that was killed left nothing that anybody could miss.
        let file = |path: &Path| PartFile::create(path, options.force, Leftover::Replace);
        let files = Some((file(path)?, file(&picture_path(path))?));
        Ok(Self { files, source: options.source.unwrap_or_default().to_owned(), faces: Account::default() })
    }
}

impl Sink for SummarySink {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        self.faces.add(labelled.frame.pts, &labelled.predictions, labelled.frame.duration);
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        let Some((data, picture)) = self.files.take() else { return Ok(()) };
        self.faces.finish();
        let text = format!("{:#}\n", self.faces.to_json(&self.source));
        let written = data.file().and_then(|mut file| Ok(file.write_all(text.as_bytes())?));
        written.with_context(|| format!("{} can't be written", data.part().display()))?;
        plot::timeline(picture.part(), &self.source, self.faces.end(), self.faces.rows())?;
        if ending == Ending::Whole {
            data.complete()?;
            picture.complete()?;
        }
        Ok(())
    }
}
