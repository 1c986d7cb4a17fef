//! The last stage: outputs that take time to write.

use std::sync::Arc;

use anyhow::{Error, Result};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};

use super::MOMENT;
use crate::flow::labelled::Labelled;
use crate::sink::{Ending, Sink};

/// What the stage works with.
pub(super) struct Recording<'a> {
    pub(super) records: &'a Receiver<Arc<Labelled>>,
    /// Takes what whoever watches should know.
    pub(super) warnings: &'a Sender<String>,
    /// Whether the run goes on when an output fails. Its error is told at once then, and is the run's in the end.
    pub(super) survives_failures: bool,
}

impl Recording<'_> {
    /// Writes until the sender is gone, then finishes every output, also those beside one that failed.
    pub(super) fn record(
        &self,
        mut recorders: Vec<Box<dyn Sink + Send>>,
        ending: impl FnOnce() -> Ending,
    ) -> Result<()> {
        let mut first_error = None;
        loop {
            let labelled = match self.records.recv_timeout(MOMENT) {
                Ok(labelled) => labelled,
                Err(RecvTimeoutError::Timeout) => {
                    recorders.iter_mut().for_each(|recorder| recorder.idle());
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            recorders.retain_mut(|recorder| {
                if self.is_over(first_error.as_ref()) {
                    return true;
                }
                let Err(error) = recorder.write(&labelled) else { return true };
                // What it has so far is kept; that it failed is known already.
                let _ = recorder.finish(Ending::CutOff);
                self.fail(error, &mut first_error);
                false
            });
            if self.is_over(first_error.as_ref()) {
                break;
            }
        }
        let ending = if self.is_over(first_error.as_ref()) { Ending::CutOff } else { ending() };
        for mut recorder in recorders {
            if let Err(error) = recorder.finish(ending) {
                first_error.get_or_insert(error);
            }
            for warning in recorder.warnings() {
                let _ = self.warnings.send(warning);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn is_over(&self, first_error: Option<&Error>) -> bool {
        first_error.is_some() && !self.survives_failures
    }

    fn fail(&self, error: Error, first_error: &mut Option<Error>) {
        if self.survives_failures {
            // Nobody listens where the run is over already.
            let _ = self.warnings.send(format!("{error:#}"));
        }
        first_error.get_or_insert(error);
    }
}
