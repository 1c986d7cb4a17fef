//! Many inputs at once: folders of them, one table, outputs by a template, and what is told where no output is asked for.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{
    astronaut, demo_clip, emocam, fail, ffmpeg, ffprobe, json_lines, names_in, skip, succeed, temporary_folder, text,
};

/// Two people, each in a folder of their own: a video of 12 frames, and for the second one a picture.
fn study(root: &Path) {
    for person in ["s1", "s2/photos"] {
        fs::create_dir_all(root.join(person)).expect("a folder");
    }
    for person in ["s1", "s2"] {
        succeed(emocam().args(["annotate", "demo", "--frames", "12", "-o"]).arg(root.join(person).join("video.mp4")));
    }
    fs::copy(astronaut(), root.join("s2/photos/face.jpg")).expect("a copy");
    fs::write(root.join("notes.txt"), "not for emocam").expect("a file");
}

fn emocam_in(folder: &Path, line: &str) -> Command {
    let mut command = emocam();
    command.current_dir(folder).args(line.split(' '));
    command
}

/// The column of a table.
fn column(path: &Path, name: &str) -> Vec<String> {
    let mut table = csv::Reader::from_path(path).expect("a table");
    let place = table.headers().expect("a header").iter().position(|it| it == name).expect("the column");
    table.records().map(|row| row.expect("a row")[place].to_owned()).collect()
}

#[test]
fn a_study_becomes_one_table_and_results_in_the_same_folders() {
    let folder = temporary_folder();
    study(&folder.path().join("study"));
    let here = |line: &str| emocam_in(folder.path(), line);
    let output = succeed(&mut here("-r study -o all.csv -o all.jsonl --empty-rows"));
    assert!(text(&output.stderr).contains("other files (1: notes.txt)"), "{}", text(&output.stderr));
    let mut files = column(&folder.path().join("all.csv"), "file");
    assert_eq!(files.len(), 12 + 1 + 12);
    files.dedup();
    assert_eq!(files, ["study/s1/video.mp4", "study/s2/photos/face.jpg", "study/s2/video.mp4"]);
    let lines = json_lines(&folder.path().join("all.jsonl"));
    assert_eq!((lines.len(), &lines[12]["file"]), (25, &"study/s2/photos/face.jpg".into()));
    assert_eq!((&lines[11]["frame"], &lines[13]["frame"]), (&11.into(), &0.into()));
    // A table says what made it, and is never overwritten unasked.
    assert!(folder.path().join("all.csv.record.json").is_file());
    fail(&mut here("-r study -o all.csv"), 1, &["all.csv exists already", "--force"]);

    // Pictures have no time of which a part could be taken.
    let output = succeed(&mut here("-r study -o some.csv --rate 5 --summary {folder}-{name}.json"));
    let told = text(&output.stderr);
    assert!(told.contains("pictures among the inputs (1) all") && told.contains("inputs (1) get none"), "{told}");
    assert_eq!(column(&folder.path().join("some.csv"), "frame"), ["0", "6", "0", "0", "6"]);

    succeed(&mut here("-r study -o results/"));
    assert_eq!(names_in(&folder.path().join("results/s1")), ["video.jsonl", "video.jsonl.record.json", "video.mp4"]);
    let pictures = folder.path().join("results/s2/photos");
    assert_eq!(names_in(&pictures), ["face.jsonl", "face.jsonl.record.json", "face.png"]);
    let output = succeed(&mut here("-r study -o results/"));
    assert!(text(&output.stderr).contains("3 of 3 inputs are done already"), "{}", text(&output.stderr));
}

#[test]
fn a_template_names_the_outputs_of_each_input() {
    let folder = temporary_folder();
    study(&folder.path().join("study"));
    let here = |line: &str| emocam_in(folder.path(), line);
    let videos = "study/s1/video.mp4 study/s2/video.mp4";
    succeed(&mut here(&format!("{videos} -o out/{{folder}}/{{name}}.csv --summary out/{{folder}}.json")));
    for person in ["s1", "s2"] {
        assert_eq!(names_in(&folder.path().join("out").join(person)), ["video.csv", "video.csv.record.json"]);
    }
    assert_eq!(names_in(&folder.path().join("out")), ["s1", "s1.json", "s1.png", "s2", "s2.json", "s2.png"]);
    succeed(&mut here("live demo --headless --frames 2 -o {name}-live.jsonl"));
    assert_eq!(json_lines(&folder.path().join("demo-live.jsonl")).len(), 2);

    // Only what an input gives its name to is made beside it.
    let line = "annotate demo -o made/{name}.csv -o slip/of/pen.jsonl";
    fail(&mut here(line), 1, &["slip/of/pen.jsonl can't be written", "mkdir -p"]);
    assert!(!folder.path().join("slip").exists());

    for (line, code, words) in [
        ("-o out/{name}.csv", 1, &["would be one file", "{folder}"][..]),
        ("-o out.mp4", 2, &["one file of several inputs", "{name}"]),
        ("--summary all.json", 2, &["one file of several inputs", "{name}"]),
        ("-o {nmae}.csv", 2, &["no variable {nmae}", "{name}", "{folder}"]),
        ("-o {frame}.csv", 2, &["counts pictures"]),
        ("-o no/such/{folder}.csv", 1, &["no/such/{folder}.csv can't be written", "mkdir -p"]),
    ] {
        let message = fail(&mut here(&format!("annotate {videos} {line}")), code, words);
        assert!(!folder.path().join("no").exists(), "{message}");
    }
}

#[test]
fn without_an_output_the_result_is_told() {
    let folder = temporary_folder();
    study(folder.path());
    fs::write(folder.path().join("black.png"), fs::read(astronaut()).expect("a picture")).expect("a file");
    image::RgbImage::new(64, 48).save(folder.path().join("black.png")).expect("a picture");
    let output = succeed(&mut emocam_in(folder.path(), "s2/photos/face.jpg black.png"));
    let table = text(&output.stdout);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["file", "face", "label", "confidence"]);
    assert_eq!(rows[1][..3], ["s2/photos/face.jpg", "0", "Happy"]);
    assert!(rows[1][3].parse::<f64>().is_ok_and(|confidence| confidence > 0.5), "{table}");
    assert_eq!(rows[2], ["black.png", "-", "no", "face"]);
    assert!(text(&output.stderr).contains("add -o out.csv"), "{}", text(&output.stderr));
    assert_eq!(names_in(folder.path()), ["black.png", "notes.txt", "s1", "s2"]);

    let output = succeed(&mut emocam_in(folder.path(), "s1/video.mp4"));
    let summary = text(&output.stdout);
    assert!(summary.starts_with("s1/video.mp4: 0.4 s, 1 face\n\nface 0: seen for 0.4 s"), "{summary}");
    assert!(summary.lines().any(|line| line.trim().len() == 70) && summary.contains("? Unsure"), "{summary}");
    assert!(!summary.contains('\x1b') && summary.lines().all(|line| line.chars().count() <= 100), "{summary}");
}

#[test]
fn a_part_of_a_video_is_enough() {
    let folder = temporary_folder();
    let frames = |options: &str| -> Vec<u64> {
        let path = folder.path().join("out.jsonl");
        let line = format!("annotate demo --force -o out.jsonl {options}");
        succeed(&mut emocam_in(folder.path(), &line));
        json_lines(&path).iter().map(|line| line["frame"].as_u64().expect("a number")).collect()
    };
    assert_eq!(frames("--start 0:02 --end 2.2"), [60, 61, 62, 63, 64, 65]);
    assert_eq!(frames("--every 100"), [0, 100, 200]);
    assert_eq!(frames("--rate 0.5"), [0, 60, 120, 180]);
    assert_eq!(frames("--start 3 --rate 10 --frames 3"), [90, 93, 96]);
    for (options, code, words) in [
        ("demo --start 2 --end 1:00 --every 0", 2, &["--every"][..]),
        ("demo --start 3 --end 2", 2, &["--end must be later than --start"]),
        ("demo --rate 0", 2, &["--rate", "more than 0"]),
        ("demo --start 1:75", 2, &["--start", "1:30"]),
        ("demo --rate 2 --every 2", 2, &["--rate", "--every"]),
        ("notes/ --rate 2", 1, &["pictures have none", "--every"]),
        ("demo --start 60 -o out.mp4", 1, &["no frame"]),
    ] {
        fs::create_dir_all(folder.path().join("notes")).expect("a folder");
        fs::copy(astronaut(), folder.path().join("notes/a.jpg")).expect("a copy");
        fail(&mut emocam_in(folder.path(), &format!("annotate {options}")), code, words);
    }
}

/// Runs ffmpeg and returns what it writes to standard output.
fn ffmpeg_output(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg").current_dir(folder).args(["-v", "error", "-y"]).args(arguments).output();
    let output = output.expect("ffmpeg starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    output.stdout
}

#[test]
fn sound_belongs_to_the_part_that_is_recorded() {
    if !(ffmpeg() && ffprobe()) {
        return skip("sound_belongs_to_the_part_that_is_recorded", "ffmpeg is not installed");
    }
    let folder = temporary_folder();
    fs::copy(demo_clip(), folder.path().join("silent.mp4")).expect("a copy");
    // Silence for three seconds, then a tone.
    let sound = "sine=frequency=440:duration=8,volume=volume=0:enable='lt(t,3)'";
    ffmpeg_output(
        folder.path(),
        &["-i", "silent.mp4", "-f", "lavfi", "-i", sound, "-c:v", "copy", "-c:a", "aac", "tone.mp4"],
    );
    succeed(&mut emocam_in(folder.path(), "tone.mp4 --start 2 --end 4 --every 10 -o part.mp4"));
    let samples = ffmpeg_output(folder.path(), &["-i", "part.mp4", "-f", "s16le", "-ac", "1", "-ar", "8000", "-"]);
    let samples: Vec<i16> = samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let first = samples.iter().position(|sample| sample.unsigned_abs() > 500).expect("a tone") as f64 / 8000.0;
    assert!((first - 1.0).abs() < 0.15, "the tone begins at {first} s");
    let length = samples.len() as f64 / 8000.0;
    assert!((length - 2.0).abs() < 0.3, "{length} s of sound");
}
