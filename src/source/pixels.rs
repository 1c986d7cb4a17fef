//! Pixel formats that cameras and the built-in video decoder deliver, turned into RGB8.
//!
//! Owns the colour arithmetic; knows nothing of devices and files. Everything goes in and comes out row-major with the
//! top row first, and every length is checked against width and height before it is relied on. Pictures come out in buffers
//! that are used again.
//!
//! Luma and chroma are taken as ITU-R BT.601 in limited range (black at 16, white at 235, chroma 16 to 240 around 128):
//! the default of V4L2 for YUYV and NV12 and of ffmpeg for files that do not say. JPEG brings its own, full range.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::buffers::Buffers;
use crate::frame::MAX_PIXELS;

/// A decoded picture: width, height and RGB8 pixels.
pub(super) struct Rgb {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixels: Arc<[u8]>,
}

/// One picture with its chroma at half resolution in both directions, as video decoders deliver it.
pub(super) struct I420<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Each plane with its stride, the bytes from one row to the next: luma and the two chroma planes.
    pub(super) planes: [(&'a [u8], usize); 3],
}

/// How many bytes an RGB8 picture takes, once its size is known to be one that emocam takes in.
pub(super) fn rgb_len(width: u32, height: u32) -> Result<usize> {
    let pixels = u64::from(width) * u64::from(height);
    ensure!(pixels > 0, "a picture of {width}x{height} has no pixels");
    ensure!(
        pixels <= MAX_PIXELS,
        "a picture of {width}x{height} is too large: emocam takes at most {} megapixels; make it smaller first",
        MAX_PIXELS / (1024 * 1024)
    );
    usize::try_from(3 * pixels).context("a picture larger than this machine's memory")
}

/// Decodes a JPEG. Bytes after its end are ignored (camera buffers have them); one that ends early or is damaged is an
/// error, where most decoders would hand out a picture that is partly grey.
pub(super) fn rgb_from_jpeg(bytes: &[u8], buffers: &mut Buffers<[u8]>) -> Result<Rgb> {
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
    decoder.decode_into(Arc::make_mut(&mut pixels))?;
    buffers.keep(&pixels);
    Ok(Rgb { width, height, pixels })
}

/// YUYV (also called YUY2): two pixels in four bytes, `Y U Y V`.
pub(super) fn rgb_from_yuyv(bytes: &[u8], width: u32, height: u32, buffers: &mut Buffers<[u8]>) -> Result<Rgb> {
    let mut pixels = buffers.bytes(rgb_len(width, height)?);
    let (columns, rows) = (width as usize, height as usize);
    // Drivers round an odd width up to whole pairs.
    let stride = columns.div_ceil(2) * 4;
    ensure!(bytes.len() >= stride * rows, "a YUYV frame of {} bytes, {} expected", bytes.len(), stride * rows);
    let lines = Arc::make_mut(&mut pixels).chunks_exact_mut(3 * columns);
    for (line, pairs) in lines.zip(bytes.chunks_exact(stride)) {
        for (rgb, pair) in line.chunks_mut(6).zip(pairs.chunks_exact(4)) {
            let chroma = Chroma::new(pair[1], pair[3]);
            for (rgb, luma) in rgb.chunks_exact_mut(3).zip([pair[0], pair[2]]) {
                rgb.copy_from_slice(&chroma.with_luma(luma));
            }
        }
    }
    buffers.keep(&pixels);
    Ok(Rgb { width, height, pixels })
}

/// NV12: a plane of luma, then one of alternating U and V at half the resolution.
pub(super) fn rgb_from_nv12(bytes: &[u8], width: u32, height: u32, buffers: &mut Buffers<[u8]>) -> Result<Rgb> {
    let mut pixels = buffers.bytes(rgb_len(width, height)?);
    let (columns, rows) = (width as usize, height as usize);
    let stride = columns.next_multiple_of(2);
    let expected = stride * rows + stride * rows.div_ceil(2);
    ensure!(bytes.len() >= expected, "an NV12 frame of {} bytes, {expected} expected", bytes.len());
    let (luma, chroma) = bytes.split_at(stride * rows);
    for (y, line) in Arc::make_mut(&mut pixels).chunks_exact_mut(3 * columns).enumerate() {
        let luma = &luma[y * stride..][..columns];
        let chroma = &chroma[y / 2 * stride..][..stride];
        for ((rgb, luma), uv) in line.chunks_mut(6).zip(luma.chunks(2)).zip(chroma.chunks_exact(2)) {
            let chroma = Chroma::new(uv[0], uv[1]);
            for (rgb, &luma) in rgb.chunks_exact_mut(3).zip(luma) {
                rgb.copy_from_slice(&chroma.with_luma(luma));
            }
        }
    }
    buffers.keep(&pixels);
    Ok(Rgb { width, height, pixels })
}

/// Planar 4:2:0. Where the height is odd and the last row of chroma is missing, the one above it stands in.
pub(super) fn rgb_from_i420(picture: &I420, buffers: &mut Buffers<[u8]>) -> Result<Rgb> {
    let &I420 { width, height, planes: [(luma, luma_stride), (u, u_stride), (v, v_stride)] } = picture;
    let mut pixels = buffers.bytes(rgb_len(width, height)?);
    let (columns, rows) = (width as usize, height as usize);
    let pairs = columns.div_ceil(2);
    let chroma_rows = (rows / 2).max(1);
    ensure!(
        luma_stride >= columns
            && u_stride >= pairs
            && v_stride >= pairs
            && luma.len() >= luma_stride * (rows - 1) + columns
            && u.len() >= u_stride * (chroma_rows - 1) + pairs
            && v.len() >= v_stride * (chroma_rows - 1) + pairs,
        "a {width}x{height} picture whose planes are too small"
    );
    for (y, line) in Arc::make_mut(&mut pixels).chunks_exact_mut(3 * columns).enumerate() {
        let chroma_row = (y / 2).min(chroma_rows - 1);
        let luma = &luma[y * luma_stride..][..columns];
        let u = &u[chroma_row * u_stride..][..pairs];
        let v = &v[chroma_row * v_stride..][..pairs];
        for ((rgb, luma), (&u, &v)) in line.chunks_mut(6).zip(luma.chunks(2)).zip(u.iter().zip(v)) {
            let chroma = Chroma::new(u, v);
            for (rgb, &luma) in rgb.chunks_exact_mut(3).zip(luma) {
                rgb.copy_from_slice(&chroma.with_luma(luma));
            }
        }
    }
    buffers.keep(&pixels);
    Ok(Rgb { width, height, pixels })
}

/// What one pair of chroma values adds to red, green and blue, in 256ths, rounding included.
#[derive(Clone, Copy)]
struct Chroma {
    red: i32,
    green: i32,
    blue: i32,
}

impl Chroma {
    /// The coefficients of BT.601 in limited range: 1.402 * 255/224, 0.344 * 255/224, 0.714 * 255/224 and
    /// 1.772 * 255/224, times 256.
    #[inline]
    fn new(u: u8, v: u8) -> Self {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        Self { red: 409 * v + 128, green: -100 * u - 208 * v + 128, blue: 516 * u + 128 }
    }

    /// 298 is 255/219 * 256: luma from 16..=235 to 0..=255.
    #[inline]
    fn with_luma(self, luma: u8) -> [u8; 3] {
        let luma = 298 * (i32::from(luma) - 16);
        [self.red, self.green, self.blue].map(|chroma| ((luma + chroma) >> 8).clamp(0, 255) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BT.601 in limited range, as the standard writes it: Y 66 129 25, U -38 -74 112, V 112 -94 -18 (times 1/256).
    fn yuv_from_rgb([r, g, b]: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = [f64::from(r), f64::from(g), f64::from(b)];
        [
            16.0 + 0.256_788 * r + 0.504_129 * g + 0.097_906 * b,
            128.0 - 0.148_223 * r - 0.290_993 * g + 0.439_216 * b,
            128.0 + 0.439_216 * r - 0.367_788 * g - 0.071_427 * b,
        ]
        .map(|value| value.round() as u8)
    }

    fn assert_close(found: &[u8], expected: [u8; 3]) {
        // Rounding to 8 bits in between costs up to two levels of blue.
        assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 2), "{found:?}, expected {expected:?}");
    }

    const COLOURS: [[u8; 3]; 8] = [
        [0, 0, 0],
        [255, 255, 255],
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [128, 128, 128],
        [224, 172, 105],
        [12, 200, 133],
    ];

    #[test]
    fn colours_survive_yuyv() {
        for colour in COLOURS {
            let [y, u, v] = yuv_from_rgb(colour);
            let rgb = rgb_from_yuyv(&[y, u, y, v, y, u, y, v], 2, 2, &mut Buffers::default()).unwrap();
            for pixel in rgb.pixels.chunks_exact(3) {
                assert_close(pixel, colour);
            }
        }
    }

    #[test]
    fn yuyv_keeps_the_order_of_two_pixels() {
        let rgb = rgb_from_yuyv(&[16, 128, 235, 128], 2, 1, &mut Buffers::default()).unwrap();
        assert_eq!(rgb.pixels[..], [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn nv12_and_i420_put_each_chroma_pair_over_four_pixels() {
        let (left, right) = (yuv_from_rgb(COLOURS[2]), yuv_from_rgb(COLOURS[4]));
        let luma = [left[0], left[0], right[0], right[0], left[0], left[0], right[0], right[0]];
        let interleaved = [left[1], left[2], right[1], right[2]];
        let nv12 = rgb_from_nv12(&[&luma[..], &interleaved[..]].concat(), 4, 2, &mut Buffers::default()).unwrap();
        let (u, v) = ([left[1], right[1]], [left[2], right[2]]);
        let planes = [(&luma[..], 4), (&u[..], 2), (&v[..], 2)];
        let i420 = rgb_from_i420(&I420 { width: 4, height: 2, planes }, &mut Buffers::default()).unwrap();
        assert_eq!(nv12.pixels, i420.pixels);
        for (index, pixel) in nv12.pixels.chunks_exact(3).enumerate() {
            assert_close(pixel, COLOURS[if index % 4 < 2 { 2 } else { 4 }]);
        }
    }

    #[test]
    fn odd_sizes_are_filled_to_the_last_pixel() {
        let white = [255; 27];
        assert_eq!(
            rgb_from_yuyv(&[235, 128, 235, 128].repeat(6), 3, 3, &mut Buffers::default()).unwrap().pixels[..],
            white
        );
        let nv12 = [vec![235; 12], vec![128; 8]].concat();
        assert_eq!(rgb_from_nv12(&nv12, 3, 3, &mut Buffers::default()).unwrap().pixels[..], white);
        // As a decoder hands it out: one row of chroma for three rows of luma.
        let planes = [(&[235; 9][..], 3), (&[128; 2][..], 2), (&[128; 2][..], 2)];
        assert_eq!(
            rgb_from_i420(&I420 { width: 3, height: 3, planes }, &mut Buffers::default()).unwrap().pixels[..],
            white
        );
    }

    #[test]
    fn frames_that_are_too_short_or_too_large_are_refused() {
        assert!(rgb_from_yuyv(&[0; 7], 2, 2, &mut Buffers::default()).is_err());
        assert!(rgb_from_nv12(&[0; 5], 2, 2, &mut Buffers::default()).is_err());
        let planes = [(&[0; 4][..], 2), (&[][..], 1), (&[0; 1][..], 1)];
        assert!(rgb_from_i420(&I420 { width: 2, height: 2, planes }, &mut Buffers::default()).is_err());
        assert!(rgb_from_yuyv(&[], 0, 0, &mut Buffers::default()).is_err());
        assert!(rgb_len(10_000, 10_000).is_err());
        assert_eq!(rgb_len(1, 1).unwrap(), 3);
    }

    #[test]
    fn a_jpeg_with_trailing_garbage_is_read_and_half_a_jpeg_is_not() {
        let mut jpeg = Vec::new();
        let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([4 * x as u8, 5 * y as u8, 90]));
        picture.write_with_encoder(image::codecs::jpeg::JpegEncoder::new(&mut jpeg)).unwrap();
        let whole = rgb_from_jpeg(&jpeg, &mut Buffers::default()).unwrap();
        assert_eq!((whole.width, whole.height), (64, 48));

        let padded = [&jpeg[..], &[0xAB; 5000]].concat();
        assert_eq!(rgb_from_jpeg(&padded, &mut Buffers::default()).unwrap().pixels, whole.pixels);
        assert!(rgb_from_jpeg(&jpeg[..jpeg.len() / 2], &mut Buffers::default()).is_err());
        assert!(rgb_from_jpeg(&jpeg[..20], &mut Buffers::default()).is_err());
        assert!(rgb_from_jpeg(b"", &mut Buffers::default()).is_err());
    }
}
