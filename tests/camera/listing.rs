//! `emocam cameras`.

use serde_json::Value;

use super::cases::{Case, Outcome, done};
use super::common::{emocam, fail, succeed, text};
use super::live::Live;
use super::vivid::{Vivid, WithoutVivid};
use super::webcam::{NAME, Webcam};

pub(crate) const CASES: &[Case] =
    &[("emocam cameras", as_text), ("emocam cameras --json", as_json), ("no camera at all", no_camera)];

fn as_text() -> Outcome {
    let _vivid = Vivid::new();
    let webcam = Webcam::new();
    let list = text(&succeed(emocam().arg("cameras")).stdout);
    for words in [NAME, &webcam.path(), "MJPEG", "YUYV", "NV12", "UYVY", "BGR3", "640x480", "vivid"] {
        assert!(list.contains(words), "{words:?} is not in:\n{list}");
    }
    assert!(!list.contains(&webcam.metadata_path()), "it is no camera:\n{list}");
    done("lists vivid and the webcam, not its metadata node")
}

/// The cameras in JSON.
fn cameras() -> Vec<Value> {
    let json = text(&succeed(emocam().args(["cameras", "--json"])).stdout);
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}:\n{json}"))
}

fn as_json() -> Outcome {
    let _vivid = Vivid::new();
    let webcam = Webcam::new();
    let free = cameras();
    let paths: Vec<_> = free.iter().map(|camera| camera["path"].as_str().expect("a path")).collect();
    assert_eq!(paths, ["/dev/video0", &webcam.path()]);
    assert_eq!(free[1]["index"], webcam.index());
    assert!(free[1]["name"].as_str().expect("a name").contains(NAME), "{}", free[1]);
    assert_eq!(free[1]["in_use_by"], Value::Array(vec![]));
    for pixel_format in ["MJPEG", "YUYV"] {
        let formats = free[1]["formats"].as_array().expect("a list of formats");
        let matches = |format: &&Value| format["pixel_format"] == pixel_format;
        let format = formats.iter().find(matches).unwrap_or_else(|| panic!("no {pixel_format} in {formats:?}"));
        assert_eq!((&format["width"], &format["height"]), (&640.into(), &480.into()), "{format}");
        assert!(format["fps"].to_string().contains("30"), "{format}");
    }

    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_more_frames();
    let busy = cameras();
    let users = busy[1]["in_use_by"].as_array().expect("a list of programs");
    assert!(matches!(&users[..], [user] if user["program"] == "emocam" && user["pid"].is_u64()), "{users:?}");
    live.wait_for_more_frames();
    live.interrupt().assert(0, &[]);
    done("lists both, and which process uses the webcam")
}

fn no_camera() -> Outcome {
    let _gone = WithoutVivid::new();
    fail(emocam().arg("cameras"), 1, &["no camera was found"]);
    done("exit code 1: no camera was found")
}
