//! Rectangles and how they are painted.
//!
//! Owns [`Rect`] (whole pixels, origin at the picture's top left corner) and two strokes: filled and outlined. Everything
//! is clipped to the picture, so no rectangle can be wrong. Knows nothing of faces.

use image::RgbImage;

/// A colour, RGB8 in sRGB.
pub(crate) type Color = [u8; 3];

/// Paint that hides what is below it.
pub(crate) const OPAQUE: u8 = 255;

/// A rectangle in whole pixels. `right` and `bottom` are the first pixels outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rect {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) width: i32,
    pub(crate) height: i32,
}

impl Rect {
    pub(crate) fn of_picture(picture: &RgbImage) -> Self {
        let side = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
        Self { x: 0, y: 0, width: side(picture.width()), height: side(picture.height()) }
    }

    pub(crate) fn right(self) -> i32 {
        self.x.saturating_add(self.width)
    }

    pub(crate) fn bottom(self) -> i32 {
        self.y.saturating_add(self.height)
    }

    /// The part that both share; `None` where they do not touch.
    pub(crate) fn intersection(self, other: Self) -> Option<Self> {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let (width, height) = (self.right().min(other.right()) - x, self.bottom().min(other.bottom()) - y);
        (width > 0 && height > 0).then_some(Self { x, y, width, height })
    }

    /// The smallest rectangle around both.
    pub(crate) fn united(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let (width, height) = (self.right().max(other.right()) - x, self.bottom().max(other.bottom()) - y);
        Self { x, y, width, height }
    }

    /// Whether all of `self` lies in `other`.
    pub(crate) fn is_inside(self, other: Self) -> bool {
        self.intersection(other) == Some(self)
    }

    /// Grown by `margin` on each side; shrunk where it is negative.
    pub(crate) fn grown(self, margin: i32) -> Self {
        Self {
            x: self.x - margin,
            y: self.y - margin,
            width: self.width + 2 * margin,
            height: self.height + 2 * margin,
        }
    }
}

/// Mixes `color` over a pixel; 255 replaces it.
pub(crate) fn blend(pixel: &mut [u8], color: Color, opacity: u8) {
    let opacity = u32::from(opacity);
    for (old, new) in pixel.iter_mut().zip(color) {
        let mixed = u32::from(*old) * (255 - opacity) + u32::from(new) * opacity;
        // Rounded; a mean of two bytes, so it fits a byte.
        *old = ((mixed + 127) / 255) as u8;
    }
}

/// Fills the visible part of a rectangle.
pub(crate) fn fill(picture: &mut RgbImage, rect: Rect, color: Color, opacity: u8) {
    let Some(visible) = rect.intersection(Rect::of_picture(picture)) else { return };
    let stride = picture.width() as usize * 3;
    let columns = visible.x as usize * 3..visible.right() as usize * 3;
    for row in picture.chunks_exact_mut(stride).skip(visible.y as usize).take(visible.height as usize) {
        for pixel in row[columns.clone()].as_chunks_mut::<3>().0 {
            if opacity == OPAQUE {
                *pixel = color;
            } else {
                blend(pixel, color, opacity);
            }
        }
    }
}

/// Fills a circle with soft edges; its center and radius are in pixels.
pub(crate) fn disc(picture: &mut RgbImage, x: f32, y: f32, radius: f32, color: Color) {
    let side = |value: f32| value as i32;
    let around = Rect {
        x: side(x - radius) - 1,
        y: side(y - radius) - 1,
        width: side(2.0 * radius) + 3,
        height: side(2.0 * radius) + 3,
    };
    let Some(visible) = around.intersection(Rect::of_picture(picture)) else { return };
    for row in visible.y..visible.bottom() {
        for column in visible.x..visible.right() {
            let distance = (column as f32 + 0.5 - x).hypot(row as f32 + 0.5 - y);
            let coverage = (radius + 0.5 - distance).clamp(0.0, 1.0);
            blend(&mut picture.get_pixel_mut(column as u32, row as u32).0, color, (coverage * 255.0).round() as u8);
        }
    }
}

/// Draws the border of a rectangle, `thickness` pixels inwards from its edge.
pub(crate) fn outline(picture: &mut RgbImage, rect: Rect, thickness: i32, color: Color, opacity: u8) {
    let Rect { x, y, width, height } = rect;
    let thickness = thickness.min((width + 1) / 2).min((height + 1) / 2);
    let between = height - 2 * thickness;
    let sides = [
        Rect { x, y, width, height: thickness },
        Rect { x, y: rect.bottom() - thickness, width, height: thickness },
        Rect { x, y: y + thickness, width: thickness, height: between },
        Rect { x: rect.right() - thickness, y: y + thickness, width: thickness, height: between },
    ];
    for side in sides {
        fill(picture, side, color, opacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_is_clipped_and_touches_nothing_else() {
        let mut picture = RgbImage::new(4, 3);
        fill(&mut picture, Rect { x: 2, y: -5, width: 100, height: 7 }, [9, 8, 7], OPAQUE);
        for (x, y, pixel) in picture.enumerate_pixels() {
            let expected = if x >= 2 && y < 2 { [9, 8, 7] } else { [0, 0, 0] };
            assert_eq!(pixel.0, expected, "at {x}, {y}");
        }
    }

    #[test]
    fn a_translucent_outline_mixes_each_pixel_once() {
        let mut picture = RgbImage::new(5, 5);
        outline(&mut picture, Rect { x: 0, y: 0, width: 5, height: 5 }, 1, [255; 3], 128);
        let painted = picture.pixels().filter(|p| p.0 == [128; 3]).count();
        let untouched = picture.pixels().filter(|p| p.0 == [0; 3]).count();
        assert_eq!((painted, untouched), (16, 9));
    }

    #[test]
    fn a_thick_outline_of_a_tiny_rectangle_stays_in_it() {
        let mut picture = RgbImage::new(4, 4);
        outline(&mut picture, Rect { x: 1, y: 1, width: 1, height: 2 }, 9, [255; 3], OPAQUE);
        assert_eq!(picture.pixels().filter(|p| p.0 == [255; 3]).count(), 2);
    }
}
