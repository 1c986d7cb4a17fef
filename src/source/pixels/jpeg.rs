//! JPEG, as files have it and as cameras send it frame by frame (motion JPEG).
//!
//! Owns what is done to the bytes before the decoder sees them; zune-jpeg decodes. It takes the end-of-image marker as leave
//! to fill up what is missing with grey: 99 of 100 frames that had lost 512 bytes were accepted, and all that were cut off
//! and then ended. So the picture's data go in without the marker, and have to suffice for every pixel. What no decoder can
//! see is damage that leaves as many valid codes as there were: JPEG has no checksums.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::standard_tables::STANDARD_TABLES;
use super::{Rgb, rgb_len};
use crate::buffers::Buffers;

/// The decoder reads up to eight bytes ahead, and takes having reached the end before the last row for an error. Zeros are
/// less than one block in the standard tables' codes.
const READ_AHEAD: [u8; 16] = [0; 16];

// Second bytes of markers (ITU-T T.81, table B.1); the first is 0xFF.
const BASELINE_FRAME: u8 = 0xC0;
const EXTENDED_FRAME: u8 = 0xC1;
const HUFFMAN_TABLES: u8 = 0xC4;
const FIRST_RESTART: u8 = 0xD0;
const LAST_RESTART: u8 = 0xD7;
const START: u8 = 0xD8;
const END: u8 = 0xD9;
const SCAN: u8 = 0xDA;
const RESTART_INTERVAL: u8 = 0xDD;

/// Decodes a JPEG, with the standard Huffman tables where it has none. Bytes after its end are ignored (camera buffers have
/// them); one that ends early or is damaged is an error, where most decoders would hand out a picture that is partly grey.
pub(in crate::source) fn rgb_from_jpeg(bytes: &[u8], buffers: &mut Buffers<[u8]>) -> Result<Rgb> {
    let complete;
    let bytes = match single_scan(bytes)? {
        Some(scan) => {
            complete = scan.without_end(bytes);
            &complete
        }
        None => bytes,
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().context("a JPEG without a size")?;
    let (width, height) = (u32::try_from(width)?, u32::try_from(height)?);
    let mut pixels = buffers.bytes(rgb_len(width, height)?);
    decoder.decode_into(Arc::make_mut(&mut pixels)).context("a JPEG that is damaged or cut short")?;
    buffers.keep(&pixels);
    Ok(Rgb { width, height, pixels })
}

/// Where things are in a JPEG that has all of its picture in one piece, as cameras send it.
struct SingleScan {
    /// The offset of the marker before the picture's data, where tables can be inserted.
    marker: usize,
    /// The offset of the first byte that is not the picture's any more.
    end: usize,
    has_tables: bool,
}

impl SingleScan {
    fn without_end(&self, bytes: &[u8]) -> Vec<u8> {
        let (headers, picture) = bytes[..self.end].split_at(self.marker);
        let tables = if self.has_tables { &[][..] } else { &STANDARD_TABLES };
        [headers, tables, picture, &READ_AHEAD].concat()
    }
}

/// Goes through the segments up to the first scan and through its data. `None` for pictures of several scans, which have
/// markers among their data: progressive ones, and those that have one color after the other.
fn single_scan(bytes: &[u8]) -> Result<Option<SingleScan>> {
    ensure!(bytes.starts_with(&[0xFF, START]), "not a JPEG: it does not begin with FF D8");
    let (mut has_tables, mut components, mut restarts) = (false, None, false);
    let mut position = 2;
    loop {
        let (marker, code) = next_marker(bytes, position).context("a JPEG that is cut short before its picture")?;
        position = marker + 2;
        match code {
            END => bail!("a JPEG that ends before its picture"),
            FIRST_RESTART..=START | 0x01 => continue,
            _ => {}
        }
        let body = segment(&bytes[position..]).context("a JPEG that is cut short before its picture")?;
        position += 2 + body.len();
        match code {
            // After the bits per value, the height and the width.
            BASELINE_FRAME | EXTENDED_FRAME => components = body.get(5).copied(),
            HUFFMAN_TABLES => has_tables = true,
            RESTART_INTERVAL => restarts = body != [0, 0],
            SCAN if components.is_none() || body.first() != components.as_ref() => return Ok(None),
            SCAN => return Ok(Some(SingleScan { marker, end: end_of_scan(bytes, position, restarts)?, has_tables })),
            _ => {}
        }
    }
}

/// The offset at which a scan's data end. Restart markers are part of them, numbered from 0 to 7 and again; one that is
/// missing means that rows of the picture are.
fn end_of_scan(bytes: &[u8], mut position: usize, restarts: bool) -> Result<usize> {
    let mut expected = FIRST_RESTART;
    while let Some((marker, code)) = next_marker(bytes, position) {
        if !matches!(code, FIRST_RESTART..=LAST_RESTART) {
            return Ok(marker);
        }
        ensure!(restarts && code == expected, "a damaged JPEG: restart marker {code:02X} where it does not belong");
        expected = if code == LAST_RESTART { FIRST_RESTART } else { code + 1 };
        position = marker + 2;
    }
    // The marker at the end is missing. The decoder will find out whether anything else is.
    Ok(bytes.len())
}

/// The next marker's offset and second byte. Among data a byte of 0xFF has a 0 after it; before a marker it may be repeated.
fn next_marker(bytes: &[u8], mut position: usize) -> Option<(usize, u8)> {
    loop {
        position += bytes.get(position..)?.iter().position(|&byte| byte == 0xFF)?;
        match bytes.get(position + 1)? {
            0xFF => position += 1,
            0 => position += 2,
            &code => return Some((position, code)),
        }
    }
}

/// What a segment holds after its length, which counts itself.
fn segment(bytes: &[u8]) -> Option<&[u8]> {
    let (length, _) = bytes.split_first_chunk()?;
    bytes.get(2..usize::from(u16::from_be_bytes(*length)))
}
