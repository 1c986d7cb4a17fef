//! Cuts of a film: where one picture follows another that it has nothing to do with.
//!
//! Two thumbnails are compared by their correlation, which light that is switched on or a face that moves leaves high.

use image::GrayImage;

/// Columns and rows of a thumbnail.
const COLUMNS: usize = 16;
const ROWS: usize = 12;

/// Pixels along each side of a thumbnail's cell that are looked at.
const SAMPLES: usize = 4;

/// Below this correlation of one frame with the next there is a cut. In films of one scene it is above 0.9, also where
/// people walk through the picture; pictures of different scenes have 0.3 and less more often than not.
const LEAST_CORRELATION: f32 = 0.5;

/// Less deviation, in grey levels, is a covered lens or a dark room, which tells nothing.
const LEAST_DEVIATION: f32 = 8.0;

/// Sees cuts.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    last: Option<[f32; COLUMNS * ROWS]>,
}

impl Cuts {
    /// Whether there is a cut between the last frame and this one.
    pub(super) fn is_cut(&mut self, frame: &GrayImage) -> bool {
        let Some(thumbnail) = thumbnail(frame) else { return false };
        let last = self.last.replace(thumbnail);
        last.is_some_and(|last| {
            let correlation: f32 = last.iter().zip(thumbnail).map(|(a, b)| a * b).sum();
            correlation < LEAST_CORRELATION
        })
    }
}

/// Of mean 0 and length 1; none of a picture that shows nothing.
fn thumbnail(frame: &GrayImage) -> Option<[f32; COLUMNS * ROWS]> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let mut cells = [0.0; COLUMNS * ROWS];
    for (i, cell) in cells.iter_mut().enumerate() {
        for sample in 0..SAMPLES * SAMPLES {
            let x = (i % COLUMNS * SAMPLES + sample % SAMPLES) * width / (COLUMNS * SAMPLES);
            let y = (i / COLUMNS * SAMPLES + sample / SAMPLES) * height / (ROWS * SAMPLES);
            *cell += f32::from(frame.as_raw()[y * width + x]) / (SAMPLES * SAMPLES) as f32;
        }
    }
    let count = cells.len() as f32;
    let mean = cells.iter().sum::<f32>() / count;
    let length = cells.iter().map(|cell| (cell - mean).powi(2)).sum::<f32>().sqrt();
    (length / count.sqrt() >= LEAST_DEVIATION).then(|| cells.map(|cell| (cell - mean) / length))
}

#[cfg(test)]
mod tests {
    use image::Luma;
    use image::imageops::{brighten, crop_imm, flip_horizontal};

    use super::*;

    #[test]
    fn another_scene_is_a_cut_and_a_movement_or_other_light_is_none() {
        let portrait = image::load_from_memory(include_bytes!("../../tests/data/astronaut.jpg")).expect("a picture");
        let portrait = portrait.to_luma8();
        let view = |x, y| crop_imm(&portrait, x, y, 400, 300).to_image();
        let other = GrayImage::from_fn(400, 300, |x, y| Luma([(x / 2 + y / 10) as u8]));
        let mut cuts = Cuts::default();
        for (name, frame, expected) in [
            ("the first frame", view(50, 0), false),
            ("the same", view(50, 0), false),
            ("moved a little", view(60, 5), false),
            ("more light", brighten(&view(60, 5), 60), false),
            ("a covered lens", GrayImage::from_pixel(400, 300, Luma([3])), false),
            ("the same again", view(55, 5), false),
            ("another scene", other.clone(), true),
            ("the same", other, false),
            ("back", flip_horizontal(&view(50, 0)), true),
            ("another size", GrayImage::from_pixel(1, 1, Luma([3])), false),
        ] {
            assert_eq!(cuts.is_cut(&frame), expected, "{name}");
        }
    }
}
