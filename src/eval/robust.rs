//! What a network loses on pictures as poor cameras take them.
//!
//! Owns the list of degradations, and the figures on pictures that each of them is done to. How a picture is degraded is up
//! to `dataset`. The same pictures and weights give the same figures.

use anyhow::Result;
use image::GrayImage;
use image::imageops::FilterType;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::evaluation::Evaluation;
use super::metrics::Metrics;
use crate::dataset::Sample;
use crate::dataset::augment::turned;
use crate::dataset::degrade::{self, Covered, Noise};
use crate::network::calibration::Calibration;

/// Of noise: each picture has a stream of its own, by its place in the part.
const SEED: u64 = 0;

/// The side of a picture that blurs are given for, in pixels; in others they are as much wider.
const SIDE: f32 = 48.0;

/// What hides a mouth: a middle grey.
const COVER: u8 = 128;

/// One way to make a picture worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Degradation {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A Gaussian of this deviation, in 48ths of the side.
    Blur(f32),
    /// Through a picture with so many pixels on its longer side, by straight lines both ways.
    Pixels(u32),
    /// White noise of this deviation, in grey levels.
    Noise(f32),
    /// At this quality, 1 to 100.
    Jpeg(u8),
    /// With this share of the light.
    Light(f32),
    /// Turned about the middle by so many degrees.
    Roll(f32),
    Mouth,
}

impl Degradation {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 11] = [
        Self { name: "blur 0.6", kind: Kind::Blur(0.6) },
        Self { name: "blur 1", kind: Kind::Blur(1.0) },
        Self { name: "32 pixels", kind: Kind::Pixels(32) },
        Self { name: "24 pixels", kind: Kind::Pixels(24) },
        Self { name: "noise 4", kind: Kind::Noise(4.0) },
        Self { name: "noise 8", kind: Kind::Noise(8.0) },
        Self { name: "JPEG 50", kind: Kind::Jpeg(50) },
        Self { name: "JPEG 25", kind: Kind::Jpeg(25) },
        Self { name: "half light", kind: Kind::Light(0.5) },
        Self { name: "roll 15", kind: Kind::Roll(15.0) },
        Self { name: "covered mouth", kind: Kind::Mouth },
    ];

    /// Degraded copies of the samples of one part, in their order.
    ///
    /// # Errors
    /// When a picture has no pixels, or more than a JPEG can have.
    pub fn applied_to(self, samples: &[Sample]) -> Result<Vec<Sample>> {
        let copy = |(index, sample): (usize, &Sample)| {
            Ok(Sample { image: self.degraded(&sample.image, index)?, ..sample.clone() })
        };
        samples.par_iter().enumerate().map(copy).collect()
    }

    fn degraded(self, picture: &GrayImage, index: usize) -> Result<GrayImage> {
        let (mut changed, size) = (picture.clone(), picture.dimensions());
        let longer = size.0.max(size.1);
        match self.kind {
            Kind::Blur(sigma) => return Ok(degrade::blur(picture, sigma * longer as f32 / SIDE)),
            Kind::Pixels(side) => {
                let small = degrade::shrink(picture, side.min(longer), FilterType::Triangle);
                return Ok(degrade::stretch(&small, size, FilterType::Triangle));
            }
            Kind::Noise(sigma) => {
                let mut rng = ChaCha8Rng::seed_from_u64(SEED);
                rng.set_stream(index as u64);
                degrade::add_noise(&mut changed, sigma, Noise::White, &mut rng);
            }
            Kind::Jpeg(quality) => return degrade::jpeg(picture, quality),
            Kind::Light(left) => degrade::dim(&mut changed, left),
            Kind::Roll(degrees) => return Ok(turned(picture, degrees)),
            Kind::Mouth => degrade::cover(&mut changed, Covered::Mouth, COVER),
        }
        Ok(changed)
    }
}

/// A line of the table: figures on the same pictures, all degraded in one way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RobustFigures {
    /// What was done to the pictures; `clean` for nothing.
    pub name: &'static str,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// What they are worse by than those of the clean pictures: how much lower, the calibration error how much higher.
    pub lost: Figures,
}

/// The figures of one line, as [`Metrics`] defines them; or differences of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Share of pictures that were labelled right.
    pub accuracy: f64,
    /// Mean of the classes' recalls, over all seven.
    pub mean_recall: f64,
    /// Mean of the classes' F1, over all seven.
    pub macro_f1: f64,
    /// The expected calibration error.
    pub expected_calibration_error: f64,
}

impl From<&Metrics> for Figures {
    fn from(metrics: &Metrics) -> Self {
        Self {
            accuracy: metrics.accuracy(),
            mean_recall: metrics.macro_average().recall,
            macro_f1: metrics.macro_f1(),
            expected_calibration_error: metrics.reliability.error(),
        }
    }
}

impl Figures {
    /// What these are better by than others.
    fn lead_over(&self, worse: &Self) -> Self {
        Self {
            accuracy: self.accuracy - worse.accuracy,
            mean_recall: self.mean_recall - worse.mean_recall,
            macro_f1: self.macro_f1 - worse.macro_f1,
            expected_calibration_error: worse.expected_calibration_error - self.expected_calibration_error,
        }
    }
}

/// The figures on clean pictures, and on degraded ones that `evaluate` is asked for.
///
/// # Errors
/// As `evaluate`.
pub(super) fn figures(
    clean: &Metrics,
    calibration: &Calibration,
    mut evaluate: impl FnMut(Degradation) -> Result<Evaluation>,
) -> Result<Vec<RobustFigures>> {
    let clean = Figures::from(clean);
    let line = |name, figures| RobustFigures { name, figures, lost: clean.lead_over(&figures) };
    let mut lines = vec![line("clean", clean)];
    for degradation in Degradation::ALL {
        let metrics = evaluate(degradation)?.metrics(calibration);
        lines.push(line(degradation.name, Figures::from(&metrics)));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;
    use crate::flow::emotion::Emotion;

    fn samples(side: u32) -> Vec<Sample> {
        let picture = |seed: u32| GrayImage::from_fn(side, side, |x, y| Luma([(x * 4 + y * seed) as u8]));
        (1..3).map(|seed| Sample::sure(picture(seed), Emotion::Happy)).collect()
    }

    #[test]
    fn each_changes_every_picture_in_its_own_way_and_always_alike() {
        for side in [48, 64] {
            let clean = samples(side);
            let mut seen: Vec<GrayImage> = clean.iter().map(|sample| sample.image.clone()).collect();
            for degradation in Degradation::ALL {
                let (first, again) = (degradation.applied_to(&clean), degradation.applied_to(&clean));
                for (sample, again) in first.expect("samples").iter().zip(again.expect("samples")) {
                    assert_eq!((sample.image.dimensions(), sample.label()), ((side, side), Emotion::Happy));
                    assert_eq!(sample.image, again.image, "{degradation:?}");
                    assert!(!seen.contains(&sample.image), "{degradation:?} of {side} pixels");
                    seen.push(sample.image.clone());
                }
            }
        }
    }

    #[test]
    fn noise_is_another_one_in_each_picture() {
        let even = Sample::sure(GrayImage::from_pixel(48, 48, Luma([128])), Emotion::Sad);
        let noisy =
            Degradation { name: "", kind: Kind::Noise(8.0) }.applied_to(&[even.clone(), even]).expect("samples");
        assert_ne!(noisy[0].image, noisy[1].image);
    }

    #[test]
    fn losses_are_against_the_clean_pictures() {
        let predicted = |right: usize| {
            let mut evaluation = Evaluation::default();
            for i in 0..4 {
                let mut logits = [0.0; 7];
                logits[if i < right { 3 } else { 4 }] = 30.0;
                evaluation.add("a", Emotion::Happy, Some(logits));
            }
            evaluation
        };
        let clean = predicted(3).metrics(&Calibration::NONE);
        let evaluate = |of: Degradation| Ok(predicted(if of.name == "noise 8" { 1 } else { 4 }));
        let lines = figures(&clean, &Calibration::NONE, evaluate).expect("figures");
        assert_eq!((lines.len(), lines[0].name, lines[0].lost.accuracy), (12, "clean", 0.0));
        let noise = lines.iter().find(|line| line.name == "noise 8").expect("a line");
        assert_eq!((noise.figures.accuracy, noise.lost.accuracy), (0.25, 0.5));
        assert!((noise.lost.mean_recall - 0.5 / 7.0).abs() < 1e-12, "{noise:?}");
        assert!((noise.lost.expected_calibration_error - 0.5).abs() < 1e-6, "sure and wrong: {noise:?}");
        assert_eq!(lines[1].lost.accuracy, -0.25, "better than clean");
    }
}
