//! What ffmpeg logs: a line for each frame, and its complaints.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read};

use anyhow::{Context, Result};

/// How much of one log line is kept. Lines longer than this are hex dumps of data that nobody here reads.
const MAX_LINE_BYTES: usize = 4096;

/// How many of ffmpeg's complaints an error quotes: the first ones name the cause, the rest are what follows from it.
const QUOTED_PROBLEMS: usize = 3;

/// One frame, as `showinfo` describes it.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    /// `None` where the file gives the frame no time.
    pub(super) seconds: Option<f64>,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// What ffmpeg logs, read as far as it has been written.
pub(super) struct Log {
    file: File,
    /// The line that is being read.
    line: Vec<u8>,
    shown: VecDeque<Shown>,
    problems: Vec<String>,
}

impl Log {
    /// The log and the end for ffmpeg to write to. The two have file positions of their own.
    pub(super) fn new() -> Result<(Self, File)> {
        let named = tempfile::NamedTempFile::new().context("cannot make a temporary file for ffmpeg's log")?;
        let writer = named.reopen().context("cannot open the temporary file for ffmpeg's log")?;
        let (file, path) = named.into_parts();
        // Without a name it goes away with its last user, however that ends.
        path.close().context("cannot remove the name of the temporary file for ffmpeg's log")?;
        Ok((Self { file, line: Vec::new(), shown: VecDeque::new(), problems: Vec::new() }, writer))
    }

    /// The next frame's description, if it has been logged.
    pub(super) fn next_shown(&mut self) -> Result<Option<Shown>> {
        if self.shown.is_empty() {
            self.read()?;
        }
        Ok(self.shown.pop_front())
    }

    /// ffmpeg's first complaints; none for a video without faults. To be asked when it has ended.
    pub(super) fn problems(&mut self) -> Result<&[String]> {
        self.read()?;
        Ok(&self.problems)
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 8192];
        loop {
            let len = match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot read ffmpeg's log"),
            };
            for &byte in &buffer[..len] {
                if byte == b'\n' {
                    let line = std::mem::take(&mut self.line);
                    self.take_line(&String::from_utf8_lossy(&line));
                } else if self.line.len() < MAX_LINE_BYTES {
                    self.line.push(byte);
                }
            }
        }
    }

    fn take_line(&mut self, line: &str) {
        if let Some(shown) = parse_shown(line) {
            self.shown.push_back(shown);
        } else if self.problems.len() < QUOTED_PROBLEMS
            && let Some(problem) = parse_problem(line)
            && !self.problems.contains(&problem)
        {
            self.problems.push(problem);
        }
    }
}

/// `[Parsed_showinfo_0 @ 0x56] [info] n:   1 pts:   1001 pts_time:0.0417083 pos: 46 fmt:yuv420p sar:0/1 s:640x360 i:P …`
fn parse_shown(line: &str) -> Option<Shown> {
    if !line.starts_with("[Parsed_showinfo_") {
        return None;
    }
    let (_, after) = line.split_once(" pts_time:")?;
    let time = after.split_whitespace().next()?;
    let (_, after) = after.split_once(" s:")?;
    let (width, height) = after.split_whitespace().next()?.split_once('x')?;
    let seconds = time.parse().ok().filter(|seconds: &f64| seconds.is_finite());
    Some(Shown { seconds, width: width.parse().ok()?, height: height.parse().ok()? })
}

/// `[mov,mp4 @ 0x55] [error] moov atom not found` to `moov atom not found`; `None` for lines that report no error.
fn parse_problem(line: &str) -> Option<String> {
    let mut rest = line;
    // One such part for each object that the message comes through.
    while let Some((part, after)) = rest.strip_prefix('[')?.split_once("] ") {
        match part {
            "error" | "fatal" | "panic" => return Some(after.trim().to_owned()),
            _ if part.contains(" @ ") => rest = after,
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn showinfo_lines_are_told_from_others() {
        let line = "[Parsed_showinfo_0 @ 0x561f1bf987c0] [info] n:   1 pts:   1001 pts_time:0.0417083 pos:    46331 \
                    fmt:yuv420p sar:0/1 s:640x360 i:P iskey:0 type:B ";
        assert_eq!(parse_shown(line), Some(Shown { seconds: Some(0.0417083), width: 640, height: 360 }));
        let untimed = line.replace("0.0417083", "NOPTS");
        assert_eq!(parse_shown(&untimed), Some(Shown { seconds: None, width: 640, height: 360 }));
        assert_eq!(parse_shown(&line.replace("640x360", "640")), None);
        assert_eq!(parse_shown(&format!("[info]     title : {line}")), None);
        assert_eq!(parse_shown("[Parsed_showinfo_0 @ 0x561f1bf987c0] [info] color_range:tv"), None);
    }

    #[test]
    fn problems_are_told_from_what_only_mentions_them() {
        let problem = |line| parse_problem(line);
        assert_eq!(problem("[mov,mp4 @ 0x55] [error] moov atom not found").as_deref(), Some("moov atom not found"));
        assert_eq!(problem("[h264 @ 0x1] [mov @ 0x2] [fatal] no").as_deref(), Some("no"));
        assert_eq!(problem("[error] file:a.mp4: Invalid data").as_deref(), Some("file:a.mp4: Invalid data"));
        assert_eq!(problem("[info]     title           : [error] of judgement"), None);
        assert_eq!(problem("[mov,mp4 @ 0x55] [warning] Packet corrupt"), None);
        assert_eq!(problem("Press [q] to stop"), None);
        assert_eq!(problem(""), None);
    }

    #[test]
    fn a_long_line_and_a_line_in_two_parts_are_read() {
        use std::io::Write as _;
        let (mut log, mut writer) = Log::new().unwrap();
        write!(writer, "{}\n[Parsed_showinfo_0 @ 0x1] [info] n: 0 pts_time:0 ", "x".repeat(100_000)).unwrap();
        assert_eq!(log.next_shown().unwrap(), None);
        write!(writer, "s:3x2 \n[error] one\n[error] one\n").unwrap();
        assert_eq!(log.next_shown().unwrap(), Some(Shown { seconds: Some(0.0), width: 3, height: 2 }));
        assert_eq!(log.problems().unwrap(), ["one"]);
    }
}
