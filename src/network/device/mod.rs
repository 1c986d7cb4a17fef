//! On what the network runs: as a user asks for it, and what it comes to.
//!
//! Owns the choice of a device, the proof that it works, and what a person is told of both. What a GPU's errors mean is in
//! `failure.rs`; tests let it fail by `rehearsal.rs`.

mod failure;
pub(crate) mod rehearsal;

use std::fmt;
use std::mem::ManuallyDrop;
use std::str::FromStr;

use anyhow::{Error, Result, anyhow};
use candle_core::{DType, Device, DeviceLocation, Tensor};

pub use failure::{GpuError, GpuFailure};

/// `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceSpec {
    /// The first GPU where it works and this program was built for it, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// One GPU, by its index.
    Cuda(usize),
}

impl FromStr for DeviceSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| anyhow!("expected auto, cpu, cuda or cuda:N, found {text:?}")),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceSpec {
    /// What a device is, whatever it was asked for as.
    pub fn of(device: &Device) -> Self {
        match device.location() {
            DeviceLocation::Cuda { gpu_id } => Self::Cuda(gpu_id),
            // Other kinds are never opened.
            _ => Self::Cpu,
        }
    }

    /// The device. Where this program could use a GPU and chooses by itself, `tell` hears what it took, and why no GPU.
    ///
    /// # Errors
    /// When a GPU was asked for and can't be used; the message has the driver's words.
    pub fn open(self, tell: impl FnOnce(&str)) -> Result<Device> {
        match self {
            Self::Cpu => {
                rehearsal::end();
                Ok(Device::Cpu)
            }
            // There is nothing to tell: it can't be otherwise.
            Self::Auto if !can_have_gpu() => Ok(Device::Cpu),
            Self::Auto => match working_gpu(0) {
                Ok(device) => {
                    tell(&format!("running on the GPU: {}", description(&device)));
                    Ok(device)
                }
                Err(error) => {
                    // Where none was asked for, that there is none is no reason to do anything.
                    let none = GpuError::find(&error).filter(|error| error.failure == GpuFailure::NoGpu);
                    let reason = none.map_or_else(|| reason(&error), |error| error.to_string());
                    tell(&format!("running on the CPU: no NVIDIA GPU can be used ({reason})"));
                    Ok(Device::Cpu)
                }
            },
            Self::Cuda(_) if !can_have_gpu() => Err(anyhow!(
                "--device {self}: this emocam was built for the CPU; build one for NVIDIA GPUs with \
                 scripts/build-cuda (cargo's feature cuda: --features cuda)"
            )),
            Self::Cuda(index) => {
                working_gpu(index).map_err(|error| anyhow!("--device {self} can't be used: {}", reason(&error)))
            }
        }
    }
}

/// A device as people know it: `cpu`, or `NVIDIA H100 PCIe (cuda:0)`.
pub fn description(device: &Device) -> String {
    let spec = DeviceSpec::of(device);
    gpu_name(device).map_or_else(|| spec.to_string(), |name| format!("{name} ({spec})"))
}

/// The name of a GPU; the CPU has none here.
pub fn gpu_name(device: &Device) -> Option<String> {
    #[cfg(feature = "cuda")]
    return device.as_cuda_device().ok()?.cuda_stream().context().name().ok();
    #[cfg(not(feature = "cuda"))]
    is_gpu(device).then(|| "rehearsed GPU".to_owned())
}

/// Whether a device is a GPU, or the CPU in the place of one.
pub(crate) fn is_gpu(device: &Device) -> bool {
    !device.is_cpu() || (!cfg!(feature = "cuda") && rehearsal::is_on())
}

fn can_have_gpu() -> bool {
    cfg!(feature = "cuda") || rehearsal::is_on()
}

/// A GPU that has computed something. That it opens says little: only the first computation makes the driver translate this
/// program's code, which a driver that is too old can't.
fn working_gpu(index: usize) -> Result<Device> {
    // A queue for all threads: what one thread has queued, another one's work waits for by itself. candle's own default is a
    // queue for each thread, and nobody waits then.
    let device = if cfg!(feature = "cuda") { Device::new_cuda_with_stream(index)? } else { Device::Cpu };
    match Tensor::zeros(1, DType::F32, &device).and_then(|x| x.affine(2.0, 1.0)?.to_vec1::<f32>()) {
        Ok(_) => Ok(device),
        Err(error) => {
            abandon(device);
            Err(error.into())
        }
    }
}

/// Leaves a GPU that failed, and what is on it, as they are. Dropped, they would be shut down, and where that fails CUDA's
/// libraries panic.
pub(crate) fn abandon<T>(on_gpu: T) {
    let _ = ManuallyDrop::new(on_gpu);
    rehearsal::end();
}

/// Why a GPU can't be used, and what to try.
fn reason(error: &Error) -> String {
    GpuError::find(error).map_or_else(|| format!("{error:#}"), |gpu| gpu.with_advice().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for text in ["auto", "cpu", "cuda:3"] {
            assert_eq!(text.parse::<DeviceSpec>().expect("a device").to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceSpec>().expect("a device"), DeviceSpec::Cuda(0));
        for text in ["", "gpu", "cuda:", "cuda:-1", "CPU"] {
            assert!(text.parse::<DeviceSpec>().is_err(), "{text}");
        }
    }
}
