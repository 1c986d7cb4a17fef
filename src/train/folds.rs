//! Cross-validation: as many runs as there are parts of the people, each measured on the part that it did not learn from.
//!
//! The runs lie in folders of their own. What was complete before is not done again, and an interrupted run goes on.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use candle_core::Device;
use serde_json::json;

use super::folder::{CHECKPOINT, CONFIG};
use super::{DataPlace, NewRun, resume, start};
use crate::dataset::{DataSpec, SplitBy, SplitRule};
use crate::eval::Metrics;
use crate::flow::stop::Stop;
use crate::system::files::write_whole;

/// The names of the figures, in the order of [`figures`].
const FIGURES: [&str; 3] = ["accuracy", "macro_f1", "mean_recall"];

/// Runs `folds` times what is asked for, and writes `folds.json` and `folds.txt` with each fold's figures, their mean and
/// their deviation. The first data set is dealt out: by people, or as its split says by pictures.
///
/// # Errors
/// As [`start`], and when people are not known and nothing else is asked for.
pub fn cross_validate(new: NewRun<'_>, folds: u32, device: &Device, stop: &Stop, log: &mut dyn Write) -> Result<()> {
    let out = new.out;
    if out.join(CONFIG).exists() || out.join(CHECKPOINT).exists() {
        bail!(
            "{}: expected a folder for several runs, found one run in it: choose another one for --out",
            out.display()
        );
    }
    let [first, others @ ..] = new.data else { bail!("expected a data set to train on, found none") };
    let by = first.options(new.data_options).split.map_or(SplitBy::Subject, |rule| rule.by);
    let mut all = Vec::new();
    for fold in 1..=folds {
        writeln!(log, "\n== fold {fold} of {folds}\n")?;
        let folder = out.join(format!("fold-{fold}"));
        let metrics = if folder.join(CHECKPOINT).exists() {
            let place = DataPlace { data: &[], watched: &[], cache: new.data_options.cache.as_deref() };
            resume(&folder, place, new.recipe, device, stop, log)?
        } else {
            let first = first.with_split(SplitRule::fold(by, fold, folds));
            let data: Vec<DataSpec> = std::iter::once(first).chain(others.iter().cloned()).collect();
            start(NewRun { data: &data, out: &folder, ..new }, device, stop, log)?
        };
        all.push(figures(&metrics));
    }
    write_summary(out, &all, log)
}

fn figures(metrics: &Metrics) -> [f64; FIGURES.len()] {
    [metrics.accuracy(), metrics.macro_f1(), metrics.mean_recall()]
}

/// The mean, and the deviation of a sample of folds.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / values.len().saturating_sub(1).max(1) as f64).sqrt())
}

fn write_summary(out: &Path, all: &[[f64; FIGURES.len()]], log: &mut dyn Write) -> Result<()> {
    let mut text = format!("{:<12}{:>12}{:>12}{:>12}\n", "fold", "accuracy", "macro F1", "mean recall");
    let mut line = |name: &str, [a, b, c]: [f64; 3]| writeln!(text, "{name:<12}{a:>12.4}{b:>12.4}{c:>12.4}");
    for (i, figures) in all.iter().enumerate() {
        line(&(i + 1).to_string(), *figures)?;
    }
    let of = |column: usize| mean_and_deviation(&all.iter().map(|figures| figures[column]).collect::<Vec<_>>());
    let summary = [0, 1, 2].map(of);
    line("mean", summary.map(|(mean, _)| mean))?;
    line("deviation", summary.map(|(_, deviation)| deviation))?;
    write_whole(&out.join("folds.txt"), text.as_bytes())?;
    let figures = FIGURES.iter().enumerate().map(|(column, name)| {
        let values: Vec<f64> = all.iter().map(|figures| figures[column]).collect();
        let (mean, deviation) = summary[column];
        ((*name).to_owned(), json!({ "mean": mean, "deviation": deviation, "folds": values }))
    });
    let figures: serde_json::Map<_, _> = figures.collect();
    write_whole(&out.join("folds.json"), format!("{:#}\n", json!(figures)).as_bytes())?;
    writeln!(log, "\n{text}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        let (mean, deviation) = mean_and_deviation(&[0.5, 0.7]);
        assert!((mean - 0.6).abs() < 1e-12 && (deviation - 0.02f64.sqrt()).abs() < 1e-12);
        assert_eq!(mean_and_deviation(&[0.5]), (0.5, 0.0));
    }

    #[test]
    fn the_summary_has_each_fold_and_their_mean() {
        let folder = tempfile::tempdir().expect("folder");
        let mut log = Vec::new();
        write_summary(folder.path(), &[[0.5, 0.4, 0.3], [0.7, 0.6, 0.5]], &mut log).expect("a summary");
        let text = std::fs::read_to_string(folder.path().join("folds.txt")).expect("text");
        assert!(text.contains("mean              0.6000      0.5000      0.4000\n"), "{text}");
        let json = std::fs::read_to_string(folder.path().join("folds.json")).expect("json");
        let json: serde_json::Value = serde_json::from_str(&json).expect("json");
        assert_eq!(json["accuracy"]["folds"], serde_json::json!([0.5, 0.7]));
    }
}
