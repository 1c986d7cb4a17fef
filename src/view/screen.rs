//! The window and what lies over its picture: keys, messages, the sign of a recording.
//!
//! Owns when what is seen has to be put together anew. The picture itself comes from `render`, how things look from `draw`.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Result;
use image::RgbImage;

use crate::view::keys::{Command, Controls, help_rows};
use crate::view::tell;
use crate::view::window::Window;
use emocam::draw;
use emocam::source::Notice;

/// The size of a window that opens before there is a picture, in pixels.
const EMPTY_SIZE: (u32, u32) = (640, 480);

/// How long a message stands: time to read a line.
const MESSAGE_TIME: Duration = Duration::from_secs(4);

/// What the user is told while the window is new.
const FIRST_MESSAGE: &str = "h shows the keys";

/// What is shown besides the picture.
pub(super) struct Overlay<'a> {
    pub(super) controls: &'a Controls,
    /// How long a recording has been going on.
    pub(super) recording: Option<Duration>,
}

/// A window and what is in it.
#[derive(Default)]
pub(super) struct Screen {
    window: Option<Box<Window>>,
    picture: RgbImage,
    has_picture: bool,
    /// The picture with all that lies over it.
    canvas: RgbImage,
    /// Frame rate and latency.
    line: String,
    message: Option<(String, Instant)>,
    /// What was put together last; it is done anew when that changes.
    composed: Option<Composed>,
}

/// All but the picture that decides what is seen.
#[derive(Clone, PartialEq)]
struct Composed {
    paused: bool,
    help: bool,
    stretch: bool,
    recording_seconds: Option<u64>,
    message: Option<String>,
    notice: Option<(String, u64)>,
}

impl Screen {
    /// Shows a picture. `None` where no window can be opened.
    pub(super) fn show(
        &mut self,
        picture: &RgbImage,
        line: &str,
        overlay: &Overlay<'_>,
    ) -> Result<Option<ControlFlow<()>>> {
        self.picture.clone_from(picture);
        self.has_picture = true;
        line.clone_into(&mut self.line);
        self.composed = None;
        self.refresh(None, overlay)
    }

    /// Shows another picture of the same frame.
    pub(super) fn replace(&mut self, picture: &RgbImage, overlay: &Overlay<'_>) -> Result<()> {
        self.picture.clone_from(picture);
        self.composed = None;
        self.refresh(None, overlay).map(|_| ())
    }

    /// Keeps the window alive while no new picture comes. `None` where none can be opened.
    pub(super) fn refresh(
        &mut self,
        notice: Option<&Notice>,
        overlay: &Overlay<'_>,
    ) -> Result<Option<ControlFlow<()>>> {
        if self.window.is_none() {
            if !self.has_picture && notice.is_none() {
                return Ok(Some(ControlFlow::Continue(())));
            }
            if self.picture.is_empty() {
                self.picture = RgbImage::new(EMPTY_SIZE.0, EMPTY_SIZE.1);
            }
            match Window::open("emocam", self.picture.width(), self.picture.height()) {
                Ok(opened) => self.window = Some(Box::new(opened)),
                Err(error) => {
                    tell::notice(&format!("{error:#}; running without a window"));
                    return Ok(None);
                }
            }
            self.say(FIRST_MESSAGE);
        }
        self.message.take_if(|(_, since)| since.elapsed() >= MESSAGE_TIME);
        let seen = Composed {
            paused: overlay.controls.paused,
            help: overlay.controls.help,
            stretch: overlay.controls.stretch,
            recording_seconds: overlay.recording.map(|time| time.as_secs()),
            message: self.message.as_ref().map(|(text, _)| text.clone()),
            notice: notice.map(|notice| (notice.text.clone(), notice.since.elapsed().as_secs())),
        };
        let is_new = self.composed.as_ref() != Some(&seen);
        if is_new {
            self.compose(&seen);
        }
        let Some(window) = &mut self.window else { return Ok(None) };
        window.set_stretch(seen.stretch);
        let flow = if is_new { window.show(&self.canvas)? } else { window.poll()? };
        self.composed = Some(seen);
        Ok(Some(flow))
    }

    fn compose(&mut self, seen: &Composed) {
        let canvas = &mut self.canvas;
        canvas.clone_from(&self.picture);
        if let Some((text, seconds)) = &seen.notice {
            let below =
                if self.has_picture { format!("last picture {seconds} s ago") } else { "no picture yet".to_owned() };
            draw::notice(canvas, text, &below);
        }
        draw::hud(canvas, &self.line);
        if seen.paused {
            draw::paused(canvas);
        }
        if let Some(seconds) = seen.recording_seconds {
            draw::recording(canvas, Duration::from_secs(seconds));
        }
        if seen.help {
            let rows = help_rows();
            let rows: Vec<(&str, &str)> = rows.iter().map(|(key, what)| (key.as_str(), *what)).collect();
            draw::help(canvas, &rows);
        }
        if let Some(message) = &seen.message {
            draw::toast(canvas, message);
        }
    }

    /// Shows a message for some seconds.
    pub(super) fn say(&mut self, text: &str) {
        self.message = Some((text.to_owned(), Instant::now()));
    }

    /// What keys asked for since the last time.
    pub(super) fn commands(&mut self) -> Vec<Command> {
        self.window.as_mut().map(|window| window.commands()).unwrap_or_default()
    }

    /// Makes the window larger or smaller.
    pub(super) fn zoom(&mut self, larger: bool) -> Result<()> {
        self.window.as_mut().map_or(Ok(()), |window| window.zoom(larger))
    }

    /// Whether there is a window.
    pub(super) fn is_open(&self) -> bool {
        self.window.is_some()
    }

    /// Closes the window.
    pub(super) fn close(&mut self) {
        self.window = None;
    }
}
