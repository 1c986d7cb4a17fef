//! A frame at the end of its way: its faces, what they show, what each stage took; and what a run lost on the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;

use super::emotion::Prediction;
use super::frame::{FaceBox, Frame};
use crate::system::clock::Spent;

/// One frame with its faces labelled.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The frame that the predictions were made on.
    pub frame: Frame,
    /// One per face. Those turned away are unsure; which others are is for the caller's thread to say.
    pub predictions: Vec<Prediction>,
    /// How many more faces there are than are labelled.
    pub ignored: usize,
    /// Where those and other faces may be that are not labelled.
    pub unlabelled: Vec<FaceBox>,
    /// What was marked since the frame before it.
    pub events: Vec<Mark>,
    /// How long each stage took.
    pub timing: Timing,
    /// The frame with boxes and labels drawn, where an output shows pictures.
    pub picture: Option<Arc<RgbImage>>,
}

/// A moment that somebody marked, or in which something happened that data should tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What it is called.
    pub text: String,
    /// When it was, on the clock of the frames' times.
    pub time: Duration,
    /// The same moment on the machine's clock.
    pub at: Instant,
}

/// How long each stage worked on one frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Waiting for and decoding the frame.
    pub capture: Spent,
    /// Finding faces.
    pub detect: Spent,
    /// Labelling them.
    pub classify: Spent,
    /// Drawing.
    pub render: Spent,
}

/// What a run loses, by where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Frames of a live source that were replaced by a later one before anybody took them.
    pub dropped: u64,
    /// Frames that were labelled but that the recorder could not take in time.
    pub unrecorded: u64,
}
