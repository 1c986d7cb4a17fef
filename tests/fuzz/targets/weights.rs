//! A weights file: safetensors with a card.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: emocam_fuzz::seed(&[&emocam::network::fuzzing::tiny_weights()]),
    |data: &[u8]| {
        emocam::network::fuzzing::weights(data);
    }
);
