//! The window: shows pictures and hears keys.
//!
//! Owns the window and nothing else; what is drawn comes from `draw`. It lives on the main thread, because macOS allows
//! windows nowhere else. It waits for nothing: the pipeline sets the pace.

use std::cell::RefCell;
use std::collections::HashSet;
use std::mem;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fast_image_resize::Resizer;
use image::RgbImage;
use minifb::{InputCallback, Key, ScaleMode, WindowOptions};

use super::display;
use super::keys::KeyAction;
use emocam::draw::fit::{fitted_size, resized};

/// A window no larger than this fits most screens, with room for a panel and a title bar.
const LARGEST: (u32, u32) = (1280, 720);

/// A window no smaller than this can be found and closed.
const SMALLEST: (u32, u32) = (160, 120);

/// How often a picture is shown again while no new one comes: the window may have been uncovered or resized.
const REFRESH: Duration = Duration::from_millis(100);

/// By how much a window grows or shrinks at a time.
const ZOOM: f32 = 1.25;

/// A window no larger than this is asked for: an 8K screen.
const LARGEST_ZOOM: (u32, u32) = (7680, 4320);

/// A window on the screen. It can be resized; the picture keeps its aspect ratio unless it is stretched.
pub(super) struct Window {
    window: minifb::Window,
    typed: Rc<RefCell<Typed>>,
    /// Whether the picture fills the window whatever its shape.
    stretch: bool,
    resizer: Resizer,
    /// The shown picture, `0x00RRGGBB`, row-major, and its size.
    pixels: Vec<u32>,
    size: (u32, u32),
    shown_at: Instant,
}

impl Window {
    /// Opens a window for pictures of a size, in pixels.
    pub(super) fn open((width, height): (u32, u32)) -> Result<Self> {
        let typed = Rc::default();
        Ok(Self {
            window: open(opening_size(width, height), &typed)?,
            typed,
            stretch: false,
            resizer: Resizer::new(),
            pixels: Vec::new(),
            size: (0, 0),
            shown_at: Instant::now(),
        })
    }

    /// Shows a picture. `Break` when the window was closed.
    pub(super) fn show(&mut self, picture: &RgbImage) -> Result<ControlFlow<()>> {
        let (width, height) = self.window.get_size();
        let window = (width.max(1) as u32, height.max(1) as u32);
        let size = if self.stretch { window } else { fitted_size(picture.dimensions(), window) };
        // The window's own scaling takes single pixels, which breaks text.
        if size == picture.dimensions() {
            self.take(picture);
        } else {
            let scaled = resized(&mut self.resizer, picture, size)?;
            self.take(&scaled);
        }
        self.present()
    }

    /// Keeps the window alive while no new picture comes. `Break` when it was closed.
    pub(super) fn poll(&mut self) -> Result<ControlFlow<()>> {
        if !self.pixels.is_empty() && self.shown_at.elapsed() >= REFRESH {
            return self.present();
        }
        self.window.update();
        Ok(self.flow())
    }

    /// What keys asked for since the last time.
    pub(super) fn actions(&mut self) -> Vec<KeyAction> {
        mem::take(&mut self.typed.borrow_mut().actions)
    }

    /// Whether the picture is to fill the window, from the next one on.
    pub(super) fn set_stretch(&mut self, stretch: bool) {
        self.stretch = stretch;
    }

    /// Makes the window larger or smaller by a step. It is another window then, where the system puts it: one that is
    /// open can't be resized by a program.
    pub(super) fn zoom(&mut self, larger: bool) -> Result<()> {
        let (width, height) = self.window.get_size();
        let size = zoomed((width.max(1) as u32, height.max(1) as u32), larger);
        if (size.0 as usize, size.1 as usize) == (width, height) {
            return Ok(());
        }
        self.window = open(size, &self.typed)?;
        // It is empty so far.
        self.shown_at = self.shown_at.checked_sub(REFRESH).unwrap_or(self.shown_at);
        Ok(())
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
        if self.window.is_open() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

fn open((width, height): (u32, u32), typed: &Rc<RefCell<Typed>>) -> Result<minifb::Window> {
    let options = WindowOptions { resize: true, scale_mode: ScaleMode::AspectRatioStretch, ..Default::default() };
    let mut window = minifb::Window::new("emocam", width as usize, height as usize, options)
        .context("a window can't be opened (is the display reachable?)")?;
    window.set_target_fps(0);
    window.set_input_callback(Box::new(Keys(Rc::clone(typed))));
    display::outlive(&window);
    Ok(window)
}

/// The picture's own size where it fits the bounds, else the nearest that does.
fn opening_size(width: u32, height: u32) -> (u32, u32) {
    let (width, height) =
        if width > LARGEST.0 || height > LARGEST.1 { fitted_size((width, height), LARGEST) } else { (width, height) };
    (width.max(SMALLEST.0), height.max(SMALLEST.1))
}

/// The next size up or down, within what can be used.
fn zoomed((width, height): (u32, u32), larger: bool) -> (u32, u32) {
    let factor = if larger { ZOOM } else { 1.0 / ZOOM };
    let scaled = |side: u32| (side as f32 * factor).round() as u32;
    let size = (scaled(width), scaled(height));
    let fits = size.0 >= SMALLEST.0 && size.1 >= SMALLEST.1 && size.0 <= LARGEST_ZOOM.0 && size.1 <= LARGEST_ZOOM.1;
    if fits { size } else { (width, height) }
}

/// What was typed, also between two updates of the window.
#[derive(Default)]
struct Typed {
    actions: Vec<KeyAction>,
    /// Keys that are down.
    held: HashSet<Key>,
    /// Whether the last key that went down was down already: a key that is held is pressed once.
    repeats: bool,
}

/// Hears keys.
struct Keys(Rc<RefCell<Typed>>);

impl InputCallback for Keys {
    /// By letter, not by place: on some keyboards q is elsewhere. Comes after the key of the letter went down.
    fn add_char(&mut self, letter: u32) {
        let mut typed = self.0.borrow_mut();
        if !typed.repeats
            && let Some(action) = char::from_u32(letter).and_then(KeyAction::from_letter)
        {
            typed.actions.push(action);
        }
    }

    fn set_key_state(&mut self, key: Key, is_down: bool) {
        let mut typed = self.0.borrow_mut();
        if is_down {
            typed.repeats = !typed.held.insert(key);
            if key == Key::Escape {
                typed.actions.push(KeyAction::Quit);
            }
        } else {
            typed.held.remove(&key);
            typed.repeats = false;
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

    #[test]
    fn a_window_grows_and_shrinks_back_and_stays_usable() {
        assert_eq!(zoomed((640, 480), true), (800, 600));
        assert_eq!(zoomed((800, 600), false), (640, 480));
        assert_eq!(zoomed((160, 120), false), (160, 120));
        assert_eq!(zoomed((7680, 100), true), (7680, 100));
    }

    #[test]
    fn a_key_that_is_held_is_heard_once() {
        let typed = Rc::<RefCell<Typed>>::default();
        let mut keys = Keys(Rc::clone(&typed));
        let press = |keys: &mut Keys, key, letter: char| {
            keys.set_key_state(key, true);
            keys.add_char(letter.into());
        };
        for (key, letter) in [(Key::B, 'b'), (Key::B, 'b'), (Key::M, 'M'), (Key::X, 'x')] {
            press(&mut keys, key, letter);
        }
        keys.set_key_state(Key::B, false);
        press(&mut keys, Key::B, 'b');
        press(&mut keys, Key::Escape, '\u{1b}');
        assert_eq!(typed.borrow().actions, [KeyAction::Bars, KeyAction::Mirror, KeyAction::Bars, KeyAction::Quit]);
    }
}
