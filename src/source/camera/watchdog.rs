//! When a camera that delivers nothing is reported, and when it is given up.

use std::time::{Duration, Instant};

/// A camera is quiet for this long before anyone is told, and before it is opened anew.
const QUIET: Duration = Duration::from_secs(2);
const DEAD: Duration = Duration::from_secs(5);

/// A slow camera has this many of its own frames' time before that.
const QUIET_FRAMES: f64 = 4.0;
const DEAD_FRAMES: f64 = 10.0;

/// How a camera is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It delivers.
    Well,
    /// It has delivered nothing for this long, and that is news.
    Quiet(Duration),
    /// It has delivered nothing for so long that it should be opened anew.
    Dead(Duration),
}

/// Watches one opened camera.
#[derive(Debug)]
pub(super) struct Watchdog {
    quiet: Duration,
    dead: Duration,
    last: Instant,
    told: bool,
}

impl Watchdog {
    /// Waits for the first frame of a camera of this rate, if it is known, from `now` on.
    pub(super) fn new(fps: Option<f64>, now: Instant) -> Self {
        let slow = |frames: f64| fps.and_then(|fps| Duration::try_from_secs_f64(frames / fps).ok()).unwrap_or_default();
        Self { quiet: QUIET.max(slow(QUIET_FRAMES)), dead: DEAD.max(slow(DEAD_FRAMES)), last: now, told: false }
    }

    /// Notes a frame.
    pub(super) fn feed(&mut self, now: Instant) {
        self.last = now;
        self.told = false;
    }

    /// Tells of a quiet camera once.
    pub(super) fn look(&mut self, now: Instant) -> Verdict {
        let silence = now.saturating_duration_since(self.last);
        if silence >= self.dead {
            Verdict::Dead(self.dead)
        } else if silence >= self.quiet && !self.told {
            self.told = true;
            Verdict::Quiet(self.quiet)
        } else {
            Verdict::Well
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_told_once_and_then_ended() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(Some(30.0), start);
        assert_eq!(watchdog.look(start + SECOND), Verdict::Well);
        assert_eq!(watchdog.look(start + 2 * SECOND), Verdict::Quiet(2 * SECOND));
        assert_eq!(watchdog.look(start + 3 * SECOND), Verdict::Well);
        watchdog.feed(start + 4 * SECOND);
        assert_eq!(watchdog.look(start + 5 * SECOND), Verdict::Well);
        assert_eq!(watchdog.look(start + 7 * SECOND), Verdict::Quiet(2 * SECOND));
        assert_eq!(watchdog.look(start + 9 * SECOND), Verdict::Dead(5 * SECOND));
    }

    #[test]
    fn a_slow_camera_is_given_its_time() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(Some(1.0), start);
        assert_eq!(watchdog.look(start + 3 * SECOND), Verdict::Well);
        assert_eq!(watchdog.look(start + 4 * SECOND), Verdict::Quiet(4 * SECOND));
        assert_eq!(watchdog.look(start + 9 * SECOND), Verdict::Well);
        assert_eq!(watchdog.look(start + 10 * SECOND), Verdict::Dead(10 * SECOND));
        // A rate that makes no sense is none.
        assert_eq!(Watchdog::new(Some(0.0), start).look(start + 5 * SECOND), Verdict::Dead(5 * SECOND));
    }
}
