//! Labelled frames as PNGs: a single one, or one a frame, where `frame_000012.png` is the frame with number 12.
//!
//! Owns the names and the encoding. Frames that were dropped leave gaps in the numbers.

use std::fs;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::RgbImage;

use super::options::OutputOptions;
use super::part::PartFile;
use super::record::Record;
use super::{Ending, Sink, picture_of};
use crate::flow::labelled::Labelled;

/// How frames are named: the number stands between two texts, with at least so many digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    before: String,
    digits: usize,
    after: String,
}

impl Default for Naming {
    fn default() -> Self {
        Self { before: "frame_".to_owned(), digits: 6, after: ".png".to_owned() }
    }
}

impl Naming {
    /// From a name with `%d` or `%06d` in it, as ffmpeg has it; `None` for any other name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (before, rest) = name.split_once('%')?;
        let (digits, after) = rest.split_once('d')?;
        let digits = match digits.strip_prefix('0') {
            Some(count) => count.parse().ok().filter(|count| (1..=20).contains(count))?,
            None if digits.is_empty() => 1,
            None => return None,
        };
        (!after.contains('%')).then(|| Self { before: before.to_owned(), digits, after: after.to_owned() })
    }

    fn name(&self, frame: u64) -> String {
        format!("{}{frame:0digits$}{}", self.before, self.after, digits = self.digits)
    }

    fn is_frame(&self, name: &str) -> bool {
        let number = name.strip_prefix(self.before.as_str()).and_then(|rest| rest.strip_suffix(self.after.as_str()));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// The files in a folder that frames would replace: those that bear the name of one, be it whole or in the making.
pub(super) fn frames_in(folder: &Path, naming: &Naming) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_frame = |name: &str| naming.is_frame(name) || naming.is_frame(&name.replace(".part.", "."));
    let frames = entries.filter(|entry| is_frame(&entry.file_name().to_string_lossy()));
    frames.map(|entry| entry.path()).collect()
}

/// Refuses a folder that is a file, or, without `force`, one that holds frames already.
pub(super) fn check(folder: &Path, naming: &Naming, force: bool) -> Result<()> {
    let name = folder.display();
    if !folder.exists() {
        return Ok(());
    }
    ensure!(folder.is_dir(), "{name} can't be written: it is a file, not a folder");
    fs::read_dir(folder).with_context(|| format!("the folder {name} can't be read"))?;
    let frames = frames_in(folder, naming);
    ensure!(
        force || frames.is_empty(),
        "{name} holds frames already, {} for one (--force overwrites them)",
        frames.first().and_then(|frame| frame.file_name()).unwrap_or_default().to_string_lossy()
    );
    Ok(())
}

/// Writes each frame as a PNG.
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
        // Whose frames those are was not asked.
        Ok(Self { folder: folder.to_path_buf(), naming, how: How::from(OutputOptions { again: false, ..options }) })
    }
}

impl Sink for Stills {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        let path = self.folder.join(self.naming.name(labelled.frame.id));
        write_png(&picture_of(labelled), &path, self.how.options())?;
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, _: Ending) -> Result<()> {
        Ok(())
    }
}

/// Writes the only frame of a source as a PNG.
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
        write_png(&picture_of(labelled), &self.path, self.how.options())?;
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

/// How pictures are written.
struct How {
    force: bool,
    again: bool,
    live: bool,
    record: Option<Record>,
}

impl From<OutputOptions<'_>> for How {
    fn from(OutputOptions { force, again, live, record, .. }: OutputOptions<'_>) -> Self {
        Self { force, again, live, record: record.map(|record| record.ended(true)) }
    }
}

impl How {
    fn options(&self) -> OutputOptions<'_> {
        let Self { force, again, live, .. } = *self;
        OutputOptions { force, again, live, record: self.record.as_ref(), ..Default::default() }
    }
}

/// Writes a picture as a PNG with the record of what made it, which takes its name when it is complete.
///
/// # Errors
/// When it can't be written, or, without `force`, when the file exists.
pub(super) fn write_png(picture: &RgbImage, path: &Path, options: OutputOptions<'_>) -> Result<()> {
    ensure!(options.overwrites(path) || fs::symlink_metadata(path).is_err(), "{} exists already", path.display());
    let part = PartFile::create(path, options.overwrites(path), options.leftover(path))?;
    let written = part.file().and_then(|file| {
        let mut file = BufWriter::new(file);
        encode(picture, options.record, &mut file).with_context(|| format!("{} can't be written", path.display()))?;
        file.flush().with_context(|| format!("{} can't be written", path.display()))
    });
    if let Err(error) = written {
        part.discard();
        return Err(error);
    }
    part.complete()
}

fn encode(picture: &RgbImage, record: Option<&Record>, out: impl Write) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(out, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    // A frame is one of many: speed counts for more than the last tenth of its size.
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::Adaptive);
    if let Some(record) = record {
        encoder.add_itxt_chunk("Comment".to_owned(), record.text())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture.as_raw())?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn a_pattern_names_frames() {
        let naming = Naming::parse("a_%04d_b.png").expect("a pattern");
        assert_eq!((naming.name(12), naming.name(123_456)), ("a_0012_b.png".to_owned(), "a_123456_b.png".to_owned()));
        assert!(naming.is_frame("a_0012_b.png") && !naming.is_frame("a_x_b.png"));
        assert_eq!(Naming::parse("%d.png").map(|naming| naming.name(7)), Some("7.png".to_owned()));
        for name in ["frame_.png", "frame_12.jpg", "face.png", "frame_1a.png"] {
            assert!(!Naming::default().is_frame(name), "{name}");
        }
        for name in ["a.png", "%.png", "%s.png", "%5d.png", "%d%d.png", "%099d.png", "100%.png"] {
            assert_eq!(Naming::parse(name), None, "{name}");
        }
    }
}
