//! The report of a run: what was measured, on what, with which weights; as text, data and pictures in one folder.
//!
//! Owns the text and the names of the files. Neither times nor paths stand in any of them: the same weights on the same
//! data give the same bytes.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::interval::{Interval, RESAMPLES};
use super::{ClassMetrics, Evaluation, Metrics, json, table};
use crate::flow::emotion::Emotion;
use crate::network::calibration::{Calibration, Prior};
use crate::network::model::{Architecture, Role};
use crate::network::weights::ModelCard;
use crate::plot;
use crate::system::files::write_whole;

/// What was measured on what.
#[derive(Clone, Copy, Debug)]
pub struct ReportHeader<'a> {
    /// Name of the data set.
    pub dataset: &'a str,
    /// The part of it: train, validation, test or all.
    pub part: &'a str,
    /// SHA-256 over which picture is in which part.
    pub split_hash: &'a str,
    /// The card of the weights; its temperature is the one that is used.
    pub card: &'a ModelCard,
    /// The prior that probabilities follow.
    pub prior: Prior,
}

/// An evaluation with all its figures.
pub struct Report<'a> {
    pub(super) header: ReportHeader<'a>,
    pub(super) evaluation: &'a Evaluation,
    pub(super) calibration: Calibration,
    /// At a temperature of 1.
    pub(super) before: Metrics,
    /// At the card's temperature. What wins is the same.
    pub after: Metrics,
    pub(super) macro_f1_interval: Interval,
}

/// Writes `report.txt`, `report.json`, `predictions.csv`, `confusion_matrix.png` and `reliability.png` into a folder, which
/// is made if it is not there, and returns the text.
///
/// # Errors
/// When the folder or a file in it can't be written.
pub fn write_report(folder: &Path, evaluation: &Evaluation, header: ReportHeader<'_>) -> Result<String> {
    let report = Report::new(evaluation, header);
    report.write(folder)?;
    Ok(report.text())
}

impl<'a> Report<'a> {
    /// The name of its data in a folder.
    pub const JSON: &'static str = "report.json";

    /// The report of an evaluation.
    pub fn new(evaluation: &'a Evaluation, header: ReportHeader<'a>) -> Self {
        let calibration = header.card.calibration(Some(header.prior));
        let uncalibrated = Calibration::new(1.0, header.prior, header.card.class_prior);
        let after = evaluation.metrics(&calibration);
        let before = evaluation.metrics(&uncalibrated);
        Self { header, evaluation, calibration, macro_f1_interval: after.macro_f1_interval(), before, after }
    }

    /// Writes it into a folder: text, data, table, pictures.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        write_whole(&folder.join("predictions.csv"), &table::csv(self)?)?;
        let ReportHeader { dataset, part, card, .. } = self.header;
        let title = format!("{dataset}, {part}");
        plot::confusion_matrix(&folder.join("confusion_matrix.png"), &title, &self.after)?;
        let (before, after) = (&self.before.reliability, &self.after.reliability);
        plot::reliability(&folder.join("reliability.png"), &title, before, (card.temperature, after))?;
        write_whole(&folder.join("report.txt"), self.text().as_bytes())?;
        write_whole(&folder.join(Self::JSON), format!("{:#}\n", json::json(self)).as_bytes())
    }

    /// Whether the pictures are split as they were when the weights were trained.
    pub(super) fn is_split_of_training(&self) -> bool {
        self.header.split_hash == self.header.card.split_hash
    }

    /// The report as a person reads it.
    pub fn text(&self) -> String {
        [self.heading(), self.classes(), self.intervals(), self.calibration(), self.matrix()].join("\n")
    }

    fn heading(&self) -> String {
        let ReportHeader { dataset, part, split_hash, card, prior } = self.header;
        let (count, missed) = (self.after.count(), self.after.missed.iter().sum::<u32>());
        let mut text = format!("{dataset}, {part}: {count} pictures");
        if missed > 0 {
            let _ = write!(text, ", {missed} of them without a face that was found, counted as errors");
        }
        let channels: Vec<String> = card.arch.channels.iter().map(ToString::to_string).collect();
        let channels = channels.join("-");
        let parameters = parameters(&card.arch) as f64 / 1e3;
        let multiply_adds = card.arch.multiply_adds(card.input.size) as f64 / 1e6;
        let relation = if self.is_split_of_training() { "the one" } else { "not the one" };
        let split = split_hash.get(..16).unwrap_or(split_hash);
        let _ = writeln!(
            text,
            "\n\nweights      trained on {} with seed {}\n\
             network      {} {channels}: {parameters:.0} thousand parameters, {multiply_adds:.0} million multiply-adds\n\
             split        {split}…, {relation} that the weights were trained with\n\
             prior        {prior}\n\
             temperature  {:.4}\n\
             emocam       {}",
            card.dataset,
            card.seed,
            card.arch.family,
            card.temperature,
            env!("CARGO_PKG_VERSION")
        );
        text
    }

    /// In the form of scikit-learn's `classification_report`, with the interval of the recall.
    fn classes(&self) -> String {
        let m = &self.after;
        let mut text = format!(
            "{:>12} {:>10}{:>10}{:>10}{:>10}    recall's 95% interval\n\n",
            "", "precision", "recall", "f1-score", "support"
        );
        let line = |name: &str, m: ClassMetrics| {
            format!("{name:>12} {:>10.4}{:>10.4}{:>10.4}{:>10}", m.precision, m.recall, m.f1, m.support)
        };
        for emotion in Emotion::ALL {
            let Interval { low, high } = m.recall_interval(emotion);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}    {low:.4} to {high:.4}", line(emotion.name(), m.class(emotion)));
        }
        let _ = writeln!(text, "\n{:>12} {:>30.4}{:>10}", "accuracy", m.accuracy(), m.count());
        let _ = writeln!(text, "{}", line("macro avg", m.macro_average()));
        let _ = writeln!(text, "{}", line("weighted avg", m.weighted_average()));
        text
    }

    fn intervals(&self) -> String {
        let (accuracy, f1) = (self.after.accuracy_interval(), self.macro_f1_interval);
        format!(
            "accuracy     {:.4}, 95% interval {:.4} to {:.4} (Wilson)\n\
             macro F1     {:.4}, 95% interval {:.4} to {:.4} (bootstrap over pictures, {RESAMPLES} samples)\n",
            self.after.accuracy(),
            accuracy.low,
            accuracy.high,
            self.after.macro_f1(),
            f1.low,
            f1.high
        )
    }

    fn calibration(&self) -> String {
        let mut text = format!("{:<28}{:>18}{:>18}\n", "calibration", "before (T = 1)", "after");
        let mut line = |name: &str, figure: fn(&Metrics) -> f64| {
            let _ = writeln!(text, "{name:<28}{:>18.4}{:>18.4}", figure(&self.before), figure(&self.after));
        };
        line("expected calibration error", |m| m.reliability.error());
        line("mean confidence", |m| m.reliability.confidence());
        line("log loss", Metrics::loss);
        line("Brier score", Metrics::brier);
        text
    }

    fn matrix(&self) -> String {
        let with_missed = self.after.missed.iter().any(|&count| count > 0);
        let mut text = format!("{:<14}", "true\\predicted");
        Emotion::ALL.iter().for_each(|emotion| _ = write!(text, "{emotion:>10}"));
        if with_missed {
            let _ = write!(text, "{:>10}", table::NO_FACE);
        }
        for ((emotion, row), missed) in Emotion::ALL.iter().zip(self.after.confusion).zip(self.after.missed) {
            let _ = write!(text, "\n{emotion:<14}");
            row.iter().for_each(|count| _ = write!(text, "{count:>10}"));
            if with_missed {
                let _ = write!(text, "{missed:>10}");
            }
        }
        text.push('\n');
        text
    }
}

/// How many numbers of the network are learned by gradient.
pub(super) fn parameters(arch: &Architecture) -> usize {
    let learned = arch.tensors().into_iter().filter(|tensor| !matches!(tensor.role, Role::Running(_)));
    learned.map(|tensor| tensor.shape.iter().product::<usize>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::preprocess::InputSpec;

    fn card() -> ModelCard {
        let mut card = ModelCard::new(
            Architecture::default(),
            InputSpec::default(),
            "faces".into(),
            "0123456789abcdef01".into(),
            7,
        );
        card.temperature = 2.0;
        card
    }

    fn header(card: &ModelCard) -> ReportHeader<'_> {
        ReportHeader { dataset: "faces", part: "test", split_hash: &card.split_hash, card, prior: Prior::Natural }
    }

    fn evaluation() -> Evaluation {
        let mut evaluation = Evaluation::default();
        for i in 0..70usize {
            let mut logits = [0.0; 7];
            logits[if i % 5 == 0 { 3 } else { i % 7 }] = 4.0;
            evaluation.add(&format!("folder, {i}.png"), Emotion::ALL[i % 7], logits);
        }
        evaluation
    }

    #[test]
    fn the_text_has_every_figure_and_fits_100_columns() {
        let (card, mut evaluation) = (card(), evaluation());
        evaluation.add_missed("nobody", Emotion::Sad);
        let text = Report::new(&evaluation, header(&card)).text();
        for line in [
            "faces, test: 71 pictures, 1 of them without a face that was found, counted as errors",
            "weights      trained on faces with seed 7",
            "split        0123456789abcdef…, the one that the weights were trained with",
            // Eight of ten found, and eight called so.
            "       Anger     1.0000    0.8000    0.8889        10    0.4902 to 0.9433",
            "         Sad     1.0000    0.7273    0.8421        11    0.4344 to 0.9025",
            "    accuracy                         0.8169        71",
            "Sad                    0         0         0         2         0         8         0         1",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\nis not in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn a_foreign_split_is_said() {
        let (card, evaluation) = (card(), evaluation());
        let text = Report::new(&evaluation, ReportHeader { split_hash: "f", ..header(&card) }).text();
        assert!(text.contains("split        f…, not the one that the weights were trained with"), "{text}");
        assert!(!text.contains("no face"), "{text}");
    }

    #[test]
    fn the_same_predictions_give_the_same_files() {
        let (card, evaluation) = (card(), evaluation());
        let folder = tempfile::tempdir().expect("folder");
        let paths = ["a/run", "b"].map(|name| folder.path().join(name));
        for path in &paths {
            let text = write_report(path, &evaluation, header(&card)).expect("a report");
            assert_eq!(fs::read_to_string(path.join("report.txt")).expect("text"), text);
        }
        for name in ["report.txt", "report.json", "predictions.csv", "confusion_matrix.png", "reliability.png"] {
            let [a, b] = [0, 1].map(|i: usize| fs::read(paths[i].join(name)).expect(name));
            assert!(a == b && a.len() > 100, "{name}");
        }
        assert_eq!(fs::read_dir(&paths[0]).expect("folder").count(), 5);
        let error = write_report(&paths[0].join("report.txt"), &evaluation, header(&card)).expect_err("a file");
        assert!(format!("{error:#}").contains("report.txt"), "{error:#}");
    }

    #[test]
    fn nothing_evaluated_is_still_a_report() {
        let (card, folder) = (card(), tempfile::tempdir().expect("folder"));
        let text = write_report(folder.path(), &Evaluation::default(), header(&card)).expect("a report");
        assert!(text.contains("0 pictures") && !text.contains("NaN"), "{text}");
    }
}
