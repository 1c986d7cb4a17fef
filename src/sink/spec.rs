//! How an output is named, and the checks made before anything is written.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use anyhow::{Context, Result, anyhow, ensure};

use super::naming::{self, Naming, Pattern};
use super::options::OutputOptions;
use super::output::Output;
use super::part::{self, Leftover, PartFile};
use super::picture_file::is_picture;
use super::record::{self, Record};
use super::record_file::RecordFile;
use super::remux::Form;
use super::template::{self, Variables};
use super::{Made, Shown, Sink, crops, recorder, stills, summary, table, virtual_camera};
use crate::system::files::folder_of;

/// An output as a user names it: the extension picks the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkSpec {
    /// `-`: JSON lines on standard output.
    Stdout,
    /// `.jsonl`: one JSON object a frame.
    Jsonl(PathBuf),
    /// `.json`: the same objects, as one array.
    Json(PathBuf),
    /// `.csv`: one row a face.
    Csv(PathBuf),
    /// `.mp4` or `.mkv`: H.264 video with boxes and labels.
    Video(PathBuf),
    /// The same without them, for `--clean`.
    CleanVideo(PathBuf),
    /// What each face showed over the whole run, as JSON and as a picture of the same name, for `--summary`.
    Summary(PathBuf),
    /// `.png` or `.jpg`: the only frame of a picture.
    Still(PathBuf),
    /// A folder (an existing one, or a name that ends in a slash): one PNG a frame.
    Stills(PathBuf),
    /// One picture a frame, whose name has the frame's number: `%d`, `%06d` or `{frame}`.
    Numbered(Pattern),
    /// One picture a face, whose name has the face's number, `{id}`.
    Crops(Pattern),
    /// A device that other programs take for a camera: `/dev/video10`.
    VirtualCamera(PathBuf),
}

impl TryFrom<&OsStr> for SinkSpec {
    type Error = anyhow::Error;

    /// Names of files need not be text.
    fn try_from(name: &OsStr) -> Result<Self> {
        if name == "-" {
            return Ok(Self::Stdout);
        }
        let path = PathBuf::from(name);
        if virtual_camera::is_device(&path) {
            return Ok(Self::VirtualCamera(path));
        }
        template::check(&path)?;
        if name.to_string_lossy().ends_with(std::path::is_separator) {
            // Without the slash, which would hide that a file of this name exists.
            return Ok(Self::Stills(path.components().collect()));
        }
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("mp4" | "mkv") => Ok(Self::Video(path)),
            Some("jsonl") => Ok(Self::Jsonl(path)),
            Some("json") => Ok(Self::Json(path)),
            Some("csv") => Ok(Self::Csv(path)),
            _ if is_picture(&path) => Ok(match Pattern::parse(&path)? {
                Some(pattern) if pattern.is_of_faces() => Self::Crops(pattern),
                Some(pattern) => Self::Numbered(pattern),
                None => Self::Still(path),
            }),
            _ if path.is_dir() => Ok(Self::Stills(path)),
            _ => Err(anyhow!(
                "{name:?} is no known output: name a file that ends in .mp4 or .mkv (annotated video), .jsonl, .json or .csv \
                 (data), .png or .jpg (one picture), a folder that ends in a slash, /dev/video10 (a virtual camera), or - for \
                 JSON lines on standard output"
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
    /// The summary of a run.
    ///
    /// # Errors
    /// When the name does not end in .json, or has a variable that does not exist.
    pub fn summary(name: &OsStr) -> Result<Self> {
        let path = PathBuf::from(name);
        ensure!(path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json")), "name a file that ends in .json");
        template::check(&path)?;
        Ok(Self::Summary(path))
    }

    /// The file or folder that is written; `None` for standard output.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout => None,
            Self::Jsonl(path)
            | Self::Json(path)
            | Self::Csv(path)
            | Self::Video(path)
            | Self::CleanVideo(path)
            | Self::Summary(path)
            | Self::Still(path)
            | Self::Stills(path)
            | Self::VirtualCamera(path) => Some(path),
            Self::Numbered(pattern) | Self::Crops(pattern) => Some(pattern.path()),
        }
    }

    /// Whether an input is named in it, so that each has one of its own.
    pub fn names_input(&self) -> bool {
        self.path().is_some_and(template::names_input)
    }

    /// Whether it is data, of which one file may hold that of many inputs.
    pub fn may_be_shared(&self) -> bool {
        self.is_data() || *self == Self::Stdout
    }

    /// An input's own.
    #[must_use]
    pub fn of_input(&self, variables: &Variables) -> Self {
        let filled = |path: &Path| template::filled(path, variables);
        match self {
            Self::Stdout => Self::Stdout,
            Self::Jsonl(path) => Self::Jsonl(filled(path)),
            Self::Json(path) => Self::Json(filled(path)),
            Self::Csv(path) => Self::Csv(filled(path)),
            Self::Video(path) => Self::Video(filled(path)),
            Self::CleanVideo(path) => Self::CleanVideo(filled(path)),
            Self::Summary(path) => Self::Summary(filled(path)),
            Self::Still(path) => Self::Still(filled(path)),
            Self::Stills(path) => Self::Stills(filled(path)),
            Self::Numbered(pattern) => Self::Numbered(pattern.of_input(variables)),
            Self::Crops(pattern) => Self::Crops(pattern.of_input(variables)),
            Self::VirtualCamera(path) => Self::VirtualCamera(path.clone()),
        }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Stills(_))
    }

    /// The folder that it is or is in, as far as that is the same for all inputs.
    pub fn fixed_folder(&self) -> PathBuf {
        match self {
            Self::Stills(path) => template::fixed_folder(&path.join("file")),
            _ => self.path().map(template::fixed_folder).unwrap_or_default(),
        }
    }

    /// The picture beside a summary, as an output of its own.
    pub fn timeline(&self) -> Option<Self> {
        if let Self::Summary(path) = self { Some(Self::Still(summary::picture_path(path))) } else { None }
    }

    /// The name that the file has until it is whole, where there is one.
    pub fn part_path(&self) -> Option<PathBuf> {
        let named = !matches!(self, Self::Stills(_) | Self::Numbered(_) | Self::Crops(_) | Self::VirtualCamera(_));
        self.path().filter(|_| named).map(part::part_path)
    }

    /// The file with the record of what made it, where its own form has no place for that.
    fn record_path(&self) -> Option<PathBuf> {
        self.path().filter(|_| self.is_data()).map(record::beside)
    }

    fn is_data(&self) -> bool {
        matches!(self, Self::Jsonl(_) | Self::Json(_) | Self::Csv(_))
    }

    /// All files that writing it makes or replaces, also for a while. Of frames, those that are there already.
    pub fn places(&self) -> Vec<PathBuf> {
        let Some(path) = self.path() else { return Vec::new() };
        match self {
            Self::Stills(folder) => naming::files_in(folder, &Naming::default()),
            Self::Numbered(pattern) | Self::Crops(pattern) => naming::files_in(pattern.folder(), pattern.naming()),
            _ => {
                let beside = self.timeline().map(|picture| picture.places()).unwrap_or_default();
                let own = [Some(path.to_path_buf()), self.part_path(), self.record_path()];
                own.into_iter().flatten().chain(beside).collect()
            }
        }
    }

    /// What is known of the file that is there already, as an output of the job that has this record.
    pub fn made(&self, record: &Record) -> Made {
        let Some(path) = self.path() else { return Made::Nothing };
        let Ok(file) = fs::symlink_metadata(path) else { return Made::Nothing };
        let found = self.record_path().map_or_else(|| Record::inside(path), |path| Record::inside(&path));
        let Some(found) = found else { return Made::Other("it has no record of what made it".to_owned()) };
        if self.is_data() && found.bytes != Some(file.len()) {
            return Made::Other("it is not what its record tells of".to_owned());
        }
        let differences = record.differences(&found);
        if differences.is_empty() { Made::ThisJob { whole: found.whole } } else { Made::Other(differences.join("; ")) }
    }

    /// Whether writing a frame takes long: encoding takes more time than all else that an output does, so these outputs
    /// belong on the recorder's thread; the others take microseconds.
    pub fn takes_time(&self) -> bool {
        !(self.is_data() || matches!(self, Self::Stdout | Self::Summary(_)))
    }

    /// Whether it shows annotated pictures.
    pub fn wants_drawing(&self) -> bool {
        self.takes_time() && !matches!(self, Self::CleanVideo(_) | Self::Crops(_))
    }

    /// Whether a frame would take the place of the one before it.
    pub fn is_for_one_picture(&self) -> bool {
        matches!(self, Self::Crops(pattern) if !pattern.tells_frames_apart())
    }

    /// Tells before a run what [`open`](Self::open) would refuse, and changes nothing.
    ///
    /// # Errors
    /// When the parent folder doesn't exist, a file is a folder or a folder a file, or, without `force`, when something
    /// would be overwritten; of a virtual camera, when it is none.
    pub fn check(&self, options: OutputOptions<'_>) -> Result<()> {
        let Some(path) = self.path() else { return Ok(()) };
        if let Self::VirtualCamera(path) = self {
            return virtual_camera::check(path);
        }
        let parent = folder_of(path);
        ensure!(
            parent.is_dir(),
            "{self} can't be written: the folder {} does not exist (create it with: mkdir -p {0})",
            parent.display()
        );
        if let Self::Stills(folder) = self {
            return naming::check(folder, &Naming::default(), options.force);
        }
        if let Self::Numbered(pattern) | Self::Crops(pattern) = self {
            return naming::check(parent, pattern.naming(), options.force);
        }
        if let Self::Video(path) | Self::CleanVideo(path) = self {
            Form::of(path).check(path)?;
        }
        let leftover = options.leftover(path);
        self.check_file(path, options, leftover)?;
        if let Some(picture) = self.timeline() {
            // What is left of the picture belongs to what is left of the summary.
            let path = summary::picture_path(path);
            let checked = picture.check_file(&path, options, leftover);
            checked.context("the picture of a summary lies beside it")?;
        }
        if let Some(beside) = options.record.and_then(|_| self.record_path()) {
            // A record of data that are gone tells nothing any more.
            ensure!(
                options.force || fs::symlink_metadata(&beside).is_err() || Record::inside(&beside).is_some(),
                "{} is there, where the record of what made {self} is to be (--force overwrites it)",
                beside.display()
            );
        }
        Ok(())
    }

    fn check_file(&self, path: &Path, options: OutputOptions<'_>, leftover: Leftover) -> Result<()> {
        ensure!(!path.is_dir(), "{self} can't be written: it is a folder");
        // A link that leads nowhere is there, too: symlink_metadata does not follow it.
        let exists = fs::symlink_metadata(path).is_ok();
        let is_own = || options.again && options.record.is_some_and(|record| self.made(record).is_own());
        ensure!(options.force || !exists || is_own(), "{self} exists already (--force overwrites it)");
        if self.is_written_in_part(options) { part::check(path, leftover) } else { Ok(()) }
    }

    /// Whether it has another name until it is whole. Data have not where others can follow them; an array they can't.
    fn is_written_in_part(&self, options: OutputOptions<'_>) -> bool {
        self.part_path().is_some() && !(options.live && matches!(self, Self::Jsonl(_) | Self::Csv(_)))
    }

    /// Opens the output for writing.
    ///
    /// # Errors
    /// As [`check`](Self::check), and when the system refuses.
    pub fn open(&self, options: OutputOptions<'_>) -> Result<Box<dyn Sink + Send>> {
        self.check(options)?;
        let table = |path: &Path| -> Result<Output> {
            let (output, file) = if self.is_written_in_part(options) {
                let part = PartFile::create(path, options.overwrites(path), options.leftover(path))?;
                let file = part.file()?;
                (Output::part(part)?, file)
            } else {
                let file = create(path, options.force)?;
                (Output::new(Box::new(file.try_clone()?), self.to_string()), file)
            };
            Ok(match options.record {
                Some(record) => output.with_record(RecordFile::begin(path, record)?, file),
                None => output,
            })
        };
        Ok(match self {
            Self::Stdout => {
                let out = Output::new(Box::new(io::stdout()), self.to_string());
                Box::new(table::Table::jsonl(out, options))
            }
            Self::Jsonl(path) => Box::new(table::Table::jsonl(table(path)?, options)),
            Self::Json(path) => Box::new(table::Table::json(table(path)?, options)),
            Self::Csv(path) => Box::new(table::Table::csv(table(path)?, options)?),
            Self::Video(path) => Box::new(recorder::Recorder::create(path, Shown::Labelled, options)?),
            Self::CleanVideo(path) => Box::new(recorder::Recorder::create(path, Shown::Clean, options)?),
            Self::Summary(path) => Box::new(summary::SummarySink::create(path, options)?),
            Self::Still(path) => Box::new(stills::Still::new(path, options)),
            Self::Stills(folder) => Box::new(stills::Stills::create(folder, Naming::default(), options)?),
            Self::Numbered(pattern) => {
                Box::new(stills::Stills::create(pattern.folder(), pattern.naming().clone(), options)?)
            }
            Self::VirtualCamera(path) => Box::new(virtual_camera::VirtualCamera::open(path)?),
            Self::Crops(pattern) => Box::new(crops::Crops::new(pattern, options)),
        })
    }
}

/// Whether all outputs that have another name until they are whole bear their own by now. Of those that have none nothing
/// can be told so; where there are no others it is false.
pub fn are_whole<'a>(specs: impl IntoIterator<Item = &'a SinkSpec>) -> bool {
    let named = specs.into_iter().filter_map(|spec| Some((spec.path()?, spec.part_path()?)));
    let whole: Vec<bool> = named.map(|(path, part)| path.is_file() && !part.exists()).collect();
    !whole.is_empty() && whole.into_iter().all(|is_whole| is_whole)
}

/// Refuses outputs that would write to the same place, also for a while.
///
/// # Errors
/// Naming the first output that is named twice.
pub fn check_distinct(specs: &[SinkSpec]) -> Result<()> {
    let mut seen = HashSet::new();
    for spec in specs {
        // The same file by another name (./a.csv and a.csv) is the same file.
        ensure!(seen.insert(spec.path().map(place)), "{spec} is named twice as an output");
    }
    for spec in specs {
        let (record, timeline) = (spec.record_path(), spec.timeline());
        let part = |spec: &SinkSpec| (spec.part_path(), "as the preliminary name of");
        let beside =
            timeline.iter().flat_map(|it| [(it.path().map(Path::to_path_buf), "as the picture beside"), part(it)]);
        for (path, what) in [part(spec), (record, "as the record of")].into_iter().chain(beside) {
            let Some(path) = path else { continue };
            ensure!(
                seen.insert(Some(place(&path))),
                "{} is named twice: as an output and {what} {spec}; choose another name for one of them",
                path.display()
            );
        }
    }
    Ok(())
}

/// A path without detours.
fn place(path: &Path) -> PathBuf {
    let parent = folder_of(path);
    let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_path_buf());
    path.file_name().map_or_else(|| path.to_path_buf(), |name| parent.join(name))
}

/// Creates a file; without `force` only where none is.
fn create(path: &Path, force: bool) -> Result<fs::File> {
    let mut options = fs::File::options();
    options.write(true).create(force).truncate(force).create_new(!force);
    options.open(path).with_context(|| format!("{} can't be written", path.display()))
}
