//! The colors of the emotions, and how they are told apart.
//!
//! They start from the palette of Okabe and Ito, "Color Universal Design" (2008), which people with any kind of color
//! blindness can tell apart, with greys for Neutral and for unsure faces. A search then moved them a little, so that no two
//! have nearly the same lightness either: what is told apart in a black-and-white print, too, needs no color vision at all.
//! The tests hold both, with the measures that the search used.

use super::paint::Color;
use crate::flow::emotion::{Emotion, Label};

pub(super) const LIGHT_TEXT: Color = [255, 255, 255];
pub(super) const DARK_TEXT: Color = [0, 0, 0];

/// The color of a box and a label that name no emotion.
const UNSURE: Color = [107, 107, 107];

/// The color of an emotion, in all pictures and plots.
pub(super) const fn color_of(emotion: Emotion) -> [u8; 3] {
    match emotion {
        Emotion::Anger => [202, 90, 0],
        Emotion::Disgust => [7, 160, 101],
        Emotion::Fear => [203, 135, 186],
        Emotion::Happy => [237, 225, 63],
        Emotion::Neutral => [202, 202, 202],
        Emotion::Sad => [0, 95, 154],
        Emotion::Surprise => [94, 194, 252],
    }
}

/// The color of what a face is shown as.
pub const fn color_of_label(label: Label) -> [u8; 3] {
    match label {
        Label::Emotion(emotion) => color_of(emotion),
        Label::Unsure => UNSURE,
    }
}

/// Black or white, whichever stands out more.
pub fn text_color_on(plate: Color) -> Color {
    if contrast(plate, DARK_TEXT) >= contrast(plate, LIGHT_TEXT) { DARK_TEXT } else { LIGHT_TEXT }
}

/// The contrast of two colors, 1 to 21 (WCAG 2.1).
pub(super) fn contrast(a: Color, b: Color) -> f32 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Relative luminance of an sRGB color, 0 to 1 (WCAG 2.1).
fn luminance(color: Color) -> f32 {
    let [red, green, blue] = color.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// An sRGB value in linear light, 0 to 1 (IEC 61966-2-1).
fn linear(value: u8) -> f32 {
    let value = f32::from(value) / 255.0;
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people with complete protanopia, deuteranopia and tritanopia see, in linear RGB (Machado, Oliveira and
    /// Fernandes 2009, <https://doi.org/10.1109/TVCG.2009.113>, severity 1.0), and what others see.
    const SIGHTS: [[[f32; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];

    /// CIE L*a*b* of a color as somebody sees it, white D65 (CIE 15, and IEC 61966-2-1 for the way to XYZ).
    fn lab(color: Color, sight: [[f32; 3]; 3]) -> [f32; 3] {
        let rgb = color.map(linear);
        let product = |row: [f32; 3]| row.iter().zip(rgb).map(|(a, b)| a * b).sum::<f32>().clamp(0.0, 1.0);
        let [r, g, b] = sight.map(product);
        let f = |t: f32| if t > 216.0 / 24389.0 { t.cbrt() } else { (24389.0 / 27.0 * t + 16.0) / 116.0 };
        let x = f((0.412_456_4 * r + 0.357_576_1 * g + 0.180_437_5 * b) / 0.95047);
        let y = f(0.212_672_9 * r + 0.715_152_2 * g + 0.072_175 * b);
        let z = f((0.019_333_9 * r + 0.119_192 * g + 0.950_304_1 * b) / 1.08883);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// Every two things that a label can say.
    fn pairs() -> Vec<(Label, Label)> {
        let labels: Vec<Label> = Emotion::ALL.map(Label::Emotion).into_iter().chain([Label::Unsure]).collect();
        let with_later = |i: usize| labels[i + 1..].iter().map(|&other| (labels[i], other)).collect::<Vec<_>>();
        (0..labels.len()).flat_map(with_later).collect()
    }

    #[test]
    fn any_two_colors_differ_in_lightness() {
        for (a, b) in pairs() {
            let [a_lightness, b_lightness] = [a, b].map(|label| lab(color_of_label(label), SIGHTS[0])[0]);
            assert!((a_lightness - b_lightness).abs() >= 6.0, "{a} {a_lightness} and {b} {b_lightness}");
        }
    }

    /// A distance of 2.3 is the least that is noticed side by side; 18 is seen at a glance. With the palette as it was
    /// published, and its greys, the least is 10.8.
    #[test]
    fn people_with_color_blindness_tell_any_two_apart() {
        for (a, b) in pairs() {
            for sight in SIGHTS {
                let [p, q] = [a, b].map(|label| lab(color_of_label(label), sight));
                let distance = p.iter().zip(q).map(|(p, q)| (p - q).powi(2)).sum::<f32>().sqrt();
                assert!(distance >= 18.0, "{a} and {b}: {distance}");
            }
        }
    }
}
