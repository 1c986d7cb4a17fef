//! The front door of the library, for other programs: pictures or a source in, faces with emotions out.
//!
//! The faces of a picture:
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let picture = image::open("people.jpg")?.into_rgb8();
//! for face in emocam::recognize::Recognizer::new()?.faces(&picture)? {
//!     // Happy 97% at x 210, y 90
//!     println!("{} {:.0}% at x {:.0}, y {:.0}", face.label(), 100.0 * face.confidence(), face.face.x, face.face.y);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The faces before a camera, as long as there is one; a file, a folder or `demo` instead of `0` works as well:
//!
//! ```no_run
//! use std::ops::ControlFlow;
//!
//! use emocam::recognize::Recognizer;
//! use emocam::source::SourceSpec;
//!
//! # fn main() -> anyhow::Result<()> {
//! let mut camera = SourceSpec::from("0").open()?;
//! Recognizer::new()?.run(camera.as_mut(), |labelled| {
//!     println!("{:?}: {} faces", labelled.frame.pts, labelled.predictions.len());
//!     if labelled.predictions.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
//! })
//! # }
//! ```
//!
//! A [`Prediction`] has the face's place, its seven probabilities and the label that the program would show; a [`Labelled`]
//! has the frame, too. Everything runs in this process and on the processor; nothing is read but the source.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use candle_core::Device;
use image::RgbImage;

use crate::detect::{Picture, SmallestFace};
use crate::flow::emotion::Prediction;
use crate::flow::frame::Frame;
use crate::flow::labelled::Labelled;
use crate::flow::stop::Stop;
use crate::network::classify::{Classifier, FrameFaces};
use crate::network::preprocess::gray_from_rgb;
use crate::network::weights::Weights;
use crate::pipeline::{self, DropPolicy, Event, Stages, most_in_time};
use crate::source::Source;
use crate::track::smooth::Smoother;
use crate::track::{FaceTracker, Search, Sequence, TrackedFace};

/// How long a change of expression takes to show in motion: the default of the program.
const SMOOTHING: Duration = Duration::from_millis(110);

/// Finds faces and tells what they express, as the program does by default. To make one takes a moment: keep it.
pub struct Recognizer {
    classifier: Classifier,
}

impl Recognizer {
    /// With the weights inside the program, on the processor.
    ///
    /// # Errors
    /// When there is no memory for the network.
    pub fn new() -> Result<Self> {
        Self::with_weights(&Weights::embedded()?)
    }

    /// With other weights, on the processor.
    ///
    /// # Errors
    /// When the weights don't fit their own card.
    pub fn with_weights(weights: &Weights) -> Result<Self> {
        Ok(Self { classifier: Classifier::new(weights, None, Device::Cpu)? })
    }

    /// The faces of a picture by itself, the largest first. Nothing is kept from one picture to the next.
    ///
    /// # Errors
    /// When the detector or the network fails.
    pub fn faces(&mut self, picture: &RgbImage) -> Result<Vec<Prediction>> {
        let search = Search { smallest_face: SmallestFace::IN_PICTURES, sequence: Sequence::Pictures, sees_all: false };
        let gray = gray_from_rgb(picture, picture.width(), picture.height())?;
        let found = FaceTracker::new(search)?.track(Picture { rgb: picture, gray: &gray }, 0, Duration::ZERO)?.tracked;
        let boxes: Vec<_> = found.iter().map(TrackedFace::face).collect();
        let labels = self.classifier.classify(&gray, &boxes)?;
        let labelled = found.into_iter().zip(labels).map(|(face, shares)| face.labelled(shares).unless_turned());
        Ok(labelled.collect())
    }

    /// Calls `each` on this thread with every frame of a file, or with the latest frame of a camera, until the source ends or
    /// `each` breaks. Faces keep their numbers from frame to frame, and probabilities are smoothed over time.
    ///
    /// # Errors
    /// The first error of the source, the detector or the network.
    pub fn run(&mut self, source: &mut dyn Source, mut each: impl FnMut(&Labelled) -> ControlFlow<()>) -> Result<()> {
        let drop_policy = if source.info().live { DropPolicy::Latest } else { DropPolicy::Every };
        let search =
            Search { smallest_face: SmallestFace::IN_MOTION, sequence: Sequence::Motion(None), sees_all: false };
        let mut smoother = Smoother::new(SMOOTHING);
        let classifier = &mut self.classifier;
        let stages = Stages {
            source,
            make_detect: || {
                let mut tracker = FaceTracker::new(search)?;
                Ok(move |frame: &Frame, gray: &_| tracker.track(Picture { rgb: &frame.rgb, gray }, frame.id, frame.pts))
            },
            classify: |frames: &[FrameFaces<'_>], tell: &mut dyn FnMut(String)| {
                classifier.classify_frames(frames, tell)
            },
            // Of a camera; of a file the pipeline takes all.
            faces_a_frame: Some(most_in_time()),
            frames_at_once: 1,
            tables: Vec::new(),
            recorders: Vec::new(),
            needs_outputs: false,
        };
        let (_, outcome) = pipeline::run(stages, drop_policy, &Stop::default(), |event| {
            let Event::Frame(labelled) = event else { return Ok(ControlFlow::Continue(())) };
            smoother.smooth_frame(labelled);
            Ok(each(labelled))
        });
        outcome
    }
}
