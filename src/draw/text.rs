//! Text, anti-aliased, in the embedded font.
//!
//! Owns the font and the shapes of its letters. Sizes are pixels per em, the usual sense of a font size; positions are
//! frame pixels, `y` the baseline.
//!
//! The font is DejaVu Sans Condensed Bold 2.37 (DejaVuSans-LICENSE), cut down to what labels need by fonttools:
//!
//! ```text
//! pyftsubset DejaVuSansCondensed-Bold.ttf --output-file=src/draw/DejaVuSans-subset.ttf --no-hinting \
//!   --layout-features=kern --unicodes=U+20-7E,U+A0,U+B0,U+B7,U+D7,U+2013,U+2014,U+2026
//! ```

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};
use image::RgbImage;

use super::paint::{Color, blend};

/// The height of a capital letter, in ems.
pub(super) const CAPITAL_HEIGHT: f32 = 0.729;

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("DejaVuSans-subset.ttf")).expect("the embedded font is a font")
});

/// The scale that ab_glyph wants, which measures from the lowest to the highest point of the font.
fn scale_from_em(size: f32) -> PxScale {
    let em = FONT.units_per_em().unwrap_or(2048.0);
    PxScale::from(size * FONT.height_unscaled() / em)
}

/// Each letter of a text with its distance from the text's start, then the whole width.
fn set(text: &str, scale: PxScale) -> (Vec<(GlyphId, f32)>, f32) {
    let font = FONT.as_scaled(scale);
    let mut glyphs: Vec<(GlyphId, f32)> = Vec::with_capacity(text.len());
    let mut caret = 0.0;
    for letter in text.chars() {
        let glyph = font.glyph_id(letter);
        if let Some((previous, _)) = glyphs.last() {
            caret += font.kern(*previous, glyph);
        }
        glyphs.push((glyph, caret));
        caret += font.h_advance(glyph);
    }
    (glyphs, caret)
}

/// How wide a line of text is, in pixels.
pub(super) fn width(text: &str, size: f32) -> i32 {
    set(text, scale_from_em(size)).1.ceil() as i32
}

/// Draws a line of text; what lies outside the picture is left out.
pub(super) fn draw(picture: &mut RgbImage, text: &str, x: i32, baseline: i32, size: f32, color: Color) {
    let scale = scale_from_em(size);
    for (glyph, offset) in set(text, scale).0 {
        let position = point(x as f32 + offset, baseline as f32);
        let Some(shape) = FONT.outline_glyph(glyph.with_scale_and_position(scale, position)) else { continue };
        let corner = shape.px_bounds().min;
        shape.draw(|column, row, coverage| {
            let (x, y) = (corner.x as i64 + i64::from(column), corner.y as i64 + i64::from(row));
            let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
            if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
                blend(&mut pixel.0, color, (coverage.clamp(0.0, 1.0) * 255.0).round() as u8);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_every_letter_that_labels_use() {
        for letter in (' '..='~').chain("°·×–—…\u{a0}".chars()) {
            assert_ne!(FONT.glyph_id(letter).0, 0, "{letter:?} is missing");
        }
    }

    #[test]
    fn text_stays_in_its_width_and_capital_height() {
        let mut picture = RgbImage::new(200, 40);
        draw(&mut picture, "Happy 97%", 10, 30, 20.0, [255; 3]);
        let ink: Vec<(u32, u32)> =
            picture.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 40).map(|(x, y, _)| (x, y)).collect();
        let width = width("Happy 97%", 20.0) as u32;
        assert!(ink.len() > 300, "only {} pixels of ink", ink.len());
        assert!(ink.iter().all(|(x, _)| (10..10 + width).contains(x)));
        // The H reaches from the baseline up to the height of a capital.
        let top = ink.iter().map(|(_, y)| *y).min();
        assert_eq!(top, Some(30 - (20.0 * CAPITAL_HEIGHT).ceil() as u32));
    }

    #[test]
    fn text_over_every_edge_is_clipped() {
        for (x, y) in [(-30, 5), (5, -3), (95, 5), (5, 40), (i32::MIN / 2, i32::MAX / 2)] {
            draw(&mut RgbImage::new(20, 10), "Surprise 100%", x, y, 16.0, [255; 3]);
        }
    }
}
