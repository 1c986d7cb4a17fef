//! Cameras that go, and come back.

use std::fs::File;
use std::time::{Duration, Instant};

use super::cases::{Case, Outcome, done, recovered};
use super::live::{Live, numbers};
use super::recording::Recording;
use super::webcam::{NAME, Webcam};

pub(crate) const CASES: &[Case] = &[
    ("unplugged, and back", back),
    ("unplugged, and back on another index", back_elsewhere),
    ("unplugged, and another one of its name is there", another_of_its_name),
    ("unplugged, --no-reconnect", without_reconnecting),
    ("unplugged, and Ctrl-C", interrupted),
    ("unplugged and back while frozen", frozen_and_unplugged),
    ("unplugged and back, 50 times", fifty_times),
];

const UNPLUGGED: &str = "unplugged; waiting for it to come back";

/// Rounds of the last case.
const ROUNDS: usize = 50;

fn back() -> Outcome {
    let mut webcam = Webcam::new();
    let recording = Recording::new();
    let mut live = Live::start(&webcam.path(), &recording.arguments(&[]));
    live.wait_for_more_frames();
    let index = webcam.index();
    webcam.unplug();
    let unplugged = Instant::now();
    let reported = (live.wait_for_line(UNPLUGGED) - unplugged).as_secs_f64();
    assert!(live.has_said(&format!("camera {index} (/dev/video{index}): {UNPLUGGED}")));
    live.listen_for(Duration::from_secs(1));
    let plugged = Instant::now();
    let again = plug(&mut webcam, &mut live);
    assert_eq!(webcam.index(), index);
    live.wait_for_line(&format!("camera {index} (/dev/video{index}): {NAME}, 640x480 MJPEG at 30 fps"));
    live.wait_for_line("frames again after");
    let ended = live.interrupt();
    ended.assert_at_once();

    // Numbers and times go on, the faces are new ones.
    let all: Vec<_> = ended.frames.iter().map(|(at, frame)| (*at, numbers(frame))).collect();
    assert!(all.is_sorted_by(|(_, a), (_, b)| a.0 < b.0 && a.1 < b.1), "numbers and times rise");
    let (before, after): (Vec<_>, Vec<_>) = all.iter().partition(|(at, _)| *at < plugged);
    let gap = after[0].1.1 - before.last().expect("frames").1.1;
    assert!(gap >= 1.0, "the time that the camera was away is missing: {gap:.2} s");
    let highest = before.iter().flat_map(|(_, (_, _, ids))| ids).max().expect("a face");
    let lowest = after.iter().flat_map(|(_, (_, _, ids))| ids).min().expect("a face again");
    assert!(lowest > highest, "id {lowest} was used before");
    recording.assert_whole(all.len());
    assert_eq!(recording.count("reconnects"), 1);
    recovered(format!("reported after {reported:.2} s, taken again"), again)
}

fn back_elsewhere() -> Outcome {
    let mut webcam = Webcam::new();
    let index = webcam.index();
    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_more_frames();
    // For as long as somebody has the old node open, its number is taken.
    let holder = File::open(webcam.path()).expect("a second one may open it");
    webcam.unplug();
    live.wait_for_line(UNPLUGGED);
    let again = plug(&mut webcam, &mut live);
    let new = webcam.index();
    assert_ne!(new, index);
    live.wait_for_line(&format!("camera {new} (/dev/video{new}): {NAME}, 640x480 MJPEG at 30 fps"));
    drop(holder);
    live.interrupt().assert_at_once();
    recovered(format!("taken again: it was camera {index}, it is camera {new}"), again)
}

fn another_of_its_name() -> Outcome {
    let mut webcam = Webcam::new();
    let other = Webcam::second();
    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_more_frames();
    webcam.unplug();
    let reported = live.wait_for_line(UNPLUGGED);
    live.listen_for(Duration::from_secs(3));
    assert!(!live.has_open(&other.path()), "it took the other camera");
    let late = live.frames().iter().filter(|(at, _)| *at > reported + Duration::from_secs(1)).count();
    assert_eq!(late, 0, "frames of another camera");
    let again = plug(&mut webcam, &mut live);
    assert!(live.has_open(&webcam.path()) && !live.has_open(&other.path()));
    live.interrupt().assert_at_once();
    recovered("left the other alone, took its own again", again)
}

fn without_reconnecting() -> Outcome {
    let mut webcam = Webcam::new();
    let recording = Recording::new();
    let mut live = Live::start(&webcam.path(), &recording.arguments(&["--no-reconnect"]));
    live.wait_for_more_frames();
    let path = webcam.path();
    webcam.unplug();
    let ended = live.end();
    ended.assert(1, &[&path, "unplugged"]);
    ended.assert_silent("waiting for it");
    recording.assert_whole(ended.frames.len());
    done(format!("exit code 1 after {:.2} s, files complete", ended.after.as_secs_f64()))
}

fn interrupted() -> Outcome {
    let mut webcam = Webcam::new();
    let recording = Recording::new();
    let mut live = Live::start(&webcam.path(), &recording.arguments(&[]));
    live.wait_for_more_frames();
    webcam.unplug();
    live.wait_for_line(UNPLUGGED);
    live.listen_for(Duration::from_millis(500));
    let ended = live.interrupt();
    ended.assert_at_once();
    recording.assert_whole(ended.frames.len());
    done(format!("ended in {:.2} s, files complete", ended.after.as_secs_f64()))
}

fn frozen_and_unplugged() -> Outcome {
    let mut webcam = Webcam::new();
    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_more_frames();
    webcam.freeze();
    live.wait_for_line("no frame for 2 s");
    webcam.unplug();
    live.wait_for_line(UNPLUGGED);
    let again = plug(&mut webcam, &mut live);
    live.interrupt().assert_at_once();
    recovered("reported, taken again", again)
}

fn fifty_times() -> Outcome {
    let mut webcam = Webcam::new();
    let recording = Recording::new();
    let mut live = Live::start(&webcam.path(), &recording.arguments(&[]));
    live.wait_for_more_frames();
    let mut slowest = Duration::ZERO;
    let mut before = live.held();
    for round in 0..ROUNDS {
        // What is made once, such as the buffers of a first reconnection, is no leak.
        if round == 2 {
            before = live.held();
        }
        webcam.unplug();
        live.wait_for_line(UNPLUGGED);
        slowest = slowest.max(plug(&mut webcam, &mut live));
    }
    let after = live.held();
    let ended = live.interrupt();
    ended.assert_at_once();
    assert_eq!((after.descriptors, after.threads), (before.descriptors, before.threads));
    let growth = after.memory_mib - before.memory_mib;
    assert!(growth < 16.0, "memory has grown from {:.1} to {:.1} MiB", before.memory_mib, after.memory_mib);
    let reports = ended.lines.iter().filter(|(_, line)| line.contains(UNPLUGGED)).count();
    assert_eq!(reports, ROUNDS);
    assert_eq!(recording.count("reconnects"), ROUNDS as u64);
    recording.assert_whole(ended.frames.len());
    let what = format!(
        "taken again each time; {} descriptors, {} threads, {:.0} MiB and {growth:+.1}; the recording plays",
        after.descriptors, after.threads, before.memory_mib
    );
    recovered(what, slowest)
}

/// Plugs the webcam in. Returns how long it took from then until there was a frame.
fn plug(webcam: &mut Webcam, live: &mut Live) -> Duration {
    webcam.plug();
    let plugged = Instant::now();
    let again = live.wait_for_frames(1, plugged);
    live.wait_for_more_frames();
    again - plugged
}
