//! What the operating system is asked for: files, programs, memory that is used again, and clocks.

pub mod buffers;
pub mod clock;
pub(crate) mod files;
pub(crate) mod programs;
