//! How weights follow their gradients: AdamW, the rate over time, and the running average of the weights.
//!
//! On the CPU each is one pass over plain values, variable by variable in parallel: candle's elementwise operations make a
//! new tensor for every term of a formula. On other devices they are candle's operations. Variables do not depend on each
//! other, so neither do the results on the number of threads.

mod adamw;
mod average;
mod schedule;

pub use adamw::{AdamW, Group, Moments};
pub use average::{Average, average_decay};
pub use schedule::{Rate, Schedule, ScheduleShape};
