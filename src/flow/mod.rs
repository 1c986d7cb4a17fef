//! What flows from stage to stage, and what stops it: a frame, the faces in it, what they show, and the wish to stop.
//!
//! Imports nothing of what makes or takes these.

pub mod emotion;
pub mod frame;
pub mod labelled;
pub mod stop;
