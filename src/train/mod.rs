//! From data sets to weights: the one loop, and the folder in which a run lives.
//!
//! The recipe: soft targets with label smoothing, rare classes weighted, AdamW under one cycle of the learning rate, dropout
//! before the last layer, and a running average of the weights, which is what is validated and kept. The test split is
//! never looked at here. The same seed, settings, data and machine give the same files on the CPU, byte for byte; times,
//! which differ, are in the last columns of `history.csv` only.
//!
//! ```text
//! RUN/checkpoint.safetensors   all of the run's state, replaced as a whole; `--resume` goes on from it
//! RUN/best.safetensors         the averaged weights of the best epoch on validation
//! RUN/config.json              the settings, as they were resolved
//! RUN/history.csv              a row an epoch; loss.png and accuracy.png show it
//! RUN/report.txt               what the best weights are worth on validation; and the files that `emocam eval` writes
//! RUN/watched/NAME/            the same for each set that is only measured
//! ```
//!
//! The checkpoint is written first, after each epoch and on Ctrl-C after the step at hand. The other files are made from
//! it, and made again by `--resume`, so it does not matter at which moment a run is killed.

mod batches;
mod checkpoint;
mod classes;
mod config;
mod figures;
mod folder;
mod folds;
mod history;
mod learner;
mod log;
mod optim;
mod options;
mod progress;
mod run;
mod selection;
mod show;
mod shown;
mod source;
mod sources;
mod start;

use std::io::Write;
use std::path::{Path, absolute};

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use serde_json::json;

pub use config::{ClassWeights, Init, Recipe, Sampling};
pub use folds::cross_validate;
pub use log::Log;
pub use optim::ScheduleShape;
pub use options::RecipeOptions;
pub use selection::Selection;
pub use show::{FirstBatch, show_batch};

use crate::dataset::{DataOptions, DataSpec};
use crate::eval::Metrics;
use crate::flow::stop::Stop;
use crate::network::weights::ModelCard;
use checkpoint::{Checkpoint, State};
use config::TrainConfig;
use folder::{CHECKPOINT, refuse_existing, remove_leftovers};
use learner::Learner;
use run::Run;
use shown::Shown;
use source::Source;
use sources::Pictures;
use start::Start;

/// What a new run is made of.
#[derive(Clone, Copy, Debug)]
pub struct NewRun<'a> {
    /// Folder or file of the data set.
    pub data: &'a [DataSpec],
    /// Sets that are only measured after each epoch.
    pub watched: &'a [DataSpec],
    /// Which samples they have, but for the seed of the split and the input that faces are cut for, which are the run's.
    pub data_options: &'a DataOptions,
    /// The run's folder, which is made if it is not there.
    pub out: &'a Path,
    /// What the weights start from.
    pub init: &'a Init,
    /// How they learn.
    pub recipe: &'a RecipeOptions,
}

/// Where the data of an older run are now.
#[derive(Clone, Copy, Debug)]
pub struct DataPlace<'a> {
    /// Folders or files, in the order of the run's, where they have moved; else none.
    pub data: &'a [DataSpec],
    /// As `data`, for watched sets.
    pub watched: &'a [DataSpec],
    /// Folder for faces that were cut out.
    pub cache: Option<&'a Path>,
}

/// Starts a run and runs it to its end. Lines for people go to `log`. A request to stop ends the run after the step at hand,
/// with a checkpoint. Returns what the best weights are worth on validation.
///
/// # Errors
/// When the folder holds a run already or can't be written, the data or the weights to start from can't be read, a setting
/// makes no sense, the loss is no longer finite, or the run was stopped.
pub fn start(new: NewRun<'_>, device: &Device, stop: &Stop, log: &mut dyn Write) -> Result<Metrics> {
    let NewRun { data, watched, data_options, out, init, recipe: options } = new;
    ensure!(!data.is_empty(), "expected a data set to train on, found none");
    refuse_existing(out)?;
    let recipe = options.applied_to(Recipe::of(init))?;
    recipe.check()?;
    let start = Start::open(init, options, &recipe)?;
    let data_options = DataOptions { seed: recipe.seed, input: start.input.clone(), ..data_options.clone() };
    let source = |spec| Source::new(spec, &data_options);
    let sources = data.iter().map(source).collect::<Result<Vec<_>>>()?;
    let watched = watched.iter().map(source).collect::<Result<Vec<_>>>()?;
    let mut pictures = Pictures::load(&sources, &watched, recipe.sampling, log)?;
    let learned_before = start.parent.as_ref().map_or_else(Vec::new, |parent| parent.learned_from.clone());
    pictures.add_learned(&learned_before);
    pictures.check_selection(&sources, &recipe)?;
    let (dataset, wish) = (&pictures.dataset, recipe.batch_size);
    let recipe = options.suited(recipe, init, pictures.shown.iter().map(Shown::pictures).sum());
    if recipe.batch_size < wish && recipe.batch_size == dataset.train.len() {
        writeln!(log, "warning: fewer training pictures than a step's {wish}: {} a step", recipe.batch_size)?;
    }
    let split_hash = pictures.split_hash().to_owned();
    if let Some(warning) = start.leak(&dataset.name, &split_hash) {
        writeln!(log, "warning: {warning}")?;
    }
    writeln!(log, "{}", start.describe())?;

    let mut card =
        ModelCard::new(start.arch.clone(), start.input.clone(), dataset.name.clone(), split_hash, recipe.seed);
    card.class_prior = Some(classes::prior(&dataset.train, &pictures.shown, recipe.class_weights));
    card.prior = recipe.prior;
    card.training = Some(json!({
        "init": start.record(),
        "data": sources[0].options,
        "sources": pictures.record(&sources),
        "recipe": recipe
    }));
    let init = match init {
        Init::File(path) => Init::File(absolute(path)?),
        other => other.clone(),
    };
    let adjusted = options.adjusted(&recipe)?;
    let config = TrainConfig { sources, watched, init, recipe, adjusted };
    let mut state = State::new(config, card, dataset.order_hash());
    state.learned_before = learned_before;
    let run = Run::new(out.to_owned(), &pictures, device, state, &start.tensors)?;
    run.create()?;
    run.go_on(stop, log)
}

/// Goes on with a run from its checkpoint, so that it ends as one that was never interrupted. The data may have moved to
/// another folder; settings may be repeated, but not changed, except for the number of epochs: then the learning rate is from
/// the next step on that of a run with as many epochs, at the same step.
///
/// # Errors
/// When the folder holds no run, the settings or the data are not those of the run, or as [`start`].
pub fn resume(
    folder: &Path,
    place: DataPlace<'_>,
    options: &RecipeOptions,
    device: &Device,
    stop: &Stop,
    log: &mut dyn Write,
) -> Result<Metrics> {
    let path = folder.join(CHECKPOINT);
    ensure!(
        path.is_file(),
        "{}: expected the checkpoint of a run, found none; a run that ended before its first step is started anew with --out",
        path.display()
    );
    let Checkpoint { mut state, tensors, best } = Checkpoint::load(&path)?;
    let other = options.contradictions(&state.config, &state.card.arch)?;
    ensure!(
        other.is_empty(),
        "{}: a run goes on with the settings that it was started with; asked for {}. Leave that out, or start another \
         run with --out",
        folder.display(),
        other.join(", ")
    );
    let planned = state.config.recipe.epochs;
    if let Some(epochs) = options.epochs().filter(|epochs| *epochs != planned) {
        state.set_epochs(epochs)?;
        writeln!(
            log,
            "{epochs} epochs instead of {planned}: the learning rate is now that of a run with {epochs} epochs"
        )?;
    }
    let (config, DataPlace { data, watched, cache }) = (&mut state.config, place);
    moved("--data", &mut config.sources, data)?;
    moved("--watch", &mut config.watched, watched)?;
    for source in config.sources.iter_mut().chain(&mut config.watched) {
        source.options.cache = cache.map(Path::to_owned);
    }
    let config = &state.config;
    let mut pictures = Pictures::load(&config.sources, &config.watched, config.recipe.sampling, log)?;
    pictures.add_learned(&state.learned_before);
    let dataset = &pictures.dataset;
    let data = config.sources[0].path.display();
    let (expected, found) = (&state.card.split_hash, pictures.split_hash());
    ensure!(
        expected == found,
        "{data}: expected the pictures and the split that the run was started with (split hash {expected}), found others ({found})"
    );
    ensure!(
        state.data_hash.is_empty() || state.data_hash == dataset.order_hash(),
        "{data}: expected the labels and the order of pictures that the run was started with, found others; start another run with \
         --out"
    );
    remove_leftovers(folder)?;
    let done = state.history.len();
    let mut run = Run::new(folder.to_owned(), &pictures, device, state, &Learner::variables_of(&tensors))?;
    run.restore(&tensors, best).with_context(|| format!("checkpoint {}", path.display()))?;
    if run.state.is_over() {
        writeln!(log, "the run is complete: there is nothing left to do")?;
    } else {
        writeln!(log, "going on after {done} complete epochs")?;
    }
    run.go_on(stop, log)
}

/// Takes the new places of sources, where some are named.
fn moved(flag: &str, sources: &mut [Source], to: &[DataSpec]) -> Result<()> {
    ensure!(
        to.is_empty() || to.len() == sources.len(),
        "{flag}: expected the places of all {} sets of the run, in their order, or none, found {}",
        sources.len(),
        to.len()
    );
    for (source, spec) in sources.iter_mut().zip(to) {
        source.path = absolute(&spec.path)?;
    }
    Ok(())
}
