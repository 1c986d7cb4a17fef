//! Turning a picture by a quarter where it lies: a photo of 48 megapixels takes 144 MB, and a second one has no room beside
//! it.

/// How many rows make a band, at most: so many pixels are moved in one piece.
const MOST_ROWS: usize = 32;

/// Turns a picture clockwise. Its width and height change places.
pub(super) fn quarter_turn(pixels: &mut [[u8; 3]], width: usize, height: usize) {
    let rows = (1..=MOST_ROWS).rev().find(|rows| height.is_multiple_of(*rows)).unwrap_or(1);
    // In each band of rows the columns come one after the other, each from its lowest pixel up.
    let mut band = vec![[0; 3]; rows * width];
    for in_place in pixels.chunks_exact_mut(rows * width) {
        band.copy_from_slice(in_place);
        for (x, column) in in_place.chunks_exact_mut(rows).enumerate() {
            for (y, pixel) in column.iter_mut().rev().enumerate() {
                *pixel = band[y * width + x];
            }
        }
    }
    // Then each goes to its place and drives out the one that is there, until a circle is closed.
    let bands = height / rows;
    let target = |index: usize| index % width * bands + (bands - 1 - index / width);
    let mut is_done = vec![false; bands * width];
    let held = &mut band[..rows];
    for start in 0..is_done.len() {
        if is_done[start] {
            continue;
        }
        held.copy_from_slice(&pixels[start * rows..][..rows]);
        let mut index = start;
        while !is_done[index] {
            is_done[index] = true;
            index = target(index);
            held.swap_with_slice(&mut pixels[index * rows..][..rows]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_comes_to_its_place_whatever_the_size() {
        for (width, height) in [(1, 1), (3, 2), (5, 7), (8, 6), (64, 48), (40, 37), (100, 66), (1, 32), (32, 1)] {
            let mut pixels: Vec<[u8; 3]> = (0..width * height).map(|i| [i as u8, (i >> 8) as u8, 7]).collect();
            let mut expected = pixels.clone();
            for (index, &pixel) in pixels.iter().enumerate() {
                let (x, y) = (index % width, index / width);
                expected[x * height + (height - 1 - y)] = pixel;
            }
            quarter_turn(&mut pixels, width, height);
            assert_eq!(pixels, expected, "{width}x{height}");
        }
    }
}
