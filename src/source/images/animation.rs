//! Pictures that move. An animated WebP is a video of its own kind; here are its frames, each as it is to be seen, with its
//! time. An animated GIF is one for ffmpeg.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::{AnimationDecoder, ImageDecoder, ImageFormat};
use image_webp::WebPDecoder;

use super::decode::over_white;
use crate::flow::frame::Frame;
use crate::source::pixels::rgb_len;
use crate::source::{Source, SourceInfo};

/// What browsers make of a frame that is to be shown for 10 ms or less: it was never meant so.
const DEFAULT_TIME: Duration = Duration::from_millis(100);

/// The kind of a picture with more than one frame; `None` where it has one, or can't be read.
pub(super) fn animated(mut picture: impl BufRead + Seek) -> Option<ImageFormat> {
    let format = image::guess_format(picture.fill_buf().ok()?).ok()?;
    let is_animated = match format {
        ImageFormat::WebP => WebPDecoder::new(picture).ok()?.is_animated(),
        ImageFormat::Png => PngDecoder::new(picture).ok()?.is_apng().ok()?,
        ImageFormat::Gif => {
            let decoder = GifDecoder::new(picture).ok()?;
            let (width, height) = decoder.dimensions();
            rgb_len(width, height).ok()?;
            decoder.into_frames().flatten().take(2).count() == 2
        }
        _ => false,
    };
    is_animated.then_some(format)
}

/// The frames of an animated WebP, once.
pub(super) struct AnimationSource {
    info: SourceInfo,
    decoder: WebPDecoder<BufReader<File>>,
    /// A frame as the decoder gives it.
    canvas: Vec<u8>,
    next_id: u32,
    /// When the next frame is shown.
    time: Duration,
}

impl AnimationSource {
    /// Reads where the frames are.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let open = || -> Result<(WebPDecoder<_>, Vec<u8>)> {
            let mut file = BufReader::new(File::open(path)?);
            // A frame that is missing as a whole is not missed by the decoder. The length counts from behind itself.
            let mut start = [0; 8];
            file.read_exact(&mut start)?;
            let [.., a, b, c, d] = start;
            let (len, expected) = (file.get_ref().metadata()?.len(), u64::from(u32::from_le_bytes([a, b, c, d])) + 8);
            ensure!(len >= expected, "cut short: {len} bytes of {expected}");
            file.rewind()?;
            let decoder = WebPDecoder::new(file).context("a damaged WebP")?;
            let (width, height) = decoder.dimensions();
            rgb_len(width, height)?;
            ensure!(decoder.is_animated(), "a WebP that does not move");
            let len = decoder.output_buffer_size().context("a WebP larger than this machine's memory")?;
            Ok((decoder, vec![0; len]))
        };
        let (decoder, canvas) = open().with_context(|| name.clone())?;
        let seconds = Duration::from_millis(decoder.loop_duration()).as_secs_f64();
        let frames = decoder.num_frames();
        let fps = Some(f64::from(frames) / seconds).filter(|fps| fps.is_finite());
        let info = SourceInfo { name, frames: Some(frames.into()), fps, ..Default::default() };
        Ok(Self { info, decoder, canvas, next_id: 0, time: Duration::ZERO })
    }
}

impl Source for AnimationSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let (id, count) = (self.next_id, self.decoder.num_frames());
        if id >= count {
            return Ok(None);
        }
        // After an error there is nothing more.
        self.next_id = count;
        let milliseconds = self
            .decoder
            .read_frame(&mut self.canvas)
            .with_context(|| format!("{}: frame {id} of {count} is damaged or cut short", self.info.name))?;
        self.next_id = id + 1;
        let pixels = if self.decoder.has_alpha() { over_white(&self.canvas) } else { self.canvas.as_slice().into() };
        let duration = if milliseconds > 10 { Duration::from_millis(milliseconds.into()) } else { DEFAULT_TIME };
        let frame = Frame::new(id.into(), self.time, self.decoder.dimensions(), pixels);
        self.time += duration;
        Ok(Some(Frame { duration: Some(duration), ..frame }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A chunk of a RIFF file; its length must be even.
    fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [name.as_slice(), &(body.len() as u32).to_le_bytes(), body].concat()
    }

    /// An animated WebP of plain frames of 2x2, each for so many milliseconds.
    fn webp(frames: &[([u8; 4], u32)]) -> Vec<u8> {
        let frame = |&(color, milliseconds): &([u8; 4], u32)| {
            let mut still = Cursor::new(Vec::new());
            image::RgbaImage::from_pixel(2, 2, image::Rgba(color)).write_to(&mut still, ImageFormat::WebP).unwrap();
            let still = still.into_inner();
            let place = [0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0];
            let time = milliseconds.to_le_bytes();
            // Not blended with what was there.
            chunk(b"ANMF", &[&place[..], &time[..3], &[2], &still[12..]].concat())
        };
        let canvas = chunk(b"VP8X", &[0b0001_0010, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
        let animation = chunk(b"ANIM", &[0, 0, 0, 0, 0, 0]);
        let body = [b"WEBP".to_vec(), canvas, animation, frames.iter().flat_map(frame).collect()].concat();
        chunk(b"RIFF", &body)
    }

    fn open(bytes: &[u8]) -> Result<AnimationSource> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        AnimationSource::open(file.path())
    }

    #[test]
    fn each_frame_of_a_webp_has_its_time_and_lies_over_white() {
        let bytes = webp(&[([200, 0, 0, 255], 40), ([0, 0, 200, 0], 0), ([0, 9, 0, 255], 250)]);
        assert_eq!(animated(Cursor::new(&bytes)), Some(ImageFormat::WebP));
        let mut source = open(&bytes).unwrap();
        assert_eq!(source.info().frames, Some(3));
        let frames: Vec<Frame> = std::iter::from_fn(|| source.next_frame().unwrap()).collect();
        let known =
            |frame: &Frame| (frame.pts.as_millis(), frame.duration.unwrap().as_millis(), frame.rgb[..3].to_vec());
        let known: Vec<_> = frames.iter().map(known).collect();
        assert_eq!(known, [(0, 40, vec![200, 0, 0]), (40, 100, vec![255; 3]), (140, 250, vec![0, 9, 0])]);
    }

    #[test]
    fn a_webp_that_is_cut_short_is_an_error_and_then_the_end() {
        let whole = webp(&[([200, 0, 0, 255], 40), ([0, 0, 200, 255], 40)]);
        assert!((0..whole.len()).all(|len| open(&whole[..len]).is_err()));
        // The second frame's picture is no picture.
        let mut damaged = whole;
        let last = damaged.windows(4).rposition(|name| name == b"VP8L").unwrap();
        damaged[last + 8] = 0;
        let mut source = open(&damaged).unwrap();
        assert!(source.next_frame().unwrap().is_some());
        assert!(source.next_frame().unwrap_err().to_string().contains("frame 1 of 2"));
        assert!(source.next_frame().unwrap().is_none());
    }

    #[test]
    fn pictures_of_one_frame_do_not_move() {
        for format in [ImageFormat::Gif, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
            let mut bytes = Cursor::new(Vec::new());
            image::RgbaImage::new(2, 2).write_to(&mut bytes, format).unwrap();
            assert_eq!(animated(Cursor::new(bytes.into_inner())), None, "{format:?}");
        }
        assert_eq!(animated(Cursor::new(b"")), None);
        let mut gif = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
        encoder.encode_frames((0..2).map(|_| image::Frame::new(image::RgbaImage::new(2, 2)))).unwrap();
        drop(encoder);
        assert_eq!(animated(Cursor::new(gif)), Some(ImageFormat::Gif));
    }
}
