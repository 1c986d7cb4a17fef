//! How a person watches a run, and what they ask for: a window, a line in the terminal, or a progress bar.

pub(crate) mod keys;
pub(crate) mod presenter;
pub(crate) mod render;
mod screen;
mod status;
pub(crate) mod tell;
mod window;

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use image::RgbImage;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::view::keys::{Command, Controls};
use crate::view::status::{Meter, StatusLine};
use emocam::draw;
use emocam::flow::labelled::Labelled;
use emocam::flow::stop::Stop;
use emocam::source::{Notice, SourceInfo};
use screen::{Overlay, Screen};
pub(crate) use window::check_display;

/// How often a window that holds its last picture looks for keys.
const HOLD_POLL: Duration = Duration::from_millis(15);

/// The most letters of a file's name beside a progress bar, which needs the rest of the line.
const NAME_LENGTH: usize = 24;

/// A file's name without its folders, cut where it is long.
fn short_name(name: &str) -> String {
    let name = Path::new(name).file_name().map_or(name.into(), |name| name.to_string_lossy());
    if name.chars().count() <= NAME_LENGTH {
        return name.into_owned();
    }
    name.chars().take(NAME_LENGTH - 3).chain("...".chars()).collect()
}

/// Shows how a run goes.
pub(crate) struct Viewer {
    place: Place,
    meter: Meter,
    controls: Controls,
    /// How long a recording that a key began has been going on.
    recording: Option<Duration>,
    /// What was said last, unless a later frame has come.
    notice: Option<Notice>,
}

/// Where it is shown.
enum Place {
    /// A window, which opens with the first picture, in its size, or with a notice.
    Window(Screen),
    /// No window, and all that is drawn for one.
    Unseen(RgbImage),
    /// A line in the terminal, where there is one.
    Status(StatusLine),
    /// A progress bar, where there is a terminal.
    Progress(ProgressBar),
}

impl Viewer {
    fn new(place: Place) -> Self {
        Self { place, meter: Meter::default(), controls: Controls::default(), recording: None, notice: None }
    }

    /// A window.
    pub(crate) fn window() -> Self {
        Self::new(Place::Window(Screen::default()))
    }

    /// Nothing to see: pictures are drawn as for a window, and dropped. Measurements need no display then.
    pub(crate) fn unseen() -> Self {
        Self::new(Place::Unseen(RgbImage::default()))
    }

    /// A line of status.
    pub(crate) fn status() -> Self {
        Self::new(Place::Status(StatusLine::default()))
    }

    /// A progress bar for a source, whose length may be unknown. `place` says which of several it is.
    pub(crate) fn progress(info: &SourceInfo, place: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::hidden();
        }
        let template = match info.frames {
            Some(_) => "{prefix} {wide_bar} {pos}/{len} frames  {fps} fps  {eta} left",
            None => "{prefix} {spinner} {pos} frames  {fps} fps",
        };
        let fps = |state: &ProgressState, out: &mut dyn std::fmt::Write| _ = write!(out, "{:.0}", state.per_sec());
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(info.frames, ProgressDrawTarget::stderr());
        Self::new(Place::Progress(
            bar.with_style(style.with_key("fps", fps)).with_prefix(format!("{place}{}", short_name(&info.name))),
        ))
    }

    /// Nothing at all.
    pub(crate) fn hidden() -> Self {
        Self::new(Place::Progress(ProgressBar::hidden()))
    }

    /// Whether pictures are drawn, for a window or as if for one.
    pub(crate) fn is_window(&self) -> bool {
        matches!(self.place, Place::Window(_) | Place::Unseen(_))
    }

    /// What is switched on.
    pub(crate) fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Starts with other switches.
    pub(crate) fn set_controls(&mut self, controls: Controls) {
        self.controls = controls;
    }

    /// Says how long a recording that a key began has been going on.
    pub(crate) fn set_recording(&mut self, time: Option<Duration>) {
        self.recording = time;
    }

    /// Shows a frame; `picture` is how the window is to show it. `Break` when the window was closed.
    ///
    /// # Errors
    /// When an open window can't show it.
    pub(crate) fn show(&mut self, annotated: &Labelled, picture: Option<&RgbImage>) -> Result<ControlFlow<()>> {
        if let Some(notice) = self.notice.take_if(|notice| annotated.frame.captured_at > notice.since) {
            let away = annotated.frame.captured_at.saturating_duration_since(notice.since);
            self.say(&format!("frames again after {:.1} s", away.as_secs_f64()));
        }
        let Self { place, meter, controls, recording, .. } = self;
        match place {
            Place::Window(screen) => {
                let overlay = Overlay { controls, recording: *recording };
                let line = meter.tick(annotated);
                let shown = match picture.filter(|_| !controls.paused) {
                    Some(picture) => screen.show(picture, line, &overlay)?,
                    None => screen.refresh(None, &overlay)?,
                };
                if let Some(flow) = shown {
                    return Ok(flow);
                }
                self.place = Place::Status(StatusLine::default());
                self.show(annotated, picture)
            }
            Place::Unseen(canvas) => {
                let Some(picture) = picture else { return Ok(ControlFlow::Continue(())) };
                canvas.clone_from(picture);
                draw::hud(canvas, meter.tick(annotated));
                Ok(ControlFlow::Continue(()))
            }
            Place::Status(line) => {
                let text = meter.tick(annotated);
                line.show(annotated, text);
                Ok(ControlFlow::Continue(()))
            }
            Place::Progress(bar) => {
                bar.inc(1);
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    /// Tells what keeps frames from coming: once in the terminal, and in the window until a later frame comes.
    pub(crate) fn notify(&mut self, notice: Notice) {
        if self.notice.as_ref().is_none_or(|last| last.text != notice.text) {
            self.say(&notice.text);
        }
        self.notice = Some(notice);
    }

    /// Keeps a window alive while no frame comes. `Break` when it was closed.
    ///
    /// # Errors
    /// When the window fails.
    pub(crate) fn idle(&mut self) -> Result<ControlFlow<()>> {
        let Self { place: Place::Window(screen), controls, recording, notice, .. } = self else {
            return Ok(ControlFlow::Continue(()));
        };
        let overlay = Overlay { controls, recording: *recording };
        let flow = screen.refresh(notice.as_ref(), &overlay)?;
        if flow.is_none() {
            self.place = Place::Status(StatusLine::default());
        }
        Ok(flow.unwrap_or(ControlFlow::Continue(())))
    }

    /// What the user asked for since the last time. What only switches something is switched already.
    ///
    /// # Errors
    /// When the window fails.
    pub(crate) fn commands(&mut self) -> Result<Vec<Command>> {
        let Place::Window(screen) = &mut self.place else { return Ok(Vec::new()) };
        let mut commands = screen.commands();
        for command in &commands {
            match command {
                Command::Larger => screen.zoom(true)?,
                Command::Smaller => screen.zoom(false)?,
                _ => {}
            }
            self.controls.switch(*command);
        }
        commands.retain(|command| !matches!(command, Command::Larger | Command::Smaller));
        Ok(commands)
    }

    /// Shows another picture of the frame that is shown.
    ///
    /// # Errors
    /// When the window fails.
    pub(crate) fn replace(&mut self, picture: &RgbImage) -> Result<()> {
        let Self { place: Place::Window(screen), controls, recording, .. } = self else { return Ok(()) };
        screen.replace(picture, &Overlay { controls, recording: *recording })
    }

    /// Leaves the last picture in the window until the user closes it.
    ///
    /// # Errors
    /// When the window fails.
    pub(crate) fn hold(&mut self, stop: &Stop) -> Result<()> {
        while self.has_window() && !stop.is_requested() && self.idle()?.is_continue() {
            if self.commands()?.contains(&Command::Quit) {
                break;
            }
            std::thread::sleep(HOLD_POLL);
        }
        Ok(())
    }

    fn has_window(&self) -> bool {
        matches!(&self.place, Place::Window(screen) if screen.is_open())
    }

    /// Tells of a loss, or of what was asked for: in the terminal, and for some seconds in the window.
    pub(crate) fn tell(&mut self, text: &str) {
        self.say(text);
        if let Place::Window(screen) = &mut self.place {
            screen.say(text);
        }
    }

    /// Takes away what would stand in the way of the summary.
    pub(crate) fn close(&mut self) {
        match &mut self.place {
            Place::Window(screen) => screen.close(),
            Place::Unseen(_) => {}
            Place::Status(line) => line.clear(),
            Place::Progress(bar) => bar.finish_and_clear(),
        }
    }

    /// Tells a person something, on a line of its own in the terminal.
    pub(crate) fn say(&mut self, text: &str) {
        if let Place::Status(line) = &mut self.place {
            line.clear();
        }
        tell::notice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beside_the_bar_are_short() {
        assert_eq!(short_name("demo"), "demo");
        assert_eq!(short_name("/a/folder/with/many/levels/clip.mp4"), "clip.mp4");
        assert_eq!(short_name("/a/crying_to_smiling_640x360.mp4"), "crying_to_smiling_640...");
    }
}
