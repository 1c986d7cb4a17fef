//! From picture files to faces of one size, many at once.
//!
//! Pictures are decoded, searched and cut as `live` does it: the same decoder, detector, region and resampling. What is kept
//! of each is the grey crop of `size * size` that `live` would make its input of; nothing is resampled after that.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use image::buffer::ConvertBuffer;
use image::{GrayImage, RgbImage};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use super::cache::Cache;
use super::listing::{Entry, Picture};
use super::options::{DataOptions, FacesMode};
use crate::detect::{self, FaceDetector, SmallestFace};
use crate::flow::frame::Face;
use crate::network::preprocess::{InputSpec, Preprocessor, Region, gray_from_rgb};
use crate::source::images::{MAX_FILE_BYTES, rgb_from_bytes};
use crate::system::files::read_at_most;

/// A square picture of up to this many pixels a side is taken for a face: it has no room for much around one. FER2013 has
/// 48 pixels, other sets of cut-out faces up to 64.
const FACE_SIDE: u32 = 64;

/// Fewer pictures than this are read before a progress bar is worth looking at.
const MANY: usize = 200;

/// What became of a picture.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The face in it, or all of it.
    Face(GrayImage),
    /// No face was found in it.
    NoFace,
    /// It could not be read, and why.
    Unreadable(anyhow::Error),
}

/// Reads all pictures, in the order of the entries. One that can't be read is an outcome, not an error.
pub(super) fn read(entries: &[Entry], options: &DataOptions, warnings: &mut Vec<String>) -> Result<Vec<Outcome>> {
    let cache = options.cache.as_deref().map(|folder| cache(folder, options));
    let bar = progress_bar(entries);
    let new_reader = || Reader::new(options, cache.as_ref());
    let outcomes = entries.par_iter().map_init(new_reader, |reader, entry| {
        let outcome = reader.read(&entry.picture);
        bar.inc(1);
        outcome
    });
    let outcomes = outcomes.collect();
    bar.finish_and_clear();
    warnings.extend(cache.and_then(|cache| cache.warning()));
    outcomes
}

fn cache(folder: &Path, options: &DataOptions) -> Cache {
    // Of the input only what decides the crop: the normalization comes later.
    let InputSpec { size, alignment, crop_margin, filter, normalization: _ } = &options.input;
    let detector = FaceDetector::settings(SmallestFace::IN_PICTURES);
    let settings = format!("{:?} {FACE_SIDE} {size} {alignment:?} {crop_margin} {filter:?} {detector}", options.faces);
    Cache::new(folder, &settings, *size as u32)
}

/// A bar on standard error where that is a terminal and there are many files.
fn progress_bar(entries: &[Entry]) -> ProgressBar {
    let files = entries.iter().filter(|entry| matches!(entry.picture, Picture::File(_))).count();
    if files < MANY {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("reading pictures {wide_bar} {pos}/{len}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(entries.len() as u64).with_style(style);
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

/// Reads pictures one after the other. It belongs to one thread, as its detector does.
struct Reader<'a> {
    faces: FacesMode,
    input: &'a InputSpec,
    cache: Option<&'a Cache>,
    preprocessor: Preprocessor,
    /// Made when the first picture is to be searched.
    detector: Option<FaceDetector>,
}

impl<'a> Reader<'a> {
    fn new(options: &'a DataOptions, cache: Option<&'a Cache>) -> Self {
        let DataOptions { faces, input, .. } = options;
        Self { faces: *faces, input, cache, preprocessor: Preprocessor::new(input.clone()), detector: None }
    }

    fn read(&mut self, picture: &Picture) -> Result<Outcome> {
        let taken_whole = self.faces != FacesMode::Detect;
        let (path, is_face) = match picture {
            Picture::Face(face) => return self.outcome(&Photo::from(face.clone()), taken_whole),
            Picture::FaceFile(path) => (path, taken_whole),
            Picture::File(path) => (path, false),
        };
        match read_at_most(path, MAX_FILE_BYTES) {
            Ok(bytes) => self.read_file(&bytes, is_face),
            Err(error) => Ok(Outcome::Unreadable(error)),
        }
    }

    /// Takes a picture's face from the cache, or finds it, unless it is one by itself.
    fn read_file(&mut self, bytes: &[u8], is_face: bool) -> Result<Outcome> {
        let entry = self.cache.filter(|_| !is_face).map(|cache| (cache, cache.key(bytes)));
        if let Some(known) = entry.as_ref().and_then(|(cache, key)| cache.get(key)) {
            return Ok(known.map_or(Outcome::NoFace, Outcome::Face));
        }
        let photo = match Photo::decode(bytes) {
            Ok(photo) => photo,
            Err(error) => return Ok(Outcome::Unreadable(error)),
        };
        let (width, height) = photo.gray.dimensions();
        let is_small = width == height && width <= FACE_SIDE;
        let whole = match self.faces {
            _ if is_face => true,
            FacesMode::Auto => is_small,
            FacesMode::Detect => false,
            FacesMode::Whole => true,
        };
        let outcome = self.outcome(&photo, whole)?;
        // Small faces are read faster than looked up, and must not be kept twice.
        if let Some((cache, key)) = entry.filter(|_| !(whole && is_small)) {
            match &outcome {
                Outcome::Face(face) => cache.put(&key, Some(face)),
                Outcome::NoFace => cache.put(&key, None),
                Outcome::Unreadable(_) => {}
            }
        }
        Ok(outcome)
    }

    /// Cuts the face out of a picture, or takes all of it.
    fn outcome(&mut self, photo: &Photo, whole: bool) -> Result<Outcome> {
        let region = if whole {
            Region::square_around(&photo.gray)
        } else {
            let detector = match &mut self.detector {
                Some(detector) => detector,
                none => none.insert(FaceDetector::new(SmallestFace::IN_PICTURES)?),
            };
            match photo.faces(detector) {
                // The largest comes first.
                Ok(faces) => match faces.first() {
                    Some(face) => Region::of_face(face, self.input),
                    None => return Ok(Outcome::NoFace),
                },
                Err(error) => return Ok(Outcome::Unreadable(error)),
            }
        };
        Ok(self.preprocessor.crop(&photo.gray, region).map_or_else(Outcome::Unreadable, Outcome::Face))
    }
}

/// A picture as faces are looked for in it, and as they are cut out of it.
struct Photo {
    rgb: RgbImage,
    gray: GrayImage,
}

impl Photo {
    fn decode(bytes: &[u8]) -> Result<Self> {
        let rgb = rgb_from_bytes(bytes)?;
        Ok(Self { gray: gray_from_rgb(&rgb, rgb.width(), rgb.height())?, rgb })
    }

    fn faces(&self, detector: &mut FaceDetector) -> Result<Vec<Face>> {
        detector.detect(detect::Picture { rgb: &self.rgb, gray: &self.gray })
    }
}

impl From<GrayImage> for Photo {
    /// A picture without colours.
    fn from(gray: GrayImage) -> Self {
        Self { rgb: gray.convert(), gray }
    }
}
