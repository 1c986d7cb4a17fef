//! How weights follow their gradients: AdamW, the rate over time, and the running average of the weights.
//!
//! Owns the state and what is done when; the arithmetic is in `ops`. Variables do not depend on each other, so neither do the
//! results on the number of threads.

mod adamw;
mod average;
mod each;
mod schedule;

pub(super) use adamw::{AdamW, Group};
pub(super) use average::{Average, average_decay};
pub(super) use schedule::Schedule;
pub use schedule::ScheduleShape;
