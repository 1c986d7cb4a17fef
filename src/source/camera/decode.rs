//! From what a camera delivers to a picture.

use anyhow::{Result, ensure};

use super::device::Opened;
use super::format::{CameraFormat, PixelFormat};
use super::h264::H264;
use super::worker::Packet;
use crate::source::pixels::{
    Chroma, First, Rgb, rgb_from_grey, rgb_from_jpeg, rgb_from_nv12, rgb_from_rgb3, rgb_from_uyvy, rgb_from_yu12,
    rgb_from_yuyv,
};
use crate::system::buffers::Buffers;

/// Decodes a frame; `h264` is for what that format keeps from frame to frame. One that is damaged, or of another size than
/// was agreed on, is an error. None is what there is before the first key frame.
pub(super) fn decode(
    packet: &Packet,
    opened: &Opened,
    h264: &mut Option<H264>,
    buffers: &mut Buffers<[u8]>,
) -> Result<Option<Rgb>> {
    let &Opened { format: CameraFormat { pixel_format, width, height, .. }, stride, encoding } = opened;
    let (bytes, size) = (packet.frame(), (width, height));
    ensure!(!packet.damaged || pixel_format == PixelFormat::H264, "a frame that is damaged");
    let picture = match pixel_format {
        PixelFormat::H264 => {
            let stream = match h264 {
                Some(stream) => stream,
                None => h264.insert(H264::new()?),
            };
            let Some(picture) = stream.decode(packet, buffers)? else { return Ok(None) };
            picture
        }
        PixelFormat::Mjpeg => rgb_from_jpeg(bytes, buffers)?,
        PixelFormat::Yuyv => rgb_from_yuyv(bytes, width, height, stride, encoding, buffers)?,
        PixelFormat::Uyvy => rgb_from_uyvy(bytes, width, height, stride, encoding, buffers)?,
        PixelFormat::Yu12 => rgb_from_yu12(bytes, size, stride, Chroma::UThenV, encoding, buffers)?,
        PixelFormat::Yv12 => rgb_from_yu12(bytes, size, stride, Chroma::VThenU, encoding, buffers)?,
        PixelFormat::Rgb3 => rgb_from_rgb3(bytes, size, stride, First::Red, buffers)?,
        PixelFormat::Bgr3 => rgb_from_rgb3(bytes, size, stride, First::Blue, buffers)?,
        PixelFormat::Nv12 => rgb_from_nv12(bytes, width, height, stride, encoding, buffers)?,
        PixelFormat::Grey => rgb_from_grey(bytes, width, height, stride, encoding.range, buffers)?,
    };
    ensure!(
        (picture.width, picture.height) == size,
        "a frame of {}x{} where {width}x{height} was agreed on",
        picture.width,
        picture.height
    );
    Ok(Some(picture))
}

#[cfg(test)]
mod tests {
    use super::super::tests::packet;
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
        let decode = |packet: &Packet| decode(packet, &opened, &mut None, &mut Buffers::default());
        let error = decode(&packet(1, &jpeg)).err().expect("another size");
        assert!(error.to_string().contains("4x2 where 2x2 was agreed on"), "{error}");
    }

    #[test]
    fn every_format_is_decoded_as_what_it_is() {
        // A pixel of blue and one of red above two of grey; a color that pixels share is grey. Limited range.
        let cases: [(PixelFormat, usize, &[u8]); 6] = [
            (PixelFormat::Yuyv, 4, &[41, 128, 81, 128, 126, 128, 126, 128]),
            (PixelFormat::Uyvy, 4, &[128, 41, 128, 81, 128, 126, 128, 126]),
            (PixelFormat::Nv12, 2, &[41, 81, 126, 126, 128, 128]),
            (PixelFormat::Yu12, 2, &[41, 81, 126, 126, 128, 128]),
            (PixelFormat::Rgb3, 6, &[29, 29, 29, 76, 76, 76, 128, 128, 128, 128, 128, 128]),
            (PixelFormat::Bgr3, 6, &[29, 29, 29, 76, 76, 76, 128, 128, 128, 128, 128, 128]),
        ];
        let rate = Rate { frames: 30, seconds: 1 };
        for (pixel_format, stride, bytes) in cases {
            let format = CameraFormat { pixel_format, width: 2, height: 2, rate };
            let opened = Opened { format, stride, encoding: Encoding::default() };
            let picture = decode(&packet(1, bytes), &opened, &mut None, &mut Buffers::default());
            let pixels = picture.expect("whole").expect("a picture").pixels;
            for (found, expected) in pixels.iter().zip([29, 29, 29, 76, 76, 76, 128, 128, 128, 128, 128, 128]) {
                assert!(found.abs_diff(expected) <= 1, "{pixel_format}: {pixels:?}");
            }
        }
        // U and V, blue and red, in their order.
        for (pixel_format, stride, bytes) in [
            (PixelFormat::Yu12, 2, &[81, 81, 81, 81, 90, 240][..]),
            (PixelFormat::Yv12, 2, &[81, 81, 81, 81, 240, 90]),
            (PixelFormat::Uyvy, 4, &[90, 81, 240, 81, 90, 81, 240, 81]),
            (PixelFormat::Rgb3, 6, &[255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0]),
            (PixelFormat::Bgr3, 6, &[0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255]),
        ] {
            let format = CameraFormat { pixel_format, width: 2, height: 2, rate };
            let opened = Opened { format, stride, encoding: Encoding::default() };
            let picture = decode(&packet(1, bytes), &opened, &mut None, &mut Buffers::default());
            let pixels = picture.expect("whole").expect("a picture").pixels;
            assert!(pixels.chunks(3).all(|rgb| rgb[0] > 250 && rgb[1] < 5 && rgb[2] < 5), "{pixel_format}: {pixels:?}");
        }
    }
}
