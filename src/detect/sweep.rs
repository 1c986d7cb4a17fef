//! A frame cut into parts, each of which takes a few milliseconds to search; together they show every face.
//!
//! A part is a band of rows at one scale, at which faces of one size are as large as the detector's window. Searching them
//! one after another over several frames costs as much as a scan of one whole frame does at once, and no frame waits long.

use super::WINDOW;

/// Each scale is this much smaller than the one before. The detector finds faces of up to 1.5 times its window, so no size
/// is missed.
const FACTOR: f32 = 0.7;

/// How many pixels a part has at most, scaled, unless its rows are too wide for that: about 3 ms of search.
const PIXELS: f32 = 48_000.0;

/// Rows that neighbouring bands share, scaled: the largest face that one of them must hold.
const OVERLAP: f32 = 58.0;

/// The fewest rows that a band has to itself: otherwise most of the work on a wide frame would be done twice.
const OWN_ROWS: f32 = 40.0;

/// A band of a frame at one scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    /// Scaled pixels per frame pixel.
    pub scale: f32,
    /// The band's first row, in frame pixels.
    pub top: u32,
    /// Its rows, in frame pixels.
    pub height: u32,
}

/// The parts of a frame, where the smallest faces are found at `scale`. None where no face has room.
pub(super) fn parts(width: u32, height: u32, scale: f32) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut scale = scale;
    while width.min(height) as f32 * scale >= WINDOW as f32 {
        let (scaled_width, scaled_height) = (width as f32 * scale, height as f32 * scale);
        let rows = (PIXELS / scaled_width).max(OVERLAP + OWN_ROWS);
        let bands = if rows >= scaled_height { 1.0 } else { ((scaled_height - OVERLAP) / (rows - OVERLAP)).ceil() };
        let own = (scaled_height - OVERLAP) / bands;
        for band in 0..bands as u32 {
            let top = (band as f32 * own / scale).floor() as u32;
            let last = band + 1 == bands as u32;
            let bottom = if last { height } else { (((band + 1) as f32 * own + OVERLAP) / scale).ceil() as u32 };
            parts.push(Part { scale, top, height: bottom.min(height) - top });
        }
        scale *= FACTOR;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_face_lies_whole_in_a_part_where_it_fills_the_window() {
        for (width, height, smallest) in
            [(640, 480, 80), (640, 480, 40), (1280, 720, 120), (360, 640, 60), (200, 3000, 40)]
        {
            let parts = parts(width, height, WINDOW as f32 / smallest as f32);
            for size in (smallest..=width.min(height)).step_by(7) {
                for top in (0..=height - size).step_by(5) {
                    let holds = |part: &Part| {
                        let scaled = size as f32 * part.scale;
                        (39.0..=58.0).contains(&scaled) && part.top <= top && top + size <= part.top + part.height
                    };
                    assert!(parts.iter().any(holds), "{size} pixels at row {top} of {width}x{height}: {parts:?}");
                }
            }
        }
    }

    #[test]
    fn parts_are_of_bounded_size_and_lie_in_the_frame() {
        for (width, height, smallest) in [(640, 480, 80.0), (1280, 720, 40.0), (4096, 100, 40.0), (41, 41, 40.0)] {
            let parts = parts(width, height, WINDOW as f32 / smallest);
            assert!(!parts.is_empty());
            for part in parts {
                assert!(part.height > 0 && part.top + part.height <= height, "{part:?}");
                let (wide, high) = (width as f32 * part.scale, part.height as f32 * part.scale);
                assert!(wide * high <= 1.1 * PIXELS || high <= OVERLAP + OWN_ROWS + 2.0, "{wide}x{high}");
            }
        }
        assert!(parts(100, 100, WINDOW as f32 / 400.0).is_empty());
    }
}
