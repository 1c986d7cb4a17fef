//! What the two ways to a camera have in common: [`super::v4l2`] on Linux, [`super::native`] on other systems.
//!
//! Each of them has `list`, `formats` and a type `Device` with `open` and `read`.

use std::fmt;

use anyhow::Error;

use super::format::CameraFormat;
use crate::source::pixels::Encoding;

/// A camera that the system knows, opened or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What to name as a source.
    pub(super) index: u32,
    /// The camera's own name.
    pub(super) name: String,
    /// Its device file, or where there is no such thing, what the system says of it.
    pub(super) path: String,
    /// Where it is plugged in, as far as the system tells.
    pub(super) port: String,
    /// Which of the nodes of one camera it is; pictures come from the first, as a rule.
    pub(super) node: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "camera {}", self.index)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " ({})", self.path) }
    }
}

impl Place {
    /// Whether a camera that is there now is this one, which went away while others were `present`. Its index and its port
    /// may have changed; but a twin that was there all the time is another camera.
    pub(super) fn may_be(&self, now: &Self, present: &[Self]) -> bool {
        let same_place = now.index == self.index && now.port == self.port;
        now.name == self.name && now.node == self.node && (same_place || !present.contains(now))
    }
}

/// How a camera delivers, once it was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub(super) format: CameraFormat,
    /// Bytes from one row of pixels to the next; of luma in NV12, of no use in MJPEG.
    pub(super) stride: usize,
    pub(super) encoding: Encoding,
}

/// One frame as it comes from the camera.
pub(super) struct RawFrame<'a> {
    pub(super) bytes: &'a [u8],
    /// The driver says that bytes are missing or wrong.
    pub(super) damaged: bool,
    /// Its number since the camera was opened, where the driver counts frames that it had to drop.
    pub(super) sequence: Option<u32>,
}

/// Why a camera can't be opened, or delivers no more.
#[derive(Debug)]
pub(super) struct Failure {
    /// It is not there (any more).
    pub(super) gone: bool,
    /// For people: what, and what to try.
    pub(super) error: Error,
}

impl Failure {
    pub(super) fn gone(error: Error) -> Self {
        Self { gone: true, error }
    }

    pub(super) fn other(error: Error) -> Self {
        Self { gone: false, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_known_again_at_another_place_and_its_twin_is_not_it() {
        let place = |index, port: &str, node| {
            let (name, path) = ("C920".into(), format!("/dev/video{index}"));
            Place { index, name, path, port: port.into(), node }
        };
        let (mine, twin) = (place(0, "usb1/1-1:1.0", 0), place(2, "usb1/1-2:1.0", 0));
        let present = [twin.clone()];
        assert!(mine.may_be(&mine, &present));
        assert!(mine.may_be(&place(4, "usb1/1-1:1.0", 0), &present));
        assert!(mine.may_be(&place(4, "usb1/1-3:1.0", 0), &present));
        assert!(!mine.may_be(&twin, &present));
        assert!(!mine.may_be(&place(1, "usb1/1-1:1.0", 1), &present), "its metadata");
        assert!(!mine.may_be(&Place { name: "other".into(), ..mine.clone() }, &present));
        assert_eq!(mine.to_string(), "camera 0 (/dev/video0)");
    }
}
