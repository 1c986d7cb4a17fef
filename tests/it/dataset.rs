//! Data sets of every format on disk become the samples that they should, and photos become what `live` would see.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use emocam::dataset::{DataOptions, Dataset, FacesMode, Part, Sample, View};
use emocam::detect::{FaceDetector, Picture, SmallestFace};
use emocam::flow::emotion::Emotion;
use emocam::network::preprocess::{InputSpec, Preprocessor, Region};
use emocam::network::weights::Weights;
use image::{GrayImage, Luma};

use crate::common::faces::{Faces, drawn_face};
use crate::common::{astronaut, gray_frame, shared, skip, temporary_folder};

fn load(folder: &Path, options: &DataOptions) -> Dataset {
    Dataset::load(folder, options).expect("a data set")
}

fn by_rule(rule: &str) -> DataOptions {
    DataOptions { split: Some(rule.parse().expect("a rule")), ..Default::default() }
}

fn refusal(folder: &Path, options: &DataOptions) -> String {
    format!("{:#}", Dataset::load(folder, options).expect_err("a refusal"))
}

fn people(samples: &[Sample]) -> BTreeSet<&str> {
    samples.iter().map(|sample| sample.subject.as_deref().expect("a person")).collect()
}

fn sizes(dataset: &Dataset) -> [usize; 3] {
    Part::ALL.map(|part| dataset.part(part).len())
}

/// The samples of all parts.
fn all(dataset: &Dataset) -> Vec<&Sample> {
    Part::ALL.iter().flat_map(|&part| dataset.part(part)).collect()
}

#[test]
fn a_posed_set_is_split_between_people_unless_one_insists() {
    let folder = temporary_folder();
    Faces::real().write_posed(folder.path(), 10);
    let dataset = load(folder.path(), &DataOptions::default());
    let [train, validation] = [people(&dataset.train), people(&dataset.validation)];
    assert_eq!((train.len(), validation.len()), (8, 2));
    assert!(train.is_disjoint(&validation));
    assert_eq!(sizes(&dataset).iter().sum::<usize>() + dataset.copies, 140);
    assert_eq!(dataset.split, "subject:0.2, seed 0");
    assert!(!dataset.warnings.iter().any(|notice| notice.contains("leaks")), "{:?}", dataset.warnings);
    for emotion in Emotion::ALL {
        let number = dataset.validation.iter().filter(|sample| sample.label() == emotion).count();
        assert!((3..=4).contains(&number), "{number} of {emotion}");
    }

    let random = load(folder.path(), &by_rule("random:0.2:0.1"));
    assert!(people(&random.train).intersection(&people(&random.validation)).count() > 0);
    assert!(random.warnings.iter().any(|notice| notice.contains("identity leaks")), "{:?}", random.warnings);
    assert!((12..=14).contains(&random.test.len()), "{:?}", sizes(&random));
}

#[test]
fn the_split_follows_from_names_and_seed() {
    let (first, second) = (temporary_folder(), temporary_folder());
    // The same names with the same faces, once more in another place and filed in another order.
    Faces::drawn().write_posed(first.path(), 4);
    for person in ["AM02", "AF01", "AM01", "AF02"] {
        fs::create_dir(second.path().join(person)).expect("a folder");
        for entry in fs::read_dir(first.path().join(person)).expect("a folder").map(|entry| entry.expect("a file")) {
            fs::copy(entry.path(), second.path().join(person).join(entry.file_name())).expect("a copy");
        }
    }
    let hash = |folder: &Path, seed| load(folder, &DataOptions { seed, ..by_rule("random:0.5") }).split_hash();
    assert_eq!(hash(first.path(), 1), hash(second.path(), 1));
    assert_ne!(hash(first.path(), 1), hash(first.path(), 2));
}

#[test]
fn copies_across_parts_are_removed_from_train() {
    let folder = temporary_folder();
    for part in ["train", "valid", "test"] {
        Faces::drawn().write_classes(&folder.path().join(part), 2);
    }
    let happy = folder.path().join("train/Happy");
    drawn_face(Emotion::Happy, 77).save(happy.join("new.png")).expect("a PNG");
    fs::copy(happy.join("new.png"), happy.join("copy.png")).expect("a copy");
    let dataset = load(folder.path(), &DataOptions::default());
    assert_eq!((sizes(&dataset), dataset.copies), ([1, 0, 14], 29));
    assert_eq!(dataset.train[0].name, "train/Happy/copy.png");
    assert_eq!(dataset.split, "own");
    let warnings = dataset.warnings.join("\n");
    assert!(warnings.contains("no picture for validation is left"), "{warnings}");
    assert!(warnings.contains("no picture for train shows Anger or Disgust or Fear or Neutral"), "{warnings}");
    assert_eq!(all(&dataset).len(), 15);
}

#[test]
fn damaged_pictures_are_named_and_left_out_unless_there_are_no_others() {
    let folder = temporary_folder();
    Faces::drawn().write_classes(folder.path(), 3);
    let sad = folder.path().join("Sad");
    let good = fs::read(sad.join("0.png")).expect("a file");
    fs::write(sad.join("cut.png"), &good[..good.len() / 2]).expect("a file");
    fs::write(sad.join("empty.jpg"), "").expect("a file");
    let dataset = load(folder.path(), &DataOptions::default());
    assert_eq!(sizes(&dataset).iter().sum::<usize>(), 21);
    let notice = dataset.warnings.iter().find(|notice| notice.contains("could not be read")).expect("a notice");
    for word in ["2 pictures of 23 could not be read and are left out: ", "Sad/cut.png (", "Sad/empty.jpg ("] {
        assert!(notice.contains(word), "{notice}");
    }
    for emotion in Emotion::ALL {
        fs::remove_dir_all(folder.path().join(emotion.name())).expect("removed");
    }
    fs::create_dir(&sad).expect("a folder");
    fs::write(sad.join("text.png"), "no picture").expect("a file");
    let error = refusal(folder.path(), &DataOptions::default());
    assert!(error.contains("no picture for train can be read (1 of 1 failed): Sad/text.png"), "{error}");
}

#[test]
fn a_photo_becomes_what_live_would_see_and_is_searched_once() {
    let (folder, cache) = (temporary_folder(), temporary_folder());
    fs::create_dir_all(folder.path().join("happy")).expect("a folder");
    fs::copy(astronaut(), folder.path().join("happy/photo.jpg")).expect("a copy");
    let wall = GrayImage::from_fn(80, 60, |x, y| Luma([(x + y) as u8]));
    wall.save(folder.path().join("happy/wall.png")).expect("a PNG");
    drawn_face(Emotion::Happy, 0).save(folder.path().join("happy/face.png")).expect("a PNG");
    let options = DataOptions { cache: Some(cache.path().into()), ..Default::default() };
    let dataset = load(folder.path(), &options);
    let missed: Vec<_> = dataset.missed.iter().map(|missed| (&*missed.name, missed.label)).collect();
    assert_eq!(missed, [("happy/wall.png", Emotion::Happy)]);
    assert!(dataset.warnings.iter().any(|notice| notice.contains("happy/wall.png")), "{:?}", dataset.warnings);
    let hash = dataset.split_hash();
    let samples = all(&dataset);
    let sample = |name: &str| samples.iter().find(|sample| sample.name == name).expect("a sample");
    assert_eq!(sample("happy/face.png").image, drawn_face(Emotion::Happy, 0));

    // Live: the frame, its largest face, the region around it. Here: the stored picture, the whole of it.
    let spec = InputSpec::default();
    let rgb = image::open(astronaut()).expect("a picture").into_rgb8();
    let frame = gray_frame(&astronaut());
    let mut detector = FaceDetector::new(SmallestFace::IN_PICTURES).expect("a detector");
    let face = detector.detect(Picture { rgb: &rgb, gray: &frame }).expect("faces")[0];
    let input = |picture: &GrayImage, region: Region| {
        let mut preprocessor = Preprocessor::new(spec.clone());
        let mut values = vec![0.0; preprocessor.input_len()];
        preprocessor.write_input(picture, region, &mut values).expect("an input");
        values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let stored = &sample("happy/photo.jpg").image;
    assert_eq!(input(stored, Region::whole(stored)), input(&frame, Region::of_face(&face, &spec)));

    // Two entries: the small face is not worth one. A face that is put in their place is the one that is read.
    let entries: Vec<_> = fs::read_dir(cache.path())
        .expect("a folder")
        .flat_map(|folder| fs::read_dir(folder.expect("a folder").path()).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert_eq!(load(folder.path(), &options).split_hash(), hash);
    for entry in &entries {
        let mut png = std::io::Cursor::new(Vec::new());
        drawn_face(Emotion::Sad, 5).write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
        fs::write(entry, png.into_inner()).expect("an entry");
    }
    let kept = load(folder.path(), &options);
    assert!(kept.missed.is_empty());
    assert!(all(&kept).iter().any(|sample| sample.image == drawn_face(Emotion::Sad, 5)));
    let other_margin = InputSpec { crop_margin: 1.3, ..spec };
    let other = load(folder.path(), &DataOptions { input: other_margin, ..options });
    assert_eq!(other.missed.len(), 1, "an entry for other settings is not taken");
}

#[test]
fn whole_pictures_are_squares_of_the_input_size() {
    let folder = temporary_folder();
    fs::create_dir_all(folder.path().join("sad")).expect("a folder");
    // A tall picture: dark, a bright square in the middle.
    let tall = GrayImage::from_fn(120, 240, |_, y| Luma([if (60..180).contains(&y) { 250 } else { 10 }]));
    tall.save(folder.path().join("sad/tall.bmp")).expect("a BMP");
    let input = InputSpec { size: 64, ..Default::default() };
    let dataset = load(folder.path(), &DataOptions { faces: FacesMode::Whole, input, ..Default::default() });
    let image = &dataset.train[0].image;
    assert_eq!(image.dimensions(), (64, 64));
    let rows = [4, 12, 20, 44, 52, 60].map(|y| image.get_pixel(0, y).0[0]);
    assert_eq!(rows, [10, 10, 250, 250, 10, 10], "not squeezed: the edges go on to both sides");
    let error = refusal(folder.path(), &DataOptions::default());
    assert!(error.contains("no face was found in any picture (1)") && error.contains("--faces whole"), "{error}");
}

#[test]
fn other_views_are_used_when_they_are_named() {
    let folder = temporary_folder();
    for (name, number) in [("AF01HAS", 0), ("AF01HAHL", 1), ("AM01HAS", 2), ("AM01HAFR", 3)] {
        drawn_face(Emotion::Happy, number).save(folder.path().join(format!("{name}.png"))).expect("a PNG");
    }
    let samples = |views: &[View]| load(folder.path(), &DataOptions { views: views.into(), ..Default::default() });
    assert_eq!(all(&samples(&[View::S])).len(), 2);
    assert_eq!(all(&samples(&[View::S, View::HL, View::FR])).len(), 4);
}

#[test]
fn fer_plus_has_the_split_that_the_weights_in_the_program_were_trained_on() {
    let Some(folder) = shared().map(|shared| shared.join("data/ferplus")).filter(|folder| folder.is_dir()) else {
        return skip("fer_plus_has_the_split_that_the_weights_in_the_program_were_trained_on", "no data/ferplus");
    };
    let card = Weights::embedded().expect("the weights").card;
    let dataset = load(&folder, &DataOptions { input: card.input, ..Default::default() });
    assert_eq!(dataset.test.len(), 3334);
    assert_eq!(dataset.warnings, [] as [&str; 0]);
    assert_eq!(dataset.split_hash(), card.split_hash);
}
