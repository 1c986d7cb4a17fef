//! How long it takes to tell what so many faces of a frame express, without everything that comes before and after: the
//! crops, the way to the device, the network, and the way back.

use std::time::{Duration, Instant};

use anyhow::Result;
use image::{GrayImage, Luma};

use emocam::flow::frame::{Face, FaceBox, FacePoints};
use emocam::network::classify::Classifier;

/// Faces in a frame: one person, a family, a class.
const FACES: [usize; 3] = [1, 4, 16];

/// The frame, in pixels.
const SIZE: (u32, u32) = (640, 480);

/// The side of a face in it: four rows of four have room.
const SIDE: f32 = 100.0;

/// Rounds that are not counted: by then the memory is taken, and a GPU has got up to speed.
const WARM_UP: usize = 10;

/// The least rounds and the most: enough for what one in twenty is slower than, and no more memory than a page or two.
const ROUNDS: (usize, usize) = (40, 10_000);

/// What classification of so many faces takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaceTimes {
    pub(super) faces: usize,
    pub(super) rounds: usize,
    /// Half of the rounds took no longer.
    pub(super) p50: Duration,
    /// 95% of the rounds took no longer.
    pub(super) p95: Duration,
}

impl FaceTimes {
    fn new(faces: usize, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() * share).div_ceil(100).max(1) - 1];
        Self { faces, rounds: times.len(), p50: at(50), p95: at(95) }
    }

    /// Faces in a second, by the median.
    pub(super) fn faces_a_second(&self) -> f64 {
        self.faces as f64 / self.p50.as_secs_f64().max(1e-9)
    }
}

/// Measures each number of faces for so long, by the clock, or for the least rounds.
pub(super) fn classification(classifier: &mut Classifier, patience: Duration) -> Result<Vec<FaceTimes>> {
    let frame = GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| Luma([(x * 3 + y * y / 7) as u8]));
    let mut all = Vec::with_capacity(FACES.len());
    for count in FACES {
        let faces: Vec<Face> = (0..count).map(face).collect();
        for _ in 0..WARM_UP {
            classifier.classify(&frame, &faces)?;
        }
        let (begun, mut times) = (Instant::now(), Vec::new());
        while times.len() < ROUNDS.0 || (begun.elapsed() < patience && times.len() < ROUNDS.1) {
            let start = Instant::now();
            classifier.classify(&frame, &faces)?;
            times.push(start.elapsed());
        }
        all.push(FaceTimes::new(count, times));
    }
    Ok(all)
}

/// The parts of a face, in sides of its box: those of a head that is tilted by a few degrees, as most are, so that its crop is
/// turned.
const POINTS: [[f32; 2]; 6] = [[0.3, 0.36], [0.7, 0.4], [0.48, 0.58], [0.46, 0.8], [0.1, 0.4], [0.9, 0.48]];

/// One of the faces, each at another place.
fn face(number: usize) -> Face {
    let (column, row) = ((number % 4) as f32, (number / 4) as f32);
    let bounds = FaceBox { x: 20.0 + 150.0 * column, y: 5.0 + 115.0 * row, width: SIDE, height: SIDE, score: 1.0 };
    let points = POINTS.map(|[x, y]| [bounds.x + x * SIDE, bounds.y + y * SIDE]);
    Face { bounds, points: Some(FacePoints::from_array(points)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_and_nineteen_twentieths_took_no_longer() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_millis).collect();
        let hundred = FaceTimes::new(4, times(100));
        assert_eq!((hundred.p50, hundred.p95), (Duration::from_millis(50), Duration::from_millis(95)));
        assert!((hundred.faces_a_second() - 80.0).abs() < 1e-9, "{hundred:?}");
        let one = FaceTimes::new(1, times(1));
        assert_eq!((one.rounds, one.p50, one.p95), (1, Duration::from_millis(1), Duration::from_millis(1)));
    }

    #[test]
    fn all_faces_are_in_the_frame() {
        for face in (0..FACES[2]).map(|number| face(number).bounds) {
            assert!(face.x + face.width <= SIZE.0 as f32 && face.y + face.height <= SIZE.1 as f32, "{face:?}");
        }
    }
}
