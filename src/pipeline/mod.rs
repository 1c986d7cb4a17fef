//! The stages, each in a thread of its own, and what flows between them, as the picture of the [crate] shows it.
//!
//! Owns threads, channels, the drop policy, and shutdown; no other file starts one that the run depends on. Two rules
//! end a run, and nothing else does: the end of the stream flows down as each stage drops its sender, and a wish to stop flows up as one
//! flag that only capture reads. So whatever was captured before an error still comes out at the end. Of several errors the
//! first one is reported. Which stages do what is the caller's: they come in as functions. Where every frame is delivered and
//! none before its time, classify may take several at once: it waits for them, and they go on one by one.

mod capture;
mod detect;
mod label;
mod record;
mod turns;

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Error, Result, anyhow};
use crossbeam::channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, bounded, unbounded};
use image::GrayImage;

pub use capture::DropPolicy;
use capture::{FrameSender, MOMENT, capture};
use detect::detect;
use label::label;
use record::record;
use turns::Turns;
pub use turns::most_in_time;

use crate::flow::emotion::Probabilities;
use crate::flow::frame::Frame;
use crate::flow::labelled::{Labelled, Losses};
use crate::flow::stop::Stop;
use crate::network::classify::FrameFaces;
use crate::sink::{Ending, Sink};
use crate::source::{Notice, Source};
use crate::track::Faces;

/// What the caller's thread is given.
#[derive(Debug)]
pub enum Event<'a> {
    /// The next frame, in order. Its picture, and which predictions are too weak to be sure, are up to the caller; recording
    /// sinks get it afterwards.
    Frame(&'a mut Labelled),
    /// Something that whoever watches should know, until a later frame comes.
    Notice(Notice),
    /// Something is being lost: whoever watches should know, and the run goes on.
    Warning(String),
    /// No frame for a moment: time to keep a window alive.
    Idle,
}

/// The stages' work.
pub struct Stages<'a, MakeDetect, Classify> {
    /// Where frames come from.
    pub source: &'a mut dyn Source,
    /// Makes the function that finds the faces of a frame, given in color and in grey, in the thread that will use it.
    pub make_detect: MakeDetect,
    /// Labels the faces of frames, one result per box of each; what it is given hears what whoever watches should know.
    pub classify: Classify,
    /// How many faces of a frame it is given at most, the others by turns in the next ones; `None` for all. Where every frame
    /// is delivered and none before its time, it is all in any case.
    pub faces_a_frame: Option<usize>,
    /// How many frames it is given at once, 1 or more, where every frame is delivered and none before its time; elsewhere it
    /// is 1. So many are in memory then.
    pub frames_at_once: usize,
    /// Outputs that take time; they get a thread of their own.
    pub recorders: Vec<Box<dyn Sink + Send>>,
    /// Whether the run is of use without them: then it goes on when one fails.
    pub survives_recorders: bool,
}

/// Frames of a live source that may wait for the recorder: a second of video, which a disk may take to wake up.
const RECORDER_QUEUE: usize = 32;

/// The most memory that they may take, in bytes: that second at 1280x720, picture and frame.
const RECORDER_QUEUE_BYTES: usize = 256 * 1024 * 1024;

/// What is said when the first frame is lost on its way to the recorder.
const TOO_SLOW: &str = "the recording loses frames: this machine or its disk is too slow for it";

/// Runs until the source ends, `stop` is requested, `present` breaks, or something fails. `present` is called on this
/// thread. What was captured before an error of the source or a request to stop has been presented and recorded when this
/// returns; after a break of `present` nothing more is. The recorders are finished in any case. Returned with the losses is
/// the first error of any stage; a panic in a stage is one.
pub fn run<MakeDetect, Detect, Classify>(
    stages: Stages<'_, MakeDetect, Classify>,
    drop_policy: DropPolicy,
    stop: &Stop,
    mut present: impl FnMut(Event<'_>) -> Result<ControlFlow<()>>,
) -> (Losses, Result<()>)
where
    MakeDetect: FnOnce() -> Result<Detect> + Send,
    Detect: FnMut(&Frame, &GrayImage) -> Result<Faces>,
    Classify: FnMut(&[FrameFaces<'_>], &mut dyn FnMut(String)) -> Result<Vec<Vec<Probabilities>>> + Send,
{
    let Stages { source, make_detect, classify, faces_a_frame, frames_at_once, recorders, survives_recorders } = stages;
    let frames_at_once = if drop_policy == DropPolicy::Every { frames_at_once.max(1) } else { 1 };
    let turns = Turns::new(faces_a_frame.filter(|_| drop_policy != DropPolicy::Every));
    let (frame_sender, frames) = bounded(1);
    let (detected_sender, detected) = bounded(1);
    let (labelled_sender, labelled) = bounded(2);
    // Past the stages: they wait for frames. There are few, and none may be lost.
    let (notice_sender, notices) = unbounded();
    let (warning_sender, warnings) = unbounded();
    let (record_sender, records) = bounded(if drop_policy == DropPolicy::Latest { RECORDER_QUEUE } else { 2 });
    let guard = Guard { stop, first_error: Mutex::new(None) };
    let (dropped, mut unrecorded) = (AtomicU64::new(0), 0);
    let displaced = (drop_policy == DropPolicy::Latest).then(|| frames.clone());
    thread::scope(|scope| {
        let (guard, dropped) = (&guard, &dropped);
        let frame_sender = FrameSender { sender: frame_sender, displaced, dropped };
        let ends = (frame_sender, notice_sender, warning_sender.clone());
        spawn(scope, guard, "capture", ends, move |(sender, notices, warnings)| {
            capture(source, sender, notices, warnings, drop_policy, stop)
        });
        spawn(scope, guard, "detect", (frames, detected_sender), move |(frames, sender)| {
            detect(&mut make_detect()?, frames_at_once, frames, sender)
        });
        let ends = (detected, labelled_sender, warning_sender.clone());
        spawn(scope, guard, "classify", ends, move |(detected, sender, warnings)| {
            label(classify, frames_at_once, turns, detected, sender, warnings)
        });
        let recorder = (!recorders.is_empty()).then_some(record_sender);
        spawn(scope, guard, "record", (records, warning_sender), move |(records, warnings)| {
            record(recorders, records, warnings, survives_recorders, || guard.ending(drop_policy))
        });
        guard.watch("present", || {
            let outcomes = Outcomes { labelled: &labelled, notices: &notices, warnings: &warnings };
            unrecorded = present_all(&outcomes, recorder.as_ref(), drop_policy, stop, &mut present)?;
            Ok(())
        });
        // Whatever is still on its way is not wanted any more.
        drop((labelled, recorder));
    });
    // What outputs had to say when they were completed.
    for warning in warnings.try_iter() {
        let _ = present(Event::Warning(warning));
    }
    let error = guard.first_error.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    (Losses { dropped: dropped.into_inner(), unrecorded }, error.map_or(Ok(()), Err))
}

/// Keeps the first error, and ends the run on any.
struct Guard<'a> {
    stop: &'a Stop,
    first_error: Mutex<Option<Error>>,
}

impl Guard<'_> {
    /// How the run ended, once every stage before the asking one is done. A live source has no end of its own.
    fn ending(&self, drop_policy: DropPolicy) -> Ending {
        let failed = self.first_error.lock().is_ok_and(|first| first.is_some());
        if drop_policy == DropPolicy::Every && (failed || self.stop.is_requested()) {
            Ending::CutOff
        } else {
            Ending::Whole
        }
    }

    fn watch(&self, stage: &str, work: impl FnOnce() -> Result<()>) {
        let outcome = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(anyhow!("the {stage} stage panicked: {}", panic_message(panic.as_ref()))));
        if let Err(error) = outcome {
            let mut first = self.first_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            first.get_or_insert(error);
            self.stop.request();
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Starts a stage in a named thread. Its ends of the channels are dropped last: when the stages beside it notice that it is
/// gone, its error is known already, and theirs comes second.
fn spawn<'scope, 'env, Ends: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, 'env>,
    guard: &'scope Guard<'_>,
    name: &'static str,
    ends: Ends,
    work: impl FnOnce(&Ends) -> Result<()> + Send + 'scope,
) {
    let stage = move || {
        guard.watch(name, || work(&ends));
        drop(ends);
    };
    let started = thread::Builder::new().name(name.into()).spawn_scoped(scope, stage);
    if let Err(error) = started {
        guard.watch(name, || Err(error).context(format!("the {name} thread can't be started")));
    }
}

/// What comes to the caller's thread.
struct Outcomes<'a> {
    labelled: &'a Receiver<Labelled>,
    notices: &'a Receiver<Notice>,
    warnings: &'a Receiver<String>,
}

/// Returns how many frames the recorder could not take in time.
fn present_all(
    outcomes: &Outcomes<'_>,
    recorder: Option<&Sender<Arc<Labelled>>>,
    drop_policy: DropPolicy,
    stop: &Stop,
    present: &mut impl FnMut(Event<'_>) -> Result<ControlFlow<()>>,
) -> Result<u64> {
    let mut unrecorded = 0;
    loop {
        let next = outcomes.labelled.recv_timeout(MOMENT);
        // A notice is older than a frame that was taken after it.
        for notice in outcomes.notices.try_iter() {
            // A wish to stop is heard at the next frame or moment.
            let _ = present(Event::Notice(notice))?;
        }
        for warning in outcomes.warnings.try_iter() {
            let _ = present(Event::Warning(warning))?;
        }
        match next {
            Ok(mut labelled) => {
                let flow = present(Event::Frame(&mut labelled))?;
                if let Some(recorder) = recorder {
                    let labelled = Arc::new(labelled);
                    if drop_policy != DropPolicy::Latest {
                        send_patiently(recorder, labelled, present)?;
                    } else if (recorder.len() + 1) * memory_of(&labelled) > RECORDER_QUEUE_BYTES
                        || matches!(recorder.try_send(labelled), Err(TrySendError::Full(_)))
                    {
                        unrecorded += 1;
                        if unrecorded == 1 {
                            let _ = present(Event::Warning(TOO_SLOW.to_owned()))?;
                        }
                    }
                }
                if flow.is_break() {
                    stop.request();
                    return Ok(unrecorded);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if present(Event::Idle)?.is_break() {
                    stop.request();
                    return Ok(unrecorded);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(unrecorded),
        }
    }
}

/// Bytes of a frame and of its picture.
fn memory_of(labelled: &Labelled) -> usize {
    labelled.frame.rgb.len() * if labelled.picture.is_some() { 2 } else { 1 }
}

/// Waits until the recorder has room, and keeps the window alive meanwhile. A recorder that has failed takes nothing and
/// has said why.
fn send_patiently(
    recorder: &Sender<Arc<Labelled>>,
    mut labelled: Arc<Labelled>,
    present: &mut impl FnMut(Event<'_>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    while let Err(SendTimeoutError::Timeout(back)) = recorder.send_timeout(labelled, MOMENT) {
        labelled = back;
        // A wish to stop is heard at the next frame, after this one is safe.
        let _ = present(Event::Idle)?;
    }
    Ok(())
}
