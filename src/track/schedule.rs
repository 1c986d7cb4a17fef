//! When a frame is scanned whole, and which parts of a sweep are due in it.

/// How long a sweep for small faces takes, in seconds, unless its number of frames was asked for: a new one has to wait at
/// most this long. (Near ones are found at once.)
const SWEEP_SECONDS: f32 = 0.9;

/// The most frames of a sweep, at any rate.
const MOST_FRAMES: f32 = 60.0;

/// How much of a new time between frames enters the known one.
const BLEND: f32 = 0.2;

/// Spreads sweeps over frames.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Frames of a sweep, as asked for.
    asked: Option<u32>,
    /// Seconds from frame to frame, where known.
    interval: Option<f32>,
    /// Parts that were done in this sweep.
    done: usize,
    /// Share of this sweep that should be done by now.
    progress: f32,
}

impl Schedule {
    pub(super) fn new(asked: Option<u32>) -> Self {
        Self { asked, interval: None, done: 0, progress: 0.0 }
    }

    /// Takes note of the time between two frames, in seconds, more than 0.
    pub(super) fn note(&mut self, seconds: f32) {
        let interval = self.interval.get_or_insert(seconds);
        *interval += BLEND * (seconds - *interval);
    }

    /// Seconds from frame to frame, as far as is known.
    pub(super) fn interval(&self) -> f32 {
        self.interval.unwrap_or(1.0 / 30.0)
    }

    /// How many frames a sweep takes; 1 is a scan of every whole frame.
    pub(super) fn frames(&self) -> u32 {
        self.asked.unwrap_or_else(|| (SWEEP_SECONDS / self.interval()).round().clamp(1.0, MOST_FRAMES) as u32)
    }

    /// Which of so many parts to search in this frame, and whether they are the last ones of a sweep.
    pub(super) fn due(&mut self, parts: usize) -> (std::ops::Range<usize>, bool) {
        self.progress += 1.0 / self.frames() as f32;
        // Rounding must not put the last part off by a frame.
        let end = (((self.progress + 1e-4) * parts as f32) as usize).clamp(self.done, parts);
        let due = self.done..end;
        self.done = end;
        let complete = self.progress + 1e-4 >= 1.0;
        if complete {
            self.restart();
        }
        (due, complete)
    }

    /// Begins a new sweep: everything was just seen, or nothing of what was seen counts any more.
    pub(super) fn restart(&mut self) {
        (self.done, self.progress) = (0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_comes_once_in_every_sweep() {
        for (count, frames) in [(5, 10), (17, 10), (1, 3), (10, 10), (7, 1), (0, 4)] {
            let mut schedule = Schedule::new(Some(frames));
            for _ in 0..3 {
                let mut next = 0;
                for frame in 0..frames {
                    let (due, complete) = schedule.due(count);
                    assert_eq!(due.start, next);
                    assert!(due.len() <= count.div_ceil(frames as usize), "{due:?}");
                    assert_eq!(complete, frame + 1 == frames, "{count} parts, {frames} frames, {frame}");
                    next = due.end;
                }
                assert_eq!(next, count);
            }
        }
    }

    #[test]
    fn a_sweep_takes_the_same_time_at_every_rate() {
        for (rate, expected) in [(30.0, 27), (60.0, 54), (20.0, 18), (1.0, 1), (1000.0, 60)] {
            let mut schedule = Schedule::new(None);
            (0..50).for_each(|_| schedule.note(1.0 / rate));
            assert_eq!(schedule.frames(), expected, "at {rate} frames a second");
        }
        assert_eq!(Schedule::new(Some(4)).frames(), 4);
    }
}
