//! Raw frames out of ffmpeg's pipe, read in a thread of its own: who waits for a frame can do other things meanwhile.

use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use crossbeam::channel::{Receiver, Sender, bounded};

use super::nut::Nut;
use super::pixels::rgb_len;
use crate::system::buffers::Buffers;

/// The stream that has a row of each picture: its length tells how wide the picture is. The other one has the pictures.
const ROWS: usize = 0;

/// The most rows that may come before their pictures.
const MOST_WIDTHS: usize = 1000;

/// A picture, when it is shown and when it came.
pub(super) struct RawFrame {
    /// In the file's own time.
    pub(super) seconds: f64,
    pub(super) size: (u32, u32),
    pub(super) rgb: Arc<[u8]>,
    pub(super) came_at: Instant,
    /// Whether it is known that there is no other.
    pub(super) is_last: bool,
}

/// Starts to read. The channel has no room: besides the frame that somebody works on there is one that waits, and another
/// where it matters which one is the last.
pub(super) fn read_frames(
    input: impl Read + Send + 'static,
    tells_last: bool,
) -> Result<(Receiver<Result<RawFrame>>, JoinHandle<()>)> {
    let (sender, receiver) = bounded(0);
    let reader =
        RawFrames { nut: Nut::new(BufReader::new(input)), widths: VecDeque::new(), buffers: Buffers::default() };
    let thread = thread::Builder::new().name("frames of ffmpeg".into());
    let thread = thread.spawn(move || reader.send_all(&sender, tells_last)).context("a thread can't be started")?;
    Ok((receiver, thread))
}

struct RawFrames<R> {
    nut: Nut<R>,
    widths: VecDeque<u32>,
    buffers: Buffers<[u8]>,
}

impl<R: Read> RawFrames<R> {
    /// Until the end, an error, or until nobody listens.
    fn send_all(mut self, sender: &Sender<Result<RawFrame>>, tells_last: bool) {
        let mut held: Option<RawFrame> = None;
        loop {
            let next = self.next_frame();
            let is_end = !matches!(next, Ok(Some(_)));
            if let Some(mut frame) = held.take() {
                frame.is_last = matches!(next, Ok(None));
                if sender.send(Ok(frame)).is_err() {
                    return;
                }
            }
            let sent = match next {
                Ok(Some(frame)) if tells_last => {
                    held = Some(frame);
                    Ok(())
                }
                next => next.transpose().map_or(Ok(()), |next| sender.send(next)),
            };
            if is_end || sent.is_err() {
                return;
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame>> {
        while let Some(packet) = self.nut.next_packet()? {
            if packet.stream == ROWS {
                ensure!(self.widths.len() < MOST_WIDTHS, "ffmpeg sent rows without pictures");
                self.widths.push_back(u32::try_from(packet.len / 3)?);
                self.nut.skip(&packet)?;
                continue;
            }
            let width = self.widths.pop_front().context("ffmpeg sent a picture without saying how wide it is")?;
            let height =
                packet.len.checked_div(3 * u64::from(width)).context("ffmpeg sent a picture without a width")?;
            let size = (width, u32::try_from(height)?);
            let len = rgb_len(size.0, size.1)?;
            ensure!(len as u64 == packet.len, "ffmpeg sent {} bytes as a picture of {width}x{height}", packet.len);
            let mut rgb = self.buffers.bytes(len);
            self.nut.read(&packet, Arc::make_mut(&mut rgb)).context("ffmpeg stopped in the middle of a frame")?;
            self.buffers.keep(&rgb);
            let came_at = Instant::now();
            return Ok(Some(RawFrame { seconds: packet.seconds, size, rgb, came_at, is_last: false }));
        }
        Ok(None)
    }
}
