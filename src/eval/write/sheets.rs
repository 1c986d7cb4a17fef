//! Where the network errs and where it doubts, as pictures: `mistakes.png` and `unsure.png`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;

use crate::dataset::Sample;
use crate::eval::evaluation::Prediction;
use crate::eval::report::{Report, ReportHeader};
use crate::flow::emotion::Emotion;
use crate::plot::{self, Tile};

/// The most pictures on a sheet.
const MOST: usize = 40;

/// A picture, what it shows, what it was taken for, and with which probability.
struct Said<'a> {
    sample: &'a Sample,
    truth: Emotion,
    top: Emotion,
    confidence: f32,
}

/// Writes the wrong predictions that the network was surest of, and the right ones that it was least sure of, each with its
/// picture. `samples` are those that were evaluated.
///
/// # Errors
/// When a file can't be written.
pub fn sheets<'a>(folder: &Path, report: &Report<'_>, samples: impl Iterator<Item = &'a Sample>) -> Result<()> {
    let ReportHeader { dataset, part, .. } = report.header;
    let samples: HashMap<&str, &Sample> = samples.map(|sample| (sample.name.as_str(), sample)).collect();
    let mut said: Vec<Said<'_>> = report
        .evaluation
        .predictions
        .iter()
        .filter_map(|Prediction { name, truth, logits, .. }| {
            let probabilities = report.calibration.probabilities(logits.as_ref()?);
            let top = probabilities.top();
            Some(Said { sample: samples.get(name.as_str())?, truth: *truth, top, confidence: probabilities.of(top) })
        })
        .collect();
    // Sorting keeps the order of equals, so the same predictions give the same sheets.
    said.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let tile = |Said { sample, truth, top, confidence }: &Said<'_>| {
        let label = if top == truth {
            format!("{} {:.0}%", short(*top), 100.0 * confidence)
        } else {
            format!("{} {:.0}%: {}", short(*top), 100.0 * confidence, short(*truth))
        };
        Tile { picture: sample.image.clone(), label }
    };
    let title = format!("{dataset}, {part}");
    let wrong: Vec<Tile> = said.iter().filter(|said| said.top != said.truth).take(MOST).map(tile).collect();
    let about = "The surest mistakes: what it was taken for, how surely, and what raters say.";
    plot::sheet(&folder.join("mistakes.png"), [&title, about], &wrong)?;
    let unsure: Vec<Tile> = said.iter().rev().take(MOST).map(tile).collect();
    let about =
        "The least sure predictions: what it was taken for, how surely, and where that is wrong, what raters say.";
    plot::sheet(&folder.join("unsure.png"), [&title, about], &unsure)
}

/// A name that leaves room for another one beside it.
fn short(emotion: Emotion) -> &'static str {
    match emotion {
        Emotion::Disgust => "Disg.",
        Emotion::Neutral => "Neutr.",
        Emotion::Surprise => "Surpr.",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};

    use super::*;
    use crate::eval::evaluation::Evaluation;
    use crate::eval::report::fixtures::{card, header};

    #[test]
    fn both_sheets_are_written_also_where_nothing_is_wrong() {
        let (card, folder) = (card(), tempfile::tempdir().expect("folder"));
        let mut evaluation = Evaluation::default();
        evaluation.add("", Emotion::Anger, Some([4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        let sample = Sample::sure(GrayImage::from_pixel(48, 48, Luma([99])), Emotion::Anger);
        sheets(folder.path(), &Report::new(&evaluation, header(&card)), [sample].iter()).expect("sheets");
        for name in ["mistakes.png", "unsure.png"] {
            let sheet = image::open(folder.path().join(name)).expect(name);
            assert!(sheet.width() > 300, "{name}");
        }
    }
}
