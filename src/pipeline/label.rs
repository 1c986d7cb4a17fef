//! The third stage: what each face expresses, for one frame or for several at once. Which faces are read in a frame, and
//! which keep what they showed last, `turns` says.

use anyhow::{Context, Result, ensure};
use crossbeam::channel::{Receiver, Sender};

use super::capture::InFlight;
use super::detect::Detected;
use super::turns::{Known, Turns};
use crate::flow::emotion::{Prediction, Probabilities};
use crate::flow::frame::Face;
use crate::flow::labelled::Labelled;
use crate::network::classify::FrameFaces;
use crate::system::clock::{Spent, Stopwatch};
use crate::track::{Faces, TrackedFace};

/// Labels until the stream ends or nobody listens any more, so many frames at once at most. They are waited for; only the
/// end of the stream comes before. Of a frame's faces `turns` are read. `warnings` takes what whoever watches should know.
pub(super) fn label(
    mut classify: impl FnMut(&[FrameFaces<'_>], &mut dyn FnMut(String)) -> Result<Vec<Vec<Probabilities>>>,
    frames_at_once: usize,
    mut turns: Turns,
    detected: &Receiver<Detected>,
    sender: &Sender<Labelled>,
    warnings: &Sender<String>,
) -> Result<()> {
    // Nobody listens where the run is over already.
    let mut tell = |text| _ = warnings.send(text);
    loop {
        let batch = batch(detected, frames_at_once);
        if batch.is_empty() {
            return Ok(());
        }
        for labelled in labelled_frames(batch, &mut turns, |frames| classify(frames, &mut tell))? {
            if sender.send(labelled).is_err() {
                return Ok(());
            }
        }
    }
}

/// The next frames, so many at most. Where capture waits for room, no more would come.
fn batch(detected: &Receiver<Detected>, most: usize) -> Vec<Detected> {
    let (mut batch, mut taken, mut last) = (Vec::new(), 0, 0);
    while batch.len() < most
        && InFlight::has_room(taken, last)
        && let Ok(next) = detected.recv()
    {
        last = next.frame.rgb.len();
        taken += last;
        batch.push(next);
    }
    batch
}

/// Frames with their labels, in their order. Each took its share of the time.
fn labelled_frames(
    batch: Vec<Detected>,
    turns: &mut Turns,
    classify: impl FnOnce(&[FrameFaces<'_>]) -> Result<Vec<Vec<Probabilities>>>,
) -> Result<Vec<Labelled>> {
    let watch = Stopwatch::start();
    let ids = |one: &Detected| one.faces.tracked.iter().map(|tracked| tracked.id).collect::<Vec<_>>();
    let chosen: Vec<Vec<usize>> = batch.iter().map(|one| turns.choose(&ids(one))).collect();
    let faces_of = |(one, chosen): (&Detected, &Vec<usize>)| {
        chosen.iter().map(|&position| one.faces.tracked[position].face()).collect()
    };
    let faces: Vec<Vec<Face>> = batch.iter().zip(&chosen).map(faces_of).collect();
    let frames: Vec<FrameFaces<'_>> =
        batch.iter().zip(&faces).map(|(one, faces)| FrameFaces { gray: &one.gray, faces }).collect();
    let labels = classify(&frames).with_context(|| format!("labelling {}", names_of(&batch)))?;
    let (expected, found) = (faces.iter().map(Vec::len), labels.iter().map(Vec::len));
    ensure!(expected.eq(found), "labels for other faces than those of {}", names_of(&batch));
    let spent = watch.spent();
    let count = batch.len() as u32;
    let share = Spent { wall: spent.wall / count, cpu: spent.cpu.map(|cpu| cpu / count) };
    let labelled = |((one, chosen), labels): ((Detected, Vec<usize>), Vec<Probabilities>)| {
        let known = turns.note(&ids(&one), &chosen, labels);
        // The grey picture is given back here, before the next frame needs one.
        let Detected { frame, faces: Faces { tracked, mut ignored, mut unlabelled }, mut timing, .. } = one;
        let mut predictions = Vec::with_capacity(tracked.len());
        for (face, known) in tracked.into_iter().zip(known) {
            match known {
                Some(known) => predictions.push(prediction(face, known)),
                // Its turn is still to come.
                None => {
                    ignored += 1;
                    unlabelled.push(face.face);
                }
            }
        }
        timing.classify = share;
        Labelled { frame, predictions, ignored, unlabelled, events: Vec::new(), timing, picture: None }
    };
    Ok(batch.into_iter().zip(chosen).zip(labels).map(labelled).collect())
}

fn prediction(face: TrackedFace, known: Known) -> Prediction {
    let prediction = face.labelled(known.probabilities).unless_turned();
    Prediction { read: known.now, ..prediction }
}

fn names_of(batch: &[Detected]) -> String {
    match batch {
        [one] => format!("frame {}", one.frame.id),
        [first, .., last] => format!("frames {} to {}", first.frame.id, last.frame.id),
        [] => "no frames".to_owned(),
    }
}
