//! The thread that talks to a camera.
//!
//! A camera that hangs can block whoever talks to it, in the system and for good; so this is the one thread outside the
//! pipeline. Nobody waits for it: it hands over frames as long as they come, and it is left alone when it does not answer.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::device::{CameraId, Failure, NOT_UNDERSTOOD, Opened, RawFrame};
use super::format::{PixelFormat, WantedFormat};
use super::stamps::Stamps;
use super::system::Device;
use crate::system::buffers::Buffers;

/// How long one look at the camera takes at most, so that the wish to end is heard.
const LOOK: Duration = Duration::from_millis(100);

/// So many frames that nobody took are kept where later ones need them: 2 s. Beyond that the picture is lost until it is
/// sent anew.
const MOST_EARLIER: usize = 60;

/// A frame on its way from the camera.
pub(super) struct Packet {
    /// At least as long as the frame: buffers are used again for frames of any length.
    pub(super) bytes: Arc<[u8]>,
    pub(super) used: usize,
    pub(super) damaged: bool,
    /// Damaged frames whose place in the queue it took.
    pub(super) damaged_before: u64,
    /// How many frames the camera has made until this one since it was opened, this one included.
    pub(super) count: u64,
    /// Frames that nobody took and that the format needs for this one, the oldest first.
    pub(super) earlier: Vec<Packet>,
    pub(super) captured_at: Instant,
    pub(super) arrived_at: Instant,
}

impl Packet {
    /// The frame itself.
    pub(super) fn frame(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// Takes the place of a frame that nobody took.
    fn displace(&mut self, mut old: Self, is_chained: bool) {
        self.damaged_before += old.damaged_before + u64::from(old.damaged);
        if is_chained && old.earlier.len() < MOST_EARLIER {
            self.earlier = mem::take(&mut old.earlier);
            self.earlier.push(old);
        }
    }
}

/// What a worker has to say.
pub(super) enum News {
    /// The camera is open.
    Opened(Opened),
    /// A frame.
    Frame(Packet),
    /// Nothing yet.
    Nothing,
    /// It has ended, and the camera is closed.
    Ended(Failure),
}

/// One opened camera, or one that is being opened.
pub(super) struct Worker {
    opened: Receiver<Opened>,
    frames: Receiver<Packet>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

/// A worker's own ends of the lines.
pub(super) struct Lines {
    /// To be dropped once it is said.
    pub(super) opened: Option<Sender<Opened>>,
    pub(super) frames: Sender<Packet>,
    /// The other end, to take back what nobody took.
    pub(super) displaced: Receiver<Packet>,
    pub(super) quit: Arc<AtomicBool>,
}

impl Worker {
    /// Begins to open a camera.
    pub(super) fn start(camera: CameraId, asked: Option<WantedFormat>) -> Self {
        Self::spawn(move |mut lines| {
            let device = Device::open(&camera, asked.as_ref())?;
            if let Some(opened) = lines.opened.take() {
                // Nobody listens where the run is over already.
                let _ = opened.send(device.opened());
            }
            deliver(device, &lines)
        })
    }

    /// Begins to work. Frames are looked for once `opened` is dropped.
    pub(super) fn spawn(work: impl FnOnce(Lines) -> Result<(), Failure> + Send + 'static) -> Self {
        let (opened_sender, opened) = bounded(1);
        let (frame_sender, frames) = bounded(1);
        let quit = Arc::<AtomicBool>::default();
        let (displaced, asked_to_quit) = (frames.clone(), Arc::clone(&quit));
        let lines = Lines { opened: Some(opened_sender), frames: frame_sender, displaced, quit: asked_to_quit };
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
            Some(Err(_)) => Failure::other(anyhow!(NOT_UNDERSTOOD)),
            None => Failure::other(anyhow!("no thread can be started for it")),
        }
    }
}

/// Hands over frames until that is no longer wanted or no longer possible.
fn deliver(mut device: Device, lines: &Lines) -> Result<(), Failure> {
    let Lines { frames, displaced, quit, .. } = lines;
    let mut buffers = Buffers::<[u8]>::default();
    let mut capacity = 0;
    let is_chained = device.opened().format.pixel_format == PixelFormat::H264;
    let (mut counter, mut stamps) = (Counter::default(), Stamps::since(Instant::now()));
    while !quit.load(Ordering::Relaxed) {
        let Some(RawFrame { bytes, damaged, sequence, stamp }) = device.read(LOOK)? else { continue };
        let arrived_at = Instant::now();
        let captured_at = stamps.captured_at(stamp, arrived_at);
        let count = counter.count(sequence);
        capacity = capacity.max(bytes.len());
        let mut copy = buffers.bytes(capacity);
        let used = bytes.len();
        Arc::get_mut(&mut copy).context("a buffer in use").map_err(Failure::other)?[..used].copy_from_slice(bytes);
        buffers.keep(&copy);
        let earlier = Vec::new();
        let mut packet =
            Packet { bytes: copy, used, damaged, damaged_before: 0, count, earlier, captured_at, arrived_at };
        // The latest frame is the one that counts.
        while let Err(TrySendError::Full(back)) = frames.try_send(packet) {
            packet = back;
            if let Ok(old) = displaced.try_recv() {
                packet.displace(old, is_chained);
            }
        }
    }
    Ok(())
}

/// Counts a camera's frames, with those that its driver had to drop.
#[derive(Default)]
struct Counter {
    count: u64,
    last: Option<u32>,
}

impl Counter {
    /// More frames than this in one gap are none: the driver's number has started anew.
    const LONGEST_GAP: u32 = 1000;

    /// The count at a frame that the driver gives this number.
    fn count(&mut self, sequence: Option<u32>) -> u64 {
        let step = sequence.zip(self.last).map_or(1, |(now, last)| now.wrapping_sub(last));
        self.last = sequence;
        self.count += if (1..=Self::LONGEST_GAP).contains(&step) { u64::from(step) } else { 1 };
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_nobody_took_are_kept_where_later_ones_need_them_up_to_a_limit() {
        let packet = |count| Packet { damaged: count == 2, ..super::super::tests::packet(count, &[0]) };
        for (is_chained, frames, kept) in
            [(false, 5, vec![]), (true, 5, vec![1, 2, 3, 4]), (true, 64, vec![62, 63]), (true, 61, (1..61).collect())]
        {
            let last = (2..=frames).fold(packet(1), |old, count| {
                let mut next = packet(count);
                next.displace(old, is_chained);
                next
            });
            assert_eq!(last.earlier.iter().map(|packet| packet.count).collect::<Vec<_>>(), kept, "of {frames}");
            assert!(last.earlier.iter().all(|packet| packet.earlier.is_empty()));
            assert_eq!(last.damaged_before, 1);
        }
    }

    #[test]
    fn frames_that_the_driver_dropped_are_counted() {
        let mut counter = Counter::default();
        let counts = [5, 6, 9, 10, 0, 1, u32::MAX, 0, 2].map(|sequence| counter.count(Some(sequence)));
        assert_eq!(counts, [1, 2, 5, 6, 7, 8, 9, 10, 12]);
        assert_eq!([None, None].map(|none| counter.count(none)), [13, 14]);
    }
}
