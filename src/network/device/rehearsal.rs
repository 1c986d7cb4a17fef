//! A rehearsal of a GPU that fails, for tests: with `EMOCAM_REHEARSE_GPU="20 1 CUDA_ERROR_UNKNOWN"` the CPU of a build for the
//! CPU plays a GPU, by candle's operations, and from the 20th convolution on one fails in these words, as candle hands on what
//! a driver says. In a build for GPUs a real one seems to fail so.

use std::env;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::{Error, Result};

/// The first call that fails, counted from 0; how many do; and the words.
static PLAN: LazyLock<Option<(usize, usize, String)>> = LazyLock::new(|| {
    let text = env::var("EMOCAM_REHEARSE_GPU").ok()?;
    let mut parts = text.splitn(3, ' ');
    let mut number = || parts.next()?.parse().ok();
    Some((number()?, number()?, parts.next()?.to_owned()))
});
static CALLS: AtomicUsize = AtomicUsize::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Whether the CPU plays the GPU.
pub(super) fn is_on() -> bool {
    PLAN.is_some() && !IS_OVER.load(Ordering::Relaxed)
}

/// From now on the CPU is the CPU.
pub(super) fn end() {
    IS_OVER.store(true, Ordering::Relaxed);
}

/// One call of the GPU, which fails if that was planned.
pub(crate) fn call() -> Result<()> {
    let Some((first, count, words)) = &*PLAN else { return Ok(()) };
    let fails = CALLS.fetch_add(1, Ordering::Relaxed).checked_sub(*first).is_some_and(|call| call < *count);
    if fails { Err(Error::Cuda(words.clone().into())) } else { Ok(()) }
}
