//! From what a camera delivers to a picture.

use anyhow::{Result, ensure};

use super::device::Opened;
use super::format::{CameraFormat, PixelFormat};
use crate::source::pixels::{Rgb, rgb_from_grey, rgb_from_jpeg, rgb_from_nv12, rgb_from_yuyv};
use crate::system::buffers::Buffers;

/// Decodes a frame. One that is damaged, or of another size than was agreed on, is an error.
pub(super) fn decode(bytes: &[u8], opened: &Opened, buffers: &mut Buffers<[u8]>) -> Result<Rgb> {
    let &Opened { format: CameraFormat { pixel_format, width, height, .. }, stride, encoding } = opened;
    let picture = match pixel_format {
        PixelFormat::Mjpeg => rgb_from_jpeg(bytes, buffers)?,
        PixelFormat::Yuyv => rgb_from_yuyv(bytes, width, height, stride, encoding, buffers)?,
        PixelFormat::Nv12 => rgb_from_nv12(bytes, width, height, stride, encoding, buffers)?,
        PixelFormat::Grey => rgb_from_grey(bytes, width, height, stride, encoding.range, buffers)?,
    };
    ensure!(
        (picture.width, picture.height) == (width, height),
        "a frame of {}x{} where {width}x{height} was agreed on",
        picture.width,
        picture.height
    );
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::camera::format::Rate;
    use crate::source::pixels::Encoding;

    #[test]
    fn frames_that_are_not_what_was_agreed_on_are_errors() {
        let rate = Rate { frames: 30, seconds: 1 };
        let format = CameraFormat { pixel_format: PixelFormat::Mjpeg, width: 2, height: 2, rate };
        let opened = Opened { format, stride: 0, encoding: Encoding::default() };
        let mut jpeg = Vec::new();
        let picture = image::RgbImage::new(4, 2);
        picture.write_with_encoder(image::codecs::jpeg::JpegEncoder::new(&mut jpeg)).expect("a JPEG");
        let error = decode(&jpeg, &opened, &mut Buffers::default()).err().expect("another size");
        assert!(error.to_string().contains("4x2 where 2x2 was agreed on"), "{error}");
    }
}
