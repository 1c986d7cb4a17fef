//! Which part of a picture becomes an input: the one place where the crop of a face is laid.

use image::GrayImage;

use super::spec::{Alignment, FER_MARGIN, InputSpec};
use crate::flow::frame::{Face, FaceBox, FacePoints};

/// Where a face is in a picture of FER2013, in sides of the picture: medians of 1,700 of its test pictures, with points by
/// BlazeFace. From left to right it is the middle, but for 0.003, so that a mirrored picture becomes the mirrored crop.
mod fer {
    /// From the top to the middle of the eyes.
    pub(super) const EYES: f32 = 0.397;
    /// From one eye to the other.
    pub(super) const BETWEEN_EYES: f32 = 0.376;
    /// From the middle of the eyes down to the mouth.
    pub(super) const TO_MOUTH: f32 = 0.395;
}

/// How much of the side that the mouth tells counts against the side that the eyes tell. Measured on the same pictures: with
/// this share the larger of the two is right on average, and it comes closer than either of them or their mean.
const MOUTH_SHARE: f32 = 0.95;

/// The least and the most side of a crop by points, in longer sides of the face's box. Usual are 1.0 to 1.3.
const SIDES: (f32, f32) = (0.6, 2.0);

/// How straight below the eyes the mouth is in a crop by points: the cosine of 15 degrees. In those pictures it is off by 8
/// at most; more means that eyes and mouth contradict each other.
const LEAST_COS: f32 = 0.966;

/// A rectangle of a picture that becomes one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Left edge, as that of all edges before it is turned.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width, more than 0.
    pub width: f32,
    /// Height, more than 0.
    pub height: f32,
    /// How far it is turned about its centre, clockwise as one sees it, in radians.
    pub angle: f32,
}

impl Region {
    /// The square of a face: what the network sees of it, in training and in use.
    ///
    /// It is laid by eyes and mouth where they are known and make sense and the input is to have it so, else by the box.
    pub fn of_face(face: &Face, spec: &InputSpec) -> Self {
        let by_points = match (spec.alignment, face.points) {
            (Alignment::Points, Some(points)) => Self::by_points(&points, &face.bounds, spec),
            _ => None,
        };
        by_points.unwrap_or_else(|| Self::around_box(&face.bounds, spec))
    }

    /// The square around a box.
    fn around_box(bounds: &FaceBox, spec: &InputSpec) -> Self {
        let side = bounds.width.max(bounds.height).max(1.0) * spec.crop_margin;
        let (x, y) = (bounds.x + bounds.width / 2.0 - side / 2.0, bounds.y + bounds.height / 2.0 - side / 2.0);
        Self { x, y, width: side, height: side, angle: 0.0 }
    }

    /// The square in which the face lies as those of FER2013 do; `None` where the points are no face's, or not this one's.
    fn by_points(points: &FacePoints, bounds: &FaceBox, spec: &InputSpec) -> Option<Self> {
        let FacePoints { right_eye: [right_x, right_y], left_eye: [left_x, left_y], mouth, .. } = *points;
        let (eyes_x, eyes_y) = (f32::midpoint(right_x, left_x), f32::midpoint(right_y, left_y));
        let (across_x, across_y) = (left_x - right_x, left_y - right_y);
        let (down_x, down_y) = (mouth[0] - eyes_x, mouth[1] - eyes_y);

        // A head that is turned, or bows, shortens one of the two distances and never the other as much, so the larger one
        // counts. An open mouth makes the second a little larger than it should be.
        let by_eyes = across_x.hypot(across_y) / fer::BETWEEN_EYES;
        let by_mouth = down_x.hypot(down_y) / fer::TO_MOUTH;
        let side = by_eyes.max(MOUTH_SHARE * by_mouth);

        // The line of the eyes, and the line down to the mouth turned by a right angle, weighted as for the least squares of
        // all three points. In a profile the eyes fall together, and the mouth alone tells.
        let (eyes, to_mouth) = (fer::BETWEEN_EYES / 2.0, fer::TO_MOUTH * 2.0 / 3.0);
        let (right_x, right_y) = (eyes * across_x + to_mouth * down_y, eyes * across_y - to_mouth * down_x);
        let angle = right_y.atan2(right_x);
        let (sin, cos) = angle.sin_cos();

        let to_centre = (0.5 - fer::EYES) * side;
        let (x, y) = (eyes_x - to_centre * sin, eyes_y + to_centre * cos);
        // Written so that what is not a number does not fit either.
        let longer = bounds.width.max(bounds.height);
        let off = (x - bounds.x - bounds.width / 2.0).hypot(y - bounds.y - bounds.height / 2.0);
        let mouth_below = cos * down_y - sin * down_x > LEAST_COS * down_x.hypot(down_y);
        let fits = mouth_below && side >= SIDES.0 * longer && side <= SIDES.1 * longer && off <= longer / 2.0;
        let side = side * spec.crop_margin / FER_MARGIN;
        (fits && side.is_finite() && side > 0.0).then_some(Self {
            x: x - side / 2.0,
            y: y - side / 2.0,
            width: side,
            height: side,
            angle,
        })
    }

    /// The whole picture: for pictures that are a face already, framed as in FER2013.
    pub fn whole(picture: &GrayImage) -> Self {
        Self { x: 0.0, y: 0.0, width: picture.width() as f32, height: picture.height() as f32, angle: 0.0 }
    }

    /// The smallest square around the whole picture: for faces in pictures that are not square, which must not be squeezed.
    pub fn square_around(picture: &GrayImage) -> Self {
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let side = width.max(height);
        Self { x: (width - side) / 2.0, y: (height - side) / 2.0, width: side, height: side, angle: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::preprocess::Preprocessor;

    /// The face of tests/data/astronaut.jpg; its parts as one reads them off.
    const BOUNDS: FaceBox = FaceBox { x: 168.0, y: 63.0, width: 106.0, height: 106.0, score: 27.0 };
    const POINTS: [[f32; 2]; 6] =
        [[204.2, 101.2], [246.3, 103.2], [224.2, 126.7], [223.8, 145.5], [177.5, 123.3], [274.2, 130.0]];

    fn astronaut() -> GrayImage {
        let picture = image::load_from_memory(include_bytes!("../../../tests/data/astronaut.jpg")).expect("a picture");
        picture.into_luma8()
    }

    fn face(points: [[f32; 2]; 6]) -> Face {
        Face { bounds: BOUNDS, points: Some(FacePoints::from_array(points)) }
    }

    fn region(face: &Face) -> Region {
        Region::of_face(face, &InputSpec::default())
    }

    /// Where a point of the picture is in a region, in its sides from its top left corner.
    fn place(region: &Region, [x, y]: [f32; 2]) -> [f32; 2] {
        let (sin, cos) = region.angle.sin_cos();
        let (x, y) = (x - region.x - region.width / 2.0, y - region.y - region.height / 2.0);
        [(x * cos + y * sin) / region.width + 0.5, (y * cos - x * sin) / region.height + 0.5]
    }

    /// Turns about a point and scales.
    #[derive(Clone, Copy, Debug)]
    struct Move {
        degrees: f32,
        scale: f32,
    }

    impl Move {
        const FROM: [f32; 2] = [225.0, 115.0];
        const TO: [f32; 2] = [300.0, 290.0];

        fn apply(self, [x, y]: [f32; 2]) -> [f32; 2] {
            let (sin, cos) = self.degrees.to_radians().sin_cos();
            let (x, y) = ((x - Self::FROM[0]) * self.scale, (y - Self::FROM[1]) * self.scale);
            [x * cos - y * sin + Self::TO[0], x * sin + y * cos + Self::TO[1]]
        }

        /// By the mean of 16 of the nearest pixels each, so that this is no second try of what is tested.
        fn picture(self, picture: &GrayImage) -> GrayImage {
            let (sin, cos) = self.degrees.to_radians().sin_cos();
            let value = |x: f32, y: f32| {
                let (x, y) = ((x - Self::TO[0]) / self.scale, (y - Self::TO[1]) / self.scale);
                let (x, y) = (x * cos + y * sin + Self::FROM[0], y * cos - x * sin + Self::FROM[1]);
                let at = |place: f32, length: u32| (place.max(0.0) as u32).min(length - 1);
                u32::from(picture.get_pixel(at(x, picture.width()), at(y, picture.height())).0[0])
            };
            GrayImage::from_fn(600, 580, |x, y| {
                let offsets = (0..16u8).map(|i| (f32::from(i % 4) / 4.0 + 0.125, f32::from(i / 4) / 4.0 + 0.125));
                let sum: u32 = offsets.map(|(right, down)| value(x as f32 + right, y as f32 + down)).sum();
                image::Luma([(sum / 16) as u8])
            })
        }

        fn face(self) -> Face {
            let [x, y] = self.apply([BOUNDS.x + BOUNDS.width / 2.0, BOUNDS.y + BOUNDS.height / 2.0]);
            let side = BOUNDS.width * self.scale;
            let bounds = FaceBox { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side, score: 27.0 };
            Face { bounds, points: Some(FacePoints::from_array(POINTS.map(|point| self.apply(point)))) }
        }
    }

    #[test]
    fn a_tilted_face_of_any_size_becomes_the_crop_of_the_upright_one() {
        let picture = astronaut();
        let mut preprocessor = Preprocessor::new(InputSpec::default());
        let mut crop = |picture: &GrayImage, face: &Face| preprocessor.crop(picture, region(face)).expect("a crop");
        let difference = |a: &GrayImage, b: &GrayImage| {
            a.iter().zip(b.iter()).map(|(&a, &b)| f32::from(a.abs_diff(b))).sum::<f32>() / a.len() as f32
        };
        let upright = crop(&picture, &face(POINTS));
        for degrees in [0.0, 20.0, 90.0, 180.0, -135.0] {
            for scale in [0.6, 1.0, 2.3] {
                let to = Move { degrees, scale };
                let (picture, face) = (to.picture(&picture), to.face());
                // The moved picture is a little softer, so that 0.0 to 1.6 grey levels were found.
                let by_points = difference(&crop(&picture, &face), &upright);
                assert!(by_points < 2.0, "{to:?}: {by_points} grey levels");
                let by_box = difference(&crop(&picture, &face.bounds.into()), &upright);
                assert!(by_box > 10.0, "{to:?}: {by_box} grey levels");
            }
        }
    }

    #[test]
    fn eyes_and_mouth_are_where_pictures_of_fer2013_have_them() {
        // Eyes and mouth in the same proportion as there.
        let mut points =
            [[100.0, 100.0], [137.6, 100.0], [119.0, 120.0], [118.8, 139.5], [90.0, 110.0], [150.0, 110.0]];
        let bounds = FaceBox { x: 75.0, y: 70.0, width: 88.0, height: 88.0, score: 1.0 };
        for _ in 0..8 {
            let region = region(&Face { bounds, points: Some(FacePoints::from_array(points)) });
            let places = [0, 1, 3].map(|i| place(&region, points[i]));
            for (found, expected) in places.iter().zip([[0.312, 0.397], [0.688, 0.397], [0.5, 0.792]]) {
                let off = (found[0] - expected[0]).hypot(found[1] - expected[1]);
                assert!(off < 0.001, "{found:?} instead of {expected:?}");
            }
            // An eighth of a circle on, about the middle of the box.
            points = points.map(|[x, y]| {
                let (x, y) = (x - 119.0, y - 114.0);
                [(x - y) / 2f32.sqrt() + 119.0, (x + y) / 2f32.sqrt() + 114.0]
            });
        }
    }

    #[test]
    fn a_turned_head_and_an_open_mouth_hardly_change_the_size() {
        let side = |change: fn(&mut [[f32; 2]; 6])| {
            let mut points = POINTS;
            change(&mut points);
            region(&face(points)).width / region(&face(POINTS)).width
        };
        let turned = side(|points| points[0][0] += 20.0);
        let bowed = side(|points| points[3][1] -= 12.0);
        let open = side(|points| points[3][1] += 5.0);
        for ratio in [turned, bowed, open] {
            assert!((0.92..1.08).contains(&ratio), "{turned} {bowed} {open}");
        }
        // Both eyes in one place, as in a profile: the mouth tells the rest.
        let profile = region(&face([POINTS[1], POINTS[1], POINTS[2], [POINTS[1][0], 146.0], POINTS[4], POINTS[5]]));
        assert!(profile.angle.abs() < 1e-3 && (90.0..130.0).contains(&profile.width), "{profile:?}");
    }

    #[test]
    fn a_mirrored_face_is_the_mirrored_crop() {
        let picture = astronaut();
        let mirrored = image::imageops::flip_horizontal(&picture);
        let flip = |[x, y]: [f32; 2]| [512.0 - x, y];
        let [right_eye, left_eye, nose, mouth, right_ear, left_ear] = POINTS.map(flip);
        let points = FacePoints {
            right_eye: left_eye,
            left_eye: right_eye,
            nose,
            mouth,
            right_ear: left_ear,
            left_ear: right_ear,
        };
        let bounds = FaceBox { x: 512.0 - BOUNDS.x - BOUNDS.width, ..BOUNDS };
        let mut preprocessor = Preprocessor::new(InputSpec::default());
        let found = preprocessor.crop(&mirrored, region(&Face { bounds, points: Some(points) })).expect("a crop");
        let expected =
            image::imageops::flip_horizontal(&preprocessor.crop(&picture, region(&face(POINTS))).expect("a crop"));
        assert!(found.iter().zip(expected.iter()).all(|(a, b)| a.abs_diff(*b) <= 2));
    }

    #[test]
    fn points_that_are_no_faces_and_specs_that_want_none_leave_the_box() {
        let by_box = region(&BOUNDS.into());
        assert_eq!((by_box.width, by_box.angle), (106.0 * 1.1, 0.0));
        let spec = InputSpec { alignment: Alignment::Box, ..Default::default() };
        assert_eq!(Region::of_face(&face(POINTS), &spec), by_box);
        assert_ne!(region(&face(POINTS)), by_box);
        let changed = |index: usize, point: [f32; 2]| {
            let mut points = POINTS;
            points[index] = point;
            points
        };
        for points in [
            changed(0, [f32::NAN, 100.0]),
            changed(1, [240.0, f32::INFINITY]),
            changed(3, [f32::NEG_INFINITY, f32::NAN]),
            // All in one place, much too far from each other, much too near, and those of another face.
            [[220.0, 110.0]; 6],
            POINTS.map(|[x, y]| [x * 3.0 - 450.0, y * 3.0 - 230.0]),
            POINTS.map(|[x, y]| [x / 3.0 + 150.0, y / 3.0 + 77.0]),
            POINTS.map(|[x, y]| [x + 90.0, y]),
            // The mouth beside the eyes.
            changed(3, [310.0, 102.0]),
        ] {
            assert_eq!(region(&face(points)), by_box, "{points:?}");
        }
        let nowhere = Face { bounds: FaceBox { x: f32::NAN, ..BOUNDS }, ..face(POINTS) };
        assert!(region(&nowhere).x.is_nan(), "left to the preprocessor, which refuses it");
    }

    #[test]
    fn the_margin_is_that_of_the_crop_by_points_too() {
        let wide = Region::of_face(&face(POINTS), &InputSpec { crop_margin: 2.2, ..Default::default() });
        let usual = region(&face(POINTS));
        assert!((wide.width / usual.width - 2.0).abs() < 1e-4, "{wide:?}");
        assert!((wide.x + wide.width / 2.0 - usual.x - usual.width / 2.0).abs() < 1e-3, "{wide:?}");
    }
}
