//! A message over a picture that no longer moves.

use image::RgbImage;

use super::color::LIGHT_TEXT;
use super::paint::{Color, OPAQUE, Rect, fill};
use super::{DIM_TEXT, PLATE, SMALLEST_TEXT, Style, baseline_in, text};

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
    let size = style.label_text;
    let room = (bounds.width as f32 * WIDEST) as i32 - 2 * style.padding;
    let mut lines: Vec<(String, Color)> =
        balanced(message, room, size).into_iter().map(|line| (line, LIGHT_TEXT)).collect();
    lines.extend(balanced(below, room, size).into_iter().map(|line| (line, DIM_TEXT)));
    let row = (size * 1.5).round() as i32;
    let widest = lines.iter().map(|(line, _)| text::BOLD.width(line, size)).max().unwrap_or(0);
    let (width, height) = (widest + 4 * style.padding, row * lines.len() as i32 + 2 * style.padding);
    if width > bounds.width || height > bounds.height || size < SMALLEST_TEXT {
        return;
    }
    let place = Rect { x: (bounds.width - width) / 2, y: (bounds.height - height) / 2, width, height };
    fill(picture, place, PLATE, OPAQUE);
    for (index, (line, color)) in (0..).zip(&lines) {
        let y = place.y + style.padding + index * row;
        let x = place.x + (width - text::BOLD.width(line, size)) / 2;
        text::BOLD.draw(picture, line, x, baseline_in(Rect { y, height: row, ..place }, size), size, *color);
    }
}

/// Breaks a text into as few lines as fit, of about the same length: a last line of a single word looks lost.
pub(super) fn balanced(message: &str, room: i32, size: f32) -> Vec<String> {
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

    #[test]
    fn the_message_stands_in_the_middle_of_a_darkened_picture() {
        let mut picture = RgbImage::from_pixel(640, 480, image::Rgb([200; 3]));
        notice(&mut picture, MESSAGE, "7 s");
        assert!(picture.get_pixel(5, 5).0[0] < 120, "darkened");
        let ink: Vec<(u32, u32)> =
            picture.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 230).map(|(x, y, _)| (x, y)).collect();
        assert!(ink.len() > 500, "only {} pixels of ink", ink.len());
        let mean_x = ink.iter().map(|(x, _)| f64::from(*x)).sum::<f64>() / ink.len() as f64;
        assert!((mean_x - 320.0).abs() < 30.0, "{mean_x}");
    }

    #[test]
    fn pictures_of_any_size_take_a_message() {
        for (width, height) in [(1, 1), (20, 500), (160, 120), (320, 240), (3840, 2160)] {
            notice(&mut RgbImage::new(width, height), MESSAGE, "123 s");
        }
    }
}
