//! What recording costs: a frame of 1280x720 with the noise of a camera, converted, encoded and written.
//!
//! `cargo bench --bench record`. At 30 frames a second, 13.3 ms a frame are 40% of a core.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use emocam::flow::labelled::{Labelled, Timing};
use emocam::sink::{OutputOptions, SinkSpec};
use emocam::source::SourceSpec;
use image::RgbImage;
use image::imageops::{FilterType, resize};
use rand::{RngExt, SeedableRng};

/// The demo as a camera of 1280x720 would see it: every other frame, enlarged, with noise.
fn frames() -> Vec<Labelled> {
    let mut demo = SourceSpec::Demo.open().expect("the demo opens");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut frames = Vec::new();
    while let Some(mut frame) = demo.next_frame().expect("the demo") {
        if frame.id % 4 == 0 {
            let picture = RgbImage::from_raw(frame.width, frame.height, frame.rgb.to_vec()).expect("a frame");
            let mut picture = resize(&picture, 1280, 720, FilterType::Triangle);
            picture.iter_mut().for_each(|value| *value = value.saturating_add_signed(random.random_range(-3..=3)));
            (frame.width, frame.height) = (1280, 720);
            let picture = Some(Arc::new(picture));
            let (predictions, unlabelled) = (Vec::new(), Vec::new());
            frames.push(Labelled {
                frame,
                predictions,
                ignored: 0,
                unlabelled,
                events: Vec::new(),
                timing: Timing::default(),
                picture,
            });
        }
    }
    frames
}

fn record(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("out.mp4");
    let mut recorder = SinkSpec::Video(path).open(OutputOptions::default()).expect("a folder that can be written");
    let frames = frames();
    let mut id = 0;
    criterion.bench_function("a frame of 1280x720 to mp4", |bencher| {
        bencher.iter_custom(|count| {
            let mut time = Duration::ZERO;
            for _ in 0..count {
                let mut annotated = frames[id as usize % frames.len()].clone();
                annotated.frame.id = id;
                annotated.frame.pts = Duration::from_secs(id) / 30;
                id += 1;
                let start = Instant::now();
                let _ = recorder.write(&annotated).expect("a disk with room");
                time += start.elapsed();
            }
            time
        });
    });
}

criterion_group!(benches, record);
criterion_main!(benches);
