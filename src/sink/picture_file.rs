//! Files of one picture: PNG, or JPEG where the name ends so, with the record of what made it inside.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use super::options::OutputOptions;
use super::part::PartFile;
use super::record::Record;

/// Of JPEGs, 1 to 100: letters keep their edges, at a quarter of a PNG's size.
const JPEG_QUALITY: u8 = 92;

/// The most bytes of a comment in a JPEG: its length, in 16 bits, counts itself.
const LONGEST_COMMENT: usize = u16::MAX as usize - 2;

/// Whether a path's name ends as one of a picture.
pub(super) fn is_picture(path: &Path) -> bool {
    is_jpeg(path) || has_extension(path, "png")
}

fn is_jpeg(path: &Path) -> bool {
    has_extension(path, "jpg") || has_extension(path, "jpeg")
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// How the pictures of an output are written.
pub(super) struct How {
    force: bool,
    again: bool,
    live: bool,
    record: Option<Record>,
}

impl From<OutputOptions<'_>> for How {
    fn from(OutputOptions { force, again, live, record, .. }: OutputOptions<'_>) -> Self {
        Self { force, again, live, record: record.map(|record| record.ended(true)) }
    }
}

impl How {
    /// For many files: whose those are that are there was not asked.
    pub(super) fn of_many(options: OutputOptions<'_>) -> Self {
        Self::from(OutputOptions { again: false, ..options })
    }

    pub(super) fn options(&self) -> OutputOptions<'_> {
        let Self { force, again, live, .. } = *self;
        OutputOptions { force, again, live, record: self.record.as_ref(), ..Default::default() }
    }
}

/// Writes a picture with the record of what made it, which takes its name when it is complete.
///
/// # Errors
/// When it can't be written, or, without `force`, when the file exists.
pub(super) fn write_picture(picture: &RgbImage, path: &Path, options: OutputOptions<'_>) -> Result<()> {
    ensure!(options.overwrites(path) || fs::symlink_metadata(path).is_err(), "{} exists already", path.display());
    let part = PartFile::create(path, options.overwrites(path), options.leftover(path))?;
    let written = part.file().and_then(|file| {
        let mut file = BufWriter::new(file);
        let encode = if is_jpeg(path) { encode_jpeg } else { encode_png };
        encode(picture, options.record, &mut file).with_context(|| format!("{} can't be written", path.display()))?;
        file.flush().with_context(|| format!("{} can't be written", path.display()))
    });
    if let Err(error) = written {
        part.discard();
        return Err(error);
    }
    part.complete()
}

fn encode_png(picture: &RgbImage, record: Option<&Record>, out: &mut dyn Write) -> Result<()> {
    let mut encoder = png::Encoder::new(out, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    // A frame is one of many: speed counts for more than the last tenth of its size.
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::Adaptive);
    if let Some(record) = record {
        encoder.add_itxt_chunk("Comment".to_owned(), record.text())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture.as_raw())?;
    Ok(writer.finish()?)
}

fn encode_jpeg(picture: &RgbImage, record: Option<&Record>, out: &mut dyn Write) -> Result<()> {
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(picture)?;
    let comment = record.map(Record::text).filter(|text| text.len() <= LONGEST_COMMENT);
    let front = length_of_front(&jpeg);
    out.write_all(&jpeg[..front])?;
    if let Some(text) = comment {
        // A segment COM: its mark, and the length of the rest and of itself.
        out.write_all(&[0xff, 0xfe])?;
        out.write_all(&u16::try_from(text.len() + 2)?.to_be_bytes())?;
        out.write_all(text.as_bytes())?;
    }
    Ok(out.write_all(&jpeg[front..])?)
}

/// The length of what must come first in a JPEG: its mark, and the segment that says that it is JFIF.
fn length_of_front(jpeg: &[u8]) -> usize {
    match jpeg {
        [0xff, 0xd8, 0xff, 0xe0, high, low, ..] => (4 + usize::from(u16::from_be_bytes([*high, *low]))).min(jpeg.len()),
        _ => jpeg.len().min(2),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    #[test]
    fn the_name_s_end_picks_the_form_and_both_keep_the_record() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let picture = RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, 128]));
        let record = Record::new("annotate", "5a".to_owned(), Map::new()).ended(true);
        for (name, format) in [
            ("a.png", image::ImageFormat::Png),
            ("a.PNG", image::ImageFormat::Png),
            ("a.jpg", image::ImageFormat::Jpeg),
            ("a.JPEG", image::ImageFormat::Jpeg),
        ] {
            let path = folder.path().join(name);
            assert!(is_picture(&path));
            write_picture(&picture, &path, OutputOptions { record: Some(&record), ..Default::default() }).expect(name);
            let bytes = fs::read(&path).expect("a file");
            assert_eq!(image::guess_format(&bytes).expect("a picture"), format, "{name}");
            assert_eq!(Record::inside(&path).as_ref(), Some(&record), "{name}");
            let read = image::load_from_memory(&bytes).expect("a picture that others read").to_rgb8();
            let difference = |(a, b): (&u8, &u8)| u32::from(a.abs_diff(*b));
            let most = read.as_raw().iter().zip(picture.as_raw()).map(difference).max();
            assert!(
                read.dimensions() == (64, 48) && most <= Some(if name.starts_with("a.p") { 0 } else { 12 }),
                "{most:?}"
            );
        }
        assert!(!is_picture(Path::new("a.gif")) && !is_picture(Path::new("png")));
    }
}
