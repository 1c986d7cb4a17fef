//! The first stage: frames come from the source and go on, as the drop policy has it.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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

/// Bytes of frames that may be on their way where nobody waits for them: a photo of 48 megapixels, or a second of Full HD.
const FLIGHT_BYTES: usize = 192 * 1024 * 1024;

/// What frames take that are between the source and the outputs.
#[derive(Default)]
pub(super) struct InFlight(AtomicUsize);

impl InFlight {
    fn enter(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn leave(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Waits until there is room for a frame of so many bytes beside the others, or none are left.
    fn wait_for_room(&self, bytes: usize, stop: &Stop) {
        while !Self::has_room(self.0.load(Ordering::Relaxed), bytes) && !stop.is_requested() {
            thread::sleep(MOMENT);
        }
    }

    /// Whether there is room for a frame of so many bytes beside others that have taken some.
    pub(super) fn has_room(taken: usize, bytes: usize) -> bool {
        taken == 0 || taken + bytes <= FLIGHT_BYTES
    }

    /// Whether a frame of so many bytes has no second one beside it.
    pub(super) fn fills(bytes: usize) -> bool {
        2 * bytes > FLIGHT_BYTES
    }
}

/// The front of the pipeline, where the drop policy is.
pub(super) struct FrameSender<'a> {
    pub(super) sender: Sender<(Frame, Timing)>,
    /// The other end of the channel, to take back what nobody took: only where the latest frame replaces older ones.
    pub(super) displaced: Option<Receiver<(Frame, Timing)>>,
    pub(super) dropped: &'a AtomicU64,
    pub(super) in_flight: &'a InFlight,
    /// What a frame takes before it is due, where somebody waits for every one.
    pub(super) credit: Option<Receiver<()>>,
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
    let mut bytes = 0;
    let mut watch = Stopwatch::start();
    while !stop.is_requested() {
        if drop_policy == DropPolicy::Every {
            // As large as the last one: how large the next one is shows when it is there.
            sender.in_flight.wait_for_room(bytes, stop);
        }
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
        bytes = frame.rgb.len();
        sender.in_flight.enter(bytes);
        // It is given back also in the end, when nobody listens any more.
        if sender.credit.as_ref().is_some_and(|credit| credit.recv().is_err()) {
            break;
        }
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
