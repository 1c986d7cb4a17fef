//! When a frame was captured: as its driver says, as far as that can be true.
//!
//! The time of arrival has the transfer and the queue in it, which differ from frame to frame. Some drivers leave the stamp
//! out, put in the same one each time, or count by a clock of the camera's own.

use std::time::{Duration, Instant};

/// A camera of 1 fps holds a frame for 2 s at most, so what is older than this is no frame that has just come.
const OLDEST: Duration = Duration::from_secs(10);

/// The times of one opened camera's frames. Each is later than the one before.
#[derive(Debug)]
pub(super) struct Stamps {
    last: Instant,
}

impl Stamps {
    /// Of a camera that was opened then.
    pub(super) fn since(opened: Instant) -> Self {
        Self { last: opened }
    }

    /// When a frame was captured that `arrived` then: its stamp, or the time of arrival in the place of a stamp from the
    /// future, of long ago, or no later than the time of the frame before or of the opening.
    pub(super) fn captured_at(&mut self, stamp: Option<Instant>, arrived: Instant) -> Instant {
        let can_be = |stamp: &Instant| {
            let age = arrived.checked_duration_since(*stamp);
            age.is_some_and(|age| age <= OLDEST) && *stamp > self.last
        };
        let captured_at = stamp.filter(can_be).unwrap_or(arrived);
        self.last = captured_at;
        captured_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of frames with these stamps and times of arrival, in milliseconds after the first arrival.
    fn times(frames: &[(Option<u64>, u64)]) -> Vec<u64> {
        let start = Instant::now();
        let mut stamps = Stamps::since(start);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let captured_at = |&(stamp, arrived): &(Option<u64>, u64)| stamps.captured_at(stamp.map(at), at(arrived));
        frames.iter().map(captured_at).map(|time| (time - start).as_millis() as u64).collect()
    }

    #[test]
    fn a_stamp_has_no_part_in_how_long_a_frame_was_on_its_way() {
        assert_eq!(times(&[(Some(1), 20), (Some(33), 90), (Some(66), 91), (Some(100), 101)]), [1, 33, 66, 100]);
    }

    #[test]
    fn where_a_stamp_cannot_be_true_the_time_of_arrival_stands() {
        assert_eq!(times(&[(Some(0), 5), (Some(30), 40)]), [5, 30], "of before it was opened, then well");
        assert_eq!(times(&[(None, 5), (None, 40)]), [5, 40], "no stamp");
        assert_eq!(times(&[(Some(50), 20), (Some(70), 60)]), [20, 60], "from the future");
        assert_eq!(times(&[(Some(1), 11_000), (Some(1_001), 11_001)]), [11_000, 11_001], "of long ago, then too early");
        assert_eq!(times(&[(Some(10), 20), (Some(10), 50), (Some(10), 80)]), [10, 50, 80], "always the same");
        assert_eq!(times(&[(Some(60), 70), (Some(30), 100), (Some(130), 140)]), [60, 100, 130], "backwards, then well");
    }
}
