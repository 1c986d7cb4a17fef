//! A sheet of small grey pictures with a line of text beneath each.

use std::path::Path;

use anyhow::Result;
use image::GrayImage;

use super::canvas::{Anchor, Canvas};
use super::looks::{GRAY, INK};

/// Pictures in a row.
const COLUMNS: usize = 8;

/// The least side of a picture, room around it, and room above all and beneath each for text; pixels.
const SIDE: u32 = 128;
const GAP: u32 = 12;
const TOP: u32 = 72;
const LINE: u32 = 30;

/// Sizes of text, in pixels per em: a sheet is looked at on a screen, and one by one its pictures are small.
const TITLE: f32 = 20.0;
const LABEL: f32 = 16.0;

/// A picture and what stands beneath it.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The picture; all of a sheet have the size of the first one.
    pub picture: GrayImage,
    /// One line of text.
    pub label: String,
}

/// Writes a sheet under two lines of text. Each pixel of a picture becomes a square, so that nothing is smoothed over.
///
/// # Errors
/// When the file can't be written.
pub fn sheet(path: &Path, [title, about]: [&str; 2], tiles: &[Tile]) -> Result<()> {
    let (width, height) = tiles.first().map_or((SIDE, SIDE), |tile| tile.picture.dimensions());
    let factor = SIDE.div_ceil(width.max(height).max(1));
    let (across, down) = (width * factor + GAP, height * factor + LINE + GAP);
    let rows = tiles.len().div_ceil(COLUMNS) as u32;
    let mut canvas = Canvas::new(GAP + COLUMNS as u32 * across, TOP + rows * down);
    canvas.text(title, [GAP as f32, 24.0], Anchor::Start, TITLE, INK);
    canvas.text(about, [GAP as f32, 50.0], Anchor::Start, LABEL, GRAY);
    for (tile, at) in tiles.iter().zip(0u32..) {
        let (x, y) = (GAP + at % COLUMNS as u32 * across, TOP + at / COLUMNS as u32 * down);
        canvas.picture(&tile.picture, [x, y], factor);
        let middle = [(x + width * factor / 2) as f32, (y + height * factor + LINE / 2) as f32];
        canvas.text(&tile.label, middle, Anchor::Middle, LABEL, INK);
    }
    canvas.save(path)
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn pictures_stand_in_rows_with_a_square_for_each_pixel() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("sheet.png");
        let tile = |value: u8| {
            let picture = GrayImage::from_fn(48, 48, |x, _| Luma([if x == 0 { 0 } else { value }]));
            Tile { picture, label: "Happy 100%".into() }
        };
        let tiles: Vec<_> = (0..9).map(|i| tile(100 + i)).collect();
        sheet(&path, ["a title", "about it"], &tiles).expect("a sheet");
        let found = image::open(&path).expect("a PNG").to_luma8();
        assert_eq!(found.dimensions(), (GAP + 8 * (144 + GAP), TOP + 2 * (144 + LINE + GAP)));
        let second_row = TOP + 144 + LINE + GAP;
        let values = [2, 3].map(|x| found.get_pixel(GAP + x, second_row).0[0]);
        assert_eq!(values, [0, 108], "the ninth picture's first and second pixel, three wide each");
        assert_eq!(found.get_pixel(GAP + 144 + GAP + 3, second_row).0, [255], "there is no tenth");
        sheet(&path, ["", ""], &[]).expect("an empty sheet");
    }
}
