//! So many bits a second, without a frame left out.
//!
//! OpenH264's own rate control leaves frames out or does not keep to its rate. Here each second gets an encoder of constant
//! quality, and what the last one took decides how coarse the next one is: 6 steps halve the bits (H.264, 8.6.1: the
//! quantizer doubles every 6 steps). What was spent too much or too little so far is made up for in the seconds to come.

use std::time::Duration;

use super::encoder::COARSEST;

/// How coarse the first second is, before anything is known.
const FIRST: u8 = 28;

/// No finer than this: a still picture must not make the next movement expensive.
const FINEST: u8 = 14;

/// How long one quality is kept: at first shorter, since the first is a guess.
const FIRST_SPELL: Duration = Duration::from_millis(300);
const SPELL: Duration = Duration::from_secs(1);

/// In how many seconds an error is made up for.
const REPAY: f64 = 3.0;

/// The largest change at a time.
const LARGEST_STEP: f64 = 8.0;

/// Chooses qualities so that the bits a second come to what was asked for.
pub(super) struct RateControl {
    target: f64,
    crf: u8,
    begun: Option<Duration>,
    spell_begun: Duration,
    spell_bits: f64,
    bits: f64,
}

impl RateControl {
    pub(super) fn new(bits_per_second: u32) -> Self {
        let target = f64::from(bits_per_second);
        Self { target, crf: FIRST, begun: None, spell_begun: Duration::ZERO, spell_bits: 0.0, bits: 0.0 }
    }

    /// The quality to go on with from the frame of this time on, if it is another one.
    pub(super) fn change(&mut self, pts: Duration) -> Option<u8> {
        let begun = *self.begun.get_or_insert_with(|| {
            self.spell_begun = pts;
            pts
        });
        let spell = pts.saturating_sub(self.spell_begun);
        let is_first = self.spell_begun == begun;
        if spell < if is_first { FIRST_SPELL } else { SPELL } {
            return None;
        }
        let rate = self.spell_bits / spell.as_secs_f64();
        let credit = self.target * pts.saturating_sub(begun).as_secs_f64() - self.bits;
        let wanted = (self.target + credit / REPAY).clamp(0.3 * self.target, 2.0 * self.target);
        let step = (6.0 * (rate.max(1.0) / wanted).log2()).clamp(-LARGEST_STEP, LARGEST_STEP).round();
        (self.spell_begun, self.spell_bits) = (pts, 0.0);
        let crf = (f64::from(self.crf) + step).clamp(f64::from(FINEST), f64::from(COARSEST)) as u8;
        (std::mem::replace(&mut self.crf, crf) != crf).then_some(crf)
    }

    /// Takes note of what a frame took.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.spell_bits += bytes as f64 * 8.0;
        self.bits += bytes as f64 * 8.0;
    }

    /// The quality to begin with.
    pub(super) fn crf(&self) -> u8 {
        self.crf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_halves_its_bits_every_six_steps_comes_to_the_rate() {
        let mut control = RateControl::new(1_000_000);
        let mut crf = control.crf();
        let mut bits = 0.0;
        for frame in 0..600u32 {
            crf = control.change(Duration::from_secs(1) * frame / 30).unwrap_or(crf);
            // After 10 s the scene becomes four times as busy.
            let scene = if frame < 300 { 1.0 } else { 4.0 };
            let bytes = 40_000.0 * scene * 0.5f64.powf(f64::from(crf) / 6.0);
            bits += bytes * 8.0;
            control.spend(bytes as usize);
        }
        assert!((bits / 20e6 - 1.0).abs() < 0.1, "{} bits a second", bits / 20.0);
    }

    #[test]
    fn a_clock_that_stands_still_changes_nothing() {
        let mut control = RateControl::new(1_000_000);
        for _ in 0..100 {
            assert_eq!(control.change(Duration::from_secs(5)), None);
            control.spend(1000);
        }
    }
}
