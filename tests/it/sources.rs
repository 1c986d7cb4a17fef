//! Runs over several data sets: tables of pictures, watched sets, folds, and what is refused or kept apart.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use emocam::flow::emotion::Emotion;
use serde_json::Value;

use crate::common::faces::drawn_face;
use crate::common::{emocam, fail, succeed, temporary_folder, text};

/// A folder with a table and so many drawn faces of each emotion, of four people.
fn table(folder: &Path, name: &str, numbers: std::ops::Range<usize>) -> PathBuf {
    let folder = folder.join(name);
    fs::create_dir(&folder).expect("a folder");
    let mut lines = String::from("path,label,person\n");
    for (emotion, number) in Emotion::ALL.into_iter().flat_map(|emotion| numbers.clone().map(move |n| (emotion, n))) {
        let file = format!("{emotion}{number}.png");
        drawn_face(emotion, number).save(folder.join(&file)).expect("a PNG");
        lines += &format!("{file},{emotion},p{}\n", number % 4);
    }
    fs::write(folder.join("manifest.csv"), lines).expect("a table");
    folder
}

fn train(out: &Path, arguments: &[&str]) -> Command {
    let mut command = emocam();
    command.args("train --device cpu --init none --channels 4,4,8,8 --blocks 1,1,1 --epochs 1".split(' '));
    command.args(["--batch-size", "8", "--out"]).arg(out).args(arguments);
    command
}

#[test]
fn several_sets_are_learned_from_and_others_watched() {
    let folder = temporary_folder();
    let [a, b, watched] = [("a", 0..8), ("b", 20..28), ("w", 40..44)].map(|(name, n)| table(folder.path(), name, n));
    // What the first source learns from or measures on is not learned from twice.
    fs::copy(a.join("Happy1.png"), b.join("copy.png")).expect("a copy");
    let lines = fs::read_to_string(b.join("manifest.csv")).expect("a table");
    fs::write(b.join("manifest.csv"), format!("{lines}copy.png,contempt,p0\n")).expect("a table");
    let [a, b, watched] = [a, b, watched].map(|path| path.display().to_string());
    let (b, watched) = (format!("{b},name=web,weight=0.5,map=contempt:sad"), format!("lab={watched}"));

    let out = folder.path().join("run");
    let arguments = ["--data", &a, "--data", &b, "--watch", &watched, "--select", "mean-recall:a,web"];
    let stdout = text(&succeed(&mut train(&out, &arguments)).stdout);
    assert!(stdout.contains("warning: web: left out of training"), "{stdout}");
    assert!(stdout.contains("| web: ") && stdout.contains("| lab: "), "{stdout}");
    let history = fs::read_to_string(out.join("history.csv")).expect("a history");
    assert!(history.contains(",web_accuracy,web_mean_recall,lab_accuracy,lab_mean_recall,seconds"), "{history}");
    for name in ["web", "lab"] {
        assert!(out.join("watched").join(name).join("report.json").is_file(), "{name}");
    }

    // The weights know what they learned from, whatever a set is called.
    let mut eval = emocam();
    eval.args(["eval", "--device", "cpu", "--split", "random:0.5", "--data", &a, "--weights"])
        .arg(out.join("best.safetensors"));
    let stderr = text(&succeed(&mut eval).stderr);
    assert!(stderr.contains("the weights were trained on"), "{stderr}");

    let second = folder.path().join("second");
    let refused = |arguments: &[&str], code: i32, words: &[&str]| fail(&mut train(&second, arguments), code, words);
    refused(&["--data", &a, "--watch", &format!("same={a}")], 1, &["--watch same", "knows nothing of"]);
    refused(&["--data", &a, "--data", &a], 1, &["two data sets are called \"a\"", "name=OTHER"]);
    refused(&["--data", &a, "--select", "accuracy:moon"], 1, &["--select accuracy:moon", "found \"moon\""]);
    refused(&["--data", &format!("{a},colour=red")], 2, &["expected one of name, weight", "\"colour\""]);
    fs::write(folder.path().join("b/manifest.csv"), "path,label\n1.png,contempt\n").expect("a table");
    let b = folder.path().join("b").display().to_string();
    refused(&["--data", &b], 1, &["line 2", "\"contempt\"", "--map contempt=none"]);
    assert!(!second.exists(), "nothing was begun");
}

#[test]
fn folds_are_trained_each_once_and_summed_up() {
    let folder = temporary_folder();
    let data = table(folder.path(), "data", 0..8).display().to_string();
    let out = folder.path().join("runs");
    let command = || train(&out, &["--data", &data, "--folds", "2"]);
    succeed(&mut command());
    let summary = fs::read(out.join("folds.json")).expect("a summary");
    let json: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(json["accuracy"]["folds"].as_array().map(Vec::len), Some(2));
    // A complete fold is not done again.
    let stdout = text(&succeed(&mut command()).stdout);
    assert_eq!(stdout.matches("the run is complete").count(), 2, "{stdout}");
    assert_eq!(fs::read(out.join("folds.json")).expect("a summary"), summary);
}
