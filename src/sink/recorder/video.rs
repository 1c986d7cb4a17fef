//! A video in the making: pictures and their times in, an MP4 file out.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use fast_image_resize::Resizer;
use image::RgbImage;
use openh264::encoder::Encoder;
use openh264::formats::{RgbSliceU8, YUVBuffer};

use super::container::{Description, Mp4File, TIMESCALE};
use super::encoder::{AccessUnit, COARSEST, encoder};
use crate::draw::fit::fitted_size;
use crate::sink::framed::framed;
use crate::sink::options::Quality;
use crate::sink::record::Record;

/// How long a video's only frame is shown.
pub(super) const LONE_FRAME: u32 = TIMESCALE / 30;

/// The longest time, in ticks, that one frame can be shown (six hours); the file format counts in 32 bits.
const LONGEST_FRAME: u64 = 1 << 31;

/// The largest sides, longer and shorter, of H.264 level 5.2 that the encoder takes.
const LARGEST: (u32, u32) = (3840, 2160);

/// H.264 codes blocks of 16 by 16 pixels; the encoder takes nothing smaller than one.
const BLOCK: u32 = 16;

/// How much coarser a picture is coded that was too much for the encoder. At the default even white noise is not.
const COARSER: u8 = 4;

/// A video that grows.
pub(super) struct Video {
    encoder: Encoder,
    /// How coarsely it codes by now.
    crf: u8,
    yuv: YUVBuffer,
    resizer: Resizer,
    container: Container,
    /// The size of the first frame.
    size: (u32, u32),
    /// The size of the video: even, as colors are coded for blocks of two by two pixels.
    coded_size: (u32, u32),
    /// The tick of the first frame.
    origin: u64,
    /// The tick and the last frame, which waits for the next one: that tells how long it is shown.
    pending: Option<(u64, AccessUnit)>,
    last_duration: u32,
    /// What made it.
    record: Option<Record>,
}

/// The file needs to know how the first frame was coded before anything is written.
enum Container {
    Planned(File),
    Open(Box<Mp4File>),
    /// Nothing more can be written; how long what is there can be played.
    Broken(Duration),
}

impl Video {
    /// A video of pictures that all have this size; others are fitted into it.
    pub(super) fn start(file: File, size: (u32, u32), Quality(crf): Quality) -> Result<Self> {
        let coded_size = coded_size(size);
        Ok(Self {
            encoder: encoder(crf)?,
            crf,
            yuv: YUVBuffer::new(coded_size.0 as usize, coded_size.1 as usize),
            resizer: Resizer::new(),
            container: Container::Planned(file),
            size,
            coded_size,
            origin: 0,
            pending: None,
            last_duration: LONE_FRAME,
            record: None,
        })
    }

    /// The size of the video, where it is smaller than its pictures.
    pub(super) fn scaled_to(&self) -> Option<(u32, u32)> {
        let (size, coded) = (self.size, self.coded_size);
        (size.0 > coded.0 || size.1 > coded.1).then_some(coded)
    }

    /// Has what made it written beside the description of the file, at the next time when that is written.
    pub(super) fn describe(&mut self, record: Option<&Record>) {
        self.record = record.cloned();
        if let Container::Open(file) = &mut self.container {
            file.describe(record);
        }
    }

    /// Adds a picture that is shown from `pts` on.
    ///
    /// # Errors
    /// When it can't be encoded or written. What is in the file by then can be played, and nothing more is taken.
    pub(super) fn append(&mut self, picture: &RgbImage, pts: Duration) -> Result<()> {
        ensure!(!matches!(self.container, Container::Broken(_)), self.broken());
        let coded = framed(&mut self.resizer, picture, self.size, self.coded_size)?;
        let (width, height) = self.coded_size;
        self.yuv.read_rgb8(RgbSliceU8::new(&coded, (width as usize, height as usize)));
        let tick = ticks(pts);
        if self.pending.is_none() {
            self.origin = tick;
        }
        let unit = self.encode()?;
        if let (Container::Open(file), Some(sps), Some(pps)) = (&self.container, &unit.sps, &unit.pps) {
            ensure!(file.is_described_by(sps, pps), "the H.264 encoder changed its stream in the middle");
        }
        let start = match self.pending.take() {
            None => {
                self.open(&unit)?;
                tick
            }
            Some((last_start, last)) => {
                // A clock that stands still or goes back must not stop the video.
                let duration = tick.saturating_sub(last_start).clamp(1, LONGEST_FRAME);
                self.write(&last, duration as u32)?;
                last_start + duration
            }
        };
        self.pending = Some((start, unit));
        Ok(())
    }

    /// Encodes the picture that was converted last. What is too much for the encoder, such as noise, is coded less well.
    fn encode(&mut self) -> Result<AccessUnit> {
        loop {
            match AccessUnit::encode(&mut self.encoder, &self.yuv) {
                Ok(unit) => return Ok(unit),
                Err(error) if self.crf >= COARSEST => return Err(error),
                Err(_) => {
                    let crf = (self.crf + COARSER).clamp(Quality::default().0, COARSEST);
                    (self.encoder, self.crf) = (encoder(crf)?, crf);
                }
            }
        }
    }

    fn open(&mut self, first: &AccessUnit) -> Result<()> {
        let (Some(sps), Some(pps)) = (&first.sps, &first.pps) else {
            bail!("the H.264 encoder did not describe its stream");
        };
        // The first four bytes name profile and level; the file format repeats them.
        ensure!(sps.len() >= 4, "the H.264 encoder described its stream in {} bytes, expected at least 4", sps.len());
        let size = (self.coded_size.0.try_into()?, self.coded_size.1.try_into()?);
        let record = self.record.as_ref().map(Record::text);
        let description = Description { size, sps: sps.clone(), pps: pps.clone(), record };
        match std::mem::replace(&mut self.container, Container::Broken(Duration::ZERO)) {
            Container::Planned(file) => {
                self.container = Container::Open(Box::new(Mp4File::start(file, description)?));
                Ok(())
            }
            Container::Open(_) | Container::Broken(_) => bail!("the video has begun already"),
        }
    }

    fn write(&mut self, unit: &AccessUnit, duration: u32) -> Result<()> {
        self.last_duration = duration;
        let Container::Open(file) = &mut self.container else { return Err(self.broken()) };
        let Err(error) = file.add(unit, duration) else { return Ok(()) };
        self.container = Container::Broken(file.playable());
        Err(error).context(self.broken())
    }

    fn broken(&self) -> anyhow::Error {
        match &self.container {
            Container::Broken(playable) => anyhow!(no_more_than(*playable)),
            Container::Planned(_) | Container::Open(_) => anyhow!(no_more_than(Duration::ZERO)),
        }
    }

    /// Writes the last frame, which is shown until `hold`, else as long as the one before it unless that was a gap, and
    /// completes the file. Returns how long the video is.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(super) fn finish(mut self: Box<Self>, hold: Option<Duration>) -> Result<Duration> {
        if let Some((start, last)) = self.pending.take() {
            let held = hold.map(|hold| ticks(hold).saturating_sub(start).clamp(1, LONGEST_FRAME) as u32);
            self.write(&last, held.unwrap_or(self.last_duration.min(TIMESCALE)))?;
        }
        match &mut self.container {
            Container::Open(file) => {
                file.finish().with_context(|| no_more_than(file.playable()))?;
                Ok(file.playable())
            }
            Container::Planned(_) | Container::Broken(_) => Err(self.broken()),
        }
    }
}

/// What is left of a video that could not be written to its end.
fn no_more_than(playable: Duration) -> String {
    if playable.is_zero() {
        return "nothing of it can be played".to_owned();
    }
    format!("no more than its first {:.1} s can be played", playable.as_secs_f64())
}

/// The size of a video of pictures of a size: theirs, or what the encoder takes.
fn coded_size(size: (u32, u32)) -> (u32, u32) {
    let largest = if size.0 >= size.1 { LARGEST } else { (LARGEST.1, LARGEST.0) };
    let fits = size.0 <= largest.0 && size.1 <= largest.1;
    let (width, height) = if fits { size } else { fitted_size(size, largest) };
    (coded_side(width), coded_side(height))
}

/// The side of a video that can hold a side of a picture.
fn coded_side(side: u32) -> u32 {
    side.max(BLOCK).next_multiple_of(2)
}

/// A time in ticks, rounded.
fn ticks(time: Duration) -> u64 {
    let ticks = (time.as_nanos() * u128::from(TIMESCALE) + 500_000_000) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX / 2)
}
