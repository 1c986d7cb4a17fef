//! How weights follow their gradients, in place. The formulas are those of `ops/update.rs`.

use candle_core::{CudaStorage, Layout, Result, bail};

use super::kernels;
use super::values_of;

/// See [`kernels::blend`].
pub(in crate::ops) fn blend(
    (storage, layout): (&mut CudaStorage, &Layout),
    other: (&CudaStorage, &Layout),
    shares: (f32, f32),
) -> Result<()> {
    whole(storage, layout)?;
    let device = storage.device.clone();
    kernels::blend(&device, storage.as_cuda_slice_mut::<f32>()?, &values_of(other.0, other.1)?, shares)
}

/// See [`kernels::update_moments`].
pub(in crate::ops) fn update_moments(
    (storage, layout): (&mut CudaStorage, &Layout),
    gradient: (&CudaStorage, &Layout),
    shares: [(f32, f32); 2],
) -> Result<()> {
    whole(storage, layout)?;
    let device = storage.device.clone();
    kernels::update_moments(&device, storage.as_cuda_slice_mut::<f32>()?, &values_of(gradient.0, gradient.1)?, shares)
}

/// See [`kernels::descend`].
pub(in crate::ops) fn descend(
    (storage, layout): (&mut CudaStorage, &Layout),
    moments: (&CudaStorage, &Layout),
    numbers: [f32; 4],
) -> Result<()> {
    whole(storage, layout)?;
    let device = storage.device.clone();
    kernels::descend(&device, storage.as_cuda_slice_mut::<f32>()?, &values_of(moments.0, moments.1)?, numbers)
}

/// What is changed in place must be a whole tensor, not a part of one.
fn whole(storage: &CudaStorage, layout: &Layout) -> Result<()> {
    match layout.contiguous_offsets() {
        Some((0, end)) if end == storage.as_cuda_slice::<f32>()?.len() => Ok(()),
        _ => bail!("a part of a tensor can't be changed in place"),
    }
}
