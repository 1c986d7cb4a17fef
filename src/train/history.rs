//! What each epoch came to: a row an epoch in `history.csv`, a line an epoch for people.
//!
//! Times differ from run to run. They stand in the last columns and are no part of a checkpoint, so that whatever else is
//! written is a function of seed, settings and data.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::eval::Metrics;
use crate::plot::Epoch;
use crate::system::files::{read_at_most, write_whole};

/// The largest history that is read, in bytes: a hundred thousand epochs.
const MAX_FILE_SIZE: u64 = 16 * 1024 * 1024;

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EpochRecord {
    /// What it came to.
    #[serde(flatten)]
    pub(super) figures: Epoch,
    /// What it came to on watched sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) watched: Vec<WatchedFigures>,
    /// How long it took; not known where a run was killed before it wrote that down.
    #[serde(skip)]
    pub(super) timing: Option<Timing>,
}

/// The figures of an epoch on a set that is only watched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WatchedFigures {
    accuracy: f64,
    mean_recall: f64,
}

impl WatchedFigures {
    pub(super) fn of(metrics: &Metrics) -> Self {
        Self { accuracy: metrics.accuracy(), mean_recall: metrics.mean_recall() }
    }
}

/// How long an epoch took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Timing {
    /// All of it, with validation.
    pub(super) seconds: f64,
    /// Training pictures a second, without validation.
    pub(super) pictures_per_second: f64,
}

/// The columns of `history.csv`; where they end, two for each watched set follow, and then times.
const COLUMNS: [&str; 7] =
    ["epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_macro_f1"];
const TIME_COLUMNS: [&str; 2] = ["seconds", "images_per_second"];

impl EpochRecord {
    /// The line for people, in the habit of the field. Epochs count from 1.
    pub(super) fn line(&self, epoch: usize, epochs: usize, sets: &[&str]) -> String {
        let Epoch { train_loss, validation_loss, validation_macro_f1, .. } = self.figures;
        let (train, validation) = (100.0 * self.figures.train_accuracy, 100.0 * self.figures.validation_accuracy);
        let time = self.timing.map_or_else(String::new, |Timing { seconds, .. }| format!("  ({seconds:.0} s)"));
        let watched: String = sets
            .iter()
            .skip(1)
            .zip(&self.watched)
            .map(|(name, figures)| {
                format!(" | {name}: {:.2}%, mean recall {:.2}%", 100.0 * figures.accuracy, 100.0 * figures.mean_recall)
            })
            .collect();
        format!(
            "Epoch [{epoch}/{epochs}]  Train Loss: {train_loss:.4} | Train Acc: {train:.2}%  \
             || Val Loss: {validation_loss:.4} | Val Acc: {validation:.2}% | Val F1: {validation_macro_f1:.4}{watched}{time}"
        )
    }

    fn row(&self, epoch: usize) -> Vec<String> {
        let Epoch { learning_rate, train_loss, train_accuracy, .. } = self.figures;
        let Epoch { validation_loss, validation_accuracy, validation_macro_f1, .. } = self.figures;
        let mut row = vec![epoch.to_string(), format!("{learning_rate:.6e}")];
        let figures = [train_loss, train_accuracy, validation_loss, validation_accuracy, validation_macro_f1];
        row.extend(figures.map(|figure| format!("{figure:.6}")));
        row.extend(
            self.watched.iter().flat_map(|of| [of.accuracy, of.mean_recall]).map(|figure| format!("{figure:.6}")),
        );
        row.extend(match self.timing {
            Some(Timing { seconds, pictures_per_second }) => {
                [format!("{seconds:.3}"), format!("{pictures_per_second:.1}")]
            }
            None => [String::new(), String::new()],
        });
        row
    }
}

/// Writes all epochs, as a whole, with the names of the watched sets.
pub(super) fn write(path: &Path, watched: &[&str], history: &[EpochRecord]) -> Result<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let of_watched = watched.iter().flat_map(|name| [format!("{name}_accuracy"), format!("{name}_mean_recall")]);
    let names = |columns: &[&str]| columns.iter().map(ToString::to_string).collect::<Vec<_>>();
    table.write_record(names(&COLUMNS).into_iter().chain(of_watched).chain(names(&TIME_COLUMNS)))?;
    for (i, record) in history.iter().enumerate() {
        table.write_record(record.row(i + 1))?;
    }
    write_whole(path, &table.into_inner().context("a table in memory")?)
}

/// Takes the times of earlier epochs from the file. It may lack the last of them, or have one that is done again.
pub(super) fn recall_timings(path: &Path, history: &mut [EpochRecord]) {
    // Without the file nothing but times is lost.
    let bytes = read_at_most(path, MAX_FILE_SIZE).unwrap_or_default();
    for row in csv::Reader::from_reader(bytes.as_slice()).records().flatten() {
        let number = |column: usize| row.get(column)?.parse::<f64>().ok().filter(|number| number.is_finite());
        let epoch = row.get(0).and_then(|epoch| epoch.parse::<usize>().ok()).and_then(|epoch| epoch.checked_sub(1));
        let record = epoch.and_then(|epoch| history.get_mut(epoch));
        let first = row.len().saturating_sub(TIME_COLUMNS.len()).max(COLUMNS.len());
        let times = number(first).zip(number(first + 1));
        if let (Some(record), Some((seconds, pictures_per_second))) = (record, times) {
            record.timing = Some(Timing { seconds, pictures_per_second });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(accuracy: f64, timing: Option<Timing>) -> EpochRecord {
        let figures = Epoch {
            learning_rate: 3e-3,
            train_loss: 1.5,
            train_accuracy: 0.25,
            validation_loss: 1.25,
            validation_accuracy: accuracy,
            validation_macro_f1: 0.125,
        };
        EpochRecord { figures, watched: Vec::new(), timing }
    }

    const TIMING: Timing = Timing { seconds: 2.5, pictures_per_second: 1000.5 };

    #[test]
    fn the_line_is_in_the_habit_of_the_field() {
        assert_eq!(
            record(0.5, Some(TIMING)).line(3, 50, &[]),
            "Epoch [3/50]  Train Loss: 1.5000 | Train Acc: 25.00%  || Val Loss: 1.2500 | Val Acc: 50.00% \
             | Val F1: 0.1250  (2 s)"
        );
    }

    #[test]
    fn times_come_back_from_the_file_and_nothing_else_does() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("history.csv");
        write(&path, &[], &[record(0.5, Some(TIMING)), record(0.6, None), record(0.7, Some(TIMING))]).expect("write");
        let text = std::fs::read_to_string(&path).expect("read");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1], "1,3.000000e-3,1.500000,0.250000,1.250000,0.500000,0.125000,2.500,1000.5");
        assert!(lines[2].ends_with(",,"));

        let mut history = [record(0.9, None), record(0.8, None)];
        recall_timings(&path, &mut history);
        assert_eq!(history, [record(0.9, Some(TIMING)), record(0.8, None)]);
        std::fs::write(&path, "epoch\n1,torn").expect("write");
        recall_timings(&path, &mut history);
        recall_timings(&folder.path().join("none"), &mut history);
        assert_eq!(history[0].timing, Some(TIMING));
    }
}
