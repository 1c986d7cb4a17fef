//! Where frames come from: a camera, a video file, pictures, or the embedded demo.
//!
//! Owns how a source is named ([`SourceSpec`]) and what every source can do ([`Source`]). Each kind lives in a file of its
//! own. What happens to frames that nobody takes in time is not decided here but in `pipeline.rs`.

mod camera;
mod demo;
mod ffmpeg;
mod ffprobe;
mod h264;
pub(crate) mod images;
mod limited;
mod looping;
mod mp4_index;
mod pixels;
mod video;

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub use camera::{CameraFormat, CameraInfo, CameraOptions, Holder, PixelFormat, Rate, WantedFormat, list_cameras};
pub use limited::LimitedSource;
pub use looping::LoopingSource;

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

    /// What went wrong so far and was got over.
    fn health(&self) -> Health {
        Health::default()
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

/// What a camera lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Frames that were damaged and left out.
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
    /// How many frames there will be, where that is known; good enough for a progress bar, not a promise.
    pub frames: Option<u64>,
    /// Nominal frames per second, where there is such a thing.
    pub fps: Option<f64>,
    /// When the first frame is shown, in the file's own time, where something else begins before it, such as sound.
    pub start: Duration,
}

/// A source as a user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// A camera by its index: `0`.
    CameraIndex(u32),
    /// A camera by its device file: `/dev/video2`.
    CameraPath(PathBuf),
    /// A video file, a picture or a folder of pictures.
    Path(PathBuf),
    /// The clip inside the program: `demo`.
    Demo,
}

impl FromStr for SourceSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(OsStr::new(text).into())
    }
}

impl From<&OsStr> for SourceSpec {
    /// Names of files need not be text.
    fn from(name: &OsStr) -> Self {
        match name.to_str() {
            Some("demo") => Self::Demo,
            Some(text) if text.starts_with("/dev/video") || text.starts_with("/dev/v4l/") => {
                Self::CameraPath(text.into())
            }
            Some(text) => text.parse().map_or_else(|_| Self::Path(text.into()), Self::CameraIndex),
            None => Self::Path(name.into()),
        }
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CameraIndex(index) => write!(f, "camera {index}"),
            Self::CameraPath(path) | Self::Path(path) => write!(f, "{}", path.display()),
            Self::Demo => write!(f, "demo"),
        }
    }
}

impl SourceSpec {
    /// Whether it is a single picture, by its name.
    pub fn is_one_picture(&self) -> bool {
        matches!(self, Self::Path(path) if images::is_picture(path) && !path.is_dir())
    }

    /// Whether its frames are pictures that have nothing to do with each other: a picture or a folder of them.
    pub fn is_pictures(&self) -> bool {
        self.is_one_picture() || matches!(self, Self::Path(path) if path.is_dir())
    }

    /// A name that is no file's may be part of a camera's name: then it is that camera.
    ///
    /// # Errors
    /// When it is neither, or the name of several cameras.
    pub fn or_camera_name(self) -> Result<Self> {
        let Self::Path(path) = &self else { return Ok(self) };
        if path.exists() {
            return Ok(self);
        }
        let name = path.to_string_lossy();
        match camera::camera_named(&name)? {
            Some(index) => Ok(Self::CameraIndex(index)),
            None => bail!("{name}: no such file or folder, and no camera has this in its name (see `emocam cameras`)"),
        }
    }

    /// Opens the source.
    ///
    /// # Errors
    /// When it doesn't exist, can't be read, or is of a kind that emocam does not know.
    pub fn open(&self) -> Result<Box<dyn Source>> {
        self.open_with(&CameraOptions::default())
    }

    /// Opens the source; the options count for cameras.
    ///
    /// # Errors
    /// As [`SourceSpec::open`].
    pub fn open_with(&self, options: &CameraOptions) -> Result<Box<dyn Source>> {
        Ok(match self {
            Self::CameraIndex(index) => Box::new(camera::CameraSource::open_index(*index, options)?),
            Self::CameraPath(path) => Box::new(camera::CameraSource::open_path(path, options)?),
            Self::Demo => Box::new(demo::DemoSource::open()?),
            Self::Path(path) => {
                if !path.exists() {
                    bail!("{}: no such file or folder", path.display());
                }
                if path.is_dir() || images::is_picture(path) {
                    Box::new(images::ImageSource::open(path)?)
                } else {
                    video::open(path)?
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_how_it_is_written() {
        let spec = |text: &str| text.parse::<SourceSpec>().expect("every text names a source");
        assert_eq!(spec("0"), SourceSpec::CameraIndex(0));
        assert_eq!(spec("/dev/video2"), SourceSpec::CameraPath("/dev/video2".into()));
        assert_eq!(spec("demo"), SourceSpec::Demo);
        assert_eq!(spec("/dev/v4l/by-id/usb"), SourceSpec::CameraPath("/dev/v4l/by-id/usb".into()));
        assert_eq!(spec("/dev/shm/clip.mp4"), SourceSpec::Path("/dev/shm/clip.mp4".into()));
        assert_eq!(spec("./demo"), SourceSpec::Path("./demo".into()));
        assert_eq!(spec("clip.mp4"), SourceSpec::Path("clip.mp4".into()));
        assert_eq!(spec("-1"), SourceSpec::Path("-1".into()));
    }
}
