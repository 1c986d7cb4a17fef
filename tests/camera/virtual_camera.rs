//! The virtual camera that emocam writes to, and what other programs see there.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::cases::{Case, Outcome, done};
use super::common::{names_in, temporary_folder};
use super::live::Live;
use super::pictures::yuyv;
use super::vivid;
use super::webcam::Webcam;

pub(crate) const CASES: &[Case] = &[
    ("a virtual camera and a reader", a_reader),
    ("a virtual camera whose reader sleeps", a_reader_that_sleeps),
    ("a virtual camera, run after run", run_after_run),
    ("a real camera for a virtual one", a_real_camera),
];

const PATH: &str = "/dev/video10";

/// Far more than it takes until a frame can be read.
const LIMIT: Duration = Duration::from_secs(20);

/// By how much a reader's bytes may be off in the mean: those of another frame of the same face are.
const CLOSE: f64 = 1.0;

fn reader(more: &[&str]) -> Command {
    let mut command = Command::new("v4l2-ctl");
    command.args(["-d", PATH, "--stream-mmap"]).args(more).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    command
}

/// Reads frames until there is one, whole, in a file.
fn read_frame(file: &Path) -> Vec<u8> {
    let target = format!("--stream-to={}", file.display());
    let deadline = Instant::now() + LIMIT;
    loop {
        let read = reader(&["--stream-count=1", &target]).status().expect("v4l2-ctl starts");
        let bytes = fs::read(file).unwrap_or_default();
        if read.success() && !bytes.is_empty() {
            return bytes;
        }
        assert!(Instant::now() < deadline, "no frame can be read from {PATH}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A frame that another program reads is one that emocam drew.
fn a_reader() -> Outcome {
    let webcam = Webcam::new();
    let folder = temporary_folder();
    let pictures = folder.path().join("%06d.png");
    let mut live = Live::start(&webcam.path(), &["-o", PATH, "-o", pictures.to_str().expect("a path of plain text")]);
    live.wait_for_more_frames();
    let frame = read_frame(&folder.path().join("frame.yuyv"));
    live.wait_for_more_frames();
    live.interrupt().assert(0, &[]);
    let names = names_in(folder.path()).into_iter().filter(|name| name.ends_with(".png"));
    let off = names.map(|name| {
        let picture = image::open(folder.path().join(name)).expect("a picture").into_rgb8();
        let drawn = yuyv(&picture);
        assert_eq!(frame.len(), drawn.len(), "640x480 in YUYV");
        let sum: u64 = frame.iter().zip(&drawn).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / frame.len() as f64
    });
    let off: Vec<f64> = off.collect();
    let least = off.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(
        least < CLOSE,
        "the frame that was read is off by {least:.2} levels from each of {} that were drawn",
        off.len()
    );
    // What is drawn changes from frame to frame, so it is not any of them.
    assert!(off.iter().any(|off| *off > 4.0 * least), "it may be any frame: {off:?}");
    done(format!("a reader's frame is one of {}, off by {least:.2} levels", off.len()))
}

/// A program that opens the device and reads nothing more.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(reader(&[]).spawn().expect("v4l2-ctl starts"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]).status();
        assert!(sent.expect("a shell starts").success(), "the reader has ended");
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_reader_that_sleeps() -> Outcome {
    let webcam = Webcam::new();
    let folder = temporary_folder();
    let mut live = Live::start(&webcam.path(), &["-o", PATH]);
    live.wait_for_more_frames();
    let _ = read_frame(&folder.path().join("frame.yuyv"));
    let sleeper = Sleeper::new();
    live.wait_for_more_frames();
    sleeper.signal("STOP");
    let since = Instant::now();
    let last = live.wait_for_frames(60, since);
    // The reader keeps the device open: another run goes on with it.
    live.interrupt().assert(0, &[]);
    Live::start(&webcam.path(), &["-o", PATH, "--frames", "10"]).end().assert(0, &[]);
    done(format!("60 frames in {:.1} s meanwhile", (last - since).as_secs_f64()))
}

fn run_after_run() -> Outcome {
    let webcam = Webcam::new();
    for _ in 0..3 {
        let ended = Live::start(&webcam.path(), &["-o", PATH, "--frames", "10"]).end();
        ended.assert(0, &[]);
        assert_eq!(ended.frames.len(), 10);
    }
    done("3 runs, one after the other")
}

fn a_real_camera() -> Outcome {
    let ended = Live::start("demo", &["-o", vivid::PATH]).end();
    ended.assert(1, &["is a camera", "no virtual one", "sudo modprobe v4l2loopback"]);
    assert!(ended.frames.is_empty());
    let ended = Live::start(vivid::PATH, &["-o", vivid::PATH]).end();
    ended.assert(1, &["is the input itself"]);
    done("it is told how to make one")
}
