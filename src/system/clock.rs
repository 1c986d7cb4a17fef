//! How long work takes: by the clock on the wall, and by the one that runs only while a processor works for it.
//!
//! The second one is POSIX's (`clock_gettime`, IEEE Std 1003.1): one clock for each thread and one for the process. Where a
//! system has no such clocks, nothing is made up: the answer is `None`. Work that a thread hands to others, as to a pool,
//! counts for those, so the stages of a run need not add up to what the process used.

use std::time::{Duration, Instant};

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// From its start to its end.
    pub wall: Duration,
    /// How long a processor worked for it, on its own thread.
    pub cpu: Option<Duration>,
}

/// Measures a piece of work. It must be read on the thread that started it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started: Instant,
    cpu: Option<Duration>,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu_of_this_thread() }
    }

    /// What was spent since the start.
    pub fn spent(&self) -> Spent {
        let cpu = self.cpu.zip(cpu_of_this_thread());
        Spent { wall: self.started.elapsed(), cpu: cpu.map(|(before, now)| now.saturating_sub(before)) }
    }
}

/// The processor's time that this process has used, all of its threads together. Programs that it started, such as ffmpeg,
/// are not in it: see [`cpu_of_children`].
pub fn cpu_of_this_process() -> Option<Duration> {
    #[cfg(unix)]
    let time = read(rustix::time::ClockId::ProcessCPUTime);
    #[cfg(not(unix))]
    let time = None;
    time
}

/// The processor's time that the programs have used that this process started, such as ffmpeg, as far as they have ended and
/// were waited for.
pub fn cpu_of_children() -> Option<Duration> {
    #[cfg(unix)]
    let time = {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeValLike;

        let used = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
        let microseconds = used.map(|used| used.user_time().num_microseconds() + used.system_time().num_microseconds());
        microseconds.and_then(|time| time.try_into().ok()).map(Duration::from_micros)
    };
    #[cfg(not(unix))]
    let time = None;
    time
}

fn cpu_of_this_thread() -> Option<Duration> {
    #[cfg(unix)]
    let time = read(rustix::time::ClockId::ThreadCPUTime);
    #[cfg(not(unix))]
    let time = None;
    time
}

#[cfg(unix)]
fn read(clock: rustix::time::ClockId) -> Option<Duration> {
    rustix::time::clock_gettime(clock).try_into().ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn work_counts_for_its_thread_and_for_the_process() {
        let (before, watch) = (cpu_of_this_process().expect("a clock"), Stopwatch::start());
        let other = std::thread::spawn(|| {
            let watch = Stopwatch::start();
            while watch.spent().cpu.expect("a clock") < Duration::from_millis(30) {}
        });
        other.join().expect("the thread ends");
        assert!(watch.spent().cpu.expect("a clock") < Duration::from_millis(20), "another thread's work");
        assert!(cpu_of_this_process().expect("a clock") - before >= Duration::from_millis(30));
    }

    #[test]
    fn the_work_of_a_child_counts_when_it_was_waited_for() {
        let before = cpu_of_children().expect("a clock");
        let count = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let status = std::process::Command::new("sh").args(["-c", count]).status();
        assert!(status.expect("a shell").success());
        assert!(cpu_of_children().expect("a clock") - before >= Duration::from_millis(5));
    }
}
