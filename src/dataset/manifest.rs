//! A table of pictures: `manifest.csv` with the path of each, its label or a share for each emotion, and maybe who it shows
//! and which part it is for.
//!
//! Columns are found by their names, in any order and case. Paths are relative to the folder of the table and stay in it.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use csv::StringRecord;

use super::class_map::{Class, ClassMap};
use super::folders::part_from_name;
use super::listing::{Entry, Listing, Picture, count, file_name, some_of};
use super::sample::{Part, Target, certain, top};
use crate::flow::emotion::Emotion;
use crate::system::files::read_at_most;

/// What a table in a folder is called; the first that is there is taken.
pub(super) const NAMES: [&str; 2] = ["manifest.csv", "labels.csv"];

/// The largest table that is read, in bytes: a million lines of 256.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// How much of a file is read to find out whether it is a table, in bytes.
const MAX_HEADER: u64 = 64 * 1024;

/// How far from 1 the shares of a picture may sum to.
const TOLERANCE: f32 = 0.01;

const PATH: &[&str] = &["path", "image", "file", "filename", "picture"];
const LABEL: &[&str] = &["label", "emotion", "expression", "class"];
const PERSON: &[&str] = &["person", "subject"];
const PART: &[&str] = &["part", "split", "usage"];

/// Which column is where.
struct Columns {
    path: usize,
    label: Option<usize>,
    /// A column for the share of each emotion, or none at all.
    shares: Vec<(usize, Emotion)>,
    person: Option<usize>,
    part: Option<usize>,
}

impl Columns {
    /// Finds the columns by name. Shares count where there is no label.
    fn from_header(header: &StringRecord, map: &ClassMap) -> Option<Self> {
        let find =
            |names: &[&str]| header.iter().position(|column| names.contains(&column.trim().to_lowercase().as_str()));
        let (path, label) = (find(PATH)?, find(LABEL));
        let share = |(i, name)| match map.class(name) {
            Class::Emotion(emotion) => Some((i, emotion)),
            Class::Aside | Class::Unknown => None,
        };
        let shares: Vec<_> = header.iter().enumerate().filter_map(share).collect();
        let known = |emotion| shares.iter().any(|&(_, of)| of == emotion);
        let are_whole = Emotion::ALL.into_iter().all(known);
        (label.is_some() || are_whole).then(|| Self { path, label, shares, person: find(PERSON), part: find(PART) })
    }
}

/// Whether a file is headed like a table of pictures.
pub(super) fn is_manifest(path: &Path) -> bool {
    // A file of another kind may have no end of a line.
    let header = || -> Result<StringRecord> {
        Ok(csv::Reader::from_reader(File::open(path)?.take(MAX_HEADER)).headers()?.clone())
    };
    let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    is_csv && header().is_ok_and(|header| Columns::from_header(&header, &ClassMap::default()).is_some())
}

/// The table in a folder; `None` where there is none.
pub(super) fn table_of(folder: &Path) -> Option<PathBuf> {
    NAMES.map(|name| folder.join(name)).into_iter().find(|table| is_manifest(table))
}

/// Lists the pictures of a table.
pub(super) fn list(table: &Path, map: &ClassMap) -> Result<Listing> {
    let bytes = read_at_most(table, MAX_BYTES)?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
    let header = reader.headers().with_context(|| table.display().to_string())?.clone();
    let columns = Columns::from_header(&header, map).with_context(|| {
        format!(
            "{}: expected a column path, and label or one for each emotion (maybe person and part), found {}",
            table.display(),
            some_of(&header.iter().collect::<Vec<_>>())
        )
    })?;
    let folder = table.parent().unwrap_or(Path::new(""));
    let (mut entries, mut aside) = (Vec::new(), 0);
    for record in reader.records() {
        let record = record.with_context(|| table.display().to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        match entry(&record, &columns, folder, map).with_context(|| format!("{}, line {line}", table.display()))? {
            Some(entry) => entries.push(entry),
            None => aside += 1,
        }
    }
    ensure!(!entries.is_empty(), "{}: expected a line for each picture, found none", table.display());
    let mut warnings = Vec::new();
    if aside > 0 {
        warnings.push(format!("{} of classes that are left aside", count(aside, "picture")));
    }
    let of = file_name(&folder.canonicalize().unwrap_or_else(|_| folder.to_owned()));
    Ok(Listing { name: format!("{of}'s {}", file_name(table)), entries, warnings })
}

/// The picture of a line; `None` where its class is left aside.
fn entry(record: &StringRecord, columns: &Columns, folder: &Path, map: &ClassMap) -> Result<Option<Entry>> {
    let field =
        |column: usize| record.get(column).map(str::trim).context("expected as many fields as in the first line");
    let text = |column: Option<usize>| column.map(field).transpose().map(|text| text.filter(|text| !text.is_empty()));
    let name = field(columns.path)?.to_owned();
    let path = Path::new(&name);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    ensure!(stays && !name.is_empty(), "expected a path below the folder of the table, found {name:?}");
    let (training, measuring, votes) = match text(columns.label)? {
        Some(label) => match map.class(label) {
            Class::Emotion(emotion) => (certain(emotion), certain(emotion), None),
            Class::Aside => return Ok(None),
            Class::Unknown => bail!("expected an emotion, found {label:?}; {}", ClassMap::advice(label)),
        },
        None => {
            let shares = shares(record, &columns.shares)?;
            (shares, certain(top(&shares)), Some(shares))
        }
    };
    let part = text(columns.part)?.map(part).transpose()?;
    let subject = text(columns.person)?.map(str::to_owned);
    let picture = Picture::File(folder.join(path));
    Ok(Some(Entry { name, picture, training: Some(training), measuring: Some(measuring), votes, subject, part }))
}

fn shares(record: &StringRecord, columns: &[(usize, Emotion)]) -> Result<Target> {
    ensure!(!columns.is_empty(), "expected a label, found none");
    let mut shares = [0.0f32; Emotion::COUNT];
    for &(column, emotion) in columns {
        let text = record.get(column).map(str::trim).context("expected as many fields as in the first line")?;
        let share = text.parse::<f32>().ok().filter(|share| (0.0..=1.0).contains(share));
        shares[emotion.index()] +=
            share.with_context(|| format!("expected a share of 0 to 1 for {emotion}, found {text:?}"))?;
    }
    let sum: f32 = shares.iter().sum();
    ensure!((sum - 1.0).abs() <= TOLERANCE, "expected shares that sum to 1, found {sum}");
    Ok(shares.map(|share| share / sum))
}

fn part(name: &str) -> Result<Part> {
    part_from_name(name).with_context(|| format!("expected a part of train, validation or test, found {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(text: &str, map: &str) -> Result<Listing> {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("manifest.csv");
        std::fs::write(&table, text).unwrap();
        list(&table, &if map.is_empty() { ClassMap::default() } else { map.parse().unwrap() })
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", listing(text, "").expect_err("should be refused"))
    }

    #[test]
    fn labels_people_and_parts_are_read() {
        let text = "Emotion,image,person,part\nhappiness,a/1.png,p1,train\ncontempt,2.png,p2,val\nsad,3.png,,\n";
        let entries = listing(text, "contempt=disgust").unwrap().entries;
        let brief: Vec<_> =
            entries.iter().map(|e| (e.name.as_str(), e.label(), e.subject.as_deref(), e.part)).collect();
        assert_eq!(
            brief,
            [
                ("a/1.png", Some(Emotion::Happy), Some("p1"), Some(Part::Train)),
                ("2.png", Some(Emotion::Disgust), Some("p2"), Some(Part::Validation)),
                ("3.png", Some(Emotion::Sad), None, None),
            ]
        );
        let listing = listing(text, "contempt=none").unwrap();
        assert_eq!((listing.entries.len(), listing.warnings.len()), (2, 1));
    }

    #[test]
    fn shares_become_soft_targets_and_the_largest_measures() {
        let text = "path,anger,disgust,fear,happy,neutral,sad,surprise\nx.png,0.1,0,0,0,0.6,0.3,0\n";
        let entry = &listing(text, "").unwrap().entries[0];
        assert_eq!(entry.training.unwrap()[Emotion::Sad.index()], 0.3);
        assert_eq!(entry.measuring, Some(certain(Emotion::Neutral)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_line() {
        assert!(
            refusal("path,label\n1.png,happy\n2.png,bored\n").contains("line 3: expected an emotion, found \"bored\"")
        );
        assert!(refusal("path,label\n1.png,3\n").contains("--map SET"));
        for path in ["../1.png", "/etc/x.png", "a/../../b.png", ""] {
            assert!(refusal(&format!("path,label\n{path},happy\n")).contains("below the folder"), "{path}");
        }
        let header = "path,anger,disgust,fear,happy,neutral,sad,surprise\n";
        assert!(refusal(&format!("{header}x.png,0.5,0,0,0,0.6,0,0\n")).contains("sum to 1, found 1.1"));
        assert!(refusal(&format!("{header}x.png,-1,0,0,0,2,0,0\n")).contains("a share of 0 to 1 for Anger"));
        assert!(refusal(&format!("{header}x.png,1\n")).contains("as many fields"));
        assert!(refusal("path,label,part\n1.png,happy,half\n").contains("train, validation or test"));
        assert!(refusal("path,happy\n1.png,1\n").contains("expected a column path"));
        assert!(refusal("path,label\n").contains("found none"));
    }

    #[test]
    fn a_table_is_known_by_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("labels.csv");
        for (header, expected) in [("image,emotion,person", true), ("emotion,pixels,Usage", false), ("a,b", false)] {
            std::fs::write(&table, format!("{header}\n")).unwrap();
            assert_eq!(table_of(folder.path()).is_some(), expected, "{header}");
        }
        // No more is read of a line that does not end.
        std::fs::write(&table, format!("{},path,label\n", "x".repeat(70_000))).unwrap();
        assert!(table_of(folder.path()).is_none());
    }
}
