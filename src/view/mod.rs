//! How a person watches a run: a window, a line in the terminal, a progress bar, or not at all.
//!
//! Each way is a type in a file of its own and knows only how it shows things. What is to be shown, and what the keys do to
//! it, is for `presenter`, the main thread's loop.

mod display;
mod findings;
pub(crate) mod keys;
pub(crate) mod lines;
mod marks;
pub(crate) mod presenter;
mod progress;
mod render;
mod status;
pub(crate) mod tell;
mod terminal;
mod window;
mod window_view;

use std::mem;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use emocam::draw;
use emocam::flow::labelled::Labelled;
use emocam::source::Notice;
use image::RgbImage;

pub(crate) use display::{Display, find_display, is_gone as display_is_gone};
pub(crate) use findings::Findings;
use keys::{Controls, KeyAction};
pub(crate) use progress::ProgressView;
pub(crate) use status::StatusView;
pub(crate) use terminal::Terminal;
pub(crate) use window_view::WindowView;

/// What is said when there is no window any more and nobody closed it.
pub(crate) const DISPLAY_GONE: &str = "the display or the window on it was taken away";

/// A way of watching. It takes itself away when it is dropped.
pub(crate) enum View {
    Window(Box<WindowView>),
    Status(StatusView),
    Progress(ProgressView),
    /// Nothing to see. With a canvas pictures are drawn as for a window, and dropped: measurements need no display then.
    None(Option<RgbImage>),
}

/// What there is to be seen at a moment.
struct Sight<'a> {
    /// A frame that has just come.
    frame: Option<&'a Labelled>,
    /// Another picture for the window.
    picture: Option<&'a RgbImage>,
    /// Frame rate and latency.
    line: &'a str,
    controls: &'a Controls,
    /// How long a recording that a key began has been going on.
    recording: Option<Duration>,
    /// What keeps frames from coming.
    notice: Option<&'a Notice>,
}

impl View {
    /// Whether pictures are drawn, for a window or as if for one.
    pub(crate) fn draws(&self) -> bool {
        matches!(self, Self::Window(_) | Self::None(Some(_)))
    }

    /// Whether there is a window on the screen.
    fn is_open(&self) -> bool {
        matches!(self, Self::Window(window) if window.is_open())
    }

    /// Shows what has changed, and keeps a window alive. `Break` when it was closed. Where none can be opened, a line of
    /// status takes its place.
    fn show(&mut self, sight: &Sight<'_>) -> Result<ControlFlow<()>> {
        if let Self::Window(window) = self {
            let shown = window.opens(sight).then(|| window.show(sight));
            if let Some(shown) = shown
                && !display_is_gone()
            {
                return shown;
            }
            if let Self::Window(window) = mem::replace(self, Self::Status(StatusView::default()))
                && display_is_gone()
            {
                window.abandon();
                self.say(DISPLAY_GONE);
            }
        }
        match (self, sight.frame) {
            (Self::Status(status), Some(frame)) => status.show(frame, sight.line),
            (Self::Progress(bar), Some(_)) => bar.count(),
            (Self::None(Some(canvas)), Some(_)) => {
                canvas.clone_from(sight.picture.unwrap_or(&RgbImage::default()));
                draw::hud(canvas, sight.line);
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What keys asked for since the last time. The window's own size is changed already.
    fn actions(&mut self) -> Result<Vec<KeyAction>> {
        if let Self::Window(window) = self { window.actions() } else { Ok(Vec::new()) }
    }

    /// Tells a person something, on a line of its own in the terminal.
    pub(crate) fn say(&mut self, text: &str) {
        match self {
            Self::Progress(bar) => return bar.aside(|| tell::notice(text)),
            Self::Status(status) => status.clear(),
            Self::Window(_) | Self::None(_) => {}
        }
        tell::notice(text);
    }

    /// Somebody types lines in the terminal, and wants to see them.
    pub(crate) fn leave_room_for_typing(&mut self) {
        if let Self::Status(status) = self {
            status.leave_room();
        }
    }

    /// So many lines were ended in the terminal: they are taken away.
    fn forget_typed(&mut self, lines: usize) {
        if let Self::Status(status) = self {
            status.forget_typed(lines);
        }
    }

    /// The same, and for some seconds in the window.
    fn tell(&mut self, text: &str) {
        self.say(text);
        if let Self::Window(window) = self {
            window.say(text);
        }
    }
}
