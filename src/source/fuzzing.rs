//! Doors for tests/fuzz to what only a camera or a file reaches otherwise. No part of what the library offers.

use std::io::Cursor;

use super::mp4_index::VideoIndex;
use super::pixels::rgb_from_jpeg;
use crate::system::buffers::Buffers;

/// Decodes a JPEG as a camera sends it: width and height in pixels, and how many bytes of RGB there are.
pub fn jpeg(bytes: &[u8]) -> Option<(u32, u32, usize)> {
    let picture = rgb_from_jpeg(bytes, &mut Buffers::default()).ok()?;
    Some((picture.width, picture.height, picture.pixels.len()))
}

/// Reads the index of an MP4 file; whether it has one.
pub fn mp4_index(bytes: &[u8]) -> bool {
    VideoIndex::read(&mut Cursor::new(bytes)).is_ok()
}
