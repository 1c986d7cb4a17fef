//! A report in a folder: as text, data, table and pictures.
//!
//! Owns the names of the files. Neither times nor paths stand in any of them: the same weights on the same data give the
//! same bytes.

mod csv;
mod json;
mod sheets;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::reliability::Reliability;
use super::report::{Report, ReportHeader};
use crate::plot;
use crate::system::files::write_whole;
pub use sheets::sheets;
pub use text::text;

/// The name of the data in a folder.
pub const JSON: &str = "report.json";

/// Writes `report.txt`, `report.json`, `predictions.csv`, `confusion_matrix.png` and `reliability.png` into a folder, which
/// is made if it is not there.
///
/// # Errors
/// When the folder or a file in it can't be written.
pub fn folder(folder: &Path, report: &Report<'_>) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    write_whole(&folder.join("predictions.csv"), &csv::csv(report)?)?;
    let Report { header: ReportHeader { dataset, part, card, .. }, before, after, .. } = report;
    let title = format!("{dataset}, {part}");
    let figures = format!(
        "{} pictures, accuracy {:.2}%, macro F1 {:.4}",
        after.count(),
        100.0 * after.accuracy(),
        after.macro_f1()
    );
    let matrix = folder.join("confusion_matrix.png");
    plot::confusion_matrix(&matrix, [&title, &figures], &after.confusion, &after.missed)?;
    let before = plotted("before (T = 1)", &before.reliability);
    let after = plotted(&format!("after (T = {:.2})", card.temperature), &after.reliability);
    plot::reliability(&folder.join("reliability.png"), &title, &before, &after)?;
    write_whole(&folder.join("report.txt"), text(report).as_bytes())?;
    write_whole(&folder.join(JSON), format!("{:#}\n", json::json(report)).as_bytes())
}

fn plotted(name: &str, reliability: &Reliability) -> plot::Reliability {
    let bins = reliability.bins().into_iter();
    plot::Reliability {
        name: format!("{name}: ECE {:.2}%", 100.0 * reliability.error()),
        bins: bins
            .map(|bin| plot::Bin {
                count: bin.count,
                confidence: bin.confidence,
                accuracy: bin.accuracy,
                interval: [bin.interval.low, bin.interval.high],
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::evaluation::Evaluation;
    use crate::eval::report::fixtures::{card, header};

    #[test]
    fn nothing_evaluated_is_still_a_report() {
        let (card, evaluation, temporary) = (card(), Evaluation::default(), tempfile::tempdir().expect("folder"));
        let report = Report::new(&evaluation, header(&card));
        folder(temporary.path(), &report).expect("a report");
        let text = text(&report);
        assert!(text.contains("0 pictures") && !text.contains("NaN"), "{text}");
    }
}
