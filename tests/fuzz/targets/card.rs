//! The JSON of a card, in a weights file whose tensors are well.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: emocam_fuzz::seed(&[emocam::network::fuzzing::tiny_card().as_bytes()]),
    |data: &[u8]| {
        if let Ok(text) = std::str::from_utf8(data) {
            emocam::network::fuzzing::card(text);
        }
    }
);
