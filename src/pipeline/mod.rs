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
mod present;
mod turns;
mod write;

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Error, Result, anyhow};
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use image::GrayImage;

pub use capture::DropPolicy;
use capture::{FrameSender, InFlight, MOMENT, capture};
use detect::detect;
use label::label;
use present::{Outcomes, Outlets, RECORDER_QUEUE, TABLE_QUEUE, present_all};
use turns::Turns;
pub use turns::most_in_time;
use write::{Last, Living, write};

use crate::flow::emotion::Probabilities;
use crate::flow::frame::Frame;
use crate::flow::labelled::{Labelled, Losses, Mark};
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
    /// No frame comes any more: what was marked and went along with none is to be put here, and outputs get it.
    End(&'a mut Vec<Mark>),
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
    /// Outputs that take lines of text: every frame that is presented is written, and waited for.
    pub tables: Vec<Box<dyn Sink + Send>>,
    /// Outputs that take time: of a live source frames are lost where they are too slow.
    pub recorders: Vec<Box<dyn Sink + Send>>,
    /// Whether the run is of no use when none of its outputs can be written any more.
    pub needs_outputs: bool,
}

/// Frames on their way between the source and the caller where somebody waits for them: one in each stage. A slow window
/// costs frames then, and never makes the picture late.
const CREDIT: usize = 3;

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
    let Stages { source, make_detect, classify, faces_a_frame, frames_at_once, tables, recorders, needs_outputs } =
        stages;
    let frames_at_once = if drop_policy == DropPolicy::Every { frames_at_once.max(1) } else { 1 };
    let turns = Turns::new(faces_a_frame.filter(|_| drop_policy != DropPolicy::Every));
    let (frame_sender, frames) = bounded(1);
    let (detected_sender, detected) = bounded(1);
    let (labelled_sender, labelled) = bounded(2);
    // Past the stages: they wait for frames. There are few, and none may be lost.
    let (notice_sender, notices) = unbounded();
    let (warning_sender, warnings) = unbounded();
    let guard = Guard { stop, first_error: Mutex::new(None) };
    let living = Living::new(tables.len() + recorders.len(), needs_outputs, stop);
    let (dropped, in_flight, output_error) = (AtomicU64::new(0), InFlight::default(), Mutex::new(None));
    let marks = Mutex::new(Vec::new());
    let displaced = (drop_policy == DropPolicy::Latest).then(|| frames.clone());
    let Credit { giver, for_capture, for_detect } = Credit::new(drop_policy);
    let mut unrecorded = 0;
    thread::scope(|scope| {
        let (guard, dropped, in_flight, living, output_error) = (&guard, &dropped, &in_flight, &living, &output_error);
        let last = || Last { ending: guard.ending(drop_policy), marks: locked(&marks).clone() };
        let frame_sender = FrameSender { sender: frame_sender, displaced, dropped, in_flight, credit: for_capture };
        let ends = (frame_sender, notice_sender, warning_sender.clone());
        spawn(scope, guard, "capture", ends, move |(sender, notices, warnings)| {
            capture(source, sender, notices, warnings, drop_policy, stop)
        });
        spawn(scope, guard, "detect", (frames, for_detect, detected_sender), move |(frames, credit, sender)| {
            detect(&mut make_detect()?, frames_at_once, frames, credit.as_ref(), sender)
        });
        let ends = (detected, labelled_sender, warning_sender.clone());
        spawn(scope, guard, "classify", ends, move |(detected, sender, warnings)| {
            label(classify, frames_at_once, turns, detected, sender, warnings)
        });
        let writer = |name, sinks: Vec<Box<dyn Sink + Send>>, queue| {
            if sinks.is_empty() {
                return None;
            }
            let (sender, frames) = bounded(queue);
            spawn(scope, guard, name, (frames, warning_sender.clone()), move |(frames, warnings)| {
                if let Err(error) = write(sinks, frames, warnings, living, last) {
                    locked(output_error).get_or_insert(error);
                }
                Ok(())
            });
            Some(sender)
        };
        let mut outlets = Outlets {
            tables: writer("tables", tables, TABLE_QUEUE),
            recorder: writer(
                "record",
                recorders,
                if drop_policy == DropPolicy::Latest { RECORDER_QUEUE } else { TABLE_QUEUE },
            ),
            drop_policy,
            unrecorded: 0,
        };
        guard.watch("present", || {
            let outcomes =
                Outcomes { labelled: &labelled, notices: &notices, warnings: &warnings, credit: giver, in_flight };
            let presented = present_all(&outcomes, &mut outlets, stop, &mut present);
            // Outputs that get no more frames look for these.
            let ended = present(Event::End(&mut locked(&marks)));
            presented.and(ended.map(drop))
        });
        unrecorded = outlets.unrecorded;
        // Whatever is still on its way is not wanted any more.
        drop((labelled, outlets, warning_sender));
    });
    // What outputs had to say when they were completed.
    for warning in warnings.try_iter() {
        let _ = present(Event::Warning(warning));
    }
    let error = locked(&guard.first_error).take().or_else(|| locked(&output_error).take());
    (Losses { dropped: dropped.into_inner(), unrecorded }, error.map_or(Ok(()), Err))
}

/// What allows a frame onto its way, where somebody waits for it. `giver` gives back what a frame took that was presented.
#[derive(Default)]
struct Credit {
    giver: Option<Sender<()>>,
    /// A file's frames are not read before they may go.
    for_capture: Option<Receiver<()>>,
    /// A camera's frames are chosen as late as can be.
    for_detect: Option<Receiver<()>>,
}

impl Credit {
    fn new(drop_policy: DropPolicy) -> Self {
        let (sender, receiver) = bounded(CREDIT);
        for () in [(); CREDIT] {
            let _ = sender.try_send(());
        }
        let giver = Some(sender);
        match drop_policy {
            DropPolicy::Every => Self::default(),
            DropPolicy::EveryInRealTime => Self { giver, for_capture: Some(receiver), for_detect: None },
            DropPolicy::Latest => Self { giver, for_capture: None, for_detect: Some(receiver) },
        }
    }
}

/// What a panic in another thread left is still of use.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the first error, and ends the run on any.
struct Guard<'a> {
    stop: &'a Stop,
    first_error: Mutex<Option<Error>>,
}

impl Guard<'_> {
    /// How the run ended, once every stage before the asking one is done. A live source has no end of its own.
    fn ending(&self, drop_policy: DropPolicy) -> Ending {
        let failed = locked(&self.first_error).is_some();
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
            locked(&self.first_error).get_or_insert(error);
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
