//! Time per stage, one by one: `cargo bench --bench stages`. On the first frame of the clip inside the program, 640x480.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use emocam::detect::{FaceDetector, Picture, SmallestFace};
use emocam::draw::annotated_picture;
use emocam::flow::emotion::{Prediction, Probabilities};
use emocam::flow::frame::Frame;
use emocam::network::preprocess::gray_from_rgb;
use emocam::source::SourceSpec;
use emocam::track::{FaceTracker, Search, Sequence};

fn first_frame() -> Frame {
    let mut demo = SourceSpec::Demo.open().expect("the demo opens");
    demo.next_frame().expect("the demo can be read").expect("the demo has frames")
}

fn decoding(criterion: &mut Criterion) {
    let mut source = SourceSpec::Demo.open().expect("the demo opens");
    criterion.bench_function("decode a frame of H.264", |bencher| {
        bencher.iter(|| {
            let frame = source.next_frame().expect("the demo can be read");
            if frame.is_none() {
                source = SourceSpec::Demo.open().expect("the demo opens");
            }
            frame
        });
    });
}

fn gray(criterion: &mut Criterion) {
    let frame = first_frame();
    criterion.bench_function("gray from RGB", |bencher| {
        bencher.iter(|| gray_from_rgb(black_box(&frame.rgb), frame.width, frame.height));
    });
}

fn scanning(criterion: &mut Criterion) {
    let frame = first_frame();
    let gray = gray_from_rgb(&frame.rgb, frame.width, frame.height).expect("a grey frame");
    let mut group = criterion.benchmark_group("scan of a whole frame, smallest face");
    group.sample_size(20);
    for smallest in [40, 80, 160] {
        let mut detector = FaceDetector::new(SmallestFace::Pixels(smallest)).expect("the detector loads");
        group.bench_function(smallest.to_string(), |bencher| {
            bencher.iter(|| detector.detect(black_box(Picture { rgb: &frame.rgb, gray: &gray })));
        });
    }
    group.finish();
}

fn following(criterion: &mut Criterion) {
    let frame = first_frame();
    let gray = gray_from_rgb(&frame.rgb, frame.width, frame.height).expect("a grey frame");
    let search = Search { smallest_face: SmallestFace::IN_MOTION, sequence: Sequence::Motion(None), sees_all: false };
    let mut tracker = FaceTracker::new(search).expect("the detector loads");
    let mut number = 0;
    criterion.bench_function("follow a face, with the sweep's share of a frame", |bencher| {
        bencher.iter(|| {
            number += 1;
            tracker.track(
                black_box(Picture { rgb: &frame.rgb, gray: &gray }),
                number,
                Duration::from_millis(33) * number as u32,
            )
        });
    });
}

fn drawing(criterion: &mut Criterion) {
    let frame = first_frame();
    let gray = gray_from_rgb(&frame.rgb, frame.width, frame.height).expect("a grey frame");
    let mut detector = FaceDetector::new(SmallestFace::IN_MOTION).expect("the detector loads");
    let face = detector
        .detect(Picture { rgb: &frame.rgb, gray: &gray })
        .expect("a scan")
        .first()
        .expect("the demo begins with a face")
        .bounds;
    let probabilities = Probabilities::from_logits(&[0.0, 0.0, 0.0, 2.0, 1.0, 0.0, 0.0]);
    let one = Prediction::new(0, face, probabilities);
    let quarter = |id: u64| {
        let (width, height) = (frame.width as f32 / 4.0, frame.height as f32 / 4.0);
        let (x, y) = (width * (1.0 + 2.0 * (id % 2) as f32), height * (1.0 + 2.0 * (id / 2) as f32));
        let face = emocam::flow::frame::FaceBox { x: x - 50.0, y: y - 50.0, width: 100.0, height: 100.0, score: 9.0 };
        Prediction::new(id, face, probabilities)
    };
    let four: Vec<Prediction> = (0..4).map(quarter).collect();
    let mut group = criterion.benchmark_group("draw, faces");
    for predictions in [&[][..], &[one], &four] {
        group.bench_function(predictions.len().to_string(), |bencher| {
            bencher.iter(|| annotated_picture(black_box(&frame), predictions));
        });
    }
    group.finish();
}

criterion_group!(stages, decoding, gray, scanning, following, drawing);
criterion_main!(stages);
