//! What a format finds before a single picture is opened: which pictures there are, and what is known of each.
//!
//! Owns walking through folders. They are read in the order of their names, each real folder once, so links that lead in
//! circles end; hidden files and the traces of macOS archives are left out.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::GrayImage;

use super::sample::{Part, Target, certain};
use crate::flow::emotion::Emotion;
use crate::source::images::is_picture;

/// All that a format found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// For people: what this is.
    pub(super) name: String,
    /// The labelled pictures, in an order that does not depend on the file system.
    pub(super) entries: Vec<Entry>,
    /// What a person should know.
    pub(super) warnings: Vec<String>,
}

/// One labelled picture, not yet opened.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path in the data set with forward slashes, or what else tells it from the others there.
    pub(super) name: String,
    /// Its pixels, or where they are.
    pub(super) picture: Picture,
    /// What it shows, for training; `None` where it is not fit for that.
    pub(super) training: Option<Target>,
    /// What it shows, for measuring; `None` where it is not fit for that.
    pub(super) measuring: Option<Target>,
    /// As [`super::Sample::votes`].
    pub(super) votes: Option<Target>,
    /// Who it shows.
    pub(super) subject: Option<String>,
    /// Where the data put it.
    pub(super) part: Option<Part>,
}

/// The pixels of a labelled picture.
#[derive(Debug)]
pub(super) enum Picture {
    /// In a file of any kind that emocam reads.
    File(PathBuf),
    /// In a file, and known to be a face.
    FaceFile(PathBuf),
    /// A face, here.
    Face(GrayImage),
}

impl Entry {
    /// A picture of one emotion without doubt.
    pub(super) fn sure(name: String, picture: Picture, emotion: Emotion) -> Self {
        let target = certain(emotion);
        let (training, measuring) = (Some(target), Some(target));
        Self { name, picture, training, measuring, votes: None, subject: None, part: None }
    }

    /// What it counts as in a part; `None` where it is not fit for that.
    pub(super) fn target(&self, part: Part) -> Option<Target> {
        if part == Part::Train { self.training } else { self.measuring }
    }

    /// The emotion that it is sorted under.
    pub(super) fn label(&self) -> Option<Emotion> {
        self.measuring.or(self.training).as_ref().map(super::sample::top)
    }
}

/// The files below a folder.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Those that are named like pictures.
    pub(super) pictures: Vec<PathBuf>,
    /// All others.
    pub(super) others: Vec<PathBuf>,
}

/// All files below a folder, at any depth.
pub(super) fn files_below(folder: &Path) -> Result<Files> {
    let mut files = Files::default();
    let mut seen = HashSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let real = folder.canonicalize().with_context(|| cannot_list(&folder))?;
        if !seen.insert(real) {
            continue;
        }
        let content = content_of(&folder)?;
        // The last one is taken next.
        folders.extend(content.folders.into_iter().rev());
        for path in content.files {
            if is_picture(&path) { &mut files.pictures } else { &mut files.others }.push(path);
        }
    }
    Ok(files)
}

/// What lies right in a folder.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) folders: Vec<PathBuf>,
    pub(super) files: Vec<PathBuf>,
}

/// Folders and files right in a folder, sorted by name, links followed. Links that lead nowhere are files, whose reading
/// fails; pipes and devices are left out, since reading one may never end.
pub(super) fn content_of(folder: &Path) -> Result<Content> {
    let mut content = Content::default();
    for entry in fs::read_dir(folder).with_context(|| cannot_list(folder))? {
        let path = entry.with_context(|| cannot_list(folder))?.path();
        if path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX") {
            continue;
        }
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => content.folders.push(path),
            Ok(found) if !found.is_file() => {}
            Ok(_) | Err(_) => content.files.push(path),
        }
    }
    content.folders.sort();
    content.files.sort();
    Ok(content)
}

fn cannot_list(folder: &Path) -> String {
    format!("cannot list the folder {}", folder.display())
}

/// A path below a folder as the name of a sample: with forward slashes on every system.
pub(super) fn name_below(folder: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(folder).unwrap_or(path);
    relative.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The last part of a path, for people.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// How many names a warning gives.
const NAMED: usize = 8;

/// The first few of many names, for a warning.
pub(super) fn some_of<T: AsRef<str>>(names: &[T]) -> String {
    let named: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = names.len() - named.len();
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}

/// `1 picture`, `2 pictures`.
pub(super) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder with files of these names. A listing opens none but tables, whose first line they have.
    pub(in super::super) fn folder_of(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "emotion,pixels,Usage\n").unwrap();
        }
        folder
    }

    fn names(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
        paths.iter().map(|path| name_below(folder, path)).collect()
    }

    #[test]
    fn files_are_found_at_any_depth_in_order_and_hidden_ones_are_not() {
        let all = ["b/2.png", "b/1.JPG", "b/notes.txt", "a/deep/er/x.bmp", "z.png"];
        let hidden = [".hidden.png", ".git/y.png", "__MACOSX/_x.png"];
        let folder = folder_of(&[&all[..], &hidden].concat());
        let files = files_below(folder.path()).unwrap();
        assert_eq!(names(folder.path(), &files.pictures), ["z.png", "a/deep/er/x.bmp", "b/1.JPG", "b/2.png"]);
        assert_eq!(names(folder.path(), &files.others), ["b/notes.txt"]);
        assert!(files_below(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }

    #[cfg(unix)]
    #[test]
    fn links_in_circles_end_and_names_may_be_no_text() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        symlink("..", folder.path().join("a/up")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        symlink("nowhere", folder.path().join("c.png")).unwrap();
        fs::write(folder.path().join("a").join(OsStr::from_bytes(b"\xff\xfe.png")), "").unwrap();
        let files = files_below(folder.path()).unwrap();
        assert_eq!(names(folder.path(), &files.pictures), ["c.png", "a/\u{fffd}\u{fffd}.png"]);
    }

    #[test]
    fn long_lists_are_cut_short() {
        assert_eq!(some_of(&["a", "b"]), "a, b");
        assert_eq!(some_of(&["x"; 10]), "x, x, x, x, x, x, x, x and 2 more");
        assert_eq!((count(1, "picture"), count(0, "picture")), ("1 picture".into(), "0 pictures".into()));
    }
}
