//! The annotated picture as a camera that other programs open: meetings, browsers, OBS.
//!
//! On Linux that is a device of v4l2loopback, into which a frame is written and from which others read it; what nobody
//! reads is replaced, so a slow reader holds up nothing. While no frame comes the last one stays. The first frame sets the
//! size, unless a reader has the device open since an earlier run: then that run's size stays. Frames of another size are
//! fitted into it. Other systems have no such device.

use std::path::Path;

/// Whether a path is of a device for video, as a camera is.
pub(super) fn is_device(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with("/dev/video") || path.starts_with("/dev/v4l/"))
}

#[cfg(target_os = "linux")]
pub(super) use linux::{VirtualCamera, check};

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::{VirtualCamera, check};

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::c_int;
    use std::io::{self, ErrorKind, Write};
    use std::ops::ControlFlow;
    use std::path::{Path, PathBuf};

    use anyhow::{Context, Result, anyhow, bail, ensure};
    use fast_image_resize::Resizer;
    use image::RgbImage;
    use rustix::io::Errno;
    use v4l::buffer::Type;
    use v4l::capability::Flags;
    use v4l::v4l2::ioctl;
    use v4l::v4l2::vidioc::VIDIOC_STREAMON;
    use v4l::video::Output;
    use v4l::{Device, Format, FourCC};

    use super::yuyv_from_rgb;
    use crate::flow::labelled::Labelled;
    use crate::sink::framed::framed;
    use crate::sink::{Ending, Sink, picture_of};

    /// What every reader of cameras understands.
    const YUYV: FourCC = FourCC { repr: *b"YUYV" };

    /// The driver of virtual cameras.
    const LOOPBACK: &str = "v4l2 loopback";

    /// Refuses a device that can't be written to.
    pub(in crate::sink) fn check(path: &Path) -> Result<()> {
        open(path).map(drop)
    }

    fn open(path: &Path) -> Result<Device> {
        let name = path.display();
        let device = Device::with_path(path).map_err(|error| explained(&error, path))?;
        let Ok(found) = device.query_caps() else { bail!("{name} is no device for video; {}", how_to_make(path)) };
        let (can, is_loopback) = (found.capabilities, found.driver == LOOPBACK);
        if is_loopback && !can.intersects(Flags::VIDEO_OUTPUT | Flags::VIDEO_CAPTURE) {
            // So version 0.12 is left by a program that only wrote; one that begins and leaves puts it right.
            begin(&device);
            drop(device);
            return Device::with_path(path).map_err(|error| explained(&error, path));
        }
        // While a reader is there a loopback device is a camera.
        ensure!(
            can.contains(Flags::VIDEO_OUTPUT) || is_loopback,
            "{name} is a camera, {:?}, and no virtual one that could be written to; {}",
            found.card,
            how_to_make(path)
        );
        Ok(device)
    }

    /// Tells the driver that frames will come, without which version 0.12 of v4l2loopback does not notice the end of them,
    /// and offers the device neither to readers nor to writers any more. Later ones need no such word, and refuse it.
    #[allow(unsafe_code, reason = "v4l has this call only for buffers that are shared with the driver")]
    fn begin(device: &Device) {
        let mut kind = Type::VideoOutput as c_int;
        // SAFETY: the driver reads one integer behind the pointer, which is there for as long as the call lasts.
        let _ = unsafe { ioctl(device.handle().fd(), VIDIOC_STREAMON, (&raw mut kind).cast()) };
    }

    fn how_to_make(path: &Path) -> String {
        let number = path.to_str().and_then(|path| path.strip_prefix("/dev/video")?.parse().ok());
        // Low numbers are those of cameras.
        let number: u32 = number.filter(|&number| number >= 10).unwrap_or(10);
        format!(
            "`sudo modprobe v4l2loopback video_nr={number} card_label=emocam exclusive_caps=1` makes the virtual camera \
             /dev/video{number} (on Debian and Ubuntu after `sudo apt install v4l2loopback-dkms`)"
        )
    }

    fn explained(error: &io::Error, path: &Path) -> anyhow::Error {
        let name = path.display();
        match (error.kind(), Errno::from_io_error(error)) {
            (ErrorKind::NotFound, _) | (_, Some(Errno::NODEV | Errno::NXIO)) => {
                anyhow!("{name} is not there; {}", how_to_make(path))
            }
            (ErrorKind::PermissionDenied, _) => anyhow!(
                "{name} can't be written: that takes membership in the group `video` as a rule \
                 (`sudo usermod -aG video $USER`, then log in again)"
            ),
            (_, Some(Errno::BUSY)) => {
                anyhow!("{name} is in use: another program shows its picture there; close that first")
            }
            _ => anyhow!("{name} can't be opened as a virtual camera: {error}; {}", how_to_make(path)),
        }
    }

    /// Writes frames to the device.
    pub(in crate::sink) struct VirtualCamera {
        path: PathBuf,
        device: Device,
        resizer: Resizer,
        shown: Option<Agreed>,
    }

    /// What was agreed on with the driver at the first frame.
    struct Agreed {
        /// Of the first frame, and what the driver takes.
        size: (u32, u32),
        taken: (u32, u32),
        /// Bytes from a row to the next.
        stride: usize,
        bytes: Vec<u8>,
    }

    impl VirtualCamera {
        pub(in crate::sink) fn open(path: &Path) -> Result<Self> {
            Ok(Self { path: path.to_path_buf(), device: open(path)?, resizer: Resizer::new(), shown: None })
        }

        fn agree(&self, (width, height): (u32, u32)) -> Result<Agreed> {
            // Two pixels share their color.
            let asked = Format::new(width.next_multiple_of(2), height, YUYV);
            let found = self.device.set_format(&asked).map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::BUSY) => explained(&error, &self.path),
                _ => anyhow!(error).context(format!("it refuses {width}x{height} in YUYV")),
            })?;
            ensure!(
                found.fourcc == YUYV && found.width >= 2 && found.width.is_multiple_of(2) && found.height >= 1,
                "it takes {}x{} as {} and nothing else, expected YUYV: another program set it so",
                found.width,
                found.height,
                found.fourcc
            );
            begin(&self.device);
            let stride = (found.stride as usize).max(2 * found.width as usize);
            let bytes = vec![0; stride * found.height as usize];
            Ok(Agreed { size: (width, height), taken: (found.width, found.height), stride, bytes })
        }

        fn show(&mut self, picture: &RgbImage) -> Result<()> {
            let mut shown = match self.shown.take() {
                Some(shown) => shown,
                None => self.agree(picture.dimensions())?,
            };
            let fitted = framed(&mut self.resizer, picture, shown.size, shown.taken)?;
            let width = shown.taken.0 as usize;
            let rows = shown.bytes.chunks_exact_mut(shown.stride).zip(fitted.as_raw().chunks_exact(3 * width));
            rows.for_each(|(row, rgb)| yuyv_from_rgb(rgb, &mut row[..2 * width]));
            let written = self.device.write(&shown.bytes);
            let length = shown.bytes.len();
            self.shown = Some(shown);
            match written {
                Ok(count) => ensure!(count == length, "the device took {count} bytes of a frame of {length}"),
                // The one before it is still on its way: this one is dropped.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            Ok(())
        }
    }

    impl Sink for VirtualCamera {
        fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
            let shown = self.show(&picture_of(labelled));
            shown.with_context(|| format!("frame {} can't be shown on {}", labelled.frame.id, self.path.display()))?;
            Ok(ControlFlow::Continue(()))
        }

        fn finish(&mut self, _: Ending) -> Result<()> {
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::convert::Infallible;
    use std::ops::ControlFlow;
    use std::path::Path;

    use anyhow::{Result, bail};

    use crate::flow::labelled::Labelled;
    use crate::sink::{Ending, Sink};

    /// There is none.
    pub(in crate::sink) struct VirtualCamera(Infallible);

    pub(in crate::sink) fn check(path: &Path) -> Result<()> {
        bail!("{} would be a virtual camera, and those are only on Linux (v4l2loopback)", path.display())
    }

    impl VirtualCamera {
        pub(in crate::sink) fn open(path: &Path) -> Result<Self> {
            check(path)?;
            bail!("there is no virtual camera")
        }
    }

    impl Sink for VirtualCamera {
        fn write(&mut self, _: &Labelled) -> Result<ControlFlow<()>> {
            match self.0 {}
        }

        fn finish(&mut self, _: Ending) -> Result<()> {
            match self.0 {}
        }
    }
}

/// A row of pixels, an even number of them, as YUYV: BT.601 within 16 to 235, which readers take it for where nothing else
/// is said. Two pixels share the mean of their colors. The factors are ITU-R BT.601's in 256ths.
#[cfg_attr(not(any(target_os = "linux", test)), expect(dead_code, reason = "virtual cameras are only on Linux"))]
fn yuyv_from_rgb(rgb: &[u8], yuyv: &mut [u8]) {
    let luma = |[r, g, b]: [i32; 3]| ((66 * r + 129 * g + 25 * b + 128) >> 8) + 16;
    for (pair, out) in rgb.chunks_exact(6).zip(yuyv.chunks_exact_mut(4)) {
        let [first, second] = [0, 3].map(|at| [0, 1, 2].map(|channel| i32::from(pair[at + channel])));
        let [r, g, b] = [0, 1, 2].map(|channel| first[channel] + second[channel]);
        // Of sums of two, so in 512ths.
        let u = ((-38 * r - 74 * g + 112 * b + 256) >> 9) + 128;
        let v = ((112 * r - 94 * g - 18 * b + 256) >> 9) + 128;
        // All four lie within 16 to 240.
        out.copy_from_slice(&[luma(first) as u8, u as u8, luma(second) as u8, v as u8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_as_the_reader_of_cameras_has_them() {
        // ITU-R BT.601: white, black, red, green, blue, and a pair that shares its color.
        for (pair, expected) in [
            ([255; 6], [235, 128, 235, 128]),
            ([0; 6], [16, 128, 16, 128]),
            ([255, 0, 0, 255, 0, 0], [82, 90, 82, 240]),
            ([0, 255, 0, 0, 255, 0], [144, 54, 144, 34]),
            ([0, 0, 255, 0, 0, 255], [41, 240, 41, 110]),
            ([255, 255, 255, 0, 0, 0], [235, 128, 16, 128]),
        ] {
            let mut found = [0; 4];
            yuyv_from_rgb(&pair, &mut found);
            let close = found.iter().zip(expected).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 1);
            assert!(close, "{pair:?}: {found:?}, expected {expected:?}");
        }
    }

    #[test]
    fn what_is_no_virtual_camera_is_told_how_to_make_one() {
        assert!(is_device(Path::new("/dev/video10")) && is_device(Path::new("/dev/v4l/by-id/x")));
        assert!(!is_device(Path::new("video10")) && !is_device(Path::new("/dev/null")));
        for path in ["/dev/video4711", "/dev/null", "/dev/video3"] {
            if Path::new(path).exists() && is_device(Path::new(path)) {
                continue;
            }
            let error = format!("{:#}", check(Path::new(path)).expect_err("no such camera"));
            if cfg!(target_os = "linux") {
                let number = if path.ends_with("4711") { "4711" } else { "10" };
                for words in [path, "sudo modprobe v4l2loopback video_nr=", number, "exclusive_caps=1"] {
                    assert!(error.contains(words), "{error}");
                }
            } else {
                assert!(error.contains("only on Linux"), "{error}");
            }
        }
    }
}
