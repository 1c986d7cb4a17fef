//! Finding faces: where they are in a frame, and their eyes, nose, mouth and ears.
//!
//! Owns two detectors and how they share the work. **BlazeFace** (`blaze`) finds faces of any pose, light, skin, age or cover:
//! its long-range form looks at the whole frame at once, with a border for faces that the edge cuts; its short-range form
//! looks at bands of the frame, closer, where faces are too small for that. **The funnel** (`funnel`, rustface) finds frontal
//! faces, and takes long for small ones: it looks at pictures only, where nothing is in a hurry, and adds what BlazeFace did
//! not see. One face found by several looks is one face.
//!
//! Nothing is believed at first sight: the short-range form looks twice more at each place, closer, and what it sees there
//! decides (`FaceDetector::confirmed`). That costs a millisecond for each new face, and parts faces from coins and leaves.
//!
//! In motion `track` decides when which of these looks is due. Boxes come out in frame pixels, framed alike whoever found
//! them: squares around eyes and mouth, as the funnel's are. What a face expresses is not known here.

mod blaze;
mod funnel;
mod parts;
mod smallest;

use anyhow::{Result, ensure};
use image::GrayImage;

use crate::flow::frame::{Face, FaceBox, FacePoints};
pub(crate) use blaze::Part;
use blaze::{BlazeFace, Form, STRAIGHT};
use funnel::Funnel;
use parts::{around, bands, found_in_whole, squares, whole};
pub use smallest::SmallestFace;

/// The most pixels of a frame's bands, as the network sees them: about eight seconds of search.
const MOST_PIXELS: u64 = 128 * 1024 * 1024;

/// Whole frames: what scores this much, 0 to 1, is noted, and is a face if this score and the mean of two closer looks sum
/// up to [`TRUE_IN_WHOLE`], and the points of both looks differ by no more than [`STEADY_IN_WHOLE`] widths of the box.
///
/// These and those for bands were chosen on 238 pictures without people (photos of things and animals, stamps, textures), where
/// two false boxes are left, and a hundred faces in each of 32 kinds of difficulty. On 238 other pictures without people there
/// are four: two owls, a wheel and a blot.
const NOTED_IN_WHOLE: f32 = 0.3;
const TRUE_IN_WHOLE: f32 = 1.25;
const STEADY_IN_WHOLE: f32 = 0.25;

/// Bands show ten times as much that is no face. What scores this much is one if the two closer looks agree within
/// [`STEADY_IN_BAND`] and have a mean of [`TRUE_IN_BAND`]; with less, [`LIKELY_IN_BAND`], only if the funnel sees it, too.
const NOTED_IN_BAND: f32 = 0.5;
const TRUE_IN_BAND: f32 = 0.76;
const LIKELY_IN_BAND: f32 = 0.65;
const STEADY_IN_BAND: f32 = 0.12;

/// A known face counts as seen at this score: it needs no second proof.
const SEEN: f32 = 0.4;

/// The sides of the squares of the two closer looks, as multiples of a face's box: 2.0 and 2.6 of BlazeFace's.
const CLOSER: [f32; 2] = [1.83, 2.39];

/// The most closer looks at known faces in a frame: about five milliseconds. Two or three faces fit into one look.
const MOST_LOOKS: usize = 5;

/// A face is upside down if it scores so much more when the square is turned around. BlazeFace's points never say so by
/// themselves. At 2.6 boxes upright faces score at least 0.1 less, those on their heads 0.1 more, in 98% each.
const ON_ITS_HEAD: f32 = 0.05;

/// Beyond this angle, as a sine, closer looks are turned so that the face is upright in them.
const LEANING: f32 = 0.25;

/// The funnel alone is believed from this score on.
const FUNNEL_ALONE: f32 = 12.0;

/// A closer look takes what scores at least this: what counts is decided afterwards.
const LEAST: f32 = 0.1;

/// Boxes that overlap more are one face (intersection over union).
const SAME: f32 = 0.3;

/// So are two of which the smaller one lies in the other with more than this share.
const WITHIN: f32 = 0.6;

/// The funnel's box by BlazeFace's points: its side over the sum of two distances, that of the eyes and that from their middle
/// to the mouth, and how far its centre lies from the eyes towards the mouth, in sides. Medians over a hundred faces; they
/// hold for both forms and for faces that lean, where BlazeFace's own box shrinks. It bounds the side: points of faces seen from
/// the side lie close together.
const SIDE: f32 = 1.21;
const BELOW_EYES: f32 = 0.11;
const SIDE_IN_BOXES: [f32; 2] = [0.95, 1.3];

/// A frame in color and in grey.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    /// RGB8, row-major, as many pixels as the grey picture has.
    pub rgb: &'a [u8],
    /// Grey.
    pub gray: &'a GrayImage,
}

/// What was found in a frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sighting {
    /// The faces, largest first.
    pub(crate) faces: Vec<Face>,
    /// Where something looked like a face, and closer looks did not confirm it.
    pub(crate) doubtful: Vec<FaceBox>,
}

/// The smallest faces that the funnel looks for by itself, as a share of the frame's shorter side. A tenth of a second for
/// a picture; for a third of that size it takes ten times as long, and finds what BlazeFace found.
const FUNNEL_SHARE: f32 = 1.0 / 12.0;

/// Finds faces. It can't be sent to another thread: make it where it is used.
pub struct FaceDetector {
    back: BlazeFace,
    short: BlazeFace,
    funnel: Funnel,
    smallest_face: SmallestFace,
}

impl FaceDetector {
    /// A detector of faces that are at least this wide.
    ///
    /// # Errors
    /// When the width is 0, or an embedded model can't be read.
    pub fn new(smallest_face: SmallestFace) -> Result<Self> {
        ensure!(smallest_face != SmallestFace::Pixels(0), "the smallest face must be at least 1 pixel");
        let (back, short, funnel) = (BlazeFace::new(Form::Back)?, BlazeFace::new(Form::Short)?, Funnel::new()?);
        Ok(Self { back, short, funnel, smallest_face })
    }

    /// All that decides which faces a detector like this finds, as text: what was found with other settings is outdated.
    pub(crate) fn settings(smallest_face: SmallestFace) -> String {
        let funnel = (Funnel::settings(), FUNNEL_SHARE, FUNNEL_ALONE);
        let in_whole = [NOTED_IN_WHOLE, TRUE_IN_WHOLE, STEADY_IN_WHOLE];
        let in_band = [NOTED_IN_BAND, TRUE_IN_BAND, LIKELY_IN_BAND, STEADY_IN_BAND];
        let closer = (CLOSER, SEEN, ON_ITS_HEAD, LEANING, SIDE, BELOW_EYES, SIDE_IN_BOXES);
        format!("{funnel:?} {in_whole:?} {in_band:?} {closer:?} {smallest_face:?}")
    }

    /// All faces of a picture, largest first.
    ///
    /// # Errors
    /// When the smallest face is so small that the search would not end.
    pub fn detect(&mut self, picture: Picture<'_>) -> Result<Vec<Face>> {
        Ok(self.search(picture)?.faces)
    }

    /// What there is in a picture, by both detectors.
    ///
    /// # Errors
    /// As [`Self::detect`].
    pub(crate) fn search(&mut self, picture: Picture<'_>) -> Result<Sighting> {
        let Sighting { mut faces, mut doubtful } = self.scan(picture)?;
        let (width, height) = picture.gray.dimensions();
        let smallest = self.smallest_face.in_frame(width, height).max(FUNNEL_SHARE * width.min(height) as f32);
        for bounds in self.funnel.detect(picture.gray, smallest)? {
            if faces.iter().any(|face| is_same(&face.bounds, &bounds)) {
                continue;
            }
            let seen = self.near(picture, vec![bounds], 0)?.0.pop();
            if seen.is_some() || bounds.score >= FUNNEL_ALONE {
                faces.push(seen.unwrap_or_else(|| bounds.into()));
            } else {
                doubtful.push(bounds);
            }
        }
        Ok(Sighting { faces: largest_first(distinct(faces)), doubtful })
    }

    /// What there is in a frame by BlazeFace alone: in the whole of it and in all its bands.
    ///
    /// # Errors
    /// As [`Self::detect`].
    pub(crate) fn scan(&mut self, picture: Picture<'_>) -> Result<Sighting> {
        let mut in_bands = Vec::new();
        for band in self.bands(picture.gray)? {
            in_bands.extend(self.look_at_band(picture, &band)?);
        }
        let in_whole = self.look_at_whole(picture)?;
        let (mut faces, mut doubtful): (Vec<Face>, _) = (Vec::new(), Vec::new());
        for (noted, by) in [(in_whole, Look::Whole), (in_bands, Look::Band)] {
            for noted in distinct(noted) {
                if faces.iter().any(|face| is_same(&face.bounds, &noted.bounds)) {
                    continue;
                }
                match self.confirmed(picture, &noted, by)? {
                    Some(face) => faces.push(face),
                    None => doubtful.push(noted.bounds),
                }
            }
        }
        Ok(Sighting { faces: largest_first(distinct(faces)), doubtful })
    }

    /// What may be faces in the whole of a frame, surest first.
    ///
    /// # Errors
    /// Never but for an error in this program.
    pub(crate) fn look_at_whole(&mut self, picture: Picture<'_>) -> Result<Vec<Face>> {
        let (width, height) = picture.gray.dimensions();
        Ok(framed(self.back.look(picture, whole(width, height), NOTED_IN_WHOLE)?))
    }

    /// The bands of a frame that together show every small face.
    ///
    /// # Errors
    /// When they are too many.
    pub(crate) fn bands(&self, frame: &GrayImage) -> Result<Vec<Part>> {
        let (width, height) = frame.dimensions();
        let smallest = self.smallest_face.in_frame(width, height);
        let bands = bands(width, height, smallest);
        let pixels: u64 = bands.iter().map(|band| u64::from(band.width) * u64::from(band.height)).sum();
        ensure!(
            pixels <= MOST_PIXELS,
            "faces of {smallest:.0} pixels can't be searched for in a frame of {width}x{height}: ask for larger ones \
             (--min-face)"
        );
        Ok(bands)
    }

    /// What may be faces in a band, surest first.
    ///
    /// # Errors
    /// Never but for an error in this program.
    pub(crate) fn look_at_band(&mut self, picture: Picture<'_>, band: &Part) -> Result<Vec<Face>> {
        Ok(framed(self.short.look(picture, *band, NOTED_IN_BAND)?))
    }

    /// The faces that are seen by closer looks where some are expected, and the places that were left out: of more looks than
    /// [`MOST_LOOKS`] those come first that are due at this turn.
    ///
    /// # Errors
    /// Never but for an error in this program.
    pub(crate) fn near(
        &mut self,
        picture: Picture<'_>,
        expected: Vec<FaceBox>,
        turn: usize,
    ) -> Result<(Vec<Face>, Vec<FaceBox>)> {
        let mut seen = Vec::new();
        let mut looks = squares(expected, CLOSER[1]);
        let first = turn * MOST_LOOKS % looks.len().max(1);
        looks.rotate_left(first);
        let left_out = looks.split_off(looks.len().min(MOST_LOOKS)).into_iter().flat_map(|(_, places)| places);
        for (part, places) in looks {
            let mut faces = framed(self.short.look(picture, part, SEEN)?);
            faces.retain(|face| places.iter().any(|place| overlap(&face.bounds, place) > SAME));
            seen.extend(faces);
        }
        Ok((seen, left_out.collect()))
    }

    /// The width from which faces are seen well in the whole of a frame.
    pub(crate) fn seen_in_whole(frame: &GrayImage) -> f32 {
        found_in_whole(frame.width(), frame.height())
    }

    /// Whether a face was seen well enough to count as the known one that is expected there.
    pub(crate) fn is_seen(face: &Face) -> bool {
        face.bounds.score >= score_of(SEEN)
    }

    /// How many closer looks [`Self::near`] takes.
    pub(crate) fn looks_near(expected: &[FaceBox]) -> usize {
        squares(expected.to_vec(), CLOSER[1]).len()
    }

    /// A face that was noted, if closer looks confirm it.
    ///
    /// # Errors
    /// Never but for an error in this program.
    pub(crate) fn confirmed(&mut self, picture: Picture<'_>, noted: &Face, by: Look) -> Result<Option<Face>> {
        let turn = noted.points.map_or(STRAIGHT, |points| turn_of(&points));
        let (Some(near), Some(far)) =
            (self.closer(picture, noted, CLOSER[0], turn)?, self.closer(picture, noted, CLOSER[1], turn)?)
        else {
            return Ok(None);
        };
        let mean = (probability_of(&near) + probability_of(&far)) / 2.0;
        let is_face = match by {
            Look::Whole => probability_of(noted) + mean >= TRUE_IN_WHOLE && difference(noted, &far) <= STEADY_IN_WHOLE,
            Look::Band if difference(&near, &far) > STEADY_IN_BAND => false,
            Look::Band => {
                mean >= TRUE_IN_BAND
                    || (mean >= LIKELY_IN_BAND && self.funnel.score_at(picture.gray, &noted.bounds)? > 0.0)
            }
        };
        if !is_face {
            return Ok(None);
        }
        let around = self.closer(picture, noted, CLOSER[1], turn.map(|part| -part))?;
        let on_its_head = around.filter(|face| probability_of(face) > probability_of(&far) + ON_ITS_HEAD);
        let mut face = on_its_head.unwrap_or(far);
        face.bounds.score = [noted, &near, &far].iter().map(|face| face.bounds.score).fold(face.bounds.score, f32::max);
        Ok(Some(face))
    }

    /// The face at a place, as the short-range form sees it in a square of so many boxes.
    fn closer(&mut self, picture: Picture<'_>, noted: &Face, side: f32, turn: [f32; 2]) -> Result<Option<Face>> {
        let square = around(center_of(&noted.bounds), side * noted.bounds.width.max(1.0));
        let faces = framed(self.short.look(picture, Part { turn, ..square }, LEAST)?).into_iter();
        let is_here = |face: &Face| overlap(&face.bounds, &noted.bounds) > SAME;
        Ok(faces.filter(is_here).max_by(|a, b| a.bounds.score.total_cmp(&b.bounds.score)))
    }
}

/// Which look a face was noted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// At the whole of a frame.
    Whole,
    /// At a band of it.
    Band,
}

/// How far the eyes, nose and mouth of two looks at a face lie apart on average, in widths of the first one's box.
fn difference(a: &Face, b: &Face) -> f32 {
    let (Some(from), Some(to)) = (a.points, b.points) else { return f32::INFINITY };
    let pairs = from.to_array().into_iter().zip(to.to_array()).take(4);
    let sum: f32 = pairs.map(|(from, to)| (from[0] - to[0]).hypot(from[1] - to[1])).sum();
    sum / 4.0 / a.bounds.width.max(1.0)
}

/// The turn at which a face is upright, by the line through its eyes.
fn turn_of(points: &FacePoints) -> [f32; 2] {
    let ([x, y], [right_x, right_y]) = (points.left_eye, points.right_eye);
    let (x, y) = (x - right_x, y - right_y);
    let length = x.hypot(y);
    if length > f32::MIN_POSITIVE && (y / length).abs() > LEANING { [x / length, y / length] } else { STRAIGHT }
}

/// BlazeFace's faces with boxes and scores as the funnel's are.
fn framed(mut faces: Vec<Face>) -> Vec<Face> {
    for Face { bounds, points } in &mut faces {
        let Some(points) = points else { continue };
        let middle = |i: usize| (points.right_eye[i] + points.left_eye[i]) / 2.0;
        let (x, y) = (middle(0), middle(1));
        let (down_x, down_y) = (points.mouth[0] - x, points.mouth[1] - y);
        let to_mouth = down_x.hypot(down_y);
        let eyes = (points.left_eye[0] - points.right_eye[0]).hypot(points.left_eye[1] - points.right_eye[1]);
        let [least, most] = SIDE_IN_BOXES.map(|boxes| boxes * bounds.width);
        let side = (SIDE * (eyes + to_mouth)).max(least).min(most);
        let below = BELOW_EYES * side / to_mouth.max(f32::MIN_POSITIVE);
        *bounds = FaceBox {
            x: x + down_x * below - side / 2.0,
            y: y + down_y * below - side / 2.0,
            width: side,
            height: side,
            score: score_of(bounds.score),
        };
    }
    faces
}

/// BlazeFace's score, 0 to 1, on a scale like the funnel's: 2, from which that believes in a face, is 0.5, and 7 is 1.
fn score_of(probability: f32) -> f32 {
    10.0 * probability - 3.0
}

/// The opposite of [`score_of`].
fn probability_of(face: &Face) -> f32 {
    (face.bounds.score + 3.0) / 10.0
}

fn center_of(face: &FaceBox) -> [f32; 2] {
    [face.x + face.width / 2.0, face.y + face.height / 2.0]
}

/// Whether two boxes are of one face: they overlap, or one lies mostly in the other, as a rough look's box may.
pub(crate) fn is_same(a: &FaceBox, b: &FaceBox) -> bool {
    let smaller = (a.width * a.height).min(b.width * b.height).max(f32::MIN_POSITIVE);
    overlap(a, b) > SAME || intersection(a, b) > WITHIN * smaller
}

/// Each face once, as the surest look has it.
fn distinct(mut faces: Vec<Face>) -> Vec<Face> {
    faces.sort_by(|a, b| b.bounds.score.total_cmp(&a.bounds.score));
    let mut distinct: Vec<Face> = Vec::with_capacity(faces.len());
    for face in faces {
        if !distinct.iter().any(|other| is_same(&other.bounds, &face.bounds)) {
            distinct.push(face);
        }
    }
    distinct
}

fn largest_first(mut faces: Vec<Face>) -> Vec<Face> {
    faces.sort_by(|a, b| (b.bounds.width * b.bounds.height).total_cmp(&(a.bounds.width * a.bounds.height)));
    faces
}

/// The area that two boxes share.
fn intersection(a: &FaceBox, b: &FaceBox) -> f32 {
    let width = (a.x + a.width).min(b.x + b.width) - a.x.max(b.x);
    let height = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
    width.max(0.0) * height.max(0.0)
}

/// Intersection over union, 0 to 1.
pub(crate) fn overlap(a: &FaceBox, b: &FaceBox) -> f32 {
    let intersection = intersection(a, b);
    intersection / (a.width * a.height + b.width * b.height - intersection).max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests;
