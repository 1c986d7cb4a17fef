//! One camera in the place of another, as key c in the window asks for it.

use std::time::{Duration, Instant};

use emocam::flow::frame::Frame;
use emocam::source::{CameraOptions, Source, SourceSpec, list_cameras, switching};

use super::cases::{Case, Outcome, recovered};
use super::webcam::Webcam;

pub(crate) const CASES: &[Case] = &[("another camera is asked for, and one more", another)];

/// Far more than a camera takes to open.
const LIMIT: Duration = Duration::from_secs(20);

fn another() -> Outcome {
    let webcam = Webcam::new();
    let cameras: Vec<u32> = list_cameras().expect("a list").iter().map(|camera| camera.index).collect();
    assert!(cameras.len() >= 2 && cameras.contains(&webcam.index()), "{cameras:?}");
    let options = CameraOptions::default();
    let first = SourceSpec::CameraIndex(cameras[0]).open_with(&options).expect("the first camera");
    let (mut source, switch) = switching(first, options);
    let switch = switch.expect("it is a camera");
    let (mut frames, mut longest) = (take(source.as_mut(), 5), Duration::ZERO);
    // Around, and the first one again.
    for camera in cameras[1..].iter().chain([&cameras[0]]) {
        switch.request();
        let asked = Instant::now();
        // A frame that was taken before is of the old one.
        let scene = frames[frames.len() - 1].scene;
        let new = loop {
            let frame = take(source.as_mut(), 1).remove(0);
            if frame.scene > scene {
                break frame;
            }
            assert!(asked.elapsed() < LIMIT, "no frame of camera {camera}");
        };
        longest = longest.max(asked.elapsed());
        frames.push(new);
        frames.extend(take(source.as_mut(), 5));
        assert_eq!(source.info().camera, Some(*camera));
        let taken = switch.taken();
        assert!(taken.len() == 1 && taken[0].1.starts_with(&format!("camera {camera} ")), "{taken:?}");
    }
    assert!(frames.is_sorted_by(|a, b| a.id < b.id && a.pts < b.pts), "numbers and times rise");
    assert_eq!(source.health().reconnects, 0);
    recovered(format!("{} cameras in turn", cameras.len()), longest)
}

fn take(source: &mut dyn Source, count: usize) -> Vec<Frame> {
    (0..count).map(|_| source.next_frame().expect("no failure").expect("no end")).collect()
}
