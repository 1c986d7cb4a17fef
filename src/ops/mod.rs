//! What candle does too slowly, as custom operations.
//!
//! Owns a layer as it learns (convolution, batch norm, way around, rectification, with all gradients), convolution for
//! inference, and what optimizers do to values. Each is checked against candle's own result and gradient, or against finite
//! differences, in the tests below. What runs on a GPU is in `cuda`; `no_cuda` stands for it in other builds.
//!
//! On a CPU candle 0.11 computes the gradient of a convolution's input by a transposed convolution in plain loops, and batch norm's
//! from a dozen elementwise passes, which makes a training step several times slower. Here sixteen pictures lie side by side
//! (`lanes`), so that the inner loops (`kernel`) work on whole vector registers without copying patches. Work is split into
//! parts whose number does not depend on the machine, and partial sums are added in a fixed order: on the same kind of
//! processor, the same numbers in give the same numbers out, bit for bit, whatever the number of threads.
//!
//! Inference has other loops (`block`): few pictures, so output channels side by side, and weights packed once.
//!
//! Shapes: `(batch / 16, channels, height, width, 16)` for training, `(batch, height, width, channels)` for inference,
//! `(batch, channels, height, width)` on a GPU; kernels are `(out, in, k, k)` with odd k, padding `k / 2`.

mod block;
mod conv;
mod conv_norm;
#[cfg_attr(not(feature = "cuda"), path = "no_cuda.rs")]
mod cuda;
mod inference;
mod kernel;
mod lanes;
mod norm;
mod packed;
mod update;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

pub use conv_norm::{ChannelStatistics, LayerForm, LayerWeights, conv_norm};
pub use inference::{InferenceConv, inference_layout, inference_linear, inference_means};
pub use lanes::{LANES, lane_means, lanes_from_pictures};
pub use update::{AdamWStep, adamw, blend};

/// Inputs `(count, 1, size, size)` of the grey pictures `(all, size, size)`, u8, that rows `(count, ROW_LEN)` name, changed as
/// those rows say (see [`crate::dataset::augment::Change::to_row`]), on a GPU. Bit for bit what a CPU makes of them.
///
/// # Errors
/// On a CPU, and when the shapes don't fit each other.
pub fn augment(pictures: &Tensor, rows: &Tensor, least_deviation: f32) -> Result<Tensor> {
    cuda::augment(pictures, rows, least_deviation)
}

/// The values of a contiguous f32 tensor on the CPU.
fn values_of<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        (CpuStorage::F32(_), None) => bail!("a tensor that is not contiguous"),
        (other, _) => bail!("a tensor of {:?} instead of f32", candle_core::backend::BackendStorage::dtype(other)),
    }
}

/// Runs `work` on the values of a tensor on the CPU.
fn with_values<T>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(values_of(storage, layout)?),
        _ => bail!("a tensor that is not on the CPU"),
    }
}

/// `value` or 0, without a branch: with one, compilers do not put lanes side by side.
fn kept(value: f32, keep: bool) -> f32 {
    f32::from_bits(value.to_bits() & u32::from(keep).wrapping_neg())
}

#[cfg(test)]
mod tests;
