//! Cameras that go on, but not with good frames.

use std::iter::repeat_n;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::cases::{Case, Outcome, done, recovered};
use super::live::{Ended, Live, is_happy};
use super::pictures::Pictures;
use super::recording::Recording;
use super::vivid::{self, Vivid};
use super::webcam::Webcam;

pub(crate) const CASES: &[Case] = &[
    ("buffers flagged as wrong", flagged_buffers),
    ("one EINVAL", one_einval),
    ("EIO for ever", eio_for_ever),
    ("half JPEGs among good ones", half_jpegs),
    ("garbage among good JPEGs", garbage_among_good),
    ("JPEGs with trailing bytes", trailing_bytes),
    ("only garbage for 3 s", garbage_for_a_while),
    ("only half JPEGs for 7 s", half_jpegs_for_long),
];

/// Runs until so many frames are there. Returns how many of those had the face labelled, and how many were damaged.
fn see_frames(source: &str, frames: usize) -> (usize, u64) {
    let recording = Recording::new();
    let number = frames.to_string();
    let ended = Live::start(source, &recording.arguments(&["--frames", &number])).end();
    ended.assert(0, &[]);
    assert_eq!(ended.frames.len(), frames);
    ended.assert_silent("damaged frames");
    ended.assert_silent("opening it again");
    (ended.frames.iter().filter(|(_, frame)| is_happy(frame)).count(), recording.count("damaged"))
}

/// The longest time between two frames since a moment.
fn longest_gap(ended: &Ended, since: Instant) -> Duration {
    let times: Vec<_> = ended.frames.iter().map(|(at, _)| *at).filter(|at| *at >= since).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().expect("frames")
}

fn flagged_buffers() -> Outcome {
    let vivid = Vivid::new();
    let recording = Recording::new();
    let mut live = Live::start(vivid::PATH, &recording.arguments(&[]));
    live.wait_for_more_frames();
    let start = Instant::now();
    for _ in 0..5 {
        vivid.press("inject_v4l2_buf_flag_error");
        live.wait_for_frames(3, Instant::now());
    }
    let ended = live.interrupt();
    ended.assert_at_once();
    ended.assert_silent("opening it again");
    assert_eq!((recording.count("damaged"), recording.count("reconnects")), (5, 0));
    recovered("5 of 5 skipped and counted", longest_gap(&ended, start))
}

fn one_einval() -> Outcome {
    let vivid = Vivid::new();
    let mut live = Live::start(vivid::PATH, &[]);
    live.wait_for_more_frames();
    let start = Instant::now();
    vivid.press("inject_vidioc_qbuf_error");
    live.wait_for_frames(10, Instant::now());
    let ended = live.interrupt();
    ended.assert_at_once();
    ended.assert_silent("opening it again");
    recovered("frames go on", longest_gap(&ended, start))
}

fn eio_for_ever() -> Outcome {
    let vivid = Vivid::new();
    let mut live = Live::start(vivid::PATH, &[]);
    live.wait_for_more_frames();
    vivid.press("inject_fatal_streaming_error");
    let pressed = Instant::now();
    live.wait_for_line("reading fails");
    assert!(live.has_said("opening it again"));
    // Frames of before may still be on their way.
    let again = live.wait_for_frames(1, pressed + Duration::from_millis(200));
    live.wait_for_more_frames();
    live.interrupt().assert_at_once();
    recovered("reported, opened again", again - pressed)
}

fn half_jpegs() -> Outcome {
    let webcam = Webcam::playing(|p| vec![p.jpeg(), p.half(), p.jpeg(), p.jpeg()]);
    let (happy, damaged) = see_frames(&webcam.path(), 60);
    assert!(happy >= 55, "{happy} of 60 frames are good ones");
    // One frame in four; some of either kind may have been dropped.
    assert!(damaged >= 10, "{damaged} damaged frames");
    done(format!("{damaged} skipped and counted; face labelled in {happy} of 60 frames"))
}

fn garbage_among_good() -> Outcome {
    let webcam = Webcam::playing(|p| vec![p.jpeg(), p.garbage()]);
    let (happy, damaged) = see_frames(&webcam.path(), 60);
    assert!(happy >= 55, "{happy} of 60 frames are good ones");
    assert!(damaged >= 30, "{damaged} damaged frames");
    done(format!("{damaged} skipped and counted; face labelled in {happy} of 60 frames"))
}

fn trailing_bytes() -> Outcome {
    let webcam = Webcam::playing(|p| vec![p.trailing()]);
    let (happy, damaged) = see_frames(&webcam.path(), 60);
    assert!(happy >= 55, "{happy} of 60 frames are good ones");
    assert_eq!(damaged, 0);
    done(format!("face labelled in {happy} of 60 frames"))
}

/// Good frames for two seconds, bad ones, and good ones for longer than anyone looks.
fn good_bad_good(pictures: &Pictures, bad: PathBuf, seconds: usize) -> Vec<PathBuf> {
    let good = |seconds: usize| repeat_n(pictures.jpeg(), 30 * seconds);
    good(2).chain(repeat_n(bad, 30 * seconds)).chain(good(20)).collect()
}

fn garbage_for_a_while() -> Outcome {
    let webcam = Webcam::playing(|p| good_bad_good(p, p.garbage(), 3));
    let mut live = Live::start(&webcam.path(), &[]);
    let reported = live.wait_for_line("only damaged frames for 2 s");
    let again = live.wait_for_frames(1, reported);
    live.wait_for_more_frames();
    let ended = live.interrupt();
    ended.assert_at_once();
    ended.assert_silent("opening it again");
    let last_before = ended.frames.iter().rfind(|(at, _)| *at < reported).expect("good frames at first").0;
    let gap = (again - last_before).as_secs_f64();
    done(format!("reported; frames again after {gap:.1} s, with the first good one"))
}

fn half_jpegs_for_long() -> Outcome {
    let webcam = Webcam::playing(|p| good_bad_good(p, p.half(), 7));
    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_line("only damaged frames for 2 s");
    let reopened = live.wait_for_line("only damaged frames for 5 s; opening it again");
    let again = live.wait_for_frames(1, reopened);
    live.wait_for_more_frames();
    live.interrupt().assert_at_once();
    let after = (again - reopened).as_secs_f64();
    done(format!("reported, opened again; frames {after:.1} s later, with the first good one"))
}
