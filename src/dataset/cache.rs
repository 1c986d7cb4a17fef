//! Faces that were cut out before, so that a large set of photos is searched once and not at every run.
//!
//! One file for each photo, in a folder that holds nothing else: a PNG of the face, which one can look at, or a text that
//! there is none. Its name is a hash of the photo's bytes and of every setting that decides what comes out, so an entry is
//! never outdated, and the folder may be deleted at any time. A damaged entry counts as none and is made anew.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use image::codecs::png::PngDecoder;
use image::{ColorType, DynamicImage, GrayImage, ImageDecoder, ImageFormat};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::system::files::read_at_most;

/// To be raised when a change to the decoding of photos or to the cropping changes what comes out.
const VERSION: u32 = 1;

/// The largest entry that is read, in bytes: a face of 256x256 has less.
const MAX_ENTRY: u64 = 1024 * 1024;

/// What an entry holds where there is no face.
const NO_FACE: &[u8] = b"no face was found\n";

/// A folder of faces, for one way of cutting them out.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    /// All that decides what a photo becomes, as text.
    settings: String,
    /// Width and height of the faces.
    size: u32,
    /// Whether an entry could not be written.
    failed: AtomicBool,
}

/// The name of an entry.
pub(super) struct Key(String);

impl Cache {
    pub(super) fn new(folder: &Path, settings: &str, size: u32) -> Self {
        let settings = format!("{VERSION} {settings}");
        Self { folder: folder.into(), settings, size, failed: AtomicBool::new(false) }
    }

    /// The entry for a photo with these bytes.
    pub(super) fn key(&self, bytes: &[u8]) -> Key {
        let hash = Sha256::new().chain_update(&self.settings).chain_update([0]).chain_update(bytes).finalize();
        Key(hex::encode(hash))
    }

    /// What is known of a photo: its face or that it has none; `None` where nothing is known.
    pub(super) fn get(&self, key: &Key) -> Option<Option<GrayImage>> {
        let bytes = read_at_most(&self.path(key), MAX_ENTRY).ok()?;
        if bytes == NO_FACE { Some(None) } else { self.face(&bytes).ok().map(Some) }
    }

    fn face(&self, bytes: &[u8]) -> Result<GrayImage> {
        let decoder = PngDecoder::new(Cursor::new(bytes))?;
        ensure!(decoder.dimensions() == (self.size, self.size) && decoder.color_type() == ColorType::L8);
        Ok(DynamicImage::from_decoder(decoder)?.into_luma8())
    }

    /// Keeps what was found. A failure costs only time, so it is remembered for [`Self::warning`] and no more.
    pub(super) fn put(&self, key: &Key, face: Option<&GrayImage>) {
        // Where one could not be written, thousands of others can't, either.
        if !self.failed.load(Ordering::Relaxed) && self.write(key, face).is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
    }

    fn write(&self, key: &Key, face: Option<&GrayImage>) -> Result<()> {
        let mut bytes = Vec::new();
        match face {
            Some(face) => face.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?,
            None => bytes.extend(NO_FACE),
        }
        let path = self.path(key);
        let folder = path.parent().context("an entry lies in a folder")?;
        fs::create_dir_all(folder)?;
        // Renamed when complete, so that a run beside this one never reads half of it.
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(&bytes)?;
        file.persist(path)?;
        Ok(())
    }

    /// Entries are spread over 256 folders, since some file systems are slow with many files in one.
    fn path(&self, key: &Key) -> PathBuf {
        let (start, rest) = key.0.split_at(2);
        self.folder.join(start).join(rest)
    }

    /// What a person should know: that faces could not be kept.
    pub(super) fn warning(&self) -> Option<String> {
        self.failed.load(Ordering::Relaxed).then(|| {
            let folder = self.folder.display();
            format!(
                "faces could not be kept in {folder}, so they will be looked for again; --cache names another folder"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn a_damaged_entry_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), "a", 16);
        let key = cache.key(b"photo");
        cache.put(&key, Some(&GrayImage::from_fn(16, 16, |x, y| Luma([(x * y) as u8]))));
        let good = fs::read(cache.path(&key)).unwrap();
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 0x10;
        let mut larger = Vec::new();
        GrayImage::new(17, 17).write_to(&mut Cursor::new(&mut larger), ImageFormat::Png).unwrap();
        for damaged in [&good[..good.len() / 2], &[], b"no face", &flipped, &larger] {
            fs::write(cache.path(&key), damaged).unwrap();
            assert_eq!(cache.get(&key), None, "{} bytes", damaged.len());
        }
        cache.put(&key, None);
        assert_eq!(cache.get(&key), Some(None));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_and_nothing_worse() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let cache = Cache::new(&file, "a", 16);
        cache.put(&cache.key(b"photo"), None);
        assert!(cache.warning().unwrap().contains("--cache"));
    }
}
