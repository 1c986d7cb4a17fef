//! Pictures as a source: one file, or all that lie in a folder.
//!
//! Owns how a picture file becomes RGB8: turned as its EXIF says, laid over white where it is transparent, reduced to 8
//! bits. Frames are in the order of the file names, numbers in them counted as numbers: `2.jpg` before `10.jpg`.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::pixels::{rgb_from_jpeg, rgb_len};
use super::{Source, SourceInfo};
use crate::flow::frame::{Frame, MAX_PIXELS};
use crate::system::buffers::Buffers;
use crate::system::files::read_at_most;

/// File names that end like this are taken as pictures.
pub(crate) const EXTENSIONS: [&str; 12] =
    ["bmp", "jpeg", "jpg", "pam", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"];

/// How long a picture is shown: time enough to look at it in a video made from a folder.
const PICTURE_TIME: Duration = Duration::from_secs(1);

/// The largest file that is read: one of `MAX_PIXELS` with 16 bits a channel and alpha, not compressed.
pub(crate) const MAX_FILE_BYTES: u64 = 8 * MAX_PIXELS + 1024 * 1024;

/// The most memory that the decoder of a picture may take.
const MAX_DECODER_BYTES: u64 = 16 * MAX_PIXELS;

/// Whether a path is named like a picture.
pub(crate) fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|found| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// Reads a picture file of any supported kind into 8-bit RGB.
fn rgb_from_file(path: &Path) -> Result<RgbImage> {
    let read = || rgb_from_bytes(&read_at_most(path, MAX_FILE_BYTES)?);
    read().with_context(|| path.display().to_string())
}

/// Decodes a picture of any supported kind into 8-bit RGB, the way it is meant to be seen.
///
/// # Errors
/// When it is damaged or cut short, or has more than `MAX_PIXELS`.
pub(crate) fn rgb_from_bytes(bytes: &[u8]) -> Result<RgbImage> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let format = reader.format();
    let mut decoder = reader.into_decoder().context("not a picture, or a damaged one")?;
    let (width, height) = decoder.dimensions();
    rgb_len(width, height)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);

    let mut picture = if format == Some(ImageFormat::Jpeg) {
        // Not by way of `image`, which fills up what is missing with grey.
        let jpeg = rgb_from_jpeg(bytes, &mut Buffers::default()).context("a damaged JPEG")?;
        let rgb = RgbImage::from_raw(jpeg.width, jpeg.height, jpeg.pixels.to_vec());
        DynamicImage::ImageRgb8(rgb.context("a JPEG of the wrong length")?)
    } else {
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_DECODER_BYTES);
        decoder.set_limits(limits).context("this picture takes too much memory")?;
        DynamicImage::from_decoder(decoder).context("a damaged picture")?
    };
    picture.apply_orientation(orientation);
    Ok(if picture.color().has_alpha() { over_white(picture) } else { picture.into_rgb8() })
}

/// White, because that is what a transparent picture is mostly shown on.
fn over_white(picture: DynamicImage) -> RgbImage {
    let rgba = picture.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [r, g, b, alpha] = from.0.map(u32::from);
        to.0 = [r, g, b].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    rgb
}

/// One picture, or those of a folder.
pub(super) struct ImageSource {
    info: SourceInfo,
    paths: std::vec::IntoIter<PathBuf>,
    /// A single picture, read by `open` so that it fails there.
    single: Option<RgbImage>,
    /// The number of the next picture; one that can't be read keeps its own, so that the others' are always the same.
    next_id: u64,
    /// The names of the pictures that could not be read.
    skipped: Vec<String>,
    warnings: Vec<String>,
}

impl ImageSource {
    /// Reads a picture, or lists those in a folder.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (paths, single) =
            if path.is_dir() { (pictures_in(path)?, None) } else { (Vec::new(), Some(rgb_from_file(path)?)) };
        let count = paths.len() + usize::from(single.is_some());
        Ok(Self {
            info: SourceInfo {
                name: path.display().to_string(),
                frames: Some(count as u64),
                fps: Some(PICTURE_TIME.as_secs_f64().recip()),
                ..Default::default()
            },
            paths: paths.into_iter(),
            single,
            next_id: 0,
            skipped: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// The next picture that can be read, with its file's name where there are several.
    fn next_picture(&mut self) -> Option<(Option<Arc<str>>, RgbImage)> {
        if let Some(picture) = self.single.take() {
            return Some((None, picture));
        }
        for path in self.paths.by_ref() {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            match rgb_from_file(&path) {
                Ok(picture) => return Some((Some(name.into()), picture)),
                Err(error) => {
                    self.next_id += 1;
                    self.warnings.push(format!("skipped {error:#}"));
                    self.skipped.push(name.into_owned());
                }
            }
        }
        None
    }
}

impl Source for ImageSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let Some((file, picture)) = self.next_picture() else {
            let skipped = std::mem::take(&mut self.skipped);
            if skipped.is_empty() {
                return Ok(None);
            }
            let total = self.info.frames.unwrap_or_default();
            bail!(
                "{} of {total} pictures in {} could not be read: {}",
                skipped.len(),
                self.info.name,
                skipped.join(", ")
            );
        };
        let id = self.next_id;
        self.next_id += 1;
        let pts = PICTURE_TIME * u32::try_from(id).unwrap_or(u32::MAX);
        let frame = Frame::new(id, pts, picture.dimensions(), picture.into_raw().into());
        Ok(Some(Frame { duration: Some(PICTURE_TIME), file, ..frame }))
    }
}

/// The pictures right in a folder, in order. Hidden files are left out.
fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot_list = || format!("cannot list the folder {}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot_list)? {
        let path = entry.with_context(cannot_list)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && is_picture(&path) && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        bail!("{}: there is no picture in this folder ({})", folder.display(), EXTENSIONS.join(", "));
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    paths.sort_by(|a, b| natural_key(&name(a)).cmp(natural_key(&name(b))).then_with(|| a.cmp(b)));
    Ok(paths)
}

/// What names are compared by: text as text, runs of digits as numbers. Of two numbers without leading zeros the longer one
/// is larger.
fn natural_key(name: &str) -> impl Iterator<Item = (u8, usize, &[u8])> {
    let runs = name.as_bytes().chunk_by(|a, b| a.is_ascii_digit() && b.is_ascii_digit());
    runs.map(|run| {
        let number = &run[run.iter().take_while(|&&byte| byte == b'0').count()..];
        (if run[0].is_ascii_digit() { b'0' } else { run[0] }, number.len(), number)
    })
}

#[cfg(test)]
mod tests {
    use image::{LumaA, Rgb, Rgba};

    use super::*;

    #[test]
    fn a_folder_is_read_in_the_order_that_people_expect() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("10.png", 10), ("9.PNG", 9), ("b1.bmp", 21), ("a.tif", 20), ("b02.ppm", 22)] {
            RgbImage::from_pixel(1, 1, Rgb([value; 3])).save(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        std::fs::write(folder.path().join("._10.png"), "no picture").unwrap();
        std::fs::create_dir(folder.path().join("more.png")).unwrap();
        let mut source = ImageSource::open(folder.path()).unwrap();
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
        let mut source = ImageSource::open(folder.path()).unwrap();
        let frames = [source.next_frame().unwrap().unwrap(), source.next_frame().unwrap().unwrap()];
        let known = frames.each_ref().map(|frame| (frame.id, frame.pts.as_secs(), frame.file.as_deref()));
        assert_eq!(known, [(0, 0, Some("1.png")), (2, 2, Some("3.png"))]);
        assert!(source.next_frame().is_err());
        let single = ImageSource::open(&folder.path().join("1.png")).unwrap().next_frame().unwrap().unwrap();
        assert_eq!((single.id, single.file), (0, None));
    }

    #[test]
    fn digits_are_compared_as_numbers() {
        for (a, b) in [("2.jpg", "10.jpg"), ("a2b9", "a2b10"), ("a", "a1"), ("", "0"), ("x007", "x8"), ("b", "ä")] {
            assert!(natural_key(a).lt(natural_key(b)) && natural_key(b).gt(natural_key(a)), "{a} {b}");
        }
        assert!(natural_key("a.png").lt(natural_key("a1.png")) && natural_key("a01").eq(natural_key("a1")));
    }

    #[test]
    fn damaged_pictures_are_named_at_the_end_and_then_it_is_the_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cut.jpg"), b"\xFF\xD8\xFF").unwrap();
        std::fs::write(folder.path().join("empty.png"), "").unwrap();
        let mut source = ImageSource::open(folder.path()).unwrap();
        let error = source.next_frame().unwrap_err().to_string();
        assert!(error.starts_with("2 of 2 pictures in ") && error.ends_with("cut.jpg, empty.png"), "{error}");
        assert!(source.next_frame().unwrap().is_none());
    }

    #[test]
    fn what_is_half_transparent_lies_over_white() {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: &str, picture: DynamicImage| {
            let path = folder.path().join(name);
            picture.save(&path).unwrap();
            rgb_from_file(&path).unwrap().get_pixel(0, 0).0
        };
        let half = image::RgbaImage::from_pixel(1, 1, Rgba([0, 0, 255, 128]));
        assert_eq!(save("alpha.png", half.into()), [127, 127, 255]);
        let clear = image::ImageBuffer::from_pixel(1, 1, LumaA([0_u16, 0]));
        assert_eq!(save("grey-alpha-16.png", clear.into()), [255; 3]);
    }

    #[test]
    fn a_photo_is_turned_as_its_exif_says() {
        /// "To be turned a quarter clockwise": orientation (0x0112) 6, as the only entry.
        const EXIF: &[u8] = b"\xFF\xE1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photo.jpg");
        // White on the left, black on the right.
        let photo = RgbImage::from_fn(32, 16, |x, _| Rgb([if x < 16 { 255 } else { 0 }; 3]));
        photo.save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (start, rest) = bytes.split_at(2);
        std::fs::write(&path, [start, EXIF, rest].concat()).unwrap();

        let turned = rgb_from_file(&path).unwrap();
        assert_eq!(turned.dimensions(), (16, 32));
        assert_eq!((turned.get_pixel(8, 2).0, turned.get_pixel(8, 30).0), ([255; 3], [0; 3]));
    }
}
