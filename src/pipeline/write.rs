//! The last stage: outputs are written, those that take time in a thread, the others in another.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Error, Result, anyhow};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};

use super::MOMENT;
use crate::flow::labelled::{Labelled, Mark};
use crate::flow::stop::Stop;
use crate::sink::{Ending, Sink};

/// What is said where one reader leaves and other outputs go on.
const READER_LEFT: &str = "the reader of an output has left, and gets no more";

/// What outputs get when no frame comes any more.
pub(super) struct Last {
    pub(super) ending: Ending,
    /// What was marked and went along with no frame.
    pub(super) marks: Vec<Mark>,
}

/// The outputs of a run that can still be written.
pub(super) struct Living<'a> {
    count: AtomicUsize,
    /// Whether the run is of no use without any.
    needed: bool,
    stop: &'a Stop,
}

impl<'a> Living<'a> {
    pub(super) fn new(count: usize, needed: bool, stop: &'a Stop) -> Self {
        Self { count: AtomicUsize::new(count), needed, stop }
    }

    /// Takes note that one has ended. Whether the run goes on.
    fn lose_one(&self) -> bool {
        let was_last = self.count.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.needed {
            self.stop.request();
        }
        !(was_last && self.needed)
    }
}

/// Writes until the sender is gone, then finishes every output. One that fails ends, and that is told at once through
/// `warnings`; the others go on. The first error is the stage's in the end.
pub(super) fn write(
    mut sinks: Vec<Box<dyn Sink + Send>>,
    frames: &Receiver<Arc<Labelled>>,
    warnings: &Sender<String>,
    living: &Living<'_>,
    last: impl FnOnce() -> Last,
) -> Result<()> {
    let mut first_error = None;
    loop {
        let labelled = match frames.recv_timeout(MOMENT) {
            Ok(labelled) => labelled,
            Err(RecvTimeoutError::Timeout) => {
                sinks.iter_mut().for_each(|sink| sink.idle());
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let mut goes_on = true;
        sinks.retain_mut(|sink| {
            let written = sink.write(&labelled);
            sink.warnings().into_iter().for_each(|warning| tell(warnings, warning));
            let error = match written {
                Ok(ControlFlow::Continue(())) => return true,
                Ok(ControlFlow::Break(())) => None,
                Err(error) => Some(error),
            };
            // What it has so far is kept; how it ended is known already.
            let _ = sink.finish(Ending::CutOff);
            goes_on = living.lose_one();
            // An only reader that leaves has what it wanted: `emocam … | head`.
            if let Some(error) = error.or_else(|| goes_on.then(|| anyhow!(READER_LEFT))) {
                if goes_on {
                    tell(warnings, format!("{error:#}"));
                }
                first_error.get_or_insert(error);
            }
            false
        });
        if !goes_on {
            break;
        }
    }
    let Last { ending, marks } = last();
    for mut sink in sinks {
        let marked = if marks.is_empty() { Ok(()) } else { sink.mark(&marks) };
        for error in [marked, sink.finish(ending)].into_iter().filter_map(Result::err) {
            first_error.get_or_insert(error);
        }
        sink.warnings().into_iter().for_each(|warning| tell(warnings, warning));
    }
    first_error.map_or(Ok(()), |error: Error| Err(error))
}

/// Nobody listens where the run is over already.
fn tell(warnings: &Sender<String>, text: String) {
    let _ = warnings.send(text);
}
