//! The confusion matrix: counts and row percentages.

use std::path::Path;

use anyhow::Result;

use super::canvas::{Anchor, Canvas};
use super::looks::{BLUE, GRAY, INK, SMALL, TEXT, TITLE, WHITE};
use crate::draw::paint::{Color, Rect};
use crate::flow::emotion::Emotion;

/// Side of a cell, room left and above, and the gap before the column of pictures without a face; pixels.
const CELL: i32 = 160;
const LEFT: i32 = 320;
const TOP: i32 = 190;
const GAP: i32 = 24;
const BOTTOM: i32 = 170;
const RIGHT: i32 = 60;

/// Blank between cells.
const LINE: i32 = 2;

/// Writes a matrix of counts under two lines of text. Rows are true classes, and a cell is as dark as its share of the row;
/// `missed`, by true class, are pictures without a face, which have a column of their own where there are any.
///
/// # Errors
/// When the file can't be written.
pub fn confusion_matrix(
    path: &Path,
    [title, figures]: [&str; 2],
    counts: &[[u32; Emotion::COUNT]; Emotion::COUNT],
    missed: &[u32; Emotion::COUNT],
) -> Result<()> {
    let with_missed = missed.iter().any(|&count| count > 0);
    let side = CELL * Emotion::COUNT as i32;
    let extra = if with_missed { GAP + CELL } else { 0 };
    let (width, height) = (LEFT + side + extra + RIGHT, TOP + side + BOTTOM);
    let mut canvas = Canvas::new(width.unsigned_abs(), height.unsigned_abs());
    let middle = (LEFT + side / 2) as f32;
    canvas.text(title, [middle, 55.0], Anchor::Middle, TITLE, INK);
    canvas.text(figures, [middle, 115.0], Anchor::Middle, SMALL, GRAY);

    for (emotion, at) in Emotion::ALL.into_iter().zip(0..) {
        let center = (at * CELL + CELL / 2) as f32;
        let (x, y) = (LEFT as f32 + center, TOP as f32 + center);
        let (row, missed) = (counts[emotion.index()], missed[emotion.index()]);
        let support = row.iter().sum::<u32>() + missed;
        canvas.text(emotion.name(), [LEFT as f32 - 24.0, y - 20.0], Anchor::End, TEXT, INK);
        canvas.text(&format!("n = {support}"), [LEFT as f32 - 24.0, y + 24.0], Anchor::End, SMALL, GRAY);
        canvas.text(emotion.name(), [x, (TOP + side) as f32 + 40.0], Anchor::Middle, TEXT, INK);
        for (count, column) in row.into_iter().zip(0..) {
            cell(&mut canvas, LEFT + column * CELL, TOP + at * CELL, count, support);
        }
        if with_missed {
            cell(&mut canvas, LEFT + side + GAP, TOP + at * CELL, missed, support);
        }
    }
    if with_missed {
        let x = LEFT + side + GAP + CELL / 2;
        canvas.text("no face", [x as f32, (TOP + side) as f32 + 40.0], Anchor::Middle, TEXT, INK);
    }
    canvas.text("Predicted", [middle, (TOP + side) as f32 + 115.0], Anchor::Middle, TITLE, INK);
    canvas.text_upwards("True", [55.0, (TOP + side / 2) as f32], TITLE, INK);
    canvas.save(path)
}

fn cell(canvas: &mut Canvas, x: i32, y: i32, count: u32, support: u32) {
    let share = f64::from(count) / f64::from(support.max(1));
    let rect = Rect { x, y, width: CELL - LINE, height: CELL - LINE };
    canvas.fill(rect, shade(share));
    // Light text from where its contrast (WCAG 2.2) is the better one.
    let color = if share > 0.5 { WHITE } else { INK };
    let (x, y) = ((x + CELL / 2) as f32, (y + CELL / 2) as f32);
    canvas.text(&count.to_string(), [x, y - 20.0], Anchor::Middle, TITLE, color);
    canvas.text(&format!("{:.1}%", 100.0 * share), [x, y + 32.0], Anchor::Middle, SMALL, color);
}

/// From nearly white to a dark blue: one hue whose lightness falls steadily, so that it survives a grey print.
fn shade(share: f64) -> Color {
    const LIGHT: Color = [243, 247, 251];
    const DARK: Color = [3, 44, 92];
    let mix = |from: Color, to: Color, t: f64| {
        std::array::from_fn(|i| (f64::from(from[i]) + t * (f64::from(to[i]) - f64::from(from[i]))).round() as u8)
    };
    if share < 0.6 { mix(LIGHT, BLUE, share / 0.6) } else { mix(BLUE, DARK, (share - 0.6) / 0.4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_its_own_for_pictures_without_a_face() {
        let folder = tempfile::tempdir().expect("folder");
        let plot = |counts: &[[u32; 7]; 7], missed: &[u32; 7]| {
            let path = folder.path().join("matrix.png");
            confusion_matrix(&path, ["FER+, test", "4 pictures"], counts, missed).expect("a plot");
            image::open(path).expect("a PNG").to_rgb8()
        };
        let counts: [[u32; 7]; 7] =
            std::array::from_fn(|i| std::array::from_fn(|j| if i == j { 30 } else { j as u32 }));
        let (plain, wider) = (plot(&counts, &[0; 7]), plot(&counts, &[0, 0, 0, 1, 0, 0, 0]));
        assert_eq!(wider.width() - plain.width(), (CELL + GAP) as u32);
        assert_eq!(wider.height(), plain.height());
        // The corner of the first cell has the shade of its share.
        assert_eq!(plain.get_pixel(LEFT as u32 + 3, TOP as u32 + 3).0, shade(30.0 / 51.0));
        plot(&[[0; 7]; 7], &[0; 7]);
    }

    #[test]
    fn shades_darken_steadily() {
        let light = |share: f64| shade(share).iter().map(|&v| u32::from(v)).sum::<u32>();
        assert!((0..100).all(|i| light(f64::from(i) / 100.0) > light(f64::from(i + 1) / 100.0)));
    }
}
