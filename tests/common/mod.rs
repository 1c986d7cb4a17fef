//! Runs the real binary for the tests, each run under a time limit. What a run needs from outside is in `needs.rs`.

#![allow(dead_code, unused_imports, reason = "each test file is a program of its own and uses its part")]

mod needs;

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use needs::{ffmpeg, ffprobe, shared, skip};
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
    let deadline = Instant::now() + limit;
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let stdout = read_aside(child.stdout.take().expect("stdout is piped"));
    let stderr = read_aside(child.stderr.take().expect("stderr is piped"));

    let status = wait_until(&mut child, deadline);
    if status.is_none() {
        child.kill().expect("a running child can be killed");
        child.wait().expect("a killed child ends");
    }
    let deadline = Instant::now() + DRAIN;
    let (stdout, stderr) = (drain(&stdout, deadline), drain(&stderr, deadline));
    match (status, stdout, stderr) {
        (Some(status), Some(stdout), Some(stderr)) => Output { status, stdout, stderr },
        (Some(_), ..) => panic!("{command:?} ended, but a process that it started still holds its output"),
        (None, _, stderr) => panic!(
            "{command:?} still ran after {limit:?}; its stderr:\n{}",
            String::from_utf8_lossy(&stderr.unwrap_or_default())
        ),
    }
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
