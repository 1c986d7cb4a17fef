//! Moments that somebody marks while a run goes on, on their way into the data.
//!
//! Owns the clock that says which time of the frames a moment is. What is marked goes along with the next frame that is
//! written, or with the end.

use std::mem;
use std::time::{Duration, Instant};

use emocam::flow::labelled::Mark;

/// How many may wait for a frame, as while a camera is away. Lines on standard input wait longer then.
const MOST_WAITING: usize = 1000;

/// What was marked and not yet written, and the frames' clock.
#[derive(Default)]
pub(super) struct Marks {
    waiting: Vec<Mark>,
    /// Of the last frame its time, and when it was captured.
    clock: Option<(Duration, Instant)>,
    /// Since when the frames' clock stands still.
    still_since: Option<Instant>,
    /// When it stood still last.
    pause: Option<(Instant, Instant)>,
}

impl Marks {
    /// Sets the clock by a frame that has come.
    pub(super) fn tick(&mut self, pts: Duration, captured_at: Instant) {
        self.clock = Some((pts, captured_at));
    }

    /// The clock stands still from now on, as in a pause of a file, until it `goes_on`.
    pub(super) fn stand_still(&mut self) {
        self.still_since = Some(Instant::now());
    }

    pub(super) fn go_on(&mut self) {
        self.pause = self.still_since.take().map(|since| (since, Instant::now()));
    }

    /// When frames stood still last, and until when.
    pub(super) fn pause(&self) -> Option<(Instant, Instant)> {
        self.pause
    }

    /// Which time of the frames a moment is; before the first one there is none but 0.
    fn time_of(&self, at: Instant) -> Duration {
        let Some((pts, captured)) = self.clock else { return Duration::ZERO };
        let at = self.still_since.map_or(at, |since| at.min(since));
        let before = captured.saturating_duration_since(at);
        let stood = self
            .pause
            .map_or(Duration::ZERO, |(since, until)| until.min(at).saturating_duration_since(since.max(captured)));
        let after = at.saturating_duration_since(captured).saturating_sub(stood);
        pts.saturating_sub(before) + after
    }

    /// Marks a moment. Returns which time of the frames it is.
    pub(super) fn add(&mut self, text: String, at: Instant) -> Duration {
        let time = self.time_of(at);
        self.waiting.push(Mark { text, time, at });
        time
    }

    /// How many more may wait.
    pub(super) fn room(&self) -> usize {
        MOST_WAITING.saturating_sub(self.waiting.len())
    }

    /// What is to be written with the next frame, in the order of the moments.
    pub(super) fn take(&mut self) -> Vec<Mark> {
        let mut marks = mem::take(&mut self.waiting);
        marks.sort_by_key(|mark| mark.at);
        marks
    }
}

/// A time as it is told: `12.3 s`.
pub(super) fn told(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_mark_has_the_time_at_which_it_was_set_not_that_of_a_frame() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        assert_eq!(marks.add("early".into(), start), Duration::ZERO);
        marks.tick(ms(5000), start + ms(100));
        assert_eq!(marks.add("later".into(), start + ms(112)), ms(5012));
        assert_eq!(marks.add("before the frame".into(), start + ms(90)), ms(4990));
        assert_eq!(marks.add("long before".into(), start), ms(4900));
        let texts: Vec<String> = marks.take().into_iter().map(|mark| mark.text).collect();
        assert_eq!(texts, ["early", "long before", "before the frame", "later"]);
        assert!(marks.take().is_empty());
    }

    #[test]
    fn the_clock_of_a_file_stands_still_in_a_pause() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        marks.tick(ms(1000), start);
        marks.still_since = Some(start + ms(40));
        assert_eq!(marks.time_of(start + ms(9000)), ms(1040));
        (marks.still_since, marks.pause) = (None, Some((start + ms(40), start + ms(9000))));
        assert_eq!(marks.time_of(start + ms(20)), ms(1020));
        assert_eq!(marks.time_of(start + ms(9010)), ms(1050));
        // A frame after the pause knows nothing of it.
        marks.tick(ms(1060), start + ms(9020));
        assert_eq!(marks.time_of(start + ms(9030)), ms(1070));
    }

    #[test]
    fn only_so_many_wait() {
        let mut marks = Marks::default();
        for _ in 0..MOST_WAITING {
            marks.add(String::new(), Instant::now());
        }
        assert_eq!((marks.room(), marks.take().len(), marks.room()), (0, MOST_WAITING, MOST_WAITING));
    }
}
