//! How a source is named, and which kind of source a name opens.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{CameraOptions, Source, camera, demo, images, video};

/// What addresses begin with.
const SCHEMES: [&str; 10] = ["http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp"];

/// A source as a user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// A camera by its index: `0`.
    CameraIndex(u32),
    /// A camera by its device file: `/dev/video2`.
    CameraPath(PathBuf),
    /// A video file, a picture or a folder of pictures, or a pipe that has a name.
    Path(PathBuf),
    /// A video out of standard input: `-`.
    Stdin,
    /// A video that comes over the network: `rtsp://192.168.1.20/stream`.
    Address(String),
    /// The clip inside the program: `demo`.
    Demo,
}

impl<Name: AsRef<OsStr> + ?Sized> From<&Name> for SourceSpec {
    /// Names of files need not be text.
    fn from(name: &Name) -> Self {
        let name = name.as_ref();
        match name.to_str() {
            Some("demo") => Self::Demo,
            Some("-") => Self::Stdin,
            Some(text) if is_address(text) => Self::Address(text.to_owned()),
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
            Self::Stdin => write!(f, "standard input"),
            Self::Address(address) => write!(f, "{}", without_password(address)),
            Self::Demo => write!(f, "demo"),
        }
    }
}

fn is_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

/// `rtsp://me:secret@host/1` as `rtsp://host/1`: what is shown and written is read by others, too.
fn without_password(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

impl SourceSpec {
    /// What files that are made of it are called, without an ending; `photos/..` has no name of its own.
    pub fn stem(&self) -> Option<&OsStr> {
        match self {
            Self::Path(path) => path.file_stem(),
            Self::Stdin => Some("stdin".as_ref()),
            Self::Address(address) => {
                let path = address.split(['?', '#']).next()?.trim_end_matches('/');
                Path::new(path.rsplit(['/', '@']).next()?).file_stem()
            }
            Self::Demo => Some("demo".as_ref()),
            Self::CameraIndex(_) | Self::CameraPath(_) => None,
        }
    }

    /// Whether it is a camera that this machine has.
    pub fn is_camera(&self) -> bool {
        matches!(self, Self::CameraIndex(_) | Self::CameraPath(_))
    }

    /// Whether it is a single picture, by its name, and does not move.
    pub fn is_one_picture(&self) -> bool {
        matches!(self, Self::Path(path) if images::is_still(path))
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
            Self::Demo => Box::new(demo::open()?),
            Self::Stdin => video::open_stdin(self.to_string())?,
            Self::Address(address) => video::open_address(address, self.to_string())?,
            Self::Path(path) => {
                if !path.exists() {
                    bail!("{}: no such file or folder", path.display());
                }
                match images::open(path)? {
                    Some(pictures) => pictures,
                    None => video::open(path)?,
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
        let spec = |text: &str| SourceSpec::from(text);
        assert_eq!(spec("0"), SourceSpec::CameraIndex(0));
        assert_eq!(spec("/dev/video2"), SourceSpec::CameraPath("/dev/video2".into()));
        assert_eq!(spec("demo"), SourceSpec::Demo);
        assert_eq!(spec("/dev/v4l/by-id/usb"), SourceSpec::CameraPath("/dev/v4l/by-id/usb".into()));
        assert_eq!(spec("/dev/shm/clip.mp4"), SourceSpec::Path("/dev/shm/clip.mp4".into()));
        assert_eq!(spec("./demo"), SourceSpec::Path("./demo".into()));
        assert_eq!(spec("clip.mp4"), SourceSpec::Path("clip.mp4".into()));
        assert_eq!(spec("-1"), SourceSpec::Path("-1".into()));
        assert_eq!(spec("-"), SourceSpec::Stdin);
        assert_eq!(spec("rtsp://host/1"), SourceSpec::Address("rtsp://host/1".into()));
        // Not everything that ffmpeg would open is named so.
        assert_eq!(spec("file:///etc/passwd"), SourceSpec::Path("file:///etc/passwd".into()));
        assert_eq!(spec("concat://a"), SourceSpec::Path("concat://a".into()));
    }

    #[test]
    fn an_address_is_shown_without_its_password_and_gives_files_a_name() {
        let shown = |text: &str| SourceSpec::from(text).to_string();
        assert_eq!(shown("rtsp://me:sec@ret@host:554/live/1.sdp?a=b@c"), "rtsp://host:554/live/1.sdp?a=b@c");
        assert_eq!(shown("udp://127.0.0.1:5000"), "udp://127.0.0.1:5000");
        let stem = |text: &str| SourceSpec::from(text).stem().map(|stem| stem.to_string_lossy().into_owned());
        assert_eq!(stem("http://host/a/clip.mp4?token=1/2").as_deref(), Some("clip"));
        assert_eq!(stem("rtsp://me:secret@camera/").as_deref(), Some("camera"));
        assert_eq!((stem("a/b.mkv").as_deref(), stem("-").as_deref()), (Some("b"), Some("stdin")));
        assert_eq!(stem("0"), None);
    }
}
