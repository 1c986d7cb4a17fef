//! Cameras on Linux: V4L2, by the v4l crate.
//!
//! nokhwa, which emocam uses on other systems, stands on the same crate here, but waits for a frame without end, hides
//! which frames are damaged and how long they are, and refuses cameras that another program left at a format or rate that
//! it doesn't know. What the calls mean: <https://docs.kernel.org/userspace-api/media/v4l/v4l2.html>.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use rustix::io::Errno;
use v4l::buffer::{Flags, Type};
use v4l::format::{Colorspace, Quantization};
use v4l::fraction::Fraction;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Format, FourCC};

use super::clock::{Clock, stamp};
use super::device::{CameraId, Failure, NO_SUCH_DEVICE, Opened, RawFrame};
use super::format::{CameraFormat, PixelFormat, Rate, WantedFormat, best_format};
use super::holders::{Holder, holders};
use crate::source::pixels::{Encoding, Matrix, Range, rgb_len};

/// What `poll` waits for: something to read (`poll.h`).
const POLLIN: i16 = 1;

/// Buffers that the driver fills in turn. Two are always free while one is copied.
const BUFFERS: u32 = 4;

/// The most that a driver may have instead (VIDEO_MAX_FRAME in `linux/videodev2.h`).
const MOST_BUFFERS: usize = 32;

/// So many failures one after the other are no accident.
const MOST_ERRORS: u32 = 3;

/// How long a frame may take that is said to be there.
const PROMISED: Duration = Duration::from_secs(1);

/// Sizes that are offered of a camera that can do any.
const COMMON_SIZES: [(u32, u32); 5] = [(320, 240), (640, 480), (800, 600), (1280, 720), (1920, 1080)];

/// Rates that are offered of a camera that can do any.
const COMMON_RATES: [u32; 6] = [5, 10, 15, 25, 30, 60];

/// The cameras of this machine by index, and nodes that turn out to be none when they are opened.
pub(super) fn list() -> Result<Vec<CameraId>> {
    let mut nodes = BTreeMap::new();
    // Without a folder of devices there is no camera.
    for entry in fs::read_dir("/dev").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let index = name.to_str().and_then(|name| name.strip_prefix("video")?.parse().ok());
        if let Some(index) = index {
            nodes.insert(index, entry.path());
        }
    }
    Ok(nodes.into_iter().map(|(index, path)| camera_id(index, &path)).collect())
}

/// The camera of a device file.
pub(super) fn camera_id(index: u32, path: &Path) -> CameraId {
    let path = path.display().to_string();
    // In a container this folder may be missing, or tell of cameras that are not here.
    let system = Path::new("/sys/class/video4linux").join(format!("video{index}"));
    let read = |file: &str| fs::read_to_string(system.join(file)).map(|text| text.trim().to_owned());
    let name = read("name").map_or_else(|_| path.clone(), |name| tidy_name(&name).to_owned());
    let port =
        fs::canonicalize(system.join("device")).map_or_else(|_| String::new(), |port| port.display().to_string());
    let node = read("index").ok().and_then(|index| index.parse().ok()).unwrap_or(0);
    CameraId { index, name, path, port, node }
}

/// Many drivers give the name twice, the second time cut off: `Integrated Camera: Integrated C`.
fn tidy_name(name: &str) -> &str {
    match name.split_once(": ") {
        Some((first, second)) if first.starts_with(second) => first,
        _ => name,
    }
}

/// What a camera can deliver and emocam can read, what was asked for among it; nothing where a node is no camera.
pub(super) fn formats(camera: &CameraId, asked: Option<&WantedFormat>) -> Result<Vec<CameraFormat>, Failure> {
    let device = v4l::Device::with_path(&camera.path).map_err(|error| explained(error, camera))?;
    let mut formats = Vec::new();
    // A node that can't capture has none.
    let descriptions = device.enum_formats().unwrap_or_default();
    for description in &descriptions {
        let Some(pixel_format) = pixel_format_from_fourcc(description.fourcc) else { continue };
        for size in device.enum_framesizes(description.fourcc).unwrap_or_default() {
            for (width, height) in sizes(&size.size, asked) {
                // Drivers need not know their rates.
                let intervals = device.enum_frameintervals(description.fourcc, width, height).unwrap_or_default();
                let rates: Vec<Rate> = intervals.iter().flat_map(|interval| rates(&interval.interval, asked)).collect();
                let rates = if rates.is_empty() { vec![Rate { frames: 30, seconds: 1 }] } else { rates };
                formats.extend(rates.into_iter().map(|rate| CameraFormat { pixel_format, width, height, rate }));
            }
        }
    }
    formats.retain(|format| rgb_len(format.width, format.height).is_ok());
    if formats.is_empty() && !descriptions.is_empty() {
        let names: Vec<String> = descriptions.iter().map(|description| description.fourcc.to_string()).collect();
        let (readable, others) = (PixelFormat::names(), names.join(", "));
        return Err(Failure::other(anyhow!("it has no format that emocam can read ({readable}), but {others}")));
    }
    Ok(formats)
}

/// Programs that hold a camera open.
pub(super) fn users(camera: &CameraId) -> Vec<Holder> {
    holders(Path::new(&camera.path))
}

/// A camera that is on.
pub(super) struct Device {
    stream: Stream<'static>,
    opened: Opened,
    /// Whether the stream's idea of which buffers the driver has is right. It is not after an error.
    in_step: bool,
    errors: u32,
    clock: Clock,
}

impl Device {
    /// Opens a camera in the format that comes nearest to what was asked for, and starts it.
    pub(super) fn open(camera: &CameraId, asked: Option<&WantedFormat>) -> Result<Self, Failure> {
        let no_camera = "it is no camera (the second node of a webcam is its metadata); `emocam cameras` lists those that there are";
        let formats = formats(camera, asked)?;
        let wanted = best_format(&formats, asked).ok_or_else(|| Failure::other(anyhow!(no_camera)))?;
        let explained = |error| explained(error, camera);
        let device = v4l::Device::with_path(&camera.path).map_err(explained)?;
        let asked = Format::new(wanted.width, wanted.height, fourcc_from_pixel_format(wanted.pixel_format));
        let format = device.set_format(&asked).map_err(explained)?;
        let pixel_format = pixel_format_from_fourcc(format.fourcc).ok_or_else(|| {
            Failure::other(anyhow!("asked for {wanted}, it insists on {}, which emocam can't read", format.fourcc))
        })?;
        // A driver without a choice of rates need not answer.
        let interval = Fraction::new(wanted.rate.seconds, wanted.rate.frames);
        let rate = device.set_params(&Parameters::new(interval)).map_or(wanted.rate, |agreed| {
            let Fraction { numerator: seconds, denominator: frames } = agreed.interval;
            if seconds == 0 || frames == 0 { wanted.rate } else { Rate { frames, seconds } }
        });
        let format_agreed = CameraFormat { pixel_format, width: format.width, height: format.height, rate };
        rgb_len(format.width, format.height).map_err(Failure::other)?;
        let opened = Opened { format: format_agreed, stride: format.stride as usize, encoding: encoding(&format) };
        let mut stream = Stream::with_buffers(&device, Type::VideoCapture, BUFFERS).map_err(explained)?;
        stream.set_timeout(PROMISED);
        // The first one is the stream's own to give: before each frame it gives back the one before. So no frame is lost,
        // and that is of worth where the first one is the key to the others.
        queue_from(1, &mut stream);
        stream.start().map_err(|error| cannot_start(error, camera))?;
        Ok(Self { stream, opened, in_step: true, errors: 0, clock: Clock::now() })
    }

    /// What was agreed on.
    pub(super) fn opened(&self) -> Opened {
        self.opened
    }

    /// The next frame, if there is one within `patience`.
    pub(super) fn read(&mut self, patience: Duration) -> Result<Option<RawFrame<'_>>, Failure> {
        let milliseconds = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        match self.stream.handle().poll(POLLIN, milliseconds) {
            Ok(0) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(None),
            Err(error) => return Err(lost(error)),
            Ok(_) => {}
        }
        if !self.in_step {
            // One frame is lost here. The stream hands out frames only where it knows which buffer is whose.
            queue_from(0, &mut self.stream);
            let outcome = self.stream.dequeue();
            self.in_step = outcome.is_ok();
            return outcome.map(|_| None).or_else(|error| pardoned(&mut self.errors, error).map(|()| None));
        }
        match self.stream.next() {
            Ok((bytes, meta)) => {
                self.errors = 0;
                let used = (meta.bytesused as usize).min(bytes.len());
                let damaged = meta.flags.contains(Flags::ERROR) || used == 0;
                let stamp = self.clock.instant(stamp(meta));
                Ok(Some(RawFrame { bytes: &bytes[..used], damaged, sequence: Some(meta.sequence), stamp }))
            }
            Err(error) => {
                self.in_step = false;
                pardoned(&mut self.errors, error).map(|()| None)
            }
        }
    }
}

/// Nothing, unless it went wrong too often.
fn pardoned(errors: &mut u32, error: io::Error) -> Result<(), Failure> {
    *errors += 1;
    if *errors > MOST_ERRORS || Errno::from_io_error(&error) == Some(Errno::NODEV) { Err(lost(error)) } else { Ok(()) }
}

/// Gives the buffers from `first` on to the driver. It refuses those that it has, and those that there are not.
fn queue_from(first: usize, stream: &mut Stream<'static>) {
    for index in first..MOST_BUFFERS {
        let _ = stream.queue(index);
    }
}

/// Why an opened camera delivers no more.
fn lost(error: io::Error) -> Failure {
    match Errno::from_io_error(&error) {
        Some(Errno::NODEV) => Failure::gone(anyhow!("unplugged")),
        _ => Failure::other(anyhow!(error).context("reading fails")),
    }
}

/// Why a camera can't be opened, and what to try.
fn explained(error: io::Error, camera: &CameraId) -> Failure {
    match (error.kind(), Errno::from_io_error(&error)) {
        (ErrorKind::NotFound, _) | (_, Some(Errno::NODEV | Errno::NXIO)) => Failure::gone(anyhow!(NO_SUCH_DEVICE)),
        (ErrorKind::PermissionDenied, _) => Failure::other(anyhow!(
            "you may not read it: that takes membership in the group `video` as a rule \
             (`sudo usermod -aG video $USER`, then log in again)"
        )),
        (_, Some(Errno::BUSY)) => {
            let users: Vec<String> = users(camera).iter().map(Holder::to_string).collect();
            let users = if users.is_empty() { "another program".to_owned() } else { users.join(", ") };
            Failure::other(anyhow!("in use by {users}; close that first"))
        }
        _ => Failure::other(error.into()),
    }
}

/// Why a camera that could be opened does not start.
fn cannot_start(error: io::Error, camera: &CameraId) -> Failure {
    let advice = match Errno::from_io_error(&error) {
        Some(Errno::BUSY | Errno::NODEV) => return explained(error, camera),
        Some(Errno::NOSPC) => {
            "the USB port has no bandwidth left for it: plug it in elsewhere, or ask for less with --camera-format"
        }
        Some(Errno::IO) => "cannot start; unplug it and plug it in again",
        _ => "cannot start; unplug it and plug it in again, or ask for another --camera-format",
    };
    Failure::other(anyhow!(error).context(advice))
}

fn fourcc_from_pixel_format(format: PixelFormat) -> FourCC {
    FourCC::new(match format {
        PixelFormat::Mjpeg => b"MJPG",
        PixelFormat::Yuyv => b"YUYV",
        PixelFormat::Uyvy => b"UYVY",
        PixelFormat::Nv12 => b"NV12",
        PixelFormat::Yu12 => b"YU12",
        PixelFormat::Yv12 => b"YV12",
        PixelFormat::Rgb3 => b"RGB3",
        PixelFormat::Bgr3 => b"BGR3",
        PixelFormat::H264 => b"H264",
        PixelFormat::Grey => b"GREY",
    })
}

fn pixel_format_from_fourcc(fourcc: FourCC) -> Option<PixelFormat> {
    // Few drivers say JPEG, and mean the same.
    let known = PixelFormat::ALL.into_iter().find(|format| fourcc_from_pixel_format(*format) == fourcc);
    known.or_else(|| (&fourcc.repr == b"JPEG").then_some(PixelFormat::Mjpeg))
}

/// How colors are coded: the rules of V4L2_MAP_YCBCR_ENC_DEFAULT and V4L2_MAP_QUANTIZATION_DEFAULT in `linux/videodev2.h`,
/// for where a driver leaves it open. A driver can name a matrix against these rules; v4l does not hand that on.
fn encoding(format: &Format) -> Encoding {
    let matrix = match format.colorspace {
        Colorspace::Rec709 | Colorspace::DCIP3 => Matrix::Bt709,
        Colorspace::Rec2020 => Matrix::Bt2020,
        _ => Matrix::Bt601,
    };
    let range = match (format.quantization, format.colorspace) {
        (Quantization::FullRange, _) | (Quantization::Default, Colorspace::JPEG) => Range::Full,
        // Infrared cameras use all of a byte.
        (Quantization::Default, _) if pixel_format_from_fourcc(format.fourcc) == Some(PixelFormat::Grey) => Range::Full,
        _ => Range::Limited,
    };
    Encoding { matrix, range }
}

/// The sizes of a format: where there are steps, the common ones and the one asked for if they lie on them, and the ends.
fn sizes(size: &FrameSizeEnum, asked: Option<&WantedFormat>) -> Vec<(u32, u32)> {
    match size {
        FrameSizeEnum::Discrete(size) => vec![(size.width, size.height)],
        FrameSizeEnum::Stepwise(steps) => {
            let on_step = |value: u32, min: u32, max: u32, step: u32| {
                (min..=max).contains(&value) && (value - min).is_multiple_of(step.max(1))
            };
            let ends = [(steps.min_width, steps.min_height), (steps.max_width, steps.max_height)];
            let mut sizes: Vec<_> = COMMON_SIZES
                .into_iter()
                .chain(asked.map(|asked| asked.size))
                .filter(|&(width, height)| {
                    on_step(width, steps.min_width, steps.max_width, steps.step_width)
                        && on_step(height, steps.min_height, steps.max_height, steps.step_height)
                })
                .chain(ends)
                .collect();
            sizes.sort_unstable();
            sizes.dedup();
            sizes
        }
    }
}

/// The rates of a size: where there are steps, the common ones and the one asked for if they lie between the ends.
fn rates(interval: &FrameIntervalEnum, asked: Option<&WantedFormat>) -> Vec<Rate> {
    let rate = |interval: Fraction| Rate { frames: interval.denominator, seconds: interval.numerator };
    match interval {
        FrameIntervalEnum::Discrete(interval) if interval.numerator > 0 => vec![rate(*interval)],
        FrameIntervalEnum::Discrete(_) => Vec::new(),
        FrameIntervalEnum::Stepwise(steps) => {
            // The longest interval is the lowest rate.
            let (lowest, highest) = (rate(steps.max).fps(), rate(steps.min).fps());
            let common = COMMON_RATES.map(|frames| Rate { frames, seconds: 1 }).into_iter();
            let within = |rate: &Rate| (lowest..=highest).contains(&rate.fps());
            common.chain(asked.and_then(WantedFormat::rate)).filter(within).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use v4l::framesize::{Discrete, Stepwise};

    use super::*;

    #[test]
    fn names_that_are_said_twice_are_said_once() {
        assert_eq!(tidy_name("Integrated Camera: Integrated C"), "Integrated Camera");
        assert_eq!(tidy_name("HD Pro Webcam C920"), "HD Pro Webcam C920");
        assert_eq!(tidy_name("Cam: left"), "Cam: left");
    }

    #[test]
    fn cameras_with_steps_offer_common_sizes_and_rates() {
        let asked = "1024x768@12.5".parse().ok();
        assert_eq!(sizes(&FrameSizeEnum::Discrete(Discrete { width: 5, height: 7 }), asked.as_ref()), [(5, 7)]);
        let (min, max) = (64, 1920);
        let steps = Stepwise {
            min_width: min,
            max_width: max,
            step_width: 2,
            min_height: min,
            max_height: 1080,
            step_height: 0,
        };
        let sizes = sizes(&FrameSizeEnum::Stepwise(steps), asked.as_ref());
        assert_eq!(sizes, [(64, 64), (320, 240), (640, 480), (800, 600), (1024, 768), (1280, 720), (1920, 1080)]);
        let second = |numerator, denominator| Fraction { numerator, denominator };
        let steps = v4l::frameinterval::Stepwise { min: second(1, 30), max: second(1, 12), step: second(1, 1) };
        let steps = FrameIntervalEnum::Stepwise(steps);
        let found =
            |asked: Option<&WantedFormat>| rates(&steps, asked).iter().map(|rate| rate.fps()).collect::<Vec<_>>();
        assert_eq!(found(None), [15.0, 25.0, 30.0]);
        assert_eq!(found(asked.as_ref()), [15.0, 25.0, 30.0, 12.5]);
        assert_eq!(found("640x480@50".parse().ok().as_ref()), [15.0, 25.0, 30.0]);
        assert!(rates(&FrameIntervalEnum::Discrete(second(0, 30)), None).is_empty());
    }

    #[test]
    fn colours_are_coded_as_the_driver_says_or_as_the_standard_has_it() {
        let encoding = |colorspace, quantization| {
            let format = Format::new(2, 2, FourCC::new(b"YUYV"));
            let Encoding { matrix, range } = super::encoding(&Format { colorspace, quantization, ..format });
            (matrix, range)
        };
        let default = Quantization::Default;
        assert_eq!(encoding(Colorspace::Default, default), (Matrix::Bt601, Range::Limited));
        assert_eq!(encoding(Colorspace::SRGB, Quantization::FullRange), (Matrix::Bt601, Range::Full));
        assert_eq!(encoding(Colorspace::Rec709, default), (Matrix::Bt709, Range::Limited));
        assert_eq!(encoding(Colorspace::JPEG, default), (Matrix::Bt601, Range::Full));
    }

    #[test]
    fn errors_say_what_to_try() {
        let camera = camera_id(12345, Path::new("/dev/video12345"));
        let error = |number: Errno| explained(number.into(), &camera);
        let text = |number| format!("{:#}", error(number).error);
        assert!(error(Errno::NODEV).gone && error(Errno::NOENT).gone && !error(Errno::BUSY).gone);
        assert!(text(Errno::ACCESS).contains("group `video`"));
        assert!(text(Errno::BUSY).contains("in use by another program"));
        assert!(format!("{:#}", cannot_start(Errno::NOSPC.into(), &camera).error).contains("bandwidth"));
        let mut errors = 0;
        let mut pardon = |number: Errno| pardoned(&mut errors, number.into());
        assert!(pardon(Errno::NODEV).is_err_and(|failure| failure.gone));
        assert!(pardon(Errno::IO).is_ok() && pardon(Errno::IO).is_ok());
        assert!(pardon(Errno::IO).is_err_and(|failure| !failure.gone));
    }
}
