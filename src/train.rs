//! From a data set to weights: the settings and the one loop.
//!
//! The recipe: soft targets with label smoothing, classes weighted by the inverse square root of their frequency, AdamW with
//! one cycle of the learning rate, dropout before the last layer, and a running average of the weights, which is what is
//! validated and kept. The test split is never looked at here. The same seed, data and machine give the same file.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{D, Device, Tensor, Var};
use indicatif::{ProgressBar, ProgressStyle};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::dataset::augment::Augmentation;
use crate::dataset::{Dataset, Sample};
use crate::emotion::Emotion;
use crate::eval::{self, Metrics};
use crate::model::{Architecture, ConvNorm, EmotionNet, Role, Tensors};
use crate::optim::{AdamW, OneCycle, average_decay};
use crate::pipeline::Stop;
use crate::preprocess::{InputSpec, Preprocessor, Region};
use crate::weights::{ModelCard, Weights};

/// Settings of a training run.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// Folder of the data set.
    pub data: PathBuf,
    /// Folder for what the run writes; made if it is not there.
    pub out: PathBuf,
    /// Passes over the training pictures.
    pub epochs: usize,
    /// Pictures per step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// Seed of weights, order, augmentation and dropout.
    pub seed: u64,
}

/// Pull of every kernel towards 0; scales and shifts are left alone.
const WEIGHT_DECAY: f64 = 0.05;

/// Share of each target that is spread over all classes.
const LABEL_SMOOTHING: f64 = 0.05;

/// Share of features that are hidden from the last layer while training.
const DROPOUT: f32 = 0.4;

/// Share of the average that stays at each step.
const AVERAGE_DECAY: f64 = 0.998;

/// What keeps random streams of one seed apart.
#[derive(Clone, Copy)]
enum Stream {
    Order = 1,
    Augmentation = 2,
    Dropout = 3,
}

/// Trains a network and writes `best.safetensors` and `history.csv` into the run's folder. Each epoch's line goes to
/// `report`. A request to stop ends the run after the step at hand; the best epoch so far is kept.
///
/// # Errors
/// When the folder holds a run already or can't be written, the data can't be read, or the loss is no longer finite.
pub fn train(config: &TrainConfig, device: &Device, stop: &Stop, report: &mut dyn Write) -> Result<()> {
    ensure!(config.epochs > 0 && config.batch > 1, "expected at least one epoch and two pictures per step");
    for name in ["best.safetensors", "history.csv"] {
        let path = config.out.join(name);
        ensure!(!path.exists(), "{} exists already: choose another folder for --out", path.display());
    }
    fs::create_dir_all(&config.out).with_context(|| format!("cannot make the folder {}", config.out.display()))?;
    let dataset = Dataset::load(&config.data)?;
    let [train, validation, test] = dataset.splits().map(|(_, samples)| samples.len());
    let Dataset { name, copies, .. } = &dataset;
    writeln!(
        report,
        "{name}: {train} training, {validation} validation, {test} test pictures; {copies} exact copies left out"
    )?;
    ensure!(train >= config.batch, "{train} training pictures are fewer than a step's {}", config.batch);

    let mut run = Run::new(config, &dataset, device)?;
    let mut history = History::create(&config.out)?;
    let best_path = config.out.join("best.safetensors");
    let mut best = None;
    for epoch in 0..config.epochs {
        let start = Instant::now();
        let Some(trained) = run.epoch(epoch, stop)? else {
            ensure!(best.is_some(), "stopped in the first epoch: there are no weights yet");
            writeln!(report, "stopped in epoch {}; the best one so far is in {}", epoch + 1, best_path.display())?;
            break;
        };
        let validation = run.validate()?;
        history.add(epoch, &trained, &validation, start.elapsed(), config.epochs, report)?;
        if best.is_none_or(|best| validation.accuracy() > best) {
            best = Some(validation.accuracy());
            run.weights(&validation, epoch)?.save(&best_path)?;
            writeln!(report, "  new best, saved to {}", best_path.display())?;
        }
        report.flush()?;
    }
    Ok(())
}

/// The run's log: a line an epoch for people, a row an epoch in `history.csv`.
struct History {
    file: csv::Writer<fs::File>,
}

impl History {
    fn create(folder: &Path) -> Result<Self> {
        let path = folder.join("history.csv");
        let mut file = csv::Writer::from_path(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let columns = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_macro_f1", "seconds"];
        file.write_record(std::iter::once("epoch").chain(columns))?;
        Ok(Self { file })
    }

    fn add(
        &mut self,
        epoch: usize,
        train: &EpochResult,
        validation: &Metrics,
        time: Duration,
        epochs: usize,
        report: &mut dyn Write,
    ) -> Result<()> {
        let (epoch, seconds) = (epoch + 1, time.as_secs_f64());
        let (loss, accuracy, macro_f1) = (validation.loss(), validation.accuracy(), validation.macro_f1());
        writeln!(
            report,
            "Epoch [{epoch}/{epochs}]  Train Loss: {:.4} | Train Acc: {:.2}%  \
             || Val Loss: {loss:.4} | Val Acc: {:.2}% | Val F1: {macro_f1:.4}  ({seconds:.0} s)",
            train.loss,
            100.0 * train.accuracy,
            100.0 * accuracy
        )?;
        let row = [train.loss, train.accuracy, loss, accuracy, macro_f1, seconds].map(|value| format!("{value:.6}"));
        self.file.write_record(std::iter::once(epoch.to_string()).chain(row))?;
        Ok(self.file.flush()?)
    }
}

/// What an epoch was like, over the training pictures as they were shown.
struct EpochResult {
    loss: f64,
    accuracy: f64,
}

/// A training run's state.
struct Run<'a> {
    config: &'a TrainConfig,
    dataset: &'a Dataset,
    device: &'a Device,
    card: ModelCard,
    /// Every tensor of the network; those that learn are variables.
    variables: Vec<(String, Var)>,
    average: Tensors,
    net: EmotionNet<ConvNorm>,
    optimizer: AdamW,
    schedule: OneCycle,
    class_weights: Tensor,
    step: usize,
}

impl<'a> Run<'a> {
    fn new(config: &'a TrainConfig, dataset: &'a Dataset, device: &'a Device) -> Result<Self> {
        let arch = Architecture::default();
        let start = arch.initial_tensors(config.seed)?;
        let mut variables = Vec::new();
        let mut learning = Vec::new();
        for spec in arch.tensors() {
            let variable = Var::from_tensor(&start[&spec.name].to_device(device)?)?;
            match spec.role {
                Role::Kernel => learning.push((variable.clone(), WEIGHT_DECAY)),
                Role::Scale | Role::Shift => learning.push((variable.clone(), 0.0)),
                Role::Running(_) => {}
            }
            variables.push((spec.name, variable));
        }
        let tensors: Tensors = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let average = start.into_iter().map(|(name, t)| Ok((name, t.to_device(device)?))).collect::<Result<_>>()?;
        let steps = dataset.train.len() / config.batch;
        Ok(Self {
            card: ModelCard::new(
                arch.clone(),
                InputSpec::default(),
                dataset.name.clone(),
                dataset.split_hash(),
                config.seed,
            ),
            net: EmotionNet::new(&arch, &tensors)?,
            optimizer: AdamW::new(learning)?,
            schedule: OneCycle { top: config.rate, steps: steps * config.epochs },
            class_weights: Tensor::new(&class_weights(&dataset.train), device)?,
            step: 0,
            config,
            dataset,
            device,
            variables,
            average,
        })
    }

    fn random(&self, stream: Stream, position: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(((stream as u64) << 56) | position);
        rng
    }

    /// `None` when a stop was requested.
    fn epoch(&mut self, epoch: usize, stop: &Stop) -> Result<Option<EpochResult>> {
        let mut order: Vec<usize> = (0..self.dataset.train.len()).collect();
        order.shuffle(&mut self.random(Stream::Order, epoch as u64));
        // What does not fill a batch waits for the next epoch's order.
        let batches = order.len() / self.config.batch;
        let progress = progress_bar(batches * self.config.batch, epoch, self.config.epochs);
        let (mut loss, mut right) = (0.0, 0.0);
        for batch in order.chunks_exact(self.config.batch) {
            if stop.is_requested() {
                progress.finish_and_clear();
                return Ok(None);
            }
            let samples: Vec<&Sample> = batch.iter().map(|&i| &self.dataset.train[i]).collect();
            let (batch_loss, batch_right) = self.train_step(&samples)?;
            loss += batch_loss;
            right += batch_right;
            progress.inc(batch.len() as u64);
        }
        progress.finish_and_clear();
        let accuracy = right / (batches * self.config.batch) as f64;
        Ok(Some(EpochResult { loss: loss / batches as f64, accuracy }))
    }

    /// One step; returns the loss and how many pictures were labelled right.
    fn train_step(&mut self, samples: &[&Sample]) -> Result<(f64, f64)> {
        let (inputs, targets) = self.batch(samples)?;
        let features = self.net.features(&inputs)?;
        let logits = self.net.head(&(features.clone() * self.dropout_mask(features.dims())?)?)?;
        let smooth = ((&targets * (1.0 - LABEL_SMOOTHING))? + LABEL_SMOOTHING / Emotion::COUNT as f64)?;
        let log_probabilities = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
        let loss = (smooth * log_probabilities)?.broadcast_mul(&self.class_weights)?.sum(1)?.mean(0)?.neg()?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            bail!(
                "the loss is {value} at step {}: the run has diverged; what was saved before is kept. \
                 Try a lower --learning-rate than {}",
                self.step,
                self.config.rate
            );
        }
        let rate = self.schedule.at(self.step);
        self.optimizer.step(&loss.backward()?, rate)?;
        self.follow()?;
        self.step += 1;
        let right = logits.argmax(1)?.eq(&targets.argmax(1)?)?.to_dtype(candle_core::DType::F32)?.sum_all()?;
        Ok((value, f64::from(right.to_scalar::<f32>()?)))
    }

    /// Augmented inputs `(batch, 1, size, size)` and targets `(batch, 7)`. Each picture has a random stream of its own, so
    /// the result does not depend on the number of threads.
    fn batch(&self, samples: &[&Sample]) -> Result<(Tensor, Tensor)> {
        let input = &self.card.input;
        let mut values = vec![0.0; samples.len() * input.size * input.size];
        let first = (self.step * self.config.batch) as u64;
        let augmentation = Augmentation::default();
        values.par_chunks_mut(input.size * input.size).enumerate().zip(samples).try_for_each_init(
            || Preprocessor::new(input.clone()),
            |preprocessor, ((i, out), sample)| {
                let mut rng = self.random(Stream::Augmentation, first + i as u64);
                let picture = augmentation.apply(&sample.image, &mut rng);
                preprocessor.write_input(&picture, Region::whole(&picture), out)
            },
        )?;
        let targets: Vec<f32> = samples.iter().flat_map(|sample| sample.target).collect();
        Ok((
            Tensor::from_vec(values, (samples.len(), 1, input.size, input.size), self.device)?,
            Tensor::from_vec(targets, (samples.len(), Emotion::COUNT), self.device)?,
        ))
    }

    /// Zeros with the chance of dropout, else what keeps the mean (Srivastava et al. 2014).
    fn dropout_mask(&self, shape: &[usize]) -> Result<Tensor> {
        let mut rng = self.random(Stream::Dropout, self.step as u64);
        let keep = 1.0 / (1.0 - DROPOUT);
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|_| if rng.random::<f32>() < DROPOUT { 0.0 } else { keep }).collect();
        Ok(Tensor::from_vec(values, shape, self.device)?)
    }

    /// Takes the batch's statistics into the running ones, and all tensors into the average.
    fn follow(&mut self) -> Result<()> {
        for (name, value) in self.net.running_statistics()? {
            let variable = self.variables.iter().find(|(known, _)| *known == name);
            variable.with_context(|| format!("no tensor {name}"))?.1.set(&value)?;
        }
        let keep = average_decay(self.step, AVERAGE_DECAY);
        for (name, variable) in &self.variables {
            let average = self.average.get_mut(name).with_context(|| format!("no average of {name}"))?;
            *average = ((&*average * keep)? + (variable.as_detached_tensor() * (1.0 - keep))?)?;
        }
        Ok(())
    }

    fn validate(&self) -> Result<Metrics> {
        let net = EmotionNet::new(&self.card.arch, &self.average)?.fold(self.device)?;
        eval::evaluate(&net, &self.card.input, &self.dataset.validation, self.device)
    }

    fn weights(&self, validation: &Metrics, epoch: usize) -> Result<Weights> {
        let mut card = self.card.clone();
        card.metrics.insert("epoch".into(), (epoch + 1) as f64);
        card.metrics.insert("validation_accuracy".into(), validation.accuracy());
        card.metrics.insert("validation_macro_f1".into(), validation.macro_f1());
        Ok(Weights { card, tensors: self.average.clone() })
    }
}

/// Inverse square roots of the classes' shares, with mean 1; a class without samples weighs nothing.
fn class_weights(samples: &[Sample]) -> [f32; Emotion::COUNT] {
    let mut shares = [0f32; Emotion::COUNT];
    for sample in samples {
        shares.iter_mut().zip(sample.target).for_each(|(sum, share)| *sum += share);
    }
    let weights = shares.map(|share| if share > 0.0 { 1.0 / share.sqrt() } else { 0.0 });
    let mean = weights.iter().sum::<f32>() / Emotion::COUNT as f32;
    weights.map(|weight| weight / mean.max(f32::MIN_POSITIVE))
}

/// A bar on standard error where that is a terminal, else nothing.
fn progress_bar(pictures: usize, epoch: usize, epochs: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {per_sec} pictures, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(pictures as u64).with_style(style).with_prefix(format!("[{}/{epochs}]", epoch + 1));
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

#[cfg(test)]
mod tests {
    use image::GrayImage;

    use super::*;

    #[test]
    fn rare_classes_weigh_more_and_missing_ones_nothing() {
        let sample = |emotion: Emotion| {
            let mut target = [0.0; 7];
            target[emotion.index()] = 1.0;
            Sample { name: String::new(), image: GrayImage::new(1, 1), target }
        };
        let samples: Vec<Sample> = [Emotion::Anger; 4].into_iter().chain([Emotion::Fear]).map(sample).collect();
        let weights = class_weights(&samples);
        assert!((weights[Emotion::Fear.index()] / weights[Emotion::Anger.index()] - 2.0).abs() < 1e-6);
        assert_eq!(weights[Emotion::Happy.index()], 0.0);
        assert!((weights.iter().sum::<f32>() - 7.0).abs() < 1e-5);
    }
}
