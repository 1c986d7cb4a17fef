//! `emocam eval`: weights and labelled faces in, a report out.

use std::io::Write;

use anyhow::{Result, ensure};

use super::report::{Report, ReportHeader};
use super::{Evaluation, evaluate};
use crate::cli::{Eval, Part};
use crate::dataset::{Dataset, Sample};
use crate::weights::Weights;

/// Measures weights as asked for. The report's text goes to `out`, its folder is written where one is named.
///
/// # Errors
/// When weights or data can't be read, the part has no pictures, or the report can't be written.
pub fn command(arguments: &Eval, out: &mut dyn Write) -> Result<()> {
    if let Some(folder) = &arguments.out {
        let there = folder.join(Report::JSON);
        ensure!(!there.exists(), "{} exists already: choose another folder for --out", there.display());
    }
    let weights = arguments.weights.as_deref().map_or_else(Weights::embedded, Weights::load)?;
    let device = arguments.device.open()?;
    let dataset = Dataset::load(&arguments.data)?;
    let net = weights.net()?.fold(&device)?;
    let mut evaluation = Evaluation::default();
    for samples in samples(&dataset, arguments.part) {
        evaluation.append(evaluate(&net, &weights.card.input, samples, &device)?);
    }
    let header = ReportHeader {
        dataset: &dataset.name,
        part: arguments.part.name(),
        split_hash: &dataset.split_hash(),
        card: &weights.card,
        prior: arguments.prior.unwrap_or(weights.card.prior),
    };
    let report = Report::new(&evaluation, header);
    ensure!(report.after.count() > 0, "{} has no pictures for {}", dataset.name, header.part);
    write!(out, "{}", report.text())?;
    arguments.out.as_deref().map_or(Ok(()), |folder| report.write(folder))
}

fn samples(dataset: &Dataset, part: Part) -> Vec<&[Sample]> {
    let splits = dataset.splits().into_iter();
    splits.filter(|(name, _)| part == Part::All || *name == part.name()).map(|(_, samples)| samples).collect()
}
