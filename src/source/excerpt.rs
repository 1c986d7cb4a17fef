//! A part of a source: from one time to another, and of its frames each n-th, or so many a second.
//!
//! Frames keep their numbers and times, so that what is found in a part is found again in the whole. What is left out is
//! decoded, as videos can be entered at few of their frames only, but nobody looks for faces in it.

use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::Result;

use super::{Next, Source, SourceInfo, polled_frame};
use crate::flow::frame::Frame;

/// How much earlier than its time a frame may come: times are rounded in files.
const TOLERANCE: Duration = Duration::from_millis(1);

/// Which frames of a source are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Excerpt {
    /// Those from this time on.
    pub start: Duration,
    /// Those before this time.
    pub end: Option<Duration>,
    /// How many of these.
    pub pick: Pick,
}

/// How many of the frames in a stretch of time are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pick {
    /// Each.
    #[default]
    All,
    /// The first, and then each n-th.
    Every(NonZeroU64),
    /// So many a second, more than 0: the first, and then each that is the first after another such period.
    Rate(f64),
}

impl Excerpt {
    /// Whether it says anything about time.
    pub fn is_about_time(&self) -> bool {
        *self != self.without_time()
    }

    /// What of it holds for pictures, which have no time.
    #[must_use]
    pub fn without_time(self) -> Self {
        let pick = if matches!(self.pick, Pick::Rate(_)) { Pick::All } else { self.pick };
        Self { pick, ..Self::default() }
    }

    /// What is known of the source, as far as it holds for this part of it.
    pub fn info_of(&self, info: &SourceInfo) -> SourceInfo {
        let within = |frames: u64| match info.fps {
            Some(fps) => {
                let at = |time: Duration| (time.as_secs_f64() * fps) as u64;
                self.end.map_or(frames, |end| frames.min(at(end))).saturating_sub(at(self.start))
            }
            None => frames,
        };
        let picked = |frames: u64| match (self.pick, info.fps) {
            (Pick::Every(n), _) => frames.div_ceil(n.get()),
            (Pick::Rate(rate), Some(fps)) if rate < fps => (frames as f64 * rate / fps).ceil() as u64,
            _ => frames,
        };
        SourceInfo { frames: info.frames.map(|frames| picked(within(frames))), ..info.clone() }
    }
}

/// A source of which only an excerpt is given.
pub struct ExcerptSource<'a> {
    inner: &'a mut dyn Source,
    excerpt: Excerpt,
    info: SourceInfo,
    /// How many frames came since the start of the part.
    seen: u64,
    /// When the next one is due where so many a second are wanted.
    due: Option<Duration>,
}

impl<'a> ExcerptSource<'a> {
    /// A part of a source.
    pub fn new(inner: &'a mut dyn Source, excerpt: Excerpt) -> Self {
        let info = excerpt.info_of(inner.info());
        Self { inner, excerpt, info, seen: 0, due: None }
    }

    fn is_over(&self, frame: &Frame) -> bool {
        self.excerpt.end.is_some_and(|end| frame.pts >= end)
    }

    fn is_wanted(&mut self, frame: &Frame) -> bool {
        if frame.pts + TOLERANCE < self.excerpt.start {
            return false;
        }
        let number = self.seen;
        self.seen += 1;
        match self.excerpt.pick {
            Pick::All => true,
            Pick::Every(n) => number.is_multiple_of(n.get()),
            Pick::Rate(rate) => self.is_due(frame.pts, rate.recip()),
        }
    }

    /// Periods are counted from the first frame, so that no rounding adds up.
    fn is_due(&mut self, pts: Duration, period: f64) -> bool {
        let due = *self.due.get_or_insert(pts);
        if pts + TOLERANCE < due {
            return false;
        }
        let missed = ((pts + TOLERANCE - due).as_secs_f64() / period).floor();
        let next = Duration::try_from_secs_f64((missed + 1.0) * period).unwrap_or(Duration::MAX);
        self.due = Some(due.saturating_add(next));
        true
    }
}

impl Source for ExcerptSource<'_> {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        polled_frame(self)
    }

    /// Returns at a frame that is not wanted, too: a wish to stop is heard then.
    fn poll(&mut self) -> Result<Next> {
        Ok(match self.inner.poll()? {
            Next::Frame(frame) if self.is_over(&frame) => Next::End,
            Next::Frame(frame) if !self.is_wanted(&frame) => Next::Waiting(None),
            next => next,
        })
    }

    fn warnings(&mut self) -> Vec<String> {
        self.inner.warnings()
    }

    fn close(&mut self) {
        self.inner.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Frames at 30 a second, whose times are rounded to milliseconds.
    struct Clip(SourceInfo, u64);

    impl Source for Clip {
        fn info(&self) -> &SourceInfo {
            &self.0
        }

        fn next_frame(&mut self) -> Result<Option<Frame>> {
            let id = self.1;
            self.1 += 1;
            let pts = Duration::from_millis(id * 1000 / 30);
            Ok((id < 300).then(|| Frame::new(id, pts, (1, 1), Arc::from([0; 3]))))
        }
    }

    fn picked(excerpt: Excerpt) -> (Vec<u64>, Option<u64>) {
        let mut clip = Clip(SourceInfo { frames: Some(300), fps: Some(30.0), ..Default::default() }, 0);
        let mut part = ExcerptSource::new(&mut clip, excerpt);
        let expected = part.info().frames;
        let frames = std::iter::from_fn(|| part.next_frame().expect("a clip")).map(|frame| frame.id).collect();
        (frames, expected)
    }

    fn seconds(value: f64) -> Duration {
        Duration::from_secs_f64(value)
    }

    #[test]
    fn a_stretch_of_time_has_its_start_and_not_its_end() {
        let part = Excerpt { start: seconds(1.0), end: Some(seconds(2.0)), ..Default::default() };
        assert_eq!(picked(part), ((30..60).collect(), Some(30)));
        assert_eq!(picked(Excerpt { start: seconds(9.9), ..Default::default() }).0, [297, 298, 299]);
        assert_eq!(picked(Excerpt { start: seconds(11.0), ..Default::default() }), (vec![], Some(0)));
        assert_eq!(picked(Excerpt::default()), ((0..300).collect(), Some(300)));
    }

    #[test]
    fn some_of_the_frames_are_picked_evenly() {
        let every = |n| Pick::Every(NonZeroU64::new(n).expect("more than 0"));
        let pick = |pick| picked(Excerpt { start: seconds(1.0), end: Some(seconds(3.0)), pick });
        assert_eq!(pick(every(25)), (vec![30, 55, 80], Some(3)));
        assert_eq!(pick(every(1)).0.len(), 60);
        assert_eq!(pick(Pick::Rate(2.0)), (vec![30, 45, 60, 75], Some(4)));
        assert_eq!(pick(Pick::Rate(0.5)), (vec![30], Some(1)));
        // What comes too late is not made up for, and what is faster than the clip is the clip.
        assert_eq!(pick(Pick::Rate(7.0)).0, [30, 35, 39, 43, 48, 52, 56, 60, 65, 69, 73, 78, 82, 86]);
        assert_eq!(pick(Pick::Rate(1000.0)).0.len(), 60);
    }
}
