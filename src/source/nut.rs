//! The container in which ffmpeg hands over raw frames: NUT, as ffmpeg's own project specifies it.
//!
//! Unlike Matroska it counts time as finely as the video itself, and ffmpeg writes it straight through, without an own copy
//! of each frame; no crate reads it. This is the part of it that a stream in a pipe has need of: which packet comes next, of
//! which stream, when it is shown and how long it is. All numbers are held against bounds before they are used.

use std::io::{self, ErrorKind, Read};

use anyhow::{Context, Result, bail, ensure};

/// How each file begins.
const MAGIC: &[u8] = b"nut/multimedia container\0";

// What the parts begin with that are no frames.
const MAIN: u64 = 0x4E4D_7A56_1F5F_04AD;
const STREAM: u64 = 0x4E53_1140_5BF2_F9DB;
const SYNC_POINT: u64 = 0x4E4B_E4AD_EECA_4569;

/// The largest of those parts that is read into memory.
const MAX_PART_BYTES: u64 = 1 << 20;

/// From this size on a part's length has a checksum.
const CHECKED_BYTES: u64 = 4096;

/// The most streams: ffmpeg is asked for two.
const MAX_STREAMS: u64 = 16;

// What the head of a frame holds.
const CODED_TIME: u64 = 8;
const STREAM_ID: u64 = 16;
const SIZE: u64 = 32;
const CHECKSUM: u64 = 64;
const RESERVED: u64 = 128;
const SIDE_DATA: u64 = 256;
const ELISION: u64 = 1024;
const MATCH_TIME: u64 = 2048;
const CODED_FLAGS: u64 = 4096;
const INVALID: u64 = 8192;

/// What a frame's first byte stands for.
#[derive(Clone, Copy, Debug)]
struct Code {
    flags: u64,
    stream: u64,
    size_factor: u64,
    size: u64,
    time_step: i64,
    reserved: u64,
    elision: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    /// Seconds in a tick, as a fraction.
    base: (u64, u64),
    /// How many bits of a time are written as a rule.
    time_bits: u32,
    /// The last packet's time.
    last: i64,
}

/// The head of a packet; its bytes come next.
#[derive(Debug, PartialEq)]
pub(super) struct Packet {
    pub(super) stream: usize,
    /// When it is shown, in seconds of the file's own time.
    pub(super) seconds: f64,
    /// How long it is.
    pub(super) len: u64,
    /// What its first bytes are; they are left out of the file.
    first: Vec<u8>,
}

/// Reads packets one after the other.
pub(super) struct Nut<R> {
    input: R,
    begun: bool,
    bases: Vec<(u64, u64)>,
    codes: Vec<Code>,
    elisions: Vec<Vec<u8>>,
    streams: Vec<Option<Stream>>,
}

impl<R: Read> Nut<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, begun: false, bases: vec![], codes: vec![], elisions: vec![], streams: vec![] }
    }

    /// The next packet's head; `None` where the input ends between two packets. [`Self::read`] or [`Self::skip`] come next.
    pub(super) fn next_packet(&mut self) -> Result<Option<Packet>> {
        if !self.begun {
            let mut magic = Vec::new();
            self.input.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
            if magic.is_empty() {
                return Ok(None);
            }
            ensure!(magic == MAGIC, "expected the container NUT, found something else");
            self.begun = true;
        }
        loop {
            let mut first = [0];
            loop {
                match self.input.read(&mut first) {
                    Ok(0) => return Ok(None),
                    Ok(_) => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if first[0] != b'N' {
                return self.packet(first[0]).map(Some);
            }
            self.part()?;
        }
    }

    /// Reads a packet's bytes into a buffer of its length.
    pub(super) fn read(&mut self, packet: &Packet, bytes: &mut [u8]) -> io::Result<()> {
        let (first, rest) =
            bytes.split_at_mut_checked(packet.first.len()).ok_or(io::Error::from(ErrorKind::InvalidInput))?;
        first.copy_from_slice(&packet.first);
        self.input.read_exact(rest)
    }

    /// Passes over a packet's bytes.
    pub(super) fn skip(&mut self, packet: &Packet) -> io::Result<()> {
        self.pass(packet.len - packet.first.len() as u64)
    }

    fn pass(&mut self, len: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.input.by_ref().take(len), &mut io::sink())?;
        if passed == len { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// A part that is no frame, behind its first byte.
    fn part(&mut self) -> Result<()> {
        let mut rest = [0; 7];
        self.input.read_exact(&mut rest)?;
        let kind = rest.iter().fold(u64::from(b'N'), |kind, &byte| kind << 8 | u64::from(byte));
        let len = number(&mut self.input)?;
        if len > CHECKED_BYTES {
            self.pass(4)?;
        }
        if ![MAIN, STREAM, SYNC_POINT].contains(&kind) {
            return Ok(self.pass(len)?);
        }
        ensure!((4..=MAX_PART_BYTES).contains(&len), "a part of {len} bytes");
        let mut bytes = vec![0; usize::try_from(len)? - 4];
        self.input.read_exact(&mut bytes)?;
        self.pass(4)?;
        match kind {
            MAIN => self.main(&bytes),
            STREAM => self.stream(&bytes),
            _ => self.sync_point(&bytes),
        }
        .context("a damaged description")
    }

    fn main(&mut self, mut bytes: &[u8]) -> Result<()> {
        let from = &mut bytes;
        if number(from)? > 3 {
            number(from)?;
        }
        let [streams, _, bases] = numbers(from)?;
        ensure!(streams <= MAX_STREAMS && bases <= MAX_STREAMS, "{streams} streams, {bases} units of time");
        self.bases.clear();
        for _ in 0..bases {
            let [seconds, ticks] = numbers(from)?;
            ensure!((1..1 << 31).contains(&ticks) && (1..1 << 31).contains(&seconds), "a second of {ticks} ticks");
            self.bases.push((seconds, ticks));
        }
        self.codes = codes(from)?;
        self.elisions = vec![Vec::new()];
        for _ in 0..number(from)? {
            let len = usize::try_from(number(from)?)?;
            let (bytes, rest) = from.split_at_checked(len).context("it ends early")?;
            self.elisions.push(bytes.to_vec());
            *from = rest;
        }
        self.streams.resize(usize::try_from(streams)?, None);
        Ok(())
    }

    fn stream(&mut self, mut bytes: &[u8]) -> Result<()> {
        let from = &mut bytes;
        let [id, _class, fourcc] = numbers(from)?;
        *from = from.get(usize::try_from(fourcc)?..).context("it ends early")?;
        let [base, time_bits] = numbers(from)?;
        let base = *self.bases.get(usize::try_from(base)?).context("a unit of time that is not there")?;
        ensure!(time_bits < 32, "times of {time_bits} bits");
        let stream = self.streams.get_mut(usize::try_from(id)?).context("a stream too many")?;
        *stream = Some(Stream { base, time_bits: time_bits as u32, last: 0 });
        Ok(())
    }

    /// Here the times of all streams are written anew.
    fn sync_point(&mut self, mut bytes: &[u8]) -> Result<()> {
        let time = number(&mut bytes)?;
        let count = self.bases.len() as u64;
        let base = time.checked_rem(count).context("no unit of time")?;
        let (seconds, ticks) = self.bases[usize::try_from(base)?];
        for stream in self.streams.iter_mut().flatten() {
            let numerator = u128::from(time / count) * u128::from(seconds) * u128::from(stream.base.1);
            stream.last = i64::try_from(numerator / (u128::from(ticks) * u128::from(stream.base.0)))?;
        }
        Ok(())
    }

    fn packet(&mut self, code: u8) -> Result<Packet> {
        let mut code = *self.codes.get(usize::from(code)).context("a frame before its description")?;
        let input = &mut self.input;
        if code.flags & CODED_FLAGS != 0 {
            code.flags ^= number(input)?;
        }
        let has = |flag| code.flags & flag != 0;
        ensure!(!has(INVALID) && !has(SIDE_DATA), "a frame of an unknown kind ({:#x})", code.flags);
        let id = usize::try_from(if has(STREAM_ID) { number(input)? } else { code.stream })?;
        let stream = self.streams.get_mut(id).and_then(Option::as_mut).context("a frame of no stream")?;
        stream.last = if has(CODED_TIME) {
            time(number(input)?, *stream)?
        } else {
            stream.last.checked_add(code.time_step).context("a time beyond all bounds")?
        };
        let coded_size = if has(SIZE) { number(input)? } else { 0 };
        let size = code.size_factor.checked_mul(coded_size).and_then(|size| size.checked_add(code.size));
        let size = size.context("a frame beyond all bounds")?;
        if has(MATCH_TIME) {
            number(input)?;
        }
        let elision = if has(ELISION) { number(input)? } else { code.elision };
        for _ in 0..if has(RESERVED) { number(input)? } else { code.reserved } {
            number(input)?;
        }
        if has(CHECKSUM) {
            input.read_exact(&mut [0; 4])?;
        }
        let first = match elision {
            _ if size > CHECKED_BYTES => Vec::new(),
            index => self.elisions.get(usize::try_from(index)?).context("a beginning that is not there")?.clone(),
        };
        ensure!(first.len() as u64 <= size, "a frame of {size} bytes that begins with {}", first.len());
        let (seconds, ticks) = stream.base;
        let seconds = stream.last as f64 * seconds as f64 / ticks as f64;
        Ok(Packet { stream: id, seconds, len: size, first })
    }
}

/// A time of which the last bits are written as a rule: it is the one that is nearest to the last time.
fn time(coded: u64, Stream { time_bits, last, .. }: Stream) -> Result<i64> {
    let (coded, span) = (i64::try_from(coded)?, 1_i64 << time_bits);
    if coded >= span {
        return Ok(coded - span);
    }
    let lowest = last.wrapping_sub((span - 1) / 2);
    Ok(lowest.wrapping_add(coded.wrapping_sub(lowest) & (span - 1)))
}

/// What each first byte of a frame stands for: runs of bytes that differ in the size that they stand for.
fn codes(from: &mut &[u8]) -> Result<Vec<Code>> {
    let invalid = Code { flags: INVALID, stream: 0, size_factor: 1, size: 0, time_step: 0, reserved: 0, elision: 0 };
    let mut run = invalid;
    let mut codes = Vec::with_capacity(256);
    while codes.len() < 256 {
        let [flags, fields] = numbers(from)?;
        run = Code { flags, size: 0, reserved: 0, ..run };
        let mut count = None;
        for field in 0..fields {
            let value = number(from)?;
            match field {
                0 => run.time_step = signed(value),
                1 => run.size_factor = value,
                2 => run.stream = value,
                3 => run.size = value,
                4 => run.reserved = value,
                5 => count = Some(value),
                7 => run.elision = value,
                // How a time was matched, and what later versions may add.
                _ => {}
            }
        }
        let count = count.or(run.size_factor.checked_sub(run.size)).context("fewer codes than none")?;
        let mut size = run.size;
        for _ in 0..count {
            // The letter begins what is no frame.
            if codes.len() == usize::from(b'N') {
                codes.push(invalid);
            }
            if codes.len() < 256 {
                codes.push(Code { size, ..run });
            } else {
                bail!("more codes than there are bytes");
            }
            size = size.checked_add(1).context("a frame beyond all bounds")?;
        }
    }
    Ok(codes)
}

fn signed(value: u64) -> i64 {
    let half = ((value >> 1) + (value & 1)).cast_signed();
    if value & 1 == 0 { -half } else { half }
}

/// A number in groups of seven bits, the highest first; a set bit says that another group comes.
fn number(from: &mut impl Read) -> Result<u64> {
    let mut value = 0_u64;
    for _ in 0..10 {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        ensure!(value >> 57 == 0, "a number beyond all bounds");
        value = value << 7 | u64::from(byte[0] & 0x7F);
        if byte[0] & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a number without an end")
}

fn numbers<const N: usize>(from: &mut impl Read) -> Result<[u64; N]> {
    let mut values = [0; N];
    for value in &mut values {
        *value = number(from)?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// A description as ffmpeg writes it, but shorter: two streams of 90000 ticks a second, of which 14 bits are written,
    /// and three kinds of frames.
    fn description() -> Vec<u8> {
        let part = |start: u64, payload: &[u8]| {
            [&start.to_be_bytes()[..], &[payload.len() as u8 + 4], payload, &[0; 4]].concat()
        };
        let ninety_thousand = [0x85, 0xBF, 0x10];
        let mut main = vec![3, 2, 1, 1, 1];
        main.extend(ninety_thousand);
        // With all in the frame's head; with a time step of 3750 and the size in the code; the rest is invalid.
        main.extend([0xC0, 0, 6, 0, 0, 0, 0, 0, 1]);
        main.extend([0, 6, 0xBA, 0x4B, 10, 1, 0, 0, 3]);
        // Whole times, and a beginning that is left out.
        main.extend([0x40 | 0x38, 8, 0, 1, 0, 0, 0, 1, 0, 1]);
        main.extend([0xC0, 0, 6, 0, 1, 0, 0, 0, 0x81, 0x7A]);
        main.extend([1, 2, 7, 8]);
        let stream = |id: u8| [&[id, 0, 4][..], b"RGB\x18", &[0, 14, 0]].concat();
        let sync = part(SYNC_POINT, &[0x85, 0xBF, 0x10, 0]);
        [MAGIC, &part(MAIN, &main), &part(STREAM, &stream(0)), &part(STREAM, &stream(1)), &sync].concat()
    }

    fn packets(bytes: &[u8]) -> Result<Vec<(usize, f64, Vec<u8>)>> {
        let mut nut = Nut::new(bytes);
        let mut all = Vec::new();
        while let Some(packet) = nut.next_packet()? {
            let mut bytes = vec![0; usize::try_from(packet.len)?.min(1 << 20)];
            nut.read(&packet, &mut bytes)?;
            all.push((packet.stream, packet.seconds, bytes));
        }
        Ok(all)
    }

    #[test]
    fn times_sizes_and_beginnings_are_put_together() {
        // The second code: stream 1, a size of 0, 3750 ticks after the sync point.
        let mut bytes = [description(), vec![1]].concat();
        assert_eq!(packets(&bytes).unwrap(), [(1, 1.0 + 3750.0 / 90000.0, vec![])]);
        // The fifth: a stream, a whole time of 2 s (behind 14 bits), a size, and a checksum.
        bytes.extend([4, 0, 0x8B, 0xFE, 0x20, 3, 1, 2, 3, 4, 9]);
        assert_eq!(packets(&bytes).unwrap()[1], (0, 2.0, vec![7, 8, 9]));
        assert!(packets(&bytes[..bytes.len() - 1]).is_err(), "half a frame");
        assert!(packets(&[&bytes[..], &[200]].concat()).is_err(), "a code that stands for nothing");
        assert_eq!(packets(b"").unwrap(), []);
        assert!(packets(b"RIFF").is_err());
    }

    #[test]
    fn short_times_are_those_nearest_to_the_last() {
        let stream = |last| Stream { base: (1, 1), time_bits: 4, last };
        assert_eq!(time(3, stream(33)).unwrap(), 35);
        assert_eq!(time(15, stream(33)).unwrap(), 31);
        assert_eq!(time(16 + 5, stream(33)).unwrap(), 5);
        assert!(time(u64::MAX, stream(0)).is_err());
        assert_eq!([0, 1, 2, 3, 4].map(signed), [0, 1, -1, 2, -2]);
    }

    #[test]
    fn damage_is_an_error_or_other_frames_and_never_a_panic() {
        let whole = [description(), vec![1, 4, 0, 0x8B, 0xFE, 0x20, 3, 1, 2, 3, 4, 9]].concat();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut refused = 0;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..2 {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            bytes.truncate(rng.random_range(0..2 * bytes.len()).max(1));
            refused += usize::from(packets(&bytes).is_err());
        }
        assert!((1000..20_000).contains(&refused), "{refused} refused");
    }
}
