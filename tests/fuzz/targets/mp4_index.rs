//! The index of an MP4 file.
#![no_main]

use libfuzzer_sys::fuzz_target;

const DEMO: &[u8] = include_bytes!("../../../src/source/demo.mp4");

fuzz_target!(
    init: {
        // Its index is at the beginning.
        let pictures = DEMO.windows(4).position(|kind| kind == b"mdat").expect("the demo has pictures");
        emocam_fuzz::seed(&[&DEMO[..pictures]]);
    },
    |data: &[u8]| {
        emocam::source::fuzzing::mp4_index(data);
    }
);
