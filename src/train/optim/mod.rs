//! How weights follow their gradients: AdamW, the rate over time, and the running average of the weights.
//!
//! Owns the state and what is done when; the arithmetic is in `ops`. Variables do not depend on each other, so neither do the
//! results on the number of threads.

mod adamw;
mod average;
mod schedule;

use candle_core::Result;
use rayon::prelude::*;

pub use adamw::{AdamW, Group, Moments};
pub use average::{Average, average_decay};
pub use schedule::{Rate, Schedule, ScheduleShape};

/// Something whose values are on a device.
trait OnDevice {
    fn is_on_cpu(&self) -> bool;
}

/// Does the same to each: on a CPU by all threads, while a GPU shares out the work itself and wants one thread to queue it.
fn each<T: OnDevice + Send>(items: &mut [T], work: impl Fn(&mut T) -> Result<()> + Send + Sync) -> Result<()> {
    if items.iter().all(OnDevice::is_on_cpu) {
        items.par_iter_mut().try_for_each(work)
    } else {
        items.iter_mut().try_for_each(work)
    }
}
