//! The second stage: where the faces of a frame are.

use std::sync::Arc;

use anyhow::{Context, Result};
use crossbeam::channel::{Receiver, Sender};
use image::GrayImage;

use crate::flow::frame::Frame;
use crate::flow::labelled::Timing;
use crate::network::preprocess::write_gray;
use crate::system::buffers::Buffers;
use crate::system::clock::Stopwatch;
use crate::track::Faces;

/// A frame with its faces found.
pub(super) struct Detected {
    pub(super) frame: Frame,
    pub(super) gray: Arc<GrayImage>,
    pub(super) faces: Faces,
    pub(super) timing: Timing,
}

/// Detects until the stream ends or nobody listens any more. So many frames at once are held behind. Each takes `credit`,
/// where there is some.
pub(super) fn detect(
    detect: &mut impl FnMut(&Frame, &GrayImage) -> Result<Faces>,
    frames_at_once: usize,
    frames: &Receiver<(Frame, Timing)>,
    credit: Option<&Receiver<()>>,
    sender: &Sender<Detected>,
) -> Result<()> {
    let mut buffers = Buffers::for_held(frames_at_once);
    // The frame is chosen after it may go: until then a later one may take its place.
    while credit.is_none_or(|credit| credit.recv().is_ok())
        && let Ok((frame, mut timing)) = frames.recv()
    {
        let watch = Stopwatch::start();
        let mut gray = buffers.picture(frame.width, frame.height);
        write_gray(&frame.rgb, Arc::make_mut(&mut gray))?;
        buffers.keep(&gray);
        let faces = detect(&frame, &gray).with_context(|| format!("finding faces in frame {}", frame.id))?;
        timing.detect = watch.spent();
        if sender.send(Detected { frame, gray, faces, timing }).is_err() {
            break;
        }
    }
    Ok(())
}
