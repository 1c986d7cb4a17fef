//! Cameras that are there and send nothing.

use std::time::{Duration, Instant};

use super::cases::{Case, Outcome, done, recovered};
use super::live::{AT_ONCE, Live};
use super::recording::Recording;
use super::webcam::Webcam;

pub(crate) const CASES: &[Case] = &[
    ("frozen for 1 s", for_one_second),
    ("frozen for 3 s", for_three_seconds),
    ("frozen for 8 s", for_eight_seconds),
    ("frozen from the start", from_the_start),
    ("frozen, and Ctrl-C", interrupted_at_once),
    ("frozen for 3 s, and Ctrl-C", interrupted_when_reported),
    ("frozen for 7 s, and Ctrl-C", interrupted_when_reopened),
    ("frozen from the start, and Ctrl-C", interrupted_at_the_start),
    ("frozen, --no-reconnect", without_reconnecting),
    ("hung for 8 s: control requests unanswered, too", hung),
    ("hung, and Ctrl-C", hung_and_interrupted),
    ("hung from the start", hung_at_the_start),
];

const NO_FRAME: &str = "no frame for 2 s";
const OPENING: &str = "no frame for 5 s; opening it again";

fn for_one_second() -> Outcome {
    let webcam = Webcam::new();
    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_more_frames();
    webcam.freeze();
    live.listen_for(Duration::from_secs(1));
    let again = thaw(&webcam, &mut live);
    let ended = live.interrupt();
    ended.assert_at_once();
    ended.assert_silent("no frame");
    recovered("nothing; frames go on", again)
}

fn for_three_seconds() -> Outcome {
    let webcam = Webcam::new();
    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_more_frames();
    webcam.freeze();
    let reported = reported_after(&mut live, Instant::now());
    live.listen_for(Duration::from_secs(1));
    let again = thaw(&webcam, &mut live);
    let ended = live.interrupt();
    ended.assert_at_once();
    ended.assert_silent(OPENING);
    recovered(format!("reported after {reported:.1} s"), again)
}

fn for_eight_seconds() -> Outcome {
    let webcam = Webcam::new();
    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_more_frames();
    webcam.freeze();
    let frozen = Instant::now();
    let reported = reported_after(&mut live, frozen);
    let reopened = (live.wait_for_line(OPENING) - frozen).as_secs_f64();
    live.listen_for(Duration::from_secs(8).saturating_sub(frozen.elapsed()));
    let again = thaw(&webcam, &mut live);
    live.interrupt().assert_at_once();
    recovered(format!("reported after {reported:.1} s, opened again after {reopened:.1} s"), again)
}

fn from_the_start() -> Outcome {
    let webcam = Webcam::new();
    webcam.freeze();
    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_line(NO_FRAME);
    live.wait_for_line(OPENING);
    let again = thaw(&webcam, &mut live);
    live.interrupt().assert_at_once();
    recovered("reported, opened again", again)
}

/// Ctrl-C while the camera is frozen: the program ends within a second, and its files are complete.
fn interrupt_after(line: Option<&str>) -> Outcome {
    let webcam = Webcam::new();
    let recording = Recording::new();
    let mut live = Live::start(&webcam.path(), &recording.arguments(&[]));
    live.wait_for_more_frames();
    webcam.freeze();
    match line {
        Some(line) => drop(live.wait_for_line(line)),
        // Until the last frames before it froze have come through.
        None => live.listen_for(Duration::from_millis(500)),
    }
    live.listen_for(Duration::from_millis(500));
    let ended = live.interrupt();
    ended.assert_at_once();
    recording.assert_whole(ended.frames.len());
    done(format!("ended in {:.2} s, files complete", ended.after.as_secs_f64()))
}

fn interrupted_at_once() -> Outcome {
    interrupt_after(None)
}

fn interrupted_when_reported() -> Outcome {
    interrupt_after(Some(NO_FRAME))
}

fn interrupted_when_reopened() -> Outcome {
    interrupt_after(Some(OPENING))
}

fn interrupted_at_the_start() -> Outcome {
    let webcam = Webcam::new();
    webcam.freeze();
    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_line(&webcam.path());
    live.listen_for(Duration::from_millis(500));
    let ended = live.interrupt();
    ended.assert_at_once();
    done(format!("ended in {:.2} s", ended.after.as_secs_f64()))
}

fn without_reconnecting() -> Outcome {
    let webcam = Webcam::new();
    let recording = Recording::new();
    let mut live = Live::start(&webcam.path(), &recording.arguments(&["--no-reconnect"]));
    live.wait_for_more_frames();
    webcam.freeze();
    let ended = live.end();
    ended.assert(1, &[&webcam.path(), "no frame for 5 s"]);
    ended.assert_silent("opening it again");
    recording.assert_whole(ended.frames.len());
    done(format!("exit code 1 after {:.1} s, files complete", ended.after.as_secs_f64()))
}

/// To open a camera again that answers nothing takes as long as the kernel waits for its answers, 5 s for each.
fn hung() -> Outcome {
    let webcam = Webcam::new();
    let mut live = Live::start(&webcam.path(), &[]);
    live.wait_for_more_frames();
    webcam.hang();
    let hung = Instant::now();
    let reported = reported_after(&mut live, hung);
    let reopened = (live.wait_for_line(OPENING) - hung).as_secs_f64();
    live.listen_for(Duration::from_secs(8).saturating_sub(hung.elapsed()));
    let again = thaw(&webcam, &mut live);
    live.interrupt().assert_at_once();
    recovered(format!("reported after {reported:.1} s, opened again after {reopened:.1} s"), again)
}

/// The kernel keeps the process, even one that is killed, until the camera has not answered the last request, the one
/// to stop. That is its 5 s again, which no program can make shorter: all that the program does itself must be done at
/// once.
fn hung_and_interrupted() -> Outcome {
    let webcam = Webcam::new();
    let recording = Recording::new();
    let mut live = Live::start(&webcam.path(), &recording.arguments(&[]));
    live.wait_for_more_frames();
    webcam.hang();
    live.listen_for(Duration::from_millis(500));
    let pressed = Instant::now();
    let ended = live.interrupt();
    ended.assert(0, &[]);
    recording.assert_whole(ended.frames.len());
    let done_after = ended.lines.last().expect("a summary").0 - pressed;
    assert!(done_after < AT_ONCE, "Ctrl-C took {:.1} s", done_after.as_secs_f64());
    let (done_after, after) = (done_after.as_secs_f64(), ended.after.as_secs_f64());
    done(format!("files complete in {done_after:.2} s; the kernel lets go of the process after {after:.1} s"))
}

fn hung_at_the_start() -> Outcome {
    let webcam = Webcam::new();
    webcam.hang();
    let live = Live::start(&webcam.path(), &[]);
    let ended = live.end();
    // The kernel gives up after 5 s, and so does the program: whichever is first has the last word.
    ended.assert(1, &["no answer for 2 s", &format!("error: camera {} ({})", webcam.index(), webcam.path())]);
    done(format!("reported after 2 s; exit code 1 after {:.1} s", ended.after.as_secs_f64()))
}

/// Waits until the camera is reported, and returns after how many seconds that was.
fn reported_after(live: &mut Live, frozen: Instant) -> f64 {
    (live.wait_for_line(NO_FRAME) - frozen).as_secs_f64()
}

/// Lets the camera go on. Returns how long it took until there was a frame.
fn thaw(webcam: &Webcam, live: &mut Live) -> Duration {
    webcam.thaw();
    let thawed = Instant::now();
    let again = live.wait_for_frames(1, thawed);
    live.wait_for_more_frames();
    again - thawed
}
