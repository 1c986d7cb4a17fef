//! One picture through the training path and the live path gives the same tensor, bit for bit.
//!
//! Training: a grey PNG of a data set, the whole of it. Live: the same pixels somewhere in a colour PNG, opened as a
//! source, with a box around them.

use std::path::Path;

use candle_core::Device;
use emocam::dataset::{DataOptions, Dataset};
use emocam::flow::frame::{Face, FaceBox};
use emocam::network::preprocess::{InputSpec, Preprocessor, Region};
use emocam::network::weights::Weights;
use image::{GrayImage, Luma, Rgb, RgbImage};

use crate::common::faces::write_ferplus;
use crate::common::{gray_frame, temporary_folder};

/// The side of the pictures that the network is trained on.
const SIDE: u32 = 48;

/// Where the face is in the frame.
const LEFT: u32 = 37;
const TOP: u32 = 21;

/// A picture in which no two rows or columns are alike, `seed` making it another one.
fn picture(seed: u32) -> GrayImage {
    GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([(x * x + 3 * y * y + 5 * x * y + 17 * seed) as u8]))
}

/// A data set of one picture for each split, written and read as the trainer does.
fn sample(folder: &Path, face: &GrayImage) -> GrayImage {
    write_ferplus(folder, [(0, 1, face.clone()), (1, 1, picture(1)), (2, 1, picture(2))]);
    let dataset = Dataset::load(folder, &DataOptions::default()).expect("a data set");
    let [sample] = &dataset.train[..] else { panic!("{} samples", dataset.train.len()) };
    sample.image.clone()
}

/// A frame as it comes out of a source, in grey as the pipeline makes it.
fn live_frame(folder: &Path, frame: &RgbImage) -> GrayImage {
    let path = folder.join("frame.png");
    frame.save(&path).expect("a PNG");
    gray_frame(&path)
}

/// A coloured frame with a grey face in it.
fn frame_with(face: &GrayImage) -> RgbImage {
    let mut frame = RgbImage::from_fn(160, 120, |x, y| Rgb([x as u8, 200 - y as u8, (x * y) as u8]));
    for (x, y, &Luma([gray])) in face.enumerate_pixels() {
        frame.put_pixel(LEFT + x, TOP + y, Rgb([gray; 3]));
    }
    frame
}

/// As the trainer makes its inputs.
fn training_input(spec: &InputSpec, picture: &GrayImage, region: Region) -> Vec<u32> {
    let mut preprocessor = Preprocessor::new(spec.clone());
    let mut values = vec![0.0; preprocessor.input_len()];
    preprocessor.write_input(picture, region, &mut values).expect("an input");
    values.into_iter().map(f32::to_bits).collect()
}

/// As the classifier makes its inputs: all faces of a frame in one tensor.
fn live_inputs(spec: &InputSpec, frame: &GrayImage, faces: &[Face]) -> Vec<Vec<u32>> {
    let regions: Vec<_> = faces.iter().map(|face| (frame, Region::of_face(face, spec))).collect();
    let tensor = Preprocessor::new(spec.clone()).tensor_from_regions(&regions, &Device::Cpu).expect("a tensor");
    assert_eq!(tensor.dims(), [faces.len(), 1, spec.size, spec.size]);
    let rows: Vec<Vec<f32>> = tensor.flatten_from(1).and_then(|tensor| tensor.to_vec2()).expect("values");
    rows.into_iter().map(|row| row.into_iter().map(f32::to_bits).collect()).collect()
}

fn face_in(x: f32, y: f32, side: f32) -> Face {
    FaceBox { x, y, width: side, height: side, score: 5.0 }.into()
}

/// The input of the committed weights, with a box that is the crop itself: its sides are then whole pixels.
fn spec_without_margin() -> InputSpec {
    let card = Weights::embedded().expect("the embedded weights").card;
    InputSpec { crop_margin: 1.0, ..card.input }
}

#[test]
fn a_face_in_a_frame_is_the_picture_that_was_trained_on() {
    let folder = temporary_folder();
    let spec = spec_without_margin();
    let face = picture(9);
    let sample = sample(folder.path(), &face);
    let frame = live_frame(folder.path(), &frame_with(&face));
    let trained = training_input(&spec, &sample, Region::whole(&sample));
    // Two faces, in one batch: the other one must not matter.
    let boxes = [face_in(90.0, 60.0, 55.5), face_in(LEFT as f32, TOP as f32, SIDE as f32)];
    let [other, live] = &live_inputs(&spec, &frame, &boxes)[..] else { panic!("two inputs") };
    assert_eq!(live, &trained);
    assert_ne!(other, &trained);
}

#[test]
fn the_same_region_gives_the_same_values_also_between_pixels_and_over_the_edge() {
    let folder = temporary_folder();
    let spec = Weights::embedded().expect("the embedded weights").card.input;
    let face = picture(4);
    let sample = sample(folder.path(), &face);
    // The frame is the picture itself, in colour channels.
    let frame = RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([face.get_pixel(x, y).0[0]; 3]));
    let frame = live_frame(folder.path(), &frame);
    let mut seen = Vec::new();
    for face in [
        face_in(10.0, 10.0, 20.0),
        face_in(7.3, 11.6, 29.1),
        face_in(-9.0, 5.5, 30.0),
        face_in(20.0, -14.25, 40.0),
        face_in(31.0, 30.0, 33.7),
        face_in(-20.0, -20.0, 88.0),
    ] {
        let trained = training_input(&spec, &sample, Region::of_face(&face, &spec));
        let [live] = &live_inputs(&spec, &frame, &[face])[..] else { panic!("one input") };
        assert_eq!(live, &trained, "{face:?}");
        assert!(!seen.contains(&trained), "{face:?} gives the same as another box");
        seen.push(trained);
    }
}

#[test]
fn over_the_frames_edge_the_live_path_sees_what_a_picture_with_that_edge_would_train() {
    let folder = temporary_folder();
    let spec = spec_without_margin();
    let frame = live_frame(folder.path(), &frame_with(&picture(2)));
    let (width, height) = (frame.width() as i32, frame.height() as i32);
    for (x, y) in [(-11, 30), (50, -20), (width - 40, height - 9), (-30, height - 20), (-47, -47)] {
        let padded = GrayImage::from_fn(SIDE, SIDE, |column, row| {
            let from = |start: i32, offset: u32, length: i32| (start + offset as i32).clamp(0, length - 1) as u32;
            *frame.get_pixel(from(x, column, width), from(y, row, height))
        });
        let trained = training_input(&spec, &padded, Region::whole(&padded));
        assert_eq!(live_inputs(&spec, &frame, &[face_in(x as f32, y as f32, SIDE as f32)]), [trained], "{x},{y}");
    }
}
