//! The report of a run as data: what was measured, on what, with which weights.

use anyhow::Result;

use super::evaluation::Evaluation;
use super::interval::Interval;
use super::metrics::Metrics;
use super::robust::{self, Degradation, RobustFigures};
use crate::network::calibration::{Calibration, Prior};
use crate::network::weights::ModelCard;

/// What stands for the prediction where there was no face to predict from.
pub(super) const NO_FACE: &str = "no face";

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
    /// Clean and degraded pictures; empty where that was not asked for.
    pub(super) robust: Vec<RobustFigures>,
}

impl<'a> Report<'a> {
    /// The report of an evaluation.
    pub fn new(evaluation: &'a Evaluation, header: ReportHeader<'a>) -> Self {
        let calibration = header.card.calibration(Some(header.prior));
        let uncalibrated = Calibration::new(1.0, header.prior, header.card.class_prior);
        let after = evaluation.metrics(&calibration);
        let before = evaluation.metrics(&uncalibrated);
        let macro_f1_interval = after.macro_f1_interval();
        Self { header, evaluation, calibration, macro_f1_interval, before, after, robust: Vec::new() }
    }

    /// Adds the figures on degraded copies of the same pictures, which `evaluate` is asked for one after the other.
    ///
    /// # Errors
    /// As `evaluate`.
    pub fn measure_robustness(&mut self, evaluate: impl FnMut(Degradation) -> Result<Evaluation>) -> Result<()> {
        self.robust = robust::figures(&self.after, &self.calibration, evaluate)?;
        Ok(())
    }

    /// Whether the pictures are split as they were when the weights were trained.
    pub(super) fn is_split_of_training(&self) -> bool {
        self.header.split_hash == self.header.card.split_hash
    }
}

/// What the writers' tests write.
#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::flow::emotion::Emotion;
    use crate::network::model::Architecture;
    use crate::network::preprocess::InputSpec;

    pub(crate) fn card() -> ModelCard {
        let (arch, split_hash) = (Architecture::default(), "0123456789abcdef01".into());
        let card = ModelCard::new(arch, InputSpec::default(), "faces".into(), split_hash, 7);
        ModelCard { temperature: 2.0, ..card }
    }

    pub(crate) fn header(card: &ModelCard) -> ReportHeader<'_> {
        ReportHeader { dataset: "faces", part: "test", split_hash: &card.split_hash, card, prior: Prior::NATURAL }
    }

    pub(crate) fn evaluation() -> Evaluation {
        let mut evaluation = Evaluation::default();
        for i in 0..70usize {
            let mut logits = [0.0; 7];
            logits[if i % 5 == 0 { 3 } else { i % 7 }] = 4.0;
            evaluation.add(&format!("folder, {i}.png"), Emotion::ALL[i % 7], Some(logits));
        }
        evaluation
    }
}
