//! Reading files that nobody vouches for, and writing files of which no half is ever seen.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::{NamedTempFile, PersistError};

/// The whole of a file that is no longer than `limit` bytes. More is never read, whatever the system says of the file's
/// length: a device has none.
///
/// # Errors
/// When the file can't be read or is longer.
pub(crate) fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= limit, "expected a file of at most {limit} bytes, found a longer one");
    Ok(bytes)
}

/// The folder that a path lies in; the current one for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Which file it is, whatever it is called there: through links, and by another spelling.
#[cfg(unix)]
pub(crate) type Identity = (u64, u64);
/// The same where the system tells no more than a path.
#[cfg(not(unix))]
pub(crate) type Identity = std::path::PathBuf;

/// The identity of a file that exists.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    #[cfg(unix)]
    let identity = std::fs::metadata(path).ok().map(|file| identity_of(&file));
    #[cfg(not(unix))]
    let identity = path.canonicalize().ok();
    identity
}

#[cfg(unix)]
fn identity_of(file: &std::fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

/// Whether an open file is still the one of that name. Where an open file keeps its name it is.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    let is_at = file.metadata().is_ok_and(|file| identity(path) == Some(identity_of(&file)));
    #[cfg(not(unix))]
    let is_at = file.metadata().is_ok() && path.exists();
    is_at
}

/// How the names of files begin that are being written.
pub(crate) const TEMPORARY_PREFIX: &str = ".emocam-unfinished-";

/// Writes a whole file under a temporary name beside it, and renames it once it is on the disk.
///
/// # Errors
/// When the file can't be written; what stood there before still does.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_beside(path, bytes, |file| file.persist(path))
}

/// The same where no file is.
///
/// # Errors
/// When there is one by then, or the file can't be written.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    write_beside(path, bytes, |file| file.persist_noclobber(path))
}

fn write_beside(
    path: &Path,
    bytes: &[u8],
    name: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
) -> Result<()> {
    let write = || -> Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY_PREFIX);
        // As for any other new file, less what the umask takes: temporary files are for their owner alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder_of(path))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        name(file)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_limit_and_not_beyond() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 10]).expect("file");
        assert_eq!(read_at_most(&path, 10).expect("10 bytes"), [7; 10]);
        assert!(read_at_most(&path, 9).expect_err("too long").to_string().contains("at most 9 bytes"));
        #[cfg(unix)]
        read_at_most(Path::new("/dev/zero"), 1000).expect_err("endless");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_others_may_read_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "a longer text").expect("file");
        write_whole(&path, b"short").expect("write");
        assert_eq!(std::fs::read(&path).expect("read"), b"short");
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1, "the temporary file is gone");
        let ordinary = folder.path().join("ordinary");
        std::fs::write(&ordinary, "").expect("file");
        let permissions = |path: &Path| std::fs::metadata(path).expect("a file").permissions();
        assert_eq!(permissions(&path), permissions(&ordinary));

        write_new(&path, b"other").expect_err("there is one");
        assert_eq!(std::fs::read(&path).expect("read"), b"short");
        let fresh = folder.path().join("fresh");
        write_new(&fresh, b"new").expect("write");
        assert_eq!(std::fs::read(&fresh).expect("read"), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 3, "no temporary file is left");

        let missing = folder.path().join("missing/file");
        assert!(format!("{:#}", write_whole(&missing, b"").expect_err("no folder")).contains("missing/file"));
    }
}
