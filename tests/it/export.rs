//! The network as ONNX: another program's runtime gives the probabilities that this program gives, also by the example of
//! `emocam help export`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::Device;
use emocam::flow::emotion::{Emotion, Probabilities};
use emocam::flow::frame::{Face, FaceBox};
use emocam::network::calibration::Prior;
use emocam::network::classify::Classifier;
use emocam::network::preprocess::{Preprocessor, Region, gray_from_rgb};
use emocam::network::weights::Weights;
use emocam::recognize::Recognizer;
use emocam::source::SourceSpec;
use image::{GrayImage, Luma, RgbImage};
use serde_json::Value;

use crate::common::faces::Faces;
use crate::common::{
    astronaut, emocam, example, fail, in_project, json_lines, python_with, skip, succeed, temporary_folder, text,
};

/// The most that a probability may differ: two runtimes sum in another order.
const TOLERANCE: f64 = 1e-4;

/// Reads crops, runs them at once and one by one, and prints what the file says of itself and what it gives.
const RUN: &str = r#"
import json, sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
crops = numpy.fromfile(sys.argv[2], dtype=numpy.uint8).reshape(-1, 1, 48, 48).astype(numpy.float32)
names = ["probabilities", "logits"]
probabilities, logits = session.run(names, {"image": crops})
single = [session.run(names, {"image": crop[None]})[0][0].tolist() for crop in crops]
values = lambda values: {value.name: [value.type, value.shape] for value in values}
print(json.dumps({
    "inputs": values(session.get_inputs()), "outputs": values(session.get_outputs()),
    "metadata": session.get_modelmeta().custom_metadata_map,
    "probabilities": probabilities.tolist(), "logits": logits.tolist(), "single": single}))
"#;

/// Grey pictures and a face in each: real ones as they are found, and what the network never saw.
fn faces() -> Vec<(GrayImage, Face)> {
    let mut recognizer = Recognizer::new().expect("a recognizer");
    let mut demo = SourceSpec::Demo.open().expect("the demo");
    let frames = std::iter::from_fn(|| demo.next_frame().expect("a frame")).step_by(24);
    let frames =
        frames.map(|frame| RgbImage::from_raw(frame.width, frame.height, frame.rgb.to_vec()).expect("a frame"));
    let photo = image::open(astronaut()).expect("a picture").into_rgb8();
    let mut all = Vec::new();
    for picture in frames.chain([photo]) {
        let gray = gray_from_rgb(&picture, picture.width(), picture.height()).expect("a picture");
        for found in recognizer.faces(&picture).expect("faces") {
            all.push((gray.clone(), Face { bounds: found.face, points: found.points }));
        }
    }
    assert!(all.len() > 5, "{} faces", all.len());
    let bounds = FaceBox { x: 20.0, y: 10.0, width: 60.0, height: 60.0, score: 1.0 };
    for made in [
        GrayImage::from_pixel(100, 100, Luma([0])),
        GrayImage::from_pixel(100, 100, Luma([255])),
        // Deviations below the least that is divided by, and far above.
        GrayImage::from_fn(100, 100, |x, y| Luma([100 + ((x / 5 + y / 5) % 4) as u8])),
        GrayImage::from_fn(100, 100, |x, _| Luma([if x < 50 { 0 } else { 255 }])),
        GrayImage::from_fn(100, 100, |x, y| Luma([(x * x + 3 * y * y + 5 * x * y) as u8])),
    ] {
        all.push((made, bounds.into()));
    }
    all
}

/// What a file of ONNX gives for these faces, as it is run by Python.
fn run(python: &Path, model: &Path, weights: &Weights, faces: &[(GrayImage, Face)]) -> Value {
    let mut preprocessor = Preprocessor::new(weights.card.input.clone());
    let crop = |(gray, face): &(GrayImage, Face)| {
        let region = Region::of_face(face, &weights.card.input);
        preprocessor.crop(gray, region).expect("a crop").into_raw()
    };
    let crops = model.with_extension("crops");
    fs::write(&crops, faces.iter().flat_map(crop).collect::<Vec<u8>>()).expect("a file");
    let output = succeed(Command::new(python).args(["-c", RUN]).arg(model).arg(crops));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn assert_near(found: &Value, expected: &Probabilities, of: &str) {
    for (emotion, expected) in expected.iter() {
        let found = found[emotion.index()].as_f64().expect("a number");
        assert!((found - f64::from(expected)).abs() < TOLERANCE, "{of}: {emotion} {found} instead of {expected}");
    }
}

#[test]
fn onnxruntime_gives_the_probabilities_of_the_program() {
    let test = "onnxruntime_gives_the_probabilities_of_the_program";
    let Some(python) = python_with("onnxruntime, numpy") else {
        return skip(test, "Python with onnxruntime is not installed");
    };
    let folder = temporary_folder();
    // Another shape of network, with weights that nobody has rounded.
    let (data, other) = (folder.path().join("data"), folder.path().join("run"));
    Faces::drawn().write_classes(&data, 4);
    let shape =
        "train --device cpu --init none --channels 3,5,5,8 --blocks 1,2,1 --no-cache --epochs 1 --batch-size 16";
    let split = ["--split", "random:0.3", "--data"];
    succeed(emocam().args(shape.split(' ')).args(split).arg(data).arg("--out").arg(&other));
    let other = other.join("best.safetensors");

    let faces = faces();
    for (file, prior) in [(None, None), (None, Some("natural")), (Some(&other), None)] {
        let model = folder.path().join("net.onnx");
        let mut command = emocam();
        command.arg("export").arg(&model).arg("--force");
        file.map(|file| command.arg("--weights").arg(file));
        prior.map(|prior| command.args(["--prior", prior]));
        succeed(&mut command);
        let weights = file.map_or_else(Weights::embedded, |file| Weights::load(file)).expect("weights");
        let wanted = prior.map(|prior| prior.parse::<Prior>().expect("a prior"));
        let mut classifier = Classifier::new(&weights, wanted, Device::Cpu).expect("a classifier");
        let found = run(&python, &model, &weights, &faces);
        for (number, (gray, face)) in faces.iter().enumerate() {
            let expected = classifier.classify(gray, &[*face]).expect("labels").remove(0);
            let of = format!("{file:?} {prior:?} face {number}");
            assert_near(&found["probabilities"][number], &expected, &of);
            assert_near(&found["single"][number], &expected, &format!("{of}, by itself"));
        }
        assert_eq!(found["inputs"], serde_json::json!({ "image": ["tensor(float)", ["batch", 1, 48, 48]] }));
        for output in ["probabilities", "logits"] {
            assert_eq!(found["outputs"][output], serde_json::json!(["tensor(float)", ["batch", 7]]), "{output}");
        }
        let metadata = &found["metadata"];
        assert_eq!(metadata["labels"], Emotion::ALL.map(Emotion::name).join(","));
        assert_eq!(metadata["weights_sha256"], Weights::sha256(file.map(PathBuf::as_path)).expect("a hash"));
        assert_eq!(metadata["prior"], classifier.prior().to_string());
        assert_eq!(metadata.get("licence").is_some(), file.is_none());
        assert!(metadata["preprocessing"].as_str().is_some_and(|text| text.contains("48x48")), "{metadata}");
    }
}

#[test]
fn the_example_of_the_help_says_of_a_photo_what_the_program_says() {
    let test = "the_example_of_the_help_says_of_a_photo_what_the_program_says";
    let Some(python) = python_with("onnxruntime, numpy, PIL") else {
        return skip(test, "Python with onnxruntime and Pillow is not installed");
    };
    let folder = temporary_folder();
    let photo = image::open(astronaut()).expect("a picture").into_rgb8();
    // Leaning to either side, and far larger than the network's input.
    for (number, turned) in [photo.clone(), image::imageops::rotate90(&photo)].into_iter().enumerate() {
        let large = image::imageops::resize(&turned, 1024, 1024, image::imageops::FilterType::Triangle);
        large.save(folder.path().join("photo.jpg")).expect("a JPEG");
        succeed(emocam().current_dir(&folder).args(["annotate", "photo.jpg", "-o", "out.jsonl", "--force"]));
        succeed(emocam().current_dir(&folder).args(["export", "emocam.onnx", "--force"]));
        let output = succeed(
            Command::new(&python).arg("-c").arg(example("export", "python", "onnxruntime")).current_dir(&folder),
        );
        let printed = text(&output.stdout);
        let expected = &json_lines(&folder.path().join("out.jsonl"))[0]["faces"];
        assert_eq!(expected.as_array().map(Vec::len), Some(1), "{number}: {expected}");
        let (label, confidence) = printed.trim().split_once(' ').unwrap_or_else(|| panic!("{printed}"));
        assert_eq!(expected[0]["emotion"], label, "{number}");
        let confidence: f64 = confidence.parse().expect("a number");
        let off = (confidence - expected[0]["confidence"].as_f64().expect("a number")).abs();
        assert!(off < 0.05, "{number}: {printed} instead of {}", expected[0]["confidence"]);
    }
}

#[test]
fn what_is_there_and_weights_that_do_not_fit_are_refused() {
    let folder = temporary_folder();
    let file = folder.path().join("net.onnx");
    let export = || {
        let mut command = emocam();
        command.arg("export").arg(&file);
        command
    };
    let said = text(&succeed(&mut export()).stderr);
    assert!(said.contains("48x48") && said.contains("emocam help export"), "{said}");
    let bytes = fs::read(&file).expect("the file");
    fail(&mut export(), 1, &["net.onnx exists already (--force overwrites it)"]);
    let broken = folder.path().join("broken.safetensors");
    let weights = fs::read(in_project("weights/emocam.safetensors")).expect("weights");
    fs::write(&broken, &weights[..weights.len() / 2]).expect("a file");
    let words = ["weights file", "broken.safetensors", "expected a safetensors file"];
    fail(export().arg("--force").arg("--weights").arg(&broken), 1, &words);
    fail(export().args(["--force", "--weights", "missing.safetensors"]), 1, &["missing.safetensors"]);
    assert_eq!(fs::read(&file).expect("the file"), bytes, "what was there stays");
    fail(emocam().args(["export", "net.tflite"]), 2, &["ends in .onnx"]);
}
