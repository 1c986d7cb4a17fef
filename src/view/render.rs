//! The pictures of a frame: what is recorded, and what the window shows.
//!
//! Owns which of them are needed, their buffers, and the one rule of privacy: where faces are to be hidden they are hidden
//! in the frame itself, before anything is drawn on it, so nothing that comes after can show them.

use std::sync::Arc;

use image::RgbImage;

use crate::view::keys::Controls;
use emocam::draw::{self, Trails};
use emocam::flow::frame::FaceBox;
use emocam::flow::labelled::Labelled;
use emocam::system::buffers::Buffers;

/// Which pictures are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// One with boxes and labels, for what is recorded.
    pub(super) recorded: bool,
    /// One for the window.
    pub(super) shown: bool,
}

/// Makes pictures.
#[derive(Default)]
pub(super) struct Renderer {
    recorded: Buffers<RgbImage>,
    shown: Buffers<RgbImage>,
    trails: Trails,
}

impl Renderer {
    /// Takes note of a frame's labels, each frame once.
    pub(super) fn remember(&mut self, annotated: &Labelled) {
        self.trails.push(annotated.frame.pts, &annotated.predictions);
    }

    /// Hides what is to be hidden, puts the picture for what is recorded into the frame's results, and returns the one for
    /// the window.
    pub(super) fn render(
        &mut self,
        annotated: &mut Labelled,
        controls: &Controls,
        wanted: Wanted,
    ) -> Option<Arc<RgbImage>> {
        if controls.hide_faces {
            hide_faces(annotated, controls);
        }
        if controls.mirror_recordings {
            (annotated.frame, annotated.predictions) = draw::mirrored(&annotated.frame, &annotated.predictions);
        }
        let mirrored = controls.mirror != controls.mirror_recordings;
        if wanted.recorded || (wanted.shown && !mirrored) {
            let mut picture = self.recorded.picture(annotated.frame.width, annotated.frame.height);
            let target = Arc::make_mut(&mut picture);
            draw::annotate(&annotated.frame, &annotated.predictions, controls.look, Some(&self.trails), target);
            self.recorded.keep(&picture);
            annotated.picture = Some(picture);
        }
        if !wanted.shown {
            return None;
        }
        if !mirrored {
            return annotated.picture.clone();
        }
        // Drawn anew: a mirrored letter can't be read.
        let (frame, predictions) = draw::mirrored(&annotated.frame, &annotated.predictions);
        let mut picture = self.shown.picture(frame.width, frame.height);
        draw::annotate(&frame, &predictions, controls.look, Some(&self.trails), Arc::make_mut(&mut picture));
        self.shown.keep(&picture);
        Some(picture)
    }
}

/// Every face that was found or is expected, labelled or not.
fn hide_faces(annotated: &mut Labelled, controls: &Controls) {
    let faces: Vec<FaceBox> = annotated
        .predictions
        .iter()
        .map(|prediction| prediction.face)
        .chain(annotated.unlabelled.iter().copied())
        .collect();
    let frame = &mut annotated.frame;
    draw::hide(Arc::make_mut(&mut frame.rgb), frame.width, frame.height, &faces, controls.privacy);
}
