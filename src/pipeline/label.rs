//! The third stage: what each face expresses, for one frame or for several at once.

use anyhow::{Context, Result, ensure};
use crossbeam::channel::{Receiver, Sender};

use super::detect::Detected;
use crate::flow::emotion::Probabilities;
use crate::flow::frame::Face;
use crate::flow::labelled::Labelled;
use crate::network::classify::FrameFaces;
use crate::system::clock::{Spent, Stopwatch};
use crate::track::Faces;

/// Labels until the stream ends or nobody listens any more, so many frames at once at most. They are waited for; only the
/// end of the stream comes before. `warnings` takes what whoever watches should know.
pub(super) fn label(
    mut classify: impl FnMut(&[FrameFaces<'_>], &mut dyn FnMut(String)) -> Result<Vec<Vec<Probabilities>>>,
    frames_at_once: usize,
    detected: &Receiver<Detected>,
    sender: &Sender<Labelled>,
    warnings: &Sender<String>,
) -> Result<()> {
    // Nobody listens where the run is over already.
    let mut tell = |text| _ = warnings.send(text);
    loop {
        let batch: Vec<Detected> = detected.iter().take(frames_at_once).collect();
        if batch.is_empty() {
            return Ok(());
        }
        for labelled in labelled_frames(batch, |frames| classify(frames, &mut tell))? {
            if sender.send(labelled).is_err() {
                return Ok(());
            }
        }
    }
}

/// Frames with their labels, in their order. Each took its share of the time.
fn labelled_frames(
    batch: Vec<Detected>,
    classify: impl FnOnce(&[FrameFaces<'_>]) -> Result<Vec<Vec<Probabilities>>>,
) -> Result<Vec<Labelled>> {
    let watch = Stopwatch::start();
    let boxes: Vec<Vec<Face>> =
        batch.iter().map(|one| one.faces.tracked.iter().map(|tracked| tracked.face()).collect()).collect();
    let frames: Vec<FrameFaces<'_>> =
        batch.iter().zip(&boxes).map(|(one, faces)| FrameFaces { gray: &one.gray, faces }).collect();
    let labels = classify(&frames).with_context(|| format!("labelling {}", names_of(&batch)))?;
    let (expected, found) = (boxes.iter().map(Vec::len), labels.iter().map(Vec::len));
    ensure!(expected.eq(found), "labels for other faces than those of {}", names_of(&batch));
    let spent = watch.spent();
    let count = batch.len() as u32;
    let share = Spent { wall: spent.wall / count, cpu: spent.cpu.map(|cpu| cpu / count) };
    let labelled = |(one, labels): (Detected, Vec<Probabilities>)| {
        // The grey picture is given back here, before the next frame needs one.
        let Detected { frame, faces: Faces { tracked, ignored, unlabelled }, mut timing, .. } = one;
        let predictions =
            tracked.into_iter().zip(labels).map(|(face, shares)| face.labelled(shares).unless_turned()).collect();
        timing.classify = share;
        Labelled { frame, predictions, ignored, unlabelled, timing, picture: None }
    };
    Ok(batch.into_iter().zip(labels).map(labelled).collect())
}

fn names_of(batch: &[Detected]) -> String {
    match batch {
        [one] => format!("frame {}", one.frame.id),
        [first, .., last] => format!("frames {} to {}", first.frame.id, last.frame.id),
        [] => "no frames".to_owned(),
    }
}
