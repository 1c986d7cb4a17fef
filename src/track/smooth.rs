//! Labels that do not flicker: each face's probabilities, smoothed in time.
//!
//! An exponential average whose time constant follows the difference between what is shown and what is new, as in the 1 EUR
//! filter (Casiez et al. 2012, <https://doi.org/10.1145/2207676.2208639>): a large difference is a change of expression and
//! passes quickly, small ones are flicker between likely labels and hardly pass. Probabilities stay probabilities, since
//! each average is a mix of them. Time is the frames' own, in short steps, so the result does not depend on the frame rate.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::flow::emotion::Probabilities;
use crate::flow::labelled::Labelled;

/// A face that was not seen for so long starts anew.
const FORGOTTEN: Duration = Duration::from_secs(3);

/// How much longer the time constant is where new and shown probabilities agree, less 1: likely labels that are close to each
/// other change places only if that lasts.
const CALM: f32 = 16.0;

/// How fast that falls with their difference: a difference of 0.6 passes nearly as fast as one of 1.
const CALM_POWER: i32 = 6;

/// A certain change from one label to another shows after this many shortest time constants: with a difference d that falls
/// from 1 to 1/2, the integral of `(1 + CALM (1 - d)^CALM_POWER) / d`.
const HALFWAY: f32 = 0.725169;

/// What counts as the time between two frames of the same time: a camera's.
const FRAME: Duration = Duration::from_millis(33);

/// The longest step of the average, in seconds.
const STEP: f32 = 0.005;

/// A new face's box needs a moment to settle, in seconds. What its first crops show is not held against later ones.
const SETTLING: f32 = 0.4;

/// After that the smoothing comes up to its full length within this time, in seconds.
const RISING: f32 = 0.2;

struct Smoothed {
    since: Duration,
    pts: Duration,
    probabilities: Probabilities,
}

/// Smooths the probabilities of faces over time.
pub struct Smoother {
    /// The shortest time constant in seconds; 0 where nothing is smoothed.
    time_constant: f32,
    faces: HashMap<u64, Smoothed>,
}

impl Smoother {
    /// `delay` is how long it takes until a certain change of expression shows; zero leaves everything as it is.
    pub fn new(delay: Duration) -> Self {
        Self { time_constant: delay.as_secs_f32() / HALFWAY, faces: HashMap::new() }
    }

    /// The smoothed probabilities of one face that was read in the frame of time `pts`.
    fn smooth(&mut self, id: u64, new: Probabilities, pts: Duration) -> Probabilities {
        if self.time_constant <= 0.0 {
            return new;
        }
        let start = || Smoothed { since: pts, pts, probabilities: new };
        let face = match self.faces.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => return entry.insert(start()).probabilities,
        };
        let passed = pts.saturating_sub(face.pts);
        // Times that go back are a source that starts again.
        if passed > FORGOTTEN || pts < face.pts {
            *face = start();
            return new;
        }
        // Times that stand still are a file that does not know better.
        let passed = if passed.is_zero() { FRAME } else { passed };
        let age = pts.saturating_sub(face.since).as_secs_f32();
        let shortest = self.time_constant * ((age - SETTLING) / RISING).clamp(0.0, 1.0);
        face.pts = pts;
        let mut left = passed.as_secs_f32();
        while left > 0.0 {
            let calm = CALM * (1.0 - face.probabilities.difference(&new)).powi(CALM_POWER);
            let weight = 1.0 - (-left.min(STEP) / (shortest * (1.0 + calm))).exp();
            face.probabilities = face.probabilities.mixed(&new, weight);
            left -= STEP;
        }
        face.probabilities
    }

    /// Smooths all faces of a frame. One that was not read in it shows what it showed last: nothing is new of it, and the
    /// time until it is read again counts then.
    pub fn smooth_frame(&mut self, labelled: &mut Labelled) {
        let pts = labelled.frame.pts;
        for face in &mut labelled.predictions {
            if face.read {
                face.probabilities = self.smooth(face.id, face.probabilities, pts);
            } else if let Some(shown) = self.shown(face.id) {
                face.probabilities = shown;
            }
        }
        self.forget(pts);
    }

    /// What a face showed last, where that is smoothed and known.
    fn shown(&self, id: u64) -> Option<Probabilities> {
        self.faces.get(&id).map(|face| face.probabilities)
    }

    /// Forgets faces that have not been seen for long.
    fn forget(&mut self, now: Duration) {
        self.faces.retain(|_, face| now.abs_diff(face.pts) <= FORGOTTEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::emotion::{Emotion, Prediction};
    use crate::sink::tests::{labelled, prediction};

    fn certain(emotion: Emotion) -> Probabilities {
        let mut logits = [0.0; Emotion::COUNT];
        logits[emotion.index()] = 20.0;
        Probabilities::from_logits(&logits)
    }

    fn at(frame: u32, rate: u32) -> Duration {
        Duration::from_secs(1) * frame / rate
    }

    #[test]
    fn a_real_change_shows_after_the_delay_at_every_rate() {
        for rate in [15, 30, 60, 240] {
            let mut smoother = Smoother::new(Duration::from_millis(110));
            let show = |frame| {
                let now = if frame < 2 * rate { Emotion::Sad } else { Emotion::Happy };
                smoother.smooth(7, certain(now), at(frame, rate)).top()
            };
            let shown: Vec<Emotion> = (0..3 * rate).map(show).collect();
            let changed = shown.iter().position(|&emotion| emotion == Emotion::Happy).expect("it shows") as u32;
            let delay = at(changed, rate).saturating_sub(at(2 * rate, rate));
            let frame = at(1, rate).as_secs_f32();
            // The change came at some time within the frame before.
            assert!((0.105 - frame..=0.115).contains(&delay.as_secs_f32()), "{rate} a second: {delay:?}");
        }
    }

    #[test]
    fn a_clear_change_shows_within_a_fifth_of_a_second_and_any_that_lasts_within_one() {
        let of = |happy: f32| Probabilities::from_logits(&[0.0, 0.0, 0.0, happy, 5.0, 0.0, 0.0]);
        for (logit, frames) in [(0.5, 30), (1.0, 18), (2.0, 6), (5.0, 6)] {
            let mut smoother = Smoother::new(Duration::from_millis(110));
            let show =
                |frame| smoother.smooth(0, of(if frame < 60 { 5.0 - logit } else { 5.0 + logit }), at(frame, 30)).top();
            let shown: Vec<Emotion> = (0..120).map(show).collect();
            let changed = shown.iter().position(|&emotion| emotion == Emotion::Happy).expect("it shows");
            assert!((60..=60 + frames).contains(&changed), "logits {logit} apart: after {} frames", changed - 60);
        }
    }

    #[test]
    fn the_delay_of_a_certain_change_is_the_integral() {
        let steps = 100_000;
        let at = |i| 0.5 + 0.5 * (f64::from(i) + 0.5) / f64::from(steps);
        let term = |d: f64| (1.0 + f64::from(CALM) * (1.0 - d).powi(CALM_POWER)) / d;
        let integral = (0..steps).map(|i| term(at(i))).sum::<f64>() * 0.5 / f64::from(steps);
        assert!((integral - f64::from(HALFWAY)).abs() < 1e-4, "{integral}");
    }

    #[test]
    fn times_that_stand_still_count_as_frames() {
        let mut smoother = Smoother::new(Duration::from_millis(110));
        smoother.smooth(0, certain(Emotion::Sad), Duration::ZERO);
        let mut last = smoother.smooth(0, certain(Emotion::Sad), Duration::from_secs(2));
        for _ in 0..10 {
            last = smoother.smooth(0, certain(Emotion::Happy), Duration::from_secs(2));
        }
        assert_eq!(last.top(), Emotion::Happy);
    }

    #[test]
    fn a_flicker_does_not_show() {
        let mut smoother = Smoother::new(Duration::from_millis(110));
        for frame in 0..300 {
            // Flicker from the first frame on shows until the smoothing is up.
            let now = if frame > 30 && frame % 4 == 3 { Emotion::Fear } else { Emotion::Happy };
            let smoothed = smoother.smooth(0, certain(now), at(frame, 30));
            assert_eq!(smoothed.top(), Emotion::Happy, "frame {frame}");
            assert!((smoothed.iter().map(|(_, p)| p).sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn faces_do_not_mix_and_zero_changes_nothing() {
        let mut smoother = Smoother::new(Duration::from_millis(110));
        for frame in 0..10 {
            assert_eq!(smoother.smooth(0, certain(Emotion::Sad), at(frame, 30)).top(), Emotion::Sad);
            assert_eq!(smoother.smooth(1, certain(Emotion::Happy), at(frame, 30)).top(), Emotion::Happy);
        }
        let mut none = Smoother::new(Duration::ZERO);
        none.smooth(0, certain(Emotion::Sad), Duration::ZERO);
        assert_eq!(none.smooth(0, certain(Emotion::Fear), at(1, 30)), certain(Emotion::Fear));
    }

    #[test]
    fn a_face_that_is_read_by_turns_changes_as_fast_and_keeps_in_between_what_it_showed() {
        let mut smoother = Smoother::new(Duration::from_millis(110));
        let place = [0.0, 0.0, 9.0, 9.0];
        let mut last = None;
        let show = |frame: u32| {
            let now = if frame < 60 { Emotion::Sad } else { Emotion::Happy };
            let mut face = prediction(3, place, 5.0, [0.0; Emotion::COUNT]);
            // What comes with a face that was not read is its last reading.
            face.probabilities = certain(now);
            face.read = frame.is_multiple_of(4);
            let pts = at(frame, 30).as_nanos() as u64;
            let mut labelled = labelled(frame.into(), pts, 1, 1, vec![face.clone()]);
            smoother.smooth_frame(&mut labelled);
            let shown = labelled.predictions[0].probabilities;
            assert!(face.read || last == Some(shown), "frame {frame}");
            last = Some(shown);
            shown.top()
        };
        let shown: Vec<Emotion> = (0..90).map(show).collect();
        let changed = shown.iter().position(|&emotion| emotion == Emotion::Happy).expect("it shows");
        // The reading of frame 60 stands for the 133 ms since the one before it.
        assert_eq!(changed, 60);

        let mut none = Smoother::new(Duration::ZERO);
        let unread = Prediction { read: false, ..prediction(0, place, 5.0, [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]) };
        let mut frame = labelled(0, 0, 1, 1, vec![unread.clone()]);
        none.smooth_frame(&mut frame);
        assert_eq!(frame.predictions, [unread], "without smoothing the last reading stands");
    }

    #[test]
    fn times_that_stand_still_jump_or_go_back_are_borne() {
        let mut smoother = Smoother::new(Duration::from_millis(110));
        for (seconds, emotion) in [(5, Emotion::Sad), (5, Emotion::Sad), (1000, Emotion::Happy), (0, Emotion::Fear)] {
            let smoothed = smoother.smooth(0, certain(emotion), Duration::from_secs(seconds));
            assert_eq!(smoothed.top(), emotion, "at {seconds} s");
        }
        smoother.forget(Duration::from_secs(60));
        assert!(smoother.faces.is_empty());
    }
}
