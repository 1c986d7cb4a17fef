//! A rehearsal of a GPU that fails, on any machine: the variable `EMOCAM_REHEARSE_GPU` makes of the CPU a GPU that computes by
//! candle's operations, until a call fails in the given words, as candle hands on what the driver said.
//!
//! `"5 CUDA_ERROR_OUT_OF_MEMORY"`: the fifth convolution fails; `"5+ CUDA_ERROR_UNKNOWN"`: that one and all after it;
//! `"never"`: none. In a build for GPUs a real one fails so. It is there for tests; nothing else reads or sets it.

use std::env;
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::{Error, Result};

const VARIABLE: &str = "EMOCAM_REHEARSE_GPU";

/// The calls that fail, counted from 1, and the words.
type Failure = (RangeInclusive<usize>, String);

static FAILURE: OnceLock<Option<Failure>> = OnceLock::new();
static CALLS: AtomicUsize = AtomicUsize::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);

fn failure() -> Option<&'static Failure> {
    FAILURE.get_or_init(|| env::var(VARIABLE).ok().map(|text| parse(&text))).as_ref()
}

fn parse(text: &str) -> Failure {
    let (when, words) = text.split_once(' ').unwrap_or((text, ""));
    let from = |count: &str| count.parse().unwrap_or(usize::MAX);
    let calls = when.strip_suffix('+').map_or_else(|| from(when)..=from(when), |first| from(first)..=usize::MAX);
    (calls, words.to_owned())
}

/// Whether the CPU plays the GPU.
pub(crate) fn is_on() -> bool {
    failure().is_some() && !IS_OVER.load(Ordering::Relaxed)
}

/// From now on the CPU is the CPU.
pub(super) fn end() {
    IS_OVER.store(true, Ordering::Relaxed);
}

/// One call of the GPU, which fails if that was asked for.
pub(crate) fn call() -> Result<()> {
    match failure() {
        Some((calls, words)) if calls.contains(&(CALLS.fetch_add(1, Ordering::Relaxed) + 1)) => {
            Err(Error::Cuda(words.clone().into()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_fails_or_all_from_it_on_or_none() {
        assert_eq!(parse("5 CUDA_ERROR_X"), (5..=5, "CUDA_ERROR_X".into()));
        assert_eq!(parse("5+ A, \"b c\""), (5..=usize::MAX, "A, \"b c\"".into()));
        assert!(!parse("never").0.contains(&1_000_000));
    }
}
