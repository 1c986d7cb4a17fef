//! The pipeline with stages made for the test: order and delivery.
//!
//! No test depends on how fast anything is: who has to wait for whom is said by channels. Each runs under a time limit,
//! so that a hang is a failure.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use emocam::flow::emotion::Probabilities;
use emocam::flow::frame::Frame;
use emocam::flow::labelled::Losses;
use emocam::flow::stop::Stop;
use emocam::network::classify::FrameFaces;
use emocam::pipeline::{DropPolicy, Event, Stages, run};
use emocam::source::Source;

use crate::stages::*;

#[test]
fn a_file_comes_through_whole_and_in_order() {
    for delivery in [DropPolicy::Every, DropPolicy::EveryInRealTime] {
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
    let outcome = within_limit(|| run_with(&mut frames(0), DropPolicy::Every, &Stop::default(), recorders, go_on));
    assert_eq!((outcome.error, outcome.ids), (None, vec![]));
    assert_eq!(recorded.lock().unwrap().finished, 1);
}

#[test]
fn no_frame_of_a_file_in_real_time_comes_before_its_time() {
    let early = within_limit(|| {
        let (start, mut early) = (Instant::now(), Vec::new());
        let outcome = run_with(&mut frames(10), DropPolicy::EveryInRealTime, &Stop::default(), vec![], |id| {
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
fn a_file_that_was_paused_goes_on_at_its_own_pace() {
    // Frames are 10 ms apart. After the pause those come that were on their way; the next twenty take their time.
    let times = within_limit(|| {
        let mut times = Vec::new();
        let outcome = run_with(&mut frames(40), DropPolicy::EveryInRealTime, &Stop::default(), vec![], |id| {
            times.push(Instant::now());
            if id == 3 {
                thread::sleep(Duration::from_secs(1));
            }
            go_on(id)
        });
        assert_frames(&outcome.ids, 0..40);
        times
    });
    let after = 4 + ON_THE_WAY as usize;
    let took = times[after + 20] - times[after];
    assert!(took >= Duration::from_millis(150), "{took:?}");
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
        run_with(&mut source, DropPolicy::Latest, &Stop::default(), vec![], |id| {
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
    assert!(outcome.ids.len() as u64 <= LIVE_ON_THE_WAY, "{:?}", outcome.ids);
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
        run_with(&mut source, DropPolicy::Every, &Stop::default(), vec![], |id| {
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

/// Two frames of 36 megapixels would fit into no ordinary memory beside what else there is.
#[test]
fn a_frame_that_is_large_is_written_before_the_next_is_read() {
    let (recorders, recorded) = recorder();
    let written = recorded.clone();
    let outcome = within_limit(move || {
        let mut source = FakeSource::new(move |id| {
            let done = written.lock().expect("no poison").ids.len() as u64;
            ensure!(done == id, "frame {id} is read and {done} are written");
            let (side, level) = (6000, id as u8);
            let pixels = vec![level; 3 * (side * side) as usize];
            Ok((id < 4).then(|| Frame::new(id, Duration::from_secs(id), (side, side), pixels.into())))
        });
        // Those that wait to be labelled with others are on their way, too.
        let (source, frames_at_once, tables) = (&mut source as &mut dyn Source, 8, vec![]);
        let (make_detect, faces_a_frame, needs_outputs) = (|| Ok(detect), None, true);
        let stages =
            Stages { source, make_detect, classify, faces_a_frame, frames_at_once, tables, recorders, needs_outputs };
        run_stages(stages, DropPolicy::Every, &Stop::default(), go_on)
    });
    assert_eq!(outcome.error, None);
    assert_frames(&recorded.lock().unwrap().ids, 0..4);
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
        run_with(&mut source, DropPolicy::Latest, &Stop::default(), recorders, |id| {
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
        let stages = Stages {
            source: &mut source,
            make_detect: || Ok(detect),
            classify,
            faces_a_frame: None,
            frames_at_once: 1,
            tables: Vec::new(),
            recorders,
            needs_outputs: true,
        };
        let (mut presented, mut open) = (0, Some(open));
        let (losses, result) = run(stages, DropPolicy::Every, &Stop::default(), |event| {
            match event {
                Event::Frame(_) => presented += 1,
                // The queue of the recorder is full, and the window is still kept alive.
                Event::Idle if presented > 2 => {
                    if let Some(open) = open.take() {
                        open.send(())?;
                    }
                }
                Event::Notice(_) | Event::Warning(_) | Event::Idle | Event::End(_) => {}
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

/// Runs with so many frames labelled at once. Returns the numbers of those that were labelled together, the outcome, and
/// what was told; the label of each frame is made of its number.
fn run_at_once(
    source: &mut dyn Source,
    delivery: DropPolicy,
    frames_at_once: usize,
    stop: &Stop,
    mut present: impl FnMut(u64),
) -> (Vec<Vec<u64>>, Vec<u64>, Vec<String>) {
    let batches = Mutex::new(Vec::new());
    let classify = |frames: &[FrameFaces<'_>], tell: &mut dyn FnMut(String)| {
        let numbers: Vec<u64> = frames.iter().map(|frame| number(frame.gray)).collect();
        tell(format!("{} at once", numbers.len()));
        batches.lock().expect("no poison").push(numbers.clone());
        Ok(numbers.iter().map(|&number| vec![label_of(number)]).collect())
    };
    let (recorders, recorded) = recorder();
    let make_detect = || Ok(detect);
    let (faces_a_frame, tables, needs_outputs) = (None, vec![], true);
    let stages =
        Stages { source, make_detect, classify, faces_a_frame, frames_at_once, tables, recorders, needs_outputs };
    let (mut ids, mut told) = (Vec::new(), Vec::new());
    let (losses, result) = run(stages, delivery, stop, |event| {
        match event {
            Event::Frame(annotated) => {
                let id = annotated.frame.id;
                assert_eq!(annotated.predictions[0].probabilities, label_of(id), "frame {id} has its own label");
                ids.push(id);
                present(id);
            }
            Event::Warning(warning) => told.push(warning),
            Event::Notice(_) | Event::Idle | Event::End(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    });
    result.expect("no failure");
    assert_eq!(losses, Losses::default());
    assert_eq!(recorded.lock().expect("no poison").ids, ids);
    (batches.into_inner().expect("no poison"), ids, told)
}

fn label_of(number: u64) -> Probabilities {
    Probabilities::from_logits(&[number as f32 / 100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
}

#[test]
fn frames_of_a_file_are_labelled_several_at_once_and_come_one_by_one_in_order() {
    for (count, at_once, expected) in [(20, 7, vec![7, 7, 6]), (14, 7, vec![7, 7]), (3, 200, vec![3]), (0, 7, vec![])] {
        let (batches, ids, told) =
            within_limit(move || run_at_once(&mut frames(count), DropPolicy::Every, at_once, &Stop::default(), |_| {}));
        assert_frames(&ids, 0..count);
        assert_frames(&batches.concat(), 0..count);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), expected);
        // What the stage has to tell comes to whoever watches.
        assert_eq!(told, expected.iter().map(|count| format!("{count} at once")).collect::<Vec<_>>());
    }
}

#[test]
fn frames_that_somebody_waits_for_are_labelled_one_by_one() {
    let (batches, ids, _) =
        within_limit(|| run_at_once(&mut frames(10), DropPolicy::EveryInRealTime, 7, &Stop::default(), |_| {}));
    assert_frames(&ids, 0..10);
    assert_eq!(batches.len(), 10);
    let (batches, ids, _) = within_limit(|| {
        // A camera that takes the next picture when the last one was shown.
        let (shown, is_shown) = channel();
        let mut source = FakeSource::new(move |id| {
            if id > 0 {
                heard(&is_shown);
            }
            Ok((id < 10).then(|| frame(id)))
        });
        run_at_once(&mut source, DropPolicy::Latest, 7, &Stop::default(), |_| shown.send(()).expect("it listens"))
    });
    assert_frames(&ids, 0..10);
    assert_eq!(batches.len(), 10);
}

#[test]
fn a_stop_loses_none_of_the_frames_that_wait_for_others() {
    const AT_ONCE: usize = 7;
    let (made, ids) = within_limit(|| {
        let made = Arc::new(AtomicU64::new(0));
        let counter = made.clone();
        let mut source = FakeSource::new(move |id| {
            counter.store(id + 1, Ordering::SeqCst);
            Ok(Some(frame(id)))
        });
        let stop = Stop::default();
        let (_, ids, _) = run_at_once(&mut source, DropPolicy::Every, AT_ONCE, &stop, |id| {
            if id == 30 {
                stop.request();
            }
        });
        (made.load(Ordering::SeqCst), ids)
    });
    assert_frames(&ids, 0..made);
    // As many as are held at once, and no more.
    assert!(made <= 30 + 2 * AT_ONCE as u64 + ON_THE_WAY, "{made}");
}
