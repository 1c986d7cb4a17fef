//! Pictures as a source: one file, or all that lie in a folder.
//!
//! Owns which of them are read, and what is told of the others; how bytes become pixels is in the files below. Frames are in
//! the order of the file names, numbers in them counted as numbers: `2.jpg` before `10.jpg`.

mod animation;
mod decode;
pub(super) mod folder;
mod heif;
mod quarter;

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use image::ImageFormat;

use self::animation::{AnimationSource, animated};
pub(crate) use self::decode::{MAX_FILE_BYTES, rgb_from_bytes};
use self::folder::{NotRead, ends_in, shown};
use super::pixels::Rgb;
use super::{Health, Source, SourceInfo};
use crate::flow::frame::Frame;
use crate::system::buffers::Buffers;
use crate::system::files::read_at_most;
use crate::system::programs::installed;

/// File names that end like this are taken as pictures, which the program reads by itself.
pub(crate) const EXTENSIONS: [&str; 14] =
    ["bmp", "gif", "jfif", "jpeg", "jpg", "pam", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"];

/// How long a picture is shown: time enough to look at it in a video made from a folder.
const PICTURE_TIME: Duration = Duration::from_secs(1);

/// What is told of pictures that move, where they are read as pictures.
const FIRST_FRAME_ALONE: &str = "animated pictures beyond their first frame";

/// Whether a path is named like a picture that the program reads by itself.
pub(crate) fn is_picture(path: &Path) -> bool {
    ends_in(path, &EXTENSIONS)
}

/// Whether a path is named like a picture, of any kind.
pub(super) fn is_any_picture(path: &Path) -> bool {
    is_picture(path) || ends_in(path, &heif::EXTENSIONS)
}

/// How a file that is named like a picture is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As one picture.
    Still,
    /// As a video, here.
    Animation,
    /// As a video, like any other.
    Video,
}

fn kind_of(path: &Path) -> Kind {
    // What can't be opened is told when it is read.
    let moves = |path: &Path| File::open(path).ok().and_then(|file| animated(BufReader::new(file)));
    match moves(path) {
        Some(ImageFormat::WebP) => Kind::Animation,
        Some(ImageFormat::Gif) if installed("ffmpeg").is_some() => Kind::Video,
        _ => Kind::Still,
    }
}

/// Whether a file is read as one picture.
pub(super) fn is_still(path: &Path) -> bool {
    is_any_picture(path) && !path.is_dir() && kind_of(path) == Kind::Still
}

/// Opens a picture or a folder of them; `None` where it is neither, but a video.
pub(super) fn open(path: &Path) -> Result<Option<Box<dyn Source>>> {
    Ok(match path.is_dir() || is_any_picture(path) {
        true if path.is_dir() => Some(Box::new(ImageSource::folder(path)?)),
        true => match kind_of(path) {
            Kind::Still => Some(Box::new(ImageSource::single(path)?)),
            Kind::Animation => Some(Box::new(AnimationSource::open(path)?)),
            Kind::Video => None,
        },
        false => None,
    })
}

/// A picture from a file.
struct Picture {
    rgb: Rgb,
    /// Whether the file has more than this first frame.
    moves: bool,
}

/// Reads a picture file of any supported kind.
fn read(path: &Path, buffers: &mut Buffers<[u8]>) -> Result<Picture> {
    if ends_in(path, &heif::EXTENSIONS) {
        return Ok(Picture { rgb: heif::read(path)?, moves: false });
    }
    let bytes = read_at_most(path, MAX_FILE_BYTES)?;
    let rgb = decode::decode(&bytes, buffers)?;
    buffers.keep(&rgb.pixels);
    Ok(Picture { rgb, moves: animated(Cursor::new(&bytes)).is_some() })
}

/// One picture, or those of a folder.
struct ImageSource {
    info: SourceInfo,
    paths: std::vec::IntoIter<PathBuf>,
    /// What photos of one camera are read into, one after the other.
    buffers: Buffers<[u8]>,
    /// A single picture, read by `open` so that it fails there.
    single: Option<Rgb>,
    /// The number of the next picture; one that can't be read keeps its own, so that the others' are always the same.
    next_id: u64,
    /// The names of the pictures that are damaged.
    damaged: Vec<String>,
    /// What is not read because of its kind.
    not_read: NotRead,
    /// Whether any picture was read.
    has_read: bool,
    warnings: Vec<String>,
}

impl ImageSource {
    fn new(path: &Path, paths: Vec<PathBuf>, single: Option<Rgb>) -> Self {
        let count = paths.len() + usize::from(single.is_some());
        Self {
            info: SourceInfo {
                name: path.display().to_string(),
                frames: Some(count as u64),
                fps: Some(PICTURE_TIME.as_secs_f64().recip()),
                ..Default::default()
            },
            paths: paths.into_iter(),
            buffers: Buffers::default(),
            single,
            next_id: 0,
            damaged: Vec::new(),
            not_read: NotRead::default(),
            has_read: false,
            warnings: Vec::new(),
        }
    }

    /// Reads a picture.
    fn single(path: &Path) -> Result<Self> {
        let Picture { rgb, moves } = read(path, &mut Buffers::default()).with_context(|| path.display().to_string())?;
        let mut source = Self::new(path, Vec::new(), Some(rgb));
        if moves {
            source.warnings.push(format!("{}: not read: {FIRST_FRAME_ALONE}", path.display()));
        }
        Ok(source)
    }

    /// Lists the pictures in a folder.
    fn folder(path: &Path) -> Result<Self> {
        let (paths, mut not_read) = folder::list(path, is_any_picture)?;
        let others = not_read.take(&path.display().to_string());
        if paths.is_empty() {
            let kinds = [&EXTENSIONS[..], &heif::EXTENSIONS].concat().join(", ");
            let others = others.map(|others| format!("; {others}")).unwrap_or_default();
            bail!(
                "{}: there is no picture in this folder ({kinds}){others}. `emocam annotate -r` reads videos and the folders \
                 below, too",
                path.display()
            );
        }
        Ok(Self { warnings: others.into_iter().collect(), ..Self::new(path, paths, None) })
    }

    /// The next picture that can be read, with its file's name where there are several.
    fn next_picture(&mut self) -> Option<(Option<Arc<str>>, Rgb)> {
        if let Some(picture) = self.single.take() {
            return Some((None, picture));
        }
        for path in self.paths.by_ref() {
            match read(&path, &mut self.buffers) {
                Ok(Picture { rgb, moves }) => {
                    if moves {
                        self.not_read.add(FIRST_FRAME_ALONE, &path);
                    }
                    self.has_read = true;
                    return Some((Some(shown(&path).into()), rgb));
                }
                // A kind that this machine does not read is no damage.
                Err(error) if ends_in(&path, &heif::EXTENSIONS) => self.not_read.add(&error.to_string(), &path),
                Err(error) => {
                    self.warnings.push(format!("skipped {}: {error:#}", path.display()));
                    self.damaged.push(shown(&path));
                }
            }
            self.next_id += 1;
        }
        None
    }

    /// What is told at the end of a folder. It is an error where no picture could be read.
    fn end(&mut self) -> Result<()> {
        let Self { info, damaged, not_read, warnings, .. } = self;
        let (name, total) = (&info.name, info.frames.unwrap_or_default());
        let told = not_read.take(name);
        let none = (told.is_some() || !damaged.is_empty()) && !std::mem::replace(&mut self.has_read, true);
        warnings.extend(told);
        if !damaged.is_empty() {
            let text =
                format!("{} of {total} pictures in {name} could not be read: {}", damaged.len(), damaged.join(", "));
            ensure!(!none, text);
            warnings.push(text);
        }
        ensure!(!none, "none of the {total} pictures in {name} could be read");
        Ok(())
    }
}

impl Source for ImageSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn health(&self) -> Health {
        Health { damaged: self.damaged.len() as u64, ..Health::default() }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let Some((file, Rgb { width, height, pixels })) = self.next_picture() else {
            return self.end().map(|()| None);
        };
        let id = self.next_id;
        self.next_id += 1;
        let pts = PICTURE_TIME * u32::try_from(id).unwrap_or(u32::MAX);
        let frame = Frame::new(id, pts, (width, height), pixels);
        Ok(Some(Frame { duration: Some(PICTURE_TIME), file, ..frame }))
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    #[test]
    fn a_folder_is_read_in_the_order_that_people_expect() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("10.png", 10), ("9.PNG", 9), ("b1.bmp", 21), ("a.tif", 20), ("b02.ppm", 22)] {
            RgbImage::from_pixel(1, 1, image::Rgb([value; 3])).save(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        std::fs::write(folder.path().join("._10.png"), "no picture").unwrap();
        std::fs::create_dir(folder.path().join("more.png")).unwrap();
        let mut source = ImageSource::folder(folder.path()).unwrap();
        assert_eq!((source.info().frames, source.info().live), (Some(5), false));
        let frames: Vec<Frame> = std::iter::from_fn(|| source.next_frame().unwrap()).collect();
        assert_eq!(frames.iter().map(|frame| frame.rgb[0]).collect::<Vec<_>>(), [9, 10, 20, 21, 22]);
        assert_eq!(frames.iter().map(|frame| frame.pts.as_secs()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_picture_has_its_file_s_name_and_number_whatever_became_of_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1.png", "3.png"] {
            RgbImage::new(1, 1).save(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("2.png"), "damaged").unwrap();
        let mut source = ImageSource::folder(folder.path()).unwrap();
        let frames = [source.next_frame().unwrap().unwrap(), source.next_frame().unwrap().unwrap()];
        let known = frames.each_ref().map(|frame| (frame.id, frame.pts.as_secs(), frame.file.as_deref()));
        assert_eq!(known, [(0, 0, Some("1.png")), (2, 2, Some("3.png"))]);
        // The others are not lost by it.
        assert!(source.next_frame().unwrap().is_none());
        assert_eq!(source.health().damaged, 1);
        let told = source.warnings().pop().unwrap();
        assert!(told.starts_with("1 of 3 pictures") && told.ends_with("2.png"), "{told}");
        let single = ImageSource::single(&folder.path().join("1.png")).unwrap().next_frame().unwrap().unwrap();
        assert_eq!((single.id, single.file), (0, None));
    }

    #[test]
    fn damaged_pictures_are_named_at_the_end_and_then_it_is_the_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cut.jpg"), b"\xFF\xD8\xFF").unwrap();
        std::fs::write(folder.path().join("empty.png"), "").unwrap();
        let mut source = ImageSource::folder(folder.path()).unwrap();
        let error = source.next_frame().unwrap_err().to_string();
        assert!(error.starts_with("2 of 2 pictures in ") && error.ends_with("cut.jpg, empty.png"), "{error}");
        assert!(source.next_frame().unwrap().is_none());
    }
}
