//! The running average of the weights (Polyak and Juditsky 1992, <https://doi.org/10.1137/0330046>, with exponential
//! weights), which is what is validated and kept.

use candle_core::{Result, Tensor, Var, bail};
use rayon::prelude::*;

/// An average that follows variables.
#[derive(Debug)]
pub struct Average {
    entries: Vec<(Var, State)>,
}

/// One variable's average, on the CPU as plain values.
#[derive(Debug)]
enum State {
    Values(Vec<f32>),
    Tensor(Tensor),
}

impl State {
    fn new(tensor: &Tensor) -> Result<Self> {
        if tensor.device().is_cpu() {
            Ok(Self::Values(tensor.flatten_all()?.to_vec1()?))
        } else {
            Ok(Self::Tensor(tensor.copy()?))
        }
    }
}

impl Average {
    /// An average that starts where the variables are.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(variables: impl IntoIterator<Item = Var>) -> Result<Self> {
        let entries = variables.into_iter().map(|variable| Ok((variable.clone(), State::new(&variable)?)));
        Ok(Self { entries: entries.collect::<Result<_>>()? })
    }

    /// Moves each value to its variable's, but for the share `keep`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn follow(&mut self, keep: f64) -> Result<()> {
        self.entries.par_iter_mut().try_for_each(|(variable, state)| {
            match state {
                State::Values(averages) => {
                    let values: Vec<f32> = variable.flatten_all()?.to_vec1()?;
                    let (keep, add) = (keep as f32, (1.0 - keep) as f32);
                    averages
                        .iter_mut()
                        .zip(values)
                        .for_each(|(average, value)| *average = *average * keep + value * add);
                }
                State::Tensor(average) => {
                    *average = ((&*average * keep)? + (variable.as_detached_tensor() * (1.0 - keep))?)?;
                }
            }
            Ok(())
        })
    }

    /// The averages, in the order in which the variables were given.
    ///
    /// # Errors
    /// When the device fails.
    pub fn tensors(&self) -> Result<Vec<Tensor>> {
        let tensor = |(variable, state): &(Var, State)| match state {
            State::Values(values) => Tensor::from_slice(values, variable.shape(), variable.device()),
            State::Tensor(tensor) => Ok(tensor.clone()),
        };
        self.entries.iter().map(tensor).collect()
    }

    /// Goes on from these averages.
    ///
    /// # Errors
    /// When there are not as many as variables, or one has another shape than its variable.
    pub fn restore(&mut self, tensors: &[Tensor]) -> Result<()> {
        if tensors.len() != self.entries.len() {
            bail!("average: expected {} tensors, found {}", self.entries.len(), tensors.len());
        }
        for ((variable, state), tensor) in self.entries.iter_mut().zip(tensors) {
            if tensor.shape() != variable.shape() {
                bail!("average: expected shape {:?}, found {:?}", variable.shape(), tensor.shape());
            }
            *state = State::new(tensor)?;
        }
        Ok(())
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
    fn it_forgets_its_start_soon_and_then_slowly() {
        assert_eq!(average_decay(0, 0.998), 0.1);
        assert_eq!(average_decay(8, 0.998), 0.5);
        assert_eq!(average_decay(1_000_000, 0.998), 0.998);
        assert_eq!(average_decay(1_000_000, 0.0), 0.0);
    }

    #[test]
    fn values_and_tensors_follow_alike() {
        let variable = Var::new(&[0f32, 8.0], &Device::Cpu).expect("variable");
        let mut average = Average::new([variable.clone(), variable.clone()]).expect("average");
        average.entries[1].1 = State::Tensor(variable.copy().expect("copy"));
        variable.set(&Tensor::new(&[4f32, 0.0], &Device::Cpu).expect("tensor")).expect("set");
        average.follow(0.75).expect("follow");
        for tensor in average.tensors().expect("tensors") {
            assert_eq!(tensor.to_vec1::<f32>().expect("values"), [1.0, 6.0]);
        }
        average.follow(0.0).expect("follow");
        assert_eq!(average.tensors().expect("tensors")[0].to_vec1::<f32>().expect("values"), [4.0, 0.0]);
    }
}
