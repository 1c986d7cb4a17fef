//! Time of a camera's frame on its way to RGB8, 640x480, one thread: `cargo bench --bench pixels`.
//!
//! The conversions are no part of the library's interface, so their source is compiled into this program.

use criterion::{criterion_group, criterion_main};
use emocam::{flow, system};

#[path = "../../src/source"]
mod source {
    use std::hint::black_box;

    use criterion::Criterion;

    use self::pixels::{Encoding, I420, Range};
    use crate::system::buffers::Buffers;

    // A video's frame and a camera's take different ones.
    #[allow(dead_code)]
    mod pixels;

    const SIZE: (u32, u32) = (640, 480);
    const PIXELS: usize = 640 * 480;

    /// A window's picture with chroma at half the width and height; and as a webcam has it, at half the width alone:
    /// `ffmpeg -i src/source/demo.mp4 -frames:v 1 demo.ppm; cjpeg -quality 85 -sample 2x1 demo.ppm > webcam.jpg`.
    const JPEGS: [(&str, &[u8]); 2] =
        [("MJPEG 4:2:0", include_bytes!("../data/demo.jpg")), ("MJPEG 4:2:2", include_bytes!("../data/webcam.jpg"))];

    pub(super) fn conversions(criterion: &mut Criterion) {
        let ((width, height), encoding) = (SIZE, Encoding::default());
        let mut buffers = Buffers::default();
        let mut group = criterion.benchmark_group("RGB from");
        // How long it takes does not depend on what is in it.
        let bytes: Vec<u8> = (0..2 * PIXELS).map(|i| ((i * i) >> 7) as u8).collect();
        group.bench_function("YUYV", |bencher| {
            bencher.iter(|| pixels::rgb_from_yuyv(black_box(&bytes), width, height, 1280, encoding, &mut buffers));
        });
        group.bench_function("NV12", |bencher| {
            bencher.iter(|| pixels::rgb_from_nv12(black_box(&bytes), width, height, 640, encoding, &mut buffers));
        });
        let planes = [(&bytes[..], 640), (&bytes[PIXELS..], 320), (&bytes[PIXELS * 5 / 4..], 320)];
        group.bench_function("I420", |bencher| {
            bencher.iter(|| pixels::rgb_from_i420(black_box(&I420 { width, height, planes }), &mut buffers));
        });
        group.bench_function("grey", |bencher| {
            bencher.iter(|| pixels::rgb_from_grey(black_box(&bytes), width, height, 640, Range::Full, &mut buffers));
        });
        for (name, jpeg) in JPEGS {
            let picture = pixels::rgb_from_jpeg(jpeg, &mut buffers).expect("a picture");
            assert_eq!((picture.width, picture.height), SIZE);
            group.bench_function(name, |bencher| {
                bencher.iter(|| pixels::rgb_from_jpeg(black_box(jpeg), &mut buffers));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, source::conversions);
criterion_main!(benches);
