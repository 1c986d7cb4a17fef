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
use crate::source::SourceInfo;
use crate::status::{Meter, StatusLine};

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
pub enum Viewer {
    /// A window, which opens with the first frame, in its size.
    Window {
        /// The window, once it is open.
        window: Option<Box<Window>>,
        /// What stands in its corner.
        meter: Meter,
        /// The annotated picture with the corner's text.
        canvas: RgbImage,
    },
    /// No window, and all that is drawn for one.
    Unseen {
        /// What stands in the picture's corner.
        meter: Meter,
        /// The annotated picture with the corner's text.
        canvas: RgbImage,
    },
    /// A line in the terminal, where there is one.
    Status {
        /// Where it is written.
        line: StatusLine,
        /// What stands at its end.
        meter: Meter,
    },
    /// A progress bar, where there is a terminal.
    Progress(ProgressBar),
}

impl Viewer {
    /// A window.
    pub fn window() -> Self {
        Self::Window { window: None, meter: Meter::default(), canvas: RgbImage::default() }
    }

    /// Nothing to see: pictures are drawn as for a window, and dropped. Measurements need no display then.
    pub fn unseen() -> Self {
        Self::Unseen { meter: Meter::default(), canvas: RgbImage::default() }
    }

    /// A line of status.
    pub fn status() -> Self {
        Self::Status { line: StatusLine::default(), meter: Meter::default() }
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
        Self::Progress(bar.with_style(style.with_key("fps", fps)).with_prefix(short_name(&info.name)))
    }

    /// Nothing at all.
    pub fn hidden() -> Self {
        Self::Progress(ProgressBar::hidden())
    }

    /// Whether pictures are drawn, for a window or as if for one.
    pub fn is_window(&self) -> bool {
        matches!(self, Self::Window { .. } | Self::Unseen { .. })
    }

    /// Shows a frame. `Break` when the user wants no more.
    ///
    /// # Errors
    /// When an open window can't show it.
    pub fn show(&mut self, annotated: &Annotated) -> Result<ControlFlow<()>> {
        match self {
            Self::Window { window, meter, canvas } => {
                let Some(picture) = &annotated.picture else { return Ok(ControlFlow::Continue(())) };
                let window = match window {
                    Some(window) => window,
                    None => match Window::open("emocam", picture.width(), picture.height()) {
                        Ok(opened) => window.insert(Box::new(opened)),
                        Err(error) => {
                            eprintln!("emocam: {error:#}; running without a window");
                            *self = Self::status();
                            return self.show(annotated);
                        }
                    },
                };
                canvas.clone_from(picture);
                draw::hud(canvas, meter.tick(annotated));
                window.show(canvas)
            }
            Self::Unseen { meter, canvas } => {
                let Some(picture) = &annotated.picture else { return Ok(ControlFlow::Continue(())) };
                canvas.clone_from(picture);
                draw::hud(canvas, meter.tick(annotated));
                Ok(ControlFlow::Continue(()))
            }
            Self::Status { line, meter } => {
                let text = meter.tick(annotated);
                line.show(annotated, text);
                Ok(ControlFlow::Continue(()))
            }
            Self::Progress(bar) => {
                bar.inc(1);
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    /// Keeps a window alive while no frame comes. `Break` when the user wants no more.
    ///
    /// # Errors
    /// When the window fails.
    pub fn idle(&mut self) -> Result<ControlFlow<()>> {
        match self {
            Self::Window { window: Some(window), .. } => window.poll(),
            _ => Ok(ControlFlow::Continue(())),
        }
    }

    /// Leaves the last picture in the window until the user closes it.
    ///
    /// # Errors
    /// When the window fails.
    pub fn hold(&mut self, stop: &Stop) -> Result<()> {
        if let Self::Window { window: Some(window), .. } = self {
            while !stop.is_requested() && window.poll()?.is_continue() {
                std::thread::sleep(HOLD_POLL);
            }
        }
        Ok(())
    }

    /// Takes away what would stand in the way of the summary.
    pub fn close(&mut self) {
        match self {
            Self::Window { window, .. } => *window = None,
            Self::Unseen { .. } => {}
            Self::Status { line, .. } => line.clear(),
            Self::Progress(bar) => bar.finish_and_clear(),
        }
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
