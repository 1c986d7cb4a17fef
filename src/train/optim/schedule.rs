//! The learning rate over time.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The learning rate and the first moment's decay at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// Learning rate.
    pub(crate) rate: f64,
    /// Decay of the running mean of gradients (beta 1).
    pub(crate) momentum: f64,
}

/// How the rate goes up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleShape {
    /// Up from a 25th and down to almost nothing along cosines, momentum the other way round
    OneCycle,
    /// Up along a line and down to nothing along a cosine
    Cosine,
}

/// The rate over a whole run.
///
/// One cycle: Smith 2018, <https://arxiv.org/abs/1803.09820>, in the shape of PyTorch's `OneCycleLR`. Cosine: Loshchilov and
/// Hutter 2016, <https://arxiv.org/abs/1608.03983>, without restarts, after the linear warm-up of Goyal et al. 2017,
/// <https://arxiv.org/abs/1706.02677>.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// How the rate goes up and down.
    pub(crate) shape: ScheduleShape,
    /// The highest rate.
    pub(crate) top: f64,
    /// Share of the steps in which it rises.
    pub(crate) warm_up: f64,
    /// Steps of the whole run.
    pub(crate) steps: usize,
}

/// What one cycle divides the top by at its start and at its end.
const START_DIVISOR: f64 = 25.0;
const END_DIVISOR: f64 = 25.0e4;

/// The lowest and the highest momentum of one cycle.
const CYCLED_MOMENTUM: (f64, f64) = (0.85, 0.95);

/// The momentum beside a plain cosine: the default of Adam.
const MOMENTUM: f64 = 0.9;

impl Schedule {
    /// The rate at a step, counted from 0.
    pub(crate) fn at(&self, step: usize) -> Rate {
        match self.shape {
            ScheduleShape::OneCycle => self.one_cycle(step as f64),
            ScheduleShape::Cosine => self.cosine(step as f64),
        }
    }

    fn one_cycle(&self, step: f64) -> Rate {
        let last = (self.steps as f64 - 1.0).max(1.0);
        let peak = (self.steps as f64 * self.warm_up - 1.0).max(0.0);
        let cosine = |from: f64, to: f64, share: f64| to + (from - to) * (1.0 + (PI * share).cos()) / 2.0;
        let (low, high) = CYCLED_MOMENTUM;
        if step <= peak {
            let share = if peak > 0.0 { step / peak } else { 1.0 };
            Rate { rate: cosine(self.top / START_DIVISOR, self.top, share), momentum: cosine(high, low, share) }
        } else {
            let share = ((step - peak) / (last - peak)).min(1.0);
            Rate { rate: cosine(self.top, self.top / END_DIVISOR, share), momentum: cosine(low, high, share) }
        }
    }

    fn cosine(&self, step: f64) -> Rate {
        let rising = (self.steps as f64 * self.warm_up).floor();
        let share = if step < rising {
            (step + 1.0) / rising
        } else {
            (1.0 + (PI * (step - rising) / (self.steps as f64 - rising).max(1.0)).cos()) / 2.0
        };
        Rate { rate: self.top * share, momentum: MOMENTUM }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_rises_and_falls_along_cosines() {
        // def cos(a, b, p): return b + (a - b) / 2 * (1 + math.cos(math.pi * p))          # Python
        // top, peak, last = 3e-3, 0.15 * 100 - 1, 99
        // for i in (0, 7, 14, 15, 50, 99):
        //     if i <= peak: print(i, cos(top / 25, top, i / peak), cos(.95, .85, i / peak))
        //     else: p = (i - peak) / (last - peak); print(i, cos(top, top / 25e4, p), cos(.85, .95, p))
        let expected = [
            (0, 0.000_12, 0.95),
            (7, 0.001_56, 0.9),
            (14, 0.003, 0.85),
            (15, 0.002_998_975_594, 0.850_034_146_99),
            (50, 0.001_856_907_365, 0.888_103_240_25),
            (99, 1.2e-8, 0.95),
        ];
        let schedule = Schedule { shape: ScheduleShape::OneCycle, top: 3e-3, warm_up: 0.15, steps: 100 };
        for (step, rate, momentum) in expected {
            let found = schedule.at(step);
            assert!((found.rate - rate).abs() < 1e-9 && (found.momentum - momentum).abs() < 1e-9, "{step} {found:?}");
        }
    }

    #[test]
    fn a_cosine_rises_along_a_line_and_falls_to_nothing() {
        let schedule = Schedule { shape: ScheduleShape::Cosine, top: 2.0, warm_up: 0.1, steps: 110 };
        for (step, rate) in [(0, 2.0 / 11.0), (10, 2.0), (11, 2.0), (11 + 33, 1.5), (110 - 33, 0.5)] {
            assert!((schedule.at(step).rate - rate).abs() < 1e-9, "{step} {:?}", schedule.at(step));
        }
        assert!(schedule.at(109).rate < 0.001);
    }

    #[test]
    fn the_shortest_runs_have_finite_rates() {
        for shape in [ScheduleShape::OneCycle, ScheduleShape::Cosine] {
            for (steps, warm_up) in [(1, 0.0), (1, 0.9), (2, 0.15), (3, 0.9)] {
                let schedule = Schedule { shape, top: 1.0, warm_up, steps };
                for step in 0..steps {
                    assert!((0.0..=1.0).contains(&schedule.at(step).rate), "{schedule:?} {step}");
                }
            }
        }
    }
}
