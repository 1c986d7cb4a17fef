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
    fn adamw_equals_pytorch() {
        // p = torch.tensor([1.0, -2.0], requires_grad=True)
        // o = torch.optim.AdamW([p], lr=0.1, betas=(0.9, 0.999), weight_decay=0.05)
        // for _ in range(3): o.zero_grad(); (p ** 2 * torch.tensor([1.0, 3.0])).sum().backward(); o.step()
        // print(p)
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
        let expected = ADAMW_EXPECTED;
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-5, "{values:?}");
        }
    }

    const ADAMW_EXPECTED: [f32; 2] = [0.0, 0.0];

    #[test]
    fn one_cycle_equals_pytorch() {
        // o = torch.optim.AdamW([torch.zeros(1)], lr=1)
        // s = torch.optim.lr_scheduler.OneCycleLR(o, 3e-3, total_steps=100, pct_start=0.15)
        // for i in range(100): g = o.param_groups[0]; print(i, g["lr"], g["betas"][0]); o.step(); s.step()
        let schedule = OneCycle { top: 3e-3, steps: 100 };
        for (step, rate, momentum) in ONE_CYCLE_EXPECTED {
            let found = schedule.at(step);
            assert!((found.rate - rate).abs() < 1e-8 && (found.momentum - momentum).abs() < 1e-6, "{step} {found:?}");
        }
    }

    const ONE_CYCLE_EXPECTED: [(usize, f64, f64); 1] = [(0, 0.00012, 0.95)];
}
