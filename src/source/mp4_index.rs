//! Where the pictures of an MP4 file are.
//!
//! Owns the way from a file to a list of H.264 samples, each with its place and time; the decoding is in `h264.rs`. The
//! few boxes that matter (ISO/IEC 14496-12 and -15) are looked for here, out of an index that is in memory, so that no
//! damage or oddity elsewhere makes a file unreadable; the tables in them are read by mp4-atom.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use image::metadata::Orientation;
use mp4_atom::{Atom, Co64, Ctts, Elst, Stco, Stsc, Stsz, StszSamples, Stts};

/// The largest index that is read: about that of a week of video.
const MAX_INDEX_BYTES: u64 = 256 * 1024 * 1024;

/// The most pictures in one file, about four days at 30 frames a second; the list of them takes 320 MB.
const MAX_SAMPLES: u32 = 10_000_000;

/// The largest compressed picture: more than a raw one of an 8K video in 4:2:0.
const MAX_SAMPLE_BYTES: u32 = 64 * 1024 * 1024;

/// A video track of H.264.
pub(super) struct VideoIndex {
    /// Sequence and picture parameter sets, to be decoded before the first sample.
    pub(super) parameter_sets: Vec<Vec<u8>>,
    /// How many bytes say the length of each unit in a sample: 1, 2 or 4.
    pub(super) length_size: usize,
    /// The compressed pictures, in the order of decoding, which is the order of showing.
    pub(super) samples: Vec<Sample>,
    /// How many of them are only decoded: what was cut off before the first one that is shown.
    pub(super) hidden: usize,
    /// How long the last one is shown.
    pub(super) last_duration: Duration,
    /// How far the pictures are to be turned.
    pub(super) orientation: Orientation,
    /// Frames per second on average, where the file says how long it is.
    pub(super) fps: Option<f64>,
}

/// One compressed picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Place in the file, bytes.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u32,
    /// Since the first sample.
    pub(super) start: Duration,
}

impl VideoIndex {
    /// Reads a file's index. The samples that it lists need not be there: a file may be cut short behind it.
    pub(super) fn read(file: &mut (impl Read + Seek)) -> Result<Self> {
        let moov = read_moov(file)?;
        let damaged = "this MP4 file has a damaged index (moov)";
        let (trak, avc1) = boxes(&moov)
            .filter(|&(kind, _)| kind == *b"trak")
            .find_map(|(_, trak)| Some((trak, h264_sample_entry(trak)?)))
            .context("there is no H.264 video in this MP4 file")?;
        let (length_size, parameter_sets) = parse_avcc(avc1).context(damaged)?;
        let stbl = child(trak, &[b"mdia", b"minf", b"stbl"]).context(damaged)?;
        let delay = delay(stbl)?;
        let (timescale, duration) = child(trak, &[b"mdia", b"mdhd"]).and_then(parse_mdhd).context(damaged)?;

        let Timed { mut samples, end } = samples(stbl, timescale).context(damaged)?;
        if samples.is_empty() {
            ensure!(child(&moov, &[b"mvex"]).is_none(), "this is a fragmented MP4 file");
            bail!("there is no picture in this video");
        }
        let edit = edit(&moov, trak, delay, timescale)?;
        let hidden = samples.iter().filter(|sample| sample.start < edit.start).count();
        let shown = samples.iter().filter(|sample| sample.start < edit.end).count();
        ensure!(hidden < shown, "this video is cut so that no picture of it is shown");
        let next = samples.get(shown).map_or(end, |sample| sample.start);
        let fps = samples.len() as f64 * f64::from(timescale) / duration as f64;
        let orientation = child(trak, &[b"tkhd"]).and_then(parse_orientation).context(damaged)?;
        let fps = Some(fps).filter(|fps| fps.is_finite() && *fps > 0.0);
        samples.truncate(shown);
        let last_duration = next.saturating_sub(samples[shown - 1].start);
        Ok(Self { parameter_sets, length_size, samples, hidden, last_duration, orientation, fps })
    }
}

/// Finds the index among the file's top-level boxes and returns what is in it.
fn read_moov(file: &mut (impl Read + Seek)) -> Result<Vec<u8>> {
    let len = file.seek(SeekFrom::End(0)).context("cannot find the file's length")?;
    let mut at = 0;
    while len.saturating_sub(at) >= 8 {
        file.seek(SeekFrom::Start(at))?;
        let mut header = [0; 8];
        file.read_exact(&mut header)?;
        let [s0, s1, s2, s3, kind @ ..] = header;
        let (header_len, size) = match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => (8, len - at),
            1 => {
                let mut size = [0; 8];
                file.read_exact(&mut size).context("this MP4 file is cut short")?;
                (16, u64::from_be_bytes(size))
            }
            size => (8, u64::from(size)),
        };
        ensure!(size >= header_len, "this is not an MP4 file, or a damaged one");
        if kind == *b"moov" {
            let payload_len = size - header_len;
            ensure!(payload_len <= len - at - header_len, "this MP4 file is cut short: its index (moov) is not whole");
            ensure!(payload_len <= MAX_INDEX_BYTES, "this MP4 file has an index of {payload_len} bytes");
            let mut payload = vec![0; usize::try_from(payload_len)?];
            file.read_exact(&mut payload)?;
            return Ok(payload);
        }
        at = at.saturating_add(size);
    }
    bail!("this is not an MP4 file, or one that is cut short: it has no index (moov)");
}

/// The boxes in `bytes`, one after the other: kind and content. Ends early where one reaches over the end.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (&kind, rest) = rest.split_first_chunk::<4>()?;
        let (size, header_len, rest) = match u32::from_be_bytes(*size) {
            0 => (bytes.len(), 8, rest),
            1 => {
                let (size, rest) = rest.split_first_chunk::<8>()?;
                (usize::try_from(u64::from_be_bytes(*size)).ok()?, 16, rest)
            }
            size => (usize::try_from(size).ok()?, 8, rest),
        };
        let (content, after) = rest.split_at_checked(size.checked_sub(header_len)?)?;
        bytes = after;
        Some((kind, content))
    })
}

/// The first box of each kind in turn, one inside the other.
fn child<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter()
        .try_fold(bytes, |bytes, &&kind| boxes(bytes).find(|&(found, _)| found == kind).map(|(_, content)| content))
}

/// The big-endian number at a place.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// A table, if it is there. It grows with its rows and not by what it promises: one that ends early is an error.
fn table<T: Atom>(stbl: &[u8]) -> Result<Option<T>> {
    let found = child(stbl, &[&T::KIND.into()]);
    found.map(|mut body| T::decode_body(&mut body).with_context(|| format!("{} is damaged", T::KIND))).transpose()
}

/// The content of the track's `avc1`, if it is a track of H.264.
fn h264_sample_entry(trak: &[u8]) -> Option<&[u8]> {
    let stsd = child(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?;
    child(stsd.get(8..)?, &[b"avc1"])
}

/// The length of lengths, and the parameter sets.
fn parse_avcc(avc1: &[u8]) -> Option<(usize, Vec<Vec<u8>>)> {
    /// What stands before the boxes in a visual sample entry: size, resolution, the compressor's name.
    const VISUAL_FIELDS_LEN: usize = 78;

    let avcc = child(avc1.get(VISUAL_FIELDS_LEN..)?, &[b"avcC"])?;
    let length_size = usize::from(avcc.get(4)? & 3) + 1;
    let mut rest = avcc.get(5..)?;
    let mut sets = Vec::new();
    // First the sequence parameter sets, counted in five bits, then the picture parameter sets, counted in eight.
    for mask in [0x1F, 0xFF] {
        let (count, after) = rest.split_first()?;
        rest = after;
        for _ in 0..count & mask {
            let (len, after) = rest.split_first_chunk()?;
            let (set, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            sets.push(set.to_vec());
            rest = after;
        }
    }
    Some((length_size, sets))
}

/// The ticks in a second, and the length in ticks, of a track's media (`mdhd`) or of a whole film (`mvhd`).
fn parse_mdhd(mdhd: &[u8]) -> Option<(u32, u64)> {
    let (timescale, duration) = if mdhd.first()? == &1 {
        (u32_at(mdhd, 20)?, u64::from(u32_at(mdhd, 24)?) << 32 | u64::from(u32_at(mdhd, 28)?))
    } else {
        (u32_at(mdhd, 12)?, u64::from(u32_at(mdhd, 16)?))
    };
    (timescale > 0).then_some((timescale, duration))
}

/// From the upper left part of a track's matrix, which takes `(x, y)` to `(a x + c y, b x + d y)`. Anything but a quarter
/// turn (a mirror image, a scaled one) is shown as it is.
fn parse_orientation(tkhd: &[u8]) -> Option<Orientation> {
    let matrix = if tkhd.first()? == &1 { 52 } else { 40 };
    let sign = |index: usize| Some(u32_at(tkhd, matrix + 4 * index)?.cast_signed().signum());
    // a b u, c d v, x y w
    Some(match [sign(0)?, sign(1)?, sign(3)?, sign(4)?] {
        [0, 1, -1, 0] => Orientation::Rotate90,
        [-1, 0, 0, -1] => Orientation::Rotate180,
        [0, -1, 1, 0] => Orientation::Rotate270,
        _ => Orientation::NoTransforms,
    })
}

/// How many ticks after its time each picture is shown. Where that differs from one to the next, they are shown in another
/// order than they are decoded in.
fn delay(stbl: &[u8]) -> Result<i64> {
    let Some(Ctts { entries }) = table(stbl)? else { return Ok(0) };
    let mut offsets = entries.iter().filter(|entry| entry.sample_count > 0).map(|entry| entry.sample_offset);
    let first = offsets.next();
    ensure!(offsets.all(|offset| Some(offset) == first), "this video has B-frames");
    Ok(first.unwrap_or(0))
}

/// The span of the track that is shown: an editor cuts a file by an entry in its list, and leaves the pictures in it.
fn edit(moov: &[u8], trak: &[u8], delay: i64, timescale: u32) -> Result<Range<Duration>> {
    let whole = Duration::ZERO..Duration::MAX;
    let Some(edts) = child(trak, &[b"edts"]) else { return Ok(whole) };
    let Some(Elst { entries }) = table(edts)? else { return Ok(whole) };
    // An entry without media is a pause before the first picture.
    let mut shown = entries.iter().filter(|entry| entry.media_time.is_some());
    let Some(entry) = shown.next() else { return Ok(whole) };
    ensure!(shown.next().is_none(), "this video is put together of several pieces by its edit list");
    let start =
        duration_from_ticks(entry.media_time.unwrap_or(0).saturating_add_signed(delay.saturating_neg()), timescale);
    let movie_timescale = child(moov, &[b"mvhd"]).and_then(parse_mdhd).map_or(0, |(timescale, _)| timescale);
    // Without a length it is shown to its end.
    let length = (entry.segment_duration > 0 && movie_timescale > 0)
        .then(|| duration_from_ticks(entry.segment_duration, movie_timescale));
    Ok(start..length.map_or(Duration::MAX, |length| start.saturating_add(length)))
}

/// The samples, and when the last one ends.
struct Timed {
    samples: Vec<Sample>,
    end: Duration,
}

/// Unrolls the sample table: sizes, chunks and durations are stored run by run.
fn samples(stbl: &[u8], timescale: u32) -> Result<Timed> {
    let Stsz { samples: sizes } = table(stbl)?.context("no sample sizes")?;
    let sizes = match sizes {
        StszSamples::Identical { count, size } if count <= MAX_SAMPLES => vec![size; count as usize],
        StszSamples::Different { sizes } if sizes.len() <= MAX_SAMPLES as usize => sizes,
        StszSamples::Identical { .. } | StszSamples::Different { .. } => bail!("a video of too many pictures"),
    };
    let Stts { entries } = table(stbl)?.context("no sample times")?;
    let mut starts = entries
        .iter()
        .flat_map(|entry| std::iter::repeat_n(entry.sample_delta, entry.sample_count as usize))
        .scan(0_u64, |ticks, duration| {
            let start = std::mem::replace(ticks, ticks.saturating_add(u64::from(duration)));
            Some((start, *ticks))
        });
    let chunks: Vec<u64> = match (table::<Stco>(stbl)?, table::<Co64>(stbl)?) {
        (Some(stco), _) => stco.entries.into_iter().map(u64::from).collect(),
        (None, Some(co64)) => co64.entries,
        (None, None) => bail!("no chunks"),
    };
    let Stsc { entries: runs } = table(stbl)?.context("no sample-to-chunk table")?;

    let (mut samples, mut end) = (Vec::with_capacity(sizes.len()), 0);
    let mut sizes = sizes.into_iter();
    let mut run = 0;
    for (chunk, mut offset) in (1_u32..).zip(chunks) {
        // Each row holds from its first chunk on, which counts from 1, to the next row's.
        while runs.get(run + 1).is_some_and(|next| next.first_chunk <= chunk) {
            run += 1;
        }
        let samples_per_chunk = runs.get(run).map_or(0, |run| run.samples_per_chunk);
        for size in sizes.by_ref().take(samples_per_chunk as usize) {
            ensure!(size <= MAX_SAMPLE_BYTES, "a compressed picture of {size} bytes");
            let start;
            (start, end) = starts.next().context("a sample without a time")?;
            samples.push(Sample { offset, size, start: duration_from_ticks(start, timescale) });
            offset = offset.saturating_add(u64::from(size));
        }
    }
    ensure!(sizes.next().is_none(), "samples that are in no chunk");
    Ok(Timed { samples, end: duration_from_ticks(end, timescale) })
}

fn duration_from_ticks(ticks: u64, timescale: u32) -> Duration {
    let timescale = u64::from(timescale);
    let nanos = ticks % timescale * 1_000_000_000 / timescale;
    Duration::from_secs(ticks / timescale) + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rand::{RngExt, SeedableRng};

    use super::*;

    const CLIP: &[u8] = include_bytes!("demo.mp4");

    #[test]
    fn the_demo_is_indexed() {
        let index = VideoIndex::read(&mut Cursor::new(CLIP)).unwrap();
        assert_eq!(index.samples.len(), 240);
        assert_eq!((index.length_size, index.parameter_sets.len()), (4, 2));
        assert_eq!((index.orientation, index.fps), (Orientation::NoTransforms, Some(30.0)));
        assert_eq!(index.samples[30].start, Duration::from_secs(1));
        assert_eq!((index.hidden, index.last_duration.as_millis()), (0, 33));
        let end = index.samples.iter().map(|sample| sample.offset + u64::from(sample.size)).max();
        assert_eq!(end, Some(CLIP.len() as u64));
    }

    #[test]
    fn damaged_files_are_errors_and_never_panics() {
        let moov = CLIP.windows(4).position(|bytes| bytes == b"moov").unwrap() - 4;
        let end = moov + u32_at(CLIP, moov).unwrap() as usize;
        for len in 0..end {
            assert!(VideoIndex::read(&mut Cursor::new(&CLIP[..len])).is_err(), "{len} bytes");
        }
        assert!(VideoIndex::read(&mut Cursor::new(&CLIP[..end])).is_ok());
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut refused = 0;
        for _ in 0..3000 {
            let mut bytes = CLIP[..end].to_vec();
            for _ in 0..3 {
                let at = rng.random_range(0..end);
                bytes[at] = rng.random();
            }
            refused += usize::from(VideoIndex::read(&mut Cursor::new(bytes)).is_err());
        }
        assert!((100..3000).contains(&refused), "{refused} refused");
    }

    #[test]
    fn an_edit_list_says_what_is_shown() {
        // Version, one entry, its length in milliseconds, and where it begins in ticks.
        let entry = CLIP.windows(4).position(|bytes| bytes == b"elst").unwrap() + 12;
        let moov = read_moov(&mut Cursor::new(CLIP)).unwrap();
        let (second, _) = child(&moov, &[b"trak", b"mdia", b"mdhd"]).and_then(parse_mdhd).unwrap();
        let index = |length: u32, begin: u32| {
            let mut clip = CLIP.to_vec();
            clip[entry..][..4].copy_from_slice(&length.to_be_bytes());
            clip[entry + 4..][..4].copy_from_slice(&begin.to_be_bytes());
            VideoIndex::read(&mut Cursor::new(clip))
        };
        let counts = |index: VideoIndex| (index.hidden, index.samples.len());
        assert_eq!(counts(index(8000, 0).unwrap()), (0, 240));
        assert_eq!(counts(index(8000, u32::MAX).unwrap()), (0, 240));
        assert_eq!(counts(index(0, second).unwrap()), (30, 240));
        let cut = index(2000, second).unwrap();
        assert_eq!(cut.last_duration.as_millis(), 33);
        assert_eq!(counts(cut), (30, 90));
        assert!(index(2000, 100 * second).is_err(), "nothing is shown");
    }

    #[test]
    fn large_boxes_and_boxes_to_the_end_are_read() {
        let large =
            [&[0, 0, 0, 1][..], b"free", &18_u64.to_be_bytes(), b"ab", &[0, 0, 0, 0], b"mdat", b"rest"].concat();
        let found: Vec<_> = boxes(&large).collect();
        assert_eq!(found, [(*b"free", &b"ab"[..]), (*b"mdat", &b"rest"[..])]);
        assert_eq!(boxes(&[0, 0, 0, 7, b'f', b'r', b'e', b'e']).count(), 0);
        assert_eq!(boxes(&[0, 0, 0, 9, b'f', b'r', b'e', b'e']).count(), 0);
    }

    #[test]
    fn tables_are_held_against_their_length() {
        let stbl = |count: u32| {
            let rows = [&[0; 4][..], &count.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 1, 0]].concat();
            [&(rows.len() as u32 + 8).to_be_bytes()[..], b"stts", &rows].concat()
        };
        let found = table::<Stts>(&stbl(1)).unwrap().unwrap().entries;
        assert_eq!((found[0].sample_count, found[0].sample_delta), (1, 256));
        assert!(table::<Stts>(&stbl(2)).is_err() && table::<Stts>(&stbl(u32::MAX)).is_err());
        assert!(table::<Stsz>(&stbl(1)).unwrap().is_none());
    }

    #[test]
    fn ticks_become_durations_without_overflow() {
        assert_eq!(duration_from_ticks(1001, 24_000), Duration::from_nanos(41_708_333));
        assert!(duration_from_ticks(u64::MAX, 1) > duration_from_ticks(u64::MAX, 1000));
    }
}
