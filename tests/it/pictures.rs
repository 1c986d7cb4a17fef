//! Pictures as a source: which of a folder are read, in which order, and what data say of each.

use std::fs;
use std::path::Path;
use std::process::Command;

use image::RgbImage;
use serde_json::Value;

use crate::common::{
    astronaut, demo_clip, emocam, fail, ffmpeg, frames_of, json_lines, lines_of, names_in, skip, succeed,
    temporary_folder, text,
};

/// The cells of some columns in each row of a table.
fn cells<const N: usize>(table: &Path, columns: [&str; N]) -> Vec<[String; N]> {
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
    let known = cells(&file("all.csv"), ["frame", "time_s", "file", "id", "time"]);
    assert_eq!(known, [["0", "0", "2.png", "", ""], ["2", "2", "10.jpg", "0", ""]].map(|row| row.map(String::from)));
    run("faces.csv", &[]);
    assert_eq!(cells(&file("faces.csv"), ["frame", "file"]), [["2", "10.jpg"].map(String::from)]);
    run("out.jsonl", &[]);
    let lines = json_lines(&file("out.jsonl"));
    let known: Vec<_> = lines.iter().map(|line| (line["frame"].as_u64(), line["file"].as_str())).collect();
    assert_eq!(known, [(Some(0), Some("2.png")), (Some(2), Some("10.jpg"))]);
    assert!(lines.iter().all(|line| line.get("time").is_none()), "pictures have no time on the wall");

    // One picture is the file that was named.
    succeed(emocam().arg("annotate").arg(photos.join("10.jpg")).arg("-o").arg(file("one.jsonl")));
    assert!(json_lines(&file("one.jsonl"))[0].get("file").is_none());
}

#[test]
fn what_is_not_read_in_a_folder_is_named_and_counted_and_is_no_failure() {
    let folder = temporary_folder();
    let photos = folder.path().join("photos");
    fs::create_dir_all(photos.join("below")).expect("a folder");
    fs::copy(astronaut(), photos.join("5.jfif")).expect("a copy");
    fs::copy(demo_clip(), photos.join("clip.mp4")).expect("a copy");
    fs::write(photos.join("4.HEIC"), "ftypheic").expect("a file");
    fs::write(photos.join("notes.txt"), "").expect("a file");
    animated_gif(&photos.join("6.gif"));
    let mut command = emocam();
    let output = succeed(command.arg("annotate").arg(&photos).args(["-o", "-"]));
    let told = text(&output.stderr);
    for words in [
        "folders below (1: below)",
        "videos (1: clip.mp4)",
        "other files (1: notes.txt)",
        "(1: 4.HEIC)",
        "animated pictures beyond their first frame (1: 6.gif)",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let lines = lines_of(&mut command);
    let known: Vec<_> = lines.iter().map(|line| (line["frame"].as_u64(), line["file"].as_str())).collect();
    assert_eq!(known, [(Some(1), Some("5.jfif")), (Some(2), Some("6.gif"))]);
    assert_eq!(lines[0]["faces"].as_array().map(Vec::len), Some(1));

    // Where nothing could be read, that is a failure.
    fs::create_dir(folder.path().join("phone")).expect("a folder");
    fs::write(folder.path().join("phone/4.HEIC"), "ftypheic").expect("a file");
    let mut command = emocam();
    fail(command.arg("annotate").arg(folder.path().join("phone")), 1, &["(1: 4.HEIC)", "none of the 1 pictures"]);
    // Without ffmpeg it is told what would help.
    command.env("PATH", "");
    fail(&mut command, 1, &["HEIC and AVIF, which need ffmpeg (1: 4.HEIC)"]);
}

/// Three frames, each for 100 ms.
fn animated_gif(path: &Path) {
    let mut encoder = image::codecs::gif::GifEncoder::new(fs::File::create(path).expect("a file"));
    let frame = |value| {
        let picture = image::RgbaImage::from_pixel(64, 48, image::Rgba([value, value, value, 255]));
        image::Frame::from_parts(picture, 0, 0, image::Delay::from_numer_denom_ms(100, 1))
    };
    encoder.encode_frames([10, 100, 200].map(frame)).expect("a GIF");
}

fn times(lines: &[Value]) -> Vec<f64> {
    lines.iter().map(|line| line["time_s"].as_f64().expect("a time")).collect()
}

#[test]
fn an_animated_gif_is_a_video_or_it_is_said_that_it_is_none() {
    let folder = temporary_folder();
    let gif = folder.path().join("a.gif");
    animated_gif(&gif);
    let mut alone = emocam();
    let output = succeed(alone.arg("annotate").arg(&gif).args(["-o", "-"]).env("PATH", ""));
    assert_eq!(text(&output.stdout).lines().count(), 1);
    assert!(text(&output.stderr).contains("not read: animated pictures beyond their first frame"));
    if !ffmpeg() {
        return skip("an_animated_gif_is_a_video_or_it_is_said_that_it_is_none", "ffmpeg is not installed");
    }
    let results = folder.path().join("results/");
    succeed(emocam().arg("annotate").arg(&gif).arg("-o").arg(&results));
    assert_eq!(names_in(&results), ["a.jsonl", "a.jsonl.record.json", "a.mp4"]);
    let times = times(&json_lines(&results.join("a.jsonl")));
    assert!(times.len() == 3 && (times[2] - 0.2).abs() < 1e-3, "{times:?}");
}

#[test]
fn an_animated_webp_is_a_video_with_and_without_ffmpeg() {
    let folder = temporary_folder();
    let webp = folder.path().join("a.webp");
    let mut make = Command::new("ffmpeg");
    make.args(["-v", "error", "-nostdin", "-i"]).arg(demo_clip()).args([
        "-vf",
        "fps=10,scale=320:-1",
        "-frames:v",
        "6",
    ]);
    let made = make.args(["-c:v", "libwebp_anim"]).arg(&webp).output();
    if !made.is_ok_and(|output| output.status.success()) {
        return skip("an_animated_webp_is_a_video_with_and_without_ffmpeg", "there is no ffmpeg that writes WebP");
    }
    let results = folder.path().join("results/");
    succeed(emocam().arg("annotate").arg(&webp).arg("-o").arg(&results));
    assert_eq!(names_in(&results), ["a.jsonl", "a.jsonl.record.json", "a.mp4"]);
    assert_eq!(frames_of(&results.join("a.mp4")), 6);
    let lines = json_lines(&results.join("a.jsonl"));
    assert_eq!(times(&lines), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]);
    assert!(lines.iter().all(|line| line["faces"].as_array().is_some_and(|faces| faces.len() == 1)));
    assert_eq!(lines_of(emocam().arg("annotate").arg(&webp).args(["-o", "-"]).env("PATH", "")), lines);
}
