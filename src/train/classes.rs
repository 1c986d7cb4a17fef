//! How often each emotion occurs, what that does to its weight, and which sets can't be learned from.

use std::array;

use anyhow::{Result, bail, ensure};

use super::config::{ClassWeights, Sampling};
use super::shown::Shown;
use crate::dataset::{Dataset, Sample};
use crate::flow::emotion::Emotion;
use crate::network::calibration::ClassPrior;

/// Each class's share of the training targets as they are shown: with balanced sampling every class that has pictures in a
/// source is shown equally often.
pub(super) fn shown_shares(samples: &[Sample], shown: &[Shown]) -> [f64; Emotion::COUNT] {
    let mut shares = [0.0; Emotion::COUNT];
    for Shown { range, weight, sampling } in shown {
        let samples = &samples[range.clone()];
        let counts = counts(samples);
        let each = samples.len() as f64 / counts.iter().filter(|&&count| count > 0).count().max(1) as f64;
        for sample in samples {
            let times = match sampling {
                Sampling::Natural => *weight,
                Sampling::Balanced => weight * each / counts[sample.label().index()] as f64,
            };
            shares.iter_mut().zip(sample.target).for_each(|(sum, share)| *sum += times * f64::from(share));
        }
    }
    let total: f64 = shares.iter().sum();
    shares.map(|share| share / total.max(f64::MIN_POSITIVE))
}

/// How often classes occur in the first source, and how often the network will come to expect them: it learns what is shown,
/// times its weight.
pub(super) fn prior(samples: &[Sample], sources: &[Shown], rule: ClassWeights) -> ClassPrior {
    let shown = shown_shares(samples, sources);
    let weights = weights(&shown, rule).map(f64::from);
    let learned: [f64; Emotion::COUNT] = array::from_fn(|i| shown[i] * weights[i]);
    let total = learned.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let first: Vec<Shown> =
        sources.iter().take(1).map(|source| Shown { sampling: Sampling::Natural, ..source.clone() }).collect();
    ClassPrior { data: shown_shares(samples, &first), learned: learned.map(|share| share / total) }
}

/// What each class's loss is multiplied by, with mean 1; a class that is never shown weighs nothing.
pub(super) fn weights(shares: &[f64; Emotion::COUNT], rule: ClassWeights) -> [f32; Emotion::COUNT] {
    let weights = shares.map(|share| match rule {
        _ if share <= 0.0 => 0.0,
        ClassWeights::None => 1.0,
        ClassWeights::InverseSqrt => 1.0 / share.sqrt(),
        ClassWeights::Inverse => 1.0 / share,
    });
    let mean = weights.iter().sum::<f64>() / Emotion::COUNT as f64;
    weights.map(|weight| (weight / mean.max(f64::MIN_POSITIVE)) as f32)
}

/// Refuses a set in which there is nothing to learn or nothing to choose by.
pub(super) fn check(dataset: &Dataset) -> Result<()> {
    let Dataset { name, train, validation, .. } = dataset;
    ensure!(train.len() > 1, "{name}: expected at least 2 pictures to train on, found {}", train.len());
    ensure!(
        !validation.is_empty(),
        "{name}: found no pictures for validation, by which the best epoch is chosen; split some off with --split random:0.2"
    );
    let counts = counts(train);
    let shown: Vec<Emotion> = Emotion::ALL.into_iter().filter(|emotion| counts[emotion.index()] > 0).collect();
    if let [only] = shown[..] {
        bail!("{name}: all training pictures are of {only}; expected at least two emotions to tell apart");
    }
    Ok(())
}

/// How many samples bear each label.
fn counts(samples: &[Sample]) -> [usize; Emotion::COUNT] {
    let mut counts = [0; Emotion::COUNT];
    samples.iter().for_each(|sample| counts[sample.label().index()] += 1);
    counts
}

#[cfg(test)]
mod tests {
    use image::GrayImage;

    use super::*;

    fn samples(counts: &[(Emotion, usize)]) -> Vec<Sample> {
        let sample = |emotion| Sample::sure(GrayImage::new(1, 1), emotion);
        counts.iter().flat_map(|&(emotion, count)| vec![sample(emotion); count]).collect()
    }

    #[test]
    fn rare_classes_weigh_more_and_missing_ones_nothing() {
        let samples = samples(&[(Emotion::Anger, 4), (Emotion::Fear, 1)]);
        let shares = shown_shares(&samples, &[Shown { range: 0..5, weight: 1.0, sampling: Sampling::Natural }]);
        assert!((shares[Emotion::Anger.index()] - 0.8).abs() < 1e-9);
        for (rule, ratio) in [(ClassWeights::None, 1.0), (ClassWeights::InverseSqrt, 2.0), (ClassWeights::Inverse, 4.0)]
        {
            let weights = weights(&shares, rule);
            assert!((weights[Emotion::Fear.index()] / weights[Emotion::Anger.index()] - ratio).abs() < 1e-6);
            assert_eq!(weights[Emotion::Happy.index()], 0.0);
            assert!((weights.iter().sum::<f32>() - 7.0).abs() < 1e-5);
        }
    }

    #[test]
    fn what_is_learned_is_what_is_shown_times_its_weight() {
        let samples = samples(&[(Emotion::Anger, 4), (Emotion::Fear, 1)]);
        let of = |class_weights, sampling| {
            let prior = prior(&samples, &[Shown { range: 0..5, weight: 1.0, sampling }], class_weights);
            assert!((prior.data[Emotion::Anger.index()] - 0.8).abs() < 1e-9);
            prior.learned[Emotion::Anger.index()]
        };
        assert!((of(ClassWeights::None, Sampling::Natural) - 0.8).abs() < 1e-6);
        // 2 : 1
        assert!((of(ClassWeights::InverseSqrt, Sampling::Natural) - 2.0 / 3.0).abs() < 1e-6);
        assert!((of(ClassWeights::Inverse, Sampling::Natural) - 0.5).abs() < 1e-6);
        assert!((of(ClassWeights::None, Sampling::Balanced) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_set_without_anything_to_choose_by_is_refused() {
        let train = samples(&Emotion::ALL.map(|emotion| (emotion, 2)));
        let mut dataset = Dataset { validation: train[..12].into(), train, ..Dataset::default() };
        check(&dataset).expect("usable");
        dataset.validation.clear();
        assert!(check(&dataset).expect_err("unusable").to_string().contains("no pictures for validation"));
    }
}
