//! How a person watches a run: a window, a line in the terminal, or a progress bar.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use image::RgbImage;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::draw;
use crate::pipeline::{Annotated, Stop};
use crate::sink::Window;
use crate::source::{Notice, SourceInfo};
use crate::status::{Meter, StatusLine};

/// How often a window that holds its last picture looks for keys.
const HOLD_POLL: Duration = Duration::from_millis(15);

/// The size of a window that opens before there is a picture, in pixels.
const EMPTY_SIZE: (u32, u32) = (640, 480);

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
pub struct Viewer {
    place: Place,
    meter: Meter,
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

/// A window and what is in it.
#[derive(Default)]
struct Screen {
    window: Option<Box<Window>>,
    /// The annotated picture with the corner's text.
    canvas: RgbImage,
    has_picture: bool,
    /// The same below a notice, and the seconds that it said last.
    covered: RgbImage,
    said: Option<u64>,
}

impl Screen {
    /// Shows the canvas. `None` where no window can be opened.
    fn show(&mut self) -> Result<Option<ControlFlow<()>>> {
        let window = match &mut self.window {
            Some(window) => window,
            None => match Window::open("emocam", self.canvas.width(), self.canvas.height()) {
                Ok(opened) => self.window.insert(Box::new(opened)),
                Err(error) => {
                    eprintln!("emocam: {error:#}; running without a window");
                    return Ok(None);
                }
            },
        };
        self.said = None;
        window.show(&self.canvas).map(Some)
    }

    /// Shows a notice over the last picture, or in an empty window, and for how long it has been true. `None` where no
    /// window can be opened.
    fn cover(&mut self, notice: &Notice) -> Result<Option<ControlFlow<()>>> {
        let seconds = notice.since.elapsed().as_secs();
        if self.canvas.is_empty() {
            self.canvas = RgbImage::new(EMPTY_SIZE.0, EMPTY_SIZE.1);
        }
        if self.window.is_none() {
            return self.show();
        }
        let Some(window) = &mut self.window else { return Ok(None) };
        if self.said.replace(seconds) == Some(seconds) {
            return window.poll().map(Some);
        }
        let below =
            if self.has_picture { format!("last picture {seconds} s ago") } else { "no picture yet".to_owned() };
        self.covered.clone_from(&self.canvas);
        draw::notice(&mut self.covered, &notice.text, &below);
        window.show(&self.covered).map(Some)
    }
}

impl Viewer {
    fn new(place: Place) -> Self {
        Self { place, meter: Meter::default(), notice: None }
    }

    /// A window.
    pub fn window() -> Self {
        Self::new(Place::Window(Screen::default()))
    }

    /// Nothing to see: pictures are drawn as for a window, and dropped. Measurements need no display then.
    pub fn unseen() -> Self {
        Self::new(Place::Unseen(RgbImage::default()))
    }

    /// A line of status.
    pub fn status() -> Self {
        Self::new(Place::Status(StatusLine::default()))
    }

    /// A progress bar for a source, whose length may be unknown.
    pub fn progress(info: &SourceInfo) -> Self {
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
        Self::new(Place::Progress(bar.with_style(style.with_key("fps", fps)).with_prefix(short_name(&info.name))))
    }

    /// Nothing at all.
    pub fn hidden() -> Self {
        Self::new(Place::Progress(ProgressBar::hidden()))
    }

    /// Whether pictures are drawn, for a window or as if for one.
    pub fn is_window(&self) -> bool {
        matches!(self.place, Place::Window(_) | Place::Unseen(_))
    }

    /// Shows a frame. `Break` when the user wants no more.
    ///
    /// # Errors
    /// When an open window can't show it.
    pub fn show(&mut self, annotated: &Annotated) -> Result<ControlFlow<()>> {
        if let Some(notice) = self.notice.take_if(|notice| annotated.frame.captured_at > notice.since) {
            let away = annotated.frame.captured_at.saturating_duration_since(notice.since);
            self.say(&format!("frames again after {:.1} s", away.as_secs_f64()));
        }
        let Self { place, meter, .. } = self;
        match place {
            Place::Window(screen) => {
                let Some(picture) = &annotated.picture else { return Ok(ControlFlow::Continue(())) };
                screen.canvas.clone_from(picture);
                screen.has_picture = true;
                draw::hud(&mut screen.canvas, meter.tick(annotated));
                if let Some(flow) = screen.show()? {
                    return Ok(flow);
                }
                self.place = Place::Status(StatusLine::default());
                self.show(annotated)
            }
            Place::Unseen(canvas) => {
                let Some(picture) = &annotated.picture else { return Ok(ControlFlow::Continue(())) };
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
    pub fn notify(&mut self, notice: Notice) {
        if self.notice.as_ref().is_none_or(|last| last.text != notice.text) {
            self.say(&notice.text);
            if let Place::Window(screen) = &mut self.place {
                screen.said = None;
            }
        }
        self.notice = Some(notice);
    }

    /// Keeps a window alive while no frame comes. `Break` when the user wants no more.
    ///
    /// # Errors
    /// When the window fails.
    pub fn idle(&mut self) -> Result<ControlFlow<()>> {
        match (&mut self.place, &self.notice) {
            (Place::Window(screen), Some(notice)) => {
                let flow = screen.cover(notice)?;
                if flow.is_none() {
                    self.place = Place::Status(StatusLine::default());
                }
                Ok(flow.unwrap_or(ControlFlow::Continue(())))
            }
            (Place::Window(Screen { window: Some(window), .. }), None) => window.poll(),
            _ => Ok(ControlFlow::Continue(())),
        }
    }

    /// Leaves the last picture in the window until the user closes it.
    ///
    /// # Errors
    /// When the window fails.
    pub fn hold(&mut self, stop: &Stop) -> Result<()> {
        if let Place::Window(Screen { window: Some(window), .. }) = &mut self.place {
            while !stop.is_requested() && window.poll()?.is_continue() {
                std::thread::sleep(HOLD_POLL);
            }
        }
        Ok(())
    }

    /// Takes away what would stand in the way of the summary.
    pub fn close(&mut self) {
        match &mut self.place {
            Place::Window(screen) => screen.window = None,
            Place::Unseen(_) => {}
            Place::Status(line) => line.clear(),
            Place::Progress(bar) => bar.finish_and_clear(),
        }
    }

    /// Tells a person something, on a line of its own in the terminal.
    pub fn say(&mut self, text: &str) {
        if let Place::Status(line) = &mut self.place {
            line.clear();
        }
        eprintln!("emocam: {text}");
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
