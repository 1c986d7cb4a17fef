//! A file in the making: `clip.part.mp4` beside its place, which takes its name, `clip.mp4`, when it is whole.
//!
//! So a file of that name can always be relied on, and what a run leaves that was cut off is marked by its own name and
//! can still be opened. A lock keeps a second process from writing the same file; it goes with the process that holds it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tempfile::TempPath;

use super::record::Record;
use crate::system::files::{TEMPORARY_PREFIX, folder_of, is_at};

/// The name that a file has until it is whole.
pub(super) fn part_path(path: &Path) -> PathBuf {
    let extension = path.extension().unwrap_or_default();
    let mut name = std::ffi::OsString::from("part.");
    name.push(extension);
    path.with_extension(name)
}

/// What is done with what lies there already under the preliminary name. An empty file is in nobody's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    /// It is somebody's, or all that there is of something: refused.
    Keep,
    /// It can be made again, or was given up: replaced.
    Replace,
}

/// Refuses what [`PartFile::create`] would refuse, without a change.
pub(super) fn check(path: &Path, leftover: Leftover) -> Result<()> {
    let part = part_path(path);
    ensure!(!part.is_dir(), "{} can't be written: {} is a folder", path.display(), part.display());
    let holds_something = fs::symlink_metadata(&part).is_ok_and(|there| !there.is_file() || there.len() > 0);
    ensure!(
        leftover == Leftover::Replace || !holds_something,
        "{} is there: {}. Give it another name if you want to keep it (--force overwrites it)",
        part.display(),
        Record::inside(&part).map_or_else(
            || "perhaps what another run left that was cut off".to_owned(),
            |record| format!("what another run left that was cut off, as far as it got ({})", record.origin())
        )
    );
    Ok(())
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct PartFile {
    path: PathBuf,
    part: PathBuf,
    /// Holds the lock.
    file: File,
    overwrite: bool,
}

impl PartFile {
    /// Creates the file under its preliminary name. `overwrite` is for the file that has the final name in the end.
    pub(super) fn create(path: &Path, overwrite: bool, leftover: Leftover) -> Result<Self> {
        check(path, leftover)?;
        let part = part_path(path);
        remove_leftover(&part)?;
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&part)
            .with_context(|| format!("{} can't be written", path.display()))?;
        // Where a file system knows no locks, there is none. Between the two steps another process may have taken an empty
        // file for one that nobody writes.
        let is_locked = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        ensure!(!is_locked && is_at(&file, &part), "{} is being written by another process", part.display());
        Ok(Self { path: path.to_path_buf(), part, file, overwrite })
    }

    /// The file, for writing and reading; all clones share one position.
    pub(super) fn file(&self) -> Result<File> {
        self.file.try_clone().with_context(|| format!("{} can't be written", self.part.display()))
    }

    /// The preliminary name.
    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    /// A name beside it that nobody has, for a file that [`Self::replace_by`] is to take; it is removed when the value is
    /// dropped.
    pub(super) fn beside(&self) -> Result<TempPath> {
        let mut builder = tempfile::Builder::new();
        let suffix = self.path.extension().map_or_else(String::new, |end| format!(".{}", end.to_string_lossy()));
        builder.prefix(TEMPORARY_PREFIX).suffix(&suffix);
        // Where nothing is written there, a run that is killed leaves nothing.
        let free = |path: &Path| if path.exists() { Err(ErrorKind::AlreadyExists.into()) } else { Ok(()) };
        let named = builder.make_in(folder_of(&self.part), free);
        Ok(named.with_context(|| format!("{} can't get a file beside it", self.part.display()))?.into_temp_path())
    }

    /// Takes what is in another file, which vanishes.
    pub(super) fn replace_by(&self, other: &Path) -> Result<()> {
        fs::rename(other, &self.part).with_context(|| format!("{} can't be replaced", self.part.display()))
    }

    /// Gives the file its name.
    pub(super) fn complete(self) -> Result<()> {
        let Self { path, part, file, overwrite } = self;
        // Some systems rename no file that is open.
        drop(file);
        // A name that outlives a power cut must not belong to a file that doesn't.
        let synced = File::options().write(true).open(&part).and_then(|file| file.sync_all());
        synced.with_context(|| format!("{} can't be written to its disk", part.display()))?;
        let named = TempPath::try_from_path(&part).map_err(anyhow::Error::from).and_then(|temporary| {
            let moved = if overwrite { temporary.persist(&path) } else { temporary.persist_noclobber(&path) };
            moved.map_err(|error| {
                // Dropped, it would be removed.
                let _ = error.path.keep();
                anyhow!(error.error)
            })
        });
        named
            .with_context(|| format!("{} is complete, but can't be given its name, {}", part.display(), path.display()))
    }

    /// Removes the file: there is nothing in it.
    pub(super) fn discard(self) {
        // An empty file that can't be removed does no harm.
        let _ = fs::remove_file(&self.part);
    }
}

/// Removes what a killed run left; one that still runs holds the lock.
fn remove_leftover(part: &Path) -> Result<()> {
    let Ok(there) = fs::symlink_metadata(part) else { return Ok(()) };
    // A link is removed as such, and a pipe is not waited for.
    if there.is_file()
        && let Ok(leftover) = File::options().write(true).open(part)
        && let Err(TryLockError::WouldBlock) = leftover.try_lock()
    {
        bail!("{} is being written by another process", part.display());
    }
    match fs::remove_file(part) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} can't be replaced", part.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn a_file_takes_its_name_when_it_is_whole() {
        let folder = folder();
        let path = folder.path().join("a.b.mp4");
        let part = PartFile::create(&path, false, Leftover::Keep).expect("an empty folder");
        assert_eq!(part.part(), folder.path().join("a.b.part.mp4"));
        part.file().and_then(|mut file| Ok(file.write_all(b"video")?)).expect("a disk with room");
        assert!(part.part().exists() && !path.exists());
        part.complete().expect("the name is free");
        assert_eq!(fs::read(&path).expect("the file"), b"video");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_not_overwritten_and_nothing_is_lost() {
        let folder = folder();
        let path = folder.path().join("a.mp4");
        for (overwrite, expected) in [(false, "theirs"), (true, "ours")] {
            let part = PartFile::create(&path, overwrite, Leftover::Replace).expect("no other process");
            part.file().and_then(|mut file| Ok(file.write_all(b"ours")?)).expect("a disk with room");
            fs::write(&path, "theirs").expect("a file");
            let completed = part.complete();
            assert_eq!(completed.is_ok(), overwrite, "{completed:?}");
            assert_eq!(fs::read_to_string(&path).expect("the file"), expected);
            assert_eq!(fs::read_to_string(part_path(&path)).ok().as_deref(), (!overwrite).then_some("ours"));
        }
    }

    #[test]
    fn what_a_run_left_is_kept_or_replaced_and_what_is_being_written_is_left_alone() {
        let folder = folder();
        let path = folder.path().join("a.jsonl");
        fs::write(part_path(&path), "").expect("a file");
        PartFile::create(&path, false, Leftover::Keep).expect("nothing is in it").discard();
        fs::write(part_path(&path), "left").expect("a file");
        let error = PartFile::create(&path, false, Leftover::Keep).expect_err("it may be wanted").to_string();
        assert!(error.contains("a.part.jsonl") && error.contains("cut off"), "{error}");
        let part = PartFile::create(&path, false, Leftover::Replace).expect("it is replaced");
        assert_eq!(fs::read_to_string(part.part()).expect("the file"), "");
        let error = PartFile::create(&path, false, Leftover::Replace).expect_err("it is being written").to_string();
        assert!(error.contains("another process"), "{error}");
        part.discard();
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }
}
