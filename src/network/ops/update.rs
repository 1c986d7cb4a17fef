//! How weights follow their gradients on a CPU: what AdamW and running averages do to values, in place.
//!
//! candle's elementwise operations make a new tensor for every term of a formula; here each is one pass. Values do not depend
//! on each other, so neither does the result on how the work is shared out.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};

use super::storage::values_of;

/// As [`super::blend`].
pub(super) fn blend(target: &Tensor, other: &Tensor, keep: f64, add: f64) -> Result<()> {
    target.inplace_op2(&other.contiguous()?, &Blend { keep: keep as f32, add: add as f32 })
}

/// The numbers of one step of AdamW, as [`super::adamw`] takes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamWStep {
    /// Decay of the running mean of gradients.
    pub momentum: f64,
    /// Decay of the running mean of squared gradients.
    pub square_momentum: f64,
    /// What values are multiplied by.
    pub kept: f64,
    /// Learning rate over the first moment's bias.
    pub length: f64,
    /// One over the square root of the second moment's bias.
    pub scale: f64,
    /// Keeps the division finite.
    pub epsilon: f64,
}

/// As [`super::adamw`].
pub(super) fn adamw(values: &Tensor, moments: &Tensor, gradient: &Tensor, step: &AdamWStep) -> Result<()> {
    let shares = |keep: f64| (keep as f32, (1.0 - keep) as f32);
    let update = UpdateMoments([shares(step.momentum), shares(step.square_momentum)]);
    moments.inplace_op2(&gradient.contiguous()?, &update)?;
    values.inplace_op2(moments, &Descend([step.kept, step.length, step.scale, step.epsilon].map(|x| x as f32)))
}

struct Blend {
    keep: f32,
    add: f32,
}

/// Shares that are kept and added, of the mean and of the squares.
struct UpdateMoments([(f32, f32); 2]);

/// Kept share, length, scale and epsilon.
struct Descend([f32; 4]);

/// The values of a whole tensor, to be changed.
fn whole<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((0, end))) if end == values.len() => Ok(values),
        _ => bail!("only a whole tensor of f32 can be changed in place"),
    }
}

fn check(name: &str, found: usize, expected: usize) -> Result<()> {
    if found != expected {
        bail!("{name}: expected {expected} values, found {found}");
    }
    Ok(())
}

impl InplaceOp2 for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<()> {
        let (target, other) = (whole(s1, l1)?, values_of(s2, l2)?);
        check(self.name(), other.len(), target.len())?;
        target.iter_mut().zip(other).for_each(|(target, other)| *target = *target * self.keep + other * self.add);
        Ok(())
    }
}

impl InplaceOp2 for UpdateMoments {
    fn name(&self) -> &'static str {
        "update-moments"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<()> {
        let (moments, gradient) = (whole(s1, l1)?, values_of(s2, l2)?);
        check(self.name(), moments.len(), 2 * gradient.len())?;
        let (means, squares) = moments.split_at_mut(gradient.len());
        let [(keep_1, add_1), (keep_2, add_2)] = self.0;
        for ((mean, square), &g) in means.iter_mut().zip(squares).zip(gradient) {
            *mean = *mean * keep_1 + g * add_1;
            *square = *square * keep_2 + g * g * add_2;
        }
        Ok(())
    }
}

impl InplaceOp2 for Descend {
    fn name(&self) -> &'static str {
        "descend"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<()> {
        let (values, moments) = (whole(s1, l1)?, values_of(s2, l2)?);
        check(self.name(), moments.len(), 2 * values.len())?;
        let (means, squares) = moments.split_at(values.len());
        let [kept, length, scale, epsilon] = self.0;
        for ((value, mean), square) in values.iter_mut().zip(means).zip(squares) {
            *value = *value * kept - length * mean / (square.sqrt() * scale + epsilon);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).expect("a tensor")
    }

    #[test]
    fn a_blend_changes_the_tensor_itself() {
        let (target, other) = (tensor(&[0.0, 8.0]), tensor(&[4.0, 0.0]));
        let same = target.clone();
        blend(&target, &other, 0.75, 0.25).expect("a blend");
        assert_eq!(same.to_vec1::<f32>().expect("values"), [1.0, 6.0]);
        assert!(blend(&target, &tensor(&[1.0]), 0.5, 0.5).is_err(), "another length");
        assert!(blend(&target.narrow(0, 1, 1).expect("a part"), &tensor(&[1.0]), 0.5, 0.5).is_err(), "a part");
    }

    #[test]
    fn lengths_that_differ_are_refused() {
        let step =
            AdamWStep { momentum: 0.9, square_momentum: 0.999, kept: 1.0, length: 0.1, scale: 1.0, epsilon: 1e-8 };
        let moments = |rows| Tensor::zeros((rows, 2), DType::F32, &Device::Cpu).expect("zeros");
        let (values, gradient) = (tensor(&[1.0, 2.0]), tensor(&[1.0, 1.0]));
        adamw(&values, &moments(2), &gradient, &step).expect("a step");
        adamw(&values, &moments(1), &gradient, &step).expect_err("too few moments");
        adamw(&tensor(&[1.0]), &moments(2), &gradient, &step).expect_err("another length");
    }
}
