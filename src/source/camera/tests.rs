//! A camera's whole life, with a script in the place of the device. Real devices are for tests/camera.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::anyhow;

use super::worker::Lines;
use super::*;
use crate::source::pixels::{Encoding, Range};

/// A grey pixel, or a frame that is too short.
const PIXEL: &[u8] = &[77];
const DAMAGED: &[u8] = &[];

fn camera_id() -> CameraId {
    // There is no such device, so nothing is ever found again.
    CameraId { index: 98765, name: "script".into(), path: "/dev/video98765".into(), port: String::new(), node: 0 }
}

fn opened() -> Opened {
    let rate = Rate { frames: 30, seconds: 1 };
    let format = CameraFormat { pixel_format: PixelFormat::Grey, width: 1, height: 1, rate };
    Opened { format, stride: 1, encoding: Encoding { range: Range::Full, ..Default::default() } }
}

pub(super) fn packet(count: u64, bytes: &[u8]) -> Packet {
    let (bytes, used, now) = (Arc::from(bytes), bytes.len(), Instant::now());
    let (damaged, damaged_before, earlier) = (false, 0, Vec::new());
    Packet { bytes, used, damaged, damaged_before, count, earlier, captured_at: now, arrived_at: now }
}

/// A worker that opens its camera, delivers, and ends.
fn script(packets: Vec<Packet>, end: Failure) -> Worker {
    Worker::spawn(move |Lines { opened: sender, frames, .. }| {
        sender.expect("it is still to be said").send(opened()).expect("someone waits");
        for packet in packets {
            frames.send(packet).expect("someone takes frames");
        }
        Err(end)
    })
}

fn unplugged() -> Failure {
    Failure::gone(anyhow!("unplugged"))
}

/// What comes next that is not just silence.
fn next(source: &mut CameraSource) -> Result<Next> {
    loop {
        match source.poll() {
            Ok(Next::Waiting(None)) => {}
            next => return next,
        }
    }
}

#[test]
fn damaged_and_missing_frames_are_counted_and_leave_gaps() {
    let damaged = Packet { damaged: true, ..packet(4, PIXEL) };
    let late = Packet { damaged_before: 1, ..packet(7, PIXEL) };
    let packets = vec![packet(1, PIXEL), packet(2, DAMAGED), damaged, late];
    let options = CameraOptions { no_reconnect: true, ..Default::default() };
    let mut source = CameraSource::of(script(packets, unplugged()), camera_id(), options).expect("a camera");
    assert_eq!(source.info().name, "camera 98765 (/dev/video98765): script, 1x1 GREY at 30 fps");
    let mut frames = Vec::new();
    let error = loop {
        match source.next_frame() {
            Ok(frame) => frames.push(frame.expect("no end without an error")),
            Err(error) => break error,
        }
    };
    assert_eq!(frames.iter().map(|frame| frame.id).collect::<Vec<_>>(), [0, 6]);
    assert_eq!((frames[0].pts, &frames[0].rgb[..]), (Duration::ZERO, &[77; 3][..]));
    assert_eq!(source.health(), Health { damaged: 3, missed: 2, reconnects: 0 });
    assert_eq!(format!("{error:#}"), "camera 98765 (/dev/video98765): unplugged");
    assert!(source.next_frame().expect("the end").is_none());
}

#[test]
fn an_unplugged_camera_is_waited_for() {
    let worker = script(vec![packet(1, PIXEL)], unplugged());
    let mut source = CameraSource::of(worker, camera_id(), CameraOptions::default()).expect("a camera");
    let Ok(Next::Frame(frame)) = next(&mut source) else { panic!("a frame was delivered") };
    let Ok(Next::Waiting(Some(notice))) = next(&mut source) else { panic!("an unplugged camera is news") };
    assert_eq!(notice.text, "camera 98765 (/dev/video98765): unplugged; waiting for it to come back");
    assert_eq!(notice.since, frame.captured_at);
    for _ in 0..3 {
        assert!(matches!(source.poll(), Ok(Next::Waiting(None))));
    }
}

#[test]
fn a_camera_that_comes_back_goes_on_in_a_new_scene() {
    let worker = script(vec![packet(1, PIXEL), packet(2, PIXEL)], unplugged());
    let mut source = CameraSource::of(worker, camera_id(), CameraOptions::default()).expect("a camera");
    let Ok(Next::Frame(first)) = next(&mut source) else { panic!("a frame was delivered") };
    let Ok(Next::Frame(second)) = next(&mut source) else { panic!("a frame was delivered") };
    // As if it had been found again.
    let again = script(vec![packet(1, DAMAGED), packet(2, PIXEL), packet(3, PIXEL)], unplugged());
    source.state = State::On(Stream::new(again, source.progress.next_id, true));
    let Ok(Next::Waiting(Some(notice))) = next(&mut source) else { panic!("its return is news") };
    assert_eq!((notice.text, notice.since), (source.info().name.clone(), second.captured_at));
    let Ok(Next::Frame(third)) = next(&mut source) else { panic!("a frame was delivered") };
    let Ok(Next::Frame(fourth)) = next(&mut source) else { panic!("a frame was delivered") };
    let frames = [first, second, third, fourth];
    assert_eq!(frames.each_ref().map(|frame| (frame.id, frame.scene)), [(0, 0), (1, 0), (3, 1), (4, 1)]);
    assert!(frames.is_sorted_by_key(|frame| frame.pts) && frames[2].pts > Duration::ZERO);
    assert_eq!(source.health(), Health { damaged: 1, missed: 0, reconnects: 1 });
}

#[test]
fn a_camera_that_fails_is_waited_for_unless_it_never_opened() {
    let broken = || Failure::other(anyhow!("reading fails"));
    let mut source =
        CameraSource::of(script(vec![], broken()), camera_id(), CameraOptions::default()).expect("a camera");
    let Ok(Next::Waiting(Some(notice))) = next(&mut source) else { panic!("a failure is news") };
    // The system does not know it, so that is why.
    assert!(notice.text.ends_with(UNPLUGGED), "{}", notice.text);
    let options = CameraOptions { no_reconnect: true, ..Default::default() };
    let mut source = CameraSource::of(script(vec![], broken()), camera_id(), options).expect("a camera");
    let error = source.next_frame().expect_err("it fails");
    assert_eq!(format!("{error:#}"), "camera 98765 (/dev/video98765): unplugged: reading fails");

    let worker = Worker::spawn(move |_| Err(Failure::other(anyhow!("in use"))));
    let error = CameraSource::of(worker, camera_id(), CameraOptions::default()).err().expect("it is in use");
    assert_eq!(format!("{error:#}"), "camera 98765 (/dev/video98765): in use");

    let worker = Worker::spawn(|_| panic!("on purpose: what a driver answers is not understood"));
    let error = CameraSource::of(worker, camera_id(), CameraOptions::default()).err().expect("it panicked");
    assert!(error.root_cause().to_string().contains("not understood"), "{error:#}");
}

#[test]
fn a_camera_that_hangs_keeps_nobody_from_leaving() {
    let (hold, hangs) = crossbeam::channel::bounded::<()>(0);
    let (says, said) = crossbeam::channel::bounded(1);
    let worker = Worker::spawn(move |lines| {
        // Nobody ever sends: it ends when the test drops its end.
        let _ = hangs.recv();
        says.send(lines.quit.load(Ordering::Relaxed)).expect("the test listens");
        Ok(())
    });
    let mut source =
        CameraSource::of(worker, camera_id(), CameraOptions::default()).expect("a camera that takes its time");
    assert!(matches!(source.poll(), Ok(Next::Waiting(None))));
    let start = Instant::now();
    drop(source);
    assert!(start.elapsed() < Duration::from_secs(30));
    drop(hold);
    assert!(said.recv().expect("the worker ends"), "it was not asked to end");
}

#[test]
fn a_path_that_is_no_camera_is_refused() {
    let message = |path: &str| {
        let opened = CameraSource::open_path(Path::new(path), &CameraOptions::default());
        format!("{:#}", opened.err().expect("no camera"))
    };
    assert!(message("/dev/null").contains("is not a camera"));
    assert!(message("/dev/video12345").contains("emocam cameras"));
}
