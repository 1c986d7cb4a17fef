//! The table of FER2013.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        let pixels = "128 ".repeat(48 * 48);
        let table = format!("emotion,pixels,Usage\r\n3,{pixels},Training\n\n0,{pixels},PrivateTest\n");
        emocam_fuzz::seed(&[table.as_bytes(), b"\xEF\xBB\xBF\"emotion\", Usage, pixels\n6,PublicTest,\"1 2 3\"\n"]);
    },
    |data: &[u8]| {
        let table = emocam_fuzz::place("fer2013.csv");
        fs::write(&table, data).expect("the folder can be written to");
        emocam_fuzz::load(&table);
    }
);
