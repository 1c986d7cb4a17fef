//! `emocam eval`: weights and labelled faces in, a report out.

use std::io::Write;

use anyhow::{Result, ensure};

use super::report::{Report, ReportHeader};
use super::{Evaluation, evaluate};
use crate::cli::Eval;
use crate::dataset::Dataset;
use crate::weights::Weights;

/// Measures weights as asked for. The report's text goes to `out`, warnings go to `log`, the report's folder is written where
/// one is named.
///
/// # Errors
/// When weights or data can't be read, the part has no pictures, or the report can't be written or is there already.
pub fn command(arguments: &Eval, out: &mut dyn Write, log: &mut dyn Write) -> Result<()> {
    if let Some(folder) = &arguments.out {
        let there = folder.join(Report::JSON);
        ensure!(!there.exists(), "{} exists already: choose another folder for --out", there.display());
        ensure!(!folder.is_file(), "{} is a file: name a folder for --out", folder.display());
    }
    let weights = arguments.weights.as_deref().map_or_else(Weights::embedded, Weights::load)?;
    let prior = weights.card.prior_in_use(arguments.prior)?;
    let options = arguments.data_options.options(weights.card.seed, weights.card.input.clone());
    let dataset = Dataset::load(&arguments.data, &options)?;
    let split_hash = dataset.split_hash();
    for notice in dataset.notices.iter().cloned().chain(weights.card.leak(&dataset.name, &split_hash)) {
        writeln!(log, "warning: {notice}")?;
    }
    let evaluation = evaluation(&weights, &dataset, arguments)?;
    let header = ReportHeader {
        dataset: &dataset.name,
        part: arguments.part.name(),
        split_hash: &split_hash,
        card: &weights.card,
        prior,
    };
    let report = Report::new(&evaluation, header);
    ensure!(
        report.after.predictions() > 0,
        "{}: no pictures to measure on in {} (--part names another part)",
        arguments.data.display(),
        header.part
    );
    if let Some(folder) = &arguments.out {
        report.write(folder)?;
        dataset.write_missed(folder)?;
    }
    Ok(write!(out, "{}", report.text())?)
}

fn evaluation(weights: &Weights, dataset: &Dataset, arguments: &Eval) -> Result<Evaluation> {
    let device = arguments.device.open()?;
    let net = weights.net()?.fold(&device)?;
    let mut evaluation = Evaluation::default();
    for &part in arguments.part.parts() {
        evaluation.append(evaluate(&net, &weights.card.input, dataset.part(part), &device)?);
        let missed = dataset.missed.iter().filter(|missed| arguments.count_missed && missed.part == part);
        missed.for_each(|missed| evaluation.add_missed(&missed.name, missed.label));
    }
    Ok(evaluation)
}
