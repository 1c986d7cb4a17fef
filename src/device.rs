//! On what the network runs: as a user asks for it, and what it comes to.
//!
//! Owns the choice of a device, the proof that it works, and what a person is told of both. What NVIDIA's driver knows is
//! asked in `cuda.rs` and nowhere else; builds for the CPU have `no_cuda.rs` instead. What its errors mean is in `failure.rs`.

#[cfg(feature = "cuda")]
mod cuda;
mod failure;
#[cfg(not(feature = "cuda"))]
mod no_cuda;

#[cfg(feature = "cuda")]
use cuda as system;
#[cfg(not(feature = "cuda"))]
use no_cuda as system;

use std::fmt;
use std::mem::ManuallyDrop;
use std::str::FromStr;

use anyhow::{Error, Result, anyhow, ensure};
use candle_core::{Device, DeviceLocation, Tensor};

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
            Self::Cpu => Ok(Device::Cpu),
            // There is nothing to tell: it can't be otherwise.
            Self::Auto if !cfg!(feature = "cuda") => Ok(Device::Cpu),
            Self::Auto => match working_gpu(0) {
                Ok(device) => {
                    tell(&format!("running on the GPU: {}", description(&device)));
                    Ok(device)
                }
                Err(error) => {
                    tell(&format!("running on the CPU: no NVIDIA GPU can be used ({})", reason(&error, false)));
                    Ok(Device::Cpu)
                }
            },
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(anyhow!(
                "--device {self}: this emocam was built for the CPU; build one for NVIDIA GPUs with \
                 scripts/build-cuda (cargo's feature cuda: --features cuda)"
            )),
            Self::Cuda(index) => {
                // Where there is none at all, the driver says why.
                if let Some(count @ 1..) = system::count() {
                    ensure!(index < count, "--device {self}: {}", no_such_gpu(count));
                }
                working_gpu(index).map_err(|error| anyhow!("--device {self} can't be used: {}", reason(&error, true)))
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
    system::name(device)
}

/// A GPU that has computed something. That it opens says little: only the first computation makes the driver translate this
/// program's code, which a driver that is too old can't.
fn working_gpu(index: usize) -> Result<Device> {
    let device = system::open(index)?;
    if let Err(error) = compute_on(&device) {
        abandon(device);
        return Err(error);
    }
    Ok(device)
}

/// Leaves a GPU that failed, and what is on it, as they are. Dropped, they would be shut down, and where that fails CUDA's
/// libraries panic.
pub(crate) fn abandon<T>(on_gpu: T) {
    let _ = ManuallyDrop::new(on_gpu);
}

fn compute_on(device: &Device) -> Result<()> {
    let values: Vec<f32> = Tensor::new(&[1f32, 2.0, 3.0], device)?.affine(2.0, 1.0)?.to_vec1()?;
    ensure!(values == [3.0, 5.0, 7.0], "it computes wrongly: 2x + 1 of 1, 2 and 3 is {values:?}");
    Ok(())
}

/// Why a GPU can't be used, and what to try. Where none was asked for, that there is none is no reason to do anything.
fn reason(error: &Error, was_asked_for: bool) -> String {
    match GpuError::find(error) {
        Some(none) if none.failure == GpuFailure::NoGpu && !was_asked_for => none.to_string(),
        Some(found) => found.with_advice().to_string(),
        None => format!("{error:#}"),
    }
}

fn no_such_gpu(count: usize) -> String {
    let names = if count == 1 { "cuda:0".to_owned() } else { format!("cuda:0 to cuda:{}", count - 1) };
    format!("there is no such GPU; this machine has {count} ({names})")
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

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_cpu_build_takes_the_cpu_and_refuses_a_gpu() {
        let nothing_told = |text: &str| panic!("told: {text}");
        let device = DeviceSpec::Auto.open(nothing_told).expect("a device");
        assert_eq!((DeviceSpec::of(&device), description(&device)), (DeviceSpec::Cpu, "cpu".into()));
        let error = DeviceSpec::Cuda(0).open(nothing_told).expect_err("no GPU").to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }

    #[test]
    fn a_device_that_computes_rightly_works() {
        compute_on(&Device::Cpu).expect("the CPU works");
    }

    #[test]
    fn a_gpu_that_is_not_there_is_told_with_those_that_are() {
        assert_eq!(no_such_gpu(1), "there is no such GPU; this machine has 1 (cuda:0)");
        assert_eq!(no_such_gpu(3), "there is no such GPU; this machine has 3 (cuda:0 to cuda:2)");
    }
}
