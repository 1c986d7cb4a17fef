//! The layers on an NVIDIA GPU, by kernels of this program's own.
//!
//! candle's operations are general: a layer takes a dozen of them, each with its own pass over memory, several with a small
//! upload of their own, and the gradient of a convolution's input is a transposed convolution in plain loops. Here a layer at
//! inference is one kernel, and a layer as it learns is seven. `kernels` hands them what they rely on, `launch` owns what is unsafe of that, `sizes`
//! decides how work is cut up, the `.cu` files are the kernels, which `build.rs` compiles; the other files make operations
//! of candle of them. Pictures are `(batch, channels, height, width)`, contiguous, f32.
//!
//! Sums are made in a fixed order: on the same kind of GPU the same numbers in give the same numbers out. A convolution's sums
//! are plain f32; with the feature `cudnn` training leaves them to cuDNN, which rounds products to TF32 on chips that can.

mod augment;
mod conv;
#[cfg(feature = "cudnn")]
mod cudnn;
mod inference;
mod kernels;
mod launch;
mod norm;
mod sizes;
#[cfg(test)]
mod tests;
mod update;

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::cuda_backend::{CudaDType, CudaDevice};
use candle_core::{CudaStorage, Layout, Result, Shape, Storage, Tensor, bail};

pub(super) use augment::augment;
pub(super) use inference::{FusedConv, channel_means, linear};
pub(super) use norm::conv_norm;
pub(super) use update::{blend, descend, update_moments};

use launch::Values;

/// The values of a contiguous f32 tensor.
fn values_of<'a>(storage: &'a CudaStorage, layout: &Layout) -> Result<Values<'a>> {
    let values = storage.as_cuda_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(values.slice(start..end)),
        None => bail!("a tensor that is not contiguous"),
    }
}

/// Runs `work` on the values of a tensor that is not an operand.
fn with_values<T>(tensor: &Tensor, work: impl FnOnce(&Values<'_>) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cuda(storage) => work(&values_of(storage, layout)?),
        _ => bail!("a tensor that is not on the GPU"),
    }
}

/// What an operation returns.
fn result(values: CudaSlice<f32>, device: &CudaDevice, shape: impl Into<Shape>) -> (CudaStorage, Shape) {
    (f32::wrap_cuda_slice(values, device.clone()), shape.into())
}

/// The answer of an operation of this folder to values on a CPU, which never come to it.
fn not_on_a_cpu<T>(name: &str) -> Result<T> {
    bail!("{name} is for a GPU")
}
