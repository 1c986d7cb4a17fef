//! What is wrong with inputs, weights and outputs: the real binary must say which file, what it expected and found, or
//! what to try; exit with 1, or 2 for wrong arguments; and lose nothing of what it could read.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use serde_json::Value;

use crate::common::{
    self, assert_exit, demo_clip, emocam, fail, ffmpeg, frames_of, in_project, json_lines, lines_of, names_in, run,
    skip, succeed, temporary_folder, text,
};

/// A small picture without a face.
fn save_picture(path: &Path) {
    let picture = RgbImage::from_fn(64, 48, |x, y| Rgb([x as u8, y as u8, 90]));
    picture.save(path).expect("a picture can be saved");
}

fn annotate(input: &Path) -> Command {
    let mut command = emocam();
    command.arg("annotate").arg(input);
    command
}

/// Runs `annotate input` with JSON lines as output, and returns them. Whatever the end, it must be `code` with `words`.
fn lines_from(input: &Path, code: i32, words: &[&str]) -> Vec<Value> {
    let output = run(annotate(input).args(["-o", "-"]));
    assert_exit(&output, code, words);
    common::parsed_lines(&text(&output.stdout))
}

#[test]
fn an_input_that_is_not_there() {
    let folder = temporary_folder();
    for name in ["none.mp4", "none.jpg", "none"] {
        let message = fail(&mut annotate(&folder.path().join(name)), 1, &[name, "no such file or folder"]);
        assert!(message.starts_with("emocam: error: "), "{message}");
    }
}

#[test]
fn a_folder_without_pictures() {
    let folder = temporary_folder();
    fs::write(folder.path().join("notes.txt"), "no picture").expect("a file");
    let out = folder.path().join("out.jsonl");
    let name = folder.path().to_string_lossy().into_owned();
    let mut command = annotate(folder.path());
    fail(command.arg("-o").arg(&out), 1, &[&name, "no picture in this folder", "png"]);
    assert!(!out.exists(), "an output of nothing was made");
}

#[test]
fn a_text_named_like_a_video() {
    let folder = temporary_folder();
    let path = folder.path().join("text.mp4");
    fs::write(&path, "this is no video\n").expect("a file");
    fail(annotate(&path).env("PATH", ""), 1, &["text.mp4", "install ffmpeg"]);
    if ffmpeg() {
        fail(&mut annotate(&path), 1, &["text.mp4", "cannot read this as a video"]);
    } else {
        skip("a_text_named_like_a_video", "ffmpeg is not installed; only the built-in decoder was asked");
    }
}

#[test]
fn a_video_that_is_cut_short_by_ffmpeg() {
    if !ffmpeg() {
        return skip("a_video_that_is_cut_short_by_ffmpeg", "ffmpeg is not installed");
    }
    a_video_that_is_cut_short(|_| {});
}

#[test]
fn a_video_that_is_cut_short_by_the_built_in_decoder() {
    a_video_that_is_cut_short(|command| _ = command.env("PATH", ""));
}

/// What comes before the break is written, complete, to every output; then comes the error.
fn a_video_that_is_cut_short(change: fn(&mut Command)) {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    let whole = fs::read(demo_clip()).expect("the demo's file");
    // The index is at the front. The clip's first tenth holds some frames: enough to see, few enough to be quick.
    fs::write(file("cut.mp4"), &whole[..whole.len() / 10]).expect("a file");
    let mut command = annotate(&file("cut.mp4"));
    change(&mut command);
    fs::create_dir(file("frames")).expect("a folder");
    for output in ["out.jsonl", "out.csv", "out.mp4", "frames/%06d.png"] {
        command.arg("-o").arg(file(output));
    }
    fail(&mut command, 1, &["cut.mp4", "cut short", "what was done is in", "out.part.mp4"]);

    // What is not whole does not bear the name of what is.
    assert!(["out.jsonl", "out.csv", "out.mp4"].iter().all(|name| !file(name).exists()));
    let lines = json_lines(&file("out.part.jsonl"));
    assert!((3..120).contains(&lines.len()), "{} frames", lines.len());
    for (id, line) in lines.iter().enumerate() {
        assert_eq!(line["frame"], id);
    }
    assert_eq!(names_in(&file("frames")).len(), lines.len());
    let table = fs::read_to_string(file("out.part.csv")).expect("a table");
    let faces: usize = lines.iter().map(|line| line["faces"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(table.lines().count(), 1 + faces);
    assert_eq!(frames_of(&file("out.part.mp4")), lines.len());
}

#[test]
fn a_corrupt_picture_in_a_folder_is_named_skipped_and_counted() {
    let folder = temporary_folder();
    for name in ["1.png", "2.jpg", "3.jpg"] {
        save_picture(&folder.path().join(name));
    }
    let damaged = folder.path().join("2.jpg");
    let bytes = fs::read(&damaged).expect("a JPEG");
    fs::write(&damaged, &bytes[..bytes.len() / 2]).expect("a file");
    let words = ["skipped", "2.jpg", "1 of 3 pictures", "2 frames"];
    assert_eq!(lines_from(folder.path(), 1, &words).len(), 2);
}

#[test]
fn a_corrupt_picture_by_itself() {
    let folder = temporary_folder();
    for (name, bytes) in [("a.png", &b"no picture"[..]), ("b.jpg", &[0xFF, 0xD8, 0xFF, 0xE0]), ("c.webp", &[])] {
        fs::write(folder.path().join(name), bytes).expect("a file");
        fail(&mut annotate(&folder.path().join(name)), 1, &[name]);
    }
}

#[test]
fn the_smallest_picture() {
    let folder = temporary_folder();
    let path = folder.path().join("dot.png");
    RgbImage::from_pixel(1, 1, Rgb([9, 8, 7])).save(&path).expect("a picture");
    let (still, video) = (folder.path().join("out.png"), folder.path().join("out.mp4"));
    let output = succeed(annotate(&path).arg("-o").arg(&still).arg("-o").arg(&video).args(["-o", "-"]));
    let line = "{\"schema\":1,\"frame\":0,\"time_s\":0.0,\"faces\":[]}\n";
    assert_eq!(text(&output.stdout), line);
    assert_eq!(image::open(&still).expect("a picture").to_rgb8().into_raw(), [9, 8, 7]);
    assert!(video.exists());
}

#[test]
fn a_picture_that_is_too_large() {
    let folder = temporary_folder();
    let path = folder.path().join("huge.pbm");
    let mut file = File::create(&path).expect("a file");
    file.write_all(b"P4\n10000 10000\n").expect("a header");
    // The pixels, all white, take no room on the disk.
    file.set_len(15 + 10_000 / 8 * 10_000).expect("a sparse file");
    fail(&mut annotate(&path), 1, &["huge.pbm", "10000x10000", "at most 64 megapixels", "smaller"]);
}

#[test]
fn pictures_with_alpha_16_bits_or_cmyk_are_read_as_they_look() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    RgbaImage::from_fn(40, 30, |x, _| Rgba([200, 100, 0, if x < 20 { 255 } else { 0 }]))
        .save(file("alpha.png"))
        .expect("a picture");
    ImageBuffer::<Rgb<u16>, _>::from_pixel(40, 30, Rgb([0xC8C8u16, 0x6464, 0]))
        .save(file("16.png"))
        .expect("a picture");
    ImageBuffer::<Luma<u16>, _>::from_pixel(40, 30, Luma([0x6464u16])).save(file("gray16.png")).expect("a picture");
    GrayImage::from_pixel(40, 30, Luma([100])).save(file("gray.jpg")).expect("a picture");
    let cmyk = in_project("tests/data/cmyk.jpg");
    fs::copy(cmyk, file("cmyk.jpg")).expect("a copy");
    for (name, left, right) in [
        ("alpha.png", [200, 100, 0], [255, 255, 255]),
        ("16.png", [200, 100, 0], [200, 100, 0]),
        ("gray16.png", [100; 3], [100; 3]),
        ("gray.jpg", [100; 3], [100; 3]),
        ("cmyk.jpg", [230, 20, 60], [230, 20, 60]),
    ] {
        let out = file("out.png");
        succeed(annotate(&file(name)).arg("-o").arg(&out).arg("--force"));
        let seen = image::open(&out).expect("a picture").to_rgb8();
        for (x, expected) in [(2, left), (seen.width() - 3, right)] {
            let found = seen.get_pixel(x, 8).0;
            let close = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 3);
            assert!(close, "{name}: {found:?}, expected {expected:?}");
        }
    }
}

/// The committed weights, with a change to the card that is in them.
fn changed_weights(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let bytes = fs::read(in_project("weights/emocam.safetensors")).expect("weights");
    // Safetensors: the length of the header in 8 bytes, the header in JSON, the values.
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
    let card = header["__metadata__"]["emocam"].as_str().expect("a card");
    let mut card: Value = serde_json::from_str(card).expect("a card in JSON");
    change(&mut card);
    header["__metadata__"]["emocam"] = card.to_string().into();
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header, &bytes[8 + length..]].concat()
}

#[test]
fn weights_that_do_not_fit() {
    let folder = temporary_folder();
    let picture = folder.path().join("picture.png");
    save_picture(&picture);
    let out = folder.path().join("out.jsonl");
    let path = folder.path().join("w.safetensors");
    let annotate_with_weights = || {
        let mut command = annotate(&picture);
        command.arg("-o").arg(&out).arg("--weights").arg(&path);
        command
    };
    let refused = |bytes: &[u8], words: &[&str]| {
        fs::write(&path, bytes).expect("a file");
        fail(&mut annotate_with_weights(), 1, &[&["w.safetensors", "expected", "found"], words].concat());
        assert!(!out.exists(), "an output was made before the weights were read");
    };
    let whole = changed_weights(|_| {});
    refused(&whole[..whole.len() / 2], &["safetensors file"]);
    refused(&whole[..20], &["safetensors file"]);
    refused(b"", &["safetensors file"]);
    refused(b"these are no weights\n", &["safetensors file"]);
    refused(
        &changed_weights(|card| card["labels"].as_array_mut().expect("labels").swap(0, 1)),
        &["labels: expected Anger, Disgust, ", "found Disgust, Anger, "],
    );
    refused(
        &changed_weights(|card| _ = card["labels"].as_array_mut().expect("labels").pop()),
        &["labels: expected Anger, Disgust, ", "found Anger, Disgust, Fear, Happy, Neutral, Sad\n"],
    );
    refused(
        &changed_weights(|card| card["arch"]["family"] = "transformer".into()),
        &["architecture", "found \"transformer\""],
    );
    refused(&changed_weights(|card| card["format"] = 99.into()), &["format", "found 99"]);

    // What the changes are made to is in order.
    fs::write(&path, whole).expect("a file");
    succeed(&mut annotate_with_weights());
    fs::remove_file(&path).expect("a file");
    fail(annotate_with_weights().arg("--force"), 1, &["w.safetensors", "No such file"]);
}

#[test]
fn an_output_in_a_folder_that_does_not_exist() {
    let folder = temporary_folder();
    let picture = folder.path().join("picture.png");
    save_picture(&picture);
    for name in ["out.mp4", "out.jsonl", "out.csv", "out.png", "frames/"] {
        let out = folder.path().join("none").join(name);
        let words = ["none", "does not exist", "mkdir -p"];
        fail(annotate(&picture).arg("-o").arg(out), 1, &words);
    }
    let stats = folder.path().join("none/stats.json");
    fail(annotate(&picture).arg("--stats").arg(stats), 1, &["none", "does not exist"]);
    assert_eq!(names_in(folder.path()), ["picture.png"]);
}

#[test]
fn an_output_that_exists_is_replaced_only_by_force() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    save_picture(&file("picture.png"));
    fs::create_dir(file("frames")).expect("a folder");
    let old = "written by somebody else";
    for (output, holds) in [
        ("out.mp4", "out.mp4"),
        ("out.jsonl", "out.jsonl"),
        ("out.csv", "out.csv"),
        ("out.png", "out.png"),
        ("frames/%06d.png", "frames/000000.png"),
    ] {
        fs::write(file(holds), old).expect("a file");
        let mut command = annotate(&file("picture.png"));
        command.arg("-o").arg(file(output));
        fail(&mut command, 1, &[output.split('/').next().unwrap_or_default(), "already", "--force"]);
        assert_eq!(fs::read_to_string(file(holds)).expect("the old file"), old);
        succeed(command.arg("--force"));
        assert_ne!(fs::read(file(holds)).expect("a new file"), old.as_bytes(), "{output}");
    }
    fs::write(file("stats.json"), old).expect("a file");
    let mut command = annotate(&file("picture.png"));
    fail(command.arg("--stats").arg(file("stats.json")), 1, &["stats.json", "already", "--force"]);
    assert_eq!(fs::read_to_string(file("stats.json")).expect("the old file"), old);
}

#[test]
fn the_input_itself_is_no_output() {
    let folder = temporary_folder();
    let picture = folder.path().join("picture.png");
    save_picture(&picture);
    let before = fs::read(&picture).expect("a picture");
    fail(annotate(&picture).arg("-o").arg(&picture).arg("--force"), 1, &["picture.png", "is the input itself"]);
    fail(annotate(&picture).arg("--stats").arg(&picture).arg("--force"), 1, &["picture.png", "is the input itself"]);
    // The timeline of this summary would have the picture's name.
    let summary = picture.with_extension("json");
    fail(annotate(&picture).arg("--summary").arg(summary).arg("--force"), 1, &["picture.png", "is the input itself"]);
    fail(annotate(folder.path()).arg("-o").arg(&picture).arg("--force"), 1, &["picture.png", "one of its pictures"]);
    assert_eq!(fs::read(&picture).expect("a picture"), before);
}

#[test]
fn an_input_in_the_place_of_an_output_is_noticed_before_any_other_input_is_touched() {
    let folder = temporary_folder();
    let (first, second) = (folder.path().join("first.png"), folder.path().join("second.mp4"));
    save_picture(&first);
    fs::copy(demo_clip(), &second).expect("a copy");
    let out = folder.path().join("out");
    fs::create_dir(&out).expect("a folder");
    fs::rename(&second, out.join("second.mp4")).expect("a move");
    let mut command = annotate(&first);
    let command = command.arg(out.join("second.mp4")).args(["--force", "-o"]).arg(format!("{}/", out.display()));
    fail(command, 1, &["second.mp4", "is the input itself"]);
    assert_eq!(names_in(&out), ["second.mp4"]);
}

#[test]
fn several_inputs_do_not_make_a_folder_whose_parent_is_missing() {
    let folder = temporary_folder();
    let picture = folder.path().join("picture.png");
    save_picture(&picture);
    let mut command = annotate(&picture);
    fail(command.args(["demo", "-o"]).arg(format!("{}/no/such/", folder.path().display())), 1, &["no/such"]);
    assert_eq!(names_in(folder.path()), ["picture.png"]);
}

#[test]
fn a_damaged_picture_after_the_last_wanted_one_does_not_matter() {
    let folder = temporary_folder();
    save_picture(&folder.path().join("1.png"));
    fs::write(folder.path().join("2.png"), "no picture").expect("a file");
    assert_eq!(lines_of(annotate(folder.path()).args(["--frames", "1", "-o", "-"])).len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn names_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = temporary_folder();
    let picture = folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.png"));
    save_picture(&picture);
    let out = folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.jsonl"));
    succeed(annotate(&picture).arg("-o").arg(&out));
    assert_eq!(json_lines(&out).len(), 1);
}

#[test]
fn a_file_without_an_end_is_no_weights_file() {
    if cfg!(unix) {
        fail(emocam().args(["annotate", "demo", "--weights", "/dev/zero"]), 1, &["/dev/zero", "at most"]);
    }
}

#[test]
fn an_earlier_training_run_is_not_overwritten() {
    let folder = temporary_folder();
    fs::write(folder.path().join("best.safetensors"), "old").expect("a file");
    let mut command = emocam();
    command.args(["train", "--data", "none", "--out"]).arg(folder.path());
    fail(&mut command, 1, &["best.safetensors", "exists already", "--out"]);
}

#[test]
fn arguments_that_make_no_sense_are_told_from_failures_by_the_exit_code() {
    for (line, words) in [
        ("dance", &["dance"][..]),
        ("live --loud", &["--loud"]),
        ("annotate", &["INPUT"]),
        ("annotate demo --frames 0", &["--frames", "0"]),
        ("annotate demo --frames -3", &["-3"]),
        ("annotate demo --frames many", &["--frames", "many"]),
        ("annotate demo -o out.xyz", &["out.xyz", ".mp4", ".jsonl", ".csv"]),
        ("annotate demo -o out", &["\"out\"", ".mp4"]),
        ("annotate demo -o out.csv -o out.csv", &["out.csv", "twice"]),
        ("annotate a.mp4 b.mp4 -o out.mp4", &["several inputs", "out.mp4"]),
        ("annotate 0", &["camera 0", "emocam live"]),
        ("live demo --min-face 0", &["--min-face"]),
        ("live demo --device tpu", &["--device", "tpu"]),
        ("train --out runs", &["--data"]),
    ] {
        // An argument that was taken must not write into the working folder.
        let folder = temporary_folder();
        let arguments: Vec<_> = line.split_whitespace().collect();
        fail(emocam().args(arguments).current_dir(folder.path()), 2, words);
        assert_eq!(names_in(folder.path()), [] as [&str; 0]);
    }
}

#[test]
fn a_source_that_was_named_is_never_replaced_by_the_demo() {
    let folder = temporary_folder();
    let video = folder.path().join("none.mp4");
    let sources =
        [(video, "none.mp4"), (PathBuf::from("987"), "987"), (PathBuf::from("/dev/video987"), "/dev/video987")];
    for (source, name) in sources {
        let message = fail(emocam().arg("live").arg(source).args(["--headless", "--frames", "1"]), 1, &[name]);
        assert!(!message.contains("demo"), "{message}");
    }
}

#[test]
fn one_bad_input_of_several_is_named_and_the_others_are_written() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    save_picture(&file("good.png"));
    fs::write(file("bad.jpg"), "no picture").expect("a file");
    save_picture(&file("last.png"));
    let mut command = emocam();
    command.arg("annotate").args(["bad.jpg", "good.png", "none.mp4", "last.png"].map(file)).arg("-o");
    // The slash says that it is to be a folder.
    command.arg(file("results/"));
    fail(&mut command, 1, &["bad.jpg", "none.mp4", "2 of 4 inputs failed"]);
    let made =
        ["good", "last"].map(|name| [".jsonl", ".jsonl.record.json", ".png"].map(|ending| format!("{name}{ending}")));
    assert_eq!(names_in(&file("results")), made.concat());
}

#[test]
fn pictures_have_no_time_to_sum_up() {
    let (folder, elsewhere) = (temporary_folder(), temporary_folder());
    save_picture(&folder.path().join("picture.png"));
    let summary = elsewhere.path().join("summary.json");
    fail(annotate(folder.path()).arg("--summary").arg(summary), 1, &["--summary", "pictures", "-o FILE.csv"]);
    assert!(names_in(elsewhere.path()).is_empty());
}

#[test]
fn what_a_killed_run_left_of_a_summary_is_in_nobodys_way() {
    let folder = temporary_folder();
    let summary = folder.path().join("summary.json");
    for left in ["summary.part.json", "summary.part.png"] {
        fs::write(folder.path().join(left), "").expect("a file");
    }
    succeed(emocam().args(["live", "demo", "--headless", "--frames", "3", "--summary"]).arg(&summary));
    assert_eq!(names_in(folder.path()), ["summary.json", "summary.png"]);
}
