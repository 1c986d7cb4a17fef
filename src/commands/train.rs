//! `emocam train`: weights from labelled faces.

use std::io;

use anyhow::{Result, bail};
use emocam::flow::stop::Stop;
use emocam::network::preprocess::InputSpec;
use emocam::train::{self, DataPlace, FirstBatch, Init, NewRun};

use super::setup::set_threads;
use crate::cli::Train;
use crate::view::tell::notice;

/// Starts a run, or goes on with one.
pub(super) fn run(arguments: &Train, stop: &Stop) -> Result<()> {
    let Train { data, watched, out, resume, init, show_batch, folds, device, threads, data_options, recipe } =
        arguments;
    if let Some(threads) = *threads {
        set_threads(threads)?;
    }
    let mut log = train::Log(io::stdout());
    let init = init.as_ref().unwrap_or(&Init::Shipped);
    // The seed of the split and the size of faces are the run's: it puts them in.
    let new_options = &data_options.options(0, InputSpec::default());
    if let Some(path) = show_batch {
        let first = FirstBatch { data, data_options: new_options, init, recipe };
        return train::show_batch(first, path, &mut log);
    }
    let device = device.open(notice)?;
    match (resume, out) {
        (Some(run), _) => {
            let place = DataPlace { data, watched, cache: new_options.cache.as_deref() };
            train::resume(run, place, recipe, &device, stop, &mut log).map(drop)
        }
        (None, Some(out)) => {
            let new = NewRun { data, watched, data_options: new_options, out, init, recipe };
            match folds {
                Some(folds) => train::cross_validate(new, *folds, &device, stop, &mut log),
                None => train::start(new, &device, stop, &mut log).map(drop),
            }
        }
        (None, None) => bail!("expected --data DIR and --out RUN, or --resume RUN"),
    }
}
