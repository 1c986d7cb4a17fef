//! On what the network runs: as a user asks for it, and what it comes to.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use candle_core::{Device, DeviceLocation};

/// `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceSpec {
    /// The first GPU where there is one and this program was built for it, else the CPU.
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

    /// The device.
    ///
    /// # Errors
    /// When a GPU was asked for and can't be used.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            // A build for the CPU says no at once; any reason why a GPU can't be used leads to the CPU.
            Self::Auto => Ok(Device::new_cuda(0).unwrap_or(Device::Cpu)),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(anyhow!(
                "--device {self}: this emocam was built for the CPU; build one for NVIDIA GPUs with \
                 cargo build --release --features cuda"
            )),
            Self::Cuda(index) => Device::new_cuda(index).with_context(|| format!("--device {self} can't be used")),
        }
    }
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
        assert_eq!(DeviceSpec::of(&DeviceSpec::Auto.open().expect("a device")), DeviceSpec::Cpu);
        let error = DeviceSpec::Cuda(0).open().expect_err("no GPU").to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}
