//! The one loop: epochs of steps, validation after each, a checkpoint after that.

use std::fs;
use std::io::Write;
use std::iter;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::Device;
use indicatif::ProgressBar;

use super::batches::Batches;
use super::checkpoint::{Best, Checkpoint, Partial, State};
use super::classes;
use super::config::{Recipe, TrainConfig};
use super::folder::{BEST, CHECKPOINT, CONFIG, HISTORY, WATCHED};
use super::history::{self, EpochRecord, Timing, WatchedFigures};
use super::learner::Learner;
use super::progress::{bar, say};
use super::sources::{Pictures, Watched};
use crate::dataset::Sample;
use crate::eval::{self, Metrics, Report, ReportHeader};
use crate::flow::stop::Stop;
use crate::network::device::{GpuError, GpuFailure, abandon};
use crate::network::model::{EmotionNet, Tensors};
use crate::network::weights::Weights;
use crate::plot::{self, Epoch};
use crate::system::files::write_whole;

/// What an epoch came to.
struct Validated {
    validation: Metrics,
    watched: Vec<Metrics>,
    temperature: f32,
}

/// A training run.
pub(super) struct Run<'a> {
    folder: PathBuf,
    pictures: &'a Pictures,
    device: &'a Device,
    pub(super) state: State,
    /// The file of the best weights so far.
    best: Option<Vec<u8>>,
    learner: Learner,
    steps_per_epoch: usize,
}

impl<'a> Run<'a> {
    /// A run that is in this state and whose weights are these tensors.
    pub(super) fn new(
        folder: PathBuf,
        pictures: &'a Pictures,
        device: &'a Device,
        state: State,
        tensors: &Tensors,
    ) -> Result<Self> {
        let State { config: TrainConfig { recipe, .. }, card, .. } = &state;
        let (samples, shown, input) = (&pictures.dataset.train, &pictures.shown, &card.input);
        let steps_per_epoch = Batches { samples, shown, recipe, input }.per_epoch();
        ensure!(
            steps_per_epoch > state.partial.steps,
            "expected at most {steps_per_epoch} steps in an epoch, found {} done",
            state.partial.steps
        );
        let weights = classes::weights(&classes::shown_shares(samples, shown), recipe.class_weights);
        let learner = Learner::new(card, tensors, recipe, weights, steps_per_epoch * recipe.epochs, device)?;
        Ok(Self { folder, pictures, device, best: None, learner, steps_per_epoch, state })
    }

    /// Steps done in the whole run.
    fn step(&self) -> usize {
        self.state.history.len() * self.steps_per_epoch + self.state.partial.steps
    }

    /// Writes the first checkpoint and the settings.
    pub(super) fn create(&self) -> Result<()> {
        let folder = &self.folder;
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        self.save()?;
        self.write_results()
    }

    /// Takes over what a checkpoint holds beside state and weights, and makes the folder's other files from it. The
    /// checkpoint itself is written again because the data may have moved.
    pub(super) fn restore(&mut self, tensors: &Tensors, best: Option<Vec<u8>>) -> Result<()> {
        self.learner.restore(self.step(), tensors)?;
        self.best = best;
        history::recall_timings(&self.folder.join(HISTORY), &mut self.state.history);
        self.save()?;
        self.write_results()
    }

    /// Runs to the end. Where a GPU fails, what is on it is left alone, and the error says what is left of the run.
    pub(super) fn go_on(mut self, stop: &Stop, log: &mut dyn Write) -> Result<Metrics> {
        self.epochs(stop, log).map_err(|error| match GpuError::find(&error) {
            Some(gpu) => {
                let error = error.context(self.what_is_left(&gpu));
                abandon(self);
                error
            }
            None => error,
        })
    }

    fn what_is_left(&self, gpu: &GpuError) -> String {
        let (run, done) = (self.folder.display(), self.state.history.len());
        match gpu.failure {
            GpuFailure::OutOfMemory => format!(
                "a step of {} pictures does not fit into the GPU's memory: start the run anew with a smaller --batch-size, \
                 close other programs that use the GPU, or go on with emocam train --resume {run} --device cpu",
                self.state.config.recipe.batch_size
            ),
            _ => format!(
                "the GPU failed in epoch {}; the checkpoint after {done} epochs is safe: go on with emocam train --resume \
                 {run}, without the GPU by --device cpu",
                done + 1
            ),
        }
    }

    /// The one loop.
    fn epochs(&mut self, stop: &Stop, log: &mut dyn Write) -> Result<Metrics> {
        let Recipe { epochs, batch_size, .. } = self.state.config.recipe;
        let pictures = |steps: usize| steps * batch_size;
        let progress = bar(pictures(self.steps_per_epoch * epochs), pictures(self.step()));
        while !self.state.is_over() {
            let epoch = self.state.history.len() + 1;
            progress.set_prefix(format!("[{epoch}/{epochs}]"));
            let start = Instant::now();
            let trained = self.epoch(stop, &progress)?;
            let is_whole = self.state.partial.steps == self.steps_per_epoch;
            if is_whole {
                self.end_epoch(start, trained, log, &progress)?;
            } else {
                self.save()?;
            }
            // Also where the epoch's last step was at hand, which is each one where an epoch has one step.
            if stop.is_requested() && !self.state.is_over() {
                self.finish(log, &progress)?;
                let (when, run) = (if is_whole { "after" } else { "in" }, self.folder.display());
                bail!("interrupted {when} epoch {epoch} of {epochs}; go on with emocam train --resume {run}");
            }
        }
        self.finish(log, &progress)
    }

    /// What comes after the last step of an epoch: validation, the checkpoint, the other files.
    fn end_epoch(
        &mut self,
        start: Instant,
        trained: (f64, usize),
        log: &mut dyn Write,
        progress: &ProgressBar,
    ) -> Result<()> {
        let epochs = self.state.config.recipe.epochs;
        let Validated { validation, watched, temperature } = self.validate()?;
        let record = self.record(&validation, &watched, start, trained);
        let epoch = self.state.history.len() + 1;
        say(progress, log, &record.line(epoch, epochs, &self.names()))?;
        self.state.history.push(record);
        self.state.partial = Partial::default();
        let sets: Vec<_> = self.names().into_iter().zip(iter::once(&validation).chain(&watched)).collect();
        let score = self.state.config.recipe.select.score(&sets);
        let candidate = Best { epoch, score, loss: validation.loss() };
        let better = self.state.best.is_none_or(|best| candidate.is_better_than(&best));
        if better {
            self.state.best = Some(candidate);
            self.best = Some(self.weights(&validation, temperature)?.to_bytes()?);
        }
        // First the checkpoint: whatever is lost after it can be made from it again.
        self.save()?;
        history::write(&self.folder.join(HISTORY), &self.names()[1..], &self.state.history)?;
        if better {
            self.write_best()?;
            say(progress, log, &format!("  new best, saved to {}", self.folder.join(BEST).display()))?;
        }
        Ok(())
    }

    /// Runs the rest of the epoch at hand, or as much of it as there is before a stop. Returns the seconds that it took and
    /// how many steps were done in them.
    fn epoch(&mut self, stop: &Stop, progress: &ProgressBar) -> Result<(f64, usize)> {
        let start = Instant::now();
        let (epoch, first, before) = (self.state.history.len(), self.state.partial.steps, self.step());
        let State { config: TrainConfig { recipe, .. }, card, partial, .. } = &mut self.state;
        let Pictures { dataset, shown, .. } = self.pictures;
        let batches = Batches { samples: &dataset.train, shown, recipe, input: &card.input };
        let learner = &mut self.learner;
        let diverged = batches.run(epoch, first, |prepared| {
            for (step, batch) in (before..).zip(prepared.iter()) {
                if let Some(how) = learner.step(batch?, step)? {
                    return Ok(Some(format!("{how} at step {}", step + 1)));
                }
                partial.steps += 1;
                progress.inc(recipe.batch_size as u64);
                if stop.is_requested() {
                    break;
                }
            }
            for [loss, right] in learner.figures.take()? {
                if !loss.is_finite() {
                    return Ok(Some(format!("the loss is {loss}")));
                }
                partial.loss += f64::from(loss);
                partial.right += f64::from(right);
            }
            Ok(None)
        })?;
        if let Some(how) = diverged.map_or_else(|| self.learner.divergence(), |how| Ok(Some(how)))? {
            return Err(self.divergence(&how));
        }
        Ok((start.elapsed().as_secs_f64(), self.state.partial.steps - first))
    }

    fn divergence(&self, how: &str) -> anyhow::Error {
        anyhow!(
            "{how}, in epoch {}: the run has diverged. The last good checkpoint, after {} epochs, is {}. Try a \
             --learning-rate below {}",
            self.state.history.len() + 1,
            self.state.history.len(),
            self.folder.join(CHECKPOINT).display(),
            self.state.config.recipe.learning_rate
        )
    }

    /// The names of the sets that are measured: the first source, then the watched ones.
    fn names(&self) -> Vec<&str> {
        let first = self.state.config.sources.first().map_or("", |source| source.name.as_str());
        iter::once(first).chain(self.pictures.watched.iter().map(|watched| watched.name.as_str())).collect()
    }

    /// What the averaged weights are worth, under the prior that they will be used with; and their temperature.
    fn validate(&self) -> Result<Validated> {
        let card = &self.state.card;
        let net = EmotionNet::new(&card.arch, &self.learner.averaged()?)?.fold(self.device)?;
        let evaluation = eval::evaluate(&net, &card.input, &self.pictures.dataset.validation, self.device)?;
        let calibration = card.calibration(None);
        let temperature = eval::fit_temperature(&evaluation.logits_and_targets(&calibration));
        let watched = |watched: &Watched| {
            Ok(eval::evaluate(&net, &card.input, &watched.samples, self.device)?.metrics(&calibration))
        };
        let watched = self.pictures.watched.iter().map(watched).collect::<Result<_>>()?;
        Ok(Validated { validation: evaluation.metrics(&calibration), watched, temperature })
    }

    fn record(
        &self,
        validation: &Metrics,
        watched: &[Metrics],
        start: Instant,
        (seconds, steps): (f64, usize),
    ) -> EpochRecord {
        let (partial, batch_size) = (self.state.partial, self.state.config.recipe.batch_size);
        let figures = Epoch {
            learning_rate: self.learner.schedule.at(self.step() - 1).rate,
            train_loss: partial.loss / partial.steps as f64,
            train_accuracy: partial.right / (partial.steps * batch_size) as f64,
            validation_loss: validation.loss(),
            validation_accuracy: validation.accuracy(),
            validation_macro_f1: validation.macro_f1(),
        };
        let pictures_per_second = (steps * batch_size) as f64 / seconds.max(1e-9);
        let watched = watched.iter().map(WatchedFigures::of).collect();
        EpochRecord {
            figures,
            watched,
            timing: Some(Timing { seconds: start.elapsed().as_secs_f64(), pictures_per_second }),
        }
    }

    /// The averaged weights with a card of their own.
    fn weights(&self, metrics: &Metrics, temperature: f32) -> Result<Weights> {
        let mut card = self.state.card.clone();
        card.temperature = temperature;
        card.metrics.insert("epoch".into(), self.state.history.len() as f64);
        card.metrics.insert("validation_accuracy".into(), metrics.accuracy());
        card.metrics.insert("validation_loss".into(), metrics.loss());
        card.metrics.insert("validation_macro_f1".into(), metrics.macro_f1());
        let learned_from = self.pictures.learned_from.clone();
        Ok(Weights { card, tensors: self.learner.averaged()?, learned_from })
    }

    /// Writes the checkpoint, and nothing else.
    fn save(&self) -> Result<()> {
        let (state, best) = (self.state.clone(), self.best.clone());
        Checkpoint { state, best, tensors: self.learner.tensors()? }.save(&self.folder.join(CHECKPOINT))
    }

    /// Writes the best weights so far, where there are some.
    fn write_best(&self) -> Result<()> {
        self.best.as_ref().map_or(Ok(()), |best| write_whole(&self.folder.join(BEST), best))
    }

    /// Writes all that is made from the checkpoint.
    fn write_results(&self) -> Result<()> {
        self.write_best()?;
        let config = format!("{}\n", serde_json::to_string_pretty(&self.state.config)?);
        write_whole(&self.folder.join(CONFIG), config.as_bytes())?;
        self.pictures.dataset.write_missed(&self.folder)?;
        history::write(&self.folder.join(HISTORY), &self.names()[1..], &self.state.history)
    }

    /// Writes what a run leaves when it ends, by itself or by Ctrl-C: curves, and a report of the best weights on validation.
    /// The test split is for `emocam eval`.
    fn finish(&self, log: &mut dyn Write, progress: &ProgressBar) -> Result<Metrics> {
        let done = self.state.history.len();
        let (Some(Best { epoch, .. }), Some(best)) = (self.state.best, &self.best) else {
            return Ok(Metrics::default());
        };
        if self.state.is_over() && done < self.state.config.recipe.epochs {
            say(progress, log, &format!("ended after epoch {done}: {} without a better one", done - epoch))?;
        }
        let epochs: Vec<Epoch> = self.state.history.iter().map(|record| record.figures).collect();
        plot::history(&self.folder, &epochs, Some(epoch - 1))?;
        let weights = Weights::from_bytes(best)?;
        let net = weights.net()?.fold(self.device)?;
        let card = &weights.card;
        let measured = |samples: &[Sample]| eval::evaluate(&net, &card.input, samples, self.device);
        let header = ReportHeader {
            dataset: &self.pictures.dataset.name,
            part: "validation",
            split_hash: &card.split_hash,
            card,
            prior: card.prior,
        };
        let evaluation = measured(&self.pictures.dataset.validation)?;
        let report = Report::new(&evaluation, header);
        eval::write::folder(&self.folder, &report)?;
        let mut text = eval::write::text(&report);
        for Watched { name, dataset, split_hash, samples } in &self.pictures.watched {
            let evaluation = measured(samples)?;
            let report = Report::new(&evaluation, ReportHeader { dataset, part: name, split_hash, ..header });
            let folder = self.folder.join(WATCHED).join(name);
            eval::write::folder(&folder, &report)?;
            text.push_str(&format!("\n{}", eval::write::text(&report)));
        }
        say(progress, log, &format!("\nbest epoch: {epoch}, in {}\n\n{text}", self.folder.join(BEST).display()))?;
        Ok(report.after)
    }
}
