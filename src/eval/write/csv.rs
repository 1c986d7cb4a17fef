//! The predictions as data: `predictions.csv`, one row a picture, in the order of the data set.
//!
//! Owns the columns: name, truth, prediction, its probability, the seven probabilities after calibration, the seven
//! logits before. Numbers have as many digits as an `f32` needs to be read back exactly. A picture without a face has
//! [`NO_FACE`] for its prediction and no numbers.

use anyhow::{Context, Result};

use crate::eval::evaluation::Prediction;
use crate::eval::report::{NO_FACE, Report};
use crate::flow::emotion::Emotion;

/// The whole file.
pub(super) fn csv(report: &Report<'_>) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let columns = ["name", "true", "predicted", "confidence"].map(str::to_owned).into_iter();
    let names = Emotion::ALL.map(|emotion| emotion.name().to_lowercase());
    writer.write_record(columns.chain(names.clone()).chain(names.map(|name| format!("logit_{name}"))))?;
    for Prediction { name, truth, logits, .. } in &report.evaluation.predictions {
        let mut row = vec![name.clone(), truth.name().into()];
        match logits {
            Some(logits) => {
                let probabilities = report.calibration.probabilities(logits);
                let top = probabilities.top();
                row.push(top.name().into());
                let all = probabilities.iter().map(|(_, p)| p);
                let numbers = std::iter::once(probabilities.of(top)).chain(all).chain(*logits);
                row.extend(numbers.map(|number| number.to_string()));
            }
            None => {
                row.push(NO_FACE.into());
                row.resize(4 + 2 * Emotion::COUNT, String::new());
            }
        }
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error).context("the table of predictions")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::evaluation::Evaluation;
    use crate::eval::report::fixtures::{card, header};

    #[test]
    fn a_row_for_each_picture_with_numbers_that_read_back() {
        let logits = [0.1, -30.0, 2.5, 1e-7, 0.0, 1.0 / 3.0, 7.0];
        let mut evaluation = Evaluation::default();
        evaluation.add("a, \"b\".png", Emotion::Fear, Some(logits));
        evaluation.add("c.png", Emotion::Sad, None);
        // A temperature of 2 is in the probabilities, not in the logits.
        let bytes = csv(&Report::new(&evaluation, header(&card()))).expect("a table");

        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header = reader.headers().expect("columns").clone();
        assert_eq!((header.len(), &header[3], &header[4], &header[17]), (18, "confidence", "anger", "logit_surprise"));
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("as many columns")).collect();
        assert_eq!((rows.len(), &rows[0][0], &rows[0][1], &rows[0][2]), (2, "a, \"b\".png", "Fear", "Surprise"));
        let read: Vec<f32> = rows[0].iter().skip(11).map(|text| text.parse().expect("a number")).collect();
        assert_eq!(read, logits);
        assert_eq!(rows[0][3], rows[0][10]);
        assert_eq!((&rows[1][1], &rows[1][2], &rows[1][17]), ("Sad", NO_FACE, ""));
    }
}
