//! A camera whose place the next one takes when somebody asks for that.
//!
//! Owns which camera is next, and that the stream goes on: numbers and times of frames grow, and faces of one camera have
//! nothing to do with those of another. The old camera is closed before the new one is opened, since two may be more than
//! their cable carries; where the new one gives no picture, the old one is opened again.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::{CameraOptions, Health, Next, Notice, Source, SourceInfo, SourceSpec, list_cameras, polled_frame};
use crate::flow::frame::Frame;

/// How long one call waits.
const ONE_CALL: Duration = Duration::from_millis(100);

/// How often a camera that could not be opened again is tried.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The least time between two frames: a new camera's clock may be a little behind.
const LEAST_STEP: Duration = Duration::from_micros(1);

/// Asks for the next camera, and hears which one came.
#[derive(Clone, Default)]
pub struct Switch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_wanted: AtomicBool,
    taken: Mutex<Vec<(Instant, String)>>,
}

impl Switch {
    /// Asks for the next camera.
    pub fn request(&self) {
        self.0.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Which cameras have taken the place of others since the last time, each with the moment of its first frame.
    pub fn taken(&self) -> Vec<(Instant, String)> {
        mem::take(&mut *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, at: Instant, camera: String) {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).push((at, camera));
    }
}

/// A camera, or the one that took its place.
struct SwitchingSource<List, Open> {
    switch: Switch,
    /// Which cameras there are, by their indices.
    list: List,
    open: Open,
    no_reconnect: bool,
    /// `None` while none is open.
    inner: Option<Box<dyn Source>>,
    info: SourceInfo,
    /// The camera that is open or to be opened.
    camera: u32,
    /// The one before it, until this one has given a frame.
    previous: Option<u32>,
    /// The last one that gave nothing: the next one comes after it.
    failed: Option<u32>,
    next_try: Instant,
    joint: Joint,
    /// What cameras lost that are closed.
    health: Health,
    warnings: Vec<String>,
}

/// What goes on from one camera to the next.
#[derive(Default)]
struct Joint {
    /// When the time of frames was 0.
    origin: Option<Instant>,
    last: Option<(Duration, Instant)>,
    next_id: u64,
    scene: u32,
    /// The number and the scene that count as the first of the camera at hand.
    first_id: u64,
    first_scene: u32,
}

impl Joint {
    /// Another camera's frames come next.
    fn next_camera(&mut self) {
        (self.first_id, self.first_scene) = (self.next_id, self.scene + 1);
    }

    fn join(&mut self, frame: Frame) -> Frame {
        let at = frame.captured_at;
        let origin = *self.origin.get_or_insert_with(|| at.checked_sub(frame.pts).unwrap_or(at));
        let least = self.last.map_or(Duration::ZERO, |(last, _)| last + LEAST_STEP);
        let pts = at.saturating_duration_since(origin).max(least);
        let (id, scene) = (self.first_id + frame.id, self.first_scene + frame.scene);
        (self.last, self.next_id, self.scene) = (Some((pts, at)), id + 1, scene);
        Frame { id, pts, scene, ..frame }
    }
}

/// A camera that others of this machine can take the place of, and what asks for them. A source that is no camera stays as
/// it is.
pub fn switching(source: Box<dyn Source>, options: CameraOptions) -> (Box<dyn Source>, Option<Switch>) {
    let Some(camera) = source.info().camera else { return (source, None) };
    let list = || -> Result<Vec<u32>> { Ok(list_cameras()?.into_iter().map(|camera| camera.index).collect()) };
    let open = move |index: u32| SourceSpec::CameraIndex(index).open_with(&options);
    let source = SwitchingSource::new(source, camera, options.no_reconnect, list, open);
    let switch = source.switch.clone();
    (Box::new(source), Some(switch))
}

impl<List, Open> SwitchingSource<List, Open>
where
    List: FnMut() -> Result<Vec<u32>> + Send,
    Open: FnMut(u32) -> Result<Box<dyn Source>> + Send,
{
    fn new(inner: Box<dyn Source>, camera: u32, no_reconnect: bool, list: List, open: Open) -> Self {
        Self {
            switch: Switch::default(),
            list,
            open,
            no_reconnect,
            info: inner.info().clone(),
            inner: Some(inner),
            camera,
            previous: None,
            failed: None,
            next_try: Instant::now(),
            joint: Joint::default(),
            health: Health::default(),
            warnings: Vec::new(),
        }
    }

    /// Closes the camera, and says which one comes next.
    fn turn(&mut self) -> Option<Next> {
        // One that was plugged in again may have another index.
        self.camera = self.inner.as_ref().and_then(|inner| inner.info().camera).unwrap_or(self.camera);
        let known = match (self.list)() {
            Ok(known) => known,
            Err(error) => {
                self.warnings.push(format!("no other camera can be taken: {error:#}"));
                return None;
            }
        };
        let last = self.failed.take().unwrap_or(self.camera);
        let others = || known.iter().copied().filter(|&index| index != self.camera);
        let Some(next) = others().filter(|&index| index > last).min().or_else(|| others().min()) else {
            self.warnings.push("there is no other camera".to_owned());
            return None;
        };
        self.close_camera();
        let before = mem::replace(&mut self.camera, next);
        // Of several in a row that is the last one that gave a frame.
        self.previous.get_or_insert(before);
        Some(self.notice(format!("camera {next}: opening it in the place of camera {before}")))
    }

    fn close_camera(&mut self) {
        if let Some(mut inner) = self.inner.take() {
            let Health { damaged, missed, reconnects } = inner.health();
            self.health.damaged += damaged;
            self.health.missed += missed;
            self.health.reconnects += reconnects;
            inner.close();
        }
        self.joint.next_camera();
        self.next_try = Instant::now();
    }

    fn open_camera(&mut self) -> Result<Next> {
        if Instant::now() < self.next_try {
            thread::sleep(ONE_CALL);
            return Ok(Next::Waiting(None));
        }
        match (self.open)(self.camera) {
            Ok(inner) => {
                self.info = inner.info().clone();
                self.inner = Some(inner);
                Ok(Next::Waiting(None))
            }
            Err(error) if self.previous.is_some() => Ok(self.go_back(&error)),
            Err(error) if self.no_reconnect => Err(error),
            Err(error) => {
                self.next_try = Instant::now() + LOOK_AGAIN;
                Ok(self.notice(format!("{error:#}; trying again")))
            }
        }
    }

    /// The camera gave nothing: the one before it is wanted again.
    fn go_back(&mut self, error: &Error) -> Next {
        self.close_camera();
        if let Some(previous) = self.previous.take() {
            self.warnings.push(format!("{error:#}; going on with camera {previous}"));
            self.failed = Some(mem::replace(&mut self.camera, previous));
        }
        Next::Waiting(None)
    }

    fn notice(&self, text: String) -> Next {
        let since = self.joint.last.map_or_else(Instant::now, |(_, at)| at);
        Next::Waiting(Some(Notice { text, since }))
    }

    fn take(&mut self, frame: Frame) -> Frame {
        if self.previous.take().is_some() {
            self.switch.take(frame.captured_at, self.info.name.clone());
            self.warnings.push(self.info.name.clone());
        }
        self.joint.join(frame)
    }
}

impl<List, Open> Source for SwitchingSource<List, Open>
where
    List: FnMut() -> Result<Vec<u32>> + Send,
    Open: FnMut(u32) -> Result<Box<dyn Source>> + Send,
{
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        polled_frame(self)
    }

    fn poll(&mut self) -> Result<Next> {
        if self.switch.0.is_wanted.swap(false, Ordering::Relaxed)
            && let Some(next) = self.turn()
        {
            return Ok(next);
        }
        let Some(inner) = &mut self.inner else { return self.open_camera() };
        match inner.poll() {
            Ok(Next::Frame(frame)) => Ok(Next::Frame(self.take(frame))),
            Err(error) if self.previous.is_some() => Ok(self.go_back(&error)),
            other => other,
        }
    }

    fn warnings(&mut self) -> Vec<String> {
        let inner = self.inner.as_mut().map(|inner| inner.warnings()).unwrap_or_default();
        mem::take(&mut self.warnings).into_iter().chain(inner).collect()
    }

    fn close(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.close();
        }
    }

    fn health(&self) -> Health {
        let Health { damaged, missed, reconnects } =
            self.inner.as_ref().map(|inner| inner.health()).unwrap_or_default();
        Health {
            damaged: self.health.damaged + damaged,
            missed: self.health.missed + missed,
            reconnects: self.health.reconnects + reconnects,
        }
    }
}

#[cfg(test)]
mod tests;
