//! AdamW, with a state that can be written down and gone on from.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var, bail};
use rayon::prelude::*;

use super::Rate;

/// Decay of the running mean of squared gradients; the default of the paper.
const BETA_2: f64 = 0.999;

/// Keeps the division finite; the default of the paper.
const EPSILON: f64 = 1e-8;

/// AdamW (Loshchilov and Hutter 2017, <https://arxiv.org/abs/1711.05101>).
#[derive(Debug)]
pub struct AdamW {
    parameters: Vec<Parameter>,
    step: usize,
}

/// How one variable learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Pull towards 0, per unit of learning rate.
    pub weight_decay: f64,
    /// What the learning rate is multiplied by.
    pub rate_factor: f64,
}

/// The running means of one variable's gradient and of its square, in the variable's shape.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Mean of the gradient.
    pub mean: Tensor,
    /// Mean of the squared gradient.
    pub square: Tensor,
}

#[derive(Debug)]
struct Parameter {
    variable: Var,
    group: Group,
    state: State,
}

/// [`Moments`], on the CPU as plain values.
#[derive(Debug)]
enum State {
    Values { mean: Vec<f32>, square: Vec<f32> },
    Tensors(Moments),
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
    ///
    /// # Errors
    /// When there is no memory for the state.
    pub fn new(variables: impl IntoIterator<Item = (Var, Group)>) -> Result<Self> {
        let parameters = variables
            .into_iter()
            .map(|(variable, group)| {
                let zeros = Moments { mean: variable.zeros_like()?, square: variable.zeros_like()? };
                Ok(Parameter { state: State::new(zeros)?, variable, group })
            })
            .collect::<Result<_>>()?;
        Ok(Self { parameters, step: 0 })
    }

    /// The moments of each variable, in the order in which they were given.
    ///
    /// # Errors
    /// When the device fails.
    pub fn moments(&self) -> Result<Vec<Moments>> {
        self.parameters.iter().map(|parameter| parameter.state.moments(&parameter.variable)).collect()
    }

    /// Goes on from the state after `step` steps.
    ///
    /// # Errors
    /// When there are not as many moments as variables, or one has another shape than its variable.
    pub fn restore(&mut self, step: usize, moments: Vec<Moments>) -> Result<()> {
        if moments.len() != self.parameters.len() {
            bail!("optimizer: expected the moments of {} variables, found {}", self.parameters.len(), moments.len());
        }
        for (parameter, moments) in self.parameters.iter_mut().zip(moments) {
            let shape = parameter.variable.shape();
            for found in [moments.mean.shape(), moments.square.shape()] {
                if found != shape {
                    bail!("optimizer: expected moments of shape {shape:?}, found {found:?}");
                }
            }
            parameter.state = State::new(moments)?;
        }
        self.step = step;
        Ok(())
    }

    /// Moves each variable against its gradient; variables without one stay.
    ///
    /// # Errors
    /// When a gradient has another shape than its variable.
    pub fn step(&mut self, gradients: &GradStore, rate: Rate) -> Result<()> {
        self.step += 1;
        // Past this many steps both are 1 to the last digit.
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        let step = Step { rate, bias_1: 1.0 - rate.momentum.powi(power), bias_2: 1.0 - BETA_2.powi(power) };
        self.parameters.par_iter_mut().try_for_each(|parameter| match gradients.get(&parameter.variable) {
            Some(gradient) => parameter.step(gradient, step),
            None => Ok(()),
        })
    }
}

impl State {
    fn new(Moments { mean, square }: Moments) -> Result<Self> {
        if !mean.device().is_cpu() {
            return Ok(Self::Tensors(Moments { mean, square }));
        }
        Ok(Self::Values { mean: mean.flatten_all()?.to_vec1()?, square: square.flatten_all()?.to_vec1()? })
    }

    fn moments(&self, variable: &Var) -> Result<Moments> {
        match self {
            Self::Values { mean, square } => {
                let tensor = |values: &[f32]| Tensor::from_slice(values, variable.shape(), variable.device());
                Ok(Moments { mean: tensor(mean)?, square: tensor(square)? })
            }
            Self::Tensors(moments) => Ok(moments.clone()),
        }
    }
}

impl Parameter {
    fn step(&mut self, gradient: &Tensor, Step { rate: Rate { rate, momentum }, bias_1, bias_2 }: Step) -> Result<()> {
        let rate = rate * self.group.rate_factor;
        let kept = 1.0 - rate * self.group.weight_decay;
        match &mut self.state {
            State::Values { mean, square } => {
                let gradient: Vec<f32> = gradient.flatten_all()?.to_vec1()?;
                let mut values: Vec<f32> = self.variable.flatten_all()?.to_vec1()?;
                let (keep_1, add_1) = (momentum as f32, (1.0 - momentum) as f32);
                let (keep_2, add_2) = (BETA_2 as f32, (1.0 - BETA_2) as f32);
                let (kept, length) = (kept as f32, (rate / bias_1) as f32);
                let (scale, epsilon) = ((1.0 / bias_2.sqrt()) as f32, EPSILON as f32);
                for (((value, mean), square), g) in values.iter_mut().zip(mean).zip(square).zip(gradient) {
                    *mean = *mean * keep_1 + g * add_1;
                    *square = *square * keep_2 + g * g * add_2;
                    *value = *value * kept - length * *mean / (square.sqrt() * scale + epsilon);
                }
                self.variable.set(&Tensor::from_vec(values, self.variable.shape(), self.variable.device())?)
            }
            State::Tensors(Moments { mean, square }) => {
                let gradient = gradient.detach();
                *mean = ((&*mean * momentum)? + (&gradient * (1.0 - momentum))?)?;
                *square = ((&*square * BETA_2)? + (gradient.sqr()? * (1.0 - BETA_2))?)?;
                let direction = ((&*mean / bias_1)? / ((&*square / bias_2)?.sqrt()? + EPSILON)?)?;
                self.variable.set(&((self.variable.as_detached_tensor() * kept)? - (direction * rate)?)?)
            }
        }
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
    fn the_tensors_of_other_devices_go_the_same_way() {
        let variable = variable();
        let mut optimizer = AdamW::new([(variable.clone(), PLAIN)]).expect("optimizer");
        let zeros = variable.zeros_like().expect("zeros");
        optimizer.parameters[0].state = State::Tensors(Moments { mean: zeros.clone(), square: zeros });
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

        restored.restore(2, Vec::new()).expect_err("no moments");
    }

    #[test]
    fn a_rate_factor_of_zero_keeps_a_variable_as_it_is() {
        let variable = variable();
        let mut optimizer = AdamW::new([(variable.clone(), Group { rate_factor: 0.0, ..PLAIN })]).expect("optimizer");
        descend(&mut optimizer, &variable, 3);
        assert_eq!(values(&variable), [1.0, -2.0]);
    }
}
