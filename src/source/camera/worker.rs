//! The thread that talks to a camera.
//!
//! A camera that hangs can block whoever talks to it, in the system and for good; so this is the one thread outside the
//! pipeline. Nobody waits for it: it hands over frames as long as they come, and it is left alone when it does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::device::{Failure, Opened, Place, RawFrame};
use super::format::WantedFormat;
use super::system::Device;
use crate::buffers::Buffers;

/// How long one look at the camera takes at most, so that the wish to end is heard.
const LOOK: Duration = Duration::from_millis(100);

/// Frames that wait to be decoded.
const QUEUE: usize = 2;

/// A frame on its way from the camera.
pub(super) struct Delivery {
    /// At least as long as the frame: buffers are used again for frames of any length.
    pub(super) bytes: Arc<[u8]>,
    pub(super) used: usize,
    pub(super) damaged: bool,
    /// How many frames the camera has made until this one since it was opened, this one included.
    pub(super) count: u64,
    pub(super) at: Instant,
}

impl Delivery {
    /// The frame itself.
    pub(super) fn frame(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

/// What a worker has to say.
pub(super) enum News {
    /// The camera is open.
    Opened(Opened),
    /// A frame.
    Frame(Delivery),
    /// Nothing yet.
    Nothing,
    /// It has ended, and the camera is closed.
    Ended(Failure),
}

/// One opened camera, or one that is being opened.
pub(super) struct Worker {
    opened: Receiver<Opened>,
    frames: Receiver<Delivery>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

/// A worker's own ends of the lines.
pub(super) struct Lines {
    pub(super) opened: Sender<Opened>,
    pub(super) frames: Sender<Delivery>,
    pub(super) quit: Arc<AtomicBool>,
}

impl Worker {
    /// Begins to open a camera.
    pub(super) fn start(place: Place, asked: Option<WantedFormat>) -> Self {
        Self::spawn(move |Lines { opened, frames, quit }| {
            let device = Device::open(&place, asked.as_ref())?;
            // Nobody listens where the run is over already.
            let _ = opened.send(device.opened());
            drop(opened);
            deliver(device, &frames, &quit)
        })
    }

    /// Begins to work. Frames are looked for once `opened` is dropped.
    pub(super) fn spawn(work: impl FnOnce(Lines) -> Result<(), Failure> + Send + 'static) -> Self {
        let (opened_sender, opened) = bounded(1);
        let (frame_sender, frames) = bounded(QUEUE);
        let quit = Arc::<AtomicBool>::default();
        let lines = Lines { opened: opened_sender, frames: frame_sender, quit: Arc::clone(&quit) };
        let thread = thread::Builder::new().name("camera".into()).spawn(move || work(lines));
        // Without a thread the channels are closed, which the first look will find.
        Self { opened, frames, quit, thread: thread.ok() }
    }

    /// What is new, after waiting for no longer than `patience`.
    pub(super) fn news(&mut self, patience: Duration) -> News {
        // Before it is open there are no frames; afterwards the other channel is closed and empty.
        match self.opened.recv_timeout(patience) {
            Ok(opened) => return News::Opened(opened),
            Err(RecvTimeoutError::Timeout) => return News::Nothing,
            Err(RecvTimeoutError::Disconnected) => {}
        }
        match self.frames.recv_timeout(patience) {
            Ok(frame) => News::Frame(frame),
            Err(RecvTimeoutError::Timeout) => News::Nothing,
            Err(RecvTimeoutError::Disconnected) => News::Ended(self.end()),
        }
    }

    /// Asks it to close the camera.
    pub(super) fn quit(&self) {
        self.quit.store(true, Ordering::Relaxed);
    }

    /// Whether the camera is closed.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn end(&mut self) -> Failure {
        let stopped = || Failure::other(anyhow!("it was stopped"));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome.err().unwrap_or_else(stopped),
            // v4l panics where a driver answers what it does not know.
            Some(Err(_)) => Failure::other(anyhow!("its driver is not understood; the line above says more")),
            None => Failure::other(anyhow!("no thread can be started for it")),
        }
    }
}

/// Hands over frames until that is no longer wanted or no longer possible.
fn deliver(mut device: Device, sender: &Sender<Delivery>, quit: &AtomicBool) -> Result<(), Failure> {
    let mut buffers = Buffers::<[u8]>::default();
    let mut capacity = 0;
    let mut count = 0;
    let mut first_sequence = None;
    while !quit.load(Ordering::Relaxed) {
        let Some(RawFrame { bytes, damaged, sequence }) = device.read(LOOK)? else { continue };
        let at = Instant::now();
        count += 1;
        if let Some(sequence) = sequence {
            let first = *first_sequence.get_or_insert(sequence);
            // It may start anew at 0 while the camera is open.
            count = count.max(u64::from(sequence.wrapping_sub(first)) + 1);
        }
        capacity = capacity.max(bytes.len());
        let mut copy = buffers.bytes(capacity);
        let used = bytes.len();
        Arc::get_mut(&mut copy).context("a buffer in use").map_err(Failure::other)?[..used].copy_from_slice(bytes);
        buffers.keep(&copy);
        match sender.try_send(Delivery { bytes: copy, used, damaged, count, at }) {
            // One that does not fit is missed by its number.
            Ok(()) | Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => break,
        }
    }
    Ok(())
}
