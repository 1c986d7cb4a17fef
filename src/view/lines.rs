//! Lines on standard input, each of which marks the moment at which it came: typed by a person, or sent by the program that
//! runs an experiment.
//!
//! Read is what is meant for emocam: a pipe, a socket, or a terminal while this program is in its foreground, where the
//! system would stop one in the background that reads. A file is none of these, so that the list that a shell's loop goes
//! through stays whole. Nobody waits for the thread that reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam::channel::{Receiver, bounded};

/// The most letters of a line.
pub(crate) const MOST_LETTERS: usize = 1000;

/// A letter takes no more bytes than this.
const LETTER_BYTES: usize = 4;

/// Lines that may wait. Whoever writes more than are taken has to wait, too.
const QUEUE: usize = 64;

/// A line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// When it was read.
    pub(crate) at: Instant,
    /// Whether it was longer.
    pub(crate) is_cut: bool,
}

/// Lines as they come.
pub(crate) struct Lines {
    lines: Receiver<Line>,
    /// How many a person has ended in a terminal, empty ones, too; `None` where nobody types.
    typed: Option<Arc<AtomicUsize>>,
}

impl Lines {
    /// Those of standard input, where they are meant for this program.
    pub(crate) fn of_standard_input() -> Option<Self> {
        let input = input::Input::find()?;
        let typed = input.is_terminal().then(Arc::<AtomicUsize>::default);
        let (sender, lines) = bounded(QUEUE);
        let counter = typed.clone();
        let read = move || {
            let mut cutter = Cutter::default();
            input.read(|bytes| {
                if let Some(counter) = &counter {
                    counter.fetch_add(bytes.iter().filter(|&&byte| byte == b'\n').count(), Ordering::Relaxed);
                }
                // Nobody listens any more when the run is over.
                cutter.feed(bytes).into_iter().try_for_each(|line| sender.send(line).ok())
            });
            let _ = cutter.last().map(|line| sender.send(line));
        };
        // Without a thread there are no lines, and all else is as it was.
        std::thread::Builder::new().name("input".into()).spawn(read).ok()?;
        Some(Self { lines, typed })
    }

    /// Whether a person types them in a terminal.
    pub(crate) fn are_typed(&self) -> bool {
        self.typed.is_some()
    }

    /// How many a person has ended there since the last time.
    pub(crate) fn typed(&self) -> usize {
        self.typed.as_ref().map_or(0, |typed| typed.swap(0, Ordering::Relaxed))
    }

    /// Those that have come, at most so many.
    pub(crate) fn take(&self, most: usize) -> impl Iterator<Item = Line> {
        self.lines.try_iter().take(most)
    }
}

/// Cuts what is read into lines.
#[derive(Default)]
struct Cutter {
    /// What has come of the next line, as far as it is kept.
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Cutter {
    fn feed(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for (index, part) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if index > 0 {
                lines.extend(self.last());
            }
            let room = (MOST_LETTERS * LETTER_BYTES).saturating_sub(self.bytes.len());
            self.is_cut |= part.len() > room;
            self.bytes.extend(part.iter().take(room));
        }
        lines
    }

    /// What is there, as a line; `None` where that is nothing to read.
    fn last(&mut self) -> Option<Line> {
        let bytes = std::mem::take(&mut self.bytes);
        let all = String::from_utf8_lossy(&bytes);
        let readable: String = all.chars().filter(|letter| !letter.is_control()).collect();
        let text: String = readable.trim().chars().take(MOST_LETTERS).collect();
        let is_cut = std::mem::take(&mut self.is_cut) || text.len() < readable.trim().len();
        (!text.is_empty()).then(|| Line { text, at: Instant::now(), is_cut })
    }
}

#[cfg(unix)]
mod input {
    use std::fs::File;
    use std::io::{ErrorKind, IsTerminal, Read};
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    use std::thread;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::getpgrp;
    use rustix::termios::tcgetpgrp;

    /// How often it is looked whether the program is in the foreground of its terminal.
    const LOOK: Duration = Duration::from_millis(200);

    /// Standard input, where it is no file.
    pub(super) struct Input {
        file: File,
        is_terminal: bool,
    }

    impl Input {
        pub(super) fn find() -> Option<Self> {
            let file = File::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?);
            let is_terminal = file.is_terminal();
            let kind = file.metadata().ok()?.file_type();
            (is_terminal || kind.is_fifo() || kind.is_socket()).then_some(Self { file, is_terminal })
        }

        pub(super) fn is_terminal(&self) -> bool {
            self.is_terminal
        }

        /// Reads to the end, or until `take` does not want more.
        pub(super) fn read(mut self, mut take: impl FnMut(&[u8]) -> Option<()>) {
            let mut bytes = [0; 4096];
            loop {
                if !self.may_read() {
                    thread::sleep(LOOK);
                    continue;
                }
                // A program that was stopped and goes on in the background may not read, so it never waits in a read.
                if !self.has_more() {
                    continue;
                }
                match self.file.read(&mut bytes) {
                    Ok(0) => return,
                    Ok(length) if take(&bytes[..length]).is_none() => return,
                    Ok(_) => {}
                    Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                    Err(_) => return,
                }
            }
        }

        fn may_read(&self) -> bool {
            !self.is_terminal || tcgetpgrp(&self.file).is_ok_and(|foreground| foreground == getpgrp())
        }

        fn has_more(&self) -> bool {
            let time = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
            let mut ends = [PollFd::new(&self.file, PollFlags::IN)];
            let has = poll(&mut ends, Some(&time)).is_ok_and(|ready| ready > 0);
            has && self.may_read()
        }
    }
}

/// Elsewhere nothing tells what standard input is.
#[cfg(not(unix))]
mod input {
    pub(super) enum Input {}

    impl Input {
        pub(super) fn find() -> Option<Self> {
            None
        }

        pub(super) fn is_terminal(&self) -> bool {
            match *self {}
        }

        pub(super) fn read(self, _take: impl FnMut(&[u8]) -> Option<()>) {
            match self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(cutter: &mut Cutter, bytes: &[u8]) -> Vec<(String, bool)> {
        cutter.feed(bytes).into_iter().map(|line| (line.text, line.is_cut)).collect()
    }

    #[test]
    fn lines_come_when_they_end_and_without_what_cannot_be_read() {
        let mut cutter = Cutter::default();
        assert_eq!(texts(&mut cutter, b"sti"), []);
        assert_eq!(
            texts(&mut cutter, b"mulus 7\r\n\n  \t\n\x1b[31mred\x07\nne"),
            [("stimulus 7".to_owned(), false), ("[31mred".to_owned(), false)]
        );
        assert_eq!(texts(&mut cutter, b"xt \xff\xfe\n"), [("next \u{fffd}\u{fffd}".to_owned(), false)]);
        assert_eq!(cutter.last(), None);
        let _ = cutter.feed("Größe".as_bytes());
        assert_eq!(cutter.last().map(|line| line.text).as_deref(), Some("Größe"));
    }

    #[test]
    fn a_long_line_is_cut_and_takes_no_memory() {
        let mut cutter = Cutter::default();
        assert_eq!(texts(&mut cutter, "ß".repeat(1000).as_bytes()), []);
        assert_eq!(texts(&mut cutter, b"\n"), [("ß".repeat(1000), false)]);
        for _ in 0..10_000 {
            assert_eq!(texts(&mut cutter, &[b'x'; 1000]), []);
        }
        assert!(cutter.bytes.capacity() <= 2 * MOST_LETTERS * LETTER_BYTES);
        assert_eq!(texts(&mut cutter, b"\nnext\n"), [("x".repeat(1000), true), ("next".to_owned(), false)]);
    }
}
