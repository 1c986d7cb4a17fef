use image::imageops::{FilterType, overlay, resize};
use image::{Rgb, RgbImage};

use super::*;
use crate::network::preprocess::gray_from_rgb;

const FRAME: Duration = Duration::from_nanos(33_333_333);

/// The astronaut's head, 200 pixels wide; the face in it is about half as wide.
fn head() -> RgbImage {
    let picture = image::load_from_memory(include_bytes!("../../tests/data/astronaut.jpg")).expect("a picture");
    let picture = picture.into_rgb8();
    let (width, height) = picture.dimensions();
    let head = image::imageops::crop_imm(&picture, width / 4, 0, width * 2 / 5, height * 2 / 5).to_image();
    resize(&head, 200, 200, FilterType::Triangle)
}

/// A frame with heads whose left upper corners are at these places.
fn frame(head: &RgbImage, places: &[(i64, i64)]) -> RgbImage {
    let mut frame = RgbImage::from_fn(640, 480, |x, y| Rgb([(100 + (x * 7 + y * 13) % 31) as u8; 3]));
    places.iter().for_each(|&(x, y)| overlay(&mut frame, head, x, y));
    frame
}

fn track(tracker: &mut FaceTracker, rgb: &RgbImage, number: u64, pts: Duration) -> Faces {
    let gray = gray_from_rgb(rgb, rgb.width(), rgb.height()).expect("grey");
    tracker.track(Picture { rgb, gray: &gray }, number, pts).expect("faces")
}

fn tracker() -> FaceTracker {
    let smallest_face = SmallestFace::IN_MOTION;
    FaceTracker::new(Search { smallest_face, sequence: Sequence::Motion(None), sees_all: false }).expect("a tracker")
}

fn ids(faces: &Faces) -> Vec<u64> {
    faces.tracked.iter().map(|face| face.id).collect()
}

#[test]
fn a_new_face_is_found_and_a_gone_one_dropped_within_half_a_second() {
    let (head, mut tracker, mut now) = (head(), tracker(), Duration::ZERO);
    let mut number = 0;
    let mut step = |places: &[(i64, i64)]| {
        (now, number) = (now + FRAME, number + 1);
        ids(&track(&mut tracker, &frame(&head, places), number, now))
    };
    assert_eq!(step(&[(20, 40)]), [0], "the first frame is scanned whole");
    for _ in 0..7 {
        assert_eq!(step(&[(20, 40)]), [0]);
    }
    let both = (0..15).position(|_| step(&[(20, 40), (380, 200)]) == [0, 1]);
    assert!(both.is_some(), "a new face is not found within 15 frames");
    let alone = (0..15).position(|_| step(&[(380, 200)]) == [1]);
    assert!(alone.is_some(), "a gone face is still there after 15 frames");
}

#[test]
fn a_moving_face_is_one_and_is_where_it_is_said_to_be() {
    let (head, mut tracker) = (head(), tracker());
    let mut offset = None;
    for i in 0..60i64 {
        let x = 5 * i;
        let faces = track(&mut tracker, &frame(&head, &[(x, 100)]), i as u64, FRAME * i as u32);
        assert_eq!(ids(&faces), [0], "frame {i}");
        let face = faces.tracked[0].face;
        let offset = *offset.get_or_insert(face.x);
        // The detector itself is off by a few pixels from frame to frame.
        assert!((face.x - x as f32 - offset).abs() < 12.0, "frame {i}: {face:?}, {x} + {offset}");
    }
}

#[test]
fn odd_times_and_sizes_are_borne() {
    let (head, mut tracker) = (head(), tracker());
    let picture = frame(&head, &[(100, 100)]);
    for (number, seconds) in (0..).zip([0.0, 0.03, 0.03, 0.01, 7200.0, 1.0, 1.03]) {
        let faces = track(&mut tracker, &picture, number, Duration::from_secs_f64(seconds));
        assert_eq!(faces.tracked.len(), 1, "at {seconds} s");
    }
    let small = resize(&picture, 320, 240, FilterType::Triangle);
    let faces = track(&mut tracker, &small, 7, Duration::from_secs_f64(1.07));
    assert_eq!(faces.tracked.len(), 1, "another size");
    assert!(faces.tracked[0].face.width < 100.0, "{faces:?}");
    for (width, height) in [(1, 1), (3000, 2), (640, 480)] {
        let black = RgbImage::new(width, height);
        assert!(track(&mut tracker, &black, 8, Duration::from_secs(3)).tracked.is_empty());
    }
}

#[test]
fn a_slow_machine_does_not_scan_every_frame_whole() {
    let (head, mut tracker) = (head(), tracker());
    let picture = frame(&head, &[(100, 100)]);
    for i in 0..20 {
        // Of a camera's 30 frames a second, two are looked at.
        let faces = track(&mut tracker, &picture, 15 * i, FRAME * 15 * i as u32);
        assert_eq!(ids(&faces), [0]);
        assert!(i < 2 || tracker.schedule.frames() > 5, "{} frames", tracker.schedule.frames());
    }
}

#[test]
fn each_picture_is_by_itself() {
    let head = head();
    let search = Search { smallest_face: SmallestFace::IN_PICTURES, sequence: Sequence::Pictures, sees_all: false };
    let mut tracker = FaceTracker::new(search).expect("a tracker");
    for places in [&[(20, 40)][..], &[(20, 40), (380, 200)], &[(380, 200)]] {
        let faces = track(&mut tracker, &frame(&head, places), 0, Duration::ZERO);
        assert_eq!(ids(&faces), (0..places.len() as u64).collect::<Vec<_>>());
    }
}
