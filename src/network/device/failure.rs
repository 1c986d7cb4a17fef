//! What a GPU's driver and libraries report, sorted by what can be done about it.
//!
//! candle hands their errors on as several types, some as text alone, so they are known by the names that NVIDIA gave them:
//! `CUDA_ERROR_OUT_OF_MEMORY`, `CUBLAS_STATUS_EXECUTION_FAILED`, `CUDNN_STATUS_ALLOC_FAILED`.

use std::fmt;

use anyhow::Error;

/// A kind of failure of a GPU or of its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuFailure {
    /// Its memory is full.
    OutOfMemory,
    /// It can't be used any more by this process, whatever is tried.
    Lost,
    /// The driver sees no GPU.
    NoGpu,
    /// The driver, the GPU and what this program was built for don't fit each other.
    Unfit,
    /// Anything else, such as a mistake in this program.
    Other,
}

/// What a name means, by a part of it, and what to try. The first line with a part that the name has counts.
const KNOWN: [(GpuFailure, &str, &[&str]); 7] = [
    (
        GpuFailure::OutOfMemory,
        "its memory is full: close other programs that use it, or take --device cpu",
        &["OUT_OF_MEMORY", "ALLOC"],
    ),
    (GpuFailure::NoGpu, "CUDA_VISIBLE_DEVICES or a container may hide it", &["CUDA_ERROR_NO_DEVICE"]),
    (GpuFailure::Unfit, "nvidia-smi -L lists the GPUs that there are", &["CUDA_ERROR_INVALID_DEVICE"]),
    (
        GpuFailure::Unfit,
        "this emocam was built for other GPUs: build it on this machine, with scripts/build-cuda",
        &["NO_BINARY_FOR_GPU", "INVALID_PTX", "ARCH_MISMATCH"],
    ),
    (
        GpuFailure::Unfit,
        "update NVIDIA's driver, until nvidia-smi lists the GPU, or build emocam for the one that is here, with \
         scripts/build-cuda",
        &["INITIALIZ", "STUB_LIBRARY", "NEWER_DRIVER", "PTX_VERSION", "MISMATCH", "COMPAT_NOT_SUPPORTED"],
    ),
    // A call that was wrong, on a GPU that is well.
    (GpuFailure::Other, "", &["INVALID_VALUE", "NOT_SUPPORTED"]),
    // After the driver's other errors its context is of no use.
    (
        GpuFailure::Lost,
        "nvidia-smi may tell what is wrong with it",
        &["CUDA_ERROR_", "EXECUTION_FAILED", "INTERNAL_ERROR", "MAPPING_ERROR", "FAILURE"],
    ),
];

/// A failure of a GPU, in the words of whoever reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuError {
    /// Its kind.
    pub failure: GpuFailure,
    words: String,
    advice: &'static str,
}

impl GpuError {
    /// What a GPU reported, wherever in an error it is; `None` where the error is none of a GPU.
    pub fn find(error: &Error) -> Option<Self> {
        error.chain().find_map(|cause| {
            let known = cause.downcast_ref::<Self>().cloned();
            known.or_else(|| Self::from_text(&cause.downcast_ref::<candle_core::Error>()?.to_string()))
        })
    }

    /// From `DriverError(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected")`, wherever it is in a text.
    fn from_text(text: &str) -> Option<Self> {
        let starts = ["CUDA_ERROR_", "CUBLAS_STATUS_", "CUDNN_STATUS_", "CURAND_STATUS_"];
        let text = &text[starts.iter().filter_map(|start| text.find(start)).min()?..];
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, rest) = text.split_at(text.find(|c| !is_of_name(c)).unwrap_or(text.len()));
        let said = rest.strip_prefix(", \"").and_then(|rest| Some(rest.split_once('"')?.0));
        let words = match said {
            // Some are sentences, and some are not; where the driver has no words for it, candle's begin so.
            Some(said) if !said.starts_with('<') => format!("{name}: {}", said.trim_end_matches('.')),
            _ => name.to_owned(),
        };
        let known = KNOWN.iter().find(|(.., parts)| parts.iter().any(|part| name.contains(part)));
        let (failure, advice) = known.map_or((GpuFailure::Other, ""), |&(failure, advice, _)| (failure, advice));
        Some(Self { failure, words, advice })
    }

    /// The same, with what to try behind the words.
    #[must_use]
    pub fn with_advice(mut self) -> Self {
        if !self.advice.is_empty() {
            self.words = format!("{}; {}", self.words, self.advice);
        }
        self
    }
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for GpuError {}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn errors_are_sorted_by_what_can_be_done() {
        use GpuFailure::*;
        for (name, failure, advice) in [
            ("CUDA_ERROR_OUT_OF_MEMORY", OutOfMemory, "--device cpu"),
            ("CUDA_ERROR_NO_DEVICE", NoGpu, "CUDA_VISIBLE_DEVICES"),
            ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", Unfit, "update NVIDIA's driver"),
            ("CUDA_ERROR_UNKNOWN", Lost, "nvidia-smi"),
            ("CUDA_ERROR_INVALID_VALUE", Other, ""),
            ("CUBLAS_STATUS_ARCH_MISMATCH", Unfit, "built for other GPUs"),
            ("CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER", Lost, "nvidia-smi"),
            ("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", OutOfMemory, "--device cpu"),
            ("CURAND_STATUS_INITIALIZATION_FAILED", Unfit, "update NVIDIA's driver"),
        ] {
            let found = GpuError::from_text(name).expect(name);
            let advised = found.clone().with_advice().to_string();
            assert!(found.failure == failure && advised.starts_with(name) && advised.contains(advice), "{advised}");
        }
    }

    #[test]
    fn what_was_said_is_found_below_all_that_is_around_it() {
        let words = |error: Error| GpuError::find(&error).map(|error| error.words);
        // As cudarc's errors are displayed; cuDNN's, and those of the driver that it meets, come as text.
        let driver = "DriverError(CUDA_ERROR_NO_DEVICE, \"no CUDA-capable device is detected\")";
        let backtrace = Box::new(std::backtrace::Backtrace::force_capture());
        let with_path = Box::new(candle_core::Error::Cuda(driver.into()).with_path("kernel").context("loading"));
        let deep = candle_core::Error::WithBacktrace { inner: with_path, backtrace };
        let found = words(Err::<(), _>(deep).context("labelling frame 3").expect_err("an error").context("live"));
        assert_eq!(found.as_deref(), Some("CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"));
        let text = |text: &'static str| words(Error::new(candle_core::Error::wrap(text)));
        assert_eq!(text("CudnnError(CUDNN_STATUS_EXECUTION_FAILED)").as_deref(), Some("CUDNN_STATUS_EXECUTION_FAILED"));
        let silent = "DriverError(CUDA_ERROR_UNKNOWN, \"<Failure when calling cuGetErrorString()>\")";
        assert_eq!(text(silent).as_deref(), Some("CUDA_ERROR_UNKNOWN"));
        assert_eq!((text("gone"), words(Error::msg("a file named CUDA_ERROR_UNKNOWN"))), (None, None));
    }
}
