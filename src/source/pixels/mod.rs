//! Pixel formats that cameras and the built-in video decoder deliver, turned into RGB8.
//!
//! Owns the layouts and the colors that they stand for; knows nothing of devices and files. The arithmetic is in
//! `convert.rs`, JPEG in `jpeg.rs`. Everything goes in and comes out row-major with the top row first, and every length is
//! checked against width, height and stride before it is relied on. A frame that is too short is an error; bytes after its
//! end are ignored. Pictures come out in buffers that are used again.

mod convert;
mod jpeg;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};

pub(in crate::source) use self::convert::{Encoding, Matrix, Range};
use self::convert::{Row, write_rgb};
pub(super) use self::jpeg::rgb_from_jpeg;
use crate::flow::frame::MAX_PIXELS;
use crate::system::buffers::Buffers;

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

/// Which plane of chroma comes first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chroma {
    /// As in YU12, also called I420.
    UThenV,
    /// As in YV12.
    VThenU,
}

/// Which color is the first byte of a pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum First {
    /// As in RGB3.
    Red,
    /// As in BGR3.
    Blue,
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

/// YUYV (also called YUY2): two pixels in four bytes, `Y U Y V`. Drivers round an odd width up to whole pairs, and may pad
/// each row to `stride` bytes.
pub(super) fn rgb_from_yuyv(
    bytes: &[u8],
    width: u32,
    height: u32,
    stride: usize,
    encoding: Encoding,
    buffers: &mut Buffers<[u8]>,
) -> Result<Rgb> {
    let (columns, rows) = columns_and_rows(width, height)?;
    let frame = Plane::new("a YUYV frame", bytes, stride, columns.div_ceil(2) * 4, rows)?;
    rgb_from_rows(width, height, encoding, buffers, |y| Row::Yuyv(frame.row(y)))
}

/// UYVY, of capture cards: as YUYV, with the other order in each pair of bytes.
pub(super) fn rgb_from_uyvy(
    bytes: &[u8],
    width: u32,
    height: u32,
    stride: usize,
    encoding: Encoding,
    buffers: &mut Buffers<[u8]>,
) -> Result<Rgb> {
    let (columns, rows) = columns_and_rows(width, height)?;
    let frame = Plane::new("a UYVY frame", bytes, stride, columns.div_ceil(2) * 4, rows)?;
    rgb_from_rows(width, height, encoding, buffers, |y| Row::Uyvy(frame.row(y)))
}

/// NV12: a plane of luma, then one of alternating U and V at half the resolution. `stride` is that of both.
pub(super) fn rgb_from_nv12(
    bytes: &[u8],
    width: u32,
    height: u32,
    stride: usize,
    encoding: Encoding,
    buffers: &mut Buffers<[u8]>,
) -> Result<Rgb> {
    let (columns, rows) = columns_and_rows(width, height)?;
    let luma_len = stride.saturating_mul(rows).min(bytes.len());
    let luma = Plane::new("the luma of an NV12 frame", &bytes[..luma_len], stride, columns, rows)?;
    let (pairs_len, chroma_rows) = (columns.next_multiple_of(2), rows.div_ceil(2));
    let chroma = Plane::new("the chroma of an NV12 frame", &bytes[luma_len..], stride, pairs_len, chroma_rows)?;
    rgb_from_rows(width, height, encoding, buffers, |y| Row::Nv12 { luma: luma.row(y), chroma: chroma.row(y / 2) })
}

/// One byte of luma a pixel, as infrared cameras deliver it. V4L2's GREY is in full range.
pub(super) fn rgb_from_grey(
    bytes: &[u8],
    width: u32,
    height: u32,
    stride: usize,
    range: Range,
    buffers: &mut Buffers<[u8]>,
) -> Result<Rgb> {
    let (columns, rows) = columns_and_rows(width, height)?;
    let frame = Plane::new("a grey frame", bytes, stride, columns, rows)?;
    // Without chroma the matrix does not matter.
    let encoding = Encoding { matrix: Matrix::default(), range };
    rgb_from_rows(width, height, encoding, buffers, |y| Row::Grey(frame.row(y)))
}

/// YU12, with luma, U and V in planes one after the other, and YV12, where V comes before U. `stride` is that of luma, and
/// twice that of chroma.
pub(super) fn rgb_from_yu12(
    bytes: &[u8],
    (width, height): (u32, u32),
    stride: usize,
    order: Chroma,
    encoding: Encoding,
    buffers: &mut Buffers<[u8]>,
) -> Result<Rgb> {
    let (columns, rows) = columns_and_rows(width, height)?;
    let (chroma_stride, chroma_rows) = (stride.div_ceil(2), rows.div_ceil(2));
    let (luma, chroma) = bytes.split_at(stride.saturating_mul(rows).min(bytes.len()));
    let (first, second) = chroma.split_at(chroma_stride.saturating_mul(chroma_rows).min(chroma.len()));
    let luma = Plane::new("the luma of a YU12 or YV12 frame", luma, stride, columns, rows)?;
    let chroma = |bytes| {
        Plane::new("the chroma of a YU12 or YV12 frame", bytes, chroma_stride, columns.div_ceil(2), chroma_rows)
    };
    let (first, second) = (chroma(first)?, chroma(second)?);
    let (u, v) = match order {
        Chroma::UThenV => (first, second),
        Chroma::VThenU => (second, first),
    };
    rgb_from_rows(width, height, encoding, buffers, |y| Row::Planar {
        luma: luma.row(y),
        u: u.row(y / 2),
        v: v.row(y / 2),
    })
}

/// RGB3 and BGR3: three bytes a pixel, in full range.
pub(super) fn rgb_from_rgb3(
    bytes: &[u8],
    (width, height): (u32, u32),
    stride: usize,
    first: First,
    buffers: &mut Buffers<[u8]>,
) -> Result<Rgb> {
    let (columns, rows) = columns_and_rows(width, height)?;
    let frame = Plane::new("an RGB frame", bytes, stride, 3 * columns, rows)?;
    let mut pixels = buffers.bytes(rgb_len(width, height)?);
    for (y, line) in Arc::make_mut(&mut pixels).chunks_exact_mut(3 * columns).enumerate() {
        line.copy_from_slice(frame.row(y));
        if first == First::Blue {
            line.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.reverse());
        }
    }
    buffers.keep(&pixels);
    Ok(Rgb { width, height, pixels })
}

/// Planar 4:2:0, in the default encoding. Where the height is odd and the last row of chroma is missing, the one above it
/// stands in.
pub(super) fn rgb_from_i420(picture: &I420, buffers: &mut Buffers<[u8]>) -> Result<Rgb> {
    let &I420 { width, height, planes: [luma, u, v] } = picture;
    let (columns, rows) = columns_and_rows(width, height)?;
    let chroma_rows = (rows / 2).max(1);
    let luma = Plane::new("the luma of a video frame", luma.0, luma.1, columns, rows)?;
    let chroma =
        |(bytes, stride)| Plane::new("the chroma of a video frame", bytes, stride, columns.div_ceil(2), chroma_rows);
    let (u, v) = (chroma(u)?, chroma(v)?);
    rgb_from_rows(width, height, Encoding::default(), buffers, |y| {
        let chroma_row = (y / 2).min(chroma_rows - 1);
        Row::Planar { luma: luma.row(y), u: u.row(chroma_row), v: v.row(chroma_row) }
    })
}

/// Neither is 0, and a picture of this size is one that emocam takes in.
fn columns_and_rows(width: u32, height: u32) -> Result<(usize, usize)> {
    rgb_len(width, height)?;
    Ok((width as usize, height as usize))
}

fn rgb_from_rows<'a>(
    width: u32,
    height: u32,
    encoding: Encoding,
    buffers: &mut Buffers<[u8]>,
    row_at: impl Fn(usize) -> Row<'a>,
) -> Result<Rgb> {
    let mut pixels = buffers.bytes(rgb_len(width, height)?);
    write_rgb(Arc::make_mut(&mut pixels), width as usize, encoding, row_at);
    buffers.keep(&pixels);
    Ok(Rgb { width, height, pixels })
}

/// Rows of bytes at a distance of `stride`, all of them there.
struct Plane<'a> {
    bytes: &'a [u8],
    stride: usize,
    row_len: usize,
}

impl<'a> Plane<'a> {
    /// The last row need not be padded.
    fn new(name: &str, bytes: &'a [u8], stride: usize, row_len: usize, rows: usize) -> Result<Self> {
        ensure!(stride >= row_len, "{name}: {stride} bytes from row to row, where a row has {row_len}");
        let expected = stride.checked_mul(rows - 1).and_then(|before_last| before_last.checked_add(row_len));
        ensure!(
            expected.is_some_and(|expected| bytes.len() >= expected),
            "{name}: {} bytes, where {rows} rows at a distance of {stride} bytes were expected",
            bytes.len()
        );
        Ok(Self { bytes, stride, row_len })
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride..][..self.row_len]
    }
}
