//! Runs cases one after the other, goes on where one fails, and says in a table what came of them.

use std::any::Any;
use std::env;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use super::say;
use super::webcam::wait_for_no_webcam;

/// Only cases whose fault has these words are run, where it is set.
const ONLY: &str = "EMOCAM_CAMERA_CASES";

/// Something that a camera does, and a function that does it and checks what comes of it, or panics.
pub(crate) type Case = (&'static str, fn() -> Outcome);

/// What emocam did, and how long it took from the end of the fault to the next frame, where frames came again.
pub(crate) struct Outcome {
    pub(crate) what: String,
    pub(crate) recovery: Option<Duration>,
}

/// An end without more frames, or one that there was nothing to recover from.
pub(crate) fn done(what: impl Into<String>) -> Outcome {
    Outcome { what: what.into(), recovery: None }
}

/// Frames came again after so long.
pub(crate) fn recovered(what: impl Into<String>, recovery: Duration) -> Outcome {
    Outcome { what: what.into(), recovery: Some(recovery) }
}

/// Runs all and prints the table.
///
/// # Panics
/// At the end, if a case failed.
pub(crate) fn run(cases: &[Case]) {
    let only = env::var(ONLY).unwrap_or_default();
    let start = Instant::now();
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for (fault, case) in cases.iter().filter(|(fault, _)| fault.contains(&only)) {
        say(&format!("[{:5.1} s] {fault}", start.elapsed().as_secs_f64()));
        let outcome = catch_unwind(|| {
            wait_for_no_webcam();
            case()
        });
        rows.push(outcome.map_or_else(
            |panic| {
                failed.push(*fault);
                [(*fault).into(), format!("FAILED: {}", beginning(&*panic)), String::new()]
            },
            |Outcome { what, recovery }| {
                let seconds = recovery.map_or(String::new(), |time| format!("{:.2}", time.as_secs_f64()));
                [(*fault).into(), what, seconds]
            },
        ));
    }
    print_table(&rows);
    let time = start.elapsed().as_secs_f64();
    say(&format!("{} cases in {time:.0} s, {} failed", rows.len(), failed.len()));
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

/// The beginning of what a panic said, as one line.
fn beginning(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(100).collect()
}

fn print_table(rows: &[[String; 3]]) {
    let head = ["fault", "what emocam did", "seconds to recover"].map(String::from);
    let width = |column: usize| {
        rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().expect("the head is a row")
    };
    let (first, second) = (width(0), width(1));
    let print =
        |[fault, what, seconds]: &[String; 3]| say(&format!("| {fault:first$} | {what:second$} | {seconds:>18} |"));
    say("");
    print(&head);
    say(&format!("|{}|{}|{}|", "-".repeat(first + 2), "-".repeat(second + 2), "-".repeat(20)));
    rows.iter().for_each(print);
    say("");
}
