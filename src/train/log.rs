//! What a run tells on standard output, which is no part of its results.

use std::io::{ErrorKind, Result, Write};

/// A log whose reader may leave. `emocam train ... | head` wants to see less, not to lose hours of work.
pub struct Log<W>(pub W);

impl<W: Write> Write for Log<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}
