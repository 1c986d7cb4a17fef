//! Annotated frames as H.264 video in an MP4 file.
//!
//! Owns the file and its time line: one sample per frame, shown at the frame's own time, counted in ticks of 1/90000 s
//! from the first frame. The first frame sets the size of the video; frames of another size are fitted into it on black.
//! The file grows beside its place under a temporary name and takes its own name when it is complete, so a file of that
//! name can always be played. What is kept in memory is one second of video and the index, some bytes a frame.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufWriter;
use std::mem;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use fast_image_resize::Resizer;
use image::{RgbImage, imageops};
use mp4::{AvcConfig, FourCC, MediaConfig, Mp4Config, Mp4Sample, Mp4Writer, TrackConfig, TrackType};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Encoder, EncoderConfig, IntraFramePeriod, MatrixCoefficients, QpRange, RateControlMode, VuiConfig,
};
use openh264::formats::{RgbSliceU8, YUVBuffer};

use super::fit::{fitted_size, resized};
use super::part::PartFile;
use super::{Ending, OutputOptions, Shown, Sink, clean_picture_of, picture_of};
use crate::pipeline::Annotated;

/// Ticks a second; every common frame rate divides it.
const TIMESCALE: u32 = 90_000;

/// How long a video's only frame is shown.
const LONE_FRAME: u32 = TIMESCALE / 30;

/// The longest time, in ticks, that one frame can be shown (six hours); the file format counts in 32 bits.
const LONGEST_FRAME: u64 = 1 << 31;

/// The largest sides, longer and shorter, of H.264 level 5.2 that the encoder takes.
const LARGEST: (u32, u32) = (3840, 2160);

/// H.264 codes blocks of 16 by 16 pixels; the encoder takes nothing smaller than one.
const BLOCK: u32 = 16;

/// How coarsely detail is coded, 0 to 51: at 22 small letters stay sharp, at 26 they get a fringe.
const QUALITY: QpRange = QpRange::new(20, 22);

/// A player can jump to every 60th frame.
const KEY_FRAME_EVERY: u32 = 60;

const TRACK: u32 = 1;

/// A camera that gave nothing for so long is away.
const AWAY: Duration = Duration::from_secs(1);

/// Writes a video.
pub(super) struct Recorder {
    path: PathBuf,
    shown: Shown,
    /// Whether the source is a camera, or is shown as if it were one.
    live: bool,
    state: State,
}

enum State {
    /// Nothing came yet.
    Empty(PartFile),
    Recording { file: PartFile, video: Box<Video>, last: Moment },
    Finished,
}

/// When a frame was taken: by the source's clock and by this machine's.
#[derive(Clone, Copy)]
struct Moment {
    pts: Duration,
    captured_at: Instant,
}

impl Recorder {
    pub(super) fn create(path: &Path, shown: Shown, options: OutputOptions) -> Result<Self> {
        let file = PartFile::create(path, options.force, options.leftover())?;
        Ok(Self { path: path.to_path_buf(), shown, live: options.live, state: State::Empty(file) })
    }

    fn append(&mut self, picture: &RgbImage, now: Moment) -> Result<()> {
        self.state = match mem::replace(&mut self.state, State::Finished) {
            State::Empty(file) => match file.file().and_then(|file| Video::start(file, picture.dimensions())) {
                Ok(video) => State::Recording { file, video: Box::new(video), last: now },
                Err(error) => {
                    file.discard();
                    return Err(error);
                }
            },
            state => state,
        };
        match &mut self.state {
            State::Recording { video, last, .. } => {
                *last = now;
                video.append(picture, now.pts)
            }
            State::Empty(_) | State::Finished => bail!("the recording was ended before"),
        }
    }
}

impl Sink for Recorder {
    fn write(&mut self, annotated: &Annotated) -> Result<ControlFlow<()>> {
        let now = Moment { pts: annotated.frame.pts, captured_at: annotated.frame.captured_at };
        let appended = match self.shown {
            Shown::Annotated => self.append(&picture_of(annotated), now),
            Shown::Clean => clean_picture_of(annotated).and_then(|picture| self.append(&picture, now)),
        };
        appended
            .with_context(|| format!("frame {} can't be recorded to {}", annotated.frame.id, self.path.display()))?;
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        let name = self.path.display();
        match mem::replace(&mut self.state, State::Finished) {
            State::Finished => Ok(()),
            State::Empty(file) => {
                file.discard();
                ensure!(ending == Ending::CutOff, "{name} was not written: there was no frame to record");
                Ok(())
            }
            State::Recording { file, video, last } => {
                // A camera that is away leaves its last picture standing until the end.
                let away = last.captured_at.elapsed();
                let hold = (self.live && away > AWAY).then(|| last.pts + away);
                video.finish(hold).with_context(|| format!("{name} can't be completed"))?;
                if ending == Ending::Whole { file.complete() } else { Ok(()) }
            }
        }
    }
}

impl Drop for Recorder {
    /// A run that was cut short keeps what it recorded. There is nobody left to tell of a failure.
    fn drop(&mut self) {
        let _ = self.finish(Ending::CutOff);
    }
}

/// A video in the making: pictures in, an MP4 file out.
struct Video {
    encoder: Encoder,
    yuv: YUVBuffer,
    resizer: Resizer,
    muxer: Mp4Writer<BufWriter<File>>,
    /// The size of the first frame.
    size: (u32, u32),
    /// The size of the video: even, as colours are coded for blocks of two by two pixels.
    coded_size: (u32, u32),
    /// The tick of the first frame.
    origin: u64,
    /// The last frame waits for the next one, which tells how long it is shown.
    pending: Option<Pending>,
    last_duration: u32,
}

struct Pending {
    start: u64,
    sample: Mp4Sample,
}

impl Video {
    fn start(file: File, size: (u32, u32)) -> Result<Self> {
        let coded_size = (coded_side(size.0), coded_side(size.1));
        let (longer, shorter) = (coded_size.0.max(coded_size.1), coded_size.0.min(coded_size.1));
        ensure!(
            longer <= LARGEST.0 && shorter <= LARGEST.1,
            "frames of {}x{} are too large for H.264, which ends at {}x{} (write a folder of PNGs, or scale the input down)",
            size.0,
            size.1,
            LARGEST.0,
            LARGEST.1
        );
        let brand = |name: &[u8; 4]| FourCC::from(*name);
        let config = Mp4Config {
            major_brand: brand(b"isom"),
            minor_version: 512,
            compatible_brands: [b"isom", b"iso2", b"avc1", b"mp41"].map(brand).to_vec(),
            timescale: TIMESCALE,
        };
        Ok(Self {
            encoder: Encoder::with_api_config(OpenH264API::from_source(), encoder_config())?,
            yuv: YUVBuffer::new(coded_size.0 as usize, coded_size.1 as usize),
            resizer: Resizer::new(),
            muxer: Mp4Writer::write_start(BufWriter::new(file), &config)?,
            size,
            coded_size,
            origin: 0,
            pending: None,
            last_duration: LONE_FRAME,
        })
    }

    fn append(&mut self, picture: &RgbImage, pts: Duration) -> Result<()> {
        let coded = framed(&mut self.resizer, picture, self.size, self.coded_size)?;
        let (width, height) = self.coded_size;
        self.yuv.read_rgb8(RgbSliceU8::new(&coded, (width as usize, height as usize)));
        let access_unit = AccessUnit::encode(&mut self.encoder, &self.yuv)?;
        let tick = ticks(pts);
        let start = match self.pending.take() {
            None => {
                self.add_track(&access_unit)?;
                self.origin = tick;
                tick
            }
            Some(last) => {
                // A clock that stands still or goes back must not stop the video.
                let duration = tick.saturating_sub(last.start).clamp(1, LONGEST_FRAME);
                let start = last.start + duration;
                self.write(last, duration as u32)?;
                start
            }
        };
        let sample = Mp4Sample {
            start_time: start - self.origin,
            duration: 0,
            rendering_offset: 0,
            is_sync: access_unit.is_key_frame,
            bytes: access_unit.sample.into(),
        };
        self.pending = Some(Pending { start, sample });
        Ok(())
    }

    fn add_track(&mut self, first: &AccessUnit) -> Result<()> {
        let (Some(sps), Some(pps)) = (&first.sps, &first.pps) else {
            bail!("the H.264 encoder did not describe its stream");
        };
        // The first four bytes name profile and level; the file format repeats them.
        ensure!(sps.len() >= 4, "the H.264 encoder described its stream in {} bytes, expected at least 4", sps.len());
        let config = TrackConfig {
            track_type: TrackType::Video,
            timescale: TIMESCALE,
            language: "und".into(),
            media_conf: MediaConfig::AvcConfig(AvcConfig {
                width: self.coded_size.0.try_into()?,
                height: self.coded_size.1.try_into()?,
                seq_param_set: sps.clone(),
                pic_param_set: pps.clone(),
            }),
        };
        Ok(self.muxer.add_track(&config)?)
    }

    fn write(&mut self, pending: Pending, duration: u32) -> Result<()> {
        self.last_duration = duration;
        self.muxer.write_sample(TRACK, &Mp4Sample { duration, ..pending.sample })?;
        Ok(())
    }

    /// Writes the last frame, which is shown until `hold`, else as long as the one before it unless that was a gap, and
    /// the index.
    fn finish(mut self: Box<Self>, hold: Option<Duration>) -> Result<()> {
        if let Some(last) = self.pending.take() {
            let held = hold.map(|hold| ticks(hold).saturating_sub(last.start).clamp(1, LONGEST_FRAME) as u32);
            let duration = held.unwrap_or(self.last_duration.min(TIMESCALE));
            self.write(last, duration)?;
        }
        self.muxer.write_end()?;
        self.muxer.into_writer().into_inner()?;
        Ok(())
    }
}

/// One encoded frame.
struct AccessUnit {
    sps: Option<Vec<u8>>,
    pps: Option<Vec<u8>>,
    /// The slices, each after its length in four bytes, as MP4 wants it.
    sample: Vec<u8>,
    is_key_frame: bool,
}

impl AccessUnit {
    fn encode(encoder: &mut Encoder, yuv: &YUVBuffer) -> Result<Self> {
        // NAL unit types of H.264, table 7-1.
        const KEY_FRAME_SLICE: u8 = 5;
        const SPS: u8 = 7;
        const PPS: u8 = 8;

        let stream = encoder.encode(yuv)?;
        let mut unit = Self { sps: None, pps: None, sample: Vec::new(), is_key_frame: false };
        for layer in (0..stream.num_layers()).filter_map(|index| stream.layer(index)) {
            for nal in (0..layer.nal_count()).filter_map(|index| layer.nal_unit(index)) {
                let nal = without_start_code(nal)?;
                match nal.first().map(|byte| byte & 0x1f) {
                    None => {}
                    Some(SPS) => unit.sps = Some(nal.to_vec()),
                    Some(PPS) => unit.pps = Some(nal.to_vec()),
                    Some(kind) => {
                        unit.is_key_frame |= kind == KEY_FRAME_SLICE;
                        unit.sample.extend(u32::try_from(nal.len())?.to_be_bytes());
                        unit.sample.extend(nal);
                    }
                }
            }
        }
        ensure!(!unit.sample.is_empty(), "the H.264 encoder left the frame out");
        Ok(unit)
    }
}

fn without_start_code(nal: &[u8]) -> Result<&[u8]> {
    nal.strip_prefix(&[0, 0, 0, 1])
        .or_else(|| nal.strip_prefix(&[0, 0, 1]))
        .ok_or_else(|| anyhow!("the H.264 encoder gave a unit without a start code"))
}

/// Constant quality: no rate control that could leave frames out or blur them.
fn encoder_config() -> EncoderConfig {
    EncoderConfig::new()
        .rate_control_mode(RateControlMode::Bufferbased)
        .bitrate(BitRate::from_bps(20_000_000))
        .skip_frames(false)
        .qp(QUALITY)
        .adaptive_quantization(false)
        .background_detection(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(KEY_FRAME_EVERY))
        .num_threads(1)
        // The conversion of openh264 uses the matrix of BT.601, and players guess BT.709 for large videos: say it.
        .vui(VuiConfig::bt709().matrix_coefficients(MatrixCoefficients::Smpte170M))
}

/// The side of a video that can hold a side of a picture.
fn coded_side(side: u32) -> u32 {
    side.max(BLOCK).next_multiple_of(2)
}

/// The picture in the size of the video. The first frame's size is kept and its edge repeated where the video is larger by
/// a line; any other size is scaled to fit.
fn framed<'a>(
    resizer: &mut Resizer,
    picture: &'a RgbImage,
    size: (u32, u32),
    coded_size: (u32, u32),
) -> Result<Cow<'a, RgbImage>> {
    if picture.dimensions() == coded_size {
        return Ok(Cow::Borrowed(picture));
    }
    let (width, height) = coded_size;
    if picture.dimensions() == size {
        let (right, bottom) = (size.0.saturating_sub(1), size.1.saturating_sub(1));
        let padded = RgbImage::from_fn(width, height, |x, y| *picture.get_pixel(x.min(right), y.min(bottom)));
        return Ok(Cow::Owned(padded));
    }
    let fitted = resized(resizer, picture, fitted_size(picture.dimensions(), coded_size))?;
    let mut canvas = RgbImage::new(width, height);
    let (x, y) = ((width - fitted.width()) / 2, (height - fitted.height()) / 2);
    imageops::replace(&mut canvas, &fitted, x.into(), y.into());
    Ok(Cow::Owned(canvas))
}

/// A time in ticks, rounded.
fn ticks(time: Duration) -> u64 {
    let ticks = (time.as_nanos() * u128::from(TIMESCALE) + 500_000_000) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests;
