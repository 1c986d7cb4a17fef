//! emocam recognizes facial expressions in real time: a camera, a video or pictures go in; faces are found, each gets a
//! probability for seven emotions, and labelled boxes come out in a window, in a recording, and as data.
//!
//! ```text
//! capture ─latest(1)─▶ detect ─bounded(1)─▶ classify ─bounded(2)─▶ main: smooth, draw, window
//!    ▲ ▲                                                              │ ├─bounded(2)──▶ tables
//!    │ └─────── credit: at most three frames between capture and shown┘ └─bounded(32)─▶ record
//!    └───────── stop flag ◀── window closed · Ctrl-C · a stage failed
//! ```
//!
//! A [`flow::frame::Frame`] goes in, a [`flow::labelled::Labelled`] comes out. Other programs come in by [`recognize`]. Where
//! each thing is, from the bottom up; a module uses those above it in this table, never those below:
//!
//! | module | what it owns |
//! |---|---|
//! | [`system`] | files, programs, buffers that are used again, clocks |
//! | [`flow`] | what flows from stage to stage, and what stops it |
//! | [`source`] | where frames come from: camera, video, pictures, demo |
//! | [`network`] | from faces to probabilities: preprocessing, network, weights, calibration, device; ONNX |
//! | [`detect`] | finding faces and their eyes, nose, mouth and ears: BlazeFace, and rustface for pictures |
//! | [`track`] | which look is due when; which face is which from frame to frame; labels that do not flicker |
//! | [`draw`] | boxes, labels, bars: pure functions on pixels |
//! | [`plot`] | curves, matrices, diagrams, timelines; takes numbers |
//! | [`sink`] | where results go: video, tables, pictures, the summary of each face, a virtual camera, OSC |
//! | [`measure`] | time per stage, memory, the machine |
//! | [`pipeline`] | threads, channels, the policy of dropping frames, shutdown |
//! | [`dataset`] | labelled faces: formats, splits, copies, augmentation, what poor cameras do |
//! | [`eval`] | metrics, calibration and the report |
//! | [`train`] | settings, optimizer, the one loop, checkpoints |
//! | [`recognize`] | the front door: a picture or a source in, labelled faces out |
//!
//! The program `emocam` (`main.rs`) stands on these, with modules of its own: `view`, `cli`, `commands`.

pub mod dataset;
pub mod detect;
pub mod draw;
pub mod eval;
pub mod flow;
pub mod measure;
pub mod network;
pub mod pipeline;
pub mod plot;
pub mod recognize;
pub mod sink;
pub mod source;
pub mod system;
pub mod track;
pub mod train;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
