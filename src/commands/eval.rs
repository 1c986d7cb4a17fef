//! `emocam eval`: weights and labelled faces in, a report out.

use std::io::Write;

use anyhow::{Result, ensure};

use crate::cli::Eval;
use crate::view::tell::{self, notice};
use emocam::dataset::{DataOptions, Dataset, Part, Sample, picture_number};
use emocam::eval::{Degradation, Evaluation, Report, ReportHeader, evaluate, write};
use emocam::network::weights::{ModelCard, Weights};

/// Measures weights as asked for. The report's text goes to `out`, the report's folder is written where
/// one is named.
///
/// # Errors
/// When weights or data can't be read, the part has no pictures, or the report can't be written or is there already.
pub(super) fn run(arguments: &Eval, out: &mut dyn Write) -> Result<()> {
    if let Some(folder) = &arguments.out {
        let there = folder.join(write::JSON);
        ensure!(!there.exists(), "{} exists already: choose another folder for --out", there.display());
        ensure!(!folder.is_file(), "{} is a file: name a folder for --out", folder.display());
    }
    let weights = arguments.weights.as_deref().map_or_else(Weights::embedded, Weights::load)?;
    let prior = weights.card.prior_in_use(arguments.prior)?;
    let dataset = read(arguments, &weights.card)?;
    let split_hash = dataset.split_hash();
    for warning in dataset.warnings.iter().cloned().chain(weights.card.leak(&dataset.name, &split_hash)) {
        tell::lines(&format!("warning: {warning}"));
    }
    let default = if dataset.test.is_empty() { Part::Validation } else { Part::Test };
    let part = arguments.part.as_deref().unwrap_or(default.name());
    warn_of_known(&weights, &dataset, part);
    let device = arguments.device.open(notice)?;
    let net = weights.net()?.fold(&device)?;
    let measured = |samples: &[Sample]| evaluate(&net, &weights.card.input, samples, &device);
    let pictures = Pictures { dataset: &dataset, part, count_missed: arguments.count_missed };
    let evaluation = pictures.predictions(None, measured)?;
    let header = ReportHeader { dataset: &dataset.name, part, split_hash: &split_hash, card: &weights.card, prior };
    let mut report = Report::new(&evaluation, header);
    ensure!(
        report.after.predictions() > 0,
        "{}: no pictures to measure on in {} (--part names another part)",
        arguments.data.display(),
        header.part
    );
    if arguments.robust {
        report.measure_robustness(|degradation| pictures.predictions(Some(degradation), measured))?;
    }
    if let Some(folder) = &arguments.out {
        write::folder(folder, &report)?;
        write::sheets(folder, &report, parts(part).flat_map(|part| dataset.part(part)))?;
        dataset.write_missed(folder)?;
    }
    Ok(write!(out, "{}", write::text(&report))?)
}

/// The data set, as it was read when the weights were trained on it, unless the arguments say how.
fn read(arguments: &Eval, card: &ModelCard) -> Result<Dataset> {
    let options = arguments.data_options.options(card.seed, card.input.clone());
    let trained = card.training.as_ref().and_then(|training| training.get("data"));
    let trained = trained.and_then(|data| serde_json::from_value::<DataOptions>(data.clone()).ok());
    if let (Some(trained), false) = (trained, arguments.data_options.decides()) {
        let trained = DataOptions { cache: options.cache.clone(), ..trained };
        // Other data than those need not fit the same rule.
        if trained != options
            && let Ok(dataset) = Dataset::load(&arguments.data, &trained)
            && dataset.split_hash() == card.split_hash
        {
            return Ok(dataset);
        }
    }
    Dataset::load(&arguments.data, &options)
}

/// The parts that are measured on.
fn parts(part: &str) -> impl Iterator<Item = Part> {
    Part::ALL.into_iter().filter(move |of| part == "all" || part == of.name())
}

/// Says how many of the pictures to measure on the weights learned from, whatever the data set was called then.
fn warn_of_known(weights: &Weights, dataset: &Dataset, part: &str) {
    let measured = || parts(part).filter(|part| *part != Part::Train).flat_map(|part| dataset.part(part));
    let (known, all) = (weights.known(measured().map(picture_number)), measured().count());
    // One may be known by chance.
    if known > 1 {
        tell::lines(&format!(
            "warning: the weights were trained on {known} of these {all} pictures: the figures are too high"
        ));
    }
}

/// Which pictures are measured.
struct Pictures<'a> {
    dataset: &'a Dataset,
    /// The name of a part, or `all`.
    part: &'a str,
    /// Whether those without a face that was found are errors.
    count_missed: bool,
}

impl Pictures<'_> {
    /// The predictions on these pictures, or on degraded copies of them.
    fn predictions(
        &self,
        degradation: Option<Degradation>,
        evaluate: impl Fn(&[Sample]) -> Result<Evaluation>,
    ) -> Result<Evaluation> {
        let mut evaluation = Evaluation::default();
        for samples in parts(self.part).map(|part| self.dataset.part(part)) {
            let degraded = degradation.map(|degradation| degradation.applied_to(samples)).transpose()?;
            evaluation.append(evaluate(degraded.as_deref().unwrap_or(samples))?);
        }
        for part in parts(self.part) {
            let missed = self.dataset.missed.iter().filter(|missed| self.count_missed && missed.part == part);
            missed.for_each(|missed| evaluation.add(&missed.name, missed.label, None));
        }
        Ok(evaluation)
    }
}
