//! The rectified sum that ends a residual block.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{kept, values_of, with_values};

/// `max(a + b, 0)`, differentiable: how a residual block ends (He et al. 2015, <https://arxiv.org/abs/1512.03385>).
///
/// # Errors
/// When the shapes differ.
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.device().is_cpu() { a.contiguous()?.apply_op2(&b.contiguous()?, AddRelu) } else { (a + b)?.relu() }
}

struct AddRelu;

/// Elementwise work is cut into pieces of this many values, small enough for the first-level cache.
const PIECE: usize = 16 * 1024;

impl CustomOp2 for AddRelu {
    fn name(&self) -> &'static str {
        "add-relu"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        if l1.shape() != l2.shape() {
            bail!("a sum of {:?} and {:?}", l1.shape(), l2.shape());
        }
        let (a, b) = (values_of(s1, l1)?, values_of(s2, l2)?);
        let mut output = vec![0.0; a.len()];
        output.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE).zip(b.par_chunks(PIECE))).for_each(|(out, (a, b))| {
            out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = (a + b).max(0.0));
        });
        Ok((CpuStorage::F32(output), l1.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, output: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let masked = with_values(output, |y| {
            with_values(grad, |g| {
                let mut masked = vec![0.0; g.len()];
                masked.par_chunks_mut(PIECE).zip(y.par_chunks(PIECE).zip(g.par_chunks(PIECE))).for_each(
                    |(out, (y, g))| {
                        out.iter_mut().zip(y.iter().zip(g)).for_each(|(out, (y, g))| *out = kept(*g, *y > 0.0));
                    },
                );
                Ok(masked)
            })
        })?;
        let masked = Tensor::from_vec(masked, output.shape(), output.device())?;
        Ok((Some(masked.clone()), Some(masked)))
    }
}
