//! Training pictures on their way to the network: which ones, in which order, changed how.
//!
//! Everything is drawn from streams that are named by the seed and a position in the run, so nothing depends on threads, and
//! any step can be prepared without those before it. A thread prepares the next batches while a step runs.
//!
//! A [`Batch`] holds `(count, 1, size, size)` inputs and `(count, 7)` targets, as plain values, row-major.

use std::thread;

use anyhow::{Context, Result, anyhow};
use crossbeam::channel::{Receiver, bounded};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};
use rayon::prelude::*;

use super::config::{Recipe, Sampling};
use super::shown::Shown;
use crate::dataset::Sample;
use crate::flow::emotion::Emotion;
use crate::network::preprocess::{InputSpec, Preprocessor, Region};

/// How many batches are ready before the network asks for them.
const READY: usize = 2;

/// What keeps random streams of one seed apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Order = 1,
    Augmentation = 2,
    Dropout = 3,
    Mixup = 4,
}

/// The generator of one stream at one position, which is below 2^56.
pub(super) fn random(seed: u64, stream: Stream, position: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((stream as u64) << 56) | position as u64);
    rng
}

/// Pictures of one step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Batch {
    pub(super) inputs: Vec<f32>,
    pub(super) targets: Vec<f32>,
}

/// Prepares the batches of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batches<'a> {
    pub(super) samples: &'a [Sample],
    pub(super) shown: &'a [Shown],
    pub(super) recipe: &'a Recipe,
    pub(super) input: &'a InputSpec,
}

impl Batches<'_> {
    /// Steps in an epoch, at least one. What does not fill a batch waits for the next epoch's order.
    pub(super) fn per_epoch(&self) -> usize {
        (self.shown.iter().map(Shown::pictures).sum::<usize>() / self.recipe.batch_size).max(1)
    }

    /// Runs `consume` with the batches of an epoch from step `first` on, which a thread prepares beside it. The thread ends
    /// when `consume` lets go of its end.
    pub(super) fn run<T>(
        &self,
        epoch: usize,
        first: usize,
        consume: impl FnOnce(Receiver<Result<Batch>>) -> Result<T>,
    ) -> Result<T> {
        let order = self.order(epoch);
        let steps = self.per_epoch();
        thread::scope(|scope| {
            let (sender, receiver) = bounded(READY);
            let produce = move || {
                for (step, indices) in order.chunks_exact(self.recipe.batch_size).enumerate().skip(first) {
                    if sender.send(self.prepare(indices, epoch * steps + step)).is_err() {
                        return;
                    }
                }
            };
            let producer = thread::Builder::new().name("batches".into()).spawn_scoped(scope, produce);
            let producer = producer.context("no thread for preparing pictures can be started")?;
            let outcome = consume(receiver);
            // After a panic the batches only seem to have ended.
            producer.join().map_err(|_| anyhow!("preparing pictures for training panicked"))?;
            outcome
        })
    }

    /// Which samples an epoch shows, in order.
    fn order(&self, epoch: usize) -> Vec<usize> {
        let mut rng = random(self.recipe.seed, Stream::Order, epoch);
        let mut order = Vec::new();
        for source in self.shown {
            match source.sampling {
                Sampling::Natural => order.extend(natural(source, &mut rng)),
                Sampling::Balanced => order.extend(self.balanced(source, &mut rng)),
            }
        }
        order.shuffle(&mut rng);
        // Fewer pictures than a step takes are shown several times in it, each time changed anew.
        let shown = order.len().max(self.recipe.batch_size);
        order.into_iter().cycle().take(shown).collect()
    }

    /// Samples of a source, in turn from each class that has some; a class is gone through again when it ends.
    fn balanced(&self, source: &Shown, rng: &mut impl Rng) -> Vec<usize> {
        let mut classes = vec![Vec::new(); Emotion::COUNT];
        for i in source.range.clone() {
            classes[self.samples[i].label().index()].push(i);
        }
        classes.retain(|class| !class.is_empty());
        let count = source.pictures();
        let (each, rest) = (count / classes.len().max(1), count % classes.len().max(1));
        // Which classes get one more differs from epoch to epoch.
        classes.shuffle(rng);
        let mut order = Vec::with_capacity(count);
        for (i, class) in classes.iter_mut().enumerate() {
            class.shuffle(rng);
            order.extend(class.iter().cycle().take(each + usize::from(i < rest)));
        }
        order
    }

    /// The batch of these samples at a step of the run.
    fn prepare(&self, indices: &[usize], step: usize) -> Result<Batch> {
        let Recipe { seed, mixup, .. } = *self.recipe;
        let (mut inputs, doubts) = self.values(indices, step)?;
        let target = |(&index, &doubt): (&usize, &f32)| {
            self.samples[index].target.map(|share| share * (1.0 - doubt) + doubt / Emotion::COUNT as f32)
        };
        let mut targets: Vec<f32> = indices.iter().zip(&doubts).flat_map(target).collect();
        if mixup > 0.0 {
            let mixture = Mixture::draw(indices.len(), mixup, &mut random(seed, Stream::Mixup, step))?;
            mixture.blend(&mut inputs);
            mixture.blend(&mut targets);
        }
        Ok(Batch { inputs, targets })
    }

    /// What the network sees of these samples, and how doubtful the label of each is after its changes.
    fn values(&self, indices: &[usize], step: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let len = self.input.size * self.input.size;
        let (mut inputs, mut doubts) = (vec![0.0; indices.len() * len], vec![0.0; indices.len()]);
        inputs.par_chunks_mut(len).zip(&mut doubts).zip(indices).enumerate().try_for_each_init(
            || Preprocessor::new(self.input.clone()),
            |preprocessor, (i, ((out, doubt), &index))| {
                let image = &self.samples[index].image;
                let mut rng = random(self.recipe.seed, Stream::Augmentation, step * self.recipe.batch_size + i);
                let changed = self.recipe.augmentation.apply(image, &mut rng)?;
                *doubt = changed.doubt;
                preprocessor.write_input(&changed.picture, Region::whole(&changed.picture), out)
            },
        )?;
        Ok((inputs, doubts))
    }
}

/// Each sample of a source as often as its weight says; by chance where that is no whole number.
fn natural(source: &Shown, rng: &mut impl Rng) -> Vec<usize> {
    let (count, length) = (source.pictures(), source.range.len().max(1));
    let mut order: Vec<usize> = source.range.clone().cycle().take(count / length * length).collect();
    let mut rest: Vec<usize> = if count % length > 0 { source.range.clone().collect() } else { Vec::new() };
    rest.shuffle(rng);
    order.extend(rest.into_iter().take(count % length));
    order
}

/// How each picture and its target are blended with another one of the batch, by a share from Beta(alpha, alpha)
/// (Zhang et al. 2017, <https://arxiv.org/abs/1710.09412>).
#[derive(Clone, Debug, PartialEq)]
struct Mixture {
    /// The other one of each.
    partners: Vec<usize>,
    /// How much of each stays.
    shares: Vec<f32>,
}

impl Mixture {
    fn draw(count: usize, alpha: f64, rng: &mut impl Rng) -> Result<Self> {
        let mut partners: Vec<usize> = (0..count).collect();
        partners.shuffle(rng);
        let shares = Beta::new(alpha, alpha)?.sample_iter(rng).take(count).map(|share| share as f32).collect();
        Ok(Self { partners, shares })
    }

    /// Blends rows of values.
    fn blend(&self, values: &mut [f32]) {
        let before = values.to_vec();
        let len = values.len() / self.partners.len().max(1);
        for ((out, &partner), &share) in values.chunks_exact_mut(len).zip(&self.partners).zip(&self.shares) {
            let other = &before[partner * len..][..len];
            out.iter_mut().zip(other).for_each(|(out, other)| *out = *out * share + other * (1.0 - share));
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};

    use super::*;

    /// `counts[i]` samples of the i-th emotion.
    fn samples(counts: &[usize]) -> Vec<Sample> {
        let sample = |(class, i): (usize, usize)| {
            let value = |x, y| x * 9 + y * (5 + class as u32) + i as u32;
            Sample::sure(GrayImage::from_fn(16, 16, |x, y| Luma([value(x, y) as u8])), Emotion::ALL[class])
        };
        let all = counts.iter().enumerate().flat_map(|(class, &count)| (0..count).map(move |i| (class, i)));
        all.map(sample).collect()
    }

    fn recipe() -> Recipe {
        Recipe { batch_size: 4, mixup: 0.4, ..Recipe::default() }
    }

    fn all(samples: &[Sample]) -> [Shown; 1] {
        [Shown { range: 0..samples.len(), weight: 1.0, sampling: Sampling::Natural }]
    }

    fn input() -> InputSpec {
        InputSpec { size: 16, ..InputSpec::default() }
    }

    fn collect(batches: &Batches<'_>, epoch: usize, first: usize) -> Vec<Batch> {
        batches.run(epoch, first, |receiver| receiver.iter().collect()).expect("batches")
    }

    #[test]
    fn an_epoch_can_be_entered_at_any_step() {
        let (samples, recipe, input) = (samples(&[5, 6]), recipe(), input());
        let batches = Batches { samples: &samples, shown: &all(&samples), recipe: &recipe, input: &input };
        let all = collect(&batches, 3, 0);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].inputs.len(), 4 * 16 * 16);
        assert_eq!(collect(&batches, 3, 1), all[1..]);
        assert_ne!(collect(&batches, 4, 0), all);
        assert!(collect(&batches, 3, 2).is_empty());
    }

    #[test]
    fn a_consumer_that_leaves_early_ends_the_thread() {
        let (samples, recipe, input) = (samples(&[50, 50]), recipe(), input());
        let batches = Batches { samples: &samples, shown: &all(&samples), recipe: &recipe, input: &input };
        let first = batches.run(0, 0, |receiver| receiver.recv()?).expect("a batch");
        assert_eq!(first, collect(&batches, 0, 0)[0]);
    }

    #[test]
    fn natural_sampling_shows_each_picture_once_and_balanced_sampling_each_class_equally_often() {
        let (samples, input) = (samples(&[1, 9, 0, 4]), input());
        for sampling in [Sampling::Natural, Sampling::Balanced] {
            let recipe = recipe();
            let shown = [Shown { sampling, ..all(&samples)[0].clone() }];
            let mut order = Batches { samples: &samples, shown: &shown, recipe: &recipe, input: &input }.order(0);
            assert_eq!(order.len(), 14);
            order.sort_unstable();
            let counts = [0..1, 1..10, 10..14].map(|class| order.iter().filter(|&i| class.contains(i)).count());
            match sampling {
                Sampling::Natural => assert_eq!(order, (0..14).collect::<Vec<_>>()),
                Sampling::Balanced => assert!(counts.iter().all(|count| (4..=5).contains(count)), "{counts:?}"),
            }
        }
    }

    #[test]
    fn a_source_is_shown_as_often_as_its_weight_says() {
        let (samples, recipe, input) = (samples(&[8, 4]), recipe(), input());
        let shown = [
            Shown { range: 0..8, weight: 1.0, sampling: Sampling::Natural },
            Shown { range: 8..12, weight: 2.5, sampling: Sampling::Natural },
        ];
        let order = Batches { samples: &samples, shown: &shown, recipe: &recipe, input: &input }.order(1);
        let times = |i| order.iter().filter(|&&shown| shown == i).count();
        assert!((0..8).all(|i| times(i) == 1), "{order:?}");
        assert_eq!(order.len(), 18);
        assert!((8..12).all(|i| (2..=3).contains(&times(i))), "{order:?}");
    }

    #[test]
    fn mixed_targets_still_sum_to_one_and_inputs_lie_between() {
        let mut moved = 0;
        for seed in 0..20 {
            let mixture = Mixture::draw(2, 0.3, &mut random(seed, Stream::Mixup, 0)).expect("a mixture");
            let (mut inputs, mut targets) = ([0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 1.0]);
            mixture.blend(&mut inputs);
            mixture.blend(&mut targets);
            moved += usize::from(inputs != [0.0, 0.0, 1.0, 1.0]);
            assert!(targets.chunks(2).all(|target| (target.iter().sum::<f32>() - 1.0).abs() < 1e-5));
            assert!(inputs.iter().all(|value| (-1e-6..=1.0 + 1e-6).contains(value)));
        }
        assert!(moved > 0);
    }
}
