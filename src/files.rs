//! Reading files that nobody vouches for.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Result, ensure};

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
}
