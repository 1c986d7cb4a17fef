//! The report as data: `report.json`.
//!
//! Owns the names and the order of its fields. Figures are as computed, not rounded; shares are 0 to 1.

use serde_json::{Map, Value, json};

use crate::eval::interval::Interval;
use crate::eval::metrics::Metrics;
use crate::eval::report::{Report, ReportHeader};
use crate::flow::emotion::Emotion;

/// The version of the format. It changes only when a reader of the old format would misread the new one.
const SCHEMA: u32 = 1;

/// All figures, and what they were measured on and with.
pub(super) fn json(report: &Report<'_>) -> Value {
    let ReportHeader { dataset, part, split_hash, card, prior } = report.header;
    let (before, after) = (&report.before, &report.after);
    json!({
        "schema": SCHEMA,
        "emocam": env!("CARGO_PKG_VERSION"),
        "data": {
            "name": dataset,
            "part": part,
            "split_hash": split_hash,
            "pictures": after.count(),
            "no_face": after.missed.iter().sum::<u32>(),
        },
        "weights": {
            "arch": card.arch,
            "parameters": card.arch.parameters(),
            "multiply_adds": card.arch.multiply_adds(card.input.size),
            "input": card.input,
            "dataset": card.dataset,
            "split_hash": card.split_hash,
            "same_split": report.is_split_of_training(),
            "seed": card.seed,
            "class_prior": card.class_prior,
        },
        "prior": prior,
        "temperature": card.temperature,
        "accuracy": with_interval(after.accuracy(), after.accuracy_interval()),
        "macro_f1": with_interval(after.macro_f1(), report.macro_f1_interval),
        "macro_average": after.macro_average(),
        "weighted_average": after.weighted_average(),
        "classes": classes(after),
        "confusion": {
            "labels": Emotion::ALL,
            "rows_true_columns_predicted": after.confusion,
            "no_face": after.missed,
        },
        "before_temperature": calibration(before),
        "after_temperature": calibration(after),
        "robust": report.robust,
    })
}

fn with_interval(value: f64, Interval { low, high }: Interval) -> Value {
    json!({ "value": value, "low": low, "high": high })
}

/// Figures by class; the recall has an interval.
fn classes(metrics: &Metrics) -> Map<String, Value> {
    Emotion::ALL
        .into_iter()
        .map(|emotion| {
            let class = metrics.class(emotion);
            let mut figures = json!(class);
            figures["recall"] = with_interval(class.recall, metrics.recall_interval(emotion));
            (emotion.to_string(), figures)
        })
        .collect()
}

/// What depends on how sure the network is.
fn calibration(metrics: &Metrics) -> Value {
    json!({
        "log_loss": metrics.loss(),
        "votes_log_loss": metrics.votes_loss(),
        "brier_score": metrics.brier(),
        "expected_calibration_error": metrics.reliability.error(),
        "mean_confidence": metrics.reliability.confidence(),
        "bins": metrics.reliability.bins(),
    })
}
