//! `emocam eval`: what it prints, what it writes, what it refuses, and whether scikit-learn agrees.

use std::fs;
use std::path::Path;
use std::process::Command;

use image::{GrayImage, Luma};
use serde_json::Value;

use crate::common::{emocam, faces, fail, in_project, skip, succeed, temporary_folder, text};

/// The smallest FER+: in each part two pictures of each emotion, all different, by names and votes alone; what they show
/// does not matter here.
fn write_ferplus(folder: &Path) {
    let picture =
        |seed: u32| GrayImage::from_fn(48, 48, |x, y| Luma([((x * (seed + 3)) ^ (y * (seed % 5 + 2))) as u8]));
    faces::write_ferplus(folder, (0..42).map(|number| (number / 14, number % 7, picture(number as u32))));
}

#[test]
fn a_report_is_printed_and_written_and_the_same_again_elsewhere() {
    let folder = temporary_folder();
    write_ferplus(folder.path());
    let eval = |out: &str| {
        let mut command = emocam();
        command.arg("eval").arg("--data").arg(folder.path()).args(["--prior", "natural", "--device", "cpu", "--out"]);
        command.arg(folder.path().join(out));
        command
    };
    let printed = text(&succeed(&mut eval("first")).stdout);
    succeed(&mut eval("second"));
    assert!(printed.starts_with("FER+, test: 14 pictures\n"), "{printed}");
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let files = ["report.txt", "report.json", "predictions.csv", "confusion_matrix.png", "reliability.png"];
    for name in files {
        let [a, b] = [&first, &second].map(|folder| fs::read(folder.join(name)).expect(name));
        assert!(a == b && !a.is_empty(), "{name} differs");
    }
    assert_eq!(fs::read_to_string(first.join("report.txt")).expect("text"), printed);
    let report: Value = serde_json::from_slice(&fs::read(first.join("report.json")).expect("JSON")).expect("JSON");
    assert_eq!(report["data"]["pictures"], 14);
    assert_eq!(report["classes"]["Fear"]["support"], 2);
    assert_eq!(report["weights"]["same_split"], false);

    fail(&mut eval("first"), 1, &["report.json exists already: choose another folder"]);
    fail(&mut eval("fer2013new.csv"), 1, &["is a file: name a folder"]);
    agrees_with_scikit_learn(&first);
}

/// Runs the script, and runs it again on a report with one figure that is wrong.
fn agrees_with_scikit_learn(folder: &Path) {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let there = Command::new(&python).args(["-c", "import sklearn"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        return skip("scikit-learn agrees", "a Python with scikit-learn is needed (named by $PYTHON)");
    }
    let script = in_project("scripts/check-report");
    let mut check = Command::new(script);
    check.arg(folder).env("PYTHON", python);
    let output = text(&succeed(&mut check).stdout);
    assert!(output.contains("figures agree with scikit-learn's"), "{output}");

    let path = folder.join("report.json");
    let mut report: Value = serde_json::from_slice(&fs::read(&path).expect("JSON")).expect("JSON");
    let recall = &mut report["classes"]["Sad"]["recall"]["value"];
    *recall = (recall.as_f64().expect("a number") + 1e-5).into();
    fs::write(&path, report.to_string()).expect("a file");
    fail(&mut check, 1, &["recall: the report has", "1 of "]);
}

#[test]
fn all_parts_together_and_one_alone() {
    let folder = temporary_folder();
    write_ferplus(folder.path());
    for (part, count) in [("all", 42), ("train", 14), ("validation", 14)] {
        let mut command = emocam();
        command.args(["eval", "--device", "cpu", "--part", part, "--data"]).arg(folder.path());
        let printed = text(&succeed(&mut command).stdout);
        assert!(printed.starts_with(&format!("FER+, {part}: {count} pictures\n")), "{printed}");
    }
}

#[test]
fn degraded_pictures_are_measured_too_and_always_alike() {
    let folder = temporary_folder();
    write_ferplus(folder.path());
    let eval = |out: &str| {
        let mut command = emocam();
        command.args(["eval", "--robust", "--prior", "0.5", "--device", "cpu", "--data"]).arg(folder.path());
        text(&succeed(command.arg("--out").arg(folder.path().join(out))).stdout)
    };
    let printed = eval("first");
    assert_eq!(eval("second"), printed);
    let names = [
        "clean",
        "blur 0.6",
        "blur 1",
        "32 pixels",
        "24 pixels",
        "noise 4",
        "noise 8",
        "JPEG 50",
        "JPEG 25",
        "half light",
        "roll 15",
        "covered mouth",
    ];
    let table = printed.split("\n\n").last().expect("a table");
    let rows: Vec<&str> = table.lines().skip(1).map(|line| line[..14].trim()).collect();
    assert_eq!(rows, names, "{table}");
    let first = folder.path().join("first");
    assert_eq!(fs::read_to_string(first.join("report.txt")).expect("text"), printed);
    let report: Value = serde_json::from_slice(&fs::read(first.join("report.json")).expect("JSON")).expect("JSON");
    let robust = report["robust"].as_array().expect("a list");
    assert!(robust.iter().zip(names).all(|(line, name)| line["name"] == name) && robust.len() == names.len());
    assert_eq!((&robust[0]["accuracy"], &robust[0]["lost"]["accuracy"]), (&report["accuracy"]["value"], &0.0.into()));
    assert_eq!(report["prior"], 0.5);
    assert!(report["after_temperature"]["votes_log_loss"].is_number(), "FER+ has votes");
    agrees_with_scikit_learn(&first);
}
