//! By which figure the best epoch is chosen, and on which sets.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::eval::Metrics;

/// A figure, and the sets over which its mean is taken: `mean-recall`, or `mean-recall:ferplus,web`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selection {
    figure: Figure,
    /// Names of data sets; none for the first one's validation alone.
    over: Vec<String>,
}

/// A figure of which more is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Figure {
    /// The share of right answers.
    #[default]
    Accuracy,
    /// The mean of the classes' F1.
    MacroF1,
    /// The mean of the classes' recall: the accuracy where all emotions are equally frequent.
    MeanRecall,
    /// The mean negative log likelihood, of which less is better.
    Loss,
}

const FIGURES: [(Figure, &str); 4] = [
    (Figure::Accuracy, "accuracy"),
    (Figure::MacroF1, "macro-f1"),
    (Figure::MeanRecall, "mean-recall"),
    (Figure::Loss, "loss"),
];

impl Figure {
    fn of(self, metrics: &Metrics) -> f64 {
        match self {
            Self::Accuracy => metrics.accuracy(),
            Self::MacroF1 => metrics.macro_f1(),
            Self::MeanRecall => metrics.mean_recall(),
            Self::Loss => -metrics.loss(),
        }
    }
}

impl Selection {
    /// Refuses names that no set of the run has.
    pub(super) fn check<'a>(&self, sets: impl IntoIterator<Item = &'a str> + Clone) -> Result<()> {
        for name in &self.over {
            ensure!(
                sets.clone().into_iter().any(|set| set == name),
                "--select {self}: expected names of this run's sets ({}), found {name:?}",
                sets.into_iter().collect::<Vec<_>>().join(", ")
            );
        }
        Ok(())
    }

    /// The figure; more is better. The first set is the one whose validation decides by itself.
    pub(super) fn score(&self, sets: &[(&str, &Metrics)]) -> f64 {
        let chosen: Vec<f64> = sets
            .iter()
            .enumerate()
            .filter(|(i, (name, _))| if self.over.is_empty() { *i == 0 } else { self.over.iter().any(|o| o == name) })
            .map(|(_, (_, metrics))| self.figure.of(metrics))
            .collect();
        chosen.iter().sum::<f64>() / chosen.len().max(1) as f64
    }
}

impl FromStr for Selection {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (figure, over) = text.split_once(':').map_or((text, None), |(figure, over)| (figure, Some(over)));
        let Some((figure, _)) = FIGURES.into_iter().find(|(_, name)| *name == figure) else {
            bail!(
                "expected {}, maybe with sets behind a colon, found {text:?}",
                FIGURES.map(|(_, name)| name).join(", ")
            );
        };
        let over: Vec<String> = over.map_or_else(Vec::new, |over| over.split(',').map(str::to_owned).collect());
        ensure!(over.iter().all(|name| !name.is_empty()), "expected names of sets behind the colon, found {text:?}");
        Ok(Self { figure, over })
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FIGURES.into_iter().find(|(figure, _)| *figure == self.figure).map_or("", |(_, name)| name);
        f.write_str(name)?;
        if self.over.is_empty() { Ok(()) } else { write!(f, ":{}", self.over.join(",")) }
    }
}

impl TryFrom<String> for Selection {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Selection> for String {
    fn from(selection: Selection) -> Self {
        selection.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::emotion::{Emotion, Probabilities};

    #[test]
    fn a_selection_is_written_as_it_is_read() {
        for text in ["accuracy", "loss", "macro-f1:a", "mean-recall:ferplus,web"] {
            assert_eq!(text.parse::<Selection>().expect("a selection").to_string(), text);
        }
        for wrong in ["", "recall", "accuracy:", "accuracy:a,", "Accuracy"] {
            assert!(wrong.parse::<Selection>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_score_is_the_mean_over_the_named_sets_or_the_first_one_alone() {
        let metrics = |right: usize| {
            let mut metrics = Metrics::default();
            let sure = Probabilities::from_logits(&[9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
            (0..4).for_each(|i| metrics.add(if i < right { Emotion::Anger } else { Emotion::Sad }, &sure));
            metrics
        };
        let (one, four) = (metrics(1), metrics(4));
        let sets = [("a", &one), ("b", &four)];
        let score = |text: &str| text.parse::<Selection>().expect("a selection").score(&sets);
        assert_eq!((score("accuracy"), score("accuracy:b"), score("accuracy:a,b")), (0.25, 1.0, 0.625));
        let selection: Selection = "accuracy:c".parse().expect("a selection");
        assert!(selection.check(["a", "b"]).expect_err("unknown").to_string().contains("a, b"));
    }
}
