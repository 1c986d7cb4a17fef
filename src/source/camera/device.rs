//! What the two ways to a camera have in common: [`super::v4l2`] on Linux, [`super::native`] on other systems.
//!
//! Each of them has `list`, `formats` and a type `Device` with `open` and `read`.

use std::fmt;
use std::time::Instant;

use anyhow::Error;

use super::format::CameraFormat;
use crate::source::pixels::Encoding;

/// What is said of a camera that does not exist.
pub(super) const NO_SUCH_DEVICE: &str = "there is no such device; `emocam cameras` lists those that there are";

/// What is said where the thread of a camera panics: v4l does where a driver answers what it does not know.
pub(super) const NOT_UNDERSTOOD: &str = "its driver is not understood; the line above says more";

/// Which camera it is, among those that the system knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CameraId {
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

impl fmt::Display for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "camera {}", self.index)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " ({})", self.path) }
    }
}

impl CameraId {
    /// Whether this is the same camera, as far as it was not moved.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        // An index may change with each plug; where there is no port there is nothing better.
        let same_place = self.port == other.port && (!self.port.is_empty() || self.index == other.index);
        same_place && self.name == other.name && self.node == other.node
    }

    /// Which of the `known` cameras is this one, which went away while others were `present`. It may have been plugged in
    /// elsewhere; but a twin that was there all the time is another camera.
    pub(super) fn found_in<'a>(&self, known: &'a [Self], present: &[Self]) -> Option<&'a Self> {
        let is_twin = |camera: &Self| present.iter().any(|other| other.is_same(camera));
        let moved = |camera: &&Self| camera.name == self.name && camera.node == self.node && !is_twin(camera);
        known.iter().find(|camera| camera.is_same(self)).or_else(|| known.iter().find(moved))
    }
}

/// How a camera delivers, once it was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub(super) format: CameraFormat,
    /// Bytes from one row of pixels to the next; of luma where there are planes, of no use in MJPEG and H264.
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
    /// When the driver says that it was captured.
    pub(super) stamp: Option<Instant>,
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
    use std::slice;

    use super::*;

    #[test]
    fn a_camera_is_known_again_at_another_place_and_its_twin_is_not_it() {
        let camera = |index, port: &str, node| {
            let (name, path) = ("C920".into(), format!("/dev/video{index}"));
            CameraId { index, name, path, port: port.into(), node }
        };
        let (mine, twin) = (camera(0, "usb1/1-1:1.0", 0), camera(2, "usb1/1-2:1.0", 0));
        let metadata = camera(1, "usb1/1-1:1.0", 1);
        let found = |known: &[CameraId]| mine.found_in(known, slice::from_ref(&twin)).map(|found| found.index);
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[metadata, twin.clone(), mine.clone()]), Some(0));
        assert_eq!(found(&[twin.clone(), camera(4, "usb1/1-1:1.0", 0)]), Some(4), "another index");
        assert_eq!(found(&[twin.clone(), camera(4, "usb1/1-3:1.0", 0)]), Some(4), "another port");
        assert_eq!(found(&[camera(0, "usb1/1-3:1.0", 0), camera(4, "usb1/1-1:1.0", 0)]), Some(4), "its own port first");
        assert_eq!(found(slice::from_ref(&twin)), None);
        assert_eq!(found(&[camera(0, "usb1/1-2:1.0", 0)]), None, "the twin, on the index of this one");
        assert_eq!(found(&[CameraId { name: "other".into(), ..mine.clone() }]), None);
        // Where the system tells no ports, the index has to do.
        let (mine, twin) = (camera(0, "", 0), camera(1, "", 0));
        assert_eq!(mine.found_in(slice::from_ref(&twin), slice::from_ref(&twin)), None);
        assert_eq!(mine.found_in(&[mine.clone(), twin.clone()], &[twin]), Some(&mine));
        assert_eq!(mine.to_string(), "camera 0 (/dev/video0)");
    }
}
