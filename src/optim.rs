//! How weights follow their gradients: AdamW, the rate over time, and the running average of the weights.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

/// Decay of the running mean of squared gradients; the default of the paper.
const BETA_2: f64 = 0.999;

/// Keeps the division finite; the default of the paper.
const EPSILON: f64 = 1e-8;

/// AdamW (Loshchilov and Hutter 2017, <https://arxiv.org/abs/1711.05101>). Its state is its own, unlike that of candle's
/// optimizer, so that a run can be stopped and gone on with.
#[derive(Debug)]
pub struct AdamW {
    parameters: Vec<Parameter>,
    step: i32,
}

#[derive(Debug)]
struct Parameter {
    variable: Var,
    mean: Tensor,
    square: Tensor,
    decay: f64,
}

impl AdamW {
    /// An optimizer of variables, each with its weight decay.
    ///
    /// # Errors
    /// When there is no memory for the state.
    pub fn new(variables: impl IntoIterator<Item = (Var, f64)>) -> Result<Self> {
        let parameters = variables
            .into_iter()
            .map(|(variable, decay)| {
                let (mean, square) = (variable.zeros_like()?, variable.zeros_like()?);
                Ok(Parameter { variable, mean, square, decay })
            })
            .collect::<Result<_>>()?;
        Ok(Self { parameters, step: 0 })
    }

    /// Moves each variable against its gradient; variables without one stay.
    ///
    /// # Errors
    /// When a gradient has another shape than its variable.
    pub fn step(&mut self, gradients: &GradStore, Rate { rate, momentum }: Rate) -> Result<()> {
        self.step += 1;
        let (bias_1, bias_2) = (1.0 - momentum.powi(self.step), 1.0 - BETA_2.powi(self.step));
        for Parameter { variable, mean, square, decay } in &mut self.parameters {
            let Some(gradient) = gradients.get(variable) else { continue };
            let gradient = gradient.detach();
            *mean = ((&*mean * momentum)? + (&gradient * (1.0 - momentum))?)?;
            *square = ((&*square * BETA_2)? + (gradient.sqr()? * (1.0 - BETA_2))?)?;
            let direction = ((&*mean / bias_1)? / ((&*square / bias_2)?.sqrt()? + EPSILON)?)?;
            let kept = (variable.as_detached_tensor() * (1.0 - rate * *decay))?;
            variable.set(&(kept - (direction * rate)?)?)?;
        }
        Ok(())
    }
}

/// The learning rate and the first moment's decay at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the running mean of gradients (beta 1).
    pub momentum: f64,
}

/// One cycle: the rate rises from a 25th to the top over the first part and falls to almost nothing, along cosines, while
/// momentum does the opposite (Smith 2018, <https://arxiv.org/abs/1803.09820>; the shape of PyTorch's `OneCycleLR`).
#[derive(Clone, Copy, Debug)]
pub struct OneCycle {
    /// The highest rate.
    pub top: f64,
    /// Steps of the whole run.
    pub steps: usize,
}

impl OneCycle {
    const RISING_SHARE: f64 = 0.15;
    const START_DIVISOR: f64 = 25.0;
    const END_DIVISOR: f64 = 25.0e4;
    const MOMENTUM: (f64, f64) = (0.85, 0.95);

    /// The rate at a step, counted from 0.
    pub fn at(&self, step: usize) -> Rate {
        let step = step as f64;
        let last = (self.steps as f64 - 1.0).max(1.0);
        let peak = (self.steps as f64 * Self::RISING_SHARE - 1.0).max(0.0);
        let cosine =
            |from: f64, to: f64, share: f64| to + (from - to) * (1.0 + (std::f64::consts::PI * share).cos()) / 2.0;
        let (low, high) = Self::MOMENTUM;
        if step <= peak {
            let share = if peak > 0.0 { step / peak } else { 1.0 };
            Rate { rate: cosine(self.top / Self::START_DIVISOR, self.top, share), momentum: cosine(high, low, share) }
        } else {
            let share = ((step - peak) / (last - peak)).min(1.0);
            Rate { rate: cosine(self.top, self.top / Self::END_DIVISOR, share), momentum: cosine(low, high, share) }
        }
    }
}

/// How much of the average stays at a step: less at first, so that the random start is soon forgotten.
pub fn average_decay(step: usize, limit: f64) -> f64 {
    let step = step as f64;
    ((1.0 + step) / (10.0 + step)).min(limit)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn adamw_equals_its_formula_in_double_precision() {
        // p, s, m, v = [1.0, -2.0], [1.0, 3.0], [0, 0], [0, 0]          # Python
        // for t in range(1, 4):
        //     for i in range(2):
        //         g = 2 * p[i] * s[i]
        //         p[i] *= 1 - 0.1 * 0.05
        //         m[i] = 0.9 * m[i] + 0.1 * g
        //         v[i] = 0.999 * v[i] + 0.001 * g * g
        //         p[i] -= 0.1 * (m[i] / (1 - 0.9**t)) / (math.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
        // print(p)
        let expected = [0.688_270, -1.672_347_9];
        let start = Tensor::new(&[1f32, -2.0], &Device::Cpu).expect("start");
        let variable = Var::from_tensor(&start).expect("variable");
        let scale = Tensor::new(&[1f32, 3.0], &Device::Cpu).expect("scale");
        let mut optimizer = AdamW::new([(variable.clone(), 0.05)]).expect("optimizer");
        for _ in 0..3 {
            let loss = variable.sqr().and_then(|s| (s * &scale)?.sum_all()).expect("loss");
            let gradients = loss.backward().expect("gradients");
            optimizer.step(&gradients, Rate { rate: 0.1, momentum: 0.9 }).expect("step");
        }
        let values = variable.to_vec1::<f32>().expect("values");
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-5, "{values:?}");
        }
    }

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
        let schedule = OneCycle { top: 3e-3, steps: 100 };
        for (step, rate, momentum) in expected {
            let found = schedule.at(step);
            assert!((found.rate - rate).abs() < 1e-9 && (found.momentum - momentum).abs() < 1e-9, "{step} {found:?}");
        }
    }

    #[test]
    fn the_average_forgets_its_start_soon_and_then_slowly() {
        assert_eq!(average_decay(0, 0.998), 0.1);
        assert_eq!(average_decay(8, 0.998), 0.5);
        assert_eq!(average_decay(1_000_000, 0.998), 0.998);
    }
}
