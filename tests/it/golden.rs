//! Golden predictions: what the committed weights say of the pictures in tests/data.
//!
//! After a change of weights, detector or preprocessing that is meant to change them, make them anew and look at them:
//!
//! ```sh
//! ./scripts/emocam annotate tests/data/astronaut.jpg -o tests/data/astronaut.jsonl --force
//! ./scripts/emocam annotate demo --frames 120 -o tests/data/demo.jsonl --force
//! ```

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{emocam, run};

/// The most that a probability may differ: processors round differently, and by far less than this.
const TOLERANCE: f64 = 0.01;

/// The most pixels that a box's side may be off.
const BOX_TOLERANCE: i64 = 1;

fn compare(input: &str, arguments: &[&str], golden: &str) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let input = if input == "demo" { input.into() } else { data.join(input) };
    let output = run(emocam().arg("annotate").arg(input).args(["-o", "-"]).args(arguments));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let found = lines(&String::from_utf8(output.stdout).unwrap());
    let expected = lines(&fs::read_to_string(data.join(golden)).unwrap());
    assert_eq!(found.len(), expected.len(), "frames");
    for (found, expected) in found.iter().zip(&expected) {
        let at = format!("frame {} of {golden}", expected["frame"]);
        let (found, expected) = (found["faces"].as_array().unwrap(), expected["faces"].as_array().unwrap());
        assert_eq!(found.len(), expected.len(), "faces in {at}");
        for (found, expected) in found.iter().zip(expected) {
            for (emotion, expected) in expected["probabilities"].as_object().unwrap() {
                let found = found["probabilities"][emotion].as_f64().unwrap();
                assert!((found - expected.as_f64().unwrap()).abs() <= TOLERANCE, "{emotion} in {at}: {found}");
            }
            for (side, expected) in expected["box"].as_object().unwrap() {
                let found = found["box"][side].as_i64().unwrap();
                assert!((found - expected.as_i64().unwrap()).abs() <= BOX_TOLERANCE, "{side} in {at}: {found}");
            }
        }
    }
}

#[test]
fn a_portrait() {
    compare("astronaut.jpg", &[], "astronaut.jsonl");
}

#[test]
fn the_first_half_of_the_demo() {
    compare("demo", &["--frames", "120"], "demo.jsonl");
}
