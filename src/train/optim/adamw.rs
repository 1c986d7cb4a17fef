//! AdamW, with a state that can be written down and gone on from.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var, bail};

use super::each::each;
use super::schedule::Rate;
use crate::network::ops::{AdamWStep, adamw};

/// Decay of the running mean of squared gradients; the default of the paper.
const BETA_2: f64 = 0.999;

/// Keeps the division finite; the default of the paper.
const EPSILON: f64 = 1e-8;

/// AdamW (Loshchilov and Hutter 2017, <https://arxiv.org/abs/1711.05101>).
#[derive(Debug)]
pub(crate) struct AdamW {
    parameters: Vec<Parameter>,
    step: usize,
}

/// How one variable learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Group {
    /// Pull towards 0, per unit of learning rate.
    pub(crate) weight_decay: f64,
    /// What the learning rate is multiplied by.
    pub(crate) rate_factor: f64,
}

/// The running means of one variable's gradient and of its square, in the variable's shape.
pub(crate) type Moments = [Tensor; 2];

#[derive(Debug)]
struct Parameter {
    variable: Var,
    group: Group,
    /// [`Moments`], one after the other, `(2, n)`.
    moments: Tensor,
}

/// What is the same for all variables of a step.
#[derive(Clone, Copy)]
struct Step {
    rate: Rate,
    /// What the means are divided by, because they start at 0.
    bias_1: f64,
    bias_2: f64,
}

impl AdamW {
    /// An optimizer of variables.
    pub(crate) fn new(variables: impl IntoIterator<Item = (Var, Group)>) -> Result<Self> {
        let parameters = variables
            .into_iter()
            .map(|(variable, group)| {
                let moments = Tensor::zeros((2, variable.elem_count()), variable.dtype(), variable.device())?;
                Ok(Parameter { variable, group, moments })
            })
            .collect::<Result<_>>()?;
        Ok(Self { parameters, step: 0 })
    }

    /// The moments of each variable, in the order in which they were given.
    pub(crate) fn moments(&self) -> Result<Vec<Moments>> {
        self.parameters.iter().map(Parameter::moments).collect()
    }

    /// Goes on from the state after `step` steps.
    pub(crate) fn restore(&mut self, step: usize, moments: Vec<Moments>) -> Result<()> {
        for (parameter, moments) in self.parameters.iter_mut().zip(moments) {
            let shape = parameter.variable.shape();
            if let Some(other) = moments.iter().find(|moment| moment.shape() != shape) {
                bail!("optimizer: expected moments of shape {shape:?}, found {:?}", other.shape());
            }
            parameter.moments = Tensor::stack(&moments, 0)?.reshape((2, ()))?;
        }
        self.step = step;
        Ok(())
    }

    /// Moves each variable against its gradient; variables without one stay.
    pub(crate) fn step(&mut self, gradients: &GradStore, rate: Rate) -> Result<()> {
        self.step += 1;
        // Past this many steps both are 1 to the last digit.
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        let step = Step { rate, bias_1: 1.0 - rate.momentum.powi(power), bias_2: 1.0 - BETA_2.powi(power) };
        each(
            &mut self.parameters,
            |parameter| &parameter.variable,
            |parameter| match gradients.get(&parameter.variable) {
                Some(gradient) => parameter.step(gradient, step),
                None => Ok(()),
            },
        )
    }
}

impl Parameter {
    fn moments(&self) -> Result<Moments> {
        // A copy: the moments go on changing in place.
        let part = |row: usize| self.moments.narrow(0, row, 1)?.force_contiguous()?.reshape(self.variable.shape());
        Ok([part(0)?, part(1)?])
    }

    fn step(&mut self, gradient: &Tensor, Step { rate: Rate { rate, momentum }, bias_1, bias_2 }: Step) -> Result<()> {
        let rate = rate * self.group.rate_factor;
        let step = AdamWStep {
            momentum,
            square_momentum: BETA_2,
            kept: 1.0 - rate * self.group.weight_decay,
            length: rate / bias_1,
            scale: 1.0 / bias_2.sqrt(),
            epsilon: EPSILON,
        };
        if gradient.shape() != self.variable.shape() {
            bail!("optimizer: a gradient of {:?} for a variable of {:?}", gradient.shape(), self.variable.shape());
        }
        adamw(&self.variable, &self.moments, &gradient.detach(), &step)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    const PLAIN: Group = Group { weight_decay: 0.05, rate_factor: 1.0 };

    fn variable() -> Var {
        Var::new(&[1f32, -2.0], &Device::Cpu).expect("variable")
    }

    /// Gradient steps on `sum((p * scale) * p)`.
    fn descend(optimizer: &mut AdamW, variable: &Var, steps: usize) {
        let scale = Tensor::new(&[1f32, 3.0], &Device::Cpu).expect("scale");
        for _ in 0..steps {
            let loss = variable.sqr().and_then(|s| (s * &scale)?.sum_all()).expect("loss");
            let gradients = loss.backward().expect("gradients");
            optimizer.step(&gradients, Rate { rate: 0.1, momentum: 0.9 }).expect("step");
        }
    }

    fn values(variable: &Var) -> Vec<f32> {
        variable.to_vec1().expect("values")
    }

    // p, s, m, v = [1.0, -2.0], [1.0, 3.0], [0, 0], [0, 0]          # Python
    // for t in range(1, 4):
    //     for i in range(2):
    //         g = 2 * p[i] * s[i]
    //         p[i] *= 1 - 0.1 * 0.05
    //         m[i] = 0.9 * m[i] + 0.1 * g
    //         v[i] = 0.999 * v[i] + 0.001 * g * g
    //         p[i] -= 0.1 * (m[i] / (1 - 0.9**t)) / (math.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
    // print(p)
    const AFTER_THREE_STEPS: [f32; 2] = [0.688_270, -1.672_347_9];

    #[test]
    fn the_values_equal_the_formula_in_double_precision() {
        let variable = variable();
        let mut optimizer = AdamW::new([(variable.clone(), PLAIN)]).expect("optimizer");
        descend(&mut optimizer, &variable, 3);
        for (value, expected) in values(&variable).iter().zip(AFTER_THREE_STEPS) {
            assert!((value - expected).abs() < 1e-5, "{value} {expected}");
        }
    }

    #[test]
    fn a_restored_state_goes_on_bit_for_bit() {
        let (whole, first) = (variable(), variable());
        let mut optimizer = AdamW::new([(whole.clone(), PLAIN)]).expect("optimizer");
        descend(&mut optimizer, &whole, 5);

        let mut optimizer = AdamW::new([(first.clone(), PLAIN)]).expect("optimizer");
        descend(&mut optimizer, &first, 2);
        let second = Var::from_tensor(&first.as_detached_tensor()).expect("variable");
        let mut restored = AdamW::new([(second.clone(), PLAIN)]).expect("optimizer");
        restored.restore(2, optimizer.moments().expect("moments")).expect("restore");
        descend(&mut restored, &second, 3);
        assert_eq!(values(&second), values(&whole));

        let moments = [whole.as_detached_tensor(), whole.reshape((1, 2)).expect("another shape")];
        restored.restore(2, vec![moments]).expect_err("another shape");
    }

    #[test]
    fn a_rate_factor_of_zero_keeps_a_variable_as_it_is() {
        let variable = variable();
        let mut optimizer = AdamW::new([(variable.clone(), Group { rate_factor: 0.0, ..PLAIN })]).expect("optimizer");
        descend(&mut optimizer, &variable, 3);
        assert_eq!(values(&variable), [1.0, -2.0]);
    }
}
