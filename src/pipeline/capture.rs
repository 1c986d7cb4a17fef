//! The first stage: frames come from the source and go on, as the drop policy has it.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam::channel::{Receiver, Sender, TrySendError};

use crate::flow::frame::Frame;
use crate::flow::labelled::Timing;
use crate::flow::stop::Stop;
use crate::source::{Next, Notice, Source};
use crate::system::clock::Stopwatch;

/// What happens to frames while the stages behind are busy. Decided once, at the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropPolicy {
    /// A live source keeps the latest frame and counts what it drops.
    Latest,
    /// A file drops nothing: capture waits.
    Every,
    /// As [`DropPolicy::Every`], but no frame comes before its time.
    EveryInRealTime,
}

/// How long anyone waits before looking whether something else is to be done.
pub(super) const MOMENT: Duration = Duration::from_millis(10);

/// The front of the pipeline, where the drop policy is.
pub(super) struct FrameSender<'a> {
    pub(super) sender: Sender<(Frame, Timing)>,
    /// The other end of the channel, to take back what nobody took: only where the latest frame replaces older ones.
    pub(super) displaced: Option<Receiver<(Frame, Timing)>>,
    pub(super) dropped: &'a AtomicU64,
}

impl FrameSender<'_> {
    /// `Break` when nobody listens any more.
    fn send(&self, mut item: (Frame, Timing)) -> ControlFlow<()> {
        let Some(displaced) = &self.displaced else {
            return if self.sender.send(item).is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        };
        loop {
            match self.sender.try_send(item) {
                Ok(()) => return ControlFlow::Continue(()),
                Err(TrySendError::Disconnected(_)) => return ControlFlow::Break(()),
                Err(TrySendError::Full(back)) => item = back,
            }
            if displaced.try_recv().is_ok() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A file that is so far behind its time was paused: it goes on from where it stands, and does not catch up.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes frames from a source until it ends or a stop is requested.
pub(super) fn capture(
    source: &mut dyn Source,
    sender: &FrameSender<'_>,
    notices: &Sender<Notice>,
    warnings: &Sender<String>,
    drop_policy: DropPolicy,
    stop: &Stop,
) -> Result<()> {
    let mut origin = None;
    let mut watch = Stopwatch::start();
    while !stop.is_requested() {
        let next = source.poll();
        for warning in source.warnings() {
            let _ = warnings.send(warning);
        }
        let mut frame = match next? {
            Next::Frame(frame) => frame,
            Next::Waiting(notice) => {
                // Nobody listens where the run is over already.
                notice.map(|notice| notices.send(notice));
                continue;
            }
            Next::End => break,
        };
        let timing = Timing { capture: watch.spent(), ..Default::default() };
        if drop_policy == DropPolicy::EveryInRealTime {
            let (begun, first) = *origin.get_or_insert_with(|| (Instant::now(), frame.pts));
            let due = begun + frame.pts.saturating_sub(first);
            if due.elapsed() > PAUSE {
                origin = Some((Instant::now(), frame.pts));
            }
            wait_until(due, stop);
            frame.captured_at = Instant::now();
        }
        if sender.send((frame, timing)).is_break() {
            break;
        }
        watch = Stopwatch::start();
    }
    Ok(())
}

/// Sleeps in short pieces, so that a wish to stop is heard.
fn wait_until(time: Instant, stop: &Stop) {
    while !stop.is_requested() {
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        thread::sleep(left.min(MOMENT));
    }
}
