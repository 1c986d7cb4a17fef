//! Cameras by nokhwa: AVFoundation on macOS, Media Foundation on Windows.
//!
//! Waiting for a frame has no time limit here; whoever calls must be able to leave this thread alone. With the feature
//! `nokhwa` this path is taken on Linux too, where it can be tried.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use crossbeam::channel::bounded;
use nokhwa::utils::{ApiBackend, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution};
use nokhwa::{Camera, NokhwaError};

use super::device::{CameraId, Failure, Opened, RawFrame};
use super::format::{CameraFormat, PixelFormat, Rate, WantedFormat, best_format};
use super::holders::Holder;
use crate::source::pixels::{Encoding, rgb_len};

/// So many failures one after the other are no accident.
const MOST_ERRORS: u32 = 30;

/// What nokhwa says of a device that has no format that we read, such as the metadata node of a webcam. Its spelling.
const NO_FORMAT: &str = "Failed to Fufill";

/// What the systems call a camera that is not there any more, as nokhwa hands it on: Linux's ENODEV.
const NO_SUCH_DEVICE: &str = "(os error 19)";

/// How long the user has to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The formats that can be read.
const FRAME_FORMATS: [FrameFormat; 6] = [
    FrameFormat::MJPEG,
    FrameFormat::YUYV,
    FrameFormat::NV12,
    FrameFormat::RAWRGB,
    FrameFormat::RAWBGR,
    FrameFormat::GRAY,
];

/// The cameras that nokhwa knows, by index.
pub(super) fn list() -> Result<Vec<CameraId>> {
    if cfg!(target_os = "macos") {
        ask_for_permission()?;
    }
    let known = nokhwa::query(ApiBackend::Auto).context("cannot ask the system for its cameras")?;
    let mut ids = Vec::new();
    for camera in known {
        let index = camera.index().as_index().context("a camera without an index")?;
        let (name, path) = (camera.human_name(), camera.description().to_owned());
        ids.push(CameraId { index, name, path, port: camera.misc(), node: 0 });
    }
    ids.sort_by_key(|id| id.index);
    Ok(ids)
}

/// Asks the user of a Mac, once for all time, whether this program may use cameras. nokhwa wants to be told to.
fn ask_for_permission() -> Result<()> {
    if nokhwa::nokhwa_check() {
        return Ok(());
    }
    let (sender, answer) = bounded(1);
    nokhwa::nokhwa_initialize(move |may| _ = sender.try_send(may));
    let may = answer.recv_timeout(PATIENCE).unwrap_or(false);
    ensure!(may, "this program may not use cameras: allow it in System Settings, Privacy & Security, Camera");
    Ok(())
}

/// What a camera can deliver and emocam can read; nothing where a device is no camera.
pub(super) fn formats(id: &CameraId, _asked: Option<&WantedFormat>) -> Result<Vec<CameraFormat>, Failure> {
    match camera(id) {
        Ok(mut camera) => known_formats(&mut camera),
        Err(error) if error.to_string().contains(NO_FORMAT) => Ok(Vec::new()),
        Err(error) => Err(explained(error)),
    }
}

/// Nobody knows here which programs use a camera.
pub(super) fn users(_id: &CameraId) -> Vec<Holder> {
    Vec::new()
}

/// A camera that is on.
pub(super) struct Device {
    camera: Camera,
    opened: Opened,
    errors: u32,
    frame: Vec<u8>,
}

impl Device {
    /// Opens a camera in the format that comes nearest to what was asked for, and starts it.
    pub(super) fn open(id: &CameraId, asked: Option<&WantedFormat>) -> Result<Self, Failure> {
        let mut camera = camera(id).map_err(explained)?;
        let wanted = best_format(&known_formats(&mut camera)?, asked).ok_or_else(|| {
            Failure::other(anyhow!("it has no format that emocam can read here (MJPEG, YUYV, NV12, RGB3, BGR3, GREY)"))
        })?;
        let resolution = Resolution::new(wanted.width, wanted.height);
        let pixels = frame_format_from_pixel_format(wanted.pixel_format)
            .ok_or_else(|| Failure::other(anyhow!("{wanted} can't be asked of it here")))?;
        let exact = nokhwa::utils::CameraFormat::new(resolution, pixels, wanted.rate.frames);
        if camera.camera_format() != exact {
            let request = RequestedFormat::with_formats(RequestedFormatType::Exact(exact), &FRAME_FORMATS);
            camera.set_camera_requset(request).map_err(explained)?;
        }
        camera.open_stream().map_err(explained)?;
        let format = known_format(&camera.camera_format())
            .ok_or_else(|| Failure::other(anyhow!("asked for {wanted}, it insists on another format")))?;
        let stride = match format.pixel_format {
            PixelFormat::Yuyv | PixelFormat::Uyvy => format.width.div_ceil(2) as usize * 4,
            PixelFormat::Nv12 | PixelFormat::Yu12 | PixelFormat::Yv12 => format.width.next_multiple_of(2) as usize,
            PixelFormat::Rgb3 | PixelFormat::Bgr3 => format.width as usize * 3,
            PixelFormat::Mjpeg | PixelFormat::H264 | PixelFormat::Grey => format.width as usize,
        };
        let opened = Opened { format, stride, encoding: Encoding::default() };
        Ok(Self { camera, opened, errors: 0, frame: Vec::new() })
    }

    /// What was agreed on.
    pub(super) fn opened(&self) -> Opened {
        self.opened
    }

    /// The next frame, however long that takes.
    pub(super) fn read(&mut self, _patience: Duration) -> Result<Option<RawFrame<'_>>, Failure> {
        match self.camera.frame_raw() {
            Ok(bytes) => {
                self.errors = 0;
                self.frame.clear();
                self.frame.extend_from_slice(&bytes);
                Ok(Some(RawFrame { bytes: &self.frame, damaged: bytes.is_empty(), sequence: None, stamp: None }))
            }
            Err(error) if error.to_string().contains(NO_SUCH_DEVICE) => Err(Failure::gone(anyhow!("unplugged"))),
            Err(error) => {
                self.errors += 1;
                if self.errors > MOST_ERRORS {
                    return Err(Failure::other(anyhow!(error).context("reading fails")));
                }
                Ok(None)
            }
        }
    }
}

fn camera(id: &CameraId) -> Result<Camera, NokhwaError> {
    let any = RequestedFormat::with_formats(RequestedFormatType::None, &FRAME_FORMATS);
    Camera::new(CameraIndex::Index(id.index), any)
}

fn known_formats(camera: &mut Camera) -> Result<Vec<CameraFormat>, Failure> {
    let formats = camera.compatible_camera_formats().map_err(explained)?;
    let known = formats.iter().filter_map(known_format);
    Ok(known.filter(|format| rgb_len(format.width, format.height).is_ok()).collect())
}

fn explained(error: NokhwaError) -> Failure {
    let advice = "cannot be opened: is another program using it, and may this program use cameras?";
    Failure::other(anyhow!(error).context(advice))
}

/// What nokhwa calls a format; it does not know all.
fn frame_format_from_pixel_format(format: PixelFormat) -> Option<FrameFormat> {
    match format {
        PixelFormat::Mjpeg => Some(FrameFormat::MJPEG),
        PixelFormat::Yuyv => Some(FrameFormat::YUYV),
        PixelFormat::Nv12 => Some(FrameFormat::NV12),
        PixelFormat::Rgb3 => Some(FrameFormat::RAWRGB),
        PixelFormat::Bgr3 => Some(FrameFormat::RAWBGR),
        PixelFormat::Grey => Some(FrameFormat::GRAY),
        PixelFormat::Uyvy | PixelFormat::Yu12 | PixelFormat::Yv12 | PixelFormat::H264 => None,
    }
}

fn known_format(format: &nokhwa::utils::CameraFormat) -> Option<CameraFormat> {
    let pixel_format =
        PixelFormat::ALL.into_iter().find(|known| frame_format_from_pixel_format(*known) == Some(format.format()))?;
    let rate = Rate { frames: format.frame_rate(), seconds: 1 };
    Some(CameraFormat { pixel_format, width: format.width(), height: format.height(), rate })
}
