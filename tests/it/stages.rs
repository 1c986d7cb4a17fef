//! Stages made for tests of the pipeline, and the time limit that each of those runs under.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use emocam::flow::emotion::Probabilities;
use emocam::flow::frame::{FaceBox, Frame};
use emocam::flow::labelled::{Labelled, Losses};
use emocam::flow::stop::Stop;
use emocam::network::classify::FrameFaces;
use emocam::pipeline::{DropPolicy, Event, Stages, run};
use emocam::sink::{Ending, Sink};
use emocam::source::{Source, SourceInfo};
use emocam::track::{Faces, TrackedFace};
use image::GrayImage;

/// Far more than any of these runs takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The most frames that are on their way to the caller: one in each of capture, detect and classify, and 1 + 1 + 2 in the
/// channels behind them.
pub(crate) const ON_THE_WAY: u64 = 7;

/// The same of a live source: the three that have credit, and the latest one.
pub(crate) const LIVE_ON_THE_WAY: u64 = 4;

/// Runs `work` under the time limit, in a thread that a hang leaves behind.
pub(crate) fn within_limit<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    let worker = thread::spawn(move || {
        // Nobody listens any more when the limit has passed.
        let _ = sender.send(work());
    });
    match receiver.recv_timeout(LIMIT) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("the run still goes on after {LIMIT:?}"),
        Err(RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => resume_unwind(panic),
            Ok(()) => unreachable!("it sends before it ends"),
        },
    }
}

/// Waits for what another stage says.
pub(crate) fn heard<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(LIMIT).expect("the other stage says so in time")
}

/// Gives frames made by a function, which is told the number of the next one.
pub(crate) struct FakeSource<F> {
    pub(crate) info: SourceInfo,
    pub(crate) next_id: u64,
    pub(crate) make: F,
}

impl<F: FnMut(u64) -> Result<Option<Frame>> + Send> FakeSource<F> {
    pub(crate) fn new(make: F) -> Self {
        Self { info: SourceInfo::default(), next_id: 0, make }
    }
}

impl<F: FnMut(u64) -> Result<Option<Frame>> + Send> Source for FakeSource<F> {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        self.next_id += 1;
        (self.make)(self.next_id - 1)
    }
}

/// A grey frame whose level is its number.
pub(crate) fn frame(id: u64) -> Frame {
    let pts = Duration::from_millis(10 * id);
    Frame::new(id, pts, (8, 6), vec![id as u8; 8 * 6 * 3].into())
}

pub(crate) fn endless() -> FakeSource<impl FnMut(u64) -> Result<Option<Frame>> + Send> {
    FakeSource::new(|id| Ok(Some(frame(id))))
}

pub(crate) fn frames(count: u64) -> FakeSource<impl FnMut(u64) -> Result<Option<Frame>> + Send> {
    FakeSource::new(move |id| Ok((id < count).then(|| frame(id))))
}

/// One face, whose score is the number of the frame.
pub(crate) fn detect(_: &Frame, gray: &GrayImage) -> Result<Faces> {
    let face = FaceBox { x: 1.0, y: 1.0, width: 4.0, height: 4.0, score: number(gray) as f32 };
    Ok(Faces {
        tracked: vec![TrackedFace { id: 0, face, points: None, turned: false }],
        ignored: 0,
        unlabelled: vec![],
    })
}

pub(crate) fn classify(frames: &[FrameFaces<'_>], _: &mut dyn FnMut(String)) -> Result<Vec<Vec<Probabilities>>> {
    Ok(frames.iter().map(|frame| vec![Probabilities::from_logits(&[0.0; 7]); frame.faces.len()]).collect())
}

/// The number of the frame that a picture was made from.
pub(crate) fn number(gray: &GrayImage) -> u64 {
    u64::from(gray.get_pixel(0, 0).0[0])
}

/// What came to a recorder.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) ids: Vec<u64>,
    pub(crate) finished: u32,
    pub(crate) ending: Option<Ending>,
}

/// Notes what comes; before that it does what the test wants.
pub(crate) struct FakeRecorder<F> {
    pub(crate) recorded: Arc<Mutex<Recorded>>,
    pub(crate) before: F,
    pub(crate) finish: fn() -> Result<()>,
}

impl<F: FnMut(u64) -> Result<()>> Sink for FakeRecorder<F> {
    fn write(&mut self, annotated: &Labelled) -> Result<ControlFlow<()>> {
        (self.before)(annotated.frame.id)?;
        self.recorded.lock().expect("no poison").ids.push(annotated.frame.id);
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        let mut recorded = self.recorded.lock().expect("no poison");
        recorded.finished += 1;
        recorded.ending = Some(ending);
        (self.finish)()
    }
}

/// Does with each frame what the test wants.
struct FakeSink<F>(F);

impl<F: FnMut(u64) -> Result<ControlFlow<()>>> Sink for FakeSink<F> {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        (self.0)(labelled.frame.id)
    }

    fn finish(&mut self, _: Ending) -> Result<()> {
        Ok(())
    }
}

pub(crate) fn sink_that(write: impl FnMut(u64) -> Result<ControlFlow<()>> + Send + 'static) -> Recorders {
    vec![Box::new(FakeSink(write))]
}

pub(crate) type Recorders = Vec<Box<dyn Sink + Send>>;

pub(crate) fn recorder_that(
    before: impl FnMut(u64) -> Result<()> + Send + 'static,
) -> (Recorders, Arc<Mutex<Recorded>>) {
    let recorded = Arc::<Mutex<Recorded>>::default();
    (vec![Box::new(FakeRecorder { recorded: recorded.clone(), before, finish: || Ok(()) })], recorded)
}

pub(crate) fn recorder() -> (Recorders, Arc<Mutex<Recorded>>) {
    recorder_that(|_| Ok(()))
}

/// What a run did.
pub(crate) struct Outcome {
    /// The frames that were presented.
    pub(crate) ids: Vec<u64>,
    pub(crate) losses: Losses,
    pub(crate) error: Option<String>,
}

/// Runs with stages that do nothing wrong, and `present` called for frames only.
pub(crate) fn run_with(
    source: &mut dyn Source,
    delivery: DropPolicy,
    stop: &Stop,
    recorders: Recorders,
    present: impl FnMut(u64) -> Result<ControlFlow<()>>,
) -> Outcome {
    run_stages(
        Stages {
            source,
            make_detect: || Ok(detect),
            classify,
            faces_a_frame: None,
            frames_at_once: 1,
            tables: Vec::new(),
            recorders,
            needs_outputs: true,
        },
        delivery,
        stop,
        present,
    )
}

pub(crate) fn run_stages<MakeDetect, Detect, Classify>(
    stages: Stages<'_, MakeDetect, Classify>,
    delivery: DropPolicy,
    stop: &Stop,
    mut present: impl FnMut(u64) -> Result<ControlFlow<()>>,
) -> Outcome
where
    MakeDetect: FnOnce() -> Result<Detect> + Send,
    Detect: FnMut(&Frame, &GrayImage) -> Result<Faces>,
    Classify: FnMut(&[FrameFaces<'_>], &mut dyn FnMut(String)) -> Result<Vec<Vec<Probabilities>>> + Send,
{
    let mut ids = Vec::new();
    let (losses, result) = run(stages, delivery, stop, |event| match event {
        Event::Frame(annotated) => {
            let id = annotated.frame.id;
            // What was found belongs to the very frame that it was found in.
            assert_eq!(annotated.predictions.len(), 1);
            assert_eq!(annotated.predictions[0].face.score, (id % 256) as f32);
            ids.push(id);
            present(id)
        }
        Event::Notice(_) | Event::Warning(_) | Event::Idle | Event::End(_) => Ok(ControlFlow::Continue(())),
    });
    Outcome { ids, losses, error: result.err().map(|error| format!("{error:#}")) }
}

pub(crate) fn go_on(_: u64) -> Result<ControlFlow<()>> {
    Ok(ControlFlow::Continue(()))
}

#[track_caller]
pub(crate) fn assert_frames(ids: &[u64], expected: std::ops::Range<u64>) {
    assert_eq!(ids, expected.collect::<Vec<_>>());
}
