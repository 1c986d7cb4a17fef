//! The video decoder inside the program: H.264 without B-frames in MP4, by OpenH264.
//!
//! Owns the way from samples to frames: the change of framing from MP4's to the decoder's, the pairing of pictures with
//! times, and the turning of pictures that were filmed with the camera on its side. Reads from a file as well as from
//! memory. Colors are taken as BT.601 in limited range, whatever matrix the stream may name.

use std::collections::VecDeque;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;

use super::mp4_index::{Sample, VideoIndex};
use super::pixels::{I420, Rgb, rgb_from_i420};
use super::{Source, SourceInfo};
use crate::flow::frame::Frame;
use crate::system::buffers::Buffers;

/// What ends each unit's predecessor in the decoder's framing (ISO/IEC 14496-10, annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// A video that is decoded in this process.
pub(super) struct H264Source<R> {
    info: SourceInfo,
    file: R,
    file_len: u64,
    decoder: Decoder,
    length_size: usize,
    samples: Vec<Sample>,
    orientation: Orientation,
    next_sample: usize,
    /// How many samples at the front are not shown, and how long the last one is.
    hidden: usize,
    last_duration: Duration,
    /// Which samples went into the decoder and have not come out as pictures.
    pending: VecDeque<usize>,
    /// Pictures that have come out and were not asked for yet.
    ready: VecDeque<Rgb>,
    buffers: Buffers<[u8]>,
    next_id: u64,
    ended: bool,
    sample: Vec<u8>,
    units: Vec<u8>,
}

impl<R: Read + Seek + Send> H264Source<R> {
    /// Reads the file's index and makes the decoder ready. `name` is for people.
    pub(super) fn open(mut file: R, name: String) -> Result<Self> {
        let index = VideoIndex::read(&mut file).with_context(|| name.clone())?;
        let file_len = file.seek(SeekFrom::End(0)).with_context(|| name.clone())?;
        let mut decoder = Decoder::new().context("cannot start the built-in H.264 decoder")?;
        let mut units = Vec::new();
        for set in &index.parameter_sets {
            units.extend_from_slice(&START_CODE);
            units.extend_from_slice(set);
        }
        decoder.decode(&units).map_err(undecodable).with_context(|| name.clone())?;
        Ok(Self {
            info: SourceInfo {
                name,
                frames: Some((index.samples.len() - index.hidden) as u64),
                fps: index.fps,
                ..Default::default()
            },
            file,
            file_len,
            decoder,
            length_size: index.length_size,
            samples: index.samples,
            orientation: index.orientation,
            next_sample: 0,
            hidden: index.hidden,
            last_duration: index.last_duration,
            pending: VecDeque::new(),
            ready: VecDeque::new(),
            buffers: Buffers::default(),
            next_id: 0,
            ended: false,
            sample: Vec::new(),
            units,
        })
    }

    fn read_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            match self.next_picture()? {
                None => return Ok(None),
                // What was cut off is decoded because what is shown may build on it.
                Some((sample, _)) if sample < self.hidden => {}
                Some((sample, picture)) => return self.frame(sample, picture).map(Some),
            }
        }
    }

    fn frame(&mut self, sample: usize, picture: Rgb) -> Result<Frame> {
        let Rgb { width, height, pixels } = turned(picture, self.orientation)?;
        let pts = self.samples[sample].start - self.samples[self.hidden].start;
        let id = self.next_id;
        self.next_id += 1;
        let duration = (sample + 1 == self.samples.len()).then_some(self.last_duration);
        Ok(Frame { duration, ..Frame::new(id, pts, (width, height), pixels) })
    }

    /// The next picture, and the number of its sample.
    fn next_picture(&mut self) -> Result<Option<(usize, Rgb)>> {
        while self.ready.is_empty() {
            if self.next_sample == self.samples.len() {
                // At the end: the pictures that the decoder has held back.
                for picture in self.decoder.flush_remaining().map_err(undecodable)? {
                    self.ready.push_back(rgb_from_decoded(&picture, &mut self.buffers)?);
                }
                break;
            }
            self.decode_next_sample()
                .with_context(|| format!("frame {} of {} cannot be read", self.next_sample + 1, self.samples.len()))?;
            self.next_sample += 1;
        }
        let Some(picture) = self.ready.pop_front() else {
            // A sample that gave no picture is a picture that is missing.
            let missing = self.pending.len();
            ensure!(missing == 0, "{missing} of {} frames could not be decoded", self.samples.len());
            return Ok(None);
        };
        let sample = self.pending.pop_front().context("the decoder made more pictures than there are frames")?;
        Ok(Some((sample, picture)))
    }

    fn decode_next_sample(&mut self) -> Result<()> {
        let sample = self.samples[self.next_sample];
        let end = sample.offset.saturating_add(u64::from(sample.size));
        ensure!(end <= self.file_len, "the file is cut short: it has {} bytes, the frame ends at {end}", self.file_len);
        self.sample.resize(sample.size as usize, 0);
        self.file.seek(SeekFrom::Start(sample.offset))?;
        self.file.read_exact(&mut self.sample)?;
        annex_b_from_mp4(&self.sample, self.length_size, &mut self.units)?;
        self.pending.push_back(self.next_sample);
        if let Some(picture) = self.decoder.decode(&self.units).map_err(undecodable)? {
            self.ready.push_back(rgb_from_decoded(&picture, &mut self.buffers)?);
        }
        Ok(())
    }
}

impl<R: Read + Seek + Send> Source for H264Source<R> {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if self.ended {
            return Ok(None);
        }
        let frame = self.read_frame().with_context(|| self.info.name.clone());
        self.ended = !matches!(frame, Ok(Some(_)));
        frame
    }
}

/// In MP4 each unit of a sample has its length before it, in annex B a start code.
fn annex_b_from_mp4(mut sample: &[u8], length_size: usize, units: &mut Vec<u8>) -> Result<()> {
    units.clear();
    while !sample.is_empty() {
        let (length, rest) = sample.split_at_checked(length_size).context("damaged: half a length")?;
        let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        let (unit, rest) = rest.split_at_checked(length).context("damaged: a unit reaches over the frame's end")?;
        units.extend_from_slice(&START_CODE);
        units.extend_from_slice(unit);
        sample = rest;
    }
    Ok(())
}

/// The library's own messages are numbers that mean nothing outside of it.
fn undecodable(_: openh264::Error) -> anyhow::Error {
    anyhow!("the stream is damaged, or of a kind that the built-in decoder does not read and ffmpeg does")
}

/// A picture as it comes out of the decoder.
pub(super) fn rgb_from_decoded(picture: &DecodedYUV, buffers: &mut Buffers<[u8]>) -> Result<Rgb> {
    let (width, height) = picture.dimensions();
    let (y_stride, u_stride, v_stride) = picture.strides();
    let planes = [(picture.y(), y_stride), (picture.u(), u_stride), (picture.v(), v_stride)];
    rgb_from_i420(&I420 { width: u32::try_from(width)?, height: u32::try_from(height)?, planes }, buffers)
}

fn turned(picture: Rgb, orientation: Orientation) -> Result<Rgb> {
    if orientation == Orientation::NoTransforms {
        return Ok(picture);
    }
    let image = RgbImage::from_raw(picture.width, picture.height, picture.pixels.to_vec());
    let mut image = DynamicImage::ImageRgb8(image.context("a picture of the wrong length")?);
    image.apply_orientation(orientation);
    Ok(Rgb { width: image.width(), height: image.height(), pixels: image.into_bytes().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_become_start_codes() {
        let mut units = vec![9];
        annex_b_from_mp4(&[0, 2, 7, 8, 0, 1, 6], 2, &mut units).unwrap();
        assert_eq!(units, [0, 0, 0, 1, 7, 8, 0, 0, 0, 1, 6]);
        assert!(annex_b_from_mp4(&[0, 3, 7, 8], 2, &mut units).is_err());
        assert!(annex_b_from_mp4(&[0], 2, &mut units).is_err());
        assert!(annex_b_from_mp4(&[0xFF; 4], 4, &mut units).is_err());
    }
}
