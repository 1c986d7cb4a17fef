//! JPEG, as files have it and as cameras send it frame by frame (motion JPEG).
//!
//! Owns what is done to the bytes before the decoder sees them; zune-jpeg decodes. It takes the end-of-image marker as leave
//! to fill up what is missing with grey: 98 of 100 frames that had lost 512 bytes were accepted, and all that were cut off
//! and then ended. So the picture's data go in without the marker, and have to suffice for every pixel. Damage that leaves
//! enough valid codes is not seen: JPEG has no checksums, and most single wrong bits are of that kind.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Rgb, rgb_len};
use crate::system::buffers::Buffers;

/// What the data end with instead. The decoder reads up to eight bytes ahead, and takes having come to the end before the
/// last row for an error. These are sixteen bytes of ones, each with the 0 that belongs after it: no code has ones alone
/// (ITU-T T.81, annex C.2), so that reading them as data is an error too.
const READ_AHEAD: [[u8; 2]; 16] = [[0xFF, 0]; 16];

/// A segment by which AVI files say that this is motion JPEG. For the decoder it stands for the standard Huffman tables
/// (ITU-T T.81, annex K.3) where there are none: many webcams leave them out, as the video files did that they stand for.
const MOTION_JPEG: [u8; 10] = *b"\xFF\xE0\0\x08AVI1\0\0";

// Second bytes of markers (ITU-T T.81, table B.1); the first is 0xFF.
const BASELINE_FRAME: u8 = 0xC0;
const EXTENDED_FRAME: u8 = 0xC1;
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
    /// The offset of the marker before the picture's data, where a segment can be inserted.
    marker: usize,
    /// The offset of the first byte that is not the picture's any more.
    end: usize,
}

impl SingleScan {
    fn without_end(&self, bytes: &[u8]) -> Vec<u8> {
        let (headers, picture) = bytes[..self.end].split_at(self.marker);
        [headers, &MOTION_JPEG, picture, READ_AHEAD.as_flattened()].concat()
    }
}

/// Goes through the segments up to the first scan and through its data. `None` for pictures of several scans, which have
/// markers among their data: progressive ones, and those that have one color after the other.
fn single_scan(bytes: &[u8]) -> Result<Option<SingleScan>> {
    ensure!(bytes.starts_with(&[0xFF, START]), "not a JPEG: it does not begin with FF D8");
    let (mut components, mut restarts) = (None, false);
    let mut position = 2;
    loop {
        let (marker, code) = next_marker(bytes, position).context("a JPEG that is cut short before its picture")?;
        position = marker + 2;
        match code {
            START | END => bail!("a JPEG that is cut short before its picture"),
            FIRST_RESTART..=LAST_RESTART | 0x01 => continue,
            _ => {}
        }
        let body = segment(&bytes[position..]).context("a JPEG that is cut short before its picture")?;
        position += 2 + body.len();
        match code {
            // After the bits per value, the height and the width.
            BASELINE_FRAME | EXTENDED_FRAME => components = body.get(5).copied(),
            RESTART_INTERVAL => restarts = body != [0, 0],
            SCAN if components.is_none() || body.first() != components.as_ref() => return Ok(None),
            SCAN => return Ok(Some(SingleScan { marker, end: end_of_scan(bytes, position, restarts)? })),
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Of tests/data. `face.ppm` is astronaut.jpg from (175, 85) on, 91x61. The first has chroma at half the height and
    /// width, as files have it; the second at half the width, as cameras send it, and restart markers:
    /// `cjpeg -quality 85 -sample 2x2 face.ppm`, `cjpeg -quality 85 -sample 2x1 -restart 3B face.ppm`.
    /// What libjpeg-turbo 2.1.5 makes of them is beside them: `djpeg -dct int`.
    const FACES: [&str; 2] = ["face-420", "face-422"];

    const HUFFMAN_TABLES: u8 = 0xC4;

    fn path(name: &str, extension: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).with_extension(extension)
    }

    fn face(name: &str) -> Vec<u8> {
        fs::read(path(name, "jpg")).unwrap()
    }

    fn decode(bytes: &[u8]) -> Result<Rgb> {
        rgb_from_jpeg(bytes, &mut Buffers::default())
    }

    /// The offset of a marker, `FF` and `code`.
    fn find(bytes: &[u8], code: u8) -> usize {
        bytes.windows(2).position(|pair| pair == [0xFF, code]).unwrap()
    }

    fn data_of(bytes: &[u8]) -> std::ops::Range<usize> {
        let scan = single_scan(bytes).unwrap().unwrap();
        scan.marker + 14..scan.end
    }

    /// As cameras send it: tables and JFIF's own segment left out.
    fn without_tables(bytes: &[u8]) -> Vec<u8> {
        let (mut kept, mut position) = (bytes[..2].to_vec(), 2);
        while bytes[position + 1] != SCAN {
            let end = position + 4 + segment(&bytes[position + 2..]).unwrap().len();
            if !matches!(bytes[position + 1], HUFFMAN_TABLES | 0xE0) {
                kept.extend_from_slice(&bytes[position..end]);
            }
            position = end;
        }
        [&kept, &bytes[position..]].concat()
    }

    #[test]
    fn pictures_are_those_of_another_decoder() {
        for name in FACES {
            let found = decode(&face(name)).unwrap();
            let expected = image::open(path(name, "png")).unwrap().into_rgb8();
            assert_eq!((found.width, found.height), expected.dimensions());
            let off: Vec<u8> = found.pixels.iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b)).collect();
            let mean = off.iter().map(|&off| f64::from(off)).sum::<f64>() / off.len() as f64;
            println!("{name}: off by {mean:.3}, at most {}", off.iter().max().unwrap());
            assert!(mean <= 1.0 && off.iter().all(|&off| off <= 8), "{name}: {mean}, {:?}", off.iter().max());
        }
    }

    #[test]
    fn frames_without_tables_mean_the_standard_ones() {
        for name in FACES {
            let whole = face(name);
            let bare = without_tables(&whole);
            assert!(bare.len() + 400 < whole.len());
            assert_eq!(decode(&bare).unwrap().pixels, decode(&whole).unwrap().pixels);
            assert!(decode(&bare[..bare.len() / 2]).is_err());
        }
    }

    #[test]
    fn bytes_after_the_end_are_ignored() {
        for name in FACES {
            let jpeg = face(name);
            let whole = decode(&jpeg).unwrap();
            for tail in [&[0; 5000][..], &[0xAB; 5000], &[0xFF; 3], &[0xFF, END], &jpeg] {
                let padded = [&jpeg[..], tail].concat();
                assert_eq!(decode(&padded).unwrap().pixels, whole.pixels);
            }
            // Some cameras leave the last marker out.
            assert_eq!(decode(&jpeg[..jpeg.len() - 2]).unwrap().pixels, whole.pixels);
        }
    }

    #[test]
    fn a_jpeg_that_was_cut_off_is_an_error_whatever_comes_after_it() {
        for name in FACES {
            let jpeg = face(name);
            for len in (0..data_of(&jpeg).end).step_by(3) {
                let cut = &jpeg[..len];
                for tail in [&[][..], &[0xFF, END], &[0xFF, END, 0xFF, END]] {
                    assert!(decode(&[cut, tail].concat()).is_err(), "{name}, {len} bytes and {}", tail.len());
                }
                // The next frame. Before the data its tables can stand in for those that are missing.
                if cut.len() >= data_of(&jpeg).start {
                    assert!(decode(&[cut, &jpeg].concat()).is_err(), "{name}, {len} bytes and the next frame");
                }
            }
        }
    }

    #[test]
    fn a_part_that_is_lost_or_a_marker_in_the_wrong_place_is_an_error() {
        for name in FACES {
            let jpeg = face(name);
            let data = data_of(&jpeg);
            let middle = (data.start + data.end) / 2;
            let marked = |code: u8| [&jpeg[..middle], &[0xFF, code], &jpeg[middle..]].concat();
            for code in [0x01, BASELINE_FRAME, 0xC2, HUFFMAN_TABLES, FIRST_RESTART + 5, START, END, SCAN, 0xDB, 0xFE] {
                assert!(decode(&marked(code)).is_err(), "{name} with {code:02X}");
            }
            let lost = [&jpeg[..data.start + 200], &jpeg[data.end - 200..]].concat();
            assert!(decode(&lost).is_err(), "{name} with its middle lost");
            assert!(decode(&[&jpeg[..data.start], &jpeg[data.end..]].concat()).is_err(), "{name} without data");
        }
        // Restart markers 0 and 1, and what is between them.
        let jpeg = face(FACES[1]);
        let (first, second) = (find(&jpeg, FIRST_RESTART), find(&jpeg, FIRST_RESTART + 1));
        let message = format!("{:#}", decode(&[&jpeg[..first], &jpeg[second..]].concat()).err().unwrap());
        assert!(message.contains("restart marker D1"), "{message}");
    }

    #[test]
    fn garbage_is_an_error_or_a_picture_and_never_a_panic() {
        let mut random = 1_u64;
        let mut below = |limit: usize| {
            // Marsaglia's xorshift, 13, 7 and 17.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % limit as u64) as usize
        };
        let jpegs = FACES.map(face);
        for round in 0..2000 {
            let mut jpeg = jpegs[round % 2].clone();
            for _ in 0..=below(4) {
                let at = below(jpeg.len());
                match below(3) {
                    0 => jpeg[at] = below(256) as u8,
                    1 => drop(jpeg.drain(at..(at + below(100)).min(jpeg.len()))),
                    _ => jpeg.truncate(at + 1),
                }
            }
            let _ = decode(&jpeg);
        }
        for len in [0, 1, 2, 3, 4, 20, 1000] {
            assert!(decode(&(0..len).map(|_| below(256) as u8).collect::<Vec<_>>()).is_err());
            assert!(decode(&[&[0xFF, START][..], &vec![0xFF; len]].concat()).is_err());
            assert!(decode(&[&[0xFF, START][..], &vec![0; len]].concat()).is_err());
        }
    }

    #[test]
    fn nothing_is_left_of_the_picture_before() {
        let mut buffers = Buffers::default();
        for (width, height) in (1..=33).map(|size| (size, 34 - size)) {
            let encode = |value| {
                let mut jpeg = Vec::new();
                let picture = image::GrayImage::from_pixel(width, height, image::Luma([value]));
                picture.write_with_encoder(image::codecs::jpeg::JpegEncoder::new(&mut jpeg)).unwrap();
                jpeg
            };
            let mut decode = |value| rgb_from_jpeg(&encode(value), &mut buffers).unwrap().pixels;
            let before = decode(250).as_ptr();
            let after = decode(9);
            assert_eq!(before, after.as_ptr());
            assert!(after.iter().all(|&level| level.abs_diff(9) <= 1), "{width}x{height}");
        }
    }
}
