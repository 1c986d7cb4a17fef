//! What README.md and weights/README.md say of the weights is what the committed report says, and what they give.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{emocam, shared, skip, succeed, temporary_folder};

fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn report(path: &Path) -> Value {
    serde_json::from_str(&read(path)).expect("JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn the_figures_in_the_readmes_are_those_of_the_committed_report() {
    let report = report(&in_project("weights/report.json"));
    let percent = |value: &Value| format!("{:.1}%", 100.0 * number(value));
    let mut expected = vec![
        percent(&report["accuracy"]["value"]),
        format!("{:.3}", number(&report["macro_f1"]["value"])),
        percent(&report["after_temperature"]["expected_calibration_error"]),
    ];
    for (name, class) in report["classes"].as_object().expect("classes") {
        let [precision, recall, f1] = [&class["precision"], &class["recall"]["value"], &class["f1"]].map(number);
        expected.push(format!("| {name} | {precision:.3} | {recall:.3} | {f1:.3} | {} |", class["support"]));
    }
    for readme in ["README.md", "weights/README.md"] {
        let text = read(&in_project(readme));
        for words in &expected {
            assert!(text.contains(words), "{readme} lacks {words:?}, which weights/report.json says");
        }
    }
}

#[test]
fn the_weights_in_the_program_give_the_committed_report() {
    let test = "the_weights_in_the_program_give_the_committed_report";
    let Some(data) = shared().map(|shared| shared.join("data/ferplus")).filter(|data| data.is_dir()) else {
        return skip(test, "no data/ferplus");
    };
    let folder = temporary_folder();
    let out = folder.path().join("report");
    succeed(emocam().args(["eval", "--device", "cpu", "--data"]).arg(data).arg("--out").arg(&out));
    let (committed, found) = (report(&in_project("weights/report.json")), report(&out.join("report.json")));
    for field in ["data", "weights", "prior", "temperature"] {
        assert_eq!(committed[field], found[field], "{field}");
    }
    // Another kind of processor rounds in another way, which may turn a picture or two.
    for field in ["accuracy", "macro_f1"] {
        let [committed, found] = [&committed, &found].map(|report| number(&report[field]["value"]));
        assert!((committed - found).abs() < 2e-3, "{field}: {committed} in weights/report.json, {found} found");
    }
}
