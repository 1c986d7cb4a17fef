//! Where results go: a video, a table, pictures, a summary, a virtual camera, a stream.
//!
//! Owns what every output can do ([`Sink`]) and shows. How outputs are named and checked
//! before anything is written is in `spec.rs`; each kind lives in a file of its own. What made an output is in
//! `record.rs`; that no input is lost, in `inputs.rs`.

mod crops;
mod framed;
mod inputs;
mod naming;
mod on_demand;
mod options;
mod osc;
mod output;
mod part;
mod picture_file;
mod record;
mod record_file;
mod recorder;
mod remux;
mod shared;
mod spec;
mod stills;
mod summary;
mod table;
mod template;
mod virtual_camera;

use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Context, Result};
use image::RgbImage;

pub use inputs::Inputs;
pub use naming::Pattern;
pub use on_demand::{OnDemand, Requests, on_demand};
pub use options::{OutputOptions, Quality, Sound};
pub use osc::OscSink;
pub use record::{Input, Record};
pub use shared::SharedTable;
pub use spec::{SinkSpec, are_whole, check_distinct};
pub use summary::{Account, Seen};
pub use table::rounded;
pub use template::Variables;

use crate::draw;
use crate::flow::labelled::{Labelled, Mark};

/// Takes results, one frame at a time, in order.
pub trait Sink {
    /// Takes one frame's results. `Break` asks for the end of the run (the reader of a pipe has gone).
    ///
    /// # Errors
    /// When the output can't be written.
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>>;

    /// Takes what was marked after the last frame, before the end. What was marked before comes with the frames.
    ///
    /// # Errors
    /// When the output can't be written.
    fn mark(&mut self, _marks: &[Mark]) -> Result<()> {
        Ok(())
    }

    /// Does what does not depend on frames, while none comes.
    fn idle(&mut self) {}

    /// What went wrong and is no error, since the last time.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Completes the output; nothing is written after it. Called once, also after a failed run.
    ///
    /// # Errors
    /// When what is left can't be written.
    fn finish(&mut self, ending: Ending) -> Result<()>;
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All that was to be written was.
    Whole,
    /// It was cut off: a file keeps the name that says so.
    CutOff,
}

/// What is known of a file that is where an output is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// There is none.
    Nothing,
    /// This very job made it, to its end or not.
    ThisJob {
        /// Whether to its end.
        whole: bool,
    },
    /// It is something else: how that is known.
    Other(String),
}

impl Made {
    /// Whether this very job made it.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::ThisJob { .. })
    }
}

/// What a recording shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The frame with boxes and labels.
    Labelled,
    /// The frame alone.
    Clean,
}

/// The annotated picture: the one that was drawn for the window too, or else drawn here.
fn picture_of(labelled: &Labelled) -> Arc<RgbImage> {
    labelled
        .picture
        .clone()
        .unwrap_or_else(|| Arc::new(draw::annotated_picture(&labelled.frame, &labelled.predictions)))
}

/// The frame as it came, as a picture.
fn clean_picture_of(labelled: &Labelled) -> Result<RgbImage> {
    let frame = &labelled.frame;
    RgbImage::from_raw(frame.width, frame.height, frame.rgb.to_vec()).with_context(|| {
        format!("frame {} has {} bytes, expected {}x{} pixels", frame.id, frame.rgb.len(), frame.width, frame.height)
    })
}

#[cfg(test)]
pub(crate) mod tests;
