//! Where results go: a window, a video, a table, pictures.
//!
//! Owns how an output is named ([`SinkSpec`]), the checks made before anything is written, and what every output can do
//! ([`Sink`]). Each kind lives in a file of its own. The [`Window`] is no [`Sink`]: it belongs to the main thread and has
//! to be kept alive between frames.

mod fit;
mod recorder;
mod stills;
mod table;
mod window;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::RgbImage;

pub use window::{Window, check_display};

use crate::draw;
use crate::pipeline::Annotated;

/// Takes results, one frame at a time, in order.
pub trait Sink {
    /// Takes one frame's results. `Break` asks for the end of the run (the reader of a pipe has gone).
    ///
    /// # Errors
    /// When the output can't be written.
    fn write(&mut self, annotated: &Annotated) -> Result<ControlFlow<()>>;

    /// Completes the output; nothing is written after it. Called once, also after a failed run.
    ///
    /// # Errors
    /// When what is left can't be written.
    fn finish(&mut self) -> Result<()>;
}

/// An output as a user names it: the extension picks the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkSpec {
    /// `-`: JSON lines on standard output.
    Stdout,
    /// `.jsonl`: one JSON object a frame.
    Jsonl(PathBuf),
    /// `.csv`: one row a face.
    Csv(PathBuf),
    /// `.mp4`: H.264 video with boxes and labels.
    Video(PathBuf),
    /// `.png`: the only frame of a picture.
    Still(PathBuf),
    /// A folder (an existing one, or a name that ends in a slash): one PNG a frame.
    Stills(PathBuf),
}

impl FromStr for SinkSpec {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::try_from(OsStr::new(name))
    }
}

impl TryFrom<&OsStr> for SinkSpec {
    type Error = anyhow::Error;

    /// Names of files need not be text.
    fn try_from(name: &OsStr) -> Result<Self> {
        if name == "-" {
            return Ok(Self::Stdout);
        }
        let path = PathBuf::from(name);
        if name.to_string_lossy().ends_with(std::path::is_separator) {
            // Without the slash, which would hide that a file of this name exists.
            return Ok(Self::Stills(path.components().collect()));
        }
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("mp4") => Ok(Self::Video(path)),
            Some("jsonl") => Ok(Self::Jsonl(path)),
            Some("csv") => Ok(Self::Csv(path)),
            Some("png") => Ok(Self::Still(path)),
            _ if path.is_dir() => Ok(Self::Stills(path)),
            _ => Err(anyhow!(
                "{name:?} is no known output: name a file that ends in .mp4 (annotated video), .jsonl or .csv (data), \
                 .png (one picture), a folder that ends in a slash (PNGs), or - for JSON lines on standard output"
            )),
        }
    }
}

impl fmt::Display for SinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            None => f.write_str("standard output"),
            Some(path) => write!(f, "{}", path.display()),
        }
    }
}

impl SinkSpec {
    /// The file or folder that is written; `None` for standard output.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout => None,
            Self::Jsonl(path) | Self::Csv(path) | Self::Video(path) | Self::Still(path) | Self::Stills(path) => {
                Some(path)
            }
        }
    }

    /// Whether it shows annotated pictures. Encoding them takes longer than all else that an output does, so these outputs
    /// belong on the recorder's thread; the others take microseconds.
    pub fn wants_picture(&self) -> bool {
        match self {
            Self::Stdout | Self::Jsonl(_) | Self::Csv(_) => false,
            Self::Video(_) | Self::Still(_) | Self::Stills(_) => true,
        }
    }

    /// Tells before a run what [`open`](Self::open) would refuse, and changes nothing.
    ///
    /// # Errors
    /// When the parent folder doesn't exist, a file is a folder or a folder a file, or, without `force`, when something
    /// would be overwritten.
    pub fn check(&self, force: bool) -> Result<()> {
        let Some(path) = self.path() else { return Ok(()) };
        let parent = parent_of(path);
        ensure!(
            parent.is_dir(),
            "{self} can't be written: the folder {} does not exist (create it with: mkdir -p {0})",
            parent.display()
        );
        if let Self::Stills(folder) = self {
            return stills::check(folder, force);
        }
        ensure!(!path.is_dir(), "{self} can't be written: it is a folder");
        // A link that leads nowhere is there, too: symlink_metadata does not follow it.
        let exists = fs::symlink_metadata(path).is_ok();
        ensure!(force || !exists, "{self} exists already (--force overwrites it)");
        Ok(())
    }

    /// Opens the output for writing.
    ///
    /// # Errors
    /// As [`check`](Self::check), and when the system refuses.
    pub fn open(&self, force: bool) -> Result<Box<dyn Sink + Send>> {
        self.check(force)?;
        Ok(match self {
            Self::Stdout => Box::new(table::Jsonl::new(Box::new(io::stdout()), self.to_string())),
            Self::Jsonl(path) => Box::new(table::Jsonl::new(Box::new(create(path, force)?), self.to_string())),
            Self::Csv(path) => Box::new(table::Csv::new(Box::new(create(path, force)?), self.to_string())?),
            Self::Video(path) => Box::new(recorder::Recorder::create(path, force)?),
            Self::Still(path) => Box::new(stills::Still::new(path, force)),
            Self::Stills(folder) => Box::new(stills::Stills::create(folder, force)?),
        })
    }
}

/// Refuses outputs that would write to the same place.
///
/// # Errors
/// Naming the first output that is named twice.
pub fn check_distinct(specs: &[SinkSpec]) -> Result<()> {
    let mut seen = HashSet::new();
    for spec in specs {
        // The same file by another name (./a.csv and a.csv) is the same file.
        let place = spec.path().map(|path| {
            let parent = parent_of(path);
            let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_path_buf());
            path.file_name().map_or_else(|| path.to_path_buf(), |name| parent.join(name))
        });
        if !seen.insert(place) {
            bail!("{spec} is named twice as an output");
        }
    }
    Ok(())
}

/// The folder that a path lies in; the current one for a bare name.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates a file; without `force` only where none is.
fn create(path: &Path, force: bool) -> Result<fs::File> {
    let mut options = fs::File::options();
    let options =
        if force { options.write(true).create(true).truncate(true) } else { options.write(true).create_new(true) };
    options.open(path).with_context(|| format!("{} can't be written", path.display()))
}

/// The annotated picture: the one that was drawn for the window too, or else drawn here.
fn picture_of(annotated: &Annotated) -> Arc<RgbImage> {
    annotated
        .picture
        .clone()
        .unwrap_or_else(|| Arc::new(draw::annotated_picture(&annotated.frame, &annotated.predictions)))
}

#[cfg(test)]
mod tests;
