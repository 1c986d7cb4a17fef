//! Programs of the system that emocam makes use of where they are: ffmpeg and ffprobe.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A program in the folders of PATH.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    find(env::var_os("PATH").as_deref(), name)
}

/// A program in the folders of a search path. Relative ones are passed over: what lies in the current folder is not to be
/// trusted.
fn find(search_path: Option<&OsStr>, name: &str) -> Option<PathBuf> {
    let file_name = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(search_path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&file_name))
        .find(|path| is_executable(path))
}

/// A path as ffmpeg takes it: not as an option, a protocol or a pattern, whatever it begins with or contains.
pub(crate) fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_in_absolute_folders_only() {
        assert_eq!(find(None, "ffmpeg"), None);
        assert_eq!(find(Some(OsStr::new("")), "ffmpeg"), None);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = folder.path().join(format!("ffmpeg{}", env::consts::EXE_SUFFIX));
        std::fs::create_dir(&program).expect("a folder");
        assert_eq!(find(Some(folder.path().as_os_str()), "ffmpeg"), None, "a folder is no program");
    }
}
