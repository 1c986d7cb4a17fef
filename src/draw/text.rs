//! Text, anti-aliased, in the embedded font.
//!
//! Owns the font and the shapes of its letters. Sizes are pixels per em, the usual sense of a font size; positions are
//! frame pixels, `y` the baseline.
//!
//! The fonts are DejaVu Sans Condensed Bold and DejaVu Sans 2.37 (DejaVuSans-LICENSE), cut down to what labels and plots
//! need by fonttools:
//!
//! ```text
//! letters=U+20-7E,U+A0,U+B0,U+B7,U+D7,U+2013,U+2014,U+2026
//! pyftsubset DejaVuSansCondensed-Bold.ttf --output-file=src/draw/DejaVuSans-subset.ttf --no-hinting \
//!   --layout-features=kern --unicodes=$letters
//! pyftsubset DejaVuSans.ttf --output-file=src/draw/DejaVuSans-Regular-subset.ttf --no-hinting \
//!   --layout-features=kern --unicodes=$letters
//! ```

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};
use image::RgbImage;

use super::paint::{Color, blend};

/// The height of a capital letter, in ems; the same in both fonts.
pub(crate) const CAPITAL_HEIGHT: f32 = 0.729;

/// For labels on pictures: narrow, and heavy enough for any background.
pub(super) static BOLD: LazyLock<Typeface> =
    LazyLock::new(|| Typeface::embedded(include_bytes!("DejaVuSans-subset.ttf")));

/// For plots.
pub(crate) static REGULAR: LazyLock<Typeface> =
    LazyLock::new(|| Typeface::embedded(include_bytes!("DejaVuSans-Regular-subset.ttf")));

/// A font that is part of the program.
pub(crate) struct Typeface(FontRef<'static>);

impl Typeface {
    fn embedded(bytes: &'static [u8]) -> Self {
        Self(FontRef::try_from_slice(bytes).expect("the embedded font is a font"))
    }

    /// The scale that ab_glyph wants, which measures from the lowest to the highest point of the font.
    fn scale_from_em(&self, size: f32) -> PxScale {
        let em = self.0.units_per_em().unwrap_or(2048.0);
        PxScale::from(size * self.0.height_unscaled() / em)
    }

    /// Each letter of a text with its distance from the text's start, then the whole width.
    fn set(&self, text: &str, scale: PxScale) -> (Vec<(GlyphId, f32)>, f32) {
        let font = self.0.as_scaled(scale);
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
    pub(crate) fn width(&self, text: &str, size: f32) -> i32 {
        self.set(text, self.scale_from_em(size)).1.ceil() as i32
    }

    /// Draws a line of text; what lies outside the picture is left out.
    pub(crate) fn draw(&self, picture: &mut RgbImage, text: &str, x: i32, baseline: i32, size: f32, color: Color) {
        let scale = self.scale_from_em(size);
        for (glyph, offset) in self.set(text, scale).0 {
            let position = point(x as f32 + offset, baseline as f32);
            let Some(shape) = self.0.outline_glyph(glyph.with_scale_and_position(scale, position)) else { continue };
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fonts_have_every_letter_that_labels_and_plots_use() {
        for letter in (' '..='~').chain("°·×–—…\u{a0}".chars()) {
            assert_ne!(BOLD.0.glyph_id(letter).0, 0, "{letter:?} is missing");
            assert_ne!(REGULAR.0.glyph_id(letter).0, 0, "{letter:?} is missing");
        }
    }

    #[test]
    fn text_over_every_edge_is_clipped() {
        for (x, y) in [(-30, 5), (5, -3), (95, 5), (5, 40), (i32::MIN / 2, i32::MAX / 2)] {
            BOLD.draw(&mut RgbImage::new(20, 10), "Surprise 100%", x, y, 16.0, [255; 3]);
        }
    }
}
