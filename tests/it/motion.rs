//! Faces in motion, end to end: made videos go through the real binary.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::common::{astronaut, emocam, fail, ffmpeg, lines_of, skip, temporary_folder};

const SIZE: (u32, u32) = (640, 480);

/// The astronaut's head in this width; the face is about half as wide.
fn head(width: u32) -> RgbImage {
    let picture = astronaut();
    let picture = image::open(picture).expect("a picture").to_rgb8();
    let head = imageops::crop_imm(&picture, picture.width() / 4, 0, picture.width() * 2 / 5, picture.height() * 2 / 5);
    imageops::resize(&head.to_image(), width, width, FilterType::Triangle)
}

fn background() -> RgbImage {
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([(90 + (x * 7 + y * 13) % 31) as u8, 110, 120]))
}

/// Makes a video of 30 frames a second; `None`, with the reason, where there is no ffmpeg.
fn video(test: &str, folder: &Path, frames: impl Iterator<Item = RgbImage>) -> Option<PathBuf> {
    if !ffmpeg() {
        skip(test, "no ffmpeg");
        return None;
    }
    let path = folder.join("made.mp4");
    let mut command = Command::new("ffmpeg");
    command.args(["-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "640x480", "-r", "30", "-i", "-"]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p"]).arg(&path);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("ffmpeg starts");
    let mut pipe = child.stdin.take().expect("stdin is piped");
    frames.for_each(|frame| pipe.write_all(&frame).expect("ffmpeg reads"));
    drop(pipe);
    assert!(child.wait().expect("ffmpeg ends").success());
    Some(path)
}

fn lines(video: &Path, arguments: &[&str]) -> Vec<Value> {
    lines_of(emocam().arg("annotate").arg(video).args(["-o", "-"]).args(arguments))
}

/// Number and middle of each face.
fn faces(line: &Value) -> Vec<(u64, f64)> {
    let of = |face: &Value| {
        let (left, width) = (&face["box"]["x"], &face["box"]["width"]);
        Some((face["id"].as_u64()?, left.as_f64()? + width.as_f64()? / 2.0))
    };
    line["faces"].as_array().expect("faces").iter().map(|face| of(face).expect("a face")).collect()
}

#[test]
fn two_people_who_cross_keep_their_ids() {
    let folder = temporary_folder();
    let (behind, before) = (head(180), imageops::flip_horizontal(&head(200)));
    let frames = (0..120i64).map(|i| {
        let mut frame = background();
        imageops::overlay(&mut frame, &behind, 10 + 4 * i, 110);
        imageops::overlay(&mut frame, &before, 430 - 4 * i, 120);
        frame
    });
    let Some(video) = video("two_people_who_cross_keep_their_ids", folder.path(), frames) else { return };
    let lines = lines(&video, &[]);
    let side = |line: &Value| -> BTreeSet<(u64, bool)> {
        faces(line).into_iter().map(|(id, middle)| (id, middle > 320.0)).collect()
    };
    let (first, last) = (side(&lines[10]), side(&lines[115]));
    assert_eq!(first.len(), 2, "{}", lines[10]);
    assert_eq!(last, first.iter().map(|&(id, right)| (id, !right)).collect(), "{}", lines[115]);
}

#[test]
fn a_hand_over_the_face_makes_no_new_id() {
    let folder = temporary_folder();
    let head = head(240);
    let frames = (0..90i64).map(|i| {
        let mut frame = background();
        imageops::overlay(&mut frame, &head, 150 + i, 100);
        // For 0.8 s something covers it.
        if (30..54).contains(&i) {
            let hand = RgbImage::from_fn(170, 200, |x, y| Rgb([190, 140 + (x % 9) as u8, 120 + (y % 7) as u8]));
            imageops::overlay(&mut frame, &hand, 185 + i, 120);
        }
        frame
    });
    let Some(video) = video("a_hand_over_the_face_makes_no_new_id", folder.path(), frames) else { return };
    let lines = lines(&video, &[]);
    let ids: BTreeSet<u64> = lines.iter().flat_map(|line| faces(line).into_iter().map(|(id, _)| id)).collect();
    assert_eq!(ids, [0].into(), "one person");
    assert!(lines[50]["faces"].as_array().expect("faces").is_empty(), "the face is hidden: {}", lines[50]);
    assert!(lines[60..].iter().all(|line| faces(line).len() == 1), "it is found again at once");
}

#[test]
fn of_a_crowd_the_largest_are_labelled_and_the_rest_is_counted() {
    let folder = temporary_folder();
    let crowd: Vec<RgbImage> = (0..96).map(|i| head(50 + i % 3)).collect();
    let frames = (0..12i64).map(|shift| {
        let mut frame = background();
        for (i, head) in (0i64..).zip(&crowd) {
            imageops::overlay(&mut frame, head, (i % 12) * 53 + shift / 4, (i / 12) * 59 + 4);
        }
        frame
    });
    let test = "of_a_crowd_the_largest_are_labelled_and_the_rest_is_counted";
    let Some(video) = video(test, folder.path(), frames) else { return };
    let stats = folder.path().join("stats.json");
    let stats_path = stats.to_str().expect("a name that is text");
    let lines = lines(&video, &["--min-face", "20", "--stats", stats_path]);
    assert!(lines.iter().all(|line| faces(line).len() == 64), "{}", lines[0]);
    let stats: Value = serde_json::from_slice(&std::fs::read(stats).expect("statistics")).expect("JSON");
    let ignored = stats["ignored_faces"].as_u64().expect("a number");
    assert!((12 * 20..12 * 40).contains(&ignored), "{ignored} faces ignored in 12 frames");
    let most = stats["ignored_faces_most"].as_u64().expect("a number");
    assert!(12 * most >= ignored && most < ignored, "at most {most} in a frame, {ignored} in all");
    assert_eq!((&stats["smallest_face"], &stats["unread_faces"]), (&20.into(), &0.into()));
    // ffmpeg decoded the video.
    assert!(stats["children_cpu_percent_of_one_core"].as_f64() > Some(0.0), "{stats:#}");
}

#[test]
fn live_reads_so_many_faces_a_frame_and_each_in_its_turn() {
    let folder = temporary_folder();
    let head = head(100);
    let frames = (0..12i64).map(|shift| {
        let mut frame = background();
        (0..16i64).for_each(|i| imageops::overlay(&mut frame, &head, (i % 4) * 150 + shift / 4, (i / 4) * 115 + 8));
        frame
    });
    let test = "live_reads_so_many_faces_a_frame_and_each_in_its_turn";
    let Some(video) = video(test, folder.path(), frames) else { return };
    let mut live = emocam();
    live.arg("live").arg(video).args(["--headless", "--labels", "4", "-o", "-"]);
    let lines = lines_of(&mut live);
    for (number, line) in (1..).zip(&lines) {
        let faces = line["faces"].as_array().expect("faces");
        assert_eq!(faces.len(), 16.min(4 * number), "frame {number}");
        assert_eq!(faces.iter().filter(|face| face["read"] == true).count(), 4, "frame {number}");
    }
}

#[test]
fn noise_and_darkness_hold_no_face() {
    let folder = temporary_folder();
    let mut state = 1u32;
    let frames = (0..40).map(|i| {
        RgbImage::from_fn(SIZE.0, SIZE.1, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i < 20 { Rgb([(state >> 24) as u8; 3]) } else { Rgb([0; 3]) }
        })
    });
    let Some(video) = video("noise_and_darkness_hold_no_face", folder.path(), frames) else { return };
    let lines = lines(&video, &[]);
    assert_eq!(lines.len(), 40);
    assert!(lines.iter().all(|line| faces(line).is_empty()));
}

#[test]
fn dials_that_make_no_sense_are_clear_errors() {
    let annotate = |arguments: &[&str], code: i32, words: &[&str]| {
        fail(emocam().args(["annotate", "demo", "--frames", "2"]).args(arguments), code, words);
    };
    annotate(&["--min-face", "5000"], 1, &["5000", "640x480", "--min-face"]);
    annotate(&["--min-face", "1"], 1, &["640x480", "larger"]);
    annotate(&["--min-face", "0"], 2, &["--min-face"]);
    annotate(&["--detect-every", "0"], 2, &["--detect-every"]);
    annotate(&["--smoothing", "-20"], 2, &["--smoothing", "-20"]);
    annotate(&["--threads", "0"], 2, &["--threads"]);
}

#[test]
fn smoothing_is_for_motion_and_can_be_turned_off() {
    let probabilities = |arguments: &[&str]| {
        let lines = lines(Path::new("demo"), &[&["--frames", "90"], arguments].concat());
        let happy = |line: &Value| line["faces"][0]["probabilities"]["Happy"].as_f64();
        lines.iter().filter_map(happy).collect::<Vec<f64>>()
    };
    let travelled = |values: &[f64]| values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f64>();
    let (raw, smooth) = (probabilities(&["--smoothing", "0"]), probabilities(&[]));
    assert_eq!(raw.len(), smooth.len());
    assert!(travelled(&smooth) < travelled(&raw), "{} of {}", travelled(&smooth), travelled(&raw));
}
