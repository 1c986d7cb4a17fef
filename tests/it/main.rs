//! The program and the library from outside, on real files: one program, a module for each theme. Cameras and the GPU have
//! programs of their own beside it.
//!
//! What several modules use is in `common` (runs of the real binary) and `stages` (stages of a pipeline made for a test).

mod common;
mod stages;

mod bad_input;
mod batch;
mod bench;
mod cli;
mod dataset;
mod device;
mod eval;
mod export;
mod files;
mod formats;
mod golden;
mod help;
mod inputs;
#[cfg(unix)]
mod marks;
mod motion;
mod osc;
mod outputs;
mod parity;
mod pictures;
mod pipeline;
mod python;
mod readme;
#[cfg(target_os = "linux")]
mod recording;
mod shutdown;
mod silence;
mod sources;
mod structure;
mod study;
mod train;
mod turns;
mod video;
#[cfg(target_os = "linux")]
mod window;
