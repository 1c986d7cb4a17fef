//! What lies in a folder: its pictures, in the order that people expect, and what is not read, to be told.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// How the names of videos end that people have beside their pictures.
pub(in crate::source) const VIDEOS: [&str; 13] =
    ["3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "webm", "wmv"];

/// How many names are told of each kind.
const MOST_NAMES: usize = 10;

/// Names of what is not read, by the reason.
#[derive(Debug, Default)]
pub(in crate::source) struct NotRead(BTreeMap<String, Vec<String>>);

impl NotRead {
    /// Notes a name; the reason is in the plural.
    pub(in crate::source) fn add(&mut self, reason: &str, name: &Path) {
        self.0.entry(reason.to_owned()).or_default().push(shown(name));
    }

    /// What is to be told of a folder, once; `None` where all was read.
    pub(in crate::source) fn take(&mut self, folder: &str) -> Option<String> {
        let kinds: Vec<String> = std::mem::take(&mut self.0)
            .into_iter()
            .map(|(reason, names)| {
                let more = names.len().saturating_sub(MOST_NAMES);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{reason} ({}: {}{more})", names.len(), names[..names.len().min(MOST_NAMES)].join(", "))
            })
            .collect();
        (!kinds.is_empty()).then(|| format!("not read in {folder}: {}", kinds.join("; ")))
    }
}

/// A file's name without its folder, for people.
pub(super) fn shown(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Whether a name ends in one of these, in any case.
pub(in crate::source) fn ends_in(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|found| extensions.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// The pictures right in a folder, in order, and what else is there. Hidden files are left out.
pub(super) fn list(folder: &Path, is_picture: impl Fn(&Path) -> bool) -> Result<(Vec<PathBuf>, NotRead)> {
    let cannot_list = || format!("cannot list the folder {}", folder.display());
    let (mut pictures, mut others) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).with_context(cannot_list)? {
        let path = entry.with_context(cannot_list)?.path();
        if is_hidden(&path) {
            continue;
        }
        if is_picture(&path) && path.is_file() { pictures.push(path) } else { others.push(path) }
    }
    for paths in [&mut pictures, &mut others] {
        paths.sort_by(|a, b| natural_order(a, b));
    }
    let mut not_read = NotRead::default();
    for path in &others {
        let reason = match path {
            _ if path.is_dir() => "folders below",
            _ if ends_in(path, &VIDEOS) => "videos",
            _ => "other files",
        };
        not_read.add(reason, path);
    }
    Ok((pictures, not_read))
}

/// Whether a file or folder is not meant to be seen.
pub(in crate::source) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// How people order files of one folder.
pub(in crate::source) fn natural_order(a: &Path, b: &Path) -> Ordering {
    natural_key(&shown(a)).cmp(natural_key(&shown(b))).then_with(|| a.cmp(b))
}

/// What names are compared by: text as text, runs of digits as numbers. Of two numbers without leading zeros the longer one
/// is larger.
fn natural_key(name: &str) -> impl Iterator<Item = (u8, usize, &[u8])> {
    let runs = name.as_bytes().chunk_by(|a, b| a.is_ascii_digit() && b.is_ascii_digit());
    runs.map(|run| {
        let number = &run[run.iter().take_while(|&&byte| byte == b'0').count()..];
        (if run[0].is_ascii_digit() { b'0' } else { run[0] }, number.len(), number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_compared_as_numbers() {
        for (a, b) in [("2.jpg", "10.jpg"), ("a2b9", "a2b10"), ("a", "a1"), ("", "0"), ("x007", "x8"), ("b", "ä")] {
            assert!(natural_key(a).lt(natural_key(b)) && natural_key(b).gt(natural_key(a)), "{a} {b}");
        }
        assert!(natural_key("a.png").lt(natural_key("a1.png")) && natural_key("a01").eq(natural_key("a1")));
    }

    #[test]
    fn what_is_not_read_is_counted_and_named_by_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.JPG", "clip.MOV", ".hidden", "x.jpg.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        (1..=33).for_each(|number| fs::write(folder.path().join(format!("{number}.txt")), "").unwrap());
        fs::create_dir(folder.path().join("below.jpg")).unwrap();
        let (pictures, mut not_read) = list(folder.path(), |path| ends_in(path, &["jpg"])).unwrap();
        assert_eq!(pictures, [folder.path().join("a.JPG")]);
        assert_eq!(
            not_read.take("photos").unwrap(),
            "not read in photos: folders below (1: below.jpg); \
             other files (34: 1.txt, 2.txt, 3.txt, 4.txt, 5.txt, 6.txt, 7.txt, 8.txt, 9.txt, 10.txt and 24 more); \
             videos (1: clip.MOV)"
        );
        assert_eq!(not_read.take("photos"), None);
    }
}
