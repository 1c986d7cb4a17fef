//! `emocam train`: weights from labelled faces.

use std::io;

use anyhow::{Result, bail};
use emocam::flow::stop::Stop;
use emocam::network::preprocess::InputSpec;
use emocam::train::{self, DataPlace, Init, NewRun};

use super::setup::set_threads;
use crate::cli::Train;
use crate::view::tell::notice;

/// Starts a run, or goes on with one.
pub(super) fn run(arguments: &Train, stop: &Stop) -> Result<()> {
    let Train { data, watched, out, resume, init, device, threads, data_options, recipe } = arguments;
    if let Some(threads) = *threads {
        set_threads(threads)?;
    }
    let (device, mut log) = (device.open(notice)?, train::Log(io::stdout()));
    match (resume, out) {
        (Some(run), _) => {
            let place = DataPlace { data, watched, cache: data_options.cache_folder() };
            train::resume(run, place, recipe, &device, stop, &mut log)
        }
        (None, Some(out)) => {
            let init = init.as_ref().unwrap_or(&Init::Shipped);
            // The seed of the split and the size of faces are the run's: it puts them in.
            let data_options = &data_options.options(0, InputSpec::default());
            let new = NewRun { data, watched, data_options, out, init, recipe };
            train::start(new, &device, stop, &mut log)
        }
        (None, None) => bail!("expected --data DIR and --out RUN, or --resume RUN"),
    }
}
