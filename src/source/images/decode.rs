//! How the bytes of a picture become RGB8: turned as its EXIF says, laid over white where it is transparent, reduced to 8
//! bits.
//!
//! A photo of 48 megapixels takes 144 MB as RGB8. Where nothing has to be laid over white, it is decoded to where it stays,
//! and turned there.

use std::io::Cursor;
use std::iter::repeat_n;
use std::sync::Arc;

use anyhow::{Context, Result};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, imageops};

use super::quarter::quarter_turn;
use crate::flow::frame::MAX_PIXELS;
use crate::source::pixels::{Rgb, rgb_from_jpeg, rgb_len};
use crate::system::buffers::Buffers;

/// The largest file that is read: one of `MAX_PIXELS` with 16 bits a channel and alpha, not compressed.
pub(crate) const MAX_FILE_BYTES: u64 = 8 * MAX_PIXELS + 1024 * 1024;

/// The most memory that the decoder of a picture may take.
const MAX_DECODER_BYTES: u64 = 16 * MAX_PIXELS;

/// Decodes a picture of any supported kind into 8-bit RGB, the way it is meant to be seen.
///
/// # Errors
/// When it is damaged or cut short, or has more than `MAX_PIXELS`.
pub(crate) fn rgb_from_bytes(bytes: &[u8]) -> Result<RgbImage> {
    let Rgb { width, height, pixels } = decode(bytes, &mut Buffers::default())?;
    RgbImage::from_raw(width, height, pixels.to_vec()).context("a picture of the wrong length")
}

/// As [`rgb_from_bytes`], into one of some buffers where that is possible.
pub(super) fn decode(bytes: &[u8], buffers: &mut Buffers<[u8]>) -> Result<Rgb> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let format = reader.format();
    let mut decoder = reader.into_decoder().context("not a picture, or a damaged one")?;
    let (width, height) = decoder.dimensions();
    let len = rgb_len(width, height)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    if format == Some(ImageFormat::Jpeg) {
        // Not by way of `image`, which fills up what is missing with grey.
        // Nobody else holds the buffer then, so that it can be turned.
        let mut own = Buffers::default();
        own.keep(&buffers.bytes(len));
        let jpeg = rgb_from_jpeg(bytes, &mut own).context("a damaged JPEG")?;
        drop(own);
        return turned(jpeg, orientation);
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    decoder.set_limits(limits).context("this picture takes too much memory")?;
    let pixels = if decoder.color_type() == ColorType::Rgb8 {
        let mut pixels = buffers.bytes(len);
        decoder.read_image(Arc::make_mut(&mut pixels)).context("a damaged picture")?;
        pixels
    } else {
        let picture = DynamicImage::from_decoder(decoder).context("a damaged picture")?;
        if picture.color().has_alpha() {
            over_white(&picture.into_rgba8())
        } else {
            picture.into_rgb8().into_raw().into()
        }
    };
    turned(Rgb { width, height, pixels }, orientation)
}

fn black(len: usize) -> Arc<[u8]> {
    repeat_n(0, len).collect()
}

/// RGBA8 as RGB8. White, because that is what a transparent picture is mostly shown on.
pub(super) fn over_white(rgba: &[u8]) -> Arc<[u8]> {
    let mut rgb = black(rgba.len() / 4 * 3);
    for (to, from) in Arc::make_mut(&mut rgb).as_chunks_mut::<3>().0.iter_mut().zip(rgba.as_chunks::<4>().0) {
        let [r, g, b, alpha] = from.map(u32::from);
        *to = [r, g, b].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    rgb
}

/// A picture as it is to be seen that was stored in another way. It is turned where it lies.
pub(super) fn turned(picture: Rgb, orientation: Orientation) -> Result<Rgb> {
    use Orientation::{FlipHorizontal, FlipVertical, Rotate90, Rotate90FlipH, Rotate180, Rotate270, Rotate270FlipH};
    let Rgb { mut width, mut height, mut pixels } = picture;
    let in_place = Arc::make_mut(&mut pixels);
    if matches!(orientation, Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH) {
        quarter_turn(in_place.as_chunks_mut().0, width as usize, height as usize);
        (width, height) = (height, width);
    }
    let view = ImageBuffer::<image::Rgb<u8>, _>::from_raw(width, height, in_place);
    let mut view = view.context("a picture of the wrong length")?;
    match orientation {
        Rotate180 | Rotate270 => imageops::rotate180_in_place(&mut view),
        FlipVertical | Rotate270FlipH => imageops::flip_vertical_in_place(&mut view),
        FlipHorizontal | Rotate90FlipH => imageops::flip_horizontal_in_place(&mut view),
        Orientation::NoTransforms | Rotate90 => {}
    }
    Ok(Rgb { width, height, pixels })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use image::{LumaA, Rgba};

    use super::*;

    fn saved(picture: &DynamicImage, name: &str) -> RgbImage {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        picture.save(&path).unwrap();
        read(&path)
    }

    fn read(path: &Path) -> RgbImage {
        rgb_from_bytes(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn what_is_half_transparent_lies_over_white() {
        let half = image::RgbaImage::from_pixel(1, 1, Rgba([0, 0, 255, 128]));
        assert_eq!(saved(&half.into(), "alpha.png").get_pixel(0, 0).0, [127, 127, 255]);
        let clear = ImageBuffer::from_pixel(1, 1, LumaA([0_u16, 0]));
        assert_eq!(saved(&clear.into(), "grey-alpha-16.png").get_pixel(0, 0).0, [255; 3]);
    }

    #[test]
    fn a_picture_is_turned_as_image_does_it() {
        let picture = RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, y as u8, 7]));
        for orientation in (1..=8).filter_map(Orientation::from_exif) {
            let mut expected = DynamicImage::from(picture.clone());
            expected.apply_orientation(orientation);
            let expected = expected.into_rgb8();
            let rgb = Rgb { width: 3, height: 2, pixels: picture.as_raw().as_slice().into() };
            let found = turned(rgb, orientation).unwrap();
            assert_eq!((found.width, found.height), expected.dimensions(), "{orientation:?}");
            assert_eq!(*found.pixels, **expected.as_raw(), "{orientation:?}");
        }
    }

    #[test]
    fn a_photo_is_turned_as_its_exif_says() {
        /// "To be turned a quarter clockwise": orientation (0x0112) 6, as the only entry.
        const EXIF: &[u8] = b"\xFF\xE1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photo.jpg");
        // White on the left, black on the right.
        let photo = RgbImage::from_fn(32, 16, |x, _| image::Rgb([if x < 16 { 255 } else { 0 }; 3]));
        photo.save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (start, rest) = bytes.split_at(2);
        std::fs::write(&path, [start, EXIF, rest].concat()).unwrap();

        let turned = read(&path);
        assert_eq!(turned.dimensions(), (16, 32));
        assert_eq!((turned.get_pixel(8, 2).0, turned.get_pixel(8, 30).0), ([255; 3], [0; 3]));
    }
}
