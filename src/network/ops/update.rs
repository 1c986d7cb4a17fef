//! How weights follow their gradients on a CPU: what AdamW and running averages do to values, in place.
//!
//! candle's elementwise operations make a new tensor for every term of a formula; here each is one pass. Values do not depend
//! on each other, so neither does the result on how the work is shared out.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};

use super::storage::values_of;

/// As [`super::blend`].
pub(super) fn blend(target: &Tensor, other: &Tensor, keep: f64, add: f64) -> Result<()> {
    let (keep, add) = (keep as f32, add as f32);
    in_place("blend", target, other, (1, 1), |target, other| {
        target.iter_mut().zip(other).for_each(|(target, other)| *target = *target * keep + other * add);
    })
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
    let ((keep_1, add_1), (keep_2, add_2)) = (shares(step.momentum), shares(step.square_momentum));
    in_place("update-moments", moments, gradient, (2, 1), |moments, gradient| {
        let (means, squares) = moments.split_at_mut(gradient.len());
        for ((mean, square), &g) in means.iter_mut().zip(squares).zip(gradient) {
            *mean = *mean * keep_1 + g * add_1;
            *square = *square * keep_2 + g * g * add_2;
        }
    })?;
    let [kept, length, scale, epsilon] = [step.kept, step.length, step.scale, step.epsilon].map(|x| x as f32);
    in_place("descend", values, moments, (1, 2), |values, moments| {
        let (means, squares) = moments.split_at(values.len());
        for ((value, mean), square) in values.iter_mut().zip(means).zip(squares) {
            *value = *value * kept - length * mean / (square.sqrt() * scale + epsilon);
        }
    })
}

/// Changes the values of a whole tensor by those of another one. Their lengths are as `shares`.
fn in_place(
    name: &'static str,
    target: &Tensor,
    other: &Tensor,
    shares: (usize, usize),
    work: impl Fn(&mut [f32], &[f32]),
) -> Result<()> {
    target.inplace_op2(&other.contiguous()?, &InPlace { name, shares, work })
}

struct InPlace<F> {
    name: &'static str,
    shares: (usize, usize),
    work: F,
}

impl<F: Fn(&mut [f32], &[f32])> InplaceOp2 for InPlace<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<()> {
        let other = values_of(s2, l2)?;
        let target = match (s1, l1.contiguous_offsets()) {
            (CpuStorage::F32(values), Some((0, end))) if end == values.len() => values,
            _ => bail!("only a whole tensor of f32 can be changed in place"),
        };
        if target.len() * self.shares.1 != other.len() * self.shares.0 {
            bail!("{}: {} values do not go with {}", self.name, other.len(), target.len());
        }
        (self.work)(target, other);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

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
}
