//! The window: shows pictures and hears when the user wants to stop.
//!
//! Owns the window and nothing else; what is drawn comes from `draw`. It lives on the main thread, because macOS allows
//! windows nowhere else. It waits for nothing: the pipeline sets the pace.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fast_image_resize::Resizer;
use image::RgbImage;
use minifb::{InputCallback, Key, ScaleMode, WindowOptions};

use super::fit::{fitted_size, resized};

/// A window no larger than this fits most screens, with room for a panel and a title bar.
const LARGEST: (u32, u32) = (1280, 720);

/// A window no smaller than this can be found and closed.
const SMALLEST: (u32, u32) = (160, 120);

/// How often a picture is shown again while no new one comes: the window may have been uncovered or resized.
const REFRESH: Duration = Duration::from_millis(100);

/// A window on the screen. It can be resized; the picture keeps its aspect ratio.
pub struct Window {
    window: minifb::Window,
    /// Set by the keys q and Esc, also when they were pressed only between two updates.
    quit: Rc<Cell<bool>>,
    resizer: Resizer,
    /// The shown picture, `0x00RRGGBB`, row-major, and its size.
    pixels: Vec<u32>,
    size: (u32, u32),
    shown_at: Instant,
}

impl Window {
    /// Opens a window for pictures of a size, in pixels.
    ///
    /// # Errors
    /// When there is no display, or the system refuses.
    pub fn open(title: &str, width: u32, height: u32) -> Result<Self> {
        check_display()?;
        let (width, height) = opening_size(width, height);
        let options = WindowOptions { resize: true, scale_mode: ScaleMode::AspectRatioStretch, ..Default::default() };
        let mut window = minifb::Window::new(title, width as usize, height as usize, options)
            .context("a window can't be opened (is the display reachable?)")?;
        window.set_target_fps(0);
        let quit = Rc::new(Cell::new(false));
        window.set_input_callback(Box::new(QuitKeys(Rc::clone(&quit))));
        Ok(Self { window, quit, resizer: Resizer::new(), pixels: Vec::new(), size: (0, 0), shown_at: Instant::now() })
    }

    /// Shows a picture. `Break` after q, Esc or closing the window.
    ///
    /// # Errors
    /// When the system does not take the picture.
    pub fn show(&mut self, picture: &RgbImage) -> Result<ControlFlow<()>> {
        let (width, height) = self.window.get_size();
        let window = (width.max(1) as u32, height.max(1) as u32);
        // The window's own scaling takes single pixels, which breaks text when it shrinks; it is good enough to enlarge.
        if picture.width() > window.0 || picture.height() > window.1 {
            let smaller = resized(&mut self.resizer, picture, fitted_size(picture.dimensions(), window))?;
            self.take(&smaller);
        } else {
            self.take(picture);
        }
        self.present()
    }

    /// Keeps the window alive while no new picture comes. `Break` after q, Esc or closing the window.
    ///
    /// # Errors
    /// When the system does not take the picture.
    pub fn poll(&mut self) -> Result<ControlFlow<()>> {
        if !self.pixels.is_empty() && self.shown_at.elapsed() >= REFRESH {
            return self.present();
        }
        self.window.update();
        Ok(self.flow())
    }

    fn take(&mut self, picture: &RgbImage) {
        self.size = picture.dimensions();
        self.pixels.clear();
        let pixels = picture.as_raw().as_chunks::<3>().0;
        self.pixels.extend(pixels.iter().map(|[red, green, blue]| u32::from_be_bytes([0, *red, *green, *blue])));
    }

    fn present(&mut self) -> Result<ControlFlow<()>> {
        let (width, height) = self.size;
        self.window
            .update_with_buffer(&self.pixels, width as usize, height as usize)
            .context("the window can't show the picture")?;
        self.shown_at = Instant::now();
        Ok(self.flow())
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.quit.get() || !self.window.is_open() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Tells whether a window can be hoped for; quick, and without opening one.
///
/// # Errors
/// When there is no display.
pub fn check_display() -> Result<()> {
    if cfg!(all(unix, not(target_os = "macos"))) && !["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(is_set) {
        bail!("there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)");
    }
    // A local X server listens at a socket whose name is known. DISPLAY outlives it in terminals that were left open.
    #[cfg(unix)]
    if let Ok(display) = std::env::var("DISPLAY")
        && let Some(number) = display.strip_prefix(':').and_then(|rest| rest.split('.').next())
        && !number.is_empty()
    {
        let socket = format!("/tmp/.X11-unix/X{number}");
        std::os::unix::net::UnixStream::connect(&socket)
            .with_context(|| format!("the display {display} can't be reached"))?;
    }
    Ok(())
}

/// The picture's own size where it fits the bounds, else the nearest that does.
fn opening_size(width: u32, height: u32) -> (u32, u32) {
    let (width, height) =
        if width > LARGEST.0 || height > LARGEST.1 { fitted_size((width, height), LARGEST) } else { (width, height) };
    (width.max(SMALLEST.0), height.max(SMALLEST.1))
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Hears the keys that end the run.
struct QuitKeys(Rc<Cell<bool>>);

impl InputCallback for QuitKeys {
    /// By letter too, for keyboards where q is elsewhere.
    fn add_char(&mut self, letter: u32) {
        if [u32::from('q'), u32::from('Q')].contains(&letter) {
            self.0.set(true);
        }
    }

    fn set_key_state(&mut self, key: Key, is_down: bool) {
        if is_down && matches!(key, Key::Q | Key::Escape) {
            self.0.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_opens_at_a_size_that_fits_a_screen() {
        assert_eq!(opening_size(640, 480), (640, 480));
        assert_eq!(opening_size(3840, 2160), (1280, 720));
        assert_eq!(opening_size(3000, 4000), (540, 720));
        assert_eq!(opening_size(1, 1), (160, 120));
        assert_eq!(opening_size(100_000, 1), (1280, 120));
    }

    /// Run it on a display, such as Xvfb; it ends when q is pressed or the window is closed.
    #[test]
    #[ignore = "needs a display and someone to press q"]
    fn a_picture_on_the_screen() {
        let picture = image::open(std::env::temp_dir().join("sample_one.png")).expect("draw's sample").to_rgb8();
        let mut window = Window::open("emocam", picture.width(), picture.height()).expect("a display");
        let mut times = Vec::new();
        loop {
            let start = Instant::now();
            if window.show(&picture).expect("a picture").is_break() || window.poll().expect("a window").is_break() {
                break;
            }
            times.push(start.elapsed());
        }
        times.sort();
        eprintln!("{} pictures, median {:?}", times.len(), times[times.len() / 2]);
    }
}
