//! Where a frame has more faces than there is time for: who is labelled in it, and what is said of the others.

use std::ops::ControlFlow;
use std::sync::Mutex;

use emocam::flow::emotion::Probabilities;
use emocam::flow::frame::{FaceBox, Frame};
use emocam::flow::stop::Stop;
use emocam::network::classify::FrameFaces;
use emocam::pipeline::{DropPolicy, Event, Stages, run};
use emocam::track::{Faces, TrackedFace};
use image::GrayImage;

use crate::common::{emocam, fail, in_project};
use crate::stages::*;

/// Five faces, whose places are their numbers, and one more that there was no room for.
fn detect_five(_: &Frame, _: &GrayImage) -> anyhow::Result<Faces> {
    let face = |id: u64| FaceBox { x: id as f32, y: 1.0, width: 1.0, height: 1.0, score: 5.0 };
    let tracked = |id| TrackedFace { id, face: face(id), points: None, turned: id == 4 };
    Ok(Faces { tracked: (0..5).map(tracked).collect(), ignored: 1, unlabelled: vec![face(7)] })
}

/// Of each frame: who was read in it, who is labelled and whether that is new, how many are not, and where those are.
type Seen = (Vec<u64>, Vec<(u64, bool)>, usize, Vec<u64>);

fn seen(drop_policy: DropPolicy, faces_a_frame: Option<usize>) -> Vec<Seen> {
    let read = Mutex::new(Vec::new());
    let classify = |frames: &[FrameFaces<'_>], _: &mut dyn FnMut(String)| {
        let number = |face: &emocam::flow::frame::Face| face.bounds.x as u64;
        let numbers: Vec<Vec<u64>> = frames.iter().map(|frame| frame.faces.iter().map(number).collect()).collect();
        read.lock().expect("no poison").extend(numbers.clone());
        let certain = Probabilities::from_logits(&[0.0, 0.0, 0.0, 50.0, 0.0, 0.0, 0.0]);
        Ok(numbers.iter().map(|faces| vec![certain; faces.len()]).collect())
    };
    let stages = Stages {
        source: &mut frames(4),
        make_detect: || Ok(detect_five),
        classify,
        faces_a_frame,
        frames_at_once: 1,
        tables: Vec::new(),
        recorders: Vec::new(),
        needs_outputs: true,
    };
    let mut shown = Vec::new();
    let (_, result) = run(stages, drop_policy, &Stop::default(), |event| {
        if let Event::Frame(labelled) = event {
            for face in &labelled.predictions {
                assert_eq!((face.unsure, face.confidence() > 0.6), (face.id == 4, face.id != 4), "{face:?}");
            }
            let labels = labelled.predictions.iter().map(|face| (face.id, face.read)).collect();
            shown.push((labels, labelled.ignored, labelled.unlabelled.iter().map(|face| face.x as u64).collect()));
        }
        Ok(ControlFlow::Continue(()))
    });
    result.expect("no failure");
    let read = read.into_inner().expect("no poison");
    read.into_iter().zip(shown).map(|(read, (labels, ignored, others))| (read, labels, ignored, others)).collect()
}

#[test]
fn faces_are_read_by_turns_and_one_that_never_was_is_not_labelled_yet() {
    let seen = within_limit(|| seen(DropPolicy::EveryInRealTime, Some(2)));
    let expected: [Seen; 4] = [
        (vec![0, 1], vec![(0, true), (1, true)], 4, vec![7, 2, 3, 4]),
        (vec![2, 3], vec![(0, false), (1, false), (2, true), (3, true)], 2, vec![7, 4]),
        (vec![0, 4], vec![(0, true), (1, false), (2, false), (3, false), (4, true)], 1, vec![7]),
        (vec![1, 2], vec![(0, false), (1, true), (2, true), (3, false), (4, false)], 1, vec![7]),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn where_nothing_hurries_every_face_is_read_in_every_frame() {
    for (drop_policy, limit) in [(DropPolicy::Every, Some(2)), (DropPolicy::EveryInRealTime, None)] {
        for frame in within_limit(move || seen(drop_policy, limit)) {
            assert_eq!(frame, (vec![0, 1, 2, 3, 4], (0..5).map(|id| (id, true)).collect(), 1, vec![7]));
        }
    }
}

#[test]
fn pictures_have_no_turns() {
    let picture = in_project("tests/data/astronaut.jpg");
    let mut command = emocam();
    command.arg("live").arg(picture).args(["--headless", "--labels", "2"]);
    fail(&mut command, 1, &["--labels", "every face is labelled"]);
    fail(emocam().args(["live", "demo", "--labels", "0"]), 2, &["--labels", "at least 1"]);
}
