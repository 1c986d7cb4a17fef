//! What NVIDIA's driver is asked, and what it answers: all that needs its types is here.

#![allow(unsafe_code, reason = "two of the driver's calls have no safe form; each says what it relies on")]

use std::error::Error;

use candle_core::Device;
use candle_core::cuda::{CudaError, cudarc};
use cudarc::driver::{CudaContext, DriverError, sys};

use super::{GpuError, GpuFailure};

/// A GPU whose work is all in one queue, whichever thread it comes from: what one thread has queued, another one's work
/// waits for by itself. candle's own default is a queue for each thread, and nobody waits then.
pub(super) fn open(index: usize) -> candle_core::Result<Device> {
    let device = Device::new_cuda_with_stream(index)?;
    // SAFETY: events keep several queues apart, and there is only this one: nothing in this program makes another.
    unsafe { device.as_cuda_device()?.disable_event_tracking() };
    Ok(device)
}

/// How many GPUs the driver sees.
pub(super) fn count() -> Option<usize> {
    CudaContext::device_count().ok()?.try_into().ok()
}

/// A GPU's name.
pub(super) fn name(device: &Device) -> Option<String> {
    device.as_cuda_device().ok()?.cuda_stream().context().name().ok()
}

/// The CUDA that the driver is for, and the one that this program was built with; 12020 is 12.2.
pub(super) fn cuda_versions() -> Option<(u32, u32)> {
    let mut driver = 0;
    // SAFETY: it writes one number, and asks for nothing to be set up before.
    unsafe { sys::cuDriverGetVersion(&raw mut driver) }.result().ok()?;
    Some((driver.try_into().ok()?, sys::CUDA_VERSION))
}

/// What an error of CUDA is.
pub(super) fn understood(error: &(dyn Error + 'static)) -> GpuError {
    let of_driver = |error: &DriverError| (GpuFailure::from_driver(error.0 as u32), words_of(error));
    let (failure, words) = match (error.downcast_ref(), error.downcast_ref::<DriverError>()) {
        (Some(CudaError::Cuda(error) | CudaError::Load { cuda: error, .. }), _) | (_, Some(error)) => of_driver(error),
        (Some(CudaError::Cublas(error)), _) => (GpuFailure::from_cublas(error.0 as u32), format!("{:?}", error.0)),
        (Some(CudaError::Curand(error)), _) => (GpuFailure::from_curand(error.0 as u32), format!("{:?}", error.0)),
        _ => (GpuFailure::Other, error.to_string()),
    };
    // The libraries above the driver fail on an old one without saying why.
    let failure = match (failure, cuda_versions()) {
        (GpuFailure::Other, Some((0, _))) => GpuFailure::NoDriver,
        (GpuFailure::Other, Some((driver, program))) if driver < program => GpuFailure::DriverTooOld,
        (failure, _) => failure,
    };
    GpuError { failure, words }
}

/// `CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected`
fn words_of(error: &DriverError) -> String {
    match error.error_string() {
        // Some are sentences, and some are not.
        Ok(text) => format!("{:?}: {}", error.0, text.to_string_lossy().trim_end_matches('.')),
        Err(_) => format!("{:?}", error.0),
    }
}
