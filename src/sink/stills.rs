//! Labelled frames as pictures: a single one, or one a frame, where `frame_000012.png` is the frame with number 12.
//!
//! Frames that were dropped leave gaps in the numbers.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::naming::Naming;
use super::options::OutputOptions;
use super::picture_file::{How, write_picture};
use super::{Ending, Sink, picture_of};
use crate::flow::labelled::Labelled;

/// Writes each frame.
pub(super) struct Stills {
    folder: PathBuf,
    naming: Naming,
    how: How,
}

impl Stills {
    /// Creates the folder where it doesn't exist; its parent must.
    pub(super) fn create(folder: &Path, naming: Naming, options: OutputOptions<'_>) -> Result<Self> {
        if !folder.is_dir() {
            fs::create_dir(folder).with_context(|| format!("the folder {} can't be created", folder.display()))?;
        }
        Ok(Self { folder: folder.to_path_buf(), naming, how: How::of_many(options) })
    }
}

impl Sink for Stills {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        let path = self.folder.join(self.naming.name(labelled.frame.id, 0));
        write_picture(&picture_of(labelled), &path, self.how.options())?;
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, _: Ending) -> Result<()> {
        Ok(())
    }
}

/// Writes the only frame of a source.
pub(super) struct Still {
    path: PathBuf,
    how: How,
    written: bool,
}

impl Still {
    pub(super) fn new(path: &Path, options: OutputOptions<'_>) -> Self {
        Self { path: path.to_path_buf(), how: How::from(options), written: false }
    }
}

impl Sink for Still {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        ensure!(
            !self.written,
            "{} is one picture, and there are more frames: name a folder (with a slash at its end) or a .mp4 instead",
            self.path.display()
        );
        write_picture(&picture_of(labelled), &self.path, self.how.options())?;
        self.written = true;
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        ensure!(
            self.written || ending == Ending::CutOff,
            "{} was not written: there was no frame",
            self.path.display()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::naming::check;
    use crate::sink::tests::labelled;

    fn options(force: bool) -> OutputOptions<'static> {
        OutputOptions { force, ..Default::default() }
    }

    #[test]
    fn frames_are_named_by_their_number_and_are_never_overwritten_unasked() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let folder = parent.path().join("frames");
        let mut sink = Stills::create(&folder, Naming::default(), options(false)).expect("the parent exists");
        let frame = labelled(12, 0, 5, 3, vec![]);
        let _ = sink.write(&frame).expect("an empty folder");
        let read = image::open(folder.join("frame_000012.png")).expect("a PNG").to_rgb8();
        assert_eq!(read.as_raw()[..], frame.frame.rgb[..]);

        sink.write(&frame).expect_err("the frame is there already");
        let error = check(&folder, &Naming::default(), false).expect_err("a frame is there already");
        assert!(error.to_string().contains("frame_000012.png"), "{error}");
        check(&folder, &Naming::default(), true).expect("with force");
        // What was being written when a run was killed is a frame, too.
        fs::rename(folder.join("frame_000012.png"), folder.join("frame_000013.part.png")).expect("a file");
        let error = check(&folder, &Naming::default(), false).expect_err("a part of a frame is there");
        assert!(error.to_string().contains("frame_000013.part.png"), "{error}");
        let _ = Stills::create(&folder, Naming::default(), options(true))
            .and_then(|mut sink| sink.write(&frame))
            .expect("with force");
    }

    #[test]
    fn one_picture_takes_one_frame_and_misses_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("face.png");
        let frame = labelled(0, 0, 5, 3, vec![]);
        let mut sink = Still::new(&path, options(false));
        let _ = sink.write(&frame).expect("the first frame");
        assert!(sink.write(&frame).expect_err("a second frame").to_string().contains("name a folder"));
        sink.finish(Ending::Whole).expect("it was written");
        assert_eq!(image::open(&path).expect("a PNG").to_rgb8().as_raw()[..], frame.frame.rgb[..]);
        assert!(
            Still::new(&path, options(true))
                .finish(Ending::Whole)
                .expect_err("no frame")
                .to_string()
                .contains("no frame")
        );
    }
}
