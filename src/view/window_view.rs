//! What the window shows: the picture, and over it keys, messages, the sign of a recording.
//!
//! Owns when what is seen has to be put together anew. The picture itself comes from `render`, how things look from `draw`.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Result;
use emocam::draw;
use image::RgbImage;

use super::keys::{KeyAction, help_rows};
use super::window::Window;
use super::{Display, Sight, tell};

/// The size of a window that opens before there is a picture, in pixels.
const EMPTY_SIZE: (u32, u32) = (640, 480);

/// How long a message stands: time to read a line.
const MESSAGE_TIME: Duration = Duration::from_secs(5);

/// What the user is told while the window is new.
const FIRST_MESSAGE: &str = "h shows the keys";

/// A window, which opens with the first picture, in its size, or with a notice.
#[derive(Default)]
pub(crate) struct WindowView {
    /// Held until the window is on it.
    display: Option<Display>,
    window: Option<Window>,
    /// The picture without anything over it.
    picture: RgbImage,
    has_picture: bool,
    canvas: RgbImage,
    line: String,
    message: Option<(String, Instant)>,
    /// What lies over the picture on the canvas, which is made anew when that changes.
    over: Option<Over>,
}

/// All but the picture that decides what is seen.
#[derive(PartialEq)]
struct Over {
    paused: bool,
    help: bool,
    stretch: bool,
    recording_seconds: Option<u64>,
    message: Option<String>,
    notice: Option<(String, u64)>,
}

impl WindowView {
    /// A window to be opened on a display.
    pub(crate) fn on(display: Display) -> Self {
        Self { display: Some(display), ..Self::default() }
    }

    /// Opens the window once there is something to show. Whether one is there or still to come; if not, that was told.
    pub(super) fn opens(&mut self, sight: &Sight<'_>) -> bool {
        let size = match (&self.window, sight.picture) {
            (None, Some(picture)) => picture.dimensions(),
            (None, None) if sight.notice.is_some() => EMPTY_SIZE,
            _ => return true,
        };
        match Window::open(size) {
            Ok(opened) => self.window = Some(opened),
            Err(error) => tell::notice(&format!("{error:#}; running without a window")),
        }
        self.display = None;
        self.picture = RgbImage::new(size.0, size.1);
        self.say(FIRST_MESSAGE);
        self.window.is_some()
    }

    /// Shows what has changed. `Break` when the window was closed.
    pub(super) fn show(&mut self, sight: &Sight<'_>) -> Result<ControlFlow<()>> {
        let Some(window) = &mut self.window else { return Ok(ControlFlow::Continue(())) };
        if let Some(picture) = sight.picture {
            self.picture.clone_from(picture);
            self.has_picture = true;
            sight.line.clone_into(&mut self.line);
            self.over = None;
        }
        self.message.take_if(|(_, since)| since.elapsed() >= MESSAGE_TIME);
        let over = Some(Over {
            paused: sight.controls.paused,
            help: sight.controls.help,
            stretch: sight.controls.stretch,
            recording_seconds: sight.recording.map(|time| time.as_secs()),
            message: self.message.as_ref().map(|(text, _)| text.clone()),
            notice: sight.notice.map(|notice| (notice.text.clone(), notice.since.elapsed().as_secs())),
        });
        if self.over == over {
            return window.poll();
        }
        window.set_stretch(sight.controls.stretch);
        self.over = over;
        self.compose();
        self.window.as_mut().map_or(Ok(ControlFlow::Continue(())), |window| window.show(&self.canvas))
    }

    fn compose(&mut self) {
        let (canvas, Some(over)) = (&mut self.canvas, &self.over) else { return };
        canvas.clone_from(&self.picture);
        if let Some((text, seconds)) = &over.notice {
            let below =
                if self.has_picture { format!("last picture {seconds} s ago") } else { "no picture yet".to_owned() };
            draw::notice(canvas, text, &below);
        }
        draw::hud(canvas, &self.line);
        if over.paused {
            draw::paused(canvas);
        }
        if let Some(seconds) = over.recording_seconds {
            draw::recording(canvas, Duration::from_secs(seconds));
        }
        if over.help {
            let rows = help_rows();
            let rows: Vec<(&str, &str)> = rows.iter().map(|(key, what)| (key.as_str(), *what)).collect();
            draw::help(canvas, &rows);
        }
        if let Some(message) = &over.message {
            draw::toast(canvas, message);
        }
    }

    /// Shows a message for some seconds.
    pub(super) fn say(&mut self, text: &str) {
        self.message = Some((text.to_owned(), Instant::now()));
    }

    /// What keys asked for since the last time; the window's size is changed here.
    pub(super) fn actions(&mut self) -> Result<Vec<KeyAction>> {
        let Some(window) = &mut self.window else { return Ok(Vec::new()) };
        let actions = window.actions();
        // Who presses keys has no need to be told of them.
        if !actions.is_empty() {
            self.message.take_if(|(text, _)| text == FIRST_MESSAGE);
        }
        for action in &actions {
            match action {
                KeyAction::Larger => window.zoom(true)?,
                KeyAction::Smaller => window.zoom(false)?,
                _ => {}
            }
        }
        Ok(actions)
    }

    /// Leaves the window as it is: closing it would ask a display that is gone.
    pub(super) fn abandon(self) {
        std::mem::forget(self.window);
    }

    /// Whether the window is on the screen.
    pub(super) fn is_open(&self) -> bool {
        self.window.is_some()
    }
}
