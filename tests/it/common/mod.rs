//! Runs the real binary for the tests, each run under a time limit. What a run needs from outside is in `needs.rs`, a
//! display without a screen in `display.rs`.

mod display;
pub(crate) mod faces;
mod needs;

use std::fs;
use std::io::Read;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use display::Display;
use emocam::network::preprocess::gray_from_rgb;
use emocam::source::SourceSpec;
use image::GrayImage;
pub(crate) use needs::{ffmpeg, ffprobe, python_with, shared, skip};
use serde_json::Value;
use tempfile::TempDir;

/// Far more than any run of these tests takes, so that only a hang meets it.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// How often a running child is looked at.
const POLL: Duration = Duration::from_millis(5);

/// How long the pipes of a child that ended may stay open: longer means that it left a child of its own behind.
const DRAIN: Duration = Duration::from_secs(5);

/// The program under test, without a display: a test that wants a window sets `DISPLAY`.
pub(crate) fn emocam() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emocam"));
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command
}

/// An empty folder that is removed when the value is dropped.
pub(crate) fn temporary_folder() -> TempDir {
    TempDir::with_prefix("emocam-test-").expect("a temporary folder can be made")
}

/// What lies at this path in the project.
pub(crate) fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The file of the clip inside the program: H.264 without B-frames in MP4, the index first, 240 frames of 640x480.
pub(crate) fn demo_clip() -> PathBuf {
    in_project("src/source/demo.mp4")
}

/// A picture with one face.
pub(crate) fn astronaut() -> PathBuf {
    in_project("tests/data/astronaut.jpg")
}

/// A run in progress; it is killed when the value is dropped, so that a test that fails leaves nothing behind.
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    what: String,
}

/// Starts a command, with nothing on standard input.
///
/// # Panics
/// If it does not start.
pub(crate) fn start(command: &mut Command) -> Running {
    start_with_input(command, Stdio::null())
}

/// The same, with something on standard input.
///
/// # Panics
/// If it does not start.
pub(crate) fn start_with_input(command: &mut Command, input: impl Into<Stdio>) -> Running {
    let spawned = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let stdout = read_aside(child.stdout.take().expect("stdout is piped"));
    let stderr = read_aside(child.stderr.take().expect("stderr is piped"));
    Running { child, stdout, stderr, what: format!("{command:?}") }
}

impl Running {
    /// Waits for the end.
    ///
    /// # Panics
    /// If it runs longer than the limit, or leaves a process behind.
    pub(crate) fn finish(mut self, limit: Duration) -> Output {
        let what = &self.what;
        let status = wait_until(&mut self.child, Instant::now() + limit);
        if status.is_none() {
            self.child.kill().expect("a running child can be killed");
            self.child.wait().expect("a killed child ends");
        }
        let deadline = Instant::now() + DRAIN;
        let (stdout, stderr) = (drain(&self.stdout, deadline), drain(&self.stderr, deadline));
        match (status, stdout, stderr) {
            (Some(status), Some(stdout), Some(stderr)) => Output { status, stdout, stderr },
            (Some(_), ..) => panic!("{what} ended, but a process that it started still holds its output"),
            (None, _, stderr) => {
                panic!("{what} still ran after {limit:?}; its stderr:\n{}", text(&stderr.unwrap_or_default()))
            }
        }
    }

    /// Presses Ctrl-C: sends the interrupt signal.
    ///
    /// # Panics
    /// If the process is not there any more.
    pub(crate) fn interrupt(&self) {
        // The shell's own `kill`: a program of that name is not installed everywhere.
        let sent = Command::new("sh").args(["-c", "kill -INT \"$0\"", &self.child.id().to_string()]).status();
        assert!(sent.expect("a shell starts").success(), "{} can't be interrupted", self.what);
    }

    /// Whether the process has ended.
    ///
    /// # Panics
    /// If the system can't tell.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Waits until `seen` gives something.
    ///
    /// # Panics
    /// If the process ends before, or nothing was seen within [`LIMIT`].
    pub(crate) fn wait_for<T>(&mut self, wish: &str, mut seen: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(seen) = seen() {
                return seen;
            }
            let ended = self.child.try_wait().expect("a child can be waited for");
            if let Some(status) = ended {
                let stderr = drain(&self.stderr, Instant::now() + DRAIN).unwrap_or_default();
                panic!("{} ended ({status}) before {wish}; its stderr:\n{}", self.what, text(&stderr));
            }
            assert!(Instant::now() < deadline, "{}: waited {LIMIT:?} for {wish}", self.what);
            thread::sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs to the end, with nothing on standard input.
///
/// # Panics
/// If the program does not start, runs longer than [`LIMIT`] (it is killed), or leaves a process behind.
pub(crate) fn run(command: &mut Command) -> Output {
    run_within(command, LIMIT)
}

/// As [`run`], with a limit of its own.
///
/// # Panics
/// As [`run`].
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Output {
    start(command).finish(limit)
}

/// Runs to a good end.
///
/// # Panics
/// As [`run`], and if the exit code is not 0.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = run(command);
    assert_exit(&output, 0, &[]);
    output
}

/// Runs to an error, which it returns: the exit code must be `code`, and the message must have each of the words.
///
/// # Panics
/// As [`run`], and if it is another end or another message.
pub(crate) fn fail(command: &mut Command, code: i32, words: &[&str]) -> String {
    let output = run(command);
    assert_exit(&output, code, words);
    text(&output.stderr)
}

/// Checks how a run ended and that standard error has each of the words.
///
/// # Panics
/// If not, or if a thread panicked.
pub(crate) fn assert_exit(output: &Output, code: i32, words: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "its stderr:\n{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in:\n{stderr}");
    }
}

/// Bytes as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The objects of a file of JSON lines.
///
/// # Panics
/// If the file can't be read or a line is not one JSON value.
pub(crate) fn json_lines(path: &Path) -> Vec<Value> {
    parsed_lines(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The objects of JSON lines.
///
/// # Panics
/// If a line is not one JSON value, or the last one has no end.
pub(crate) fn parsed_lines(lines: &str) -> Vec<Value> {
    assert!(lines.is_empty() || lines.ends_with('\n'), "the last line is not complete");
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Runs to a good end. Returns the JSON lines on standard output.
///
/// # Panics
/// As [`succeed`] and [`parsed_lines`].
pub(crate) fn lines_of(command: &mut Command) -> Vec<Value> {
    parsed_lines(&text(&succeed(command).stdout))
}

/// As `live` sees a picture file: in grey.
pub(crate) fn gray_frame(path: &Path) -> GrayImage {
    let frame =
        SourceSpec::Path(path.into()).open().expect("a picture").next_frame().expect("a picture").expect("a frame");
    gray_from_rgb(&frame.rgb, frame.width, frame.height).expect("a frame of its size")
}

/// How many frames a video has, which must be whole.
pub(crate) fn frames_of(path: &Path) -> usize {
    let mut video = SourceSpec::Path(path.into()).open().expect("a video that can be played");
    iter::from_fn(|| video.next_frame().expect("a video without damage")).count()
}

/// The blocks in a language of a topic of `emocam help`, as they stand there.
pub(crate) fn examples(topic: &str, language: &str) -> Vec<String> {
    let topic = text(&succeed(emocam().args(["help", topic])).stdout);
    let start = format!("```{language}\n");
    topic.split(&start).skip(1).map(|block| block.split("```").next().expect("the block's end").to_owned()).collect()
}

/// The only such block that has these words.
///
/// # Panics
/// If there is none, or are others.
pub(crate) fn example(topic: &str, language: &str, words: &str) -> String {
    let blocks: Vec<String> = examples(topic, language).into_iter().filter(|block| block.contains(words)).collect();
    assert_eq!(blocks.len(), 1, "blocks of {language} with {words}");
    blocks.concat()
}

/// The names in a folder, in order.
///
/// # Panics
/// If it can't be listed.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder can be listed");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Waits for a child that the test started itself; `None` when it still runs at the deadline.
pub(crate) fn wait_until(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => return Some(status),
            None if Instant::now() >= deadline => return None,
            None => thread::sleep(POLL),
        }
    }
}

/// Reads a pipe in its own thread: a child that fills the pipe which nobody reads would stop there.
fn read_aside(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        // Nobody listens any more when the test has failed.
        let _ = sender.send(bytes);
    });
    receiver
}

/// All that came through the pipe; `None` if something still holds its other end at the deadline.
fn drain(pipe: &Receiver<Vec<u8>>, deadline: Instant) -> Option<Vec<u8>> {
    pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}
