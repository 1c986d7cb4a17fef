//! A run of `emocam live` without a window: what it says and what it sees, each with the time when it came.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::common::{emocam, wait_until};

/// Far more than anything that is waited for here takes.
const LIMIT: Duration = Duration::from_secs(40);

/// Within this Ctrl-C ends the program, whatever the camera does.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

enum Heard {
    Line(Instant, String),
    Frame(Instant, Value),
}

/// A run in progress; it is killed when the value is dropped.
pub(crate) struct Live {
    child: Child,
    heard: Receiver<Heard>,
    /// Of standard error.
    lines: Vec<(Instant, String)>,
    /// Lines before this one have been waited for.
    next_line: usize,
    /// Of standard output.
    frames: Vec<(Instant, Value)>,
}

/// A run that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// From what ended it to its end.
    pub(crate) after: Duration,
    pub(crate) lines: Vec<(Instant, String)>,
    pub(crate) frames: Vec<(Instant, Value)>,
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) memory_mib: f64,
}

impl Live {
    /// `emocam live SOURCE --headless`, and more arguments.
    pub(crate) fn start(source: &str, more: &[&str]) -> Self {
        let mut command = emocam();
        command.args(["live", source, "--headless", "-o", "-"]).args(more);
        Self::run(&mut command)
    }

    fn run(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("emocam starts");
        let (sender, heard) = channel();
        let frame = |line: String| {
            Heard::Frame(Instant::now(), serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
        };
        listen(child.stdout.take().expect("stdout is piped"), sender.clone(), frame);
        let line = |line| Heard::Line(Instant::now(), line);
        listen(child.stderr.take().expect("stderr is piped"), sender, line);
        Self { child, heard, lines: Vec::new(), next_line: 0, frames: Vec::new() }
    }

    /// Waits for a line with these words, after the lines that were waited for before. Returns when it came.
    pub(crate) fn wait_for_line(&mut self, words: &str) -> Instant {
        let found = self.wait(&format!("a line with {words:?}"), |live| {
            live.lines
                .iter()
                .enumerate()
                .skip(live.next_line)
                .find(|(_, (_, line))| line.contains(words))
                .map(|(i, _)| i)
        });
        self.next_line = found + 1;
        self.lines[found].0
    }

    /// Waits for a number of frames that come after a moment. Returns when the last of them came.
    pub(crate) fn wait_for_frames(&mut self, number: usize, since: Instant) -> Instant {
        self.wait(&format!("{number} frames"), |live| {
            let mut later = live.frames.iter().map(|(at, _)| *at).filter(|at| *at > since);
            later.nth(number - 1)
        })
    }

    /// Waits for the next few frames.
    pub(crate) fn wait_for_more_frames(&mut self) {
        self.wait_for_frames(5, Instant::now());
    }

    /// Listens for a while.
    pub(crate) fn listen_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while self.hear(deadline).is_ok() {}
    }

    /// Whether any line so far had these words.
    pub(crate) fn has_said(&self, words: &str) -> bool {
        said(&self.lines, words)
    }

    /// Frames so far.
    pub(crate) fn frames(&self) -> &[(Instant, Value)] {
        &self.frames
    }

    /// Presses Ctrl-C, and waits for the end.
    pub(crate) fn interrupt(self) -> Ended {
        let since = Instant::now();
        // The shell's own `kill`: a program of that name is not installed everywhere.
        let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", self.child.id())]).status();
        assert!(sent.expect("a shell starts").success(), "it has ended before it is interrupted");
        self.end_since(since)
    }

    /// Waits for the end.
    pub(crate) fn end(self) -> Ended {
        self.end_since(Instant::now())
    }

    fn end_since(mut self, since: Instant) -> Ended {
        let status = wait_until(&mut self.child, since + LIMIT);
        let after = since.elapsed();
        let deadline = Instant::now() + LIMIT;
        while self.hear(deadline).is_ok() {}
        let Some(status) = status else { panic!("emocam runs on for {LIMIT:?}; {}", self.account()) };
        assert!(!self.has_said("panicked"), "emocam panicked; {}", self.account());
        let (lines, frames) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.frames));
        Ended { code: status.code(), after, lines, frames }
    }

    /// What it holds now, as the kernel counts.
    pub(crate) fn held(&self) -> Held {
        let folder = format!("/proc/{}", self.child.id());
        let count = |name: &str| fs::read_dir(format!("{folder}/{name}")).expect("a running process").count();
        let status = fs::read_to_string(format!("{folder}/status")).expect("a running process");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB"));
        let memory_kib: f64 = memory.expect("its memory").trim().parse().expect("a number");
        Held { descriptors: count("fd"), threads: count("task"), memory_mib: memory_kib / 1024.0 }
    }

    /// Whether it has this file open.
    pub(crate) fn has_open(&self, path: &str) -> bool {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("a running process");
        descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == Path::new(path)))
    }

    /// Hears one thing; an error after the deadline or where there is nobody to hear any more.
    fn hear(&mut self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        match self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now()))? {
            Heard::Line(at, line) => self.lines.push((at, line)),
            Heard::Frame(at, frame) => self.frames.push((at, frame)),
        }
        Ok(())
    }

    fn wait<T>(&mut self, wish: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            match self.hear(deadline) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => panic!("waited {LIMIT:?} for {wish}; {}", self.account()),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().expect("a child can be waited for");
                    panic!("it ended ({status}) before {wish}; {}", self.account())
                }
            }
        }
    }

    fn account(&self) -> String {
        let lines: String = self.lines.iter().map(|(_, line)| format!("\n{line}")).collect();
        format!("{} frames; its stderr:{lines}", self.frames.len())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Checks how it ended, and that it said each of these.
    pub(crate) fn assert(&self, code: i32, words: &[&str]) {
        let lines: String = self.lines.iter().map(|(_, line)| format!("\n{line}")).collect();
        assert!(self.code == Some(code), "exit code {:?} instead of {code}; its stderr:{lines}", self.code);
        for words in words {
            assert!(said(&self.lines, words), "{words:?} is not in:{lines}");
        }
    }

    /// Checks that Ctrl-C ended it well and at once.
    pub(crate) fn assert_at_once(&self) {
        self.assert(0, &[]);
        assert!(self.after < AT_ONCE, "Ctrl-C took {:.1} s", self.after.as_secs_f64());
    }

    /// Checks that it never said this.
    pub(crate) fn assert_silent(&self, words: &str) {
        assert!(!said(&self.lines, words), "{words:?} was said");
    }
}

/// The number of the frame, the time in it in seconds, and the ids of its faces.
pub(crate) fn numbers(frame: &Value) -> (u64, f64, Vec<u64>) {
    let faces = frame["faces"].as_array().expect("a list of faces");
    let ids = faces.iter().map(|face| face["id"].as_u64().expect("an id")).collect();
    (frame["frame"].as_u64().expect("a number"), frame["time_s"].as_f64().expect("a time"), ids)
}

/// Whether a frame has the one face that the webcam plays, with its label.
pub(crate) fn is_happy(frame: &Value) -> bool {
    matches!(&frame["faces"].as_array().expect("a list of faces")[..], [face] if face["emotion"] == "Happy")
}

fn said(lines: &[(Instant, String)], words: &str) -> bool {
    lines.iter().any(|(_, line)| line.contains(words))
}

fn listen(pipe: impl Read + Send + 'static, sender: Sender<Heard>, make: impl Fn(String) -> Heard + Send + 'static) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            // Nobody listens any more when the case is over.
            if sender.send(make(line.expect("a pipe of text can be read"))).is_err() {
                break;
            }
        }
    });
}
