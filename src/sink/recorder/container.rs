//! An MP4 file that can be played at any moment of its making.
//!
//! While it grows it is a fragmented file (ISO/IEC 14496-12, 8.8): a description first, then pieces of half a second, each
//! with its own small index, so whatever cuts the recording off leaves all that was written before. When it is complete an
//! index of the whole is appended, and sixteen bytes that were kept free at the front are overwritten with the header of a
//! box that spans all that lies between: from then on it is an ordinary file, in which every player can jump. That is one
//! small write; before it the file is a valid one of the one kind, after it of the other. (OBS Studio calls this "hybrid
//! MP4", <https://obsproject.com/blog/obs-studio-hybrid-mp4>.)
//!
//! Times are ticks of [`TIMESCALE`]; places are bytes from the start of the file.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::mem;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mp4_atom::{
    Avc1, Avcc, Co64, Codec, Desc, Dinf, Dref, DrefEntry, Encode, FixedPoint, FourCC, Ftyp, Hdlr, Ilst, Mdhd, Mdia,
    Meta, Mfhd, Minf, Moof, Moov, Mvex, Mvhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts,
    SttsEntry, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, TrunSamples, Udta, Url, Visual, Vmhd,
};

use super::encoder::AccessUnit;
use crate::sink::record::Record;

/// Ticks a second; every common frame rate divides it.
pub(super) const TIMESCALE: u32 = 90_000;

/// How much video one piece holds: what is lost at most when the process is killed, besides what waits to be encoded.
const PIECE: u64 = TIMESCALE as u64 / 2;

/// The most bytes of a piece, whatever its length.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// How often the system is asked to bring what was written to the disk itself: what a power cut loses at most. A little
/// less than two pieces, since a piece that comes a millisecond early would be left for half a second more.
const SYNC_EVERY: Duration = Duration::from_millis(900);

const TRACK: u32 = 1;

/// The header of a box with a 64-bit size. While the file grows it holds an empty box.
const RESERVED: usize = 16;

/// Flags of a sample (ISO/IEC 14496-12, 8.8.3.1): one that depends on no other, and one that does and is no place to jump to.
const KEY_FRAME: u32 = 0x0200_0000;
const OTHER_FRAME: u32 = 0x0101_0000;

/// What a player has to know before the first frame.
#[derive(Clone)]
pub(super) struct Description {
    /// In pixels.
    pub(super) size: (u16, u16),
    /// The sequence and the picture parameter set of H.264.
    pub(super) sps: Vec<u8>,
    pub(super) pps: Vec<u8>,
    /// What made it, as text.
    pub(super) record: Option<String>,
}

/// What the index needs to know of a frame.
struct Entry {
    size: u32,
    duration: u32,
    is_key_frame: bool,
}

/// A file in the making.
pub(super) struct Mp4File {
    file: File,
    description: Description,
    /// Where the reserved header is, and where the next piece goes.
    reserved_at: u64,
    end: u64,
    /// All frames that are in the file, and where each piece's frames are and how many.
    entries: Vec<Entry>,
    pieces: Vec<(u64, u32)>,
    /// The time of the first frame that is not in the file yet, those frames, and their bytes.
    written_until: u64,
    waiting: Vec<Entry>,
    waiting_bytes: Vec<u8>,
    synced: Instant,
}

impl Mp4File {
    /// Writes what comes before the first frame.
    pub(super) fn start(mut file: File, description: Description) -> Result<Self> {
        let mut head = Vec::new();
        let brand = |name: &[u8; 4]| FourCC::new(name);
        let brands = [b"isom", b"iso5", b"iso6", b"avc1", b"mp41"].map(brand).to_vec();
        Ftyp { major_brand: brand(b"isom"), minor_version: 512, compatible_brands: brands }.encode(&mut head)?;
        let reserved_at = head.len() as u64;
        head.extend((RESERVED as u32).to_be_bytes());
        head.extend(b"free\0\0\0\0\0\0\0\0");
        let trex = Trex { track_id: TRACK, default_sample_description_index: 1, ..Default::default() };
        let mvex = Mvex { mehd: None, trex: vec![trex] };
        moov(&description, 0, Stbl::default(), Some(mvex))?.encode(&mut head)?;
        file.write_all(&head)?;
        Ok(Self {
            file,
            description,
            reserved_at,
            end: head.len() as u64,
            entries: Vec::new(),
            pieces: Vec::new(),
            written_until: 0,
            waiting: Vec::new(),
            waiting_bytes: Vec::new(),
            synced: Instant::now(),
        })
    }

    /// What made it, for the index.
    pub(super) fn describe(&mut self, record: Option<&Record>) {
        self.description.record = record.map(Record::text);
    }

    /// Adds a frame that is shown for `duration`.
    pub(super) fn add(&mut self, unit: &AccessUnit, duration: u32) -> Result<()> {
        let AccessUnit { bytes, is_key_frame, .. } = unit;
        self.waiting.push(Entry { size: u32::try_from(bytes.len())?, duration, is_key_frame: *is_key_frame });
        self.waiting_bytes.extend(bytes);
        if length(&self.waiting) >= PIECE || self.waiting_bytes.len() >= MOST_BYTES {
            self.write_piece()?;
        }
        Ok(())
    }

    /// Whether frames that are described so can be played by the description at the front.
    pub(super) fn is_described_by(&self, sps: &[u8], pps: &[u8]) -> bool {
        self.description.sps == sps && self.description.pps == pps
    }

    /// How long what is in the file can be played.
    pub(super) fn playable(&self) -> Duration {
        Duration::from_secs_f64(self.written_until as f64 / f64::from(TIMESCALE))
    }

    /// Writes what waits, as a piece. Where that fails, the file ends with the piece before it.
    fn write_piece(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut piece = Vec::with_capacity(self.waiting_bytes.len() + 24 * self.waiting.len() + 256);
        // The index says where the frames begin, counted from its own start, so its size comes first.
        self.index_of_piece(0)?.encode(&mut piece)?;
        let header = 8;
        let offset = piece.len() + header;
        piece.clear();
        self.index_of_piece(i32::try_from(offset)?)?.encode(&mut piece)?;
        piece.extend(u32::try_from(self.waiting_bytes.len() + header)?.to_be_bytes());
        piece.extend(b"mdat");
        piece.extend(&self.waiting_bytes);
        if let Err(error) = self.file.write_all(&piece) {
            // What can't be taken back does little harm: players stop there.
            let _ = self.file.set_len(self.end).and_then(|()| self.file.seek(SeekFrom::Start(self.end)));
            return Err(error.into());
        }
        self.pieces.push((self.end + offset as u64, u32::try_from(self.waiting.len())?));
        self.end += piece.len() as u64;
        self.written_until += length(&self.waiting);
        self.entries.append(&mut self.waiting);
        self.waiting_bytes.clear();
        if self.synced.elapsed() >= SYNC_EVERY {
            // Before the call, so that a slow disk does not stretch the time between two.
            self.synced = Instant::now();
            self.sync()?;
        }
        Ok(())
    }

    /// Some file systems have nothing to bring to a disk and say so: no reason to end a recording.
    fn sync(&self) -> io::Result<()> {
        match self.file.sync_data() {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
            synced => synced,
        }
    }

    fn index_of_piece(&self, offset: i32) -> Result<Moof> {
        let entry = |entry: &Entry| TrunEntry {
            duration: Some(entry.duration),
            size: Some(entry.size),
            flags: Some(if entry.is_key_frame { KEY_FRAME } else { OTHER_FRAME }),
            cts: None,
        };
        let samples = TrunSamples::Explicit(self.waiting.iter().map(entry).collect());
        let traf = Traf {
            tfhd: Tfhd { track_id: TRACK, default_base_is_moof: true, ..Default::default() },
            tfdt: Some(Tfdt { base_media_decode_time: self.written_until }),
            trun: vec![Trun { data_offset: Some(offset), samples }],
            ..Default::default()
        };
        let number = u32::try_from(self.pieces.len())?.saturating_add(1);
        Ok(Moof { mfhd: Mfhd { sequence_number: number }, traf: vec![traf] })
    }

    /// Writes what waits and the index, and makes an ordinary file of it. Where that fails, the file is what it was
    /// before: one that plays as far as [`playable`](Self::playable) says.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.write_piece()?;
        let mut index = Vec::new();
        let (frames, pieces) = (mem::take(&mut self.entries), mem::take(&mut self.pieces));
        moov(&self.description, self.written_until, tables(&frames, &pieces)?, None)?.encode(&mut index)?;
        let written = self.file.write_all(&index).and_then(|()| self.sync());
        if let Err(error) = written {
            let _ = self.file.set_len(self.end);
            return Err(error).context("there is no room for the index");
        }
        let mut header = [0; RESERVED];
        header[..8].copy_from_slice(b"\0\0\0\x01mdat");
        header[8..].copy_from_slice(&(self.end - self.reserved_at).to_be_bytes());
        self.file.seek(SeekFrom::Start(self.reserved_at))?;
        self.file.write_all(&header)?;
        Ok(())
    }
}

/// In ticks.
fn length(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| u64::from(entry.duration)).sum()
}

/// The tables of an ordinary file: durations, sizes, places and key frames of all samples.
fn tables(entries: &[Entry], pieces: &[(u64, u32)]) -> Result<Stbl> {
    ensure!(u32::try_from(entries.len()).is_ok(), "{} frames are too many for one file", entries.len());
    let mut durations: Vec<SttsEntry> = Vec::new();
    for entry in entries {
        match durations.last_mut().filter(|last| last.sample_delta == entry.duration) {
            Some(last) => last.sample_count += 1,
            None => durations.push(SttsEntry { sample_count: 1, sample_delta: entry.duration }),
        }
    }
    let mut counts: Vec<StscEntry> = Vec::new();
    for (number, (_, count)) in (1..).zip(pieces) {
        if counts.last().is_none_or(|last| last.samples_per_chunk != *count) {
            counts.push(StscEntry { first_chunk: number, samples_per_chunk: *count, sample_description_index: 1 });
        }
    }
    let places: Vec<u64> = pieces.iter().map(|(place, _)| *place).collect();
    let narrow: Option<Vec<u32>> = places.iter().map(|&place| u32::try_from(place).ok()).collect();
    let keys = (1..).zip(entries).filter(|(_, entry)| entry.is_key_frame).map(|(number, _)| number).collect();
    Ok(Stbl {
        stts: Stts { entries: durations },
        stsc: Stsc { entries: counts },
        stsz: Stsz { samples: StszSamples::Different { sizes: entries.iter().map(|entry| entry.size).collect() } },
        stss: Some(Stss { entries: keys }),
        co64: narrow.is_none().then_some(Co64 { entries: places }),
        stco: narrow.map(|entries| Stco { entries }),
        ..Default::default()
    })
}

/// The description of the file, with these tables.
fn moov(description: &Description, duration: u64, tables: Stbl, mvex: Option<Mvex>) -> Result<Moov> {
    let Description { size: (width, height), sps, pps, record } = description;
    let visual = Visual { data_reference_index: 1, width: *width, height: *height, ..Default::default() };
    let avc1 = Avc1 { visual, avcc: Avcc::new(sps, pps)?, ..Default::default() };
    // A player takes a file without empty tables for a damaged one.
    let tables = if mvex.is_some() { Stbl { stco: Some(Stco::default()), ..tables } } else { tables };
    let stbl = Stbl { stsd: Stsd { codecs: vec![Codec::Avc1(avc1)] }, ..tables };
    let here = DrefEntry::Url(Url::default());
    let minf = Minf {
        vmhd: Some(Vmhd::default()),
        dinf: Dinf { dref: Dref { entries: vec![here] } },
        stbl,
        ..Default::default()
    };
    let tkhd = Tkhd {
        track_id: TRACK,
        duration,
        enabled: true,
        in_movie: true,
        width: FixedPoint::new(*width, 0),
        height: FixedPoint::new(*height, 0),
        ..Default::default()
    };
    let mdia = Mdia {
        mdhd: Mdhd { timescale: TIMESCALE, duration, language: "und".to_owned(), ..Default::default() },
        hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "video".to_owned() },
        minf,
    };
    let mvhd = Mvhd {
        timescale: TIMESCALE,
        duration,
        rate: FixedPoint::new(1, 0),
        volume: FixedPoint::new(1, 0),
        next_track_id: TRACK + 1,
        ..Default::default()
    };
    let trak = vec![Trak { tkhd, mdia, ..Default::default() }];
    Ok(Moov { mvhd, mvex, trak, udta: record.as_deref().map(about), ..Default::default() })
}

/// What players and ffprobe show as the description of a file, as iTunes has it.
fn about(text: &str) -> Udta {
    let desc = Desc { country_indicator: 0, language_indicator: 0, text: text.to_owned() };
    let mut meta = Meta { hdlr: Hdlr { handler: FourCC::new(b"mdir"), name: String::new() }, items: Vec::new() };
    meta.push(Ilst { desc: Some(desc), ..Default::default() });
    Udta { meta: Some(meta), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a hole in the middle, so that it takes little of the disk.
    #[cfg(target_os = "linux")]
    #[test]
    fn frames_beyond_four_gigabytes_are_found() {
        use openh264::formats::YUVBuffer;

        use crate::sink::recorder::encoder::encoder;
        use crate::source::SourceSpec;

        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("large.mp4");
        let mut encoder = encoder(22).expect("an encoder");
        let picture = YUVBuffer::new(64, 48);
        let mut units = (0..30).map(|_| AccessUnit::encode(&mut encoder, &picture).expect("a picture that fits"));
        let first = units.next().expect("a frame");
        let (sps, pps) = (first.sps.clone().expect("a description"), first.pps.clone().expect("a description"));
        let file = File::create_new(&path).expect("a file");
        let mut file =
            Mp4File::start(file, Description { size: (64, 48), sps, pps, record: None }).expect("a disk with room");
        for (id, unit) in std::iter::once(first).chain(units).enumerate() {
            if id == 15 {
                assert!(file.waiting.is_empty(), "a piece ends here");
                file.end = 5 << 30;
                file.file.seek(SeekFrom::Start(file.end)).expect("a file system with holes");
            }
            file.add(&unit, 3000).expect("a disk with room");
        }
        file.finish().expect("a disk with room");
        assert_eq!(file.playable(), Duration::from_secs(1));
        let mut source = SourceSpec::Path(path).open().expect("a video");
        let mut times = Vec::new();
        while let Some(frame) = source.next_frame().expect("a frame that is there") {
            times.push(frame.pts.as_secs_f64());
        }
        assert_eq!(times.len(), 30);
        assert!((times[29] - 29.0 / 30.0).abs() < 1e-3, "{times:?}");
    }
}
