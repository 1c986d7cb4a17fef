//! Training runs of the real binary on a small set made here: the same seed twice, runs that are killed, interrupted and
//! gone on with, runs that diverge or lose patience, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{GrayImage, Luma};
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::faces::{Faces, write_ferplus};
use crate::common::{self, assert_exit, emocam, fail, names_in, run, start, succeed, temporary_folder, text};

/// Columns of the label file for the seven emotions in label order, in the file's order of columns.
const COLUMNS: [usize; 7] = [4, 5, 6, 1, 0, 3, 2];

/// A picture that shows its class, by a bar at a place of its own, and its number, so that no two are alike.
fn picture(class: usize, number: usize) -> GrayImage {
    GrayImage::from_fn(48, 48, |x, y| {
        let bar = (x as usize / 6) == class && (8..40).contains(&y);
        let bit = y == 0 && x < 16 && number >> x & 1 == 1;
        Luma([if bar || bit { 230 } else { (40 + (x as usize * (1 + number % 3) + y as usize) % 60) as u8 }])
    })
}

/// A set in the layout of FER+ with so many pictures of each of the seven classes in train, and some in the other splits.
fn data_set(folder: &Path, counts: [usize; 7]) -> PathBuf {
    let folder = folder.join("data");
    let mut pictures = Vec::new();
    for (part, base) in [(0, 0), (1, 500), (2, 900)] {
        for (class, &count) in counts.iter().enumerate() {
            let count = if part == 0 { count } else { count.min(3) };
            pictures.extend((0..count).map(|i| (part, COLUMNS[class], picture(class, base + i))));
        }
    }
    write_ferplus(&folder, pictures);
    folder
}

/// A folder with a set in it: four steps of sixteen pictures an epoch.
fn workshop() -> (TempDir, PathBuf) {
    let folder = temporary_folder();
    let data = data_set(folder.path(), [10, 10, 10, 10, 10, 10, 4]);
    (folder, data)
}

/// A run of a tiny network.
fn train(data: &Path, out: &Path, line: &str) -> Command {
    let mut command = emocam();
    command.arg("train").arg("--data").arg(data).arg("--out").arg(out);
    command.args("--device cpu --init none --channels 4,4,8,8 --blocks 1,1,1".split(' '));
    if !line.contains("--batch-size") {
        command.args(["--batch-size", "16"]);
    }
    command.args(line.split_whitespace());
    command
}

fn resume(run: &Path) -> Command {
    let mut command = emocam();
    command.args(["train", "--device", "cpu", "--resume"]).arg(run);
    command
}

/// What a run leaves.
const FILES: [&str; 11] = [
    "accuracy.png",
    "best.safetensors",
    "checkpoint.safetensors",
    "config.json",
    "confusion_matrix.png",
    "history.csv",
    "loss.png",
    "predictions.csv",
    "reliability.png",
    "report.json",
    "report.txt",
];

/// Checks that two runs ended with the same files, but for times.
fn assert_same(one: &Path, other: &Path) {
    assert_eq!(names_in(one), FILES);
    assert_eq!(names_in(other), FILES);
    for name in FILES.iter().filter(|name| **name != "history.csv") {
        assert!(fs::read(one.join(name)).expect(name) == fs::read(other.join(name)).expect(name), "{name} differs");
    }
    assert_eq!(history(one), history(other));
}

/// The rows of `history.csv` without their times.
fn history(run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("history.csv")).expect("a history");
    text.lines().map(|line| line.split(',').take(7).collect::<Vec<_>>().join(",")).collect()
}

fn config(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("config.json")).expect("a config")).expect("JSON")
}

/// Complete epochs in a run's history.
fn epochs(run: &Path) -> Option<usize> {
    Some(fs::read_to_string(run.join("history.csv")).ok()?.lines().count().saturating_sub(1))
}

#[test]
fn the_same_seed_gives_the_same_files_whatever_the_number_of_threads() {
    let (folder, data) = workshop();
    let line = "--epochs 2 --seed 3 --mixup 0.2 --sampling balanced";
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let output = succeed(&mut train(&data, &one, line));
    succeed(train(&data, &other, line).args(["--threads", "1"]));
    assert_same(&one, &other);

    let stdout = text(&output.stdout);
    for words in ["64 training, 21 validation", "Epoch [1/2]  Train Loss: ", " | Train Acc: ", "%  || Val Loss: "] {
        assert!(stdout.contains(words), "{words:?} is not in:\n{stdout}");
    }
    assert!(stdout.contains("new best, saved to"), "{stdout}");
    assert_eq!(config(&one)["recipe"]["sampling"], "balanced");

    let third = folder.path().join("third");
    succeed(&mut train(&data, &third, &line.replace("--seed 3", "--seed 4")));
    assert_ne!(fs::read(one.join("best.safetensors")).unwrap(), fs::read(third.join("best.safetensors")).unwrap());
}

#[test]
fn a_run_that_is_killed_and_resumed_ends_as_one_that_was_not() {
    let (folder, data) = workshop();
    let line = "--epochs 6";
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    succeed(&mut train(&data, &whole, line));

    // Twice, each time in an epoch of its own: a run must survive more than one accident.
    let mut first = start(&mut train(&data, &killed, line));
    first.wait_for("the first epoch", || epochs(&killed).filter(|&epochs| epochs >= 1));
    drop(first); // SIGKILL
    let done = epochs(&killed).expect("a history");
    assert!(done < 6, "killed too late to show anything");
    let mut second = start(&mut resume(&killed));
    second.wait_for("one more epoch", || epochs(&killed).filter(|&epochs| epochs > done));
    drop(second);
    // What a kill between two files leaves is made again from the checkpoint.
    fs::remove_file(killed.join("best.safetensors")).expect("a file");
    fs::write(killed.join("history.csv"), "epoch,learn").expect("a file");

    let output = succeed(&mut resume(&killed));
    assert!(text(&output.stdout).contains("going on after"), "{}", text(&output.stdout));
    assert_same(&whole, &killed);

    let output = succeed(&mut resume(&killed));
    assert!(text(&output.stdout).contains("the run is complete"), "{}", text(&output.stdout));
    assert_same(&whole, &killed);
}

#[test]
fn ctrl_c_ends_a_run_after_a_checkpoint() {
    let (folder, data) = workshop();
    let line = "--epochs 200";
    let out = folder.path().join("run");
    let mut running = start(&mut train(&data, &out, line));
    running.wait_for("the first checkpoint", || out.join("config.json").is_file().then_some(()));
    running.interrupt();
    let output = running.finish(common::LIMIT);
    assert_exit(&output, 1, &["interrupted in epoch", "of 200", "emocam train --resume"]);

    // It goes on within the epoch, and ends as a run that was never interrupted: ten epochs of it are compared.
    let mut again = start(&mut resume(&out));
    again.wait_for("ten epochs", || epochs(&out).filter(|&epochs| epochs >= 10));
    drop(again);
    let whole = folder.path().join("whole");
    let mut running = start(&mut train(&data, &whole, line));
    running.wait_for("ten epochs", || epochs(&whole).filter(|&epochs| epochs >= 10));
    drop(running);
    assert_eq!(history(&out)[..11], history(&whole)[..11]);
}

#[test]
fn ctrl_c_is_heard_where_an_epoch_has_one_step() {
    let folder = temporary_folder();
    let data = data_set(folder.path(), [4, 4, 4, 4, 4, 4, 0]);
    let out = folder.path().join("run");
    let mut running = start(&mut train(&data, &out, "--epochs 5000 --batch-size 24"));
    running.wait_for("the first epoch", || epochs(&out).filter(|&epochs| epochs >= 1));
    running.interrupt();
    let output = running.finish(common::LIMIT);
    assert_exit(&output, 1, &["interrupted after epoch", "of 5000", "emocam train --resume"]);
    assert_eq!(names_in(&out), FILES);
    let done = epochs(&out).expect("a history");
    let mut again = start(&mut resume(&out));
    again.wait_for("one more epoch", || epochs(&out).filter(|&epochs| epochs > done));
}

#[test]
fn what_contradicts_a_run_is_refused_and_what_repeats_it_is_not() {
    let (folder, data) = workshop();
    let out = folder.path().join("run");
    succeed(&mut train(&data, &out, "--epochs 1"));
    succeed(resume(&out).args(["--epochs", "1", "--channels", "4,4,8,8"]));
    fail(resume(&out).args(["--flip", "0.2"]), 1, &["flip 0.2 instead of 0.5", "--out"]);
    fail(resume(&out).args(["--channels", "4,4,8,9"]), 1, &["channels [4, 4, 8, 9] instead of [4, 4, 8, 8]"]);
    fail(&mut train(&data, &out, "--epochs 1"), 1, &["exists already", "--resume"]);

    // The data may move, but not change.
    let moved = folder.path().join("moved");
    fs::rename(&data, &moved).expect("a folder");
    fail(&mut resume(&out), 1, &["data", "no such folder"]);
    succeed(resume(&out).arg("--data").arg(&moved));
    picture(0, 1234).save(moved.join("FER2013Train/fer0000000.png")).expect("a PNG");
    fail(&mut resume(&out), 1, &["moved", "split hash", "found others"]);

    let nothing = folder.path().join("nothing");
    fail(&mut resume(&nothing), 1, &["nothing", "expected the checkpoint", "--out"]);
    fs::write(out.join("checkpoint.safetensors"), "torn").expect("a file");
    fail(&mut resume(&out), 1, &["checkpoint.safetensors", "damaged"]);
}

#[test]
fn a_runs_own_command_goes_on_with_it_also_where_a_value_was_adjusted() {
    let folder = temporary_folder();
    let data = data_set(folder.path(), [4, 4, 4, 4, 4, 4, 0]);
    let out = folder.path().join("run");
    succeed(&mut train(&data, &out, "--epochs 2 --batch-size 100"));
    let config = config(&out);
    assert_eq!((&config["recipe"]["batch_size"], &config["adjusted"]["batch_size"]), (&24.into(), &100.into()));
    succeed(resume(&out).arg("--data").arg(&data).args(["--epochs", "2", "--batch-size", "100"]));
    succeed(resume(&out).args(["--batch-size", "24"]));
    fail(resume(&out).args(["--batch-size", "50"]), 1, &["batch_size 50 instead of 24"]);
}

#[test]
fn a_run_may_get_more_epochs_when_it_is_gone_on_with() {
    let (folder, data) = workshop();
    let out = folder.path().join("run");
    succeed(&mut train(&data, &out, "--epochs 2"));
    let before = history(&out);
    let output = text(&succeed(resume(&out).args(["--epochs", "5"])).stdout);
    assert!(output.contains("5 epochs instead of 2") && output.contains("Epoch [3/5]"), "{output}");
    assert_eq!(config(&out)["recipe"]["epochs"], 5);
    let after = history(&out);
    assert_eq!((after.len(), &after[..3]), (6, &before[..]));
    // From there on the rate is that of a run that had as many from the start.
    let whole = folder.path().join("whole");
    succeed(&mut train(&data, &whole, "--epochs 5"));
    let rates =
        |rows: &[String]| rows.iter().filter_map(|row| row.split(',').nth(1).map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(rates(&after[3..]), rates(&history(&whole)[3..]));
    fail(resume(&out).args(["--epochs", "4"]), 1, &["--epochs 4", "done 5 epochs"]);
    let output = text(&succeed(&mut resume(&out)).stdout);
    assert!(output.contains("the run is complete"), "{output}");
}

#[test]
fn the_first_batch_is_shown_without_training() {
    let (folder, data) = workshop();
    let (sheet, out) = (folder.path().join("sheet.png"), folder.path().join("run"));
    let show = || {
        let mut command = train(&data, &out, "--batch-size 20");
        command.arg("--show-batch").arg(&sheet);
        command
    };
    let output = text(&succeed(&mut show()).stdout);
    assert!(output.contains("sheet.png"), "{output}");
    assert!(!out.exists(), "nothing was trained");
    let picture = image::open(&sheet).expect("a PNG").to_luma8();
    assert!(picture.width() > 8 * 96 && picture.height() > 3 * 96, "three rows of eight: {:?}", picture.dimensions());
    fail(&mut show(), 1, &["sheet.png", "exists already"]);
    let mut without_out = emocam();
    without_out.args(["train", "--no-cache", "--data"]).arg(&data);
    succeed(without_out.arg("--show-batch").arg(folder.path().join("another.png")));
    fail(emocam().args(["train", "--show-batch", "a.png"]), 2, &["--data"]);
}

#[test]
fn a_run_that_diverges_says_where_and_keeps_the_last_good_checkpoint() {
    let (folder, data) = workshop();
    let out = folder.path().join("run");
    // Decay beyond 1 a step: each one multiplies the weights by minus nine.
    let line = "--epochs 40 --learning-rate 1 --body-rate 10 --weight-decay 1";
    let message = fail(&mut train(&data, &out, line), 1, &["diverged", "at step", "--learning-rate below 1"]);
    assert!(message.contains("checkpoint.safetensors"), "{message}");
    let done = epochs(&out).expect("a history");
    assert!(message.contains(&format!("after {done} epochs")), "{message}");
    assert!(done > 0, "it learned nothing before");
    assert!(out.join("best.safetensors").is_file());
    // What is kept is sound, and diverges again.
    fail(&mut resume(&out), 1, &["diverged"]);
}

#[test]
fn patience_ends_a_run_that_gets_no_better() {
    let (folder, data) = workshop();
    let out = folder.path().join("run");
    // A rate at which nothing is learned: the first epoch stays the best one.
    let line = "--epochs 9 --learning-rate 1e-9 --ema-decay 0 --patience 2 --select macro-f1";
    let output = succeed(&mut train(&data, &out, line));
    let stdout = text(&output.stdout);
    let best = stdout.matches("new best").count();
    assert!(stdout.contains("2 without a better one"), "{stdout}");
    assert!(epochs(&out).expect("a history") < 9 && best >= 1, "{stdout}");
    let output = succeed(&mut resume(&out));
    assert!(text(&output.stdout).contains("the run is complete"), "{}", text(&output.stdout));
}

#[test]
fn weights_that_have_learned_are_fine_tuned_in_their_own_network() {
    let (folder, data) = workshop();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    succeed(&mut train(&data, &first, "--epochs 1"));
    let weights = first.join("best.safetensors");
    let mut command = emocam();
    command.arg("train").arg("--data").arg(&data).arg("--out").arg(&second).arg("--init").arg(&weights);
    command.args(["--epochs", "1", "--body-rate", "0", "--device", "cpu"]);
    let output = succeed(&mut command);
    assert!(text(&output.stdout).contains("fine-tuning"), "{}", text(&output.stdout));
    let recipe = &config(&second)["recipe"];
    assert_eq!((&recipe["batch_size"], &recipe["body_rate"]), (&Value::from(16), &Value::from(0.0)));
    // The evaluation loads it: network and card fit.
    succeed(
        emocam()
            .args(["eval", "--device", "cpu", "--data"])
            .arg(&data)
            .arg("--weights")
            .arg(second.join("best.safetensors")),
    );

    command.arg("--channels").arg("4,4,8,8").arg("--out").arg(folder.path().join("third"));
    let output = run(&mut command);
    assert!(!output.status.success());
}

/// The tensors of a weights file: its name and its bytes.
fn tensors(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = fs::read(path).expect("weights");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut all: Vec<_> = file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
    all.sort();
    all
}

#[test]
fn a_frozen_network_learns_by_its_last_layer_alone() {
    let (folder, data) = workshop();
    let (first, second, again) =
        (folder.path().join("first"), folder.path().join("second"), folder.path().join("again"));
    succeed(&mut train(&data, &first, "--epochs 2"));
    let weights = first.join("best.safetensors");
    let frozen = |out: &Path| {
        let mut command = emocam();
        command.arg("train").arg("--data").arg(&data).arg("--out").arg(out).arg("--init").arg(&weights);
        command.args(["--epochs", "3", "--freeze", "--device", "cpu"]);
        command
    };
    succeed(&mut frozen(&second));
    assert_eq!(config(&second)["recipe"]["freeze"], true);
    for ((name, before), (found, after)) in tensors(&weights).iter().zip(&tensors(&second.join("best.safetensors"))) {
        assert_eq!(name, found);
        assert_eq!(before != after, name.starts_with("head."), "{name}");
    }

    // Interrupted and gone on with, it ends the same.
    let mut killed = start(&mut frozen(&again));
    killed.wait_for("the first checkpoint", || again.join("config.json").is_file().then_some(()));
    drop(killed);
    succeed(&mut resume(&again));
    assert_same(&second, &again);

    fail(&mut train(&data, &folder.path().join("third"), "--freeze"), 1, &["--freeze", "--init none"]);
    fail(frozen(&folder.path().join("third")).args(["--body-rate", "1"]), 2, &["--freeze", "--body-rate"]);
}

#[test]
fn sets_that_lack_something_are_refused_or_warned_about_by_name() {
    let folder = temporary_folder();
    let set = |name: &str, counts: [usize; 7]| {
        let folder = folder.path().join(name);
        fs::create_dir(&folder).expect("a folder");
        data_set(&folder, counts)
    };
    let out = folder.path().join("run");
    let one = set("one", [0, 0, 0, 1, 0, 0, 0]);
    fail(&mut train(&one, &out, ""), 1, &["at least 2 pictures", "found 1"]);
    let happy = set("happy", [0, 0, 0, 9, 0, 0, 0]);
    fail(&mut train(&happy, &out, ""), 1, &["all training pictures are of Happy"]);
    assert!(!out.exists(), "nothing was begun");
    let few = set("few", [2, 0, 0, 2, 0, 0, 0]);
    let output = succeed(&mut train(&few, &out, "--epochs 1 --batch-size 32"));
    let stdout = text(&output.stdout);
    for words in [
        "warning: no picture for train shows Disgust or Fear or Neutral or Sad or Surprise",
        "warning: no picture for validation shows Disgust",
        "warning: fewer training pictures than a step's 32: 4 a step",
    ] {
        assert!(stdout.contains(words), "{words:?} is not in:\n{stdout}");
    }
}

#[test]
fn a_posed_set_is_trained_on_and_measured_with_the_same_split() {
    let folder = temporary_folder();
    let (data, out) = (folder.path().join("posed"), folder.path().join("run"));
    Faces::real().write_posed(&data, 10);
    let mut command = train(&data, &out, "--epochs 1 --seed 5 --no-cache");
    // A picture without a face is named, in the log and in a file.
    GrayImage::from_pixel(200, 200, Luma([90])).save(data.join("AF01/AF01HAHL.PNG")).expect("a PNG");
    let output = text(&succeed(command.args(["--views", "S,HL"])).stdout);
    assert!(output.contains("as in KDEF") && output.contains("split: subject:0.2, seed 5"), "{output}");
    assert!(output.contains("no face was found in them (train"), "{output}");
    let missed = fs::read_to_string(out.join("missed.csv")).expect("a list");
    assert!(missed.contains("AF01/AF01HAHL.PNG,Happy,"), "{missed}");

    let eval = |more: &[&str]| {
        let mut command = emocam();
        command.args(["eval", "--device", "cpu", "--no-cache"]).args(more);
        command.arg("--data").arg(&data).arg("--weights").arg(out.join("best.safetensors"));
        command
    };
    // Views and split are those of the run, and without a test part validation is measured.
    let again = succeed(&mut eval(&[]));
    let trained = fs::read_to_string(out.join("report.txt")).expect("a report");
    assert_eq!(text(&again.stdout), trained, "what the run said of its best weights");
    assert!(!text(&again.stderr).contains("another split"), "{}", text(&again.stderr));
    let other = succeed(&mut eval(&["--views", "S,HL", "--split", "random:0.5"]));
    assert!(text(&other.stderr).contains("trained on another split"), "{}", text(&other.stderr));
    fail(resume(&out).args(["--split", "random:0.5"]), 2, &["a run goes on with the pictures"]);
}
