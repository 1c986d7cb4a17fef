//! Cameras: which there are, in which format one delivers, and what becomes of one that stops.
//!
//! Owns the camera of a run from its opening to its end, through freezes and pulled plugs: what is damaged is skipped and
//! counted, what is quiet is reported, what is dead is opened anew, and what is unplugged is waited for, unless that is not
//! wanted. Nothing here takes longer than a moment: the calls into the system, which may hang, are made by [`worker`]'s
//! thread. How a camera is reached is for [`v4l2`] on Linux and for [`native`] elsewhere. A camera delivers whether or not
//! anyone asks: what is not taken in time is lost, and counted.

mod decode;
mod device;
mod format;
mod h264;
mod holders;
mod list;
mod stamps;
mod watchdog;
mod worker;

#[cfg(all(target_os = "linux", not(feature = "nokhwa")))]
mod clock;
#[cfg(any(not(target_os = "linux"), feature = "nokhwa"))]
mod native;
#[cfg(all(target_os = "linux", not(feature = "nokhwa")))]
mod v4l2;

#[cfg(any(not(target_os = "linux"), feature = "nokhwa"))]
use native as system;
#[cfg(all(target_os = "linux", not(feature = "nokhwa")))]
use v4l2 as system;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

pub use format::{CameraFormat, PixelFormat, Rate, WantedFormat};
pub use holders::Holder;
pub(crate) use list::camera_named;
pub use list::{CameraInfo, list_cameras};

use super::pixels::Rgb;
use super::{Health, Next, Notice, Source, SourceInfo, polled_frame};
use crate::flow::frame::Frame;
use crate::system::buffers::Buffers;
use decode::decode;
use device::{CameraId, Failure, NO_SUCH_DEVICE, Opened};
use h264::H264;
use watchdog::{Verdict, Watchdog};
use worker::{News, Packet, Worker};

/// How long one call waits.
const ONE_CALL: Duration = Duration::from_millis(100);

/// How long opening may take before the run begins without: a camera that hangs must not keep Ctrl-C from being heard.
const OPENING: Duration = Duration::from_secs(1);

/// How long a camera gets to be closed at the end of a run.
const CLOSING: Duration = Duration::from_millis(500);

/// How often a camera that went away is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Each failed try doubles the time to the next, so often at most: 2 s.
const MOST_DOUBLINGS: u32 = 3;

/// So many failed tries are nothing to tell.
const SILENT_TRIES: u32 = 3;

const UNPLUGGED: &str = "unplugged; waiting for it to come back";

/// How long a hung thread is waited for before the camera is opened by another, and how many may hang at a time.
const HUNG: Duration = Duration::from_secs(2);
const MOST_HUNG: usize = 4;

/// What is asked of a camera.
#[derive(Clone, Copy, Debug, Default)]
pub struct CameraOptions {
    /// The format, where one is asked for.
    pub format: Option<WantedFormat>,
    /// Whether a camera that fails ends the run.
    pub no_reconnect: bool,
}

/// A camera that delivers frames.
pub(super) struct CameraSource {
    info: SourceInfo,
    /// Where it was seen last.
    camera: CameraId,
    options: CameraOptions,
    state: State,
    /// Threads that hang in the system.
    hung: Vec<Worker>,
    /// How often it was opened in vain since the last frame.
    tries: u32,
    progress: Progress,
    buffers: Buffers<[u8]>,
    /// A frame that is handed over after a notice.
    pending: Option<Frame>,
}

enum State {
    On(Stream),
    Away(Away),
    Ended,
}

/// A camera that is open, or being opened.
struct Stream {
    worker: Worker,
    opened: Option<Opened>,
    watchdog: Watchdog,
    /// What was there before a frame of H.264.
    h264: Option<H264>,
    /// The number of its first frame.
    first_id: u64,
    /// Whether the camera had failed before, and the first good frame is still to come.
    is_back: bool,
    /// Whether the last frame was damaged.
    is_damaged: bool,
}

/// A camera that is closed and will be opened again.
struct Away {
    since: Instant,
    next_try: Instant,
    /// The thread that has not yet closed it.
    old: Option<Worker>,
    /// Other cameras that were there when this one went.
    present: Vec<CameraId>,
    /// Whether it was said that it is gone.
    is_gone: bool,
}

/// What goes on when a camera comes back.
struct Progress {
    next_id: u64,
    scene: u32,
    first_at: Option<Instant>,
    /// When the last good frame came, or the run began.
    last_at: Instant,
    health: Health,
}

impl CameraSource {
    /// Opens a camera by its index and starts it.
    pub(super) fn open_index(index: u32, options: &CameraOptions) -> Result<Self> {
        let known = system::list()?.into_iter().find(|camera| camera.index == index);
        let camera = known.with_context(|| format!("camera {index}: {NO_SUCH_DEVICE}"))?;
        Self::of(Worker::start(camera.clone(), options.format), camera, *options)
    }

    /// Opens a camera by its device file, or by a link to it as in `/dev/v4l/by-id`.
    pub(super) fn open_path(path: &Path, options: &CameraOptions) -> Result<Self> {
        let device = path.canonicalize().with_context(|| format!("{}: {NO_SUCH_DEVICE}", path.display()))?;
        let index = device.to_str().and_then(|device| device.strip_prefix("/dev/video")?.parse().ok());
        let index = index.with_context(|| format!("{} is not a camera (/dev/video0 and so on)", path.display()))?;
        Self::open_index(index, options)
    }

    /// The camera that a worker has begun to open.
    fn of(worker: Worker, camera: CameraId, options: CameraOptions) -> Result<Self> {
        let now = Instant::now();
        let progress = Progress { next_id: 0, scene: 0, first_at: None, last_at: now, health: Health::default() };
        let mut source = Self {
            info: SourceInfo { name: camera.to_string(), live: true, camera: Some(camera.index), ..Default::default() },
            state: State::On(Stream::new(worker, 0, false)),
            camera,
            options,
            hung: Vec::new(),
            tries: 0,
            progress,
            buffers: Buffers::default(),
            pending: None,
        };
        let State::On(stream) = &mut source.state else { unreachable!("set above") };
        match stream.worker.news(OPENING) {
            News::Opened(opened) => {
                stream.open(opened);
                source.introduce(&opened);
            }
            News::Ended(failure) => return Err(failure.error.context(source.camera.to_string())),
            // It takes its time: the run begins, and tells.
            News::Nothing | News::Frame(_) => {}
        }
        Ok(source)
    }

    /// For people: which camera, in which format.
    fn description(&self, opened: &Opened) -> String {
        let unmet = format::unmet(self.options.format.as_ref(), &opened.format);
        format!("{}: {}, {}{unmet}", self.camera, self.camera.name, opened.format)
    }

    /// Now it is known what the camera delivers.
    fn introduce(&mut self, opened: &Opened) -> Next {
        self.info.name = self.description(opened);
        self.info.fps = Some(opened.format.rate.fps());
        Next::Waiting(Some(Notice { text: self.info.name.clone(), since: self.progress.last_at }))
    }

    fn notice(&self, text: &str) -> Next {
        Next::Waiting(Some(Notice { text: format!("{}: {text}", self.camera), since: self.progress.last_at }))
    }

    fn watch(&mut self, mut stream: Stream) -> Result<Next> {
        let next = match stream.worker.news(ONE_CALL) {
            News::Opened(opened) => {
                stream.open(opened);
                // A camera that is back is announced with its first frame.
                if stream.is_back { None } else { Some(self.introduce(&opened)) }
            }
            News::Frame(packet) => self.take(&mut stream, &packet),
            News::Nothing => None,
            News::Ended(failure) => return self.lost(stream, failure),
        };
        if let Some(next) = next {
            self.state = State::On(stream);
            return Ok(next);
        }
        let (what, advice) = match stream.opened {
            None => ("no answer", "; unplug it and plug it in again"),
            Some(_) if stream.is_damaged => ("only damaged frames", ""),
            Some(_) => ("no frame", ""),
        };
        match stream.watchdog.look(Instant::now()) {
            Verdict::Dead(silence) => {
                let failure = Failure::other(anyhow!("{what} for {} s{advice}", silence.as_secs()));
                self.lost(stream, failure)
            }
            // Of a camera that was opened again in vain it is no news.
            Verdict::Quiet(silence) if self.tries == 0 => {
                self.state = State::On(stream);
                Ok(self.notice(&format!("{what} for {} s", silence.as_secs())))
            }
            Verdict::Quiet(_) | Verdict::Well => {
                self.state = State::On(stream);
                Ok(Next::Waiting(None))
            }
        }
    }

    /// Takes a frame in. What is damaged is counted and left out: cables and hubs lose bytes now and then.
    fn take(&mut self, stream: &mut Stream, packet: &Packet) -> Option<Next> {
        let opened = stream.opened?;
        let progress = &mut self.progress;
        let id = stream.first_id + packet.count - 1;
        progress.health.damaged += packet.damaged_before;
        progress.health.missed += id.saturating_sub(progress.next_id + packet.damaged_before);
        progress.next_id = id + 1;
        let picture = decode(packet, &opened, &mut stream.h264, &mut self.buffers);
        stream.is_damaged = picture.is_err();
        progress.health.damaged += u64::from(stream.is_damaged);
        let Rgb { width, height, pixels } = picture.ok().flatten()?;
        stream.watchdog.feed(packet.arrived_at);
        self.tries = 0;
        let since = std::mem::replace(&mut progress.last_at, packet.arrived_at);
        let is_back = std::mem::take(&mut stream.is_back);
        progress.scene += u32::from(is_back);
        let captured_at = packet.captured_at;
        let pts = captured_at.saturating_duration_since(*progress.first_at.get_or_insert(captured_at));
        let frame = Frame { captured_at, scene: progress.scene, ..Frame::new(id, pts, (width, height), pixels) };
        if !is_back {
            return Some(Next::Frame(frame));
        }
        progress.health.reconnects += 1;
        self.pending = Some(frame);
        Some(Next::Waiting(Some(Notice { text: self.description(&opened), since })))
    }

    /// What becomes of a camera that failed.
    fn lost(&mut self, stream: Stream, failure: Failure) -> Result<Next> {
        stream.worker.quit();
        // Where the system can't be asked, no other camera is known.
        let known = system::list();
        let gone = failure.gone || known.as_ref().is_ok_and(|known| !known.iter().any(|now| now.is_same(&self.camera)));
        let error = if gone && !failure.gone { failure.error.context("unplugged") } else { failure.error };
        let mut present = known.unwrap_or_default();
        present.retain(|other| !other.is_same(&self.camera));
        // What can't be opened at all is the user's to mend.
        let is_first_try = stream.opened.is_none() && !stream.is_back;
        if self.options.no_reconnect || is_first_try {
            self.hung.push(stream.worker);
            return Err(error.context(self.camera.to_string()));
        }
        let now = Instant::now();
        let wait = if gone { LOOK_AGAIN } else { Duration::ZERO };
        let delay = if self.tries == 0 { wait } else { LOOK_AGAIN * 2u32.pow(self.tries.min(MOST_DOUBLINGS)) };
        self.tries += 1;
        let old = Some(stream.worker);
        self.state = State::Away(Away { since: now, next_try: now + delay, old, present, is_gone: gone });
        Ok(match (gone, stream.opened) {
            (true, _) => self.notice(UNPLUGGED),
            (false, Some(_)) => self.notice(&format!("{error:#}; opening it again")),
            // Just after it was plugged in, a camera is not yet anyone's to read.
            (false, None) if self.tries <= SILENT_TRIES => Next::Waiting(None),
            (false, None) => self.notice(&format!("{error:#}; trying again")),
        })
    }

    fn wait_for_return(&mut self, mut away: Away) -> Next {
        let now = Instant::now();
        self.hung.retain(|worker| !worker.has_ended());
        let is_closed = away.old.as_ref().is_none_or(Worker::has_ended);
        let may_open = is_closed || (now > away.since + HUNG && self.hung.len() < MOST_HUNG);
        if now < away.next_try || !may_open {
            thread::sleep(ONE_CALL);
            self.state = State::Away(away);
            return Next::Waiting(None);
        }
        let known = system::list().unwrap_or_default();
        let Some(camera) = self.camera.found_in(&known, &away.present) else {
            away.next_try = now + LOOK_AGAIN;
            let is_news = !std::mem::replace(&mut away.is_gone, true);
            self.state = State::Away(away);
            return if is_news { self.notice(UNPLUGGED) } else { Next::Waiting(None) };
        };
        self.hung.extend(away.old.filter(|old| !old.has_ended()));
        self.camera = camera.clone();
        self.info.camera = Some(camera.index);
        let worker = Worker::start(self.camera.clone(), self.options.format);
        self.state = State::On(Stream::new(worker, self.progress.next_id, true));
        Next::Waiting(None)
    }
}

impl Source for CameraSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        polled_frame(self)
    }

    fn poll(&mut self) -> Result<Next> {
        if let Some(frame) = self.pending.take() {
            return Ok(Next::Frame(frame));
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::On(stream) => self.watch(stream),
            State::Away(away) => Ok(self.wait_for_return(away)),
            State::Ended => Ok(Next::End),
        }
    }

    fn health(&self) -> Health {
        self.progress.health
    }
}

impl Drop for CameraSource {
    /// Closes the camera, as far as it lets itself be closed. The system does the rest when the program ends.
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::On(stream) => self.hung.push(stream.worker),
            State::Away(away) => self.hung.extend(away.old),
            State::Ended => {}
        }
        let deadline = Instant::now() + CLOSING;
        for worker in &self.hung {
            worker.quit();
        }
        while Instant::now() < deadline && !self.hung.iter().all(Worker::has_ended) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Stream {
    fn new(worker: Worker, first_id: u64, is_back: bool) -> Self {
        let watchdog = Watchdog::new(None, Instant::now());
        Self { worker, opened: None, watchdog, h264: None, first_id, is_back, is_damaged: false }
    }

    fn open(&mut self, opened: Opened) {
        self.watchdog = Watchdog::new(Some(opened.format.rate.fps()), Instant::now());
        self.opened = Some(opened);
    }
}

#[cfg(test)]
mod tests;
