//! Random changes to training pictures, and their inputs, as an operation of candle.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::kernels;
use super::{not_on_a_cpu, result, values_of};
use crate::dataset::augment::Change;

/// The most memory that a block shares on every chip, in bytes: it holds one picture.
const SHARED_BYTES: usize = 48 * 1024 - 64;

/// Inputs `(count, 1, size, size)` of grey pictures `(all, size, size)` on the GPU, changed by rows `(count, ROW_LEN)`.
pub(in crate::ops) fn augment(pictures: &Tensor, rows: &Tensor, least_deviation: f32) -> Result<Tensor> {
    pictures.apply_op2_no_bwd(rows, &Augment { least_deviation })
}

struct Augment {
    least_deviation: f32,
}

impl CustomOp2 for Augment {
    fn name(&self) -> &'static str {
        "augment"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_on_a_cpu(self.name())
    }

    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        let (_, size, width) = l1.shape().dims3()?;
        let (count, row_len) = l2.shape().dims2()?;
        let is_whole = l1.is_contiguous() && l1.start_offset() == 0;
        if size != width || row_len != Change::ROW_LEN || !is_whole || size * size * size_of::<f32>() > SHARED_BYTES {
            bail!("pictures {:?} to be changed by rows {:?}", l1.shape(), l2.shape());
        }
        let pictures = s1.as_cuda_slice::<u8>()?.as_view();
        let rows = values_of(s2, l2)?;
        let inputs = kernels::augment(&s1.device, size, self.least_deviation, &pictures, (&rows, row_len))?;
        Ok(result(inputs, &s1.device, (count, 1, size, size)))
    }
}
