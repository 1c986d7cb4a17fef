//! A frame as a mirror shows it. Text is drawn afterwards, so it can be read.

use crate::flow::emotion::Prediction;
use crate::flow::frame::{FaceBox, FacePoints, Frame};

/// The frame with left and right changed over, and where its faces are then.
pub fn mirrored(frame: &Frame, predictions: &[Prediction]) -> (Frame, Vec<Prediction>) {
    let mut rgb = frame.rgb.to_vec();
    // A frame is at least a pixel wide.
    for row in rgb.chunks_exact_mut(frame.width.max(1) as usize * 3) {
        row.as_chunks_mut::<3>().0.reverse();
    }
    let width = frame.width as f32;
    let predictions = predictions.iter().map(|prediction| {
        let face = prediction.face;
        let points = prediction.points.map(|points| points.to_array().map(|[x, y]| [width - x, y]));
        Prediction {
            face: FaceBox { x: width - face.x - face.width, ..face },
            points: points.map(FacePoints::from_array),
            ..prediction.clone()
        }
    });
    (Frame { rgb: rgb.into(), ..frame.clone() }, predictions.collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{frame, prediction};
    use super::*;
    use crate::flow::emotion::Emotion;

    #[test]
    fn a_mirrored_frame_mirrors_back_and_its_faces_stay_on_the_same_pixels() {
        let mut original = frame(5, 2, [0; 3]);
        original.rgb = (0..30).collect();
        let mut face = prediction(Emotion::Sad, 1.0, 0.0, 2.0, 1.0);
        face.points = Some(FacePoints::from_array([[1.5, 0.5]; 6]));
        let (once, faces) = mirrored(&original, std::slice::from_ref(&face));
        assert_eq!(once.rgb[..6], [12, 13, 14, 9, 10, 11]);
        assert_eq!((faces[0].face.x, faces[0].face.width), (2.0, 2.0));
        assert_eq!(faces[0].points.map(|points| points.nose), Some([3.5, 0.5]));
        let (twice, faces) = mirrored(&once, &faces);
        assert_eq!((&twice.rgb, faces), (&original.rgb, vec![face]));
    }
}
