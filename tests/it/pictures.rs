//! Pictures as a source: which of a folder are read, in which order, and what data say of each.

use std::fs;

use image::RgbImage;

use crate::common::{astronaut, emocam, fail, json_lines, succeed, temporary_folder};

/// The cells of some columns in each row of a table.
fn cells<const N: usize>(table: &std::path::Path, columns: [&str; N]) -> Vec<[String; N]> {
    let mut table = csv::Reader::from_path(table).expect("a table");
    let header = table.headers().expect("a header").clone();
    let places = columns.map(|name| header.iter().position(|found| found == name).expect("a column"));
    table.records().map(|row| row.map(|row| places.map(|place| row[place].to_owned())).expect("a row")).collect()
}

#[test]
fn each_row_names_its_picture_and_numbers_do_not_move() {
    let folder = temporary_folder();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    fs::copy(astronaut(), photos.join("10.jpg")).expect("a copy");
    RgbImage::new(64, 48).save(photos.join("2.png")).expect("a picture");
    fs::write(photos.join("9.jpg"), "damaged").expect("a file");
    let file = |name: &str| folder.path().join(name);
    let run = |table: &str, options: &[&str]| {
        let mut command = emocam();
        command.arg("annotate").arg(&photos).arg("-o").arg(file(table)).args(options);
        fail(&mut command, 1, &["9.jpg", "1 of 3 pictures"]);
    };
    run("all.csv", &["--empty-rows"]);
    let known = cells(&file("all.part.csv"), ["frame", "time_s", "file", "id", "time"]);
    assert_eq!(known, [["0", "0", "2.png", "", ""], ["2", "2", "10.jpg", "0", ""]].map(|row| row.map(String::from)));
    run("faces.csv", &[]);
    assert_eq!(cells(&file("faces.part.csv"), ["frame", "file"]), [["2", "10.jpg"].map(String::from)]);
    run("out.jsonl", &[]);
    let lines = json_lines(&file("out.part.jsonl"));
    let known: Vec<_> = lines.iter().map(|line| (line["frame"].as_u64(), line["file"].as_str())).collect();
    assert_eq!(known, [(Some(0), Some("2.png")), (Some(2), Some("10.jpg"))]);
    assert!(lines.iter().all(|line| line.get("time").is_none()), "pictures have no time on the wall");

    // One picture is the file that was named.
    succeed(emocam().arg("annotate").arg(photos.join("10.jpg")).arg("-o").arg(file("one.jsonl")));
    assert!(json_lines(&file("one.jsonl"))[0].get("file").is_none());
}
