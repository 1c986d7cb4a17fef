//! What a GPU's driver reports, sorted by what can be done about it.

use std::error::Error as StdError;
use std::fmt;

use anyhow::Error;

use super::system;

/// A kind of failure of a GPU or of its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuFailure {
    /// Its memory is full.
    OutOfMemory,
    /// It can't be used any more by this process, whatever is tried.
    Lost,
    /// The driver sees no GPU.
    NoGpu,
    /// There is no driver.
    NoDriver,
    /// The driver does not know the CUDA that this program was built with.
    DriverTooOld,
    /// The program's code is for other, later GPUs.
    GpuTooOld,
    /// Anything else, such as a mistake in this program.
    Other,
}

impl GpuFailure {
    /// By the number that CUDA's driver gives (`CUresult`).
    pub fn from_driver(code: u32) -> Self {
        match code {
            2 => Self::OutOfMemory,
            // Not initialized, as where the driver was stopped or is a library for linking only.
            3 | 34 => Self::NoDriver,
            100 => Self::NoGpu,
            // A call or code that needs a later one, or a driver in two parts that don't fit each other.
            36 | 222 | 227 | 803 | 804 => Self::DriverTooOld,
            // No code for it, or none that can be translated for it.
            209 | 218 => Self::GpuTooOld,
            // Shut down; unavailable; gone; its context is invalid, or destroyed.
            4 | 46 | 101 | 201 | 709 => Self::Lost,
            // Errors of memory and of links; what a kernel does wrong, after which the context is of no use.
            214 | 220 | 226 | 700 | 702 | 710 | 714..=719 => Self::Lost,
            // The system is not ready; its server has ended; another device failed; a GPU that fell off its bus.
            802 | 805..=807 | 810 | 911 | 999 => Self::Lost,
            _ => Self::Other,
        }
    }

    /// By the number that cuBLAS gives (`cublasStatus_t`).
    pub fn from_cublas(status: u32) -> Self {
        match status {
            3 => Self::OutOfMemory,
            8 => Self::GpuTooOld,
            // It could not run, or not copy: the driver's own reason comes with whatever is tried next.
            11 | 13 | 14 => Self::Lost,
            _ => Self::Other,
        }
    }

    /// By the number that cuRAND gives (`curandStatus_t`).
    pub fn from_curand(status: u32) -> Self {
        match status {
            102 => Self::OutOfMemory,
            201 | 202 => Self::Lost,
            204 => Self::GpuTooOld,
            _ => Self::Other,
        }
    }
}

/// A failure of a GPU, in the words of whoever reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuError {
    /// Its kind.
    pub failure: GpuFailure,
    /// Such as `CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected`.
    pub words: String,
}

impl GpuError {
    /// What a GPU reported, wherever in an error it is; `None` where the error is none of a GPU.
    pub fn find(error: &Error) -> Option<Self> {
        let known = error.chain().find_map(|cause| cause.downcast_ref::<Self>());
        known.cloned().or_else(|| cuda_error_in(error).map(system::understood))
    }

    /// The same, with what to try behind the words.
    #[must_use]
    pub fn with_advice(self) -> Self {
        let words = self.advice().map(|advice| format!("{}; {advice}", self.words));
        Self { words: words.unwrap_or(self.words), ..self }
    }

    fn advice(&self) -> Option<String> {
        Some(match self.failure {
            GpuFailure::OutOfMemory => {
                "its memory is full: close other programs that use it, or take --device cpu".into()
            }
            GpuFailure::Lost => "nvidia-smi may tell what is wrong with it".into(),
            GpuFailure::NoGpu => "CUDA_VISIBLE_DEVICES or a container may hide it".into(),
            GpuFailure::NoDriver => "install NVIDIA's driver, until nvidia-smi lists the GPU".into(),
            GpuFailure::DriverTooOld => {
                let versions = system::cuda_versions().map(|(driver, program)| {
                    format!("the driver is for CUDA {}, this emocam for {}: ", version(driver), version(program))
                });
                let try_this = "update the driver and restart, or build emocam with an older CUDA toolkit";
                format!("{}{try_this}", versions.unwrap_or_default())
            }
            GpuFailure::GpuTooOld => {
                "this emocam was built for later GPUs: build it on this machine, or with CUDA_COMPUTE_CAP set to what \
                 `nvidia-smi --query-gpu=compute_cap --format=csv` says, without the dot"
                    .into()
            }
            GpuFailure::Other => return None,
        })
    }
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl StdError for GpuError {}

/// `12020` is 12.2.
fn version(number: u32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

/// What CUDA said, below all that anyhow and candle put around it.
fn cuda_error_in(error: &Error) -> Option<&(dyn StdError + 'static)> {
    error.chain().find_map(|cause| cause.downcast_ref().and_then(cuda_error_of_candle))
}

fn cuda_error_of_candle(error: &candle_core::Error) -> Option<&(dyn StdError + 'static)> {
    use candle_core::Error;
    match error {
        Error::Cuda(cuda) => Some(&**cuda),
        Error::Context { inner, .. } | Error::WithPath { inner, .. } | Error::WithBacktrace { inner, .. } => {
            cuda_error_of_candle(inner)
        }
        Error::WrappedContext { wrapped, .. } => wrapped.downcast_ref().and_then(cuda_error_of_candle),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_drivers_numbers_are_sorted_by_what_can_be_done() {
        use GpuFailure::*;
        let expected = [
            (2, OutOfMemory),
            (34, NoDriver),
            (100, NoGpu),
            (222, DriverTooOld),
            (803, DriverTooOld),
            (209, GpuTooOld),
            (700, Lost),
            (719, Lost),
            (999, Lost),
            (1, Other),
            (701, Other),
        ];
        for (code, failure) in expected {
            assert_eq!(GpuFailure::from_driver(code), failure, "{code}");
        }
        assert_eq!([3, 13, 1].map(GpuFailure::from_cublas), [OutOfMemory, Lost, Other]);
        assert_eq!([102, 201, 203].map(GpuFailure::from_curand), [OutOfMemory, Lost, Other]);
    }

    #[test]
    fn what_cuda_said_is_found_below_all_that_is_around_it() {
        let cuda = || candle_core::Error::Cuda(Box::new(std::io::Error::other("gone")));
        let with_path = cuda().with_path("kernel").context("loading");
        let backtrace = Box::new(std::backtrace::Backtrace::force_capture());
        let with_backtrace = candle_core::Error::WithBacktrace { inner: Box::new(with_path), backtrace };
        let wrapped: candle_core::Result<()> = candle_core::error::Context::context(Err(with_backtrace), "a kernel");
        for error in [
            Error::new(cuda()),
            Error::new(wrapped.expect_err("an error")),
            Err::<(), _>(cuda()).context("labelling frame 3").expect_err("an error").context("live"),
        ] {
            assert_eq!(cuda_error_in(&error).expect("found").to_string(), "gone");
        }
        for error in [Error::msg("gone"), Error::new(candle_core::Error::Msg("gone".into()))] {
            assert!(cuda_error_in(&error).is_none(), "{error}");
        }
    }

    #[test]
    fn what_was_understood_is_found_again() {
        let lost = GpuError { failure: GpuFailure::Lost, words: "CUDA_ERROR_UNKNOWN".into() };
        assert_eq!(GpuError::find(&Error::new(lost.clone()).context("labelling")), Some(lost));
        assert_eq!(GpuError::find(&Error::msg("CUDA_ERROR_UNKNOWN")), None);
    }

    #[test]
    fn versions_are_written_as_people_know_them() {
        assert_eq!([12020, 11080, 13000].map(version), ["12.2", "11.8", "13.0"]);
    }

    #[test]
    fn whatever_the_user_can_change_comes_with_advice() {
        let advice = |failure| GpuError { failure, words: String::new() }.advice();
        assert!(advice(GpuFailure::DriverTooOld).is_some_and(|advice| advice.contains("update the driver")));
        assert!(advice(GpuFailure::OutOfMemory).is_some_and(|advice| advice.contains("--device cpu")));
        assert_eq!(advice(GpuFailure::Other), None);
        let lost = GpuError { failure: GpuFailure::Lost, words: "CUDA_ERROR_UNKNOWN".into() };
        assert_eq!(lost.with_advice().to_string(), "CUDA_ERROR_UNKNOWN; nvidia-smi may tell what is wrong with it");
    }
}
