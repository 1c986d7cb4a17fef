//! A JPEG as a camera sends it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: emocam_fuzz::seed(&[
        include_bytes!("../../data/face-420.jpg"),
        include_bytes!("../../data/face-422.jpg"),
        include_bytes!("../../data/cmyk.jpg"),
    ]),
    |data: &[u8]| {
        if let Some((width, height, bytes)) = emocam::source::fuzzing::jpeg(data) {
            assert_eq!(bytes as u64, 3 * u64::from(width) * u64::from(height));
        }
    }
);
