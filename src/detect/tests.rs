use image::{Luma, Rgb, RgbImage};

use super::*;
use crate::network::preprocess::gray_from_rgb;

/// The faces of a picture.
fn faces(rgb: &RgbImage, smallest: SmallestFace) -> Result<Vec<Face>> {
    let gray = gray_from_rgb(rgb, rgb.width(), rgb.height()).expect("grey");
    FaceDetector::new(smallest)?.detect(Picture { rgb, gray: &gray })
}

#[test]
fn frames_of_any_size_without_faces_have_none() {
    for smallest in [SmallestFace::IN_MOTION, SmallestFace::IN_PICTURES, SmallestFace::Pixels(400)] {
        for (width, height) in [(1, 1), (1, 400), (3000, 2), (39, 39), (20, 4000), (100, 100)] {
            for value in [0, 128, 255] {
                let frame = RgbImage::from_pixel(width, height, Rgb([value; 3]));
                assert!(faces(&frame, smallest).expect("no failure").is_empty(), "{width}x{height}, {value}");
            }
        }
    }
    assert!(FaceDetector::new(SmallestFace::Pixels(0)).is_err(), "a face without a size");
    let error = faces(&RgbImage::new(4000, 4000), SmallestFace::Pixels(1)).expect_err("too small");
    assert!(error.to_string().contains("faces of 1 pixels"), "{error}");
    let check = |pixels| SmallestFace::Pixels(pixels).check(&GrayImage::from_pixel(100, 80, Luma([0])));
    check(80).expect("it fits");
    check(81).expect_err("it does not fit");
}

#[test]
fn a_face_is_found_once_upright_on_its_side_small_and_cut() {
    let portrait =
        image::load_from_memory(include_bytes!("../../tests/data/astronaut.jpg")).expect("a picture").into_rgb8();
    for (name, picture, width) in [
        ("upright", portrait.clone(), 128.0),
        ("on its side", image::imageops::rotate90(&portrait), 128.0),
        ("small", image::imageops::resize(&portrait, 90, 90, image::imageops::FilterType::Triangle), 22.5),
        ("cut", image::imageops::crop_imm(&portrait, 225, 0, 287, 300).to_image(), 128.0),
    ] {
        let found = faces(&picture, SmallestFace::IN_PICTURES).expect("faces");
        // The flag behind her has no face; the crop loses half of hers.
        let [face] = &found[..] else { panic!("{name}: {found:?}") };
        assert!((face.bounds.width / width - 1.0).abs() < 0.35, "{name}: {face:?}");
        assert!(face.points.is_some(), "{name}");
    }
}
