//! FER2013 as its table (Goodfellow et al. 2013, <https://arxiv.org/abs/1307.0414>): `fer2013.csv` or
//! `icml_face_data.csv` with the columns `emotion`, `pixels` and `Usage`, or `train.csv` without `Usage`.
//!
//! A line holds one picture: a code of 0 to 6 for the emotion and 48x48 grey values of 0 to 255 between spaces. In the
//! contest `PublicTest` was what one could look at, so it is validation here, and `PrivateTest` is the test.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use csv::StringRecord;
use image::GrayImage;

use super::listing::{Content, Entry, Listing, Picture, count, file_name};
use super::sample::Part;
use crate::flow::emotion::Emotion;

/// Width and height of every picture.
const SIZE: u32 = 48;

/// The longest line that is read, in bytes: 2304 values of three digits are a seventh of it.
const MAX_LINE: u64 = 64 * 1024;

/// The emotions in the order of the codes.
const CODES: [Emotion; Emotion::COUNT] = [
    Emotion::Anger,
    Emotion::Disgust,
    Emotion::Fear,
    Emotion::Happy,
    Emotion::Sad,
    Emotion::Surprise,
    Emotion::Neutral,
];

/// Names of the published tables; the first that is there is taken.
const PUBLISHED: [&str; 3] = ["fer2013.csv", "icml_face_data.csv", "train.csv"];

/// Which column is where.
#[derive(Clone, Copy, Debug)]
struct Columns {
    emotion: usize,
    pixels: usize,
    usage: Option<usize>,
}

impl Columns {
    /// Finds the columns by name, in any case; one of the published headers has spaces in it.
    fn from_header(header: &StringRecord) -> Option<Self> {
        let find = |name: &str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
        Some(Self { emotion: find("emotion")?, pixels: find("pixels")?, usage: find("usage") })
    }
}

/// The table in a folder that has the right columns. Of several the one with a
/// published name is taken; without one they are refused.
pub(super) fn table_of(path: &Path, content: &Content) -> Result<Option<PathBuf>> {
    let mut tables: Vec<_> = content.files.iter().filter(|file| is_table(file)).collect();
    if let Some(table) = PUBLISHED.iter().find_map(|name| tables.iter().find(|table| file_name(table) == *name)) {
        return Ok(Some((*table).clone()));
    }
    ensure!(
        tables.len() < 2,
        "{}: several tables have the columns of FER2013: {}; name one of them instead of the folder",
        path.display(),
        tables.iter().map(|table| file_name(table)).collect::<Vec<_>>().join(", ")
    );
    Ok(tables.pop().cloned())
}

/// Whether a file is named and headed like the table.
fn is_table(path: &Path) -> bool {
    let named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    named && Lines::open(path).is_ok()
}

/// Lists the pictures of a table, pixels included.
pub(super) fn list(table: &Path) -> Result<Listing> {
    let mut lines = Lines::open(table)?;
    let mut entries = Vec::new();
    while let Some(record) = lines.next_record()? {
        let entry = entry(&record, lines.columns, lines.number);
        entries.push(entry.with_context(|| format!("{}, line {}", table.display(), lines.number))?);
    }
    ensure!(!entries.is_empty(), "{}: expected a line for each picture, found none", table.display());
    Ok(Listing { name: format!("FER2013 from {}", file_name(table)), entries, warnings: Vec::new() })
}

/// The lines of a table. A line is read only up to a limit, so that a file of another kind can't fill the memory.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    columns: Columns,
    /// The number of the last line that was read, from 1.
    number: usize,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let columns = Columns { emotion: 0, pixels: 0, usage: None };
        let mut lines = Self { path, reader: BufReader::new(file), columns, number: 0 };
        let header = lines.next_record()?.unwrap_or_default();
        lines.columns = Columns::from_header(&header).with_context(|| {
            format!("{}: expected the columns emotion, pixels and Usage, found another first line", path.display())
        })?;
        Ok(lines)
    }

    /// The next line that is not empty.
    fn next_record(&mut self) -> Result<Option<StringRecord>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = self.reader.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line);
            let at = || format!("{}, line {}", self.path.display(), self.number + 1);
            let read = read.with_context(at)?;
            if read == 0 {
                return Ok(None);
            }
            ensure!(read as u64 <= MAX_LINE, "{}: expected at most {MAX_LINE} bytes, found a longer line", at());
            // Some editors put a mark in front of UTF-8.
            let text = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&line).trim_ascii();
            let mut record = StringRecord::new();
            let found = if text.is_empty() {
                false
            } else {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
                reader.read_record(&mut record).with_context(at)?
            };
            self.number += 1;
            if found {
                return Ok(Some(record));
            }
        }
    }
}

fn entry(record: &StringRecord, columns: Columns, line: usize) -> Result<Entry> {
    let field =
        |column: usize, name| record.get(column).with_context(|| format!("expected a column {name}, found none"));
    let code = field(columns.emotion, "emotion")?.trim();
    let emotion = code.parse().ok().and_then(|code: usize| CODES.get(code)).copied();
    let emotion = emotion.with_context(|| format!("expected an emotion of 0 to 6, found {code:?}"))?;
    let face = face_from_text(field(columns.pixels, "pixels")?)?;
    let part = columns.usage.map(|column| part_from_usage(field(column, "Usage")?.trim())).transpose()?;
    Ok(Entry { part, ..Entry::sure(format!("line {line}"), Picture::Face(face), emotion) })
}

/// The part that the contest called this.
pub(super) fn part_from_usage(usage: &str) -> Result<Part> {
    Ok(match usage.to_ascii_lowercase().as_str() {
        "training" => Part::Train,
        "publictest" => Part::Validation,
        "privatetest" => Part::Test,
        _ => bail!("expected a Usage of Training, PublicTest or PrivateTest, found {usage:?}"),
    })
}

fn face_from_text(text: &str) -> Result<GrayImage> {
    let expected = (SIZE * SIZE) as usize;
    let value = |(i, word): (usize, &str)| -> Result<u8> {
        let value = word.parse().ok();
        value.with_context(|| format!("pixel {}: expected a value of 0 to 255, found {word:?}", i + 1))
    };
    let pixels: Vec<u8> = text.split_ascii_whitespace().enumerate().map(value).collect::<Result<_>>()?;
    let found = count(pixels.len(), "pixel");
    let face = if pixels.len() == expected { GrayImage::from_raw(SIZE, SIZE, pixels) } else { None };
    face.with_context(|| format!("expected {expected} pixels ({SIZE}x{SIZE}), found {found}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// 2304 values, the first as given.
    fn pixels(first: &str) -> String {
        format!("{first}{}", " 128".repeat(2303))
    }

    fn listed(table: &str) -> Result<Listing> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fer2013.csv");
        fs::write(&path, table).unwrap();
        list(&path)
    }

    #[test]
    fn codes_and_usages_are_understood_in_all_published_forms() {
        let pixels = pixels("7");
        let table =
            format!("emotion,pixels,Usage\n0,{pixels},Training\r\n\n6,{pixels},PublicTest\n4,{pixels},PrivateTest");
        let listing = listed(&table).unwrap();
        let found: Vec<_> = listing.entries.iter().map(|e| (&*e.name, e.label().unwrap(), e.part.unwrap())).collect();
        let expected = [
            ("line 2", Emotion::Anger, Part::Train),
            ("line 4", Emotion::Neutral, Part::Validation),
            ("line 5", Emotion::Sad, Part::Test),
        ];
        assert_eq!(found, expected);
        let Picture::Face(face) = &listing.entries[0].picture else { panic!("no pixels") };
        assert_eq!((face.dimensions(), face.as_raw()[0], face.as_raw()[1]), ((48, 48), 7, 128));

        let spaced = listed(&format!("emotion, Usage, pixels\n5,Training,{pixels}\n")).unwrap();
        assert_eq!((spaced.entries[0].label(), spaced.entries[0].part), (Some(Emotion::Surprise), Some(Part::Train)));
        let quoted = listed(&format!("\u{feff}\"emotion\",\"pixels\"\n3,\"{pixels}\"\n")).unwrap();
        assert_eq!((quoted.entries[0].label(), quoted.entries[0].part), (Some(Emotion::Happy), None));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let good = pixels("0");
        for (line, words) in [
            (format!("7,{good},Training"), "line 2: expected an emotion of 0 to 6, found \"7\""),
            (format!("0,{} ,Training", pixels("256")), "line 2: pixel 1: expected a value of 0 to 255, found \"256\""),
            (format!("0,{good} 1,Training"), "line 2: expected 2304 pixels (48x48), found 2305 pixels"),
            ("0,1,Training".into(), "line 2: expected 2304 pixels (48x48), found 1 pixel"),
            (format!("0,{good},Trining"), "line 2: expected a Usage of Training, PublicTest or PrivateTest"),
            ("0".into(), "line 2: expected a column pixels"),
            ("0".repeat(70_000), "line 2: expected at most 65536 bytes"),
        ] {
            let error = format!("{:#}", listed(&format!("emotion,pixels,Usage\n{line}\n")).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
        let error = format!("{:#}", listed("emotion,pixels,Usage\n").unwrap_err());
        assert!(error.contains("found none"), "{error}");
    }

    #[test]
    fn the_table_is_found_in_its_folder_among_others() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, header: &str| fs::write(folder.path().join(name), header).unwrap();
        let table = || table_of(folder.path(), &super::super::listing::content_of(folder.path()).unwrap());
        write("test.csv", "pixels\n");
        write("notes.csv", "a,b\n");
        assert!(table().unwrap().is_none());
        write("mine.csv", "emotion,pixels\n");
        assert_eq!(table().unwrap().unwrap(), folder.path().join("mine.csv"));
        write("other.csv", "Emotion,Pixels\n");
        let error = table().unwrap_err().to_string();
        assert!(error.contains("mine.csv, other.csv"), "{error}");
        write("icml_face_data.csv", "emotion, Usage, pixels\n");
        assert_eq!(table().unwrap().unwrap(), folder.path().join("icml_face_data.csv"));
    }
}
