//! The rectified sum that ends a residual block.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::values_of;

/// `max(a + b, 0)`, for inference: how a residual block ends (He et al. 2015, <https://arxiv.org/abs/1512.03385>).
///
/// # Errors
/// When the shapes differ.
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.device().is_cpu() { a.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, &AddRelu) } else { (a + b)?.relu() }
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
}
