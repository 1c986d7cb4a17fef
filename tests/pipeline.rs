//! The pipeline with stages made for the test: order, delivery, failure, panic and shutdown.
//!
//! No test depends on how fast anything is: who has to wait for whom is said by channels. Each runs under a time limit,
//! so that a hang is a failure.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use emocam::emotion::Probabilities;
use emocam::frame::{FaceBox, Frame};
use emocam::pipeline::{Annotated, Delivery, Event, Losses, Stages, Stop, run};
use emocam::sink::Sink;
use emocam::source::{Source, SourceInfo};
use image::GrayImage;

/// Far more than any of these runs takes.
const LIMIT: Duration = Duration::from_secs(30);

/// The most frames that are on their way to the caller: one in each of capture, detect and classify, and 1 + 1 + 2 in the
/// channels behind them.
const ON_THE_WAY: u64 = 7;

/// Runs `work` under the time limit, in a thread that a hang leaves behind.
fn within_limit<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
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
fn heard<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(LIMIT).expect("the other stage says so in time")
}

/// Gives frames made by a function, which is told the number of the next one.
struct FakeSource<F> {
    info: SourceInfo,
    next_id: u64,
    make: F,
}

impl<F: FnMut(u64) -> Result<Option<Frame>> + Send> FakeSource<F> {
    fn new(make: F) -> Self {
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
fn frame(id: u64) -> Frame {
    let pts = Duration::from_millis(10 * id);
    Frame { id, pts, captured_at: Instant::now(), width: 8, height: 6, rgb: vec![id as u8; 8 * 6 * 3].into() }
}

fn endless() -> FakeSource<impl FnMut(u64) -> Result<Option<Frame>> + Send> {
    FakeSource::new(|id| Ok(Some(frame(id))))
}

fn frames(count: u64) -> FakeSource<impl FnMut(u64) -> Result<Option<Frame>> + Send> {
    FakeSource::new(move |id| Ok((id < count).then(|| frame(id))))
}

/// One face, whose score is the number of the frame.
fn detect(gray: &GrayImage) -> Result<Vec<FaceBox>> {
    Ok(vec![FaceBox { x: 1.0, y: 1.0, width: 4.0, height: 4.0, score: number(gray) as f32 }])
}

fn classify(_: &GrayImage, faces: &[FaceBox]) -> Result<Vec<Probabilities>> {
    Ok(vec![Probabilities::from_logits(&[0.0; 7]); faces.len()])
}

/// The number of the frame that a picture was made from.
fn number(gray: &GrayImage) -> u64 {
    u64::from(gray.get_pixel(0, 0).0[0])
}

/// What came to a recorder.
#[derive(Debug, Default)]
struct Recorded {
    ids: Vec<u64>,
    finished: u32,
}

/// Notes what comes; before that it does what the test wants.
struct FakeRecorder<F> {
    recorded: Arc<Mutex<Recorded>>,
    before: F,
    finish: fn() -> Result<()>,
}

impl<F: FnMut(u64) -> Result<()>> Sink for FakeRecorder<F> {
    fn write(&mut self, annotated: &Annotated) -> Result<ControlFlow<()>> {
        (self.before)(annotated.frame.id)?;
        self.recorded.lock().expect("no poison").ids.push(annotated.frame.id);
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self) -> Result<()> {
        self.recorded.lock().expect("no poison").finished += 1;
        (self.finish)()
    }
}

type Recorders = Vec<Box<dyn Sink + Send>>;

fn recorder_that(before: impl FnMut(u64) -> Result<()> + Send + 'static) -> (Recorders, Arc<Mutex<Recorded>>) {
    let recorded = Arc::<Mutex<Recorded>>::default();
    (vec![Box::new(FakeRecorder { recorded: recorded.clone(), before, finish: || Ok(()) })], recorded)
}

fn recorder() -> (Recorders, Arc<Mutex<Recorded>>) {
    recorder_that(|_| Ok(()))
}

/// What a run did.
struct Outcome {
    /// The frames that were presented.
    ids: Vec<u64>,
    losses: Losses,
    error: Option<String>,
}

/// Runs with stages that do nothing wrong, and `present` called for frames only.
fn run_with(
    source: &mut dyn Source,
    delivery: Delivery,
    stop: &Stop,
    recorders: Recorders,
    present: impl FnMut(u64) -> Result<ControlFlow<()>>,
) -> Outcome {
    run_stages(Stages { source, make_detect: || Ok(detect), classify, recorders }, delivery, stop, present)
}

fn run_stages<MakeDetect, Detect, Classify>(
    stages: Stages<'_, MakeDetect, Classify>,
    delivery: Delivery,
    stop: &Stop,
    mut present: impl FnMut(u64) -> Result<ControlFlow<()>>,
) -> Outcome
where
    MakeDetect: FnOnce() -> Result<Detect> + Send,
    Detect: FnMut(&GrayImage) -> Result<Vec<FaceBox>>,
    Classify: FnMut(&GrayImage, &[FaceBox]) -> Result<Vec<Probabilities>> + Send,
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
        Event::Idle => Ok(ControlFlow::Continue(())),
    });
    Outcome { ids, losses, error: result.err().map(|error| format!("{error:#}")) }
}

fn go_on(_: u64) -> Result<ControlFlow<()>> {
    Ok(ControlFlow::Continue(()))
}

#[track_caller]
fn assert_frames(ids: &[u64], expected: std::ops::Range<u64>) {
    assert_eq!(ids, expected.collect::<Vec<_>>());
}

#[test]
fn a_file_comes_through_whole_and_in_order() {
    for delivery in [Delivery::Every, Delivery::EveryInRealTime] {
        let (recorders, recorded) = recorder();
        let outcome = within_limit(move || run_with(&mut frames(60), delivery, &Stop::default(), recorders, go_on));
        assert_eq!((outcome.error, outcome.losses), (None, Losses::default()));
        assert_frames(&outcome.ids, 0..60);
        let recorded = recorded.lock().unwrap();
        assert_frames(&recorded.ids, 0..60);
        assert_eq!(recorded.finished, 1);
    }
}

#[test]
fn a_source_without_a_frame_ends_well() {
    let (recorders, recorded) = recorder();
    let outcome = within_limit(|| run_with(&mut frames(0), Delivery::Every, &Stop::default(), recorders, go_on));
    assert_eq!((outcome.error, outcome.ids), (None, vec![]));
    assert_eq!(recorded.lock().unwrap().finished, 1);
}

#[test]
fn no_frame_of_a_file_in_real_time_comes_before_its_time() {
    let early = within_limit(|| {
        let (start, mut early) = (Instant::now(), Vec::new());
        let outcome = run_with(&mut frames(10), Delivery::EveryInRealTime, &Stop::default(), vec![], |id| {
            // Counted from before the first frame, which makes the test miss a little and never fail for nothing.
            if start.elapsed() < Duration::from_millis(10 * id) {
                early.push(id);
            }
            go_on(id)
        });
        assert_frames(&outcome.ids, 0..10);
        early
    });
    assert!(early.is_empty(), "before their time: {early:?}");
}

#[test]
fn a_slow_consumer_gets_the_latest_frames_of_a_camera_and_the_rest_is_counted() {
    const PRODUCED: u64 = 200;
    let outcome = within_limit(|| {
        let (exhausted, is_exhausted) = channel();
        let mut source = FakeSource::new(move |id| {
            if id == PRODUCED {
                exhausted.send(())?;
                return Ok(None);
            }
            Ok(Some(frame(id)))
        });
        // The first frame takes until the camera has no more to give.
        let mut first = true;
        run_with(&mut source, Delivery::Latest, &Stop::default(), vec![], |id| {
            if std::mem::take(&mut first) {
                heard(&is_exhausted);
            }
            go_on(id)
        })
    });
    assert_eq!(outcome.error, None);
    assert!(outcome.ids.is_sorted_by(|a, b| a < b), "{:?}", outcome.ids);
    assert_eq!(outcome.ids.last(), Some(&(PRODUCED - 1)));
    assert_eq!(outcome.ids.len() as u64 + outcome.losses.dropped, PRODUCED);
    // The one that took so long, and what was on its way then; capture, which had ended, held none.
    assert!(outcome.ids.len() as u64 <= ON_THE_WAY, "{:?}", outcome.ids);
    assert_eq!(outcome.losses.unrecorded, 0);
}

#[test]
fn a_slow_consumer_of_a_file_gets_every_frame_and_the_source_waits() {
    const COUNT: u64 = 100;
    let outcome = within_limit(|| {
        let (made, is_made) = channel();
        let mut source = FakeSource::new(move |id| {
            made.send(id)?;
            Ok((id < COUNT).then(|| frame(id)))
        });
        let mut newest = 0;
        run_with(&mut source, Delivery::Every, &Stop::default(), vec![], |id| {
            // No frame is done before the source can do no more.
            while newest < (id + ON_THE_WAY).min(COUNT) {
                newest = heard(&is_made);
            }
            newest = is_made.try_iter().last().unwrap_or(newest);
            ensure!(newest <= id + ON_THE_WAY, "frame {newest} was made while {id} is presented");
            go_on(id)
        })
    });
    assert_eq!((outcome.error, outcome.losses), (None, Losses::default()));
    assert_frames(&outcome.ids, 0..COUNT);
}

#[test]
fn a_damaged_file_gives_its_frames_and_then_its_error() {
    let (recorders, recorded) = recorder();
    let outcome = within_limit(|| {
        let mut source = FakeSource::new(|id| if id < 25 { Ok(Some(frame(id))) } else { bail!("frame 25 is damaged") });
        run_with(&mut source, Delivery::Every, &Stop::default(), recorders, go_on)
    });
    assert_eq!(outcome.error.as_deref(), Some("frame 25 is damaged"));
    assert_frames(&outcome.ids, 0..25);
    let recorded = recorded.lock().unwrap();
    assert_frames(&recorded.ids, 0..25);
    assert_eq!(recorded.finished, 1);
}

#[test]
fn a_detector_that_fails_ends_the_run_with_its_error_and_what_came_before() {
    for delivery in [Delivery::Every, Delivery::Latest] {
        let (recorders, recorded) = recorder();
        let outcome = within_limit(move || {
            let make_detect =
                || Ok(|gray: &GrayImage| if number(gray) < 5 { detect(gray) } else { bail!("the detector is broken") });
            let stages = Stages { source: &mut endless(), make_detect, classify, recorders };
            run_stages(stages, delivery, &Stop::default(), go_on)
        });
        let error = outcome.error.expect("an error");
        assert!(error.starts_with("finding faces in frame ") && error.ends_with(": the detector is broken"), "{error}");
        if delivery == Delivery::Every {
            assert_frames(&outcome.ids, 0..5);
        }
        let recorded = recorded.lock().unwrap();
        assert_eq!((&recorded.ids, recorded.finished), (&outcome.ids, 1));
    }
}

#[test]
fn a_detector_that_cannot_be_made_ends_the_run() {
    let outcome = within_limit(|| {
        let make_detect = || Err(anyhow!("no model")).map(|()| detect);
        let stages = Stages { source: &mut endless(), make_detect, classify, recorders: vec![] };
        run_stages(stages, Delivery::Every, &Stop::default(), go_on)
    });
    assert_eq!((outcome.error.as_deref(), outcome.ids), (Some("no model"), vec![]));
}

#[test]
fn a_network_that_fails_ends_the_run_with_its_error_and_what_came_before() {
    let (recorders, recorded) = recorder();
    let outcome = within_limit(|| {
        let classify = |gray: &GrayImage, faces: &[FaceBox]| {
            if number(gray) < 5 { classify(gray, faces) } else { bail!("the network is broken") }
        };
        let stages = Stages { source: &mut endless(), make_detect: || Ok(detect), classify, recorders };
        run_stages(stages, Delivery::Every, &Stop::default(), go_on)
    });
    assert_eq!(outcome.error.as_deref(), Some("labelling frame 5: the network is broken"));
    assert_frames(&outcome.ids, 0..5);
    let recorded = recorded.lock().unwrap();
    assert_eq!((&recorded.ids, recorded.finished), (&outcome.ids, 1));
}

#[test]
fn a_present_that_fails_ends_the_run_with_its_error() {
    let (recorders, recorded) = recorder();
    let outcome = within_limit(|| {
        run_with(&mut endless(), Delivery::Every, &Stop::default(), recorders, |id| {
            if id < 5 { go_on(id) } else { bail!("the disk is full") }
        })
    });
    assert_eq!(outcome.error.as_deref(), Some("the disk is full"));
    assert_frames(&outcome.ids, 0..6);
    let recorded = recorded.lock().unwrap();
    assert_frames(&recorded.ids, 0..5);
    assert_eq!(recorded.finished, 1);
}

#[test]
fn a_recorder_that_fails_ends_the_run_and_the_others_are_finished_too() {
    let (mut recorders, failing) =
        recorder_that(|id| if id < 5 { Ok(()) } else { bail!("frame {id} can't be recorded") });
    let (others, other) = recorder();
    recorders.extend(others);
    let outcome = within_limit(|| run_with(&mut endless(), Delivery::Every, &Stop::default(), recorders, go_on));
    assert_eq!(outcome.error.as_deref(), Some("frame 5 can't be recorded"));
    assert_frames(&outcome.ids, 0..outcome.ids.len() as u64);
    for recorded in [failing, other] {
        let recorded = recorded.lock().unwrap();
        assert_frames(&recorded.ids, 0..5);
        assert_eq!(recorded.finished, 1);
    }
}

#[test]
fn a_recorder_that_cannot_finish_is_an_error() {
    let recorded = Arc::<Mutex<Recorded>>::default();
    let finish = || Err(anyhow!("no room for the index"));
    let recorder = FakeRecorder { recorded: recorded.clone(), before: |_| Ok(()), finish };
    let outcome = within_limit(move || {
        run_with(&mut frames(5), Delivery::Every, &Stop::default(), vec![Box::new(recorder)], go_on)
    });
    assert_eq!(outcome.error.as_deref(), Some("no room for the index"));
    assert_frames(&outcome.ids, 0..5);
    assert_frames(&recorded.lock().unwrap().ids, 0..5);
}

#[test]
fn of_several_errors_the_first_is_reported() {
    let outcome = within_limit(|| {
        let finish = || Err(anyhow!("the recorder's error, which comes last"));
        let recorder = FakeRecorder { recorded: Arc::default(), before: |_| Ok(()), finish };
        let mut source = FakeSource::new(|id| if id < 5 { Ok(Some(frame(id))) } else { bail!("the first error") });
        run_with(&mut source, Delivery::Every, &Stop::default(), vec![Box::new(recorder)], go_on)
    });
    assert_eq!(outcome.error.as_deref(), Some("the first error"));
}

#[test]
fn a_panic_in_a_stage_is_an_error_that_names_the_stage() {
    let boom = |stage: &str, here: &str, number: u64| assert!(stage != here || number < 5, "boom");
    for stage in ["capture", "detect", "classify", "present", "record"] {
        for delivery in [Delivery::Every, Delivery::Latest] {
            let outcome = within_limit(move || {
                let mut source = FakeSource::new(|id| {
                    boom(stage, "capture", id);
                    Ok(Some(frame(id)))
                });
                let make_detect = || {
                    Ok(|gray: &GrayImage| {
                        boom(stage, "detect", number(gray));
                        detect(gray)
                    })
                };
                let classify = |gray: &GrayImage, faces: &[FaceBox]| {
                    boom(stage, "classify", number(gray));
                    classify(gray, faces)
                };
                let (recorders, _) = recorder_that(move |id| {
                    boom(stage, "record", id);
                    Ok(())
                });
                let stages = Stages { source: &mut source, make_detect, classify, recorders };
                run_stages(stages, delivery, &Stop::default(), |id| {
                    boom(stage, "present", id);
                    go_on(id)
                })
            });
            assert_eq!(outcome.error, Some(format!("the {stage} stage panicked: boom")), "{delivery:?}");
        }
    }
}

#[test]
fn a_closed_window_ends_the_run_of_an_endless_source() {
    for delivery in [Delivery::Every, Delivery::EveryInRealTime, Delivery::Latest] {
        let (recorders, recorded) = recorder();
        let mut presented = 0;
        let outcome = within_limit(move || {
            run_with(&mut endless(), delivery, &Stop::default(), recorders, |_| {
                presented += 1;
                Ok(if presented < 4 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })
        });
        assert_eq!((outcome.error, outcome.ids.len()), (None, 4), "{delivery:?}");
        let recorded = recorded.lock().unwrap();
        assert_eq!((&recorded.ids, recorded.finished), (&outcome.ids, 1), "{delivery:?}");
    }
}

#[test]
fn a_window_is_kept_alive_and_can_be_closed_while_no_frame_comes() {
    let (ids, error) = within_limit(|| {
        let (closed, is_closed) = channel();
        let mut source = FakeSource::new(move |id| {
            if id == 3 {
                // A camera that gives nothing, until the window was closed.
                heard(&is_closed);
            }
            Ok(Some(frame(id)))
        });
        let stages = Stages { source: &mut source, make_detect: || Ok(detect), classify, recorders: vec![] };
        let mut ids = Vec::new();
        let (_, result) = run(stages, Delivery::Every, &Stop::default(), |event| match event {
            Event::Frame(annotated) => {
                ids.push(annotated.frame.id);
                Ok(ControlFlow::Continue(()))
            }
            Event::Idle if ids.len() == 3 => {
                closed.send(())?;
                Ok(ControlFlow::Break(()))
            }
            Event::Idle => Ok(ControlFlow::Continue(())),
        });
        (ids, result.err())
    });
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids, [0, 1, 2]);
}

/// Runs an endless source until another thread calls for the end; returns the outcome and how many frames were captured.
fn run_until_stopped(run_stop: Stop, request: impl FnOnce() + Send + 'static) -> (Outcome, u64) {
    within_limit(move || {
        let (ready, is_ready) = channel();
        let other = thread::spawn(move || {
            heard(&is_ready);
            request();
        });
        let mut source = endless();
        let outcome = run_with(&mut source, Delivery::Every, &run_stop, vec![], |id| {
            if id == 10 {
                ready.send(())?;
            }
            go_on(id)
        });
        other.join().expect("the other thread does not panic");
        (outcome, source.next_id)
    })
}

#[test]
fn a_request_from_another_thread_ends_the_run_and_what_was_captured_still_comes_out() {
    let stop = Stop::default();
    let (outcome, captured) = run_until_stopped(stop.clone(), move || stop.request());
    assert_eq!((outcome.error, outcome.losses), (None, Losses::default()));
    assert!(captured > 10);
    assert_frames(&outcome.ids, 0..captured);
}

#[test]
fn a_request_to_stop_everything_ends_the_run_of_a_part_and_not_the_other_way_round() {
    let all = Stop::default();
    let (first, second) = (all.child(), all.child());
    first.request();
    assert!(first.is_requested() && !all.is_requested() && !second.is_requested());
    let (outcome, _) = run_until_stopped(second, move || all.request());
    assert_eq!(outcome.error, None);
}

#[test]
fn a_request_before_the_start_captures_nothing() {
    let (recorders, recorded) = recorder();
    let outcome = within_limit(|| {
        let stop = Stop::default();
        stop.request();
        run_with(&mut endless(), Delivery::Every, &stop, recorders, go_on)
    });
    assert_eq!((outcome.error, outcome.ids), (None, vec![]));
    assert_eq!(recorded.lock().unwrap().finished, 1);
}

#[test]
fn a_request_is_heard_while_a_frame_waits_for_its_time() {
    let outcome = within_limit(|| {
        let stop = Stop::default();
        let mut source = FakeSource::new(|id| Ok(Some(Frame { pts: Duration::from_secs(3600 * id), ..frame(id) })));
        run_with(&mut source, Delivery::EveryInRealTime, &stop.clone(), vec![], |id| {
            stop.request();
            go_on(id)
        })
    });
    assert_eq!(outcome.error, None);
    assert!(!outcome.ids.is_empty());
}

/// A recorder whose first frame takes until the test sends something.
fn blocked_recorder() -> (Recorders, Arc<Mutex<Recorded>>, Sender<()>) {
    let (open, is_open) = channel();
    let (recorders, recorded) = recorder_that(move |id| {
        if id == 0 {
            heard(&is_open);
        }
        Ok(())
    });
    (recorders, recorded, open)
}

#[test]
fn what_a_slow_recorder_misses_of_a_camera_is_counted() {
    const COUNT: u64 = 100;
    let (recorders, recorded, open) = blocked_recorder();
    let outcome = within_limit(move || {
        let (shown, is_shown) = channel();
        // A camera slow enough for everyone but the recorder.
        let mut source = FakeSource::new(move |id| {
            if id > 0 {
                heard(&is_shown);
            }
            Ok((id < COUNT).then(|| frame(id)))
        });
        run_with(&mut source, Delivery::Latest, &Stop::default(), recorders, |id| {
            if id == COUNT - 1 {
                open.send(())?;
            }
            shown.send(())?;
            go_on(id)
        })
    });
    assert_eq!((outcome.error, outcome.losses.dropped), (None, 0));
    assert_frames(&outcome.ids, 0..COUNT);
    let recorded = recorded.lock().unwrap();
    assert!(outcome.losses.unrecorded >= COUNT / 2, "{:?}", outcome.losses);
    assert_eq!(recorded.ids.len() as u64 + outcome.losses.unrecorded, COUNT);
    assert!(recorded.ids.is_sorted_by(|a, b| a < b), "{:?}", recorded.ids);
    assert_eq!(recorded.finished, 1);
}

#[test]
fn a_slow_recorder_misses_nothing_of_a_file() {
    const COUNT: u64 = 100;
    let (recorders, recorded, open) = blocked_recorder();
    let (presented, losses, error) = within_limit(move || {
        let mut source = frames(COUNT);
        let stages = Stages { source: &mut source, make_detect: || Ok(detect), classify, recorders };
        let (mut presented, mut open) = (0, Some(open));
        let (losses, result) = run(stages, Delivery::Every, &Stop::default(), |event| {
            match event {
                Event::Frame(_) => presented += 1,
                // The queue of the recorder is full, and the window is still kept alive.
                Event::Idle if presented > 2 => {
                    if let Some(open) = open.take() {
                        open.send(())?;
                    }
                }
                Event::Idle => {}
            }
            Ok(ControlFlow::Continue(()))
        });
        (presented, losses, result.err())
    });
    assert!(error.is_none(), "{error:?}");
    assert_eq!((presented, losses), (COUNT, Losses::default()));
    let recorded = recorded.lock().unwrap();
    assert_frames(&recorded.ids, 0..COUNT);
    assert_eq!(recorded.finished, 1);
}
