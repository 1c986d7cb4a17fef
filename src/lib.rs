//! emocam recognizes facial expressions in real time: a camera, a video or pictures go in; faces are found, each gets a
//! probability for seven emotions, and labelled boxes come out in a window, in a recording, and as data.
//!
//! ```text
//! capture ─latest(1)─▶ detect ─bounded(1)─▶ classify ─bounded(2)─▶ main: smooth, draw, window, data
//!    ▲                                                                └─bounded(32)─▶ record
//!    └─────────────── stop flag ◀── window closed · Ctrl-C · a stage failed
//! ```
//!
//! A [`frame::Frame`] goes in, [`pipeline::Annotated`] comes out. Where each thing is:
//!
//! | module | what it owns |
//! |---|---|
//! | [`recognize`] | the way into the library for other programs |
//! | [`cli`] | arguments as typed, and what is wrong with them |
//! | [`manual`] | completions and the manual page, made of the same |
//! | [`run`] | what each command does |
//! | `annotate` | many files: which outputs each gets, what is done already, what failed |
//! | [`job`] | one run of the pipeline, from a source to outputs and a viewer |
//! | [`cameras`] | the list of cameras that `emocam cameras` prints |
//! | [`emotion`] | the seven emotions, their probabilities, one face's prediction |
//! | [`frame`] | a picture on its way, and where a face is in it |
//! | [`source`] | where frames come from: camera, video, pictures, demo |
//! | [`detect`] | finding faces in a frame, or in a part of it |
//! | [`track`] | which face is which from frame to frame, and where to look for it |
//! | [`preprocess`] | the only place where pixels become a tensor |
//! | [`model`] | the network: layers, with shapes beside them |
//! | [`ops`] | what candle does too slowly, as custom operations; `ops/cuda` has the kernels for a GPU |
//! | [`weights`] | weights files and the card inside them: save, load, refuse |
//! | [`device`] | CPU or GPU, as asked for and as it comes to; what a GPU's failures mean |
//! | [`calibration`] | from raw outputs to probabilities: temperature and prior |
//! | [`classify`] | network, card and device together: faces in, probabilities out |
//! | [`smooth`] | labels that do not flicker |
//! | [`pipeline`] | threads, channels, delivery policy, shutdown |
//! | [`clock`] | time on the wall and on the processor |
//! | [`machine`] | the machine that figures were measured on, and this process's memory |
//! | [`bench`](mod@bench) | the figures of `emocam bench` |
//! | [`stats`] | time per stage, latency, frames a second, drops; the summary |
//! | [`draw`] | boxes, labels, bars: pure functions on pixels |
//! | [`sink`] | where results go: window, video, tables, PNGs |
//! | [`summary`] | what each face showed over a whole run |
//! | [`viewer`], [`status`] | how a person watches a run |
//! | [`controls`] | what the keys of the window do |
//! | `programs` | ffmpeg and ffprobe, where they are |
//! | `presenter`, `render` | what happens to a labelled frame on the main thread, and its pictures |
//! | [`dataset`] | labelled faces: formats, splits, copies, augmentation |
//! | [`optim`] | AdamW, the rate over time, the average of the weights |
//! | [`train`] | the settings of a training run and its one loop |
//! | [`eval`] | metrics, calibration and the report |
//! | [`plot`] | curves, confusion matrix, reliability diagram and timeline as PNGs |

mod annotate;
pub mod bench;
mod buffers;
pub mod calibration;
pub mod cameras;
pub mod classify;
pub mod cli;
pub mod clock;
pub mod controls;
pub mod dataset;
pub mod detect;
pub mod device;
pub mod draw;
pub mod emotion;
pub mod eval;
mod files;
pub mod frame;
pub mod job;
pub mod machine;
pub mod manual;
pub mod model;
pub mod ops;
pub mod optim;
pub mod pipeline;
pub mod plot;
pub mod preprocess;
mod presenter;
mod programs;
pub mod recognize;
mod render;
pub mod run;
pub mod sink;
pub mod smooth;
pub mod source;
pub mod stats;
pub mod status;
pub mod summary;
pub mod track;
pub mod train;
pub mod viewer;
pub mod weights;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
