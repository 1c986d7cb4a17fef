//! Labelled frames as H.264 video in an MP4 file, or in a Matroska file, which is MP4 until it is whole.
//!
//! Owns the file's name and its end; `video` has the time line, `encoder` the coding, `container` the file's form. Each
//! frame is shown at its own time, counted from the first one. The first frame sets the size of the video; frames of
//! another size are fitted into it on black. What is kept in memory is half a second of video and the index, some bytes a
//! frame.

mod container;
mod encoder;
mod video;

use std::mem;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use image::RgbImage;

use super::options::{OutputOptions, Quality, Sound};
use super::part::PartFile;
use super::record::Record;
use super::remux::{self, Form};
use super::{Ending, Shown, Sink, clean_picture_of, picture_of};
use crate::flow::frame::Frame;
use crate::flow::labelled::Labelled;
use video::Video;

/// A camera that gave nothing for so long is away.
const AWAY: Duration = Duration::from_secs(1);

/// Writes a video.
pub(super) struct Recorder {
    path: PathBuf,
    shown: Shown,
    /// Whether the source is a camera, or is shown as if it were one.
    live: bool,
    quality: Quality,
    sound: Option<(PathBuf, Duration)>,
    record: Option<Record>,
    state: State,
    warnings: Vec<String>,
}

enum State {
    /// Nothing came yet.
    Empty(PartFile),
    Recording {
        file: PartFile,
        video: Box<Video>,
        /// The time of the first frame in its source.
        first: Duration,
        last: Moment,
    },
    Finished,
}

/// When a frame was taken: by the source's clock and by this machine's.
#[derive(Clone, Copy)]
struct Moment {
    pts: Duration,
    /// How long it is shown, where the source says so.
    duration: Option<Duration>,
    captured_at: Instant,
}

impl Recorder {
    pub(super) fn create(path: &Path, shown: Shown, options: OutputOptions<'_>) -> Result<Self> {
        let file = PartFile::create(path, options.overwrites(path), options.leftover(path))?;
        let sound = options.sound.map(|sound| (sound.file.to_path_buf(), sound.start));
        let OutputOptions { live, quality, .. } = options;
        let (path, record) = (path.to_path_buf(), options.record.map(|record| record.ended(false)));
        Ok(Self { path, shown, live, quality, sound, record, state: State::Empty(file), warnings: vec![] })
    }

    fn append(&mut self, picture: &RgbImage, now: Moment) -> Result<()> {
        self.state = match mem::replace(&mut self.state, State::Finished) {
            State::Empty(file) => {
                match file.file().and_then(|file| Video::start(file, picture.dimensions(), self.quality)) {
                    Ok(mut video) => {
                        if let Some((width, height)) = video.scaled_to() {
                            let (wide, high) = picture.dimensions();
                            self.warnings.push(format!(
                                "{}: frames of {wide}x{high} are more than the encoder of H.264 takes; the recording is \
                                 scaled down to {width}x{height}",
                                self.path.display()
                            ));
                        }
                        video.describe(self.record.as_ref());
                        State::Recording { file, video: Box::new(video), first: now.pts, last: now }
                    }
                    Err(error) => {
                        file.discard();
                        return Err(error);
                    }
                }
            }
            state => state,
        };
        match &mut self.state {
            State::Recording { video, last, .. } => {
                *last = now;
                video.append(picture, now.pts)
            }
            State::Empty(_) | State::Finished => bail!("the recording was ended before"),
        }
    }
}

impl Sink for Recorder {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        let Frame { pts, duration, captured_at, .. } = labelled.frame;
        let now = Moment { pts, duration, captured_at };
        let appended = match self.shown {
            Shown::Labelled => self.append(&picture_of(labelled), now),
            Shown::Clean => clean_picture_of(labelled).and_then(|picture| self.append(&picture, now)),
        };
        appended
            .with_context(|| format!("frame {} can't be recorded to {}", labelled.frame.id, self.path.display()))?;
        Ok(ControlFlow::Continue(()))
    }

    fn warnings(&mut self) -> Vec<String> {
        mem::take(&mut self.warnings)
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        let name = self.path.display();
        match mem::replace(&mut self.state, State::Finished) {
            State::Finished => Ok(()),
            State::Empty(file) => {
                file.discard();
                ensure!(ending == Ending::CutOff, "{name} was not written: there was no frame to record");
                Ok(())
            }
            State::Recording { file, mut video, first, last } => {
                video.describe(self.record.as_ref().map(|record| record.ended(ending == Ending::Whole)).as_ref());
                // A camera that is away leaves its last picture standing until the end.
                let away = last.captured_at.elapsed();
                let shown = if self.live && away > AWAY { Some(away) } else { last.duration };
                let hold = shown.map(|shown| last.pts.saturating_add(shown));
                let length = video.finish(hold).with_context(|| format!("{name} can't be completed"))?;
                if ending == Ending::CutOff {
                    return Ok(());
                }
                let sound = self.sound.as_ref().map(|(file, start)| Sound { file, start: *start, skipped: first });
                self.warnings.extend(remuxed(&file, Form::of(&self.path), sound, length)?);
                file.complete()
            }
        }
    }
}

/// Puts the input's sound beside the pictures, and both into the form that the file's name says. A video without sound is
/// better than none, so a failure of that is only told: it is returned.
fn remuxed(file: &PartFile, form: Form, sound: Option<Sound<'_>>, length: Duration) -> Result<Option<String>> {
    let tracks = sound.and_then(|sound| Some((sound, remux::tracks(sound, form)?)));
    let mut problem = None;
    if let Some((sound, tracks)) = &tracks {
        // A new name: what lies beside is not in its way.
        let beside = file.beside()?;
        match remux::remux(file.part(), length, Some((*sound, tracks)), form, &beside) {
            Ok(()) => return file.replace_by(&beside).map(|()| None),
            Err(error) => {
                let (video, input) = (file.part().display(), sound.file.display());
                let reason = format!("the sound of {input} can't be taken over: {error:#}");
                problem = Some(format!("{video}: {reason}; the video has no sound"));
            }
        }
    }
    if form == Form::Matroska {
        let beside = file.beside()?;
        remux::remux(file.part(), length, None, form, &beside).with_context(|| {
            format!("{} is whole, but is an MP4 that could not be made Matroska", file.part().display())
        })?;
        file.replace_by(&beside)?;
    }
    Ok(problem)
}

impl Drop for Recorder {
    /// A run that was cut short keeps what it recorded. There is nobody left to tell of a failure.
    fn drop(&mut self) {
        let _ = self.finish(Ending::CutOff);
    }
}

#[cfg(test)]
mod tests;
