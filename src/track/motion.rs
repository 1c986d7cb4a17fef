//! How a box moves: its centre and size, each followed by a filter that knows a value and its rate of change.
//!
//! A g-h filter with fading memory (Brookner 1998, Tracking and Kalman Filtering Made Easy, chapter 1.2): it predicts by the
//! rate, and corrects value and rate by a share of the difference to what was measured. A steady motion is followed without
//! any lag. How long it remembers depends on that difference: small ones are the detector's trembling and are smoothed
//! away, large ones are a face that starts, stops or turns.

use crate::flow::frame::FaceBox;

/// How much is remembered.
struct Memory {
    /// Of a face at rest, in seconds.
    at_rest: f32,
    /// Of one in motion, in seconds.
    in_motion: f32,
    /// Up to this difference between prediction and measurement, as a share of the face's width, it counts as at rest.
    tremble: f32,
    /// From this difference on it counts as in motion.
    motion: f32,
}

/// A place may change at any time.
const OF_PLACE: Memory = Memory { at_rest: 0.25, in_motion: 0.06, tremble: 0.03, motion: 0.1 };

/// A size changes slowly, and the detector is surer of places than of sizes. The network sees what is in the box: the
/// steadier it is, the steadier are the labels.
const OF_SIZE: Memory = Memory { at_rest: 0.5, in_motion: 0.06, tremble: 0.06, motion: 0.2 };

impl Memory {
    /// Seconds that are remembered, when prediction and measurement differ by this share of the face's width.
    fn seconds(&self, difference: f32) -> f32 {
        let motion = ((difference - self.tremble) / (self.motion - self.tremble)).clamp(0.0, 1.0);
        self.at_rest + motion * (self.in_motion - self.at_rest)
    }
}

/// The shortest time between two measurements that a rate is taken from, in seconds: a tremble in no time is no speed.
const SHORTEST: f32 = 1.0 / 120.0;

/// The longest time that a place is foretold for, in seconds: nobody walks on for ever.
const TRUST: f32 = 1.0;

/// The same for a size: what comes nearer does not do so for long.
const TRUST_IN_SIZE: f32 = 0.1;

/// How much of itself a size gains or loses in a second at most: looks that differ in their framing are no movement.
const FASTEST_GROWTH: f32 = 2.0;

/// How fast a speed is forgotten that can't be measured, in seconds.
const FORGET_SPEED: f32 = 1.0;

/// One number that changes steadily, such as a position.
#[derive(Clone, Copy, Debug)]
struct Steady {
    value: f32,
    /// Per second.
    rate: f32,
}

impl Steady {
    fn predict(&self, seconds: f32) -> f32 {
        self.value + self.rate * seconds
    }

    /// Corrects by a measurement that differs from what was expected by `residual`; it is the `updates`-th one. A clear one
    /// corrects the rate, too.
    fn correct(&mut self, expected: f32, residual: f32, (seconds, memory): (f32, f32), updates: u32, clear: bool) {
        let fading = (-seconds / memory).exp();
        // A memory that is still growing weighs all measurements alike (same source, chapter 1.3).
        let n = updates as f32;
        let growing_g = 2.0 * (2.0 * n + 1.0) / ((n + 1.0) * (n + 2.0));
        let growing_h = 6.0 / ((n + 1.0) * (n + 2.0));
        let g = (1.0 - fading * fading).max(growing_g).min(1.0);
        let h = (1.0 - fading).powi(2).max(growing_h).min(1.0);
        self.value = expected + g * residual;
        if clear {
            self.rate += h * residual / seconds;
        } else {
            self.rate *= (-seconds / FORGET_SPEED).exp();
        }
    }
}

/// Where a face is and how it moves.
#[derive(Clone, Debug)]
pub(super) struct Motion {
    center_x: Steady,
    center_y: Steady,
    width: Steady,
    /// Height over width.
    aspect: f32,
    updates: u32,
    /// Seconds since the last measurement.
    unseen: f32,
}

impl Motion {
    /// A face at rest.
    pub(super) fn new(face: &FaceBox) -> Self {
        let steady = |value| Steady { value, rate: 0.0 };
        Self {
            center_x: steady(face.x + face.width / 2.0),
            center_y: steady(face.y + face.height / 2.0),
            width: steady(face.width),
            aspect: face.height / face.width,
            updates: 0,
            unseen: 0.0,
        }
    }

    /// Lets time pass, in seconds.
    pub(super) fn advance(&mut self, seconds: f32) {
        self.unseen += seconds;
    }

    /// Where the face should be now.
    pub(super) fn expected(&self) -> FaceBox {
        let seconds = self.unseen.min(TRUST);
        // A size must stay one, however fast it changed.
        let width = self.width.predict(seconds.min(TRUST_IN_SIZE));
        let width = width.clamp(0.5 * self.width.value, 2.0 * self.width.value);
        let height = width * self.aspect;
        FaceBox {
            x: self.center_x.predict(seconds) - width / 2.0,
            y: self.center_y.predict(seconds) - height / 2.0,
            width,
            height,
            score: 0.0,
        }
    }

    /// Takes in where the face was found now. Where it is not `clear`, another face may cover a part of it: its box is that
    /// of what can be seen, which does not move and shrinks.
    pub(super) fn measure(&mut self, found: &FaceBox, clear: bool) {
        if self.unseen <= 0.0 {
            return;
        }
        let (seconds, expected) = (self.unseen.clamp(SHORTEST, TRUST), self.expected());
        let center = |face: &FaceBox| [face.x + face.width / 2.0, face.y + face.height / 2.0];
        let ([x, y], [found_x, found_y]) = (center(&expected), center(found));
        let parts = [
            (&mut self.center_x, x, found_x, OF_PLACE),
            (&mut self.center_y, y, found_y, OF_PLACE),
            (&mut self.width, expected.width, found.width, OF_SIZE),
        ];
        self.updates += 1;
        for (steady, expected_value, found, memory) in parts {
            let residual = found - expected_value;
            let memory = memory.seconds(residual.abs() / expected.width.max(1.0));
            steady.correct(expected_value, residual, (seconds, memory), self.updates, clear);
        }
        self.width.value = self.width.value.max(1.0);
        let fastest = FASTEST_GROWTH * self.width.value;
        self.width.rate = self.width.rate.clamp(-fastest, fastest);
        self.aspect = found.height / found.width;
        self.unseen = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: f32 = 1.0 / 30.0;

    fn at(x: f32, width: f32) -> FaceBox {
        FaceBox { x: x - width / 2.0, y: 100.0, width, height: width, score: 5.0 }
    }

    /// The centre after each of the measured ones.
    fn follow(centers: impl IntoIterator<Item = f32>) -> Vec<f32> {
        let mut motion: Option<Motion> = None;
        let follow = |x| {
            let motion = motion.get_or_insert_with(|| Motion::new(&at(x, 100.0)));
            motion.advance(FRAME);
            motion.measure(&at(x, 100.0), true);
            let face = motion.expected();
            face.x + face.width / 2.0
        };
        centers.into_iter().map(follow).collect()
    }

    #[test]
    fn a_moving_face_is_followed_with_less_than_a_frame_of_lag() {
        for speed in [1.0f32, 3.0, 10.0, 25.0] {
            // At rest for a second, then in steady motion.
            let path: Vec<f32> = (0..30).map(|_| 0.0).chain((1..60).map(|i| i as f32 * speed)).collect();
            let followed = follow(path.clone());
            for (i, (truth, found)) in path.iter().zip(&followed).enumerate() {
                // Where it starts, it is not told from trembling at once: that is a matter of a few hundredths of its width.
                let most = if i < 30 + 25 { speed.max(5.0) * if i < 30 + 5 { 2.0 } else { 1.0 } } else { speed };
                assert!((truth - found).abs() <= most, "speed {speed}, frame {i}: at {truth}, found at {found}");
            }
        }
    }

    #[test]
    fn trembling_is_smoothed_away() {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            4.0 * ((state >> 8) as f32 / (1 << 24) as f32 - 0.5)
        };
        let path: Vec<f32> = (0..300).map(|_| noise()).collect();
        let steps = |path: &[f32]| path.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f32>();
        let followed = follow(path.clone());
        assert!(steps(&followed[30..]) < 0.35 * steps(&path[30..]), "{} of {}", steps(&followed), steps(&path));
    }

    #[test]
    fn an_unseen_face_goes_on_for_a_moment_and_then_waits() {
        let mut motion = Motion::new(&at(0.0, 100.0));
        for i in 1..30 {
            motion.advance(FRAME);
            motion.measure(&at(i as f32 * 6.0, 100.0), true);
        }
        let last = motion.expected().x;
        motion.advance(0.2);
        assert!((motion.expected().x - last - 0.2 * 180.0).abs() < 6.0, "{} after {last}", motion.expected().x);
        motion.advance(0.8);
        let waiting = motion.expected();
        motion.advance(10.0);
        assert_eq!(motion.expected(), waiting);
    }

    #[test]
    fn frames_in_quick_succession_do_not_throw_a_box_away() {
        let mut motion = Motion::new(&at(0.0, 100.0));
        for i in 0..100 {
            motion.advance(0.001);
            motion.measure(&at(if i % 2 == 0 { 3.0 } else { -3.0 }, 100.0), true);
        }
        motion.advance(FRAME);
        let face = motion.expected();
        assert!((face.x + face.width / 2.0).abs() < 20.0, "{face:?}");
    }

    #[test]
    fn no_time_and_much_time_between_measurements_are_borne() {
        let mut motion = Motion::new(&at(0.0, 100.0));
        motion.measure(&at(50.0, 100.0), true);
        motion.advance(1e6);
        motion.measure(&at(1000.0, 40.0), true);
        let face = motion.expected();
        assert!(face.x.is_finite() && face.width >= 1.0, "{face:?}");
    }
}
