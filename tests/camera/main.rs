//! The real binary on real cameras, and what a cable does to them. `scripts/camera-rig/run` has a kernel with cameras:
//! one test here starts it, the other one is what runs there, case after case, and ends with a table of all of them.
//!
//! Nothing depends on how fast anything is, but for Ctrl-C, which people expect to work at once. How long it took to
//! recover is shown.

#[allow(dead_code, unused_imports, reason = "it is for tests/it; this program uses a part")]
#[path = "../it/common/mod.rs"]
mod common;

mod cases;
mod damage;
mod freezing;
mod listing;
mod live;
mod opening;
mod pictures;
mod recording;
mod switching;
mod unplugging;
mod virtual_camera;
mod vivid;
mod webcam;

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::skip;

/// How long the cases may take together, in seconds: several times what they take.
const LIMIT_S: &str = "1200";

/// The exit status of the rig where there can be none on this machine.
const UNAVAILABLE: i32 = 77;

#[test]
fn a_camera_may_do_what_it_likes() {
    let rig = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/camera-rig/run");
    let mut command = Command::new(rig);
    command.args(["-t", LIMIT_S, "--"]).arg(env::current_exe().expect("the path of this program"));
    command.args(["in_the_guest", "--exact", "--ignored", "--nocapture"]);
    // What the cases write goes past libtest's capture: the table is to be seen when all is well, too.
    let mut rig = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the rig starts");
    let mut last = String::new();
    for line in BufReader::new(rig.stderr.take().expect("stderr is piped")).lines() {
        last = line.expect("stderr is text");
        say(&last);
    }
    let status = rig.wait().expect("a child can be waited for");
    if status.code() == Some(UNAVAILABLE) {
        skip("cameras", last.trim_start_matches("camera rig: "));
        return;
    }
    assert!(status.success(), "the cameras' cases ended with {status}");
}

#[test]
#[ignore = "it runs on the camera rig's kernel, where the other test starts it"]
fn in_the_guest() {
    if env::var_os(webcam::PROGRAM).is_none() {
        skip("in_the_guest", "this is not the kernel of scripts/camera-rig/run");
        return;
    }
    let all = [
        opening::CASES,
        listing::CASES,
        damage::CASES,
        freezing::CASES,
        unplugging::CASES,
        switching::CASES,
        virtual_camera::CASES,
    ]
    .concat();
    cases::run(&all);
}

/// Writes a line past libtest's capture, in one piece.
fn say(line: &str) {
    // Without a standard error there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
