//! Cameras that open, by every name and in every format, and those that can't be opened.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::cases::{Case, Outcome, done};
use super::common::{assert_exit, names_in, run, temporary_folder};
use super::live::{Ended, Live, is_happy, numbers};
use super::vivid::{self, Vivid};
use super::webcam::{NAME, Webcam};

pub(crate) const CASES: &[Case] = &[
    ("a face in MJPG", face_in_mjpg),
    ("a face in YUYV", face_in_yuyv),
    ("NV12", || bars_in("nv12")),
    ("UYVY, as capture cards have it", || bars_in("uyvy")),
    ("YV12", || bars_in("yv12")),
    ("BGR3", || bars_in("bgr3")),
    ("named by an index", by_index),
    ("named by a part of its name", by_name),
    ("a name that no camera has", by_no_name),
    ("a format that it does not have", other_format),
    ("a pixel format that it does not have", other_pixel_format),
    ("left at RGB and 12.5 fps by another program", left_odd),
    ("in use by another program", busy),
    ("no permission", no_permission),
    ("no such index", no_such_index),
    ("no such path", no_such_path),
    ("a node that is no camera", metadata_node),
    ("it can't be started", streamon_fails),
];

/// Frames of each run: the first have no label yet.
const FRAMES: usize = 30;

/// Runs until the face has been seen for a while, and returns how many frames had it labelled.
fn see_the_face(source: &str, more: &[&str], words: &str) -> Outcome {
    let frames = FRAMES.to_string();
    let ended = Live::start(source, &[&["--frames", &frames], more].concat()).end();
    ended.assert(0, &[NAME, words]);
    assert_eq!(ended.frames.len(), FRAMES);
    let happy = ended.frames.iter().filter(|(_, frame)| is_happy(frame)).count();
    assert!(happy >= FRAMES - 5, "the face was labelled Happy in {happy} of {FRAMES} frames");
    done(format!("labelled Happy in {happy} of {FRAMES} frames"))
}

fn face_in_mjpg() -> Outcome {
    let webcam = Webcam::new();
    see_the_face(&webcam.path(), &[], ", 640x480 MJPEG at 30 fps")
}

fn face_in_yuyv() -> Outcome {
    let webcam = Webcam::new();
    see_the_face(&webcam.path(), &["--camera-format", "640x480@30:yuyv"], ", 640x480 YUYV at 30 fps")
}

/// The test camera's bars of color have to come out in their colors. By how much frames are off the beat of 25 a second is
/// shown: the driver keeps it as well as this machine lets it.
fn bars_in(pixels: &str) -> Outcome {
    let _vivid = Vivid::new();
    let folder = temporary_folder();
    let pictures = folder.path().join("%06d.png");
    let (format, files) = (format!("640x480@25:{pixels}"), pictures.to_str().expect("a path of plain text"));
    let ended = Live::start(vivid::PATH, &["--camera-format", &format, "--frames", "10", "-o", files]).end();
    ended.assert(0, &[&format!("640x480 {} at 25 fps", pixels.to_uppercase())]);
    assert_eq!(ended.frames.len(), 10);
    let first = names_in(folder.path()).into_iter().find(|name| name.ends_with(".png")).expect("a picture");
    let picture = image::open(folder.path().join(first)).expect("a picture").into_rgb8();
    let off = (0..).zip(vivid::BARS).map(|(bar, color)| {
        // Below the text that is in the picture.
        let found = picture.get_pixel(40 + 80 * bar, 400).0;
        found.iter().zip(color).map(|(found, expected)| found.abs_diff(expected)).max().expect("three channels")
    });
    let off = off.max().expect("eight bars");
    assert!(off < 24, "a bar is off by {off} levels");
    let times: Vec<f64> = ended.frames.iter().map(|(_, frame)| numbers(frame).1).collect();
    let beats = times.windows(2).map(|pair| 25.0 * (pair[1] - pair[0]));
    let jitter = beats.map(|beats| (beats - beats.round()).abs() / 25.0).fold(0.0, f64::max);
    done(format!("bars off by {off} levels, frames by up to {:.1} ms", 1000.0 * jitter))
}

fn by_index() -> Outcome {
    let webcam = Webcam::new();
    see_the_face(&webcam.index().to_string(), &[], &format!("camera {0} (/dev/video{0})", webcam.index()))
}

fn by_name() -> Outcome {
    let webcam = Webcam::new();
    see_the_face("camRIG", &[], &format!("camera {0} (/dev/video{0})", webcam.index()))
}

fn by_no_name() -> Outcome {
    let _webcam = Webcam::new();
    refused(&["C920"], &["C920"])
}

fn other_format() -> Outcome {
    let webcam = Webcam::new();
    see_the_face(&webcam.path(), &["--camera-format", "1280x720@30"], "asked for")
}

fn other_pixel_format() -> Outcome {
    let webcam = Webcam::new();
    see_the_face(&webcam.path(), &["--camera-format", "640x480@30:nv12"], "asked for")
}

fn left_odd() -> Outcome {
    let vivid = Vivid::new();
    vivid.set("width=1280,height=720,pixelformat=RGB3", "12.5");
    let state = vivid.state();
    assert!(state.contains("RGB3") && state.contains("12.5"), "{state}");
    let ended = Live::start(vivid::PATH, &["--frames", "10"]).end();
    ended.assert(0, &["640x480"]);
    assert_eq!(ended.frames.len(), 10);
    done("set right; frames")
}

/// Runs to an error that it must find at once: what it said in its first line is what it did.
fn refused(arguments: &[&str], words: &[&str]) -> Outcome {
    let ended = Live::start(arguments[0], &arguments[1..]).end();
    refusal(&ended, words)
}

fn refusal(ended: &Ended, words: &[&str]) -> Outcome {
    ended.assert(1, words);
    assert!(ended.after < Duration::from_secs(10), "it took {:.1} s to say no", ended.after.as_secs_f64());
    assert!(ended.frames.is_empty());
    done(format!("exit code 1: {}", words.join(" ... ")))
}

fn busy() -> Outcome {
    let webcam = Webcam::new();
    let mut other = Command::new("v4l2-ctl");
    other.args(["-d", &webcam.path(), "--stream-mmap", "--stream-count=0"]);
    let mut other = other.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("v4l2-ctl");
    // It holds the camera once it has set it up.
    let start = Instant::now();
    let is_free = || {
        let mut set = Command::new("v4l2-ctl");
        set.args(["-d", &webcam.path(), "--set-fmt-video=pixelformat=YUYV"]);
        run(&mut set).status.success()
    };
    while is_free() {
        assert!(start.elapsed() < Duration::from_secs(20), "v4l2-ctl does not take the camera");
    }
    let outcome = refused(&[&webcam.path()], &["in use by v4l2-ctl", &format!("(process {})", other.id())]);
    other.kill().expect("a running child can be killed");
    other.wait().expect("a killed child ends");
    outcome
}

fn no_permission() -> Outcome {
    let webcam = Webcam::new();
    fs::set_permissions(webcam.path(), Permissions::from_mode(0o660)).expect("root may");
    // Where the program lies, another user may not be allowed to look.
    let folder = temporary_folder();
    let program = folder.path().join("emocam");
    fs::copy(env!("CARGO_BIN_EXE_emocam"), &program).expect("a copy");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("root may");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command.args(["live", &webcam.path(), "--headless"]).current_dir("/");
    let output = run(&mut command);
    assert_exit(&output, 1, &["group `video`", &webcam.path()]);
    done("exit code 1: group `video`")
}

fn no_such_index() -> Outcome {
    refused(&["9"], &["there is no such device", "emocam cameras"])
}

fn no_such_path() -> Outcome {
    refused(&["/dev/video9"], &["there is no such device", "emocam cameras"])
}

fn metadata_node() -> Outcome {
    let webcam = Webcam::new();
    refused(&[&webcam.metadata_path()], &["is no camera"])
}

fn streamon_fails() -> Outcome {
    let vivid = Vivid::new();
    // The button makes the next start fail. It must not be left pressed.
    vivid.press("inject_vidioc_streamon_error");
    let outcome = refused(&[vivid::PATH], &["cannot start"]);
    assert!(File::open(vivid::PATH).is_ok());
    outcome
}
