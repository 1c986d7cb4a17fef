//! Golden predictions: what the committed weights say of the pictures in tests/data.
//!
//! After a change of weights, detector or preprocessing that is meant to change them, make them anew and look at them:
//!
//! ```sh
//! ./scripts/emocam annotate tests/data/astronaut.jpg -o tests/data/astronaut.jsonl --force
//! ./scripts/emocam annotate demo --frames 120 -o tests/data/demo.jsonl --force
//! ```

use std::path::Path;

use serde_json::Value;

use crate::common::{astronaut, emocam, in_project, json_lines, lines_of};

/// The most that a probability may differ: processors round differently, and by far less than this.
const TOLERANCE: f64 = 0.01;

/// The most pixels that a box's side or a point may be off.
const BOX_TOLERANCE: f64 = 1.0;

fn compare(input: &Path, arguments: &[&str], golden: &str) {
    let found = lines_of(emocam().arg("annotate").arg(input).args(["-o", "-"]).args(arguments));
    let expected = json_lines(&in_project("tests/data").join(golden));
    assert_eq!(found.len(), expected.len(), "frames");
    for (found, expected) in found.iter().zip(&expected) {
        let at = format!("frame {} of {golden}", expected["frame"]);
        let [found, expected] = [found, expected].map(|line| line["faces"].as_array().expect("faces"));
        assert_eq!(found.len(), expected.len(), "faces in {at}");
        for (found, expected) in found.iter().zip(expected) {
            for (part, tolerance) in [("probabilities", TOLERANCE), ("box", BOX_TOLERANCE)] {
                for (name, expected) in expected[part].as_object().expect("an object") {
                    let [found, expected] =
                        [&found[part][name], expected].map(|value| value.as_f64().expect("a number"));
                    assert!((found - expected).abs() <= tolerance, "{name} in {at}: {found}");
                }
            }
            compare_points(&found["points"], &expected["points"], &at);
            assert_eq!((&found["turned"], &found["read"]), (&expected["turned"], &expected["read"]), "{at}");
        }
    }
}

/// Where the parts of a face are, where that was known when the data were made.
fn compare_points(found: &Value, expected: &Value, at: &str) {
    for (name, expected) in expected.as_object().into_iter().flatten() {
        for axis in [0, 1] {
            let [found, expected] =
                [&found[name][axis], &expected[axis]].map(|value| value.as_f64().expect("a number"));
            assert!((found - expected).abs() <= BOX_TOLERANCE, "{name} in {at}: {found}");
        }
    }
}

#[test]
fn a_portrait() {
    compare(&astronaut(), &[], "astronaut.jsonl");
}

#[test]
fn the_first_half_of_the_demo() {
    compare(Path::new("demo"), &["--frames", "120"], "demo.jsonl");
}
