//! How a run ends: the pipeline with stages made for the test, which fail and panic, and the program with nobody to tell.
//!
//! No test depends on how fast anything is: who has to wait for whom is said by channels. Each runs under a time limit,
//! so that a hang is a failure.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use emocam::flow::frame::Frame;
use emocam::flow::labelled::Losses;
use emocam::flow::stop::Stop;
use emocam::network::classify::FrameFaces;
use emocam::pipeline::{DropPolicy, Event, Stages, run};
use emocam::sink::Ending;
use emocam::source::Source;
use image::GrayImage;

use crate::common::faces::Faces;
use crate::common::{LIMIT, demo_clip, emocam, temporary_folder, wait_until};
use crate::stages::*;

#[test]
fn a_damaged_file_gives_its_frames_and_then_its_error() {
    let (recorders, recorded) = recorder();
    let outcome = within_limit(|| {
        let mut source = FakeSource::new(|id| if id < 25 { Ok(Some(frame(id))) } else { bail!("frame 25 is damaged") });
        run_with(&mut source, DropPolicy::Every, &Stop::default(), recorders, go_on)
    });
    assert_eq!(outcome.error.as_deref(), Some("frame 25 is damaged"));
    assert_frames(&outcome.ids, 0..25);
    let recorded = recorded.lock().unwrap();
    assert_frames(&recorded.ids, 0..25);
    assert_eq!(recorded.finished, 1);
}

#[test]
fn a_detector_that_fails_ends_the_run_with_its_error_and_what_came_before() {
    for drop_policy in [DropPolicy::Every, DropPolicy::Latest] {
        let (recorders, recorded) = recorder();
        let outcome = within_limit(move || {
            let make_detect = || {
                Ok(
                    |frame: &Frame, gray: &GrayImage| {
                        if number(gray) < 5 { detect(frame, gray) } else { bail!("the detector is broken") }
                    },
                )
            };
            let stages = Stages {
                source: &mut endless(),
                make_detect,
                classify,
                faces_a_frame: None,
                frames_at_once: 1,
                tables: Vec::new(),
                recorders,
                needs_outputs: true,
            };
            run_stages(stages, drop_policy, &Stop::default(), go_on)
        });
        let error = outcome.error.expect("an error");
        assert!(error.starts_with("finding faces in frame ") && error.ends_with(": the detector is broken"), "{error}");
        if drop_policy == DropPolicy::Every {
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
        let stages = Stages {
            source: &mut endless(),
            make_detect,
            classify,
            faces_a_frame: None,
            frames_at_once: 1,
            tables: Vec::new(),
            recorders: vec![],
            needs_outputs: true,
        };
        run_stages(stages, DropPolicy::Every, &Stop::default(), go_on)
    });
    assert_eq!((outcome.error.as_deref(), outcome.ids), (Some("no model"), vec![]));
}

#[test]
fn a_network_that_fails_ends_the_run_with_its_error_and_what_came_before() {
    let (recorders, recorded) = recorder();
    let outcome = within_limit(|| {
        let classify = |frames: &[FrameFaces<'_>], tell: &mut dyn FnMut(String)| {
            if number(frames[0].gray) < 5 { classify(frames, tell) } else { bail!("the network is broken") }
        };
        let stages = Stages {
            source: &mut endless(),
            make_detect: || Ok(detect),
            classify,
            faces_a_frame: None,
            frames_at_once: 1,
            tables: Vec::new(),
            recorders,
            needs_outputs: true,
        };
        run_stages(stages, DropPolicy::Every, &Stop::default(), go_on)
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
        run_with(&mut endless(), DropPolicy::Every, &Stop::default(), recorders, |id| {
            if id < 5 { go_on(id) } else { bail!("the disk is full") }
        })
    });
    assert_eq!(outcome.error.as_deref(), Some("the disk is full"));
    assert_frames(&outcome.ids, 0..6);
    let recorded = recorded.lock().unwrap();
    assert_frames(&recorded.ids, 0..5);
    assert_eq!(recorded.finished, 1);
}

/// Outputs of both kinds, of which `table` says what a table does with a frame, with what came to the other two.
fn outputs(
    table: impl FnMut(u64) -> Result<ControlFlow<()>> + Send + 'static,
) -> (Recorders, Recorders, [Arc<Mutex<Recorded>>; 2]) {
    let (mut tables, (others, beside), (recorders, recorded)) = (sink_that(table), recorder(), recorder());
    tables.extend(others);
    (tables, recorders, [beside, recorded])
}

fn run_outputs(
    source: &mut dyn Source,
    tables: Recorders,
    recorders: Recorders,
    needs_outputs: bool,
) -> (Outcome, Vec<String>) {
    let (make_detect, mut told, mut ids) = (|| Ok(detect), Vec::new(), Vec::new());
    let (faces_a_frame, frames_at_once) = (None, 1);
    let stages =
        Stages { source, make_detect, classify, faces_a_frame, frames_at_once, tables, recorders, needs_outputs };
    let (losses, result) = run(stages, DropPolicy::Every, &Stop::default(), |event| {
        match event {
            Event::Frame(labelled) => ids.push(labelled.frame.id),
            Event::Warning(warning) => told.push(warning),
            Event::Notice(_) | Event::Idle | Event::End(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    });
    (Outcome { ids, losses, error: result.err().map(|error| format!("{error:#}")) }, told)
}

#[test]
fn an_output_that_fails_is_told_and_the_others_are_completed() {
    let broken = |id| if id < 5 { Ok(ControlFlow::Continue(())) } else { bail!("frame {id} can't be written") };
    let left = |id| Ok(if id < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
    let error = [outputs(broken), outputs(left)].map(|(tables, recorders, others)| {
        let (outcome, told) = within_limit(move || run_outputs(&mut frames(60), tables, recorders, true));
        assert_frames(&outcome.ids, 0..60);
        for recorded in others {
            let recorded = recorded.lock().unwrap();
            assert_frames(&recorded.ids, 0..60);
            assert_eq!((recorded.finished, recorded.ending), (1, Some(Ending::Whole)));
        }
        let error = outcome.error.expect("an error");
        assert_eq!(told, std::slice::from_ref(&error));
        error
    });
    assert_eq!(error, ["frame 5 can't be written", "the reader of an output has left, and gets no more"]);
}

#[test]
fn a_run_that_nothing_can_be_written_of_ends() {
    let broken = |id| if id < 5 { Ok(ControlFlow::Continue(())) } else { bail!("frame {id} can't be written") };
    let left = |id| Ok(if id < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
    let (outcome, told) = within_limit(move || run_outputs(&mut endless(), sink_that(broken), vec![], true));
    // The run's error is told by whoever runs it.
    assert_eq!((outcome.error.as_deref(), told), (Some("frame 5 can't be written"), vec![]));
    // An only reader had what it wanted.
    let (outcome, told) = within_limit(move || run_outputs(&mut endless(), sink_that(left), vec![], true));
    assert_eq!((outcome.error.as_deref(), told), (None, vec![]));
    // Somebody watches.
    let (outcome, told) = within_limit(move || run_outputs(&mut frames(60), sink_that(broken), vec![], false));
    assert_eq!((outcome.ids.len(), told.len()), (60, 1));
    assert_eq!(outcome.error.as_deref(), Some("frame 5 can't be written"));
}

#[test]
fn a_recorder_that_cannot_finish_is_an_error() {
    let recorded = Arc::<Mutex<Recorded>>::default();
    let finish = || Err(anyhow!("no room for the index"));
    let recorder = FakeRecorder { recorded: recorded.clone(), before: |_| Ok(()), finish };
    let outcome = within_limit(move || {
        run_with(&mut frames(5), DropPolicy::Every, &Stop::default(), vec![Box::new(recorder)], go_on)
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
        run_with(&mut source, DropPolicy::Every, &Stop::default(), vec![Box::new(recorder)], go_on)
    });
    assert_eq!(outcome.error.as_deref(), Some("the first error"));
}

#[test]
fn a_panic_in_a_stage_is_an_error_that_names_the_stage() {
    let boom = |stage: &str, here: &str, number: u64| assert!(stage != here || number < 5, "boom");
    for stage in ["capture", "detect", "classify", "present", "record"] {
        for drop_policy in [DropPolicy::Every, DropPolicy::Latest] {
            let outcome = within_limit(move || {
                let mut source = FakeSource::new(|id| {
                    boom(stage, "capture", id);
                    Ok(Some(frame(id)))
                });
                let make_detect = || {
                    Ok(|frame: &Frame, gray: &GrayImage| {
                        boom(stage, "detect", number(gray));
                        detect(frame, gray)
                    })
                };
                let classify = |frames: &[FrameFaces<'_>], tell: &mut dyn FnMut(String)| {
                    boom(stage, "classify", number(frames[0].gray));
                    classify(frames, tell)
                };
                let (recorders, _) = recorder_that(move |id| {
                    boom(stage, "record", id);
                    Ok(())
                });
                let stages = Stages {
                    source: &mut source,
                    make_detect,
                    classify,
                    faces_a_frame: None,
                    frames_at_once: 1,
                    tables: Vec::new(),
                    recorders,
                    needs_outputs: true,
                };
                run_stages(stages, drop_policy, &Stop::default(), |id| {
                    boom(stage, "present", id);
                    go_on(id)
                })
            });
            assert_eq!(outcome.error, Some(format!("the {stage} stage panicked: boom")), "{drop_policy:?}");
        }
    }
}

#[test]
fn a_closed_window_ends_the_run_of_an_endless_source() {
    for drop_policy in [DropPolicy::Every, DropPolicy::EveryInRealTime, DropPolicy::Latest] {
        let (recorders, recorded) = recorder();
        let mut presented = 0;
        let outcome = within_limit(move || {
            run_with(&mut endless(), drop_policy, &Stop::default(), recorders, |_| {
                presented += 1;
                Ok(if presented < 4 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })
        });
        assert_eq!((outcome.error, outcome.ids.len()), (None, 4), "{drop_policy:?}");
        let recorded = recorded.lock().unwrap();
        assert_eq!((&recorded.ids, recorded.finished), (&outcome.ids, 1), "{drop_policy:?}");
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
        let stages = Stages {
            source: &mut source,
            make_detect: || Ok(detect),
            classify,
            faces_a_frame: None,
            frames_at_once: 1,
            tables: Vec::new(),
            recorders: vec![],
            needs_outputs: true,
        };
        let mut ids = Vec::new();
        let (_, result) = run(stages, DropPolicy::Every, &Stop::default(), |event| match event {
            Event::Frame(annotated) => {
                ids.push(annotated.frame.id);
                Ok(ControlFlow::Continue(()))
            }
            Event::Idle if ids.len() == 3 => {
                closed.send(())?;
                Ok(ControlFlow::Break(()))
            }
            Event::Notice(_) | Event::Warning(_) | Event::Idle | Event::End(_) => Ok(ControlFlow::Continue(())),
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
        let outcome = run_with(&mut source, DropPolicy::Every, &run_stop, vec![], |id| {
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
        run_with(&mut endless(), DropPolicy::Every, &stop, recorders, go_on)
    });
    assert_eq!((outcome.error, outcome.ids), (None, vec![]));
    assert_eq!(recorded.lock().unwrap().finished, 1);
}

#[test]
fn a_request_is_heard_while_a_frame_waits_for_its_time() {
    let outcome = within_limit(|| {
        let stop = Stop::default();
        let mut source = FakeSource::new(|id| Ok(Some(Frame { pts: Duration::from_secs(3600 * id), ..frame(id) })));
        run_with(&mut source, DropPolicy::EveryInRealTime, &stop.clone(), vec![], |id| {
            stop.request();
            go_on(id)
        })
    });
    assert_eq!(outcome.error, None);
    assert!(!outcome.ids.is_empty());
}

/// Runs commands of the program without anyone at the other end of standard error, and checks their exit code and that
/// the output is whole: a pipe that nobody reads, a full disk, and no standard error at all.
#[cfg(unix)]
fn assert_unheard(line: &str, folder: &Path, code: i32, output: &str) {
    for nobody in ["pipe", "full", "closed"] {
        if nobody == "full" && !Path::new("/dev/full").exists() {
            continue;
        }
        // What the run before left.
        let _ = fs::remove_file(folder.join(output));
        let _ = fs::remove_dir_all(folder.join("run"));
        let mut command = Command::new("sh");
        command.args(["-c", if nobody == "closed" { "exec \"$@\" 2>&-" } else { "exec \"$@\"" }, "sh"]);
        command.arg(emocam().get_program()).args(line.split(' ')).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(match nobody {
            "pipe" => Stdio::piped(),
            "full" => fs::File::options().write(true).open("/dev/full").expect("a device").into(),
            _ => Stdio::null(),
        });
        let mut child = command.spawn().expect("sh starts");
        drop(child.stderr.take());
        let status = wait_until(&mut child, Instant::now() + LIMIT);
        assert_eq!(status.and_then(|status| status.code()), Some(code), "{line}: {nobody}");
        assert!(folder.join(output).exists(), "{line}: {nobody}");
    }
}

#[cfg(unix)]
#[test]
fn a_run_that_nobody_hears_is_whole() {
    let folder = temporary_folder();
    let folder = folder.path();
    fs::copy(demo_clip(), folder.join("clip.mp4")).expect("a copy");
    assert_unheard("live demo --headless --frames 5 -o x.mp4", folder, 0, "x.mp4");
    assert_unheard("live clip.mp4 --frames 5 -o x.mp4", folder, 0, "x.mp4");
    assert_unheard("annotate clip.mp4 --frames 5 -o x.mp4", folder, 0, "x.mp4");
}

#[cfg(unix)]
#[test]
fn what_is_skipped_unheard_is_in_the_exit_code_alone() {
    let folder = temporary_folder();
    let pictures = folder.path().join("pictures");
    fs::create_dir(&pictures).expect("a folder");
    image::RgbImage::new(64, 64).save(pictures.join("a.png")).expect("a PNG");
    fs::write(pictures.join("b.png"), "no picture").expect("a file");
    assert_unheard("annotate pictures -o x.jsonl", folder.path(), 1, "x.jsonl");
}

#[cfg(unix)]
#[test]
fn training_that_nobody_hears_is_whole() {
    let folder = temporary_folder();
    Faces::drawn().write_classes(&folder.path().join("data"), 4);
    let line = "train --data data --out run --device cpu --init none --channels 4,4,8,8 --blocks 1,1,1 --batch-size 16 \
                --epochs 1 --faces whole";
    assert_unheard(&line.replace("                ", ""), folder.path(), 0, "run/best.safetensors");
}
