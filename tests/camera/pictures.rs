//! What the webcam plays: a face that is Happy, 640x480, in its two formats and damaged in several ways.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::common::temporary_folder;

pub(crate) const WIDTH: u32 = 640;
pub(crate) const HEIGHT: u32 = 480;

/// Files in a folder that is removed when the value is dropped.
pub(crate) struct Pictures(TempDir);

impl Pictures {
    /// Writes the files.
    pub(crate) fn new() -> Self {
        let pictures = Self(temporary_folder());
        let face =
            fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo.jpg")).expect("the test's face");
        let decoded = image::load_from_memory(&face).expect("a picture").into_rgb8();
        assert_eq!(decoded.dimensions(), (WIDTH, HEIGHT));
        fs::write(pictures.yuyv(), yuyv(&decoded)).expect("a file");
        fs::write(pictures.half(), &face[..face.len() / 2]).expect("a file");
        fs::write(pictures.garbage(), noise(20_000)).expect("a file");
        fs::write(pictures.trailing(), [face.as_slice(), &noise(5_000)].concat()).expect("a file");
        fs::write(pictures.jpeg(), face).expect("a file");
        pictures
    }

    /// The face in YUYV, as webcams send it.
    pub(crate) fn yuyv(&self) -> PathBuf {
        self.0.path().join("face.yuyv")
    }

    /// The face as JPEG.
    pub(crate) fn jpeg(&self) -> PathBuf {
        self.0.path().join("face.jpg")
    }

    /// Half of that file.
    pub(crate) fn half(&self) -> PathBuf {
        self.0.path().join("half.jpg")
    }

    /// Nothing that is JPEG.
    pub(crate) fn garbage(&self) -> PathBuf {
        self.0.path().join("garbage.jpg")
    }

    /// The JPEG with other bytes after its end.
    pub(crate) fn trailing(&self) -> PathBuf {
        self.0.path().join("trailing.jpg")
    }
}

/// BT.601, limited range, in which webcams send YUYV; each pair of pixels shares its color.
pub(crate) fn yuyv(picture: &image::RgbImage) -> Vec<u8> {
    let luma = |[r, g, b]: [f32; 3]| 16.0 + 0.257 * r + 0.504 * g + 0.098 * b;
    let blue = |[r, g, b]: [f32; 3]| 128.0 - 0.148 * r - 0.291 * g + 0.439 * b;
    let red = |[r, g, b]: [f32; 3]| 128.0 + 0.439 * r - 0.368 * g - 0.071 * b;
    let pairs = picture.as_raw().chunks_exact(6).map(|pair| {
        let pixel = |start: usize| [0, 1, 2].map(|channel| f32::from(pair[start + channel]));
        let (left, right) = (pixel(0), pixel(3));
        let mean = [0, 1, 2].map(|channel| (left[channel] + right[channel]) / 2.0);
        [luma(left), blue(mean), luma(right), red(mean)].map(|value| value.round() as u8)
    });
    pairs.flatten().collect()
}

/// The same bytes each time, which look like nothing.
fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
