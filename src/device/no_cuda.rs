//! In place of `cuda.rs` in builds for the CPU: there is no driver to ask.

use std::error::Error;

use candle_core::Device;

use super::{GpuError, GpuFailure};

/// No GPU.
pub(super) fn open(index: usize) -> candle_core::Result<Device> {
    Device::new_cuda(index)
}

/// How many GPUs the driver sees.
pub(super) fn count() -> Option<usize> {
    None
}

/// A GPU's name.
pub(super) fn name(_: &Device) -> Option<String> {
    None
}

/// The CUDA that the driver is for, and the one that this program was built with; 12020 is 12.2.
pub(super) fn cuda_versions() -> Option<(u32, u32)> {
    None
}

/// What an error of CUDA is.
pub(super) fn understood(error: &(dyn Error + 'static)) -> GpuError {
    GpuError { failure: GpuFailure::Other, words: error.to_string() }
}
