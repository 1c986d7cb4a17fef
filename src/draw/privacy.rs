//! Faces that can't be recognized any more.
//!
//! Each face is hidden with a margin around its box, since the box ends at the eyebrows and the chin. What is left of a face
//! is a grid of a few mean colors, or nothing. Blurring is done on that grid, too, so its cost does not depend on its
//! strength, and it can't be undone: what a cell held is gone.

use clap::ValueEnum;

use crate::flow::frame::FaceBox;

/// How faces are hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Privacy {
    /// By mean colors that pass over into each other.
    Blur,
    /// By squares of their mean color.
    Pixelate,
    /// By a plain grey.
    Box,
}

/// How far what is hidden reaches over the box, as a share of its sides: hair, ears and neck recognize people, too.
const MARGIN: f32 = 0.25;

/// Cells over the width of what is hidden. With 8 the detector still finds some faces.
const CELLS: usize = 6;

/// The color of a face that is hidden by a box.
const PLAIN: [u8; 3] = [64, 68, 74];

/// Hides faces in an RGB8 picture of `width` by `height` pixels. Boxes that are none hide nothing.
pub fn hide(rgb: &mut [u8], width: u32, height: u32, faces: &[FaceBox], how: Privacy) {
    let (width, height) = (width as usize, height as usize);
    if rgb.len() < width * height * 3 {
        return;
    }
    for face in faces {
        let Some(area) = Area::around(face, width, height) else { continue };
        match how {
            Privacy::Box => area.fill(rgb, |_, _| PLAIN),
            Privacy::Pixelate => {
                let grid = Grid::of(rgb, &area);
                area.fill(rgb, |x, y| grid.cell(x / grid.side, y / grid.side));
            }
            Privacy::Blur => {
                let grid = Grid::of(rgb, &area);
                area.fill(rgb, |x, y| grid.between(x, y));
            }
        }
    }
}

/// A part of a picture, in pixels; never empty.
struct Area {
    stride: usize,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Area {
    fn around(face: &FaceBox, width: usize, height: usize) -> Option<Self> {
        let FaceBox { x, y, width: w, height: h, .. } = *face;
        if [x, y, w, h].iter().any(|value| value.is_nan()) || w <= 0.0 || h <= 0.0 {
            return None;
        }
        // Bounded first: a huge box must not overflow whole numbers.
        let edge = |value: f32, end: usize| value.clamp(0.0, end as f32) as usize;
        let (left, top) = (edge((x - MARGIN * w).floor(), width), edge((y - MARGIN * h).floor(), height));
        let (right, bottom) = (edge((x + w + MARGIN * w).ceil(), width), edge((y + h + MARGIN * h).ceil(), height));
        (left < right && top < bottom).then(|| Self {
            stride: width,
            left,
            top,
            width: right - left,
            height: bottom - top,
        })
    }

    /// Gives each pixel a color, by its place in the area.
    fn fill(&self, rgb: &mut [u8], color: impl Fn(usize, usize) -> [u8; 3]) {
        for y in 0..self.height {
            let start = ((self.top + y) * self.stride + self.left) * 3;
            let row = rgb[start..start + self.width * 3].as_chunks_mut::<3>().0;
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = color(x, y);
            }
        }
    }
}

/// The mean colors of an area's cells.
struct Grid {
    /// Of a cell, in pixels.
    side: usize,
    columns: usize,
    rows: usize,
    /// Row by row.
    means: Vec<[f32; 3]>,
}

impl Grid {
    fn of(rgb: &[u8], area: &Area) -> Self {
        let side = area.width.max(area.height).div_ceil(CELLS).max(1);
        let (columns, rows) = (area.width.div_ceil(side), area.height.div_ceil(side));
        let mut sums = vec![([0u64; 3], 0u64); columns * rows];
        for y in 0..area.height {
            let start = ((area.top + y) * area.stride + area.left) * 3;
            for (x, pixel) in rgb[start..start + area.width * 3].as_chunks::<3>().0.iter().enumerate() {
                let (sum, count) = &mut sums[y / side * columns + x / side];
                sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(*value));
                *count += 1;
            }
        }
        let means = sums.iter().map(|(sum, count)| sum.map(|sum| sum as f32 / (*count).max(1) as f32)).collect();
        Self { side, columns, rows, means }
    }

    fn cell(&self, column: usize, row: usize) -> [u8; 3] {
        self.mean(column, row).map(|value| value.round() as u8)
    }

    fn mean(&self, column: usize, row: usize) -> [f32; 3] {
        self.means[row.min(self.rows - 1) * self.columns + column.min(self.columns - 1)]
    }

    /// The color at a pixel, between those of the cells whose centers are around it.
    fn between(&self, x: usize, y: usize) -> [u8; 3] {
        let place = |pixel: usize| {
            let cell = ((pixel as f32 + 0.5) / self.side as f32 - 0.5).max(0.0);
            (cell as usize, cell.fract())
        };
        let ((column, right), (row, down)) = (place(x), place(y));
        let mix = |a: [f32; 3], b: [f32; 3], share: f32| std::array::from_fn(|i| a[i] + (b[i] - a[i]) * share);
        let upper = mix(self.mean(column, row), self.mean(column + 1, row), right);
        let lower = mix(self.mean(column, row + 1), self.mean(column + 1, row + 1), right);
        let color: [f32; 3] = mix(upper, lower, down);
        color.map(|value| value.round() as u8)
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use image::imageops::{FilterType, resize};

    use super::*;
    use crate::detect::{FaceDetector, Picture, SmallestFace};
    use crate::network::preprocess::gray_from_rgb;

    const ALL: [Privacy; 3] = [Privacy::Blur, Privacy::Pixelate, Privacy::Box];

    fn hidden(picture: &RgbImage, faces: &[FaceBox], how: Privacy) -> RgbImage {
        let mut picture = picture.clone();
        let (width, height) = picture.dimensions();
        hide(&mut picture, width, height, faces, how);
        picture
    }

    /// Faces of a picture, down to a twelfth of its height.
    fn faces_in(rgb: &RgbImage) -> Vec<FaceBox> {
        let smallest = SmallestFace::Pixels((rgb.height() / 12).max(20));
        let gray = gray_from_rgb(rgb, rgb.width(), rgb.height()).expect("grey");
        let found = FaceDetector::new(smallest).and_then(|mut detector| detector.detect(Picture { rgb, gray: &gray }));
        found.expect("a picture").iter().map(|face| face.bounds).collect()
    }

    /// Whether the middle of a box lies in another.
    fn is_at(found: &FaceBox, face: &FaceBox) -> bool {
        let (x, y) = (found.x + found.width / 2.0, found.y + found.height / 2.0);
        (face.x..face.x + face.width).contains(&x) && (face.y..face.y + face.height).contains(&y)
    }

    #[test]
    fn the_detector_does_not_find_a_hidden_face() {
        for bytes in
            [&include_bytes!("../../tests/data/astronaut.jpg")[..], include_bytes!("../../tests/data/webcam.jpg")]
        {
            let picture = image::load_from_memory(bytes).expect("a picture").to_rgb8();
            let faces = faces_in(&picture);
            assert!(!faces.is_empty());
            for how in ALL {
                let hidden = hidden(&picture, &faces, how);
                // A smaller picture has smaller cells: what looks like a face from afar counts, too.
                for scale in [1, 2, 4] {
                    let (width, height) = (hidden.width() / scale, hidden.height() / scale);
                    let found = faces_in(&resize(&hidden, width, height, FilterType::Triangle));
                    for face in &faces {
                        let scaled = |found: &FaceBox| {
                            let scale = scale as f32;
                            let [x, y, width, height] =
                                [found.x, found.y, found.width, found.height].map(|v| v * scale);
                            FaceBox { x, y, width, height, ..*found }
                        };
                        let seen = found.iter().find(|found| is_at(&scaled(found), face));
                        assert_eq!(seen, None, "{how:?}, a picture {scale} times smaller");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_beyond_the_margin_changes() {
        let picture = RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x ^ y) as u8]));
        let face = FaceBox { x: 20.0, y: 16.0, width: 16.0, height: 16.0, score: 5.0 };
        for how in ALL {
            let hidden = hidden(&picture, &[face], how);
            for (x, y, pixel) in hidden.enumerate_pixels() {
                let is_inside = (16..40).contains(&x) && (12..36).contains(&y);
                assert!(is_inside || pixel == picture.get_pixel(x, y), "{how:?} at {x}, {y}");
            }
            assert_ne!(hidden, picture);
        }
    }

    #[test]
    fn odd_boxes_and_sizes_do_no_harm() {
        for (width, height) in [(1, 1), (7, 500), (64, 48)] {
            let picture = RgbImage::from_pixel(width, height, image::Rgb([9, 99, 199]));
            for x in [f32::NAN, f32::NEG_INFINITY, -1e9, -3.0, 0.5, 6.0, 1e9] {
                for side in [f32::NAN, -1.0, 0.0, 0.3, 5.0, 1e9, f32::MAX, f32::INFINITY] {
                    let face = FaceBox { x, y: x, width: side, height: side, score: 1.0 };
                    for how in ALL {
                        let hidden = hidden(&picture, &[face, face], how);
                        // The mean of one color is that color.
                        assert!(how == Privacy::Box || hidden == picture);
                    }
                }
            }
        }
    }
}
