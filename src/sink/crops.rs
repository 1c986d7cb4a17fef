//! Each face of each frame as a picture of its own, cut out of the frame, without boxes and labels.

use std::ops::ControlFlow;

use anyhow::Result;
use image::{GenericImageView, RgbImage};

use super::naming::Pattern;
use super::options::OutputOptions;
use super::picture_file::{How, write_picture};
use super::{Ending, Sink, clean_picture_of};
use crate::flow::frame::FaceBox;
use crate::flow::labelled::Labelled;

/// How much more than the face is shown on each side, in longer sides of its box: hair and chin.
const MARGIN: f32 = 0.25;

/// Writes each face.
pub(super) struct Crops {
    pattern: Pattern,
    how: How,
}

impl Crops {
    pub(super) fn new(pattern: &Pattern, options: OutputOptions<'_>) -> Self {
        Self { pattern: pattern.clone(), how: How::of_many(options) }
    }
}

impl Sink for Crops {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        if labelled.predictions.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let picture = clean_picture_of(labelled)?;
        for prediction in &labelled.predictions {
            // A face that is expected may be out of the picture.
            let Some(crop) = crop(&picture, &prediction.face) else { continue };
            let name = self.pattern.naming().name(labelled.frame.id, prediction.id);
            write_picture(&crop, &self.pattern.folder().join(name), self.how.options())?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, _: Ending) -> Result<()> {
        Ok(())
    }
}

/// The square around a face, cut at the picture's edge; `None` where nothing is left of it.
fn crop(picture: &RgbImage, face: &FaceBox) -> Option<RgbImage> {
    let side = (face.width.max(face.height) * (1.0 + 2.0 * MARGIN)).round();
    let span = |start: f32, length: f32, most: u32| {
        let first = (start + (length - side) / 2.0).round();
        // A cast saturates, and makes 0 of what is no number.
        let [from, to] = [first, first + side].map(|edge| edge.clamp(0.0, most as f32) as u32);
        (to > from).then(|| (from, to - from))
    };
    let (x, width) = span(face.x, face.width, picture.width())?;
    let (y, height) = span(face.y, face.height, picture.height())?;
    Some(picture.view(x, y, width, height).to_image())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::sink::tests::{labelled, prediction};

    fn sink(path: &Path, force: bool) -> Crops {
        let pattern = Pattern::parse(path).expect("names that differ").expect("a number");
        Crops::new(&pattern, OutputOptions { force, ..Default::default() })
    }

    #[test]
    fn each_face_is_a_square_around_its_box_cut_at_the_edge() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("{frame}_{id}.png");
        let faces =
            [[20.0, 20.0, 8.0, 16.0], [-4.0, 40.0, 16.0, 16.0], [200.0, 0.0, 9.0, 9.0], [f32::NAN, 0.0, 9.0, 9.0]];
        let predictions = (0..).zip(faces).map(|(id, place)| prediction(id, place, 5.0, [1.0 / 7.0; 7])).collect();
        let frame = labelled(7, 0, 64, 48, predictions);
        let _ = sink(&path, false).write(&frame).expect("a folder");
        let read = |name: &str| image::open(folder.path().join(name)).expect("a PNG").to_rgb8();
        let (first, second) = (read("000007_0.png"), read("000007_1.png"));
        // 16 and a quarter of it on each side, around (24, 28).
        assert_eq!(first.dimensions(), (24, 24));
        assert_eq!(second.dimensions(), (16, 12));
        let picture = clean_picture_of(&frame).expect("a frame");
        assert_eq!(first.get_pixel(0, 0), picture.get_pixel(12, 16));
        assert_eq!(second.get_pixel(15, 11), picture.get_pixel(15, 47));
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 2, "what is outside has no picture");

        let error = sink(&path, false).write(&frame).expect_err("it is there").to_string();
        assert!(error.contains("000007_0.png exists already"), "{error}");
        let _ = sink(&path, true).write(&frame).expect("with force");
    }
}
