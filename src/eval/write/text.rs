//! The report as a person reads it: `report.txt`, at most 100 columns.

use std::fmt::Write;

use crate::eval::interval::{Interval, RESAMPLES};
use crate::eval::metrics::{ClassMetrics, Metrics};
use crate::eval::report::{NO_FACE, Report, ReportHeader};
use crate::eval::robust::{Figures, RobustFigures};
use crate::flow::emotion::Emotion;

/// The report as a person reads it.
pub fn text(report: &Report<'_>) -> String {
    let after = &report.after;
    let mut parts = vec![heading(report), classes(after), intervals(report), calibration(report), matrix(after)];
    if !report.robust.is_empty() {
        parts.push(robust(&report.robust));
    }
    parts.join("\n")
}

fn heading(report: &Report<'_>) -> String {
    let ReportHeader { dataset, part, split_hash, card, prior } = report.header;
    let (count, missed) = (report.after.count(), report.after.missed.iter().sum::<u32>());
    let mut text = format!("{dataset}, {part}: {count} pictures");
    if missed > 0 {
        let _ = write!(text, ", {missed} of them without a face that was found, counted as errors");
    }
    let channels: Vec<String> = card.arch.channels.iter().map(ToString::to_string).collect();
    let channels = channels.join("-");
    let parameters = card.arch.parameters() as f64 / 1e3;
    let multiply_adds = card.arch.multiply_adds(card.input.size) as f64 / 1e6;
    let relation = if report.is_split_of_training() { "the one" } else { "not the one" };
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
fn classes(m: &Metrics) -> String {
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

fn intervals(report: &Report<'_>) -> String {
    let (accuracy, f1) = (report.after.accuracy_interval(), report.macro_f1_interval);
    format!(
        "accuracy     {:.4}, 95% interval {:.4} to {:.4} (Wilson)\n\
             macro F1     {:.4}, 95% interval {:.4} to {:.4} (bootstrap over pictures, {RESAMPLES} samples)\n",
        report.after.accuracy(),
        accuracy.low,
        accuracy.high,
        report.after.macro_f1(),
        f1.low,
        f1.high
    )
}

fn calibration(report: &Report<'_>) -> String {
    let mut text = format!("{:<28}{:>18}{:>18}\n", "calibration", "before (T = 1)", "after");
    let mut line = |name: &str, figure: fn(&Metrics) -> f64| {
        let _ = writeln!(text, "{name:<28}{:>18.4}{:>18.4}", figure(&report.before), figure(&report.after));
    };
    line("expected calibration error", |m| m.reliability.error());
    line("mean confidence", |m| m.reliability.confidence());
    line("log loss", Metrics::loss);
    line("Brier score", Metrics::brier);
    if report.after.votes_loss().is_some() {
        line("log loss against the votes", |m| m.votes_loss().unwrap_or_default());
    }
    text
}

fn matrix(metrics: &Metrics) -> String {
    let with_missed = metrics.missed.iter().any(|&count| count > 0);
    let mut text = format!("{:<14}", "true\\predicted");
    Emotion::ALL.iter().for_each(|emotion| _ = write!(text, "{emotion:>10}"));
    if with_missed {
        let _ = write!(text, "{NO_FACE:>10}");
    }
    for ((emotion, row), missed) in Emotion::ALL.iter().zip(metrics.confusion).zip(metrics.missed) {
        let _ = write!(text, "\n{emotion:<14}");
        row.iter().for_each(|count| _ = write!(text, "{count:>10}"));
        if with_missed {
            let _ = write!(text, "{missed:>10}");
        }
    }
    text.push('\n');
    text
}

/// A line for each degradation: figures, and what each is worse by than that of the clean pictures.
fn robust(lines: &[RobustFigures]) -> String {
    let mut text = format!("{:<14}", "pictures");
    for figure in ["accuracy", "mean recall", "macro F1", "calibr. error"] {
        let _ = write!(text, "{figure:>14}{:>7}", "worse");
    }
    for RobustFigures { name, figures, lost } in lines {
        let _ = write!(text, "\n{name:<14}");
        for figure in [
            |of: &Figures| of.accuracy,
            |of: &Figures| of.mean_recall,
            |of: &Figures| of.macro_f1,
            |of: &Figures| of.expected_calibration_error,
        ] {
            // Nothing lost is 0, whatever the sign of rounding.
            let lost = (figure(lost) * 1e4).round() / 1e4 + 0.0;
            let _ = write!(text, "{:>13.4}{lost:>8.4}", figure(figures));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::evaluation::Evaluation;
    use crate::eval::report::fixtures::{card, evaluation, header};

    #[test]
    fn the_text_has_every_figure_and_fits_100_columns() {
        let (card, mut evaluation) = (card(), evaluation());
        evaluation.add("nobody", Emotion::Sad, None);
        let text = text(&Report::new(&evaluation, header(&card)));
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
    fn degraded_pictures_are_a_table_below_the_rest() {
        let (card, evaluation) = (card(), evaluation());
        let mut report = Report::new(&evaluation, header(&card));
        assert!(!text(&report).contains("worse"));
        let mut worst = Evaluation::default();
        worst.add("a", Emotion::Sad, Some([9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        report.measure_robustness(|_| Ok(worst.clone())).expect("figures");
        let text = text(&report);
        let table = text.split("\n\n").last().expect("a table");
        assert_eq!(table.lines().count(), 13, "{table}");
        for line in [
            "pictures            accuracy  worse   mean recall  worse      macro F1  worse calibr. error  worse\n",
            "clean                0.8286  0.0000       0.8286  0.0000       0.8512  0.0000       0.2767  0.0000\n",
            "covered mouth        0.0000  0.8286       0.0000  0.8286       0.0000  0.8512       0.9375  0.6608",
        ] {
            assert!(table.contains(line), "{line}\nis not in\n{table}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn a_foreign_split_is_said() {
        let (card, evaluation) = (card(), evaluation());
        let text = text(&Report::new(&evaluation, ReportHeader { split_hash: "f", ..header(&card) }));
        assert!(text.contains("split        f…, not the one that the weights were trained with"), "{text}");
        assert!(!text.contains("no face"), "{text}");
    }
}
