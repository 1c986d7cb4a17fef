//! A message over a picture that no longer moves.

use image::RgbImage;

use super::color::LIGHT_TEXT;
use super::paint::{Color, OPAQUE, Rect, fill};
use super::style::{DIM_TEXT, PLATE, SMALLEST_TEXT, Style, baseline_in};
use super::text;

/// How much of the old picture the veil hides: one sees that it is old.
const VEIL: Color = [0, 0, 0];
const VEIL_OPACITY: u8 = 150;

/// The share of the width that the message may take.
const WIDEST: f32 = 0.86;

/// Writes a message into the middle of a picture, in as many lines as it needs, and a shorter text below it; all else is
/// darkened. On a picture that is too small for letters there is only the darkness.
pub fn notice(picture: &mut RgbImage, message: &str, below: &str) {
    let bounds = Rect::of_picture(picture);
    fill(picture, bounds, VEIL, VEIL_OPACITY);
    let style = Style::of(bounds);
    let room = (bounds.width as f32 * WIDEST) as i32 - 2 * style.padding;
    let message = Message::of(&[(message, LIGHT_TEXT), (below, DIM_TEXT)], room, style.label_text, 1.5, &style);
    message.draw(picture, (bounds.height - message.height) / 2);
}

/// Lines on a plate, each in the middle of it.
pub(super) struct Message {
    lines: Vec<(String, Color)>,
    size: f32,
    row: i32,
    padding: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Message {
    /// Texts below each other, each broken into lines that fit into `room` as far as words do. `leading` is the height of a
    /// row, in sizes of the text.
    pub(super) fn of(texts: &[(&str, Color)], room: i32, size: f32, leading: f32, style: &Style) -> Self {
        let lines =
            texts.iter().flat_map(|(text, color)| balanced(text, room, size).into_iter().map(|line| (line, *color)));
        let lines: Vec<(String, Color)> = lines.collect();
        let (row, padding) = ((size * leading).round() as i32, style.padding);
        let widest = lines.iter().map(|(line, _)| text::BOLD.width(line, size)).max().unwrap_or(0);
        let height = row * lines.len() as i32 + 2 * padding;
        Self { lines, size, row, padding, width: widest + 4 * padding, height }
    }

    /// Draws it from `y` on, in the middle of the picture's width; nothing where it has no room or can't be read.
    pub(super) fn draw(&self, picture: &mut RgbImage, y: i32) {
        let &Self { ref lines, size, row, padding, width, height } = self;
        let bounds = Rect::of_picture(picture);
        let place = Rect { x: (bounds.width - width) / 2, y, width, height };
        if !place.is_inside(bounds) || lines.is_empty() || size < SMALLEST_TEXT {
            return;
        }
        fill(picture, place, PLATE, OPAQUE);
        for (index, (line, color)) in (0..).zip(lines) {
            let x = place.x + (width - text::BOLD.width(line, size)) / 2;
            let row = Rect { y: y + padding + index * row, height: row, ..place };
            text::BOLD.draw(picture, line, x, baseline_in(row, size), size, *color);
        }
    }
}

/// Breaks a text into as few lines as fit, of about the same length: a last line of a single word looks lost.
fn balanced(message: &str, room: i32, size: f32) -> Vec<String> {
    let lines = wrapped(message, room, size);
    // The least room for as few lines lies above `narrow`, and at most at `wide`.
    let (mut narrow, mut wide) = (0, room);
    while lines.len() > 1 && wide - narrow > 1 {
        let middle = narrow + (wide - narrow) / 2;
        let narrower = wrapped(message, middle, size);
        let fits = narrower.iter().all(|line| text::BOLD.width(line, size) <= middle);
        if fits && narrower.len() == lines.len() { wide = middle } else { narrow = middle }
    }
    if wide < room { wrapped(message, wide, size) } else { lines }
}

/// Breaks a text between words so that each line fits, as far as words do.
fn wrapped(message: &str, room: i32, size: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in message.split_whitespace() {
        let longer = lines.last().map(|line| format!("{line} {word}"));
        match (longer.filter(|line| text::BOLD.width(line, size) <= room), lines.last_mut()) {
            (Some(longer), Some(line)) => *line = longer,
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "camera 1 (/dev/video1): unplugged; waiting for it to come back";

    #[test]
    fn a_message_is_broken_between_words() {
        let lines = wrapped(MESSAGE, 300, 16.0);
        assert!(lines.len() > 1 && lines.iter().all(|line| text::BOLD.width(line, 16.0) <= 300), "{lines:?}");
        assert_eq!(lines.join(" "), MESSAGE);
        assert_eq!(wrapped("word", 1, 16.0), ["word"]);
        assert!(wrapped("", 100, 16.0).is_empty());
    }

    #[test]
    fn lines_are_about_as_long_as_each_other() {
        for room in [100, 250, 300, 400, 500, 1000] {
            let (lines, greedy) = (balanced(MESSAGE, room, 16.0), wrapped(MESSAGE, room, 16.0));
            assert_eq!((lines.len(), lines.join(" ")), (greedy.len(), MESSAGE.to_owned()));
            let widest = |lines: &[String]| lines.iter().map(|line| text::BOLD.width(line, 16.0)).max();
            assert!(widest(&lines) <= widest(&greedy), "{lines:?}");
        }
        assert_eq!(balanced("one two three four", 130, 16.0), ["one two", "three four"]);
        assert_eq!(balanced("word", 1, 16.0), ["word"]);
        assert!(balanced("", 100, 16.0).is_empty());
    }
}
