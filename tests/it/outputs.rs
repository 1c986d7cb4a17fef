//! Kinds of output: pictures of frames and of faces, JPEG, one array of JSON, Matroska, a virtual camera.

use std::fs;
use std::path::Path;
use std::process::Command;

use emocam::sink::Record;
use image::RgbImage;
use serde_json::Value;

use crate::common::{
    astronaut, demo_clip, emocam, fail, ffmpeg, ffprobe, frames_of, json_lines, names_in, skip, succeed,
    temporary_folder, text,
};

fn annotate(input: &Path, outputs: &[&Path]) -> Command {
    let mut command = emocam();
    command.arg("annotate").arg(input);
    for output in outputs {
        command.arg("-o").arg(output);
    }
    command
}

fn read(path: &Path) -> RgbImage {
    image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8()
}

/// By how much two pictures of one size differ in the mean, in steps of a byte.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

#[test]
fn each_face_of_each_frame_is_a_picture_of_its_own() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    fs::create_dir(file("faces")).expect("a folder");
    let (faces, data) = (file("faces/{frame}_{id}.jpg"), file("o.jsonl"));
    succeed(annotate(&demo_clip(), &[&faces, &data]).args(["--frames", "3"]));
    let lines = json_lines(&data);
    let mut expected = Vec::new();
    for line in &lines {
        for face in line["faces"].as_array().expect("faces") {
            let name = format!("{:06}_{}.jpg", line["frame"].as_u64().expect("a number"), face["id"]);
            let crop = read(&file("faces").join(&name));
            let side =
                face["box"]["width"].as_f64().expect("a number").max(face["box"]["height"].as_f64().unwrap_or(0.0));
            // A square of one and a half boxes, which the edge may cut.
            let (longest, shortest) = (crop.width().max(crop.height()), crop.width().min(crop.height()));
            assert!(f64::from(longest) <= 1.5 * side + 2.0 && f64::from(shortest) >= 0.75 * side, "{name} {crop:?}");
            expected.push(name);
        }
    }
    expected.sort();
    assert!(!expected.is_empty() && names_in(&file("faces")) == expected, "{expected:?}");
    let record = Record::inside(&file("faces").join(&expected[0])).expect("a record");
    assert!(record.whole && record.settings["frames"] == 3, "{record:?}");

    // Never over what is there, and hidden where faces are to be hidden.
    fail(annotate(&demo_clip(), &[&faces]).args(["--frames", "3"]), 1, &["holds faces already", "--force"]);
    let shown = read(&file("faces").join(&expected[0]));
    succeed(annotate(&demo_clip(), &[&faces]).args(["--frames", "1", "--force", "--privacy", "box"]));
    let hidden = read(&file("faces").join(&expected[0]));
    let middle = |picture: &RgbImage| {
        let (x, y) = (picture.width() / 2, picture.height() / 2);
        let near = |dx: u32, dy: u32| picture.get_pixel(x + dx - 8, y + dy - 8).0;
        (0..16).flat_map(|dx| (0..16).map(move |dy| (dx, dy))).map(|(dx, dy)| near(dx, dy)).collect::<Vec<_>>()
    };
    let spread = |pixels: &[[u8; 3]]| {
        let green = pixels.iter().map(|pixel| pixel[1]);
        green.clone().max().unwrap_or(0) - green.min().unwrap_or(0)
    };
    assert!(spread(&middle(&hidden)) <= 4 && spread(&middle(&shown)) > 4, "a box is of one color");
}

#[test]
fn of_a_picture_the_face_s_number_is_enough_and_of_a_video_it_is_not() {
    let folder = temporary_folder();
    let faces = folder.path().join("face_{id}.png");
    succeed(&mut annotate(&astronaut(), &[&faces]));
    assert_eq!(names_in(folder.path()), ["face_0.png"]);
    // No box is drawn: the pixels are the picture's.
    let (crop, whole) = (read(&folder.path().join("face_0.png")), read(&astronaut()));
    let places =
        (0..=whole.width() - crop.width()).flat_map(|x| (0..=whole.height() - crop.height()).map(move |y| (x, y)));
    let first = crop.get_pixel(0, 0);
    let is_here = |&(x, y): &(u32, u32)| {
        whole.get_pixel(x, y) == first
            && crop.enumerate_pixels().all(|(dx, dy, pixel)| whole.get_pixel(x + dx, y + dy) == pixel)
    };
    assert!(places.into_iter().any(|place| is_here(&place)), "it is cut out of the picture");
    fail(&mut annotate(&demo_clip(), &[&faces]), 2, &["each frame", "{frame}_{id}"]);
    fail(emocam().args(["live", "demo", "--headless", "-o"]).arg(&faces), 2, &["{frame}_{id}"]);
}

#[test]
fn a_jpeg_shows_what_a_png_shows() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    succeed(&mut annotate(&astronaut(), &[&file("a.png"), &file("a.jpg"), &file("b.JPEG"), &file("n%03d.jpg")]));
    for name in ["a.jpg", "b.JPEG", "n000.jpg"] {
        let bytes = fs::read(file(name)).expect("a file");
        assert_eq!(image::guess_format(&bytes).expect("a picture"), image::ImageFormat::Jpeg);
        assert!(difference(&read(&file(name)), &read(&file("a.png"))) < 2.0, "{name}");
        assert_eq!(Record::inside(&file(name)).map(|record| record.whole), Some(true), "{name}");
    }
    fail(&mut annotate(&astronaut(), &[&file("a.jpg")]), 1, &["a.jpg exists already", "--force"]);
    fail(annotate(&demo_clip(), &[&file("c.jpg")]).args(["--frames", "2"]), 1, &["c.jpg is one picture"]);
}

#[test]
fn an_array_of_json_has_the_objects_of_the_lines() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    succeed(annotate(&demo_clip(), &[&file("o.json"), &file("o.jsonl")]).args(["--frames", "4"]));
    let array: Vec<Value> = serde_json::from_slice(&fs::read(file("o.json")).expect("a file")).expect("an array");
    assert_eq!(array, json_lines(&file("o.jsonl")));
    let record = Record::inside(&file("o.json.record.json")).expect("a record");
    assert_eq!(record.bytes, fs::metadata(file("o.json")).ok().map(|it| it.len()));
    // The same file twice is refused, whatever asks for it.
    let words = &["twice"];
    fail(annotate(&demo_clip(), &[&file("s.json")]).arg("--summary").arg(file("s.json")), 2, words);
}

/// Ctrl-C in the middle leaves an array all the same.
#[cfg(unix)]
#[test]
fn an_array_that_was_cut_off_is_an_array() {
    let folder = temporary_folder();
    let (whole, part) = (folder.path().join("o.json"), folder.path().join("o.part.json"));
    let pictures = folder.path().join("pictures");
    fs::create_dir(&pictures).expect("a folder");
    let first = pictures.join("0.jpg");
    fs::copy(astronaut(), &first).expect("a picture");
    // So many that the run can't be over before it is interrupted.
    for number in 1..2000 {
        fs::hard_link(&first, pictures.join(format!("{number}.jpg"))).expect("a link");
    }
    let mut running = crate::common::start(&mut annotate(&pictures, &[&whole]));
    running.wait_for("it has labelled a picture", || fs::metadata(&part).is_ok_and(|it| it.len() > 0).then_some(()));
    running.interrupt();
    crate::common::assert_exit(&running.finish(crate::common::LIMIT), 1, &["interrupted", "o.part.json"]);
    let array: Vec<Value> = serde_json::from_slice(&fs::read(&part).expect("a file")).expect("an array");
    assert!(!array.is_empty() && array.len() < 2000 && !whole.exists());
}

/// What ffprobe says of a file: `time,duration` of each packet of a kind of track.
fn times(path: &Path, kind: &str) -> Vec<f64> {
    let mut probe = Command::new("ffprobe");
    probe
        .args(["-v", "error", "-select_streams", kind, "-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(path);
    let output = probe.output().expect("ffprobe starts");
    let lines = text(&output.stdout);
    lines.lines().filter_map(|line| line.split(',').next()?.parse().ok()).collect()
}

#[test]
fn a_matroska_file_has_the_frames_the_times_and_the_sound_of_an_mp4() {
    let test = "a_matroska_file_has_the_frames_the_times_and_the_sound_of_an_mp4";
    if !ffmpeg() || !ffprobe() {
        return skip(test, "ffmpeg or ffprobe is not installed");
    }
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=30000/1001:duration=2"])
        .args(["-f", "lavfi", "-i", "sine=duration=2", "-c:v", "libx264", "-c:a", "flac"])
        .arg(file("in.mkv"))
        .status();
    assert!(made.expect("ffmpeg starts").success());
    let mut command = annotate(&file("in.mkv"), &[&file("o.mp4"), &file("o.mkv")]);
    succeed(command.arg("--clean").arg(file("c.mkv")));
    assert_eq!(names_in(folder.path()), ["c.mkv", "in.mkv", "o.mkv", "o.mp4"]);
    for name in ["o.mkv", "c.mkv"] {
        assert_eq!(fs::read(file(name)).expect("a file")[..4], [0x1a, 0x45, 0xdf, 0xa3], "EBML");
        let (video, expected) = (times(&file(name), "v"), times(&file("o.mp4"), "v"));
        assert!(video.len() == expected.len() && video.len() > 50);
        let most = video.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(most <= 0.001, "{name}: {most} s");
        assert_eq!(frames_of(&file(name)), video.len());
        let sound = times(&file(name), "a");
        assert!(sound.last().is_some_and(|last| (1.8..2.1).contains(last)), "{sound:?}");
        let record = Record::inside(&file(name)).expect("a record");
        assert!(record.whole && record.inputs[0].name == "in.mkv", "{record:?}");
    }
    fail(&mut annotate(&file("in.mkv"), &[&file("o.mkv")]), 1, &["o.mkv exists already"]);
}

#[test]
fn without_ffmpeg_matroska_is_refused_before_anything_is_made() {
    let folder = temporary_folder();
    let path = folder.path().join("o.mkv");
    let words = ["o.mkv", "ffmpeg, which is not installed", ".mp4"];
    for option in ["-o", "--clean"] {
        let mut command = emocam();
        command.args(["annotate", "demo", option]).arg(&path).env("PATH", folder.path());
        fail(&mut command, 1, &words);
    }
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn what_is_no_virtual_camera_is_refused_before_the_run() {
    let words: &[&str] = if cfg!(target_os = "linux") {
        &["/dev/video4711", "is not there", "sudo modprobe v4l2loopback video_nr=4711"]
    } else {
        &["only on Linux"]
    };
    fail(emocam().args(["live", "demo", "--headless", "-o", "/dev/video4711"]), 1, words);
    fail(emocam().args(["annotate", "demo", "-o", "/dev/video4711"]), 2, &["emocam live FILE -o /dev/video4711"]);
}
