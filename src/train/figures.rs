//! What training steps came to, read from the device when it suits.
//!
//! To read a figure is to wait for the step that makes it. A CPU has made it by then; a GPU would stand still until the next
//! step is queued, so there many steps are read at once.

use anyhow::Result;
use candle_core::{Device, Tensor};

use crate::network::device::is_gpu;

/// Steps of a GPU that are read at once: enough that the waiting does not count, and few enough that a run that has
/// diverged ends soon.
const READ_AT_ONCE: usize = 32;

/// The loss of one step, and how many pictures were labelled right.
pub(super) type StepFigures = [f32; 2];

/// The figures of the steps since they were last taken.
#[derive(Debug)]
pub(super) struct Figures {
    read_at_once: usize,
    /// Loss and right answers, `(2,)`, still on the device.
    waiting: Vec<Tensor>,
    read: Vec<StepFigures>,
}

impl Figures {
    pub(super) fn new(device: &Device) -> Self {
        let read_at_once = if is_gpu(device) { READ_AT_ONCE } else { 1 };
        Self { read_at_once, waiting: Vec::new(), read: Vec::new() }
    }

    /// Adds a step's. Returns a loss that is not finite, if one was read.
    pub(super) fn add(&mut self, loss: &Tensor, right: &Tensor) -> Result<Option<f32>> {
        self.waiting.push(Tensor::stack(&[loss.detach(), right.detach()], 0)?);
        if self.waiting.len() >= self.read_at_once {
            self.read()?;
        }
        Ok(self.read.iter().map(|&[loss, _]| loss).find(|loss| !loss.is_finite()))
    }

    /// All since the last call, in their order.
    pub(super) fn take(&mut self) -> Result<Vec<StepFigures>> {
        self.read()?;
        Ok(std::mem::take(&mut self.read))
    }

    fn read(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows: Vec<f32> = Tensor::cat(&self.waiting, 0)?.to_vec1()?;
        self.waiting.clear();
        let (rows, _) = rows.as_chunks();
        self.read.extend(rows);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(figures: &mut Figures, loss: f32, right: f32) -> Option<f32> {
        let scalar = |value: f32| Tensor::new(value, &Device::Cpu).expect("a number");
        figures.add(&scalar(loss), &scalar(right)).expect("figures")
    }

    #[test]
    fn figures_come_in_their_order_whenever_they_are_read() {
        for read_at_once in [1, 2, 32] {
            let mut figures = Figures { read_at_once, ..Figures::new(&Device::Cpu) };
            let steps = [[0.5, 3.0], [0.25, 4.0], [0.125, 5.0]];
            for [loss, right] in steps {
                assert_eq!(add(&mut figures, loss, right), None);
            }
            assert_eq!(figures.take().expect("figures"), steps);
            assert!(figures.take().expect("figures").is_empty());
        }
    }

    #[test]
    fn a_loss_that_is_no_number_is_told_once_it_is_read() {
        let mut figures = Figures { read_at_once: 2, ..Figures::new(&Device::Cpu) };
        assert_eq!(add(&mut figures, f32::INFINITY, 0.0), None);
        assert_eq!(add(&mut figures, 0.5, 0.0), Some(f32::INFINITY));
    }
}
