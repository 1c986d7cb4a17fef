//! What README.md and weights/README.md say of the weights is what the committed report says, and what they give; and the
//! examples of `emocam help data` run as they stand there, on data that emocam has just written.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::{
    astronaut, emocam, example, ffmpeg, in_project, json_lines, python_with, shared, skip, succeed, temporary_folder,
    text,
};

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
    let readme = read(&in_project("README.md"));
    for words in &expected {
        assert!(readme.contains(words), "README.md lacks {words:?}, which weights/report.json says");
    }
    for (name, class) in report["classes"].as_object().expect("classes") {
        let [precision, recall, f1] = [&class["precision"], &class["recall"]["value"], &class["f1"]].map(number);
        expected.push(format!("| {name} | {precision:.3} | {recall:.3} | {f1:.3} | {} |", class["support"]));
    }
    let readme = read(&in_project("weights/README.md"));
    for words in &expected {
        assert!(readme.contains(words), "weights/README.md lacks {words:?}, which weights/report.json says");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = read(&in_project("README.md")).lines().count();
    assert!(lines <= 250, "{lines} lines: what is more belongs into the topics of `emocam help`");
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

/// Data of the demo in a folder of its own, in a file of the name that the examples use.
fn data() -> tempfile::TempDir {
    let folder = temporary_folder();
    succeed(emocam().args(["annotate", "demo", "-o"]).arg(folder.path().join("out.jsonl")));
    folder
}

#[test]
fn pandas_reads_the_data_as_the_help_says() {
    let Some(python) = python_with("pandas") else {
        return skip("pandas_reads_the_data_as_the_help_says", "Python with pandas is not installed");
    };
    let folder = data();
    let output =
        succeed(Command::new(python).arg("-c").arg(example("data", "python", "pandas")).current_dir(folder.path()));
    // A row a face: its number, and the seconds that it was happy for.
    let frames = json_lines(&folder.path().join("out.jsonl"));
    let faces = frames.iter().filter(|line| line["faces"][0]["id"] == 0).count();
    let printed = text(&output.stdout);
    let row = printed.lines().find(|line| line.starts_with('0')).unwrap_or_else(|| panic!("{printed}"));
    let seconds: f64 = row.split_whitespace().last().and_then(|number| number.parse().ok()).expect("a number");
    assert!((seconds - faces as f64 / 30.0).abs() < 0.05, "{printed}");
    assert!(printed.contains("Happy"), "{printed}");
}

/// A face for 1 s at 24 frames a second, then for 2 s at 12, and then none.
const VARIABLE_RATE: &str = "\
    [0:v]scale=640:480,setsar=1,split[a][b];\
    [a]fps=24,trim=end=1[fast];[b]fps=12,trim=end=2[slow];\
    color=gray:size=640x480:rate=12:duration=1[none];\
    [fast][slow][none]concat=n=3";

#[test]
fn the_example_for_pandas_counts_seconds_of_a_variable_rate() {
    let test = "the_example_for_pandas_counts_seconds_of_a_variable_rate";
    let Some(python) = python_with("pandas").filter(|_| ffmpeg()) else {
        return skip(test, "ffmpeg or Python with pandas is not installed");
    };
    let folder = temporary_folder();
    let clip = folder.path().join("vfr.mkv");
    let mut make = Command::new("ffmpeg");
    make.args(["-v", "error", "-nostdin", "-loop", "1", "-t", "3", "-i"]).arg(astronaut());
    succeed(make.args(["-filter_complex", VARIABLE_RATE, "-fps_mode", "passthrough"]).arg(&clip));
    succeed(emocam().arg("annotate").arg(&clip).arg("-o").arg(folder.path().join("out.jsonl")));
    let output =
        succeed(Command::new(python).arg("-c").arg(example("data", "python", "pandas")).current_dir(folder.path()));
    let printed = text(&output.stdout);
    let row = printed.lines().find(|line| line.starts_with('0')).unwrap_or_else(|| panic!("{printed}"));
    let seconds: f64 = row.split_whitespace().skip(1).filter_map(|number| number.parse::<f64>().ok()).sum();
    // The place of a face is remembered for a quarter of a second. By the median, each frame would last 1/12 s: 4 s.
    assert!((2.9..3.4).contains(&seconds), "{printed}");
}

#[test]
fn duckdb_reads_the_data_as_the_help_says() {
    let Some(python) = python_with("duckdb") else {
        return skip("duckdb_reads_the_data_as_the_help_says", "Python with DuckDB is not installed");
    };
    let folder = data();
    let program = "import duckdb, sys\nfor row in duckdb.sql(sys.argv[1]).fetchall(): print(*row)";
    let mut command = Command::new(python);
    let output = succeed(command.args(["-c", program, &example("data", "sql", "SELECT")]).current_dir(folder.path()));
    let happy = |face: &Value| face["probabilities"]["Happy"].as_f64().expect("a number") > 0.6;
    let frames = json_lines(&folder.path().join("out.jsonl"));
    let expected: usize = frames
        .iter()
        .map(|line| line["faces"].as_array().expect("faces").iter().filter(|face| happy(face)).count())
        .sum();
    assert!(expected > 100);
    assert_eq!(text(&output.stdout).lines().count(), expected);
}
