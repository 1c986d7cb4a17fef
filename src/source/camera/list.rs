//! Which cameras there are, for people who choose one.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use crossbeam::channel::{RecvTimeoutError, bounded};

use super::device::{CameraId, Failure, NOT_UNDERSTOOD};
use super::format::CameraFormat;
use super::holders::Holder;
use super::system;

/// How long a camera may take to say what it can do.
const PATIENCE: Duration = Duration::from_secs(1);

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
    /// Programs that have it open, as far as the system tells.
    pub in_use_by: Vec<Holder>,
    /// Why its formats are not known: it may not be opened, as a rule.
    pub problem: Option<String>,
}

/// The cameras of this machine, by index. Nodes that cannot capture are left out.
///
/// A camera has to be opened to learn its formats; on some systems its light comes on for a moment.
///
/// # Errors
/// When the system can't be asked.
pub fn list_cameras() -> Result<Vec<CameraInfo>> {
    let mut cameras = Vec::new();
    for camera in system::list()? {
        let (mut formats, problem) = match formats_of(&camera) {
            Ok(formats) if formats.is_empty() => continue,
            Ok(formats) => (formats, None),
            // The second node of a camera is its metadata, as a rule.
            Err(failure) if failure.gone || camera.node > 0 => continue,
            Err(failure) => (Vec::new(), Some(format!("{:#}", failure.error))),
        };
        formats.sort_by_key(|format| (format.pixel_format, format.size(), (format.rate.fps() * 1000.0) as u64));
        formats.dedup();
        let in_use_by = system::users(&camera);
        cameras.push(CameraInfo {
            index: camera.index,
            name: camera.name,
            path: camera.path,
            formats,
            in_use_by,
            problem,
        });
    }
    Ok(cameras)
}

/// The index of the one camera whose name has `part` in it, whatever the case; `None` where there is none.
///
/// # Errors
/// When there are several.
pub(crate) fn camera_named(part: &str) -> Result<Option<u32>> {
    let mut named = system::list()?;
    let part_of = part.to_lowercase();
    named.retain(|camera| camera.name.to_lowercase().contains(&part_of));
    // Only these are opened. One that can't be may well be meant, unless it is a camera's second node.
    named.retain(|camera| formats_of(camera).map_or(camera.node == 0, |formats| !formats.is_empty()));
    match &named[..] {
        [] => Ok(None),
        [camera] => Ok(Some(camera.index)),
        _ => {
            let known: Vec<String> = named.iter().map(|camera| format!("{camera}, {}", camera.name)).collect();
            bail!("{part:?} is part of the names of several cameras: say which by its number: {}", known.join("; "))
        }
    }
}

/// What a camera can deliver. A camera that hangs is left alone: its thread ends when the system lets go of it.
fn formats_of(camera: &CameraId) -> Result<Vec<CameraFormat>, Failure> {
    let (sender, formats) = bounded(1);
    let asked = camera.clone();
    let work = move || _ = sender.send(system::formats(&asked, None));
    let started = thread::Builder::new().name("camera".into()).spawn(work);
    started.map_err(|error| Failure::other(error.into()))?;
    formats.recv_timeout(PATIENCE).unwrap_or_else(|error| {
        Err(Failure::other(match error {
            RecvTimeoutError::Timeout => anyhow!("it does not answer; unplug it and plug it in again"),
            RecvTimeoutError::Disconnected => anyhow!(NOT_UNDERSTOOD),
        }))
    })
}
