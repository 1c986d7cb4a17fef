//! What some tests need and a checkout may lack: the shared data beside it and programs of the system. A test that
//! goes without says so by [`skip`] and returns.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Says that `test` did not run, and why; `scripts/test` repeats these lines at the end.
///
/// Written past `eprintln!`, which libtest captures and drops when a test passes, and in one piece, because other
/// tests write at the same time.
pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("skipped: {test}: {reason}\n");
    // Without a standard error there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The folder of clips and data sets that is kept beside the checkout, not in it.
pub(crate) fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    folder.is_dir().then_some(folder)
}

/// Whether the system's ffmpeg starts.
pub(crate) fn ffmpeg() -> bool {
    starts("ffmpeg", "-version")
}

/// Whether the system's ffprobe starts.
pub(crate) fn ffprobe() -> bool {
    starts("ffprobe", "-version")
}

fn starts(program: &str, argument: &str) -> bool {
    let status =
        Command::new(program).arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A Python that has these modules, with commas between them: the one that scripts/test made, else the system's.
pub(crate) fn python_with(modules: &str) -> Option<PathBuf> {
    let own = super::in_project("target/python/bin/python");
    [own, PathBuf::from("python3")].into_iter().find(|python| {
        let output = Command::new(python).args(["-c", &format!("import {modules}")]).output();
        output.is_ok_and(|output| output.status.success())
    })
}
