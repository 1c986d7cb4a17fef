//! Cameras, by way of nokhwa: V4L2 on Linux, the system's own interface elsewhere.
//!
//! Owns which cameras there are, which of a camera's formats is taken, and how its frames become RGB8. A camera delivers
//! whether or not anyone asks: what is not taken in time is lost in the driver. Waiting for a frame has no time limit here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nokhwa::utils::{ApiBackend, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType};
use nokhwa::{Camera, NokhwaError};

use super::pixels::{Encoding, Rgb, rgb_from_jpeg, rgb_from_nv12, rgb_from_yuyv, rgb_len};
use super::{Source, SourceInfo};
use crate::buffers::Buffers;
use crate::frame::Frame;

/// The formats that can be read, the best first: MJPEG is the one in which USB cameras reach their full frame rate.
const PIXEL_FORMATS: [FrameFormat; 3] = [FrameFormat::MJPEG, FrameFormat::YUYV, FrameFormat::NV12];

/// The wanted size: enough for a face at the other end of a desk, and cheap to search.
const WANTED_SIZE: (u32, u32) = (640, 480);

/// The wanted frames per second, and the fewest that look like motion.
const WANTED_FPS: u32 = 30;
const LOWEST_FPS: u32 = 25;

/// A camera that delivers this many bad frames one after the other, a second's worth, will not recover by itself.
const MOST_BAD_FRAMES: u32 = 30;

/// What nokhwa says of a device that has no format that we read, such as the metadata node of a webcam. Its spelling.
const NO_FORMAT: &str = "Failed to Fufill";

/// What to look for when a camera can't be opened.
const IN_USE: &str = "is another program using it, and may you read it (group `video`)?";

/// A camera, as `emocam cameras` shows it.
#[derive(Clone, Debug)]
pub struct CameraInfo {
    /// What to name as a source.
    pub index: u32,
    /// The camera's own name.
    pub name: String,
    /// Its device file, or where there is no such thing, what the system says of it.
    pub path: String,
    /// What it can deliver and emocam can read.
    pub formats: Vec<CameraFormat>,
    /// Why its formats are not known: it is in use, or may not be opened.
    pub problem: Option<String>,
}

/// One thing that a camera can deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CameraFormat {
    /// `MJPEG`, `YUYV` or `NV12`.
    pub pixel_format: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
}

impl CameraFormat {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

/// The cameras of this machine, by index. Nodes that cannot capture are left out.
///
/// A camera has to be opened to learn its formats, so its light may come on.
///
/// # Errors
/// When the system can't be asked.
pub fn list_cameras() -> Result<Vec<CameraInfo>> {
    let mut cameras = Vec::new();
    for device in nokhwa::query(ApiBackend::Auto).context("cannot ask the system for its cameras")? {
        let index = device.index().as_index().context("a camera without an index")?;
        let (formats, problem) = match open_device(index) {
            Ok(opened) => (opened.formats.iter().filter_map(known_format).collect(), None),
            Err(error) if error.to_string().contains(NO_FORMAT) => continue,
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let path = device_path(index).unwrap_or_else(|| device.description().to_owned());
        let mut camera = CameraInfo { index, name: device.human_name(), path, formats, problem };
        camera.formats.sort();
        camera.formats.dedup();
        cameras.push(camera);
    }
    cameras.sort_by_key(|camera| camera.index);
    Ok(cameras)
}

/// A camera that delivers frames.
pub(super) struct CameraSource {
    info: SourceInfo,
    device: Device,
    format: nokhwa::utils::CameraFormat,
    buffers: Buffers<[u8]>,
    next_id: u64,
    first_at: Option<Instant>,
    ended: bool,
}

impl CameraSource {
    /// Opens a camera by its index and starts it.
    pub(super) fn open_index(index: u32) -> Result<Self> {
        let path = device_path(index);
        let place = path.as_ref().map_or_else(|| format!("camera {index}"), |path| format!("camera {index} ({path})"));
        if path.is_some_and(|path| !Path::new(&path).exists()) {
            bail!("{place}: there is no such device; `emocam cameras` lists those that there are");
        }
        Self::start(index, &place).with_context(|| format!("{place} cannot be opened"))
    }

    /// Opens a camera by its device file, or by a link to it as in `/dev/v4l/by-id`.
    pub(super) fn open_path(path: &Path) -> Result<Self> {
        let device = path.canonicalize().with_context(|| {
            format!("{}: there is no such device; `emocam cameras` lists those that there are", path.display())
        })?;
        let index = device.to_str().and_then(|device| device.strip_prefix("/dev/video")?.parse().ok());
        Self::open_index(index.with_context(|| format!("{} is not a camera (/dev/video0 and so on)", path.display()))?)
    }

    fn start(index: u32, place: &str) -> Result<Self> {
        let Opened { mut device, formats } = open_device(index).map_err(|error| {
            let advice = if error.to_string().contains(NO_FORMAT) {
                "it is no camera, or has no format that emocam can read (MJPEG, YUYV, NV12); `emocam cameras` lists others"
            } else {
                IN_USE
            };
            anyhow!(error).context(advice)
        })?;
        let camera = device.camera()?;
        let wanted = best_format(&formats).context("it has no format that emocam can read (MJPEG, YUYV, NV12)")?;
        if camera.camera_format() != wanted {
            camera.set_camera_requset(RequestedFormat::with_formats(
                RequestedFormatType::Exact(wanted),
                &PIXEL_FORMATS,
            ))?;
        }
        let format = camera.camera_format();
        rgb_len(format.width(), format.height())?;
        camera.open_stream().context(IN_USE)?;
        let (width, height, fps) = (format.width(), format.height(), format.frame_rate());
        let name =
            format!("{place}: {}, {width}x{height} {} at {fps} fps", camera.info().human_name(), format.format());
        let info = SourceInfo { name, live: true, frames: None, fps: Some(f64::from(fps)) };
        Ok(Self { info, device, format, buffers: Buffers::default(), next_id: 0, first_at: None, ended: false })
    }

    fn read_frame(&mut self) -> Result<Frame> {
        let format = self.format;
        let mut bad_frames = 0;
        loop {
            let (captured_at, picture) = match self.device.camera()?.frame_raw() {
                Ok(bytes) => (Instant::now(), decode(&bytes, format, &mut self.buffers)),
                Err(error) => (Instant::now(), Err(read_error(error)?)),
            };
            match picture {
                Ok(Rgb { width, height, pixels }) => {
                    let id = self.next_id;
                    self.next_id += 1;
                    let pts = captured_at.saturating_duration_since(*self.first_at.get_or_insert(captured_at));
                    return Ok(Frame { id, pts, captured_at, width, height, rgb: pixels });
                }
                // Cables and hubs lose bytes now and then; one frame less is better than no camera.
                Err(_) if bad_frames < MOST_BAD_FRAMES => bad_frames += 1,
                Err(error) => return Err(error).context("the camera delivers only damaged frames"),
            }
        }
    }
}

impl Source for CameraSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if self.ended {
            return Ok(None);
        }
        let frame = self.read_frame().with_context(|| self.info.name.clone());
        self.ended = frame.is_err();
        frame.map(Some)
    }
}

/// A camera that may be gone by the time it is closed: closing the stream panics then.
struct Device(Option<Camera>);

impl Device {
    fn camera(&mut self) -> Result<&mut Camera> {
        self.0.as_mut().context("the camera is closed")
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let camera = self.0.take();
        // What is left undone is undone by the system, when the file is closed in the panic's wake.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(camera)));
    }
}

struct Opened {
    device: Device,
    formats: Vec<nokhwa::utils::CameraFormat>,
}

/// Opens a camera in any format that we read, to learn which ones it has.
fn open_device(index: u32) -> Result<Opened, NokhwaError> {
    let any = RequestedFormat::with_formats(RequestedFormatType::None, &PIXEL_FORMATS);
    let mut camera = Camera::new(CameraIndex::Index(index), any)?;
    let formats = camera.compatible_camera_formats()?;
    Ok(Opened { device: Device(Some(camera)), formats })
}

#[cfg(target_os = "linux")]
fn device_path(index: u32) -> Option<String> {
    Some(format!("/dev/video{index}"))
}

#[cfg(not(target_os = "linux"))]
fn device_path(_index: u32) -> Option<String> {
    None
}

fn known_format(format: &nokhwa::utils::CameraFormat) -> Option<CameraFormat> {
    let pixel_format = match format.format() {
        FrameFormat::MJPEG => "MJPEG",
        FrameFormat::YUYV => "YUYV",
        FrameFormat::NV12 => "NV12",
        FrameFormat::GRAY | FrameFormat::RAWRGB | FrameFormat::RAWBGR => return None,
    };
    Some(CameraFormat { pixel_format, width: format.width(), height: format.height(), fps: format.frame_rate() })
}

/// The format that is nearest to what is wanted. Motion comes first, then the size, then how the pixels come.
fn best_format(formats: &[nokhwa::utils::CameraFormat]) -> Option<nokhwa::utils::CameraFormat> {
    let distance = |format: &nokhwa::utils::CameraFormat| {
        let rank = PIXEL_FORMATS.iter().position(|&known| known == format.format())?;
        let fps = format.frame_rate();
        let off = format.width().abs_diff(WANTED_SIZE.0) + format.height().abs_diff(WANTED_SIZE.1);
        let missing_fps = LOWEST_FPS.saturating_sub(fps);
        Some((missing_fps, off, rank, fps.abs_diff(WANTED_FPS)))
    };
    formats
        .iter()
        .filter_map(|format| Some((distance(format)?, format)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, f)| *f)
}

fn decode(bytes: &[u8], format: nokhwa::utils::CameraFormat, buffers: &mut Buffers<[u8]>) -> Result<Rgb> {
    let (width, height) = (format.width(), format.height());
    let (encoding, columns) = (Encoding::default(), (width as usize).next_multiple_of(2));
    let picture = match format.format() {
        FrameFormat::MJPEG => rgb_from_jpeg(bytes, buffers)?,
        FrameFormat::YUYV => rgb_from_yuyv(bytes, width, height, 2 * columns, encoding, buffers)?,
        FrameFormat::NV12 => rgb_from_nv12(bytes, width, height, columns, encoding, buffers)?,
        other => bail!("frames in {other}, which was not asked for"),
    };
    ensure!(
        (picture.width, picture.height) == (width, height),
        "a frame of {}x{} where {width}x{height} was agreed on",
        picture.width,
        picture.height
    );
    Ok(picture)
}

/// Sorts the ways in which reading a frame fails: `Err` where there is no use in trying again. nokhwa hands on the
/// system's error as text only.
fn read_error(error: NokhwaError) -> Result<anyhow::Error> {
    /// What Linux calls ENODEV.
    const NO_SUCH_DEVICE: &str = "(os error 19)";

    let gone = error.to_string().contains(NO_SUCH_DEVICE);
    let error = anyhow!(error);
    if gone { Err(error.context("the camera was unplugged")) } else { Ok(error) }
}

#[cfg(test)]
mod tests {
    use nokhwa::utils::{CameraFormat, Resolution};

    use super::*;

    fn format(pixels: FrameFormat, width: u32, height: u32, fps: u32) -> CameraFormat {
        CameraFormat::new(Resolution::new(width, height), pixels, fps)
    }

    #[test]
    fn motion_comes_before_size_and_size_before_pixels() {
        use FrameFormat::{GRAY, MJPEG, NV12, YUYV};
        let slow = format(YUYV, 640, 480, 10);
        let large = format(MJPEG, 1280, 720, 30);
        let small = format(YUYV, 640, 360, 30);
        assert_eq!(best_format(&[slow, large]), Some(large));
        assert_eq!(best_format(&[slow, large, small]), Some(small));
        let (nv12, mjpeg) = (format(NV12, 640, 480, 30), format(MJPEG, 640, 480, 30));
        assert_eq!(best_format(&[slow, nv12, format(MJPEG, 640, 480, 60), mjpeg]), Some(mjpeg));
        assert_eq!(best_format(&[format(YUYV, 320, 240, 5), slow]), Some(slow));
        assert_eq!(best_format(&[format(GRAY, 640, 480, 30)]), None);
    }

    #[test]
    fn frames_that_are_not_what_was_agreed_on_are_errors() {
        assert!(decode(&[128; 7], format(FrameFormat::YUYV, 2, 2, 30), &mut Buffers::default()).is_err());
        assert!(decode(b"no jpeg", format(FrameFormat::MJPEG, 2, 2, 30), &mut Buffers::default()).is_err());
        assert!(decode(&[128; 8], format(FrameFormat::YUYV, 2, 2, 30), &mut Buffers::default()).is_ok());
    }

    #[test]
    fn only_an_unplugged_camera_is_given_up_at_once() {
        let error = |text: &str| read_error(NokhwaError::ReadFrameError(text.to_owned()));
        assert!(error("No such device (os error 19)").is_err());
        assert!(error("Interrupted system call (os error 4)").is_ok());
        assert!(error("Invalid argument (os error 22)").is_ok());
    }

    /// nokhwa declares its cameras to be `Send` without the compiler's agreement. On Linux they are.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_camera_may_go_to_another_thread() {
        fn assert_send<T: Send>() {}
        assert_send::<nokhwa::backends::capture::V4LCaptureDevice<'static>>();
    }

    #[test]
    fn a_path_that_is_no_camera_is_refused() {
        let message = |path: &str| format!("{:#}", CameraSource::open_path(Path::new(path)).err().unwrap());
        assert!(message("/dev/null").contains("is not a camera"));
        assert!(message("/dev/video12345").contains("emocam cameras"));
    }
}
