//! The README's examples of reading the data, run as they stand there on data that emocam has just written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{emocam, json_lines, skip, succeed, temporary_folder, text};

/// The only block of the README in this language.
fn example(language: &str) -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let blocks: Vec<&str> = readme.split(&format!("```{language}\n")).skip(1).collect();
    assert_eq!(blocks.len(), 1, "blocks of {language}");
    blocks[0].split("```").next().expect("the block's end").to_owned()
}

/// A Python that has this module: the one that scripts/test made, else the system's.
fn python_with(module: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    [own, PathBuf::from("python3")].into_iter().find(|python| {
        let output = Command::new(python).args(["-c", &format!("import {module}")]).output();
        output.is_ok_and(|output| output.status.success())
    })
}

/// Data of the demo in a folder of its own, in a file of the name that the examples use.
fn data() -> tempfile::TempDir {
    let folder = temporary_folder();
    succeed(emocam().args(["annotate", "demo", "-o"]).arg(folder.path().join("out.jsonl")));
    folder
}

#[test]
fn pandas_reads_the_data_as_the_readme_says() {
    let Some(python) = python_with("pandas") else {
        return skip("pandas_reads_the_data_as_the_readme_says", "Python with pandas is not installed");
    };
    let folder = data();
    let output = succeed(Command::new(python).arg("-c").arg(example("python")).current_dir(folder.path()));
    // A row a face: its number, and the seconds that it was happy for.
    let frames = json_lines(&folder.path().join("out.jsonl"));
    let faces = frames.iter().filter(|line| line["faces"][0]["id"] == 0).count();
    let printed = text(&output.stdout);
    let row = printed.lines().find(|line| line.starts_with('0')).unwrap_or_else(|| panic!("{printed}"));
    let seconds: f64 = row.split_whitespace().last().and_then(|number| number.parse().ok()).expect("a number");
    assert!((seconds - faces as f64 / 30.0).abs() < 0.05, "{printed}");
    assert!(printed.contains("Happy"), "{printed}");
}

#[test]
fn duckdb_reads_the_data_as_the_readme_says() {
    let Some(python) = python_with("duckdb") else {
        return skip("duckdb_reads_the_data_as_the_readme_says", "Python with DuckDB is not installed");
    };
    let folder = data();
    let program = "import duckdb, sys\nfor row in duckdb.sql(sys.argv[1]).fetchall(): print(*row)";
    let mut command = Command::new(python);
    let output = succeed(command.args(["-c", program, &example("sql")]).current_dir(folder.path()));
    let happy = |face: &serde_json::Value| face["probabilities"]["Happy"].as_f64().expect("a number") > 0.6;
    let frames = json_lines(&folder.path().join("out.jsonl"));
    let expected: usize = frames
        .iter()
        .map(|line| line["faces"].as_array().expect("faces").iter().filter(|face| happy(face)).count())
        .sum();
    assert!(expected > 100);
    assert_eq!(text(&output.stdout).lines().count(), expected);
}
