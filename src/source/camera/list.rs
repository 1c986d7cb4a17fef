//! Which cameras there are, for people who choose one.

use anyhow::{Result, bail};

use super::format::CameraFormat;
use super::holders::Holder;
use super::system;

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
    for place in system::list()? {
        let (mut formats, problem) = match system::formats(&place) {
            Ok(formats) if formats.is_empty() => continue,
            Ok(formats) => (formats, None),
            // The second node of a camera is its metadata, as a rule.
            Err(failure) if failure.gone || place.node > 0 => continue,
            Err(failure) => (Vec::new(), Some(format!("{:#}", failure.error))),
        };
        formats.sort_by_key(|format| (format.pixel_format, format.size(), (format.rate.fps() * 1000.0) as u64));
        formats.dedup();
        let in_use_by = system::users(&place);
        cameras.push(CameraInfo {
            index: place.index,
            name: place.name,
            path: place.path,
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
    let cameras = list_cameras()?;
    let wanted = part.to_lowercase();
    let named: Vec<_> = cameras.iter().filter(|camera| camera.name.to_lowercase().contains(&wanted)).collect();
    match named[..] {
        [] => Ok(None),
        [camera] => Ok(Some(camera.index)),
        _ => {
            let known: Vec<String> =
                named.iter().map(|camera| format!("{} ({}, {})", camera.index, camera.path, camera.name)).collect();
            bail!("{part:?} is part of the names of several cameras: say which by its number: {}", known.join(", "))
        }
    }
}
