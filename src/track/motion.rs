//! How a box moves: its centre and size, each followed by a filter that knows a value and its rate of change.
//!
//! A g-h filter with fading memory (Brookner 1998, Tracking and Kalman Filtering Made Easy, chapter 1.2): it predicts by the
//! rate, and corrects value and rate by a share of the difference to what was measured. A steady motion is followed without
//! any lag. How long it remembers depends on that difference: small ones are the detector's trembling and are smoothed
//! away, large ones are a face that starts, stops or turns.

use crate::frame::FaceBox;

/// How long a box at rest remembers, in seconds.
const MEMORY_AT_REST: f32 = 0.25;

/// How long a box in motion remembers, in seconds.
const MEMORY_IN_MOTION: f32 = 0.06;

/// Up to this difference between prediction and measurement, as a share of the face's width, a face counts as at rest.
const TREMBLE: f32 = 0.02;

/// From this difference on it counts as in motion.
const MOTION: f32 = 0.07;

/// The longest time that a rate is trusted for, in seconds: nobody walks on for ever.
const TRUST: f32 = 0.5;

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

    /// Corrects by a measurement that differs from the prediction by `residual`; it is the `updates`-th one.
    fn correct(&mut self, residual: f32, seconds: f32, memory: f32, updates: u32) {
        let fading = (-seconds / memory).exp();
        // A memory that is still growing weighs all measurements alike (same source, chapter 1.3).
        let n = updates as f32;
        let growing_g = 2.0 * (2.0 * n + 1.0) / ((n + 1.0) * (n + 2.0));
        let growing_h = 6.0 / ((n + 1.0) * (n + 2.0));
        let g = (1.0 - fading * fading).max(growing_g).min(1.0);
        let h = (1.0 - fading).powi(2).max(growing_h).min(1.0);
        self.value = self.predict(seconds) + g * residual;
        self.rate += h * residual / seconds;
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
        // What comes nearer does not do so for long, and a size must stay one.
        let width = self.width.predict(seconds).clamp(0.5 * self.width.value, 2.0 * self.width.value);
        let height = width * self.aspect;
        FaceBox {
            x: self.center_x.predict(seconds) - width / 2.0,
            y: self.center_y.predict(seconds) - height / 2.0,
            width,
            height,
            score: 0.0,
        }
    }

    /// Takes in where the face was found now.
    pub(super) fn measure(&mut self, found: &FaceBox) {
        if self.unseen <= 0.0 {
            return;
        }
        let (seconds, expected) = (self.unseen.min(TRUST), self.expected());
        let residuals = [
            found.x + found.width / 2.0 - (expected.x + expected.width / 2.0),
            found.y + found.height / 2.0 - (expected.y + expected.height / 2.0),
            found.width - expected.width,
        ];
        self.updates += 1;
        let width = self.width.value.max(1.0);
        for (steady, residual) in [&mut self.center_x, &mut self.center_y, &mut self.width].into_iter().zip(residuals) {
            let motion = ((residual.abs() / width - TREMBLE) / (MOTION - TREMBLE)).clamp(0.0, 1.0);
            let memory = MEMORY_AT_REST + motion * (MEMORY_IN_MOTION - MEMORY_AT_REST);
            steady.correct(residual, seconds, memory, self.updates);
        }
        self.width.value = self.width.value.max(1.0);
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
            motion.measure(&at(x, 100.0));
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
                let most = if i < 30 + 25 { speed.max(4.0) * if i < 30 + 5 { 2.0 } else { 1.0 } } else { speed };
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
            motion.measure(&at(i as f32 * 6.0, 100.0));
        }
        let last = motion.expected().x;
        motion.advance(0.2);
        assert!((motion.expected().x - last - 0.2 * 180.0).abs() < 6.0, "{} after {last}", motion.expected().x);
        motion.advance(0.3);
        let waiting = motion.expected();
        motion.advance(10.0);
        assert_eq!(motion.expected(), waiting);
    }

    #[test]
    fn no_time_and_much_time_between_measurements_are_borne() {
        let mut motion = Motion::new(&at(0.0, 100.0));
        motion.measure(&at(50.0, 100.0));
        motion.advance(1e6);
        motion.measure(&at(1000.0, 40.0));
        let face = motion.expected();
        assert!(face.x.is_finite() && face.width >= 1.0, "{face:?}");
    }
}
