//! Where frames come from: a camera, a video file, pictures, or the embedded demo.
//!
//! Owns what every source can do ([`Source`]). How one is named and opened is in `spec.rs`; each kind lives in a file of its
//! own. What happens to frames that nobody takes in time is not decided here but in `pipeline.rs`.

mod camera;
mod complaints;
mod demo;
mod excerpt;
mod ffmpeg;
mod ffmpeg_input;
pub(crate) mod ffprobe;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod h264;
pub(crate) mod images;
mod limited;
mod looping;
mod mp4_index;
mod nut;
mod pixels;
mod raw_frames;
mod rotated;
mod spec;
mod switching;
mod video;
mod walk;

use std::time::{Duration, Instant};

use anyhow::Result;

pub use camera::{CameraFormat, CameraInfo, CameraOptions, Holder, PixelFormat, Rate, WantedFormat, list_cameras};
pub use excerpt::{Excerpt, ExcerptSource, Pick};
pub use limited::LimitedSource;
pub use looping::LoopingSource;
pub use rotated::{RotatedSource, Turn};
pub use spec::SourceSpec;
pub use switching::{Switch, switching};
pub use walk::walk;

use crate::flow::frame::Frame;

/// A stream of frames.
pub trait Source: Send {
    /// What is known before the first frame.
    fn info(&self) -> &SourceInfo;

    /// Waits for the next frame. `None` is the end of the stream.
    ///
    /// # Errors
    /// When a frame can't be had: the camera is gone, the file is damaged. A decoding error is always an error and never an
    /// early end. After an error the source gives nothing more.
    fn next_frame(&mut self) -> Result<Option<Frame>>;

    /// As [`Source::next_frame`], but returns soon also where no frame comes. Only a camera lets anyone wait.
    ///
    /// # Errors
    /// As [`Source::next_frame`].
    fn poll(&mut self) -> Result<Next> {
        Ok(self.next_frame()?.map_or(Next::End, Next::Frame))
    }

    /// What whoever watches should know of what came since the last time.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Ends what it has started outside of this process, such as a program that decodes. It gives nothing more.
    fn close(&mut self) {}

    /// What went wrong so far and was got over.
    fn health(&self) -> Health {
        Health::default()
    }
}

/// Waits for the next frame of a source that is made to be polled.
fn polled_frame(source: &mut impl Source) -> Result<Option<Frame>> {
    loop {
        match source.poll()? {
            Next::Frame(frame) => return Ok(Some(frame)),
            Next::Waiting(_) => {}
            Next::End => return Ok(None),
        }
    }
}

/// What a source has to give at a moment.
pub enum Next {
    /// The next frame.
    Frame(Frame),
    /// Nothing yet. There may be news about why.
    Waiting(Option<Notice>),
    /// The stream is over.
    End,
}

/// Something that whoever watches should know, until the next frame comes.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What, for people.
    pub text: String,
    /// When the last frame before it was taken.
    pub since: Instant,
}

/// What a source lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Frames of a camera, or pictures of a folder, that were damaged and left out.
    pub damaged: u64,
    /// Frames that the system dropped, or that were not fetched in time.
    pub missed: u64,
    /// How often it was opened anew and delivered again.
    pub reconnects: u64,
}

/// What a source knows of itself before its first frame.
#[derive(Clone, Debug, Default)]
pub struct SourceInfo {
    /// For people: the camera's name and format, or the file's path.
    pub name: String,
    /// True where frames are lost unless they are taken at once (a camera).
    pub live: bool,
    /// The index of the camera, where it is one of this machine.
    pub camera: Option<u32>,
    /// How many frames there will be, where that is known; good enough for a progress bar, not a promise.
    pub frames: Option<u64>,
    /// Nominal frames per second, where there is such a thing.
    pub fps: Option<f64>,
    /// When the first frame is shown, in the file's own time, where something else begins before it, such as sound.
    pub start: Duration,
}
