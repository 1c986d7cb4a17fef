//! What a program complains of on its standard error: read to its end, counted, and of it only the first lines kept.

use std::collections::HashSet;
use std::io::{ErrorKind, Read};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

/// How much of a line is kept.
const MAX_LINE_BYTES: usize = 400;

/// How many lines are quoted: the first ones name the cause, the rest are what follows from it.
const QUOTED: usize = 3;

/// What was complained of.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Complaints {
    /// The first ones that differ.
    pub(super) first: Vec<String>,
    /// How many there were.
    pub(super) count: u64,
}

/// Reads complaints in a thread of its own, so that who writes them never has to wait.
pub(super) struct Listener(Option<JoinHandle<Complaints>>);

impl Listener {
    /// Listens until the other end is closed.
    pub(super) fn start(input: impl Read + Send + 'static) -> Result<Self> {
        let thread = thread::Builder::new().name("complaints".into()).spawn(move || listen(input));
        Ok(Self(Some(thread.context("a thread can't be started")?)))
    }

    /// What came until the other end was closed.
    pub(super) fn finish(&mut self) -> Complaints {
        self.0.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

fn listen(mut input: impl Read) -> Complaints {
    let (mut complaints, mut known) = (Complaints::default(), HashSet::new());
    let mut take = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line).into_owned();
        line.clear();
        let text = without_speaker(&text);
        if text.is_empty() {
            return;
        }
        complaints.count += 1;
        if known.len() < QUOTED && known.insert(text.to_owned()) {
            complaints.first.push(text.to_owned());
        }
    };
    let (mut buffer, mut line) = ([0; 4096], Vec::new());
    loop {
        match input.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(len) => {
                for &byte in &buffer[..len] {
                    if byte == b'\n' {
                        take(&mut line);
                    } else if line.len() < MAX_LINE_BYTES {
                        line.push(byte);
                    }
                }
            }
        }
    }
    take(&mut line);
    complaints
}

/// `[mov,mp4 @ 0x55] moov atom not found` to `moov atom not found`: where in memory the speaker is says nothing to people.
fn without_speaker(mut line: &str) -> &str {
    while let Some((speaker, rest)) = line.strip_prefix('[').and_then(|line| line.split_once("] "))
        && speaker.contains(" @ 0x")
    {
        line = rest;
    }
    line.trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_counted_and_the_first_are_kept() {
        let long = format!("{}\n", "x".repeat(100_000));
        let text = format!("[h264 @ 0x1] [mov @ 0x2] no\n[mov,mp4 @ 0x55] no\n\n{long}[1] two\nthree\nfour");
        let mut listener = Listener::start(std::io::Cursor::new(text)).unwrap();
        let Complaints { first, count } = listener.finish();
        assert_eq!((count, first.len()), (6, 3));
        assert_eq!((first[0].as_str(), first[1].len(), first[2].as_str()), ("no", MAX_LINE_BYTES, "[1] two"));
        assert_eq!(listener.finish(), Complaints::default());
    }
}
