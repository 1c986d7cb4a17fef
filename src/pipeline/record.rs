//! The last stage: outputs that take time to write.

use std::sync::Arc;

use anyhow::{Error, Result};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};

use super::MOMENT;
use crate::flow::labelled::Labelled;
use crate::sink::{Ending, Sink};

/// Writes until the sender is gone, then finishes every output, also those beside one that failed. `warnings` takes what
/// whoever watches should know. Where the run `survives_failures` of outputs, an error is told at once, and is the run's in
/// the end.
pub(super) fn record(
    mut recorders: Vec<Box<dyn Sink + Send>>,
    records: &Receiver<Arc<Labelled>>,
    warnings: &Sender<String>,
    survives_failures: bool,
    ending: impl FnOnce() -> Ending,
) -> Result<()> {
    let mut first_error = None;
    let is_over = |first_error: &Option<Error>| first_error.is_some() && !survives_failures;
    while !is_over(&first_error) {
        let labelled = match records.recv_timeout(MOMENT) {
            Ok(labelled) => labelled,
            Err(RecvTimeoutError::Timeout) => {
                recorders.iter_mut().for_each(|recorder| recorder.idle());
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        recorders.retain_mut(|recorder| {
            if is_over(&first_error) {
                return true;
            }
            let Err(error) = recorder.write(&labelled) else { return true };
            // What it has so far is kept; that it failed is known already.
            let _ = recorder.finish(Ending::CutOff);
            if survives_failures {
                // Nobody listens where the run is over already.
                let _ = warnings.send(format!("{error:#}"));
            }
            first_error.get_or_insert(error);
            false
        });
    }
    let ending = if is_over(&first_error) { Ending::CutOff } else { ending() };
    for mut recorder in recorders {
        if let Err(error) = recorder.finish(ending) {
            first_error.get_or_insert(error);
        }
        for warning in recorder.warnings() {
            let _ = warnings.send(warning);
        }
    }
    first_error.map_or(Ok(()), Err)
}
