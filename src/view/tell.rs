//! The one way to tell a person something: a line on standard error.
//!
//! A standard error that is closed or full has nobody at its other end; that is no reason to end a run, and never a panic.

use std::io::{self, Write};

/// Something that a person should know.
pub(crate) fn notice(text: &str) {
    lines(&format!("emocam: {text}"));
}

/// Lines as they are, such as the summary of a run.
pub(crate) fn lines(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
