//! The clock by which drivers on Linux stamp frames, and the program's own.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use v4l::buffer::{Flags, Metadata};

/// What the system's monotonic clock shows at one instant: drivers stamp frames by it, and std does not say what it shows.
pub(super) struct Clock {
    instant: Instant,
    shows: Duration,
}

impl Clock {
    pub(super) fn now() -> Self {
        // In this order no stamp comes out later than it was.
        let instant = Instant::now();
        let now = clock_gettime(ClockId::Monotonic);
        let shows = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default());
        Self { instant, shows }
    }

    /// When it shows this.
    pub(super) fn instant(&self, shows: Option<Duration>) -> Option<Instant> {
        let shows = shows?;
        match shows.checked_sub(self.shows) {
            Some(later) => self.instant.checked_add(later),
            None => self.instant.checked_sub(self.shows - shows),
        }
    }
}

/// What the monotonic clock showed when a frame was captured, where the driver says that it is this clock.
pub(super) fn stamp(meta: &Metadata) -> Option<Duration> {
    let is_monotonic = meta.flags & Flags::TIMESTAMP_MASK == Flags::TIMESTAMP_MONOTONIC;
    let (seconds, microseconds) = (u64::try_from(meta.timestamp.sec).ok()?, u32::try_from(meta.timestamp.usec).ok()?);
    // A driver that fills in nothing says 0.
    let is_stamp = is_monotonic && microseconds < 1_000_000 && (seconds, microseconds) != (0, 0);
    is_stamp.then(|| Duration::new(seconds, 1000 * microseconds))
}

#[cfg(test)]
mod tests {
    use v4l::timestamp::Timestamp;

    use super::*;

    #[test]
    fn stamps_are_those_of_the_monotonic_clock() {
        let clock = Clock { instant: Instant::now() + Duration::from_secs(2), shows: Duration::from_secs(100) };
        let at = |flags, sec, usec| {
            let timestamp = Timestamp { sec, usec };
            let instant = clock.instant(stamp(&Metadata { flags, timestamp, ..Metadata::default() }))?;
            Some(
                instant
                    .checked_duration_since(clock.instant)
                    .map_or_else(|| -(clock.instant - instant).as_secs_f64(), |later| later.as_secs_f64()),
            )
        };
        let monotonic = Flags::DONE | Flags::TIMESTAMP_MONOTONIC | Flags::TSTAMP_SRC_SOE;
        assert_eq!(at(monotonic, 101, 250_000), Some(1.25));
        assert_eq!(at(monotonic, 99, 750_000), Some(-0.25));
        assert_eq!(at(Flags::DONE | Flags::TIMESTAMP_COPY, 101, 0), None);
        assert_eq!(at(Flags::DONE, 101, 0), None);
        for (sec, usec) in [(0, 0), (-1, 0), (101, -1), (101, 1_000_000)] {
            assert_eq!(at(monotonic, sec, usec), None, "{sec} s, {usec} us");
        }
        // An instant is what this clock says, not one of another clock.
        let age = Clock::now().instant(Some(Clock::now().shows)).map(|instant| instant.elapsed());
        assert!(age.is_some_and(|age| age < Duration::from_secs(1)), "{age:?}");
    }
}
