//! The running average of the weights (Polyak and Juditsky 1992, <https://doi.org/10.1137/0330046>, with exponential
//! weights), which is what is validated and kept.

use candle_core::{Result, Tensor, Var, bail};

use super::each::each;
use crate::network::ops::blend;

/// An average that follows variables.
#[derive(Debug)]
pub(crate) struct Average(Vec<(Var, Tensor)>);

impl Average {
    /// An average that starts where the variables are.
    pub(crate) fn new(variables: impl IntoIterator<Item = Var>) -> Result<Self> {
        let with_average = |variable: Var| Ok((variable.clone(), variable.as_detached_tensor().force_contiguous()?));
        Ok(Self(variables.into_iter().map(with_average).collect::<Result<_>>()?))
    }

    /// Moves each value to its variable's, but for the share `keep`.
    pub(crate) fn follow(&mut self, keep: f64) -> Result<()> {
        each(&mut self.0, |(variable, _)| variable, |(variable, average)| blend(average, variable, keep, 1.0 - keep))
    }

    /// Copies of the averages, in the order in which the variables were given.
    pub(crate) fn tensors(&self) -> Result<Vec<Tensor>> {
        self.0.iter().map(|(_, average)| average.force_contiguous()).collect()
    }

    /// Goes on from these averages.
    pub(crate) fn restore(&mut self, tensors: &[Tensor]) -> Result<()> {
        for ((variable, average), tensor) in self.0.iter_mut().zip(tensors) {
            if tensor.shape() != variable.shape() {
                bail!("average: expected shape {:?}, found {:?}", variable.shape(), tensor.shape());
            }
            *average = tensor.force_contiguous()?;
        }
        Ok(())
    }
}

/// How much of the average stays at a step: less at first, so that the random start is soon forgotten.
pub(crate) fn average_decay(step: usize, limit: f64) -> f64 {
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
    fn it_follows_and_what_was_handed_out_stays() {
        let variable = Var::new(&[0f32, 8.0], &Device::Cpu).expect("variable");
        let mut average = Average::new([variable.clone()]).expect("average");
        let before = average.tensors().expect("tensors");
        variable.set(&Tensor::new(&[4f32, 0.0], &Device::Cpu).expect("tensor")).expect("set");
        average.follow(0.75).expect("follow");
        let values = |tensors: &[Tensor]| tensors[0].to_vec1::<f32>().expect("values");
        assert_eq!(values(&average.tensors().expect("tensors")), [1.0, 6.0]);
        average.follow(0.0).expect("follow");
        assert_eq!(values(&average.tensors().expect("tensors")), [4.0, 0.0]);
        assert_eq!(values(&before), [0.0, 8.0]);
    }
}
