//! The values of tensors on the CPU, for the loops of this module.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The values of a contiguous f32 tensor on the CPU.
pub(super) fn values_of<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        (CpuStorage::F32(_), None) => bail!("a tensor that is not contiguous"),
        (other, _) => bail!("a tensor of {:?} instead of f32", candle_core::backend::BackendStorage::dtype(other)),
    }
}

/// Runs `work` on the values of a tensor on the CPU.
pub(super) fn with_values<T>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(values_of(storage, layout)?),
        _ => bail!("a tensor that is not on the CPU"),
    }
}

/// `value` or 0, without a branch: with one, compilers do not put lanes side by side.
pub(super) fn kept(value: f32, keep: bool) -> f32 {
    f32::from_bits(value.to_bits() & u32::from(keep).wrapping_neg())
}
