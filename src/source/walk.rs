//! All videos and pictures in a folder and in those below it, each as a source of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use walkdir::WalkDir;

use super::images::folder::{NotRead, VIDEOS, ends_in, is_hidden, natural_order};
use super::images::is_any_picture;

/// The files in a folder that can be labelled, by folder and name, numbers in them counted as numbers, and what is told of
/// the others. Hidden files and folders are left out, and links to folders are not followed: they may lead in a circle.
///
/// # Errors
/// When a folder can't be listed, or there is no such file.
pub fn walk(folder: &Path) -> Result<(Vec<PathBuf>, Option<String>)> {
    let (mut files, mut not_read) = (Vec::new(), NotRead::default());
    let tree = WalkDir::new(folder).min_depth(1).sort_by(|a, b| natural_order(a.path(), b.path()));
    for entry in tree.into_iter().filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.path())) {
        let entry = entry.with_context(|| format!("cannot list the folder {}", folder.display()))?;
        let path = entry.path();
        match path {
            _ if entry.file_type().is_dir() => {}
            _ if entry.path_is_symlink() && path.is_dir() => not_read.add("links to folders", path),
            _ if is_any_picture(path) || ends_in(path, &VIDEOS) => files.push(entry.into_path()),
            _ => not_read.add("other files", path),
        }
    }
    let others = not_read.take(&folder.display().to_string());
    let name = folder.display();
    let told = others.as_ref().map(|others| format!("; {others}")).unwrap_or_default();
    ensure!(!files.is_empty(), "{name}: there is no video and no picture in this folder or below{told}");
    Ok((files, others))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn all_that_can_be_labelled_is_found_in_the_order_that_people_expect() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let name = |path: &Path| path.strip_prefix(root.path()).expect("below").to_string_lossy().into_owned();
        for folder in ["s2", "s10/deep", ".hidden"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        for file in
            ["s10/a.mp4", "s2/v10.MOV", "s2/v9.mkv", "s10/deep/b.JPG", ".hidden/c.mp4", "notes.txt", "s2/._v9.mkv"]
        {
            fs::write(root.path().join(file), "").expect("a file");
        }
        let (files, others) = walk(root.path()).expect("a folder");
        assert_eq!(
            files.iter().map(|path| name(path)).collect::<Vec<_>>(),
            ["s2/v9.mkv", "s2/v10.MOV", "s10/a.mp4", "s10/deep/b.JPG"]
        );
        assert!(others.is_some_and(|others| others.ends_with("other files (1: notes.txt)")));
        let error = walk(&root.path().join(".hidden/none")).expect_err("no folder");
        assert!(format!("{error:#}").contains("cannot list"), "{error:#}");
        fs::remove_dir_all(root.path().join("s2")).expect("a folder");
        fs::remove_dir_all(root.path().join("s10")).expect("a folder");
        let error = walk(root.path()).expect_err("nothing to label").to_string();
        assert!(error.contains("no video and no picture") && error.contains("notes.txt"), "{error}");
    }
}
