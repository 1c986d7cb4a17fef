//! What lies over the picture in the window and is never recorded: figures, signs, messages, and the keys.
//!
//! Each has a corner or an edge of its own: figures lower left, the sign of a recording upper right, of a pause upper left,
//! messages at the lower edge, above the figures, and the keys in the middle.

use std::time::Duration;

use image::RgbImage;

use super::color::LIGHT_TEXT;
use super::notice::Message;
use super::paint::{Color, OPAQUE, Rect, disc, fill};
use super::plate::Plate;
use super::style::{DIM_TEXT, PLATE, SMALLEST_TEXT, Style, baseline_in};
use super::text;

/// The red of a recording.
const RECORDING: Color = [235, 64, 52];

/// The color of keys in the help.
const KEY: Color = [237, 225, 63];

/// Where the picture is behind the keys can still be seen, but no label shines through between their letters.
const HELP_OPACITY: u8 = 244;

/// The sizes that the help is tried in, as shares of a label's text.
const HELP_SIZES: [f32; 5] = [1.1, 0.9, 0.75, 0.6, 0.5];

/// Writes a line of text, such as frames per second and latency, into the lower left corner.
pub fn hud(picture: &mut RgbImage, line: &str) {
    let bounds = Rect::of_picture(picture);
    let style = Style::of(bounds);
    let Some(plate) = Plate::of(line, style.panel_text, &style, bounds) else { return };
    if line.is_empty() {
        return;
    }
    let place = Rect {
        x: style.gap.min(bounds.width - plate.width),
        y: (bounds.height - plate.height - style.gap).max(0),
        width: plate.width,
        height: plate.height,
    };
    // Opaque, so that a label below it does not show through.
    fill(picture, place, PLATE, OPAQUE);
    plate.write(picture, line, place, LIGHT_TEXT);
}

/// Says in the upper right corner that a recording goes on, and for how long: a red dot and `0:12`.
pub fn recording(picture: &mut RgbImage, time: Duration) {
    let seconds = time.as_secs();
    let line = format!("{}:{:02}", seconds / 60, seconds % 60);
    let Some((place, size)) = sign(picture, &line, Side::Right) else { return };
    let side = place.height as f32;
    disc(picture, place.x as f32 + side * 0.6, place.y as f32 + side / 2.0, side * 0.28, RECORDING);
    write_sign(picture, &line, place, size);
}

/// Says in the upper left corner that the picture stands still.
pub fn paused(picture: &mut RgbImage) {
    let line = "paused";
    let Some((place, size)) = sign(picture, line, Side::Left) else { return };
    let (height, width) = ((size * 0.8).round() as i32, (size * 0.25).round().max(1.0) as i32);
    for x in [0, 2 * width] {
        let y = place.y + (place.height - height) / 2;
        fill(picture, Rect { x: place.x + place.height / 3 + x, y, width, height }, LIGHT_TEXT, OPAQUE);
    }
    write_sign(picture, line, place, size);
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

/// An upper corner's plate, for a sign that is as wide as the plate is high, and a word. `None` where there is no room.
fn sign(picture: &mut RgbImage, line: &str, side: Side) -> Option<(Rect, f32)> {
    let bounds = Rect::of_picture(picture);
    let style = Style::of(bounds);
    let size = style.label_text;
    let height = (size * 1.6).round() as i32;
    let width = height + text::BOLD.width(line, size) + 2 * style.padding;
    if size < SMALLEST_TEXT || width + 2 * style.gap > bounds.width || height + 2 * style.gap > bounds.height {
        return None;
    }
    let x = if side == Side::Left { style.gap } else { bounds.width - width - style.gap };
    let place = Rect { x, y: style.gap, width, height };
    fill(picture, place, PLATE, OPAQUE);
    Some((place, size))
}

fn write_sign(picture: &mut RgbImage, line: &str, place: Rect, size: f32) {
    let x = place.x + place.height + place.height / 8;
    text::BOLD.draw(picture, line, x, baseline_in(place, size), size, LIGHT_TEXT);
}

/// Writes a message at the lower edge, above the figures.
pub fn toast(picture: &mut RgbImage, message: &str) {
    let bounds = Rect::of_picture(picture);
    let style = Style::of(bounds);
    let room = bounds.width - 2 * style.gap - 4 * style.padding;
    let mut message = Message::of(&[(message, LIGHT_TEXT)], room, style.label_text * 0.9, 1.4, &style);
    // A word that is too long is cut off at both ends.
    message.width = message.width.min(room + 4 * style.padding);
    // The figures' plate and the gaps around it.
    let below = (style.panel_text * 1.5).round() as i32 + 2 * style.gap;
    message.draw(picture, bounds.height - below - message.height);
}

/// Shows what the keys do: pairs of a key and its meaning, in the middle.
pub fn help(picture: &mut RgbImage, rows: &[(&str, &str)]) {
    let bounds = Rect::of_picture(picture);
    let style = Style::of(bounds);
    for share in HELP_SIZES {
        let size = style.label_text * share;
        for columns in [1, 2] {
            let table = Table::of(rows, size, columns);
            let fits = table.width + 2 * style.gap <= bounds.width && table.height + 2 * style.gap <= bounds.height;
            if fits && size >= SMALLEST_TEXT {
                return table.draw(picture, rows);
            }
        }
    }
}

/// The measures of the help.
struct Table {
    size: f32,
    padding: i32,
    row: i32,
    rows: i32,
    keys: i32,
    column: i32,
    width: i32,
    height: i32,
}

impl Table {
    fn of(rows: &[(&str, &str)], size: f32, columns: i32) -> Self {
        let widest = |texts: &mut dyn Iterator<Item = &str>| texts.map(|line| text::BOLD.width(line, size)).max();
        let padding = (size * 0.9).round() as i32;
        let keys = widest(&mut rows.iter().map(|(key, _)| *key)).unwrap_or(0) + padding;
        let column = keys + widest(&mut rows.iter().map(|(_, what)| *what)).unwrap_or(0);
        let (row, count) = ((size * 1.6).round() as i32, (rows.len() as i32 + columns - 1) / columns);
        let width = columns * (column + padding) + padding;
        Self { size, padding, row, rows: count.max(1), keys, column, width, height: row * count + 2 * padding }
    }

    fn draw(&self, picture: &mut RgbImage, rows: &[(&str, &str)]) {
        let bounds = Rect::of_picture(picture);
        let (x, y) = ((bounds.width - self.width) / 2, (bounds.height - self.height) / 2);
        let place = Rect { x, y, width: self.width, height: self.height };
        fill(picture, place, PLATE, HELP_OPACITY);
        for (index, (key, what)) in (0..).zip(rows) {
            let x = place.x + self.padding + index / self.rows * (self.column + self.padding);
            let y = place.y + self.padding + index % self.rows * self.row;
            let baseline = baseline_in(Rect { y, height: self.row, ..place }, self.size);
            text::BOLD.draw(picture, key, x, baseline, self.size, KEY);
            text::BOLD.draw(picture, what, x + self.keys, baseline, self.size, DIM_TEXT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice;
    use super::super::tests::{KEYS, changed};
    use super::*;

    fn all(picture: &mut RgbImage) {
        notice(picture, "camera 1 (/dev/video1): unplugged; waiting for it to come back", "7 s");
        hud(picture, "29.9 fps  34 ms");
        paused(picture);
        recording(picture, Duration::from_secs(3601));
        help(picture, &KEYS);
        toast(picture, "saved ./emocam-2026-11-24-13.05.00.part.mp4 and some more words");
    }

    #[test]
    fn pictures_of_any_size_take_all_of_it() {
        for (width, height) in [(1, 1), (1, 500), (20, 500), (500, 9), (160, 120), (320, 240), (3840, 2160)] {
            all(&mut RgbImage::new(width, height));
        }
    }

    /// Where a picture of one color was drawn on.
    fn ink(draw: impl Fn(&mut RgbImage), (width, height): (u32, u32)) -> Rect {
        let before = RgbImage::from_pixel(width, height, image::Rgb([200, 30, 200]));
        let mut picture = before.clone();
        draw(&mut picture);
        changed(&before, &picture).expect("something was drawn")
    }

    #[test]
    fn figures_signs_and_messages_do_not_overlap() {
        for size in [(320, 240), (640, 480), (480, 640), (1280, 720), (3840, 2160)] {
            let places = [
                ink(|picture| hud(picture, "29.9 fps  34 ms"), size),
                ink(paused, size),
                ink(|picture| recording(picture, Duration::from_secs(3601)), size),
                ink(|picture| toast(picture, "saved ./emocam-2026-11-24-13.05.00.mp4"), size),
            ];
            for (index, place) in places.iter().enumerate() {
                for other in &places[..index] {
                    assert_eq!(place.intersection(*other), None, "{size:?}");
                }
            }
        }
    }

    #[test]
    fn the_help_fits_a_small_window() {
        for size in [(320, 240), (240, 320), (640, 360), (3840, 2160)] {
            let place = ink(|picture| help(picture, &KEYS), size);
            assert!(place.width < size.0 as i32 && place.height > size.1 as i32 / 4, "{size:?}: {place:?}");
        }
    }
}
