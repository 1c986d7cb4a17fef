//! emocam recognizes facial expressions in real time: a camera, a video or pictures go in; faces are found, each gets a
//! probability for seven emotions, and labelled boxes come out in a window, in a recording, and as data.
//!

pub mod dataset;
pub mod draw;
pub mod emotion;
pub mod eval;
pub mod frame;
pub mod model;
pub mod ops;
pub mod optim;
pub mod pipeline;
pub mod preprocess;
pub mod sink;
pub mod source;
pub mod train;
pub mod weights;
